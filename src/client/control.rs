//! Control plane over reqwest: what one chunk is (get-model-optimization-info), is the endpoint there.
//!
//! Off the hot path and before any load: every refusal is an `Error` whose text says what, where, what was expected, and one thing to try.

use super::auth::Secret;
use super::origin::{BadUrl, Origin};
use super::tls;
use crate::protocol::failure::one_line;
use crate::protocol::openai::{self, percent_encoded};
use crate::scenario::target::{Api, HttpVersion, Target, Tls};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Longest wait for one answer of the control plane.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer, at most.
const ANSWER_LIMIT: usize = 4 << 20;

/// What one chunk of provisioned throughput of a model is, as the API says. Which key is there depends on the model's product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizationInfo {
    /// Whether the model can be served with provisioned throughput; absent means no.
    #[serde(default)]
    pub optimizable: bool,
    /// Family of the model, for example `llama`.
    #[serde(default)]
    pub model_type: Option<String>,
    /// Tokens per second of one chunk.
    #[serde(default)]
    pub throughput_chunk_size: Option<f64>,
    /// Model units of one chunk, for models that are sold by units.
    #[serde(default)]
    pub model_unit_chunk_size: Option<f64>,
    /// Why it is not optimizable.
    #[serde(default)]
    pub message: Option<String>,
}

/// What is known of an endpoint before load starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reachability {
    /// The URL that answered.
    pub url: String,
    /// Its status.
    pub status: u16,
    /// The `server` header.
    pub server: Option<String>,
    /// Models it says it has; empty if it does not say.
    pub models: Vec<String>,
    /// State of a Databricks endpoint, for example `READY`.
    pub ready: Option<String>,
}

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

/// One answer of the control plane.
struct Reply {
    url: String,
    status: StatusCode,
    server: Option<String>,
    body: Vec<u8>,
}

/// A caller of one host: no proxy, no redirects, trust as for the hot path.
struct Caller<'a> {
    http: reqwest::Client,
    token: Option<&'a Secret>,
}

impl<'a> Caller<'a> {
    fn new(base_url: &str, trust: &Tls, base_dir: &Path, token: Option<&'a Secret>) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(openai::USER_AGENT)
            .connect_timeout(PATIENCE / 3)
            .timeout(PATIENCE);
        builder = if Origin::parse(base_url)?.is_tls {
            builder.tls_backend_preconfigured(tls::config(trust, base_dir, HttpVersion::Http1)?)
        } else {
            install_provider();
            // No TLS is spoken, so no root of the system is read.
            builder.tls_certs_only([])
        };
        let refuse = |fault: reqwest::Error| Error::Unexpected { url: base_url.to_owned(), reason: chain(&fault), expected: "a client" };
        Ok(Self { http: builder.build().map_err(refuse)?, token })
    }

    async fn get(&self, url: String) -> Result<Reply, Error> {
        let mut request = self.http.request(Method::GET, &url).header(http::header::ACCEPT, "application/json");
        if let Some(token) = self.token {
            request = request.bearer_auth(token.expose());
        }
        let mut answer = request.send().await.map_err(|fault| unreachable(&url, &fault))?;
        let status = answer.status();
        let server = answer.headers().get(http::header::SERVER).map(|value| one_line(value.as_bytes()));
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|fault| unreachable(&url, &fault))? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_LIMIT {
                return Err(Error::Unexpected { url, reason: format!("longer than {ANSWER_LIMIT} bytes"), expected: "a short JSON document" });
            }
        }
        Ok(Reply { url, status, server, body })
    }

    /// The endpoint's own words, without the token that it may repeat.
    fn words(&self, reply: &Reply) -> String {
        let words = one_line(&reply.body);
        let words = self.token.map_or_else(|| words.clone(), |token| words.replace(token.expose(), "***"));
        if words.is_empty() { "empty body".to_owned() } else { words }
    }

    /// The reply if its status means that what was asked for is there.
    fn accepted(&self, reply: Reply, expected: &'static str, hint: &'static str) -> Result<Reply, Error> {
        let message = self.words(&reply);
        let Reply { url, status, .. } = &reply;
        let (url, status) = (url.clone(), status.as_u16());
        match status {
            200..=299 => Ok(reply),
            401 | 403 => {
                let sent = if self.token.is_some() { "the one that was sent is not" } else { "none was sent" };
                Err(Error::Unauthorized { url, status, message, sent })
            }
            404 => Err(Error::NotFound { url, message, expected, hint }),
            _ => Err(Error::Refused { url, status, message }),
        }
    }
}

/// What one chunk of `model` (`catalog.schema.name`) in `version` is, from a Databricks workspace at `base_url`.
///
/// A model that cannot be served with provisioned throughput is an `Ok` with `optimizable` false and the API's reason in `message`.
pub async fn chunk_size(base_url: &str, model: &str, version: &str, token: Option<&Secret>) -> Result<OptimizationInfo, Error> {
    let caller = Caller::new(base_url, &Tls::default(), Path::new(""), token)?;
    let base = base_url.trim().trim_end_matches('/').trim_end_matches("/serving-endpoints");
    let (model, version) = (percent_encoded(model), percent_encoded(version));
    let reply = caller.get(format!("{base}/api/2.0/serving-endpoints/get-model-optimization-info/{model}/{version}")).await?;
    let reply = caller.accepted(
        reply,
        "a registered model and one of its versions",
        "models are named catalog.schema.name; `databricks model-versions list NAME` lists versions",
    )?;
    serde_json::from_slice(&reply.body).map_err(|fault| Error::Unexpected {
        url: reply.url.clone(),
        reason: format!("{fault}; received: {}", caller.words(&reply)),
        expected: "a JSON object with optimizable and a chunk size",
    })
}

/// Whether the target is there and lets us in, without sending it any work: `/v1/models` of an OpenAI-compatible server, or, where that is
/// missing, the request path itself, which need not allow GET; the endpoint's description for Databricks.
pub async fn probe(target: &Target, base_dir: &Path, token: Option<&Secret>) -> Result<Reachability, Error> {
    let url = target.url.as_deref().ok_or(Error::NoUrl)?;
    let origin = Origin::parse(url)?;
    let caller = Caller::new(url, &target.tls, base_dir, token)?;
    let root = format!("{}://{}", if origin.is_tls { "https" } else { "http" }, origin.authority);
    let prefix = openai::base_path(target);
    match target.api {
        Api::Openai => {
            let prefix = prefix.strip_suffix("/v1").unwrap_or(&prefix);
            let reply = caller.get(format!("{root}{prefix}/v1/models")).await?;
            if reply.status == StatusCode::NOT_FOUND || target.path.is_some() && reply.status.is_client_error() {
                return probe_path(&caller, format!("{root}{}", openai::path(target))).await;
            }
            let reply = caller.accepted(reply, "an OpenAI-compatible server", "look at the path of target.url")?;
            let document: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let ids = document["data"].as_array().into_iter().flatten().filter_map(|model| model["id"].as_str());
            let models = ids.map(str::to_owned).collect();
            Ok(Reachability { url: reply.url, status: reply.status.as_u16(), server: reply.server, models, ready: None })
        }
        Api::Databricks => {
            let prefix = prefix.strip_suffix("/serving-endpoints").unwrap_or(&prefix);
            let name = percent_encoded(target.endpoint.as_deref().unwrap_or(&target.model));
            let reply = caller.get(format!("{root}{prefix}/api/2.0/serving-endpoints/{name}")).await?;
            let reply = caller.accepted(reply, "a serving endpoint of this name", "look at target.endpoint and at the workspace in target.url")?;
            let document: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let ready = document["state"]["ready"].as_str().map(str::to_owned);
            Ok(Reachability { url: reply.url, status: reply.status.as_u16(), server: reply.server, models: Vec::new(), ready })
        }
    }
}

/// Any answer but 401, 403, 404 and 5xx shows that the path exists: most servers answer 405 to a GET.
async fn probe_path(caller: &Caller<'_>, url: String) -> Result<Reachability, Error> {
    let reply = caller.get(url).await?;
    let status = reply.status.as_u16();
    let is_there = !matches!(status, 300..=399 | 401 | 403 | 404 | 500..);
    let reply = if is_there { reply } else { caller.accepted(reply, "the path of the task", "look at target.url, target.api and target.path")? };
    Ok(Reachability { url: reply.url, status, server: reply.server, ..Reachability::default() })
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
        ("there is no host of this name", "a host name that this machine can resolve", "look for a typing error in target.url")
    } else if says(&["refused"]) {
        ("connection refused", "a server that listens there", "start the server, or look at the port in target.url")
    } else {
        ("the connection failed", "an HTTP/1.1 server", "look at host and port in target.url, and at the server's own log")
    };
    Error::Unreachable { url: url.to_owned(), what, reason, expected, hint }
}

/// The innermost cause, which says what happened; what stands around it repeats the URL.
fn chain(fault: &(dyn std::error::Error + 'static)) -> String {
    let mut words: Vec<String> = std::iter::successors(Some(fault), |fault| fault.source()).map(ToString::to_string).skip(1).collect();
    words.dedup();
    if words.is_empty() { fault.to_string() } else { words.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_of_both_products_are_read() {
        let read = |text: &str| serde_json::from_str::<OptimizationInfo>(text).unwrap();
        let llama = read(r#"{"optimizable":true,"model_type":"llama","throughput_chunk_size":1580}"#);
        assert_eq!((llama.optimizable, llama.throughput_chunk_size, llama.model_unit_chunk_size), (true, Some(1580.0), None));
        let units = read(r#"{"optimizable":true,"model_unit_chunk_size":50,"new":[]}"#);
        assert_eq!((units.model_unit_chunk_size, units.model_type), (Some(50.0), None));
        let refused = read(r#"{"error_code":"X","message":"not supported"}"#);
        assert_eq!((refused.optimizable, refused.message.as_deref()), (false, Some("not supported")));
    }
}
