//! `Fault`: why the control plane refuses, in the documented error body.

use serde_json::{Value, json};

/// A refusal: `{"error_code", "message", "details"}` with its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// HTTP status.
    pub status: u16,
    /// `error_code` of the body.
    pub code: &'static str,
    /// What a person reads.
    pub message: String,
}

impl Fault {
    /// 400: the request itself is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { status: 400, code: "INVALID_PARAMETER_VALUE", message: message.into() }
    }

    /// 400: what was asked does not fit the state of what it was asked of.
    pub fn state(message: impl Into<String>) -> Self {
        Self { status: 400, code: "INVALID_STATE", message: message.into() }
    }

    /// 401: nobody.
    pub fn nobody(message: impl Into<String>) -> Self {
        Self { status: 401, code: "UNAUTHENTICATED", message: message.into() }
    }

    /// 403: somebody who may not.
    pub fn denied(message: impl Into<String>) -> Self {
        Self { status: 403, code: "PERMISSION_DENIED", message: message.into() }
    }

    /// 404.
    pub fn missing(message: impl Into<String>) -> Self {
        Self { status: 404, code: "RESOURCE_DOES_NOT_EXIST", message: message.into() }
    }

    /// 409: there is one of this name.
    pub fn exists(message: impl Into<String>) -> Self {
        Self { status: 409, code: "RESOURCE_ALREADY_EXISTS", message: message.into() }
    }

    /// 409: something else is being done with it.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self { status: 409, code: "RESOURCE_CONFLICT", message: message.into() }
    }

    /// 429 of the workspace: not a sign of the endpoint's capacity.
    pub fn limit(message: impl Into<String>) -> Self {
        Self { status: 429, code: "REQUEST_LIMIT_EXCEEDED", message: message.into() }
    }

    /// The body; `request` numbers it.
    #[must_use]
    pub fn body(&self, request: u64) -> Value {
        let info = json!({ "@type": "type.googleapis.com/google.rpc.RequestInfo", "request_id": format!("{request:08x}"), "serving_data": "" });
        json!({ "error_code": self.code, "message": self.message, "details": [info] })
    }
}
