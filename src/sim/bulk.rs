//! The lean driver: jobs in, one small `Ended` a job out. The same results as `virtual_time` to the nanosecond, without records.

mod joint;
mod lanes;
mod patient;

use super::endpoint::Endpoint;
use super::event::{Offer, Retry};
use super::virtual_time::Patience;

/// A request to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Due instant, nanoseconds; jobs come in order of it.
    pub at: u64,
    /// Prompt tokens.
    pub input: u32,
    /// Tokens to be produced; 0 counts as 1.
    pub output: u32,
    /// Leading prompt tokens found in the prefix cache.
    pub cached: u32,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// With its last token.
    Ok,
    /// 429, on the last try.
    Throttled,
    /// The client gave up, on the last try.
    TimedOut,
    /// 500: drawn with `error_share`, or larger than the key-value cache.
    Failed,
}

/// A job that is over. Instants are what the client sees, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its index in order of arrival.
    pub job: u32,
    /// When it was due, first of all its tries.
    pub at: u64,
    /// Its first token; `last` if there was none.
    pub first: u64,
    /// Its last token, or when it ended otherwise.
    pub last: u64,
    /// How it ended.
    pub how: How,
}

/// Runs `jobs` (in order of `at`) against the endpoint from instant zero and tells the end of each; the order of the ends is not defined.
/// Stops at once when `ended` answers false. Returns how many jobs were told.
///
/// The ends are those of [`super::virtual_time::run`], and the endpoint is advanced to the last of them, as there. Where one replica has no
/// bearing on another (round robin or random, no autoscaler, no retries) each runs by itself through many jobs, which is about twice as fast.
pub fn run(
    jobs: impl Iterator<Item = Job>,
    endpoint: &mut Endpoint,
    patience: Patience,
    retry: Option<Retry>,
    ended: &mut impl FnMut(&Ended) -> bool,
) -> u64 {
    let jobs = jobs.zip(0_u32..);
    match endpoint.lanes() {
        Some(lanes) if retry.is_none() => lanes::run(jobs, endpoint, lanes, patience, ended),
        _ => joint::run(jobs, endpoint, patience, retry, ended),
    }
}

impl Job {
    fn offer(&self, id: u32) -> Offer {
        Offer { id: id.into(), input_tokens: self.input, output_tokens: self.output.max(1), cached_tokens: self.cached }
    }
}
