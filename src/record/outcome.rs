//! `Outcome`: how a request ended. A remote failure is data, never an `Err`.

use serde::{Deserialize, Serialize};

/// How a request ended. The accounting identity counts the seven groups of [`Outcome::group`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A complete, well-formed answer.
    Ok,
    /// 429 of the endpoint's own capacity.
    ThrottledCapacity,
    /// 429 of a limit of the workspace, the account or the user.
    ThrottledLimit,
    /// The client gave up: no connection in time.
    TimeoutConnect,
    /// The client gave up: no first byte in time.
    TimeoutFirstByte,
    /// The client gave up: silence inside the answer.
    TimeoutIdle,
    /// The client gave up: total time.
    TimeoutTotal,
    /// Due and not sent: `max_in_flight` requests were open, or the client was too far behind.
    Shed,
    /// Stopped by the user.
    Cancelled,
    /// Connection refused, reset, or name not found.
    Unreachable,
    /// TLS refused.
    Tls,
    /// 401 or 403.
    Unauthorized,
    /// 404.
    NotFound,
    /// Another 4xx.
    BadRequest,
    /// 5xx.
    ServerError,
    /// Status 200, and an error object inside the answer.
    InBandError,
    /// The answer ended in the middle: neither `[DONE]` nor a finish reason.
    Truncated,
    /// Not what the protocol says: wrong content type, bad JSON, wrong embedding dimension.
    Malformed,
    /// A complete answer without a single token.
    Empty,
    /// A redirect; never followed.
    Redirect,
    /// No complete answer by the end of the drain.
    Unfinished,
}

/// The terms of the accounting identity: due = ok + failed + throttled + timed out + shed + cancelled (+ in flight, while running).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Complete answers.
    Ok,
    /// Errors of any kind.
    Failed,
    /// 429.
    Throttled,
    /// Given up by the client.
    TimedOut,
    /// Not sent for lack of a slot.
    Shed,
    /// Stopped.
    Cancelled,
}

impl Outcome {
    /// The group that the accounting identity counts this outcome in.
    #[must_use]
    pub const fn group(self) -> Group {
        match self {
            Self::Ok => Group::Ok,
            Self::ThrottledCapacity | Self::ThrottledLimit => Group::Throttled,
            Self::TimeoutConnect | Self::TimeoutFirstByte | Self::TimeoutIdle | Self::TimeoutTotal | Self::Unfinished => Group::TimedOut,
            Self::Shed => Group::Shed,
            Self::Cancelled => Group::Cancelled,
            Self::Unreachable
            | Self::Tls
            | Self::Unauthorized
            | Self::NotFound
            | Self::BadRequest
            | Self::ServerError
            | Self::InBandError
            | Self::Truncated
            | Self::Malformed
            | Self::Empty
            | Self::Redirect => Group::Failed,
        }
    }

    /// Stable name, as in every file this tool writes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ThrottledCapacity => "throttled_capacity",
            Self::ThrottledLimit => "throttled_limit",
            Self::TimeoutConnect => "timeout_connect",
            Self::TimeoutFirstByte => "timeout_first_byte",
            Self::TimeoutIdle => "timeout_idle",
            Self::TimeoutTotal => "timeout_total",
            Self::Shed => "shed",
            Self::Cancelled => "cancelled",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::BadRequest => "bad_request",
            Self::ServerError => "server_error",
            Self::InBandError => "in_band_error",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::Redirect => "redirect",
            Self::Unfinished => "unfinished",
        }
    }
}
