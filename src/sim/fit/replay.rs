//! Replay: the requests that were measured, sent at the instants at which they were sent, through the simulator with a law of choice.

use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::record::outcome::Outcome;
use crate::record::request::{Phase, RequestRecord};
use crate::scenario::endpoint::EndpointSpec;
use crate::sim::bulk::{self, How, Job};
use crate::sim::endpoint::Endpoint;
use crate::sim::event::Detail;
use crate::sim::virtual_time::Patience;

/// Latencies of a request from its send instant, nanoseconds: TTFT, TPOT, E2E. NaN: it has none.
pub(super) type Times = [f64; 3];

/// Names of [`Times`].
pub(super) const METRICS: [&str; 3] = ["TTFT", "TPOT", "E2E"];

/// A client that never gives up.
const ENDLESS: Nanos = Nanos::from_secs(100 * 3600);

/// One load step: what was sent, and what came of it.
pub(super) struct Step {
    jobs: Vec<Job>,
    patience: Patience,
    /// Of each job.
    pub(super) measured: Vec<Times>,
    /// Tokens of each job after its first chunk, for its TPOT.
    after_first: Vec<f64>,
    /// Whether each job was due in the measured window.
    pub(super) is_counted: Vec<bool>,
}

impl Step {
    /// What was sent, when it was sent, with the lengths that the server saw. Refused requests never reached a replica and are left out.
    pub(super) fn of(records: &[RequestRecord]) -> Self {
        let mut sent: Vec<&RequestRecord> = records.iter().filter(|r| r.sent.is_some() && has_reached(r)).collect();
        sent.sort_by_key(|r| (r.sent, r.seq));
        let job = |r: &RequestRecord| Job {
            at: r.sent.unwrap_or_default().0,
            input: r.input_tokens.max(1),
            output: if r.is_ok() { r.output_tokens } else { r.output_asked }.max(1),
            cached: r.usage.and_then(|u| u.cached).unwrap_or(0),
        };
        Self {
            jobs: sent.iter().map(|r| job(r)).collect(),
            patience: patience(&sent),
            measured: sent.iter().map(|r| times(r)).collect(),
            after_first: sent.iter().map(|r| f64::from(r.output_tokens.saturating_sub(in_first(r)))).collect(),
            is_counted: sent.iter().map(|r| r.phase == Phase::Measure && r.is_ok()).collect(),
        }
    }

    /// What the law says of each job.
    pub(super) fn predicted(&self, spec: &EndpointSpec, seed: Seed) -> Vec<Times> {
        let mut endpoint = Endpoint::new(spec, seed, Detail::Requests);
        let mut times = vec![[f64::NAN; 3]; self.jobs.len()];
        bulk::run(self.jobs.iter().copied(), &mut endpoint, self.patience, None, &mut |ended| {
            if ended.how == How::Ok {
                let job = ended.job as usize;
                let after = self.after_first[job];
                let span = ended.last.saturating_sub(ended.first) as f64;
                let tpot = if after > 0.0 && span > 0.0 { span / after } else { f64::NAN };
                times[job] = [ended.first.saturating_sub(ended.at) as f64, tpot, ended.last.saturating_sub(ended.at) as f64];
            }
            true
        });
        times
    }
}

fn has_reached(r: &RequestRecord) -> bool {
    r.is_ok() || matches!(r.outcome, Outcome::TimeoutFirstByte | Outcome::TimeoutTotal | Outcome::Unfinished)
}

fn in_first(r: &RequestRecord) -> u32 {
    r.chunks.first().map_or(1, |c| c.tokens.max(1))
}

fn times(r: &RequestRecord) -> Times {
    if !r.is_ok() {
        return [f64::NAN; 3];
    }
    [r.ttft_service().map_or(f64::NAN, |v| v.0 as f64), r.tpot_s().map_or(f64::NAN, |v| v * 1e9), r.e2e_service().map_or(f64::NAN, |v| v.0 as f64)]
}

/// When the client gave up, from the requests on which it did.
fn patience(sent: &[&RequestRecord]) -> Patience {
    let shortest = |outcome: Outcome| {
        let spans = sent.iter().filter(|r| r.outcome == outcome).filter_map(|r| Some(r.closed.since(r.sent?)));
        spans.min().unwrap_or(ENDLESS)
    };
    Patience { total: shortest(Outcome::TimeoutTotal), first_byte: shortest(Outcome::TimeoutFirstByte) }
}
