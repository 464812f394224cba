//! Answers other than 200, in the words of the API that was called.

use super::ask::AskError;
use super::permit::Exceeded;
use super::workspace::fault::Fault;
use crate::base::time::Nanos;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

/// Whose error bodies are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `{"error": {"message", "type", "param", "code"}}`
    OpenAi,
    /// `{"error_code", "message"}`
    Databricks,
}

/// The words with which Databricks refuses for lack of capacity, as opposed to a limit of the workspace.
const NO_CAPACITY: &str = "Too many concurrent requests. Consider increasing the provisioned concurrency of the served entity.";

/// The words with which Databricks refuses for the parallel requests of the workspace.
const TOO_MANY_IN_PARALLEL: &str = "Exceeded max number of parallel requests. Please contact your Databricks representative to increase the limit.";

/// The same for its requests a second. The words are not documented.
const TOO_MANY_A_SECOND: &str =
    "Exceeded the workspace limit of requests per second. Please contact your Databricks representative to increase the limit.";

/// Why an answer is not 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Ask(AskError),
    TooLong {
        tokens: u64,
        most: u64,
    },
    Throttled {
        retry_after: Nanos,
    },
    Failed,
    NotFound(String),
    WrongMethod,
    Stopping,
    /// A limit of the workspace: no sign of the endpoint's capacity.
    Workspace(Exceeded),
    /// The control plane's own refusal.
    Control(Fault),
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Ask(_) | Self::TooLong { .. } => StatusCode::BAD_REQUEST,
            Self::Throttled { .. } | Self::Workspace(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Control(fault) => StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Ask(error) => error.to_string(),
            Self::TooLong { tokens, most } => format!("input and output are {tokens} tokens together, the maximum context length is {most}"),
            Self::Throttled { .. } => NO_CAPACITY.to_owned(),
            Self::Failed => "The simulated endpoint failed, as its error share asks.".to_owned(),
            Self::NotFound(path) => format!("There is nothing at {path}."),
            Self::WrongMethod => "This path does not take this method.".to_owned(),
            Self::Stopping => "The endpoint is stopping.".to_owned(),
            Self::Workspace(Exceeded::Parallel) => TOO_MANY_IN_PARALLEL.to_owned(),
            Self::Workspace(Exceeded::Rate) => TOO_MANY_A_SECOND.to_owned(),
            Self::Control(fault) => fault.message.clone(),
        }
    }

    fn codes(&self) -> (&'static str, &'static str) {
        match self {
            Self::Ask(_) => ("invalid_request_error", "INVALID_PARAMETER_VALUE"),
            Self::TooLong { .. } => ("context_length_exceeded", "INVALID_PARAMETER_VALUE"),
            Self::Throttled { .. } => ("rate_limit_exceeded", "RESOURCE_EXHAUSTED"),
            Self::Failed => ("server_error", "INTERNAL_ERROR"),
            Self::NotFound(_) => ("not_found_error", "RESOURCE_DOES_NOT_EXIST"),
            Self::WrongMethod => ("invalid_request_error", "BAD_REQUEST"),
            Self::Stopping => ("server_error", "TEMPORARILY_UNAVAILABLE"),
            Self::Workspace(_) => ("rate_limit_exceeded", "REQUEST_LIMIT_EXCEEDED"),
            Self::Control(fault) => ("invalid_request_error", fault.code),
        }
    }

    fn body(&self, dialect: Dialect) -> Value {
        let (openai, databricks) = self.codes();
        match dialect {
            Dialect::Databricks => json!({ "error_code": databricks, "message": self.message() }),
            Dialect::OpenAi => {
                let param = if let Self::Ask(error) = self { error.member() } else { None };
                json!({ "error": { "message": self.message(), "type": openai, "param": param, "code": self.status().as_u16() } })
            }
        }
    }

    /// The answer on the wire. `Retry-After` is in whole seconds, rounded up, at least 1.
    pub(super) fn response(&self, dialect: Dialect) -> Response<Body> {
        let mut response = json_response(self.status(), &self.body(dialect));
        let wait = match self {
            Self::Throttled { retry_after } => Some(*retry_after),
            Self::Workspace(_) => Some(Nanos::from_secs(1)),
            _ => None,
        };
        if let Some(wait) = wait {
            let seconds = wait.0.div_ceil(1_000_000_000).max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A JSON answer.
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_429_says_when_to_come_back_in_both_dialects() {
        let refusal = Refusal::Throttled { retry_after: Nanos::from_millis(1200) };
        for (dialect, pointer) in [(Dialect::OpenAi, "/error/message"), (Dialect::Databricks, "/message")] {
            let response = refusal.response(dialect);
            assert_eq!(response.status(), 429);
            assert_eq!(response.headers()[header::RETRY_AFTER], "2");
            assert_eq!(refusal.body(dialect).pointer(pointer).unwrap(), NO_CAPACITY);
        }
    }

    #[test]
    fn a_missing_member_is_named() {
        let body = Refusal::Ask(AskError::Missing { member: "messages" }).body(Dialect::OpenAi);
        assert_eq!(body["error"]["param"], "messages");
        assert_eq!(body["error"]["code"], 400);
    }
}
