//! From measured records to the endpoint's model: regression on reconstructed iterations, then refinement by replay, then what is uncertain.
//!
//! Only what a client can see is used. The load must have been the only traffic, on a fixed number of chunks (`base.min_chunks`); one chunk shows
//! more than several behind a balancer, of which a client sees the sum. Predictions are promised, not parameters: `a` and `b` trade off where the
//! batch hardly varies, `b` and `d` where contexts are alike; the condition numbers say so.

mod describe;
pub mod design;
pub mod fitted;
mod ladder;
mod law;
mod limits;
mod objective;
mod options;
mod refine;
mod replay;
mod sight;
mod solve;
mod uncertainty;
mod windows;

use crate::base::rng::Seed;
use crate::record::request::RequestRecord;
use crate::scenario::endpoint::{EndpointSpec, KvPolicy, PrefixHit};
pub use fitted::{Assumed, FitFigure, FitQuality, Fitted, Multipliers, Observed, Operating, Parameter};
use law::{NETWORK, PLAIN};
use limits::{Search, Shown};
use objective::Weights;
use refine::{Bench, Point};
use replay::Step;
use sight::Sight;
use uncertainty::Around;

/// Windows of gaps that a regression needs at least.
const MIN_WINDOWS: usize = 40;
/// Rounds of refinement before the limits are looked for, and after.
const ROUNDS: [usize; 2] = [4, 8];

/// What was measured, and what is known beforehand.
#[derive(Clone, Debug)]
pub struct FitInput<'a> {
    /// The records of each load step, in any order; those with chunk stamps carry the information.
    pub steps: Vec<&'a [RequestRecord]>,
    /// Number of chunks and routing, and the limits that are taken where the measurements show none. Its step law, network and noise are not
    /// looked at.
    pub base: &'a EndpointSpec,
    /// Steps that are not fitted to and only compared with.
    pub held_out: Vec<&'a [RequestRecord]>,
    /// Draws wanted, for example 40.
    pub draws: usize,
    /// Level of the multipliers, for example 0.9.
    pub confidence: f64,
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

/// Everything that was found on the way to a [`Fitted`].
struct Findings<'a> {
    input: &'a FitInput<'a>,
    chunks: u32,
    sight: Sight,
    shown: Shown,
    noise: Option<f64>,
    condition: f64,
    refined_condition: f64,
    windows: usize,
    rungs: usize,
}

/// Fits the model of one chunk. The same input gives the same model; `seed` feeds the bootstrap and the simulator's own randomness.
///
/// # Errors
/// When nothing ended well, or too few answers were streamed in more than a few tokens.
pub fn fit(input: &FitInput<'_>, seed: Seed) -> Result<Fitted, Error> {
    if !input.steps.iter().any(|s| s.iter().any(RequestRecord::is_ok)) {
        return Err(Error::Nothing);
    }
    let chunks = input.base.min_chunks.max(1);
    let per_step = windows::tokens_per_step(&input.steps);
    let windows: Vec<windows::Window> = input.steps.iter().flat_map(|step| windows::of_step(step, chunks, per_step)).collect();
    if windows.len() < MIN_WINDOWS {
        return Err(Error::TooLittle { windows: windows.len(), per: windows::WIDTH });
    }
    let sight = sight::look(&input.steps);
    let rungs = ladder::rungs(&input.steps);
    let ladder = ladder::budget(&rungs);
    let longest = input.steps.iter().flat_map(|s| s.iter()).map(|r| u64::from(r.input_tokens) + u64::from(r.output_asked.max(r.output_tokens))).max();
    let longest = longest.unwrap_or(1);
    let base = wide(input.base, &sight, (longest, per_step), ladder.candidates.first().copied().filter(|_| ladder.is_seen));

    let law = solve::huber_nnls(&windows, chunks > 1);
    let mut start = [0.0; law::N];
    start[..4].copy_from_slice(&law);
    start[NETWORK] = ladder::network(&rungs, base.prefill_budget, &law).unwrap_or(0.0);
    let steps: Vec<Step> = input.steps.iter().map(|records| Step::of(records)).collect();
    let mut bench = Bench { weights: unheld(&input.steps), steps, seed };
    let point = bench.refine(&base, bench.point(&base, law::to_point(&start)), &PLAIN, ROUNDS[0]);
    bench.weights = Weights::alike(bench.steps.len());
    let point = bench.point(&base, point.at);
    let search = Search { bench: &bench, sight: &sight, ladder: &ladder, chunks, longest };
    let (mut base, point, mut shown) = search.run(&base, &point);
    let point = bench.refine(&base, point, &PLAIN, ROUNDS[1]);
    let (point, free) = options::taken_in(&bench, &base, point);
    if let Some(queue) = sight.queue {
        (base.queue, shown.queue) = (queue / chunks, true);
    } else {
        base.queue = input.base.queue;
    }
    let findings = Findings {
        input,
        chunks,
        sight,
        shown,
        noise: windows::noise(&input.steps, per_step),
        condition: solve::condition(&windows),
        refined_condition: 0.0,
        windows: windows.len(),
        rungs: rungs.len(),
    };
    Ok(findings.told(&bench, &base, &point, &free))
}

/// Steps in which requests waited for a place most of the time say more of a limit than of the law: they are left out as long as no limit is
/// known, if two others remain.
fn unheld(steps: &[&[RequestRecord]]) -> Weights {
    let free: Vec<bool> = steps.iter().map(|s| sight::waiting_share(s) < 0.3).collect();
    let mut weights = Weights::alike(steps.len());
    if free.iter().filter(|f| **f).count() >= 2 {
        weights.steps = free.iter().map(|f| f64::from(u8::from(*f))).collect();
    }
    weights
}

/// Measured beside predicted for a load that need not be one of those fitted to: the same requests, sent at the same instants, through `spec`.
/// Figures are mean, p50, p90 and p99 of TTFT, TPOT and E2E from the send instant, where there are 8, 8, 20 and 100 values; `step` is `0`.
#[must_use]
pub fn compare(records: &[RequestRecord], spec: &EndpointSpec, seed: Seed) -> Vec<FitFigure> {
    figures(records, &EndpointSpec { noise: 0.0, queue: u32::MAX, ..spec.clone() }, seed, 0)
}

fn figures(records: &[RequestRecord], spec: &EndpointSpec, seed: Seed, number: usize) -> Vec<FitFigure> {
    let step = Step::of(records);
    uncertainty::figures_of(&step, &step.predicted(spec, seed), u32::try_from(number).unwrap_or(u32::MAX), &|_| true)
}

/// `base` without randomness, scaling and refusals, with limits that stand in the way of nothing that was seen.
fn wide(base: &EndpointSpec, sight: &Sight, (longest, per_step): (u64, u32), budget: Option<u32>) -> EndpointSpec {
    let chunks = base.min_chunks.max(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of tokens")]
    let reserved = (sight.reserved / f64::from(chunks)) as u64 * 2 + longest;
    EndpointSpec {
        min_chunks: chunks,
        max_chunks: chunks,
        noise: 0.0,
        queue: u32::MAX,
        error_share: crate::base::units::Share(0.0),
        kv_policy: KvPolicy::Reserve,
        prefix_hit: PrefixHit::default(),
        tokens_per_step: per_step,
        max_batch: base.max_batch.max(sight.streaming.div_ceil(chunks) * 2),
        kv_tokens: base.kv_tokens.max(reserved),
        prefill_budget: budget.unwrap_or(base.prefill_budget),
        ..base.clone()
    }
}

impl Findings<'_> {
    /// The document, with its uncertainty.
    fn told(mut self, bench: &Bench, base: &EndpointSpec, point: &Point, free: &[usize]) -> Fitted {
        // Replays refuse nobody: what was refused is not in the steps.
        let open = EndpointSpec { queue: u32::MAX, ..base.clone() };
        let slopes = bench.slopes(&open, point, free);
        self.refined_condition = slopes.condition(point, &bench.weights);
        let around = Around { bench, base: &open, point, slopes: &slopes };
        let numbers = law::of_point(&point.at);
        let draws = around.draws(self.input.draws, bench.seed);
        let mut held_out = around.held_out(&self.by_load());
        for (records, number) in self.input.held_out.iter().zip(self.input.steps.len() + 1..) {
            held_out.extend(figures(records, &law::spec_of(&open, &numbers), bench.seed, number));
        }
        let multipliers = uncertainty::multipliers(&held_out, self.input.confidence);
        let rows = around.figures();
        let finished = |numbers| EndpointSpec { noise: self.noise.unwrap_or(0.0), ..law::spec_of(&self.as_given(base), numbers) };
        let spec = finished(&numbers);
        Fitted {
            schema_version: fitted::SCHEMA_VERSION,
            parameters: self.parameters(&spec, &numbers, &draws, free),
            draws: draws.iter().map(finished).collect(),
            multipliers,
            observed: self.observed(),
            quality: self.quality(rows, held_out),
            assumed: self.assumed(&spec),
            spec,
        }
    }

    /// `base` with the limits that no measurement showed as they were given, but no narrower than what was seen.
    fn as_given(&self, base: &EndpointSpec) -> EndpointSpec {
        let given = self.input.base;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of tokens")]
        let reserved = (self.sight.reserved / f64::from(self.chunks)) as u64;
        EndpointSpec {
            max_chunks: given.max_chunks,
            error_share: given.error_share,
            max_batch: if self.shown.batch { base.max_batch } else { given.max_batch.max(self.sight.streaming.div_ceil(self.chunks)) },
            kv_tokens: if self.shown.kv { base.kv_tokens } else { given.kv_tokens.max(reserved) },
            ..base.clone()
        }
    }

    /// The steps in order of their load, lowest first: mean number of requests in flight.
    fn by_load(&self) -> Vec<usize> {
        let load = |step: &[RequestRecord]| {
            let open: f64 = step.iter().filter_map(|r| Some(r.closed.since(r.sent?).as_secs_f64())).sum();
            let from = step.iter().filter_map(|r| r.sent).min().unwrap_or_default();
            let to = step.iter().map(|r| r.closed).max().unwrap_or_default();
            open / to.since(from).as_secs_f64().max(1e-9)
        };
        let mut order: Vec<usize> = (0..self.input.steps.len()).collect();
        order.sort_by(|&a, &b| load(self.input.steps[a]).total_cmp(&load(self.input.steps[b])));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Nanos;
    use crate::base::units::{Rate, TimeSpan};
    use crate::scenario::endpoint::StepLaw;
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

    fn input<'a>(steps: Vec<&'a [RequestRecord]>, base: &'a EndpointSpec) -> FitInput<'a> {
        FitInput { steps, base, held_out: vec![], draws: 40, confidence: 0.9 }
    }

    fn measured(spec: &EndpointSpec, rate: f64, seconds: u64, seed: u64) -> Vec<RequestRecord> {
        let arrivals = Arrivals::Poisson { rate: RateFn::Constant(Rate(rate)) };
        let lengths = Lengths::Independent {
            input: Marginal::Lognormal { median: 500.0, sigma: 0.9 },
            output: Marginal::Lognormal { median: 90.0, sigma: 0.6 },
        };
        let workload = Workload { lengths, max_input: 4000, max_output: 600, ..Workload::default() };
        simulated(spec, &arrivals, &workload, seconds, seed)
    }

    fn simulated(spec: &EndpointSpec, arrivals: &Arrivals, workload: &Workload, seconds: u64, seed: u64) -> Vec<RequestRecord> {
        let mut schedule = Schedule::for_demand(arrivals, workload, Nanos::from_secs(seconds), 1.0, &Material::default(), Seed(seed)).unwrap();
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
        let fitted = fit(&input(steps.iter().map(Vec::as_slice).collect(), &base), Seed(1)).unwrap();
        assert!(fitted.quality.median_error < 0.03, "{:?}", fitted.quality);

        let held_out = measured(&truth, 1.9, 300, 77);
        let rows = compare(&held_out, &fitted.spec, Seed(2));
        for row in &rows {
            let allowed = match (row.metric.as_str(), row.percentile.as_str()) {
                ("TTFT", "p90") => 0.15,
                ("TTFT", _) => 0.10,
                _ => 0.05,
            };
            assert!(row.error().abs() <= allowed, "{row:?} of {rows:?}");
        }
    }

    /// A chunk behind its batch cap: cap and prefill budget are found, and what is not seen is named.
    #[test]
    fn the_limits_of_a_chunk_are_found_from_outside() {
        let truth = EndpointSpec { max_batch: 9, prefill_budget: 256, queue: 1000, ..truth() };
        let ladder = closed(&truth, 1, 20, 1, &Marginal::Uniform { min: 16, max: 1500 }, 3);
        let mixed = Marginal::Lognormal { median: 250.0, sigma: 0.8 };
        let steps: Vec<Vec<RequestRecord>> =
            [ladder, closed(&truth, 4, 15, 2, &mixed, 40), closed(&truth, 20, 25, 3, &mixed, 40), measured(&truth, 0.8, 40, 4)].into();
        let base = EndpointSpec::default();
        let fitted = fit(&input(steps.iter().map(Vec::as_slice).collect(), &base), Seed(1)).unwrap();
        assert_eq!((fitted.spec.max_batch, fitted.spec.prefill_budget), (9, 256), "{:?}", fitted.parameters);
        assert!(fitted.observed.is_batch_capped);
        assert_eq!(fitted.draws.len(), 40);
        let missing: Vec<&str> = fitted.assumed.iter().map(|a| a.what.as_str()).collect();
        assert_eq!(missing, ["size of the key-value cache", "queue of a chunk"]);
        let beyond = Operating { tok_s: 3.0 * fitted.observed.tok_s, ..Operating::default() };
        assert_eq!(fitted.beyond(&beyond).len(), 1);
    }

    fn closed(spec: &EndpointSpec, users: u32, seconds: u64, seed: u64, input: &Marginal, output: u32) -> Vec<RequestRecord> {
        let arrivals = Arrivals::Closed { users, think: TimeSpan::default(), ramp_up: TimeSpan::default() };
        let lengths = Lengths::Independent { input: input.clone(), output: Marginal::Uniform { min: output / 2, max: output * 2 } };
        simulated(spec, &arrivals, &Workload { lengths, max_input: 4000, ..Workload::default() }, seconds, seed)
    }

    #[test]
    fn nothing_and_too_little_are_told_apart() {
        let base = EndpointSpec::default();
        assert_eq!(fit(&input(vec![], &base), Seed(1)), Err(Error::Nothing));
        let mut few = measured(&truth(), 0.5, 4, 1);
        few.truncate(1);
        few[0].chunks.truncate(20);
        assert!(matches!(fit(&input(vec![&few], &base), Seed(1)), Err(Error::TooLittle { .. })));
    }
}
