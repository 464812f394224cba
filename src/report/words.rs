//! Plain words for what has a stable name: outcomes, notes, causes of head-room, provenance, and the glossary.

use crate::base::diag::Severity;
use crate::planner::limits::Binds;
use crate::scenario::plan::Provenance;

/// What an outcome means. Unknown names are returned as they are.
#[must_use]
pub fn outcome(name: &str) -> &str {
    match name {
        "ok" => "complete answer",
        "throttled_capacity" => "429: the endpoint's own capacity",
        "throttled_limit" => "429: a limit of the workspace, account or user",
        "timeout_connect" => "no connection in time",
        "timeout_first_byte" => "no first byte in time",
        "timeout_idle" => "silence inside the answer",
        "timeout_total" => "not finished in time",
        "shed" => "not sent: all client slots were taken, or the client was too far behind",
        "cancelled" => "stopped by the user",
        "unreachable" => "refused, reset, or name not found",
        "tls" => "TLS refused",
        "unauthorized" => "401 or 403",
        "not_found" => "404",
        "bad_request" => "another 4xx",
        "server_error" => "5xx",
        "in_band_error" => "error inside an answer with status 200",
        "truncated" => "answer ended in the middle",
        "malformed" => "not what the protocol says",
        "empty" => "complete answer without a token",
        "redirect" => "redirect, never followed",
        "unfinished" => "no complete answer by the end of the drain",
        other => other,
    }
}

/// What a note means. Unknown names are returned as they are.
#[must_use]
pub fn note(name: &str) -> &str {
    match name {
        "missing_usage" => "usage was asked for and not sent",
        "missing_done" => "the stream ended without [DONE]",
        "length_mismatch" => "output is not as long as asked",
        "not_normalised" => "embedding is not of length 1 (some models do not normalise)",
        "missing_logprobs" => "log probabilities were asked for and not sent",
        "reused_connection" => "sent on a connection that had carried a request before",
        other => other,
    }
}

/// What a cause of head-room means. Unknown names are returned as they are.
#[must_use]
pub fn cause(name: &str) -> &str {
    match name {
        "base" => "what demand needs at every instant",
        "lag" => "slow scaling (over-provisioned)",
        "burst" => "bursts (over-provisioned)",
        "failure" => "failed scale-ups (over-provisioned)",
        "uncertainty" => "what is not known exactly (over-provisioned)",
        other => other,
    }
}

/// A sentence with its capital letter and its full stop; nothing stays nothing.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    if first.is_empty() { first } else { format!("{first}{}.", letters.as_str().trim_end_matches('.')) }
}

/// What an uncertainty is about.
#[must_use]
pub fn binds(what: Binds) -> &'static str {
    match what {
        Binds::Nothing => "nothing",
        Binds::Simulation => "more simulated periods",
        Binds::Endpoint => "what is not known of the endpoint",
        Binds::Demand => "what is not known of the demand",
    }
}

/// How a figure is known.
#[must_use]
pub fn provenance(source: Provenance) -> &'static str {
    match source {
        Provenance::Measured => "measured",
        Provenance::Documented => "documented",
        Provenance::Assumed => "assumed",
    }
}

/// Name of a severity.
#[must_use]
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "Note",
        Severity::Doubt => "Doubt",
        Severity::Invalid => "INVALID",
    }
}

/// Terms that every report uses.
pub const GLOSSARY: [(&str, &str); 12] = [
    (
        "Intended instant",
        "When the schedule said a request should go out. All latencies start there, so that a stalled endpoint cannot slow its own measurement.",
    ),
    ("TTFT", "Time to first token: intended instant to the first chunk with a token on any channel, reasoning included."),
    ("TPOT", "Time per output token after the first, one value a request; undefined below two tokens and then left out."),
    ("ITL", "Inter-token latency: gaps between chunks divided by their tokens, pooled over all tokens."),
    ("E2E", "End to end: intended instant to the last token."),
    (
        "Output tok/s, total tok/s",
        "Tokens received inside the measured window per second of it; total adds the input tokens of requests whose first token came in it. Chunks of provisioned throughput count total tokens.",
    ),
    (
        "Offered, served",
        "Requests due per second of the measured window, and those of them that ended well, be it after the window. Where requests in flight keep rising, the endpoint is overloaded although it answers in the end. An open loop offers what the schedule says, whatever the endpoint does.",
    ),
    ("Goodput", "Share of all requests due that met every objective. Failed, throttled, timed-out and unsent requests count as misses."),
    ("p95, p99", "95 (99) of 100 values are no larger. A percentile with fewer than ten values beyond it is not shown: n/a (need >= N)."),
    ("Chunk", "The unit in which provisioned throughput is bought, in tokens per second."),
    ("Lag", "Time from the decision to scale up to a chunk that serves. Demand that grows meanwhile needs head-room bought in advance."),
    (
        "Measured, documented, assumed",
        "Where a figure comes from: seen by this tool, said by the provider, or taken for true by the scenario's author.",
    ),
];
