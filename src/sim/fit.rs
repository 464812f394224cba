//! From measured records to the step law: regression on reconstructed iterations, then refinement by replay.
//!
//! Only what a client can see is used. The load must have been the only traffic, on a fixed number of chunks (`base.min_chunks`); what the
//! endpoint's cap, budget and key-value size are stands in the `base` that the caller gives. Predictions are promised, not parameters: `a` and `b` trade off where the batch hardly
//! varies, `b` and `d` where contexts are alike; the condition number says so.

pub mod fitted;
mod replay;
mod solve;
mod windows;

use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::base::units::TimeSpan;
use crate::record::request::RequestRecord;
use crate::scenario::endpoint::{EndpointSpec, StepLaw};
pub use fitted::{FitFigure, FitQuality, Fitted, Multipliers, Observed};

/// Windows of gaps that a regression needs at least.
const MIN_WINDOWS: usize = 40;
/// Above this the parameters (not the predictions) are poorly determined.
const CONDITION_LIMIT: f64 = 1e4;

/// What was measured, and what is known beforehand.
#[derive(Clone, Debug)]
pub struct FitInput<'a> {
    /// The records of each load step, in any order; those with chunk stamps carry the information.
    pub steps: Vec<&'a [RequestRecord]>,
    /// Offered rate of each step, requests per second; for messages only.
    pub offered: Vec<f64>,
    /// Batch cap, prefill budget, key-value size, queue: known or assumed. Its step law and network are not looked at.
    pub base: &'a EndpointSpec,
}

/// Why there is no fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too little was measured.
    #[error("too little to fit: {windows} stretches of {per} token gaps, at least {MIN_WINDOWS} are needed; stream the answers and measure longer")]
    TooLittle {
        /// Stretches found.
        windows: usize,
        /// Gaps in each.
        per: usize,
    },
    /// No step at all.
    #[error("no load step has a request that ended well")]
    Nothing,
}

/// The law's five numbers in nanoseconds: a, b, c, d, network.
type Parameters = [f64; 5];

/// Fits the step law of one chunk. The same input gives the same law; `seed` feeds the simulator's own randomness (routing, errors).
///
/// # Errors
/// When nothing ended well, or too few answers were streamed in more than a few tokens.
pub fn fit(input: &FitInput<'_>, seed: Seed) -> Result<Fitted, Error> {
    let requests: usize = input.steps.iter().map(|s| s.iter().filter(|r| r.is_ok()).count()).sum();
    if requests == 0 {
        return Err(Error::Nothing);
    }
    let chunks = input.base.min_chunks;
    let windows: Vec<windows::Window> = input.steps.iter().flat_map(|step| windows::of_step(step, chunks)).collect();
    if windows.len() < MIN_WINDOWS {
        return Err(Error::TooLittle { windows: windows.len(), per: windows::WIDTH });
    }
    let law = solve::huber_nnls(&windows, chunks > 1);
    let network = windows::idle_network(&input.steps, input.base.prefill_budget, &law);
    let start = [law[0], law[1], law[2], law[3], network];
    let replay = replay::Replay::new(&input.steps, input.base, seed);
    let best = replay.refine(start);
    let rows = replay.figures(&spec_of(input.base, &best));
    let spec = spec_of(input.base, &best);
    let condition = solve::condition(&windows);
    let warnings = warnings(input, condition);
    Ok(Fitted { quality: quality(rows, condition, windows.len(), requests, warnings), assumed: Vec::new(), ..Fitted::assumed(&spec) })
}

/// `base` with the law of `p`; a fitted law is exact, so its noise is zero.
fn spec_of(base: &EndpointSpec, p: &Parameters) -> EndpointSpec {
    let span = |ns: f64| TimeSpan(Nanos::from_secs_f64(ns.max(0.0) / 1e9));
    let step =
        StepLaw { base: span(p[0]), per_sequence: span(p[1]), per_prefill_token: span(p[2]), per_context_token: span(p[3]), ..StepLaw::default() };
    EndpointSpec { step, network: span(p[4]), noise: 0.0, ..base.clone() }
}

fn quality(rows: Vec<FitFigure>, condition: f64, windows: usize, requests: usize, warnings: Vec<String>) -> FitQuality {
    let mut errors: Vec<f64> = rows.iter().map(|r| r.error().abs()).collect();
    errors.sort_by(f64::total_cmp);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    FitQuality {
        median_error: errors.get(errors.len() / 2).copied().unwrap_or(0.0),
        largest_error: errors.last().copied().unwrap_or(0.0),
        rows,
        condition,
        windows: count(windows),
        requests: count(requests),
        warnings,
        ..FitQuality::default()
    }
}

fn warnings(input: &FitInput<'_>, condition: f64) -> Vec<String> {
    let mut told = Vec::new();
    if input.steps.len() < 2 {
        told.push("one load step only: queueing beyond it is extrapolated; sweep at least two rates".to_owned());
    }
    if condition > CONDITION_LIMIT {
        told.push(format!(
            "the regression is ill-conditioned ({condition:.0}): context and batch moved together; predictions hold near the measured mix of lengths only"
        ));
    }
    let busiest = input.steps.iter().map(|s| windows::most_streaming(s)).max().unwrap_or(0);
    if busiest < input.base.max_batch {
        told.push(format!(
            "at most {busiest} requests were streaming at once: the batch cap of {} and the size of the key-value cache are assumed, not measured",
            input.base.max_batch
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Rate;
    use crate::scenario::load::{Arrivals, RateFn};
    use crate::scenario::workload::{Lengths, Marginal, Workload};
    use crate::sim::endpoint::Endpoint;
    use crate::sim::event::Detail;
    use crate::sim::virtual_time::{self, Patience};
    use crate::workload::schedule::{Material, Schedule};

    fn truth() -> EndpointSpec {
        let ns = |n| TimeSpan(Nanos(n));
        let step = StepLaw {
            base: ns(14_000_000),
            per_sequence: ns(600_000),
            per_prefill_token: ns(90_000),
            per_context_token: ns(400),
            ..StepLaw::default()
        };
        EndpointSpec { step, noise: 0.02, network: TimeSpan::millis(3), ..EndpointSpec::default() }
    }

    fn measured(spec: &EndpointSpec, rate: f64, seconds: u64, seed: u64) -> Vec<RequestRecord> {
        let arrivals = Arrivals::Poisson { rate: RateFn::Constant(Rate(rate)) };
        let lengths = Lengths::Independent {
            input: Marginal::Lognormal { median: 500.0, sigma: 0.9 },
            output: Marginal::Lognormal { median: 90.0, sigma: 0.6 },
        };
        let workload = Workload { lengths, max_input: 4000, max_output: 600, ..Workload::default() };
        let mut schedule = Schedule::for_demand(&arrivals, &workload, Nanos::from_secs(seconds), 1.0, &Material::default(), Seed(seed)).unwrap();
        let mut endpoint = Endpoint::new(spec, Seed(seed), Detail::Tokens);
        let mut records = Vec::new();
        let patience = Patience { total: Nanos::from_secs(600), first_byte: Nanos::from_secs(600) };
        virtual_time::run(&mut schedule, &mut endpoint, patience, &mut |r| records.push(r.clone()));
        records
    }

    /// A hidden law with 2 % noise, seen at three loads: what the fit says of a fourth load holds.
    #[test]
    fn a_hidden_law_is_predicted_at_a_load_it_was_not_fitted_to() {
        let truth = truth();
        let steps: Vec<Vec<RequestRecord>> = [(0.4, 1), (1.2, 2), (2.4, 3)].iter().map(|&(rate, seed)| measured(&truth, rate, 60, seed)).collect();
        let base = EndpointSpec { noise: 0.0, ..EndpointSpec::default() };
        let input = FitInput { steps: steps.iter().map(Vec::as_slice).collect(), offered: vec![0.4, 1.2, 2.4], base: &base };
        let fitted = fit(&input, Seed(1)).unwrap();
        assert!(fitted.quality.median_error < 0.03, "{:?}", fitted.quality);

        let held_out = measured(&truth, 1.9, 300, 77);
        let rows = replay::Replay::new(&[&held_out], &base, Seed(2)).figures(&fitted.spec);
        for row in &rows {
            let allowed = match (row.metric.as_str(), row.percentile.as_str()) {
                ("TTFT", "p90") => 0.15,
                ("TTFT", _) => 0.10,
                _ => 0.05,
            };
            assert!(row.error().abs() <= allowed, "{row:?} of {rows:?}");
        }
    }

    #[test]
    fn nothing_and_too_little_are_told_apart() {
        let base = EndpointSpec::default();
        assert_eq!(fit(&FitInput { steps: vec![], offered: vec![], base: &base }, Seed(1)), Err(Error::Nothing));
        let mut few = measured(&truth(), 0.5, 4, 1);
        few.truncate(1);
        few[0].chunks.truncate(20);
        assert!(matches!(fit(&FitInput { steps: vec![&few], offered: vec![0.5], base: &base }, Seed(1)), Err(Error::TooLittle { .. })));
    }
}
