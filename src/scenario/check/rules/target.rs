//! Rules of `[target]`.

use super::Judge;
use crate::base::diag::Fault;
use crate::scenario::target::{Api, Auth, HttpVersion, Target, Task};

pub(super) fn judge(judge: &mut Judge<'_>, target: &Target) {
    if let Some(url) = &target.url {
        self::url(judge, url);
    }
    match (target.api, &target.endpoint) {
        (Api::Databricks, None) if target.path.is_none() => {
            let fault = Fault::new("", "the serving endpoint has no name").with_expected("`endpoint` beside `api = \"databricks\"`");
            judge.refuse("target.endpoint", fault.with_hint("endpoint = \"my-endpoint\""));
        }
        (Api::Databricks, Some(name)) => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let holds = !name.is_empty() && name.chars().all(is_plain);
            judge.expect(holds, "target.endpoint", format!("{name:?} is not the name of an endpoint"), "letters, digits, `-`, `_` and `.`");
        }
        _ => {}
    }
    of_databricks(judge, target);
    judge.expect(!target.model.is_empty(), "target.model", "no name", "the name of a model, as sent in the body");
    if let Some(path) = &target.path {
        let holds = path.starts_with('/') && path.chars().all(|c| c.is_ascii_graphic());
        judge.expect(holds, "target.path", format!("{path:?} is not a path"), "a path from the root, e.g. \"/v1/chat/completions\"");
    }
    if let Some(alternatives) = target.top_logprobs {
        judge.expect(alternatives <= 20, "target.top_logprobs", format!("{alternatives} is out of range"), "a whole number from 0 to 20");
    }
    if let Some(temperature) = target.temperature {
        judge.within("target.temperature", temperature, 0.0, 2.0);
    }
    if let Some(dimension) = target.embedding_dimension {
        judge.at_least("target.embedding_dimension", dimension.into(), 1);
    }
    judge.within("target.streams_per_connection", target.streams_per_connection.into(), 1.0, 10_000.0);
    if target.http == HttpVersion::Http2 && target.url.is_none() {
        let fault = Fault::new("", "the simulated endpoint speaks HTTP/1.1").with_expected("\"1.1\", or `url` beside `http = \"2\"`");
        judge.refuse("target.http", fault);
    }
    credentials(judge, target);
    for (name, value) in &target.headers {
        header(judge, name, value);
    }
    for (key, span) in [
        ("connect", target.timeouts.connect),
        ("first_byte", target.timeouts.first_byte),
        ("idle", target.timeouts.idle),
        ("total", target.timeouts.total),
    ] {
        judge.positive_span(&format!("target.timeouts.{key}"), span);
    }
    for (i, host) in target.allowed_hosts.iter().enumerate() {
        let holds = is_host(host);
        let expected = "a host name without scheme, port and path, e.g. \"my-workspace.cloud.databricks.com\"";
        judge.expect(holds, &format!("target.allowed_hosts.{i}"), format!("{host:?} is not the name of a host"), expected);
    }
}

/// `http` or `https`, a host, perhaps a port and a path; nothing that could carry a secret.
fn url(judge: &mut Judge<'_>, url: &str) {
    let expected = "a base URL such as \"http://127.0.0.1:8000\" or \"https://my-workspace.cloud.databricks.com\"";
    let refuse = |judge: &mut Judge<'_>, message: String, hint: Option<String>| {
        let fault = Fault::new("", message).with_found(url).with_expected(expected);
        judge.refuse("target.url", if let Some(hint) = hint { fault.with_hint(hint) } else { fault });
    };
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => return refuse(judge, format!("{url:?} has no scheme"), Some(format!("write \"http://{url}\""))),
    };
    if scheme != "http" && scheme != "https" {
        return refuse(judge, format!("{scheme:?} is neither http nor https"), None);
    }
    let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |i| rest.split_at(i));
    if authority.contains('@') {
        let fault = Fault::new("", "the URL holds a user name or a password").with_found("(not shown)").with_expected(expected);
        return judge
            .refuse("target.url", fault.with_hint("secrets come from the environment or a file: target.auth = { bearer_env = \"MY_TOKEN\" }"));
    }
    if path.contains(['?', '#']) || !path.chars().all(|c| c.is_ascii_graphic()) {
        return refuse(judge, format!("{url:?} holds more than a base URL"), Some("no query, no fragment, no spaces".to_owned()));
    }
    let (host, port) = split_authority(authority);
    if !is_host(host) {
        return refuse(judge, format!("{url:?} has no host"), None);
    }
    if port.is_some_and(|p| p.parse::<u16>().map_or(true, |p| p == 0)) {
        refuse(judge, format!("{:?} is not a port", port.unwrap_or_default()), Some("a port is a number from 1 to 65535".to_owned()));
    }
}

/// Host (an IPv6 address with its brackets) and port.
fn split_authority(authority: &str) -> (&str, Option<&str>) {
    if authority.starts_with('[') {
        let end = authority.find(']').map_or(authority.len(), |i| i + 1);
        let (host, rest) = authority.split_at(end);
        return (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').unwrap_or(rest)) });
    }
    authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inner.parse::<core::net::Ipv6Addr>().is_ok();
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    host.parse::<core::net::Ipv6Addr>().is_ok()
        || (!host.is_empty() && host.len() <= 253 && host.chars().all(is_plain) && host.chars().any(|c| c.is_ascii_alphanumeric()))
}

/// What only a Databricks endpoint understands.
fn of_databricks(judge: &mut Judge<'_>, target: &Target) {
    let limits = &target.workspace_limits;
    judge.within("target.workspace_limits.requests_per_second", limits.requests_per_second, 0.1, 1e6);
    judge.positive_span("target.workspace_limits.execution", limits.execution);
    let given = [
        ("served_entity", target.served_entity.is_some()),
        ("usage_context", !target.usage_context.is_empty()),
        ("client_request_id", target.client_request_id.is_some()),
        ("instruction", target.instruction.is_some()),
    ];
    for (key, is_given) in given {
        judge.expect(
            !is_given || target.api == Api::Databricks,
            &format!("target.{key}"),
            "this API has no such thing",
            "`api = \"databricks\"` beside it",
        );
    }
    if target.instruction.is_some() {
        judge.expect(target.task == Task::Embeddings, "target.instruction", "an instruction for another task", "`task = \"embeddings\"` beside it");
    }
    judge.expect(target.served_entity.as_deref() != Some(""), "target.served_entity", "no name", "the name of a served entity");
}

fn credentials(judge: &mut Judge<'_>, target: &Target) {
    match &target.auth {
        Auth::None | Auth::Databricks(_) => {}
        Auth::BearerEnv(name) => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let holds = !name.is_empty() && name.chars().all(is_plain) && !name.starts_with(|c: char| c.is_ascii_digit());
            // What was put here may be the token itself: it is not shown.
            if !holds {
                let fault = Fault::new("", "this is not the name of an environment variable").with_found("(not shown)");
                judge.refuse("target.auth.bearer_env", fault.with_expected("its name, e.g. \"DATABRICKS_TOKEN\", never the token"));
            }
        }
        Auth::BearerFile(path) => {
            judge.expect(!path.as_os_str().is_empty(), "target.auth.bearer_file", "no path", "the path of a file that holds the token");
        }
    }
    if let Auth::Databricks(login) = &target.auth {
        let profile = login.profile.as_deref();
        judge.expect(profile != Some(""), "target.auth.databricks.profile", "no name", "the name of a profile, e.g. \"DEFAULT\"");
        judge.expect(target.url.is_some(), "target.auth.databricks", "a login without a workspace", "`target.url`, the workspace that it is for");
    }
    match (&target.tls.cert, &target.tls.key) {
        (Some(_), None) => {
            judge.expect_with(&["target.tls.key"], false, "target.tls.cert", "a certificate without its private key", "`key` beside `cert`");
        }
        (None, Some(_)) => {
            judge.expect_with(&["target.tls.cert"], false, "target.tls.key", "a private key without its certificate", "`cert` beside `key`");
        }
        _ => {}
    }
}

fn header(judge: &mut Judge<'_>, name: &str, value: &str) {
    let key = format!("target.headers.{name}");
    // Token characters of RFC 9110, section 5.6.2.
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    judge.expect(!name.is_empty() && name.bytes().all(is_token), &key, format!("{name:?} is not the name of a header"), "letters, digits and `-`");
    let holds = value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b));
    judge.expect(holds, &key, "the value holds a line break or a character that no header can carry", "printable ASCII");
    let lower = name.to_ascii_lowercase();
    // A header is written into every result: whatever sounds like a secret is taken for one.
    if ["auth", "cookie", "key", "token", "secret", "password", "credential"].iter().any(|word| lower.contains(word)) {
        let fault =
            Fault::new("", format!("`{name}` carries a secret, which no scenario may hold")).with_found("(not shown)").with_expected("`target.auth`");
        judge.refuse(&key, fault.with_hint("auth = { bearer_env = \"MY_TOKEN\" } takes it from the environment"));
    } else if matches!(lower.as_str(), "host" | "content-length" | "transfer-encoding" | "connection" | "keep-alive" | "upgrade" | "te") {
        let fault = Fault::new("", format!("`{name}` is set by the client itself")).with_expected("no such header");
        judge.refuse(&key, fault);
    }
}
