//! Why the control plane did not do it: by class, with one thing to try.

use super::auth;
use crate::client::control;
use crate::protocol::databricks::refusal::Refusal;
use std::time::Duration;

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or an answer that is none.
    #[error(transparent)]
    Call(#[from] control::Error),
    /// No workspace or no credentials.
    #[error(transparent)]
    Login(#[from] auth::Error),
    /// No token.
    #[error(transparent)]
    Token(#[from] auth::token::Error),
    /// The server refused.
    #[error(transparent)]
    Refused(Box<Refused>),
    /// A model without a version that can be deployed.
    #[error(
        "{model}: none of its {versions} versions is ready ({pending} are still being registered)\n  expected a version with status READY\nhint: register one with mlflow.register_model, or wait for its registration"
    )]
    NoReadyVersion {
        /// The model.
        model: String,
        /// How many versions it has.
        versions: usize,
        /// Those on their way.
        pending: usize,
    },
}

/// A refusal of the server.
#[derive(Debug, thiserror::Error)]
#[error("{method} {url}: status {status}: {}\n  {}\nhint: {hint}", refusal.words(), class.words())]
pub struct Refused {
    /// What was done.
    pub method: String,
    /// Where.
    pub url: String,
    /// The status.
    pub status: u16,
    /// What kind of refusal it is.
    pub class: Class,
    /// When to come again, as the server asks.
    pub retry_after: Option<Duration>,
    /// What the server said.
    pub refusal: Refusal,
    /// One thing to try.
    pub hint: String,
}

impl Error {
    pub(super) fn unexpected(url: &str, reason: String, expected: &'static str) -> Self {
        Self::Call(control::Error::Unexpected { url: url.to_owned(), reason, expected })
    }

    /// The class of a refusal.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Refused(refused) => Some(refused.class),
            _ => None,
        }
    }
}

/// What a request was about: the hints differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A registered model.
    Model,
    /// An endpoint that is there.
    Endpoint,
    /// A new endpoint.
    Creation,
    /// The workspace itself.
    Workspace,
}

/// A kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 401: nobody knows who asks.
    Unauthenticated,
    /// 403: who asks may not.
    Forbidden,
    /// 404: there is no such thing.
    NotFound,
    /// 409 `RESOURCE_ALREADY_EXISTS`.
    Exists,
    /// Another change is under way.
    Busy,
    /// 400: the request is wrong.
    Invalid,
    /// 429: too many requests.
    Throttled,
    /// 504: nothing came in time.
    TimedOut,
    /// Another 5xx.
    Server,
    /// A page for people, or a redirect: this is not the API.
    NotTheApi,
    /// Another status.
    Other,
}

impl Class {
    pub(super) fn of(status: u16, refusal: &Refusal, is_html: bool) -> Self {
        let message = refusal.message.to_ascii_lowercase();
        let is_busy = refusal.error_code == "ABORTED"
            || ["being updated", "update in progress", "in progress", "currently updating"].iter().any(|words| message.contains(words));
        match status {
            401 => Self::Unauthenticated,
            403 => Self::Forbidden,
            404 if !is_html => Self::NotFound,
            409 if refusal.error_code == "RESOURCE_ALREADY_EXISTS" || message.contains("already exists") => Self::Exists,
            409 => Self::Busy,
            400 if refusal.error_code == "RESOURCE_ALREADY_EXISTS" => Self::Exists,
            400 if is_busy => Self::Busy,
            400 => Self::Invalid,
            429 => Self::Throttled,
            504 => Self::TimedOut,
            500..=599 => Self::Server,
            200..=399 | 404 => Self::NotTheApi,
            _ => Self::Other,
        }
    }

    /// What was expected, in words.
    const fn words(self) -> &'static str {
        match self {
            Self::Unauthenticated => "expected a token that the workspace knows",
            Self::Forbidden => "expected a token with the permission for this",
            Self::NotFound => "expected the name of something that is there",
            Self::Exists => "expected a name that is not taken",
            Self::Busy => "expected no other change under way: an endpoint takes one at a time",
            Self::Invalid => "expected a request that the server accepts",
            Self::Throttled => "expected fewer requests to the control plane, of all its users together",
            Self::TimedOut => "expected an answer in time; whether it was carried out is not known",
            Self::Server => "expected an answer; the fault is on the server's side",
            Self::NotTheApi => "expected an answer of the API in JSON",
            Self::Other => "expected status 200",
        }
    }

    pub(super) fn hint(self, asked: Asked, refusal: &Refusal, login: &str) -> String {
        let message = refusal.message.to_ascii_lowercase();
        let hint = match (self, asked) {
            (Self::Unauthenticated, _) => {
                return format!("{login}; it may have ended (tokens of a login live an hour), been revoked, or belong to another workspace");
            }
            (Self::Forbidden, Asked::Model) => "the model needs EXECUTE, USE CATALOG and USE SCHEMA in Unity Catalog",
            (Self::Forbidden, Asked::Creation) => {
                "creating endpoints needs the entitlement of the workspace, and EXECUTE on the model in Unity Catalog"
            }
            (Self::Forbidden, _) => "looking needs CAN_VIEW on the endpoint, changing and deleting need CAN_MANAGE",
            (Self::NotFound, Asked::Model) => {
                "models are named catalog.schema.name; a model that you may not see (EXECUTE, USE CATALOG, USE SCHEMA) looks as if it were not there"
            }
            (Self::NotFound, _) => "`plimsoll endpoint list` shows the names of this workspace",
            (Self::Exists, _) => "`plimsoll endpoint resize` changes it, `plimsoll endpoint delete` takes it away",
            (Self::Busy, _) => "`plimsoll endpoint wait NAME` follows the other change; then try again (calling one off is possible in the UI alone)",
            (Self::Invalid, _) if message.contains("not eligible for provisioned throughput") => {
                "this model is sold in model units, not in tokens per second: `plimsoll endpoint info MODEL` tells; then create with --model-units"
            }
            (Self::Invalid, _) if message.contains("multiple") || message.contains("increment") => "`plimsoll endpoint info MODEL` tells the chunk",
            (Self::Invalid, _) if message.contains("stopped") => "start the endpoint in the UI",
            (Self::Invalid, _) => "--dry-run prints the exact request",
            (Self::Throttled, _) => "try again in a minute",
            (Self::TimedOut, _) => "look with `plimsoll endpoint status NAME` before trying again",
            (Self::Server, _) => "try again in some minutes; status.databricks.com tells of outages",
            (Self::NotTheApi, _) => {
                "look at the URL: it must be the workspace's own, e.g. https://my-workspace.cloud.databricks.com, reached without a proxy that asks people to log in"
            }
            (Self::Other, _) => "look at what the server said",
        };
        hint.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, body: &str) -> Class {
        Class::of(status, &Refusal::read(body.as_bytes()), body.starts_with('<'))
    }

    #[test]
    fn every_class_is_told_apart() {
        for (status, body, expected) in [
            (401, "", Class::Unauthenticated),
            (403, r#"{"error_code":"PERMISSION_DENIED"}"#, Class::Forbidden),
            (404, r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"x"}"#, Class::NotFound),
            (404, "<html>", Class::NotTheApi),
            (409, r#"{"error_code":"RESOURCE_ALREADY_EXISTS","message":"x"}"#, Class::Exists),
            (400, r#"{"error_code":"RESOURCE_ALREADY_EXISTS","message":"x"}"#, Class::Exists),
            (409, r#"{"error_code":"RESOURCE_CONFLICT","message":"x"}"#, Class::Busy),
            (400, r#"{"error_code":"INVALID_STATE","message":"Endpoint is being updated"}"#, Class::Busy),
            (400, r#"{"error_code":"INVALID_PARAMETER_VALUE","message":"x"}"#, Class::Invalid),
            (429, "", Class::Throttled),
            (500, "<html>", Class::Server),
            (503, "", Class::Server),
            (504, "", Class::TimedOut),
            (302, "", Class::NotTheApi),
            (200, "<html>login</html>", Class::NotTheApi),
            (418, "", Class::Other),
        ] {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn the_wrong_product_is_told_what_to_do() {
        let refusal = Refusal::read(br#"{"error_code":"INVALID_PARAMETER_VALUE","message":"Served entity system.ai.gpt-oss-120b is not eligible for Provisioned Throughput."}"#);
        assert!(Class::Invalid.hint(Asked::Creation, &refusal, "").contains("--model-units"));
    }
}
