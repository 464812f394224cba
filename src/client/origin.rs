//! Where requests go: scheme, host and port of a base URL.

/// Scheme, host and port of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whether TLS is spoken.
    pub is_tls: bool,
    /// Host name or address, without brackets, lower case.
    pub host: String,
    /// Port, explicit or by scheme.
    pub port: u16,
    /// The `host` header: as in the URL, without a default port.
    pub authority: String,
}

/// A base URL that no request can go to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target.url: {url:?}: {reason}\n  expected a base URL, e.g. \"http://127.0.0.1:8000\" or \"https://my-workspace.cloud.databricks.com\"")]
pub struct BadUrl {
    /// As given; credentials in it are struck out.
    pub url: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Origin {
    /// Reads a base URL.
    pub fn parse(url: &str) -> Result<Self, BadUrl> {
        let refuse = |reason| BadUrl { url: without_credentials(url), reason };
        let uri: http::Uri = url.trim().parse().map_err(|_| refuse("this is not a URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(refuse("only http and https are spoken")),
            None => return Err(refuse("the scheme is missing")),
        };
        let authority = uri.authority().ok_or_else(|| refuse("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("credentials do not belong into a URL; use target.auth"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(refuse("the host is missing"));
        }
        let default = if is_tls { 443 } else { 80 };
        let port = match authority.port() {
            None if authority.as_str().ends_with(authority.host()) => default,
            None => return Err(refuse("the port is not a number from 1 to 65535")),
            Some(port) => port.as_u16(),
        };
        if port == 0 {
            return Err(refuse("the port is not a number from 1 to 65535"));
        }
        let shown = authority.host();
        let authority = if port == default { shown.to_owned() } else { format!("{shown}:{port}") };
        Ok(Self { is_tls, host, port, authority })
    }
}

impl Origin {
    /// This machine by its literal address, or by the one name that must mean it (RFC 6761).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<core::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

fn without_credentials(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => format!("{}***{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parts = |url: &str| Origin::parse(url).map(|o| (o.is_tls, o.host, o.port, o.authority)).unwrap();
        let owned = |is_tls, host: &str, port, authority: &str| (is_tls, host.to_owned(), port, authority.to_owned());
        assert_eq!(parts("http://127.0.0.1:8000"), owned(false, "127.0.0.1", 8000, "127.0.0.1:8000"));
        assert_eq!(parts("https://Host.example/v1"), owned(true, "host.example", 443, "Host.example"));
        assert_eq!(parts("http://[::1]:81/"), owned(false, "::1", 81, "[::1]:81"));
        assert_eq!(parts("https://h:443"), owned(true, "h", 443, "h"));
    }

    #[test]
    fn bad_urls_say_why_and_keep_secrets() {
        for (url, reason) in [
            ("", "not a URL"),
            ("localhost:8000", "scheme"),
            ("ftp://h", "only http"),
            ("/v1", "scheme"),
            ("http://", "not a URL"),
            ("http://h:99999", "port"),
            ("http://h:0", "port"),
            ("https://user:canary@h/", "credentials"),
        ] {
            let text = Origin::parse(url).unwrap_err().to_string();
            assert!(text.contains(reason) && text.contains("expected a base URL") && !text.contains("canary"), "{url}: {text}");
        }
    }
}
