//! `RequestRecord`: everything that is known of one request. All instants count from the start of the load.

use super::outcome::Outcome;
use crate::base::time::Nanos;
use serde::{Deserialize, Serialize};

/// The part of a run that an arrival belongs to, by its intended instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Outside every figure.
    Warmup,
    /// Inside the measured window.
    Measure,
}

impl Phase {
    /// Stable name, as in every file this tool writes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warmup => "warmup",
            Self::Measure => "measure",
        }
    }
}

/// Where the number of output tokens comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// The server's `usage`.
    Usage,
    /// Our tokenizer over the text received.
    Tokenizer,
    /// One per content chunk: a guess, flagged.
    Chunks,
    /// Nothing was received.
    None,
}

impl TokenSource {
    /// Stable name, as in every file this tool writes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Tokenizer => "tokenizer",
            Self::Chunks => "chunks",
            Self::None => "none",
        }
    }
}

/// One content chunk: its gap to the one before (to the first token for the first one: 0) and its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkStamp {
    /// Nanoseconds since the chunk before.
    pub gap: u64,
    /// Tokens it carried; rescaled to the server's `usage` only in sums, never here.
    pub tokens: u32,
}

/// Token usage as the server reported it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// `prompt_tokens`, chat template included.
    pub prompt: u32,
    /// `completion_tokens`, reasoning included.
    pub completion: u32,
    /// `prompt_tokens_details.cached_tokens`.
    pub cached: Option<u32>,
    /// `completion_tokens_details.reasoning_tokens`.
    pub reasoning: Option<u32>,
}

/// Observations that do not fail a request and yet must be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// The stream ended without `[DONE]` (but with a finish reason).
    pub missing_done: bool,
    /// No usage although it was asked for.
    pub missing_usage: bool,
    /// Output tokens differ from what was asked for.
    pub length_mismatch: bool,
    /// An embedding that is not of length 1.
    pub not_normalised: bool,
    /// Log probabilities were asked for and absent.
    pub missing_logprobs: bool,
    /// The connection had carried a request before.
    pub reused_connection: bool,
}

/// One request, from its place in the schedule to its end. Duration metrics are methods, so that they are defined once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Place in the schedule.
    pub seq: u64,
    /// Session number and turn (from 0), for multi-turn load.
    pub session: Option<(u64, u32)>,
    /// By the intended instant.
    pub phase: Phase,
    /// When the schedule said it should go out.
    pub intended: Nanos,
    /// When writing it began; `None`: never sent.
    pub sent: Option<Nanos>,
    /// TCP connect, zero on a reused connection.
    pub connect: Nanos,
    /// TLS handshake, zero without TLS or on a reused connection.
    pub tls: Nanos,
    /// HTTP/2: from `sent` to the last byte of the request on its way, if the peer's limit on open streams or its window held it back inside this
    /// client. Zero for a request that went out at once, and always with HTTP/1.1. Part of every latency.
    pub stream_wait: Nanos,
    /// First byte of the answer's head.
    pub first_byte: Option<Nanos>,
    /// First chunk with at least one token on any channel.
    pub first_token: Option<Nanos>,
    /// First chunk with visible content.
    pub first_content: Option<Nanos>,
    /// Last chunk with a token.
    pub last_token: Option<Nanos>,
    /// End of the stream or of the attempt.
    pub closed: Nanos,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status; 0 if none came.
    pub status: u16,
    /// `Retry-After` of a 429 or 503.
    pub retry_after: Option<Nanos>,
    /// Input tokens asked for by the schedule.
    pub input_asked: u32,
    /// Output tokens asked for by the schedule (`max_tokens`).
    pub output_asked: u32,
    /// Input tokens: server usage, else as asked.
    pub input_tokens: u32,
    /// Output tokens by `token_source`.
    pub output_tokens: u32,
    /// Where `output_tokens` comes from.
    pub token_source: TokenSource,
    /// Reasoning tokens (server usage, else counted on the reasoning channel).
    pub reasoning_tokens: u32,
    /// Server usage.
    pub usage: Option<Usage>,
    /// Tokens counted on this side.
    pub counted_tokens: u32,
    /// Content chunks with their gaps; empty in bulk simulation.
    pub chunks: Vec<ChunkStamp>,
    /// What else was noticed.
    pub notes: Notes,
}

impl RequestRecord {
    /// A record of an arrival that has not been sent.
    #[must_use]
    pub fn due(seq: u64, phase: Phase, intended: Nanos, input_asked: u32, output_asked: u32) -> Self {
        Self {
            seq,
            session: None,
            phase,
            intended,
            sent: None,
            connect: Nanos::ZERO,
            tls: Nanos::ZERO,
            stream_wait: Nanos::ZERO,
            first_byte: None,
            first_token: None,
            first_content: None,
            last_token: None,
            closed: intended,
            outcome: Outcome::Shed,
            status: 0,
            retry_after: None,
            input_asked,
            output_asked,
            input_tokens: input_asked,
            output_tokens: 0,
            token_source: TokenSource::None,
            reasoning_tokens: 0,
            usage: None,
            counted_tokens: 0,
            chunks: Vec::new(),
            notes: Notes::default(),
        }
    }

    /// Makes this the record of another arrival that has not been sent: as [`RequestRecord::due`], without giving up the room for chunks.
    pub fn restart(&mut self, seq: u64, phase: Phase, intended: Nanos, input_asked: u32, output_asked: u32) {
        let mut chunks = std::mem::take(&mut self.chunks);
        chunks.clear();
        *self = Self { chunks, ..Self::due(seq, phase, intended, input_asked, output_asked) };
    }

    /// Time to first token from the intended instant (no coordinated omission).
    #[must_use]
    pub fn ttft(&self) -> Option<Nanos> {
        self.first_token.map(|t| t.since(self.intended))
    }

    /// Time to first token from the send instant.
    #[must_use]
    pub fn ttft_service(&self) -> Option<Nanos> {
        Some(self.first_token?.since(self.sent?))
    }

    /// Time to first visible content from the intended instant.
    #[must_use]
    pub fn ttfo(&self) -> Option<Nanos> {
        self.first_content.map(|t| t.since(self.intended))
    }

    /// `(last token - first token) / (n - tokens in the first chunk)`, seconds. `None` below two tokens or when all came at once.
    #[must_use]
    pub fn tpot_s(&self) -> Option<f64> {
        let span = self.last_token?.since(self.first_token?);
        let in_first = self.chunks.first().map_or(1, |c| c.tokens.max(1));
        let after = self.output_tokens.checked_sub(in_first)?;
        (self.output_tokens >= 2 && after > 0 && span > Nanos::ZERO).then(|| span.as_secs_f64() / f64::from(after))
    }

    /// From the intended instant to the last token (to the close for answers without tokens, such as embeddings).
    #[must_use]
    pub fn e2e(&self) -> Nanos {
        self.last_token.unwrap_or(self.closed).since(self.intended)
    }

    /// From the send instant to the last token.
    #[must_use]
    pub fn e2e_service(&self) -> Option<Nanos> {
        Some(self.last_token.unwrap_or(self.closed).since(self.sent?))
    }

    /// How late it was sent.
    #[must_use]
    pub fn lateness(&self) -> Option<Nanos> {
        self.sent.map(|s| s.since(self.intended))
    }

    /// Whether it ended well.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }
}
