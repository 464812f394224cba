//! The rules of the JUnit schema that Jenkins publishes with its xunit plugin (junit-10.xsd), as far as they concern us: elements and where they may
//! stand, attributes and which must be there, the form of numbers and times.

/// Element, parents, attributes that must be there, attributes that may be there.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const RULES: [Rule; 10] = [
    ("testsuites", &[], &[], &["name", "time", "tests", "failures", "errors"]),
    (
        "testsuite",
        &["testsuites", "testsuite"],
        &["name", "tests", "failures", "errors"],
        &["group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"],
    ),
    ("properties", &["testsuite"], &[], &[]),
    ("property", &["properties"], &["name", "value"], &[]),
    ("testcase", &["testsuite"], &["name"], &["time", "classname", "group"]),
    ("failure", &["testcase"], &[], &["message", "type"]),
    ("error", &["testcase"], &[], &["message", "type"]),
    ("skipped", &["testcase"], &[], &["message", "type"]),
    ("system-out", &["testsuite", "testcase"], &[], &[]),
    ("system-err", &["testsuite", "testcase"], &[], &[]),
];

/// Every rule that the text breaks.
pub(crate) fn faults(xml: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>") {
        faults.push("no XML declaration".to_owned());
    }
    for c in xml.chars().filter(|c| (c.is_control() && !matches!(c, '\n' | '\t' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        faults.push(format!("character {c:?} has no place in XML 1.0"));
    }
    let mut open: Vec<String> = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        if rest[..at].contains("]]>") {
            faults.push("]]> in a text".to_owned());
        }
        let inner = &rest[at + 1..];
        let Some(end) = tag_end(inner) else { return [faults, vec!["a tag does not end".to_owned()]].concat() };
        let tag = &inner[..end];
        rest = &inner[end + 1..];
        if tag.starts_with('?') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop().as_deref() != Some(name) {
                faults.push(format!("</{name}> closes something else"));
            }
            continue;
        }
        faults.extend(of_tag(tag, open.last().map(String::as_str)));
        if !tag.ends_with('/') {
            open.push(tag.split([' ', '\n']).next().unwrap_or_default().to_owned());
        }
    }
    faults.extend(open.into_iter().map(|name| format!("<{name}> stays open")));
    faults
}

fn tag_end(inner: &str) -> Option<usize> {
    let mut quoted = false;
    inner.find(|c| {
        quoted ^= c == '"';
        c == '>' && !quoted
    })
}

fn of_tag(tag: &str, parent: Option<&str>) -> Vec<String> {
    let body = tag.trim_end_matches('/');
    let (name, attributes) = body.split_once(' ').unwrap_or((body, ""));
    let Some((_, parents, needed, allowed)) = RULES.iter().find(|r| r.0 == name) else { return vec![format!("<{name}> is not of JUnit")] };
    let mut faults = Vec::new();
    match parent {
        None if !parents.is_empty() => faults.push(format!("<{name}> at the root")),
        Some(p) if !parents.contains(&p) => faults.push(format!("<{name}> inside <{p}>")),
        _ => {}
    }
    let mut seen = Vec::new();
    let mut rest = attributes.trim();
    while let Some((key, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else { return [faults, vec![format!("{name}: open quote")]].concat() };
        let key = key.trim();
        seen.push(key);
        if !needed.contains(&key) && !allowed.contains(&key) {
            faults.push(format!("<{name}> has no attribute {key}"));
        }
        let is_count = matches!(key, "tests" | "failures" | "errors" | "skipped" | "disabled");
        if is_count && value.parse::<u64>().is_err() {
            faults.push(format!("{name}.{key} = {value:?} is no number"));
        }
        if key == "time" && value.parse::<f64>().is_err() {
            faults.push(format!("{name}.time = {value:?} is no time"));
        }
        if value.contains('<') {
            faults.push(format!("{name}.{key} holds <"));
        }
        rest = after.trim_start();
    }
    faults.extend(needed.iter().filter(|n| !seen.contains(n)).map(|n| format!("<{name}> lacks {n}")));
    faults
}
