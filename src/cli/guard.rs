//! Which host may be loaded: this machine always, any other only when the user named it.

use super::exit::{Exit, Failure};
use std::net::IpAddr;

/// The host of a base URL, lower case, without a trailing dot or brackets.
pub(crate) fn host_of(url: &str) -> Result<String, Failure> {
    let bad = |why: &str| {
        Failure::new(Exit::Usage, format!("target.url: {url:?} is not a base URL: {why}"))
            .with_hint("write scheme, host and port, e.g. \"http://127.0.0.1:8000\" or \"https://my-workspace.cloud.databricks.com\"")
    };
    let uri: http::Uri = url.parse().map_err(|e| bad(&format!("{e}")))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(other) => return Err(bad(&format!("scheme {other:?} is neither http nor https"))),
        None => return Err(bad("it has no scheme")),
    }
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err(bad("it holds a user name; secrets belong into target.auth"));
    }
    let host = uri.host().filter(|h| !h.is_empty()).ok_or_else(|| bad("it has no host"))?;
    Ok(normal(host))
}

/// Refuses a host that is neither this machine nor named by the user.
pub(crate) fn check(url: &str, allowed: &[String], confirmed: Option<&str>) -> Result<(), Failure> {
    let host = host_of(url)?;
    if is_loopback(&host) || allowed.iter().any(|a| normal(a) == host) || confirmed.is_some_and(|c| normal(c) == host) {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::Refused, format!("refusing to load {host}: it is not this machine and nobody confirmed it"));
    failure.hint = Some(match confirmed {
        Some(other) => format!("--confirm-host says {other:?}, the URL says {host:?}; they must be the same"),
        None => format!("if you may load it, say --confirm-host {host}, or list it under target.allowed_hosts"),
    });
    Err(failure)
}

fn normal(host: &str) -> String {
    host.trim().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

/// Loopback by its literal address or by the one name that must mean it (RFC 6761). No other name is trusted: it may resolve anywhere.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_needs_no_confirmation() {
        for url in ["http://127.0.0.1:8000", "http://localhost", "http://LOCALHOST.:1/v1", "http://[::1]:9", "http://127.9.9.9"] {
            assert!(check(url, &[], None).is_ok(), "{url}");
        }
    }

    #[test]
    fn another_host_needs_its_own_name() {
        let url = "https://Api.Example.com./v1";
        assert_eq!(check(url, &[], None).unwrap_err().exit, Exit::Refused);
        assert_eq!(check(url, &[], Some("example.com")).unwrap_err().exit, Exit::Refused);
        assert!(check(url, &[], Some("api.example.com")).is_ok());
        assert!(check(url, &["API.example.com".to_owned()], None).is_ok());
        // Looks like this machine and is not.
        assert!(check("http://127.0.0.1.example.com", &[], None).is_err());
        assert!(check("http://localhost.example.com", &[], None).is_err());
    }

    #[test]
    fn what_is_no_url_is_told() {
        for url in ["", "127.0.0.1:8000", "ftp://x", "http://", "http://user:pw@localhost"] {
            assert_eq!(host_of(url).unwrap_err().exit, Exit::Usage, "{url}");
        }
    }
}
