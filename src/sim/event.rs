//! What goes into the simulated endpoint and what comes out of it.

use crate::base::time::Nanos;

/// A request offered to the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The driver's name for it; unique among open requests.
    pub id: u64,
    /// Prompt tokens.
    pub input_tokens: u32,
    /// Tokens to be produced, at least 1.
    pub output_tokens: u32,
    /// Leading prompt tokens found in the prefix cache: no prefill for them.
    pub cached_tokens: u32,
}

/// The endpoint's first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Waiting or running; events will follow.
    Accepted,
    /// 429: every queue is full.
    Throttled {
        /// When to come back.
        retry_after: Nanos,
    },
    /// 500, drawn with `error_share`.
    Failed,
}

/// How much the endpoint tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Every token: for the live driver and for records with gaps.
    Tokens,
    /// First and last token only: for planning.
    Requests,
}

/// Something that happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Nanos,
    /// To which request.
    pub id: u64,
    /// What.
    pub kind: EventKind,
}

/// What can happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Its first token reached the client.
    FirstToken,
    /// A chunk of further tokens reached the client, so many of them (only with [`Detail::Tokens`]).
    Tokens(u32),
    /// Its last token reached the client at this instant; no more events. Comes after that token's own event.
    Done,
}

/// The number of chunks changed, or a change was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleEvent {
    /// When.
    pub at: Nanos,
    /// Chunks that serve.
    pub ready: u32,
    /// Chunks on their way (asked for, not yet serving).
    pub pending: u32,
}

/// The endpoint at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Chunks that serve.
    pub ready: u32,
    /// Chunks on their way.
    pub pending: u32,
    /// Requests decoding or in prefill.
    pub running: u32,
    /// Requests waiting.
    pub waiting: u32,
}

/// How a client comes back after a 429 or a timeout. Each try is a new offer with a patience of its own; latency counts from the due instant
/// of the first.
///
/// A try is due `backoff * factor^k` after the client learnt how try k (from 0) ended: a 429 after the network's delay, a timeout at its
/// deadline. At one instant tries that come back go before new requests, and among themselves in the order in which they were put off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Further tries after the first, at most.
    pub attempts: u32,
    /// Wait before the first of them.
    pub backoff: Nanos,
    /// What each further wait is multiplied by, 1 or more.
    pub factor: f64,
}

impl Retry {
    /// The wait after try `failed` (from 0); `None` if that was the last.
    #[must_use]
    pub fn wait(&self, failed: u32) -> Option<Nanos> {
        let power = i32::try_from(failed).unwrap_or(i32::MAX);
        (failed < self.attempts).then(|| Nanos::from_secs_f64(self.backoff.as_secs_f64() * self.factor.powi(power)))
    }
}
