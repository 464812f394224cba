//! A strict little reader of tags: enough to find what a page would fetch or run, and tags that do not close.
#![expect(clippy::unwrap_used, reason = "tests only: a malformed page is a failure")]

/// An element with its attributes and the text that follows its opening tag.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Element {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.0 == key).map(|a| a.1.as_str())
    }
}

const VOID: [&str; 3] = ["meta", "br", "hr"];

enum Piece<'a> {
    Tag(&'a str),
    Text(&'a str),
}

/// Tags and texts in turn. `<` begins a tag everywhere but inside `style`, whose text ends at its closing tag.
fn pieces(page: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut out = Vec::new();
    let mut rest = page;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('<') {
            let mut quoted = false;
            let end = after.find(|c| {
                quoted ^= c == '"';
                c == '>' && !quoted
            });
            let end = end.ok_or_else(|| format!("tag without end: {}", &rest[..rest.len().min(80)]))?;
            out.push(Piece::Tag(&after[..end]));
            rest = &after[end + 1..];
            if after.starts_with("style") {
                rest = &rest[rest.find("</style").ok_or("style without end")?..];
            }
        } else {
            let end = rest.find('<').unwrap_or(rest.len());
            out.push(Piece::Text(&rest[..end]));
            rest = &rest[end..];
        }
    }
    Ok(out)
}

fn parse(tag: &str) -> Result<Element, String> {
    let (name, mut rest) = tag.trim_end_matches('/').split_once(char::is_whitespace).unwrap_or((tag.trim_end_matches('/'), ""));
    let mut attributes = Vec::new();
    while !rest.trim().is_empty() {
        rest = rest.trim_start();
        let Some((key, after)) = rest.split_once("=\"") else {
            return Err(format!("attribute without a quoted value: {tag}"));
        };
        let (value, after) = after.split_once('"').ok_or_else(|| format!("open quote: {tag}"))?;
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || "-:".contains(c)) || value.contains('<') {
            return Err(format!("odd attribute {key:?}={value:?} in {tag}"));
        }
        attributes.push((key.to_owned(), value.to_owned()));
        rest = after;
    }
    Ok(Element { name: name.to_owned(), attributes, text: String::new() })
}

/// Every element in order; panics on a malformed page.
pub(crate) fn elements(page: &str) -> Vec<Element> {
    let mut out: Vec<Element> = Vec::new();
    for piece in pieces(page).unwrap() {
        match piece {
            Piece::Tag(tag) if tag.starts_with(['/', '!', '?']) => {}
            Piece::Tag(tag) => out.push(parse(tag).unwrap()),
            Piece::Text(text) => {
                if let Some(last) = out.last_mut() {
                    last.text.push_str(text);
                }
            }
        }
    }
    out
}

/// Every tag closes in order, attributes are quoted, ampersands begin an entity.
pub(crate) fn well_formed(page: &str) -> Result<(), String> {
    let mut open: Vec<String> = Vec::new();
    for piece in pieces(page)? {
        match piece {
            Piece::Text(text) => {
                for after in text.split('&').skip(1) {
                    let name = after.split(';').next().unwrap_or("");
                    if !after.contains(';') || name.len() > 8 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '#') {
                        return Err(format!("bare ampersand before {after:?}"));
                    }
                }
            }
            Piece::Tag(tag) if tag.starts_with(['!', '?']) => {}
            Piece::Tag(tag) => {
                if let Some(name) = tag.strip_prefix('/') {
                    let last = open.pop();
                    if last.as_deref() != Some(name.trim()) {
                        return Err(format!("</{name}> closes {last:?}"));
                    }
                    continue;
                }
                let element = parse(tag)?;
                if !tag.ends_with('/') && !VOID.contains(&element.name.as_str()) {
                    open.push(element.name);
                }
            }
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("left open: {open:?}")) }
}
