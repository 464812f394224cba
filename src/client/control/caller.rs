//! One host over reqwest: no redirects, no proxy unless asked for, trust as for the hot path, answers of bounded size.

use crate::client::auth::{Secret, struck_out};
use crate::client::origin::{BadUrl, Origin};
use crate::client::tls;
use crate::protocol::failure::one_line;
use crate::protocol::openai;
use crate::scenario::target::{HttpVersion, Tls};
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Longest wait for one answer of the control plane.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer, at most.
const ANSWER_LIMIT: usize = 4 << 20;

/// Why the control plane gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target has no URL.
    #[error("target.url is missing\n  expected a base URL, e.g. \"http://127.0.0.1:8000\"")]
    NoUrl,
    /// The URL cannot be used.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// Trust or client certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// No connection.
    #[error("{url}: {what} ({reason})\n  expected {expected}\nhint: {hint}")]
    Unreachable {
        /// Where to.
        url: String,
        /// What happened, in words.
        what: &'static str,
        /// What the system said.
        reason: String,
        /// What should be there.
        expected: &'static str,
        /// One thing to try.
        hint: &'static str,
    },
    /// 401 or 403.
    #[error(
        "{url}: status {status}: {message}\n  expected a token that may query this endpoint; {sent}\nhint: set target.auth = {{ bearer_env = \"NAME\" }} and export NAME"
    )]
    Unauthorized {
        /// Where to.
        url: String,
        /// 401 or 403.
        status: u16,
        /// What the endpoint said.
        message: String,
        /// Whether a token went along.
        sent: &'static str,
    },
    /// 404.
    #[error("{url}: status 404: {message}\n  expected {expected}\nhint: {hint}")]
    NotFound {
        /// Where to.
        url: String,
        /// What the endpoint said.
        message: String,
        /// What should be there.
        expected: &'static str,
        /// One thing to try.
        hint: &'static str,
    },
    /// Another status than the ones that mean it is there.
    #[error("{url}: status {status}: {message}\n  expected status 200\nhint: look at the server's own log")]
    Refused {
        /// Where to.
        url: String,
        /// The status.
        status: u16,
        /// What the endpoint said.
        message: String,
    },
    /// An answer that is not what the API promises.
    #[error("{url}: this is not an answer of this API: {reason}\n  expected {expected}")]
    Unexpected {
        /// Where to.
        url: String,
        /// What the parser said, with the start of the answer.
        reason: String,
        /// What should have come.
        expected: &'static str,
    },
}

/// Bytes of a secret that is looked for in answers, at least.
const SHORTEST_SECRET: usize = 10;

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) url: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What came, with every secret that was sent struck out.
    pub(crate) body: Vec<u8>,
    /// Whether a token went along.
    pub(crate) had_token: bool,
}

impl Reply {
    /// The `server` header.
    pub(crate) fn server(&self) -> Option<String> {
        self.headers.get(http::header::SERVER).map(|value| one_line(value.as_bytes()))
    }

    /// The endpoint's own words.
    pub(crate) fn words(&self) -> String {
        let words = one_line(&self.body);
        if words.is_empty() { "empty body".to_owned() } else { words }
    }
}

/// What a request carries beside its path.
#[derive(Clone, Copy)]
pub(crate) enum Cargo<'a> {
    /// Nothing.
    Empty,
    /// A JSON document.
    Json(&'a Value),
    /// A form and who sends it, as OAuth asks for a token: user name and password go into `Authorization: Basic`.
    Form {
        /// `key=value&...`, encoded.
        form: &'static str,
        /// User name.
        user: &'a str,
        /// Password.
        password: &'a Secret,
    },
}

/// A caller of one host.
#[derive(Clone)]
pub(crate) struct Caller {
    http: reqwest::Client,
    token: Option<Secret>,
}

impl Caller {
    /// A caller of the host of `base_url`; `proxy` is the URL of a proxy, which is never taken from the environment.
    pub(crate) fn new(base_url: &str, trust: &Tls, base_dir: &Path, proxy: Option<&str>) -> Result<Self, Error> {
        let refuse = |fault: reqwest::Error| Error::Unexpected { url: base_url.to_owned(), reason: chain(&fault), expected: "a client" };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(openai::USER_AGENT)
            .connect_timeout(PATIENCE / 3)
            .timeout(PATIENCE);
        if let Some(proxy) = proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(refuse)?);
        }
        builder = if Origin::parse(base_url)?.is_tls {
            builder.tls_backend_preconfigured(tls::config(trust, base_dir, HttpVersion::Http1)?)
        } else {
            install_provider();
            // No TLS is spoken, so no root of the system is read.
            builder.tls_certs_only([])
        };
        Ok(Self { http: builder.build().map_err(refuse)?, token: None })
    }

    /// The same caller with a bearer token, or without one.
    pub(crate) fn with_token(&self, token: Option<&Secret>) -> Self {
        Self { http: self.http.clone(), token: token.cloned() }
    }

    pub(crate) async fn get(&self, url: String) -> Result<Reply, Error> {
        self.send(Method::GET, url, &[], Cargo::Empty).await
    }

    /// Sends one request, once. Any status is a reply.
    pub(crate) async fn send(&self, method: Method, url: String, headers: &[(&'static str, &str)], cargo: Cargo<'_>) -> Result<Reply, Error> {
        let mut request = self.http.request(method, &url).header(http::header::ACCEPT, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        request = match cargo {
            Cargo::Empty => request,
            Cargo::Json(document) => request.json(document),
            Cargo::Form { form, user, password } => {
                request.header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded").basic_auth(user, Some(password.expose())).body(form)
            }
        };
        let mut answer = request.send().await.map_err(|fault| unreachable(&url, &fault))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|fault| unreachable(&url, &fault))? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_LIMIT {
                return Err(Error::Unexpected { url, reason: format!("longer than {ANSWER_LIMIT} bytes"), expected: "a short document" });
            }
        }
        let struck = self.token.iter().chain(match cargo {
            Cargo::Form { password, .. } => Some(password),
            _ => None,
        });
        // A word as short as a key of a document would be struck out of the document's own words; no real secret is.
        for secret in struck.filter(|secret| secret.expose().len() >= SHORTEST_SECRET) {
            body = without(body, secret);
        }
        Ok(Reply { url, status, headers, body, had_token: self.token.is_some() })
    }
}

/// `body` without `secret`, which an endpoint may repeat.
fn without(body: Vec<u8>, secret: &Secret) -> Vec<u8> {
    let secret_bytes = secret.expose().as_bytes();
    if secret_bytes.is_empty() || !body.windows(secret_bytes.len()).any(|window| window == secret_bytes) {
        return body;
    }
    struck_out(&String::from_utf8_lossy(&body), secret).into_bytes()
}

/// reqwest asks for a process-wide provider even where no TLS is spoken.
fn install_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing a race against another thread that installs the same provider is as good as winning it.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

fn unreachable(url: &str, fault: &reqwest::Error) -> Error {
    let reason = chain(fault);
    let lower = reason.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let (what, expected, hint) = if says(&["certificate", "tls", "handshake", "corrupt message", "alert"]) {
        (
            "TLS was refused",
            "a certificate made out to this host by an authority this machine trusts",
            "name the authority in target.tls.ca; if the server speaks plain HTTP, write http:// in target.url",
        )
    } else if fault.is_timeout() {
        ("no answer in time", "a server that answers", "look for a firewall between this machine and the host")
    } else if says(&["dns", "lookup", "name or service", "resolve"]) {
        (
            "there is no host of this name",
            "a host name that this machine can resolve",
            "look for a typing error in the host of target.url, DATABRICKS_HOST, --url or --proxy",
        )
    } else if says(&["refused"]) {
        (
            "connection refused",
            "a server that listens there",
            "start the server, or look at the port in target.url, DATABRICKS_HOST, --url or --proxy",
        )
    } else {
        (
            "the connection failed",
            "an HTTP/1.1 server",
            "look at host and port in target.url, DATABRICKS_HOST, --url or --proxy, and at the server's own log",
        )
    };
    Error::Unreachable { url: url.to_owned(), what, reason, expected, hint }
}

/// The innermost cause, which says what happened; what stands around it repeats the URL.
fn chain(fault: &(dyn std::error::Error + 'static)) -> String {
    let mut words: Vec<String> = std::iter::successors(Some(fault), |fault| fault.source()).map(ToString::to_string).skip(1).collect();
    words.dedup();
    if words.is_empty() { fault.to_string() } else { words.join(": ") }
}
