//! Is the endpoint there? The one question before any load, over reqwest, off the hot path.
//!
//! Every refusal is an `Error` whose text says what, where, what was expected, and one thing to try.

pub(crate) mod caller;

use super::auth::Secret;
use super::origin::Origin;
use crate::protocol::openai::{self, percent_encoded};
use crate::scenario::target::{Api, Target};
use caller::{Caller, Reply};
use http::StatusCode;
use serde_json::Value;
use std::path::Path;

pub use caller::Error;

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

/// Whether the target is there and lets us in, without sending it any work: `/v1/models` of an OpenAI-compatible server, or, where that is
/// missing, the request path itself, which need not allow GET; the endpoint's description for Databricks.
pub async fn probe(target: &Target, base_dir: &Path, token: Option<&Secret>) -> Result<Reachability, Error> {
    let url = target.url.as_deref().ok_or(Error::NoUrl)?;
    let origin = Origin::parse(url)?;
    let caller = Caller::new(url, &target.tls, base_dir, None)?.with_token(token);
    let root = format!("{}://{}", if origin.is_tls { "https" } else { "http" }, origin.authority);
    let prefix = openai::base_path(target);
    match target.api {
        Api::Openai => {
            let prefix = prefix.strip_suffix("/v1").unwrap_or(&prefix);
            let reply = caller.get(format!("{root}{prefix}/v1/models")).await?;
            if reply.status == StatusCode::NOT_FOUND || target.path.is_some() && reply.status.is_client_error() {
                return probe_path(&caller, format!("{root}{}", openai::path(target))).await;
            }
            let reply = accepted(reply, "an OpenAI-compatible server", "look at the path of target.url")?;
            let document: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let ids = document["data"].as_array().into_iter().flatten().filter_map(|model| model["id"].as_str());
            let models = ids.map(str::to_owned).collect();
            Ok(Reachability { status: reply.status.as_u16(), server: reply.server(), url: reply.url, models, ready: None })
        }
        Api::Databricks => {
            let prefix = prefix.strip_suffix("/serving-endpoints").unwrap_or(&prefix);
            let name = percent_encoded(target.endpoint.as_deref().unwrap_or(&target.model));
            let reply = caller.get(format!("{root}{prefix}/api/2.0/serving-endpoints/{name}")).await?;
            let reply = accepted(reply, "a serving endpoint of this name", "look at target.endpoint and at the workspace in target.url")?;
            let document: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let ready = document["state"]["ready"].as_str().map(str::to_owned);
            Ok(Reachability { status: reply.status.as_u16(), server: reply.server(), url: reply.url, models: Vec::new(), ready })
        }
    }
}

/// Any answer but 401, 403, 404 and 5xx shows that the path exists: most servers answer 405 to a GET.
async fn probe_path(caller: &Caller, url: String) -> Result<Reachability, Error> {
    let reply = caller.get(url).await?;
    let status = reply.status.as_u16();
    let is_there = !matches!(status, 300..=399 | 401 | 403 | 404 | 500..);
    let reply = if is_there { reply } else { accepted(reply, "the path of the task", "look at target.url, target.api and target.path")? };
    Ok(Reachability { status, server: reply.server(), url: reply.url, ..Reachability::default() })
}

/// The reply if its status means that what was asked for is there.
fn accepted(reply: Reply, expected: &'static str, hint: &'static str) -> Result<Reply, Error> {
    let message = reply.words();
    let Reply { url, status, .. } = &reply;
    let (url, status) = (url.clone(), status.as_u16());
    match status {
        200..=299 => Ok(reply),
        401 | 403 => {
            let sent = if reply.had_token { "the one that was sent is not" } else { "none was sent" };
            Err(Error::Unauthorized { url, status, message, sent })
        }
        404 => Err(Error::NotFound { url, message, expected, hint }),
        _ => Err(Error::Refused { url, status, message }),
    }
}
