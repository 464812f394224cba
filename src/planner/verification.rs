//! `Verification`: does the endpoint do what the model behind a plan says? The same requests, measured and simulated, quantile by quantile.
//!
//! What was sent is simulated again and again with the model, so that the chance of arrivals and lengths stands on both sides and falls out. The
//! logarithm of measured over predicted is compared section by section (sectioning: Asmussen and Glynn 2007, III.5; Nakayama 2014, ACM TOMACS 24),
//! never request by request: requests of one burst are slow together. Its variance is the larger of what the sections show and what the model's own
//! repetitions show, plus the spread over the draws of the fit. All rows together raise a false alarm in at most 5 % of runs (Bonferroni).

mod checks;
mod replay;
mod rows;

use crate::base::rng::Seed;
use crate::base::stats::interval::{beta_inc, student_t_quantile};
use crate::record::request::RequestRecord;
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::slo::Slo;
use crate::sim::fit::fitted::Fitted;
use crate::sim::virtual_time::Patience;
use replay::{Replay, Sample};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use checks::{Check, Planned};

/// Version of `verify.json`.
pub const SCHEMA_VERSION: u32 = 1;
/// All rows together say `slower` or `faster` of a true model in at most this share of runs.
const FAMILYWISE: f64 = 0.05;
/// An endpoint as much slower as asked for is to be found at least this often; otherwise there were too few requests.
const POWER: f64 = 0.9;
/// Repetitions of the model itself, and of the slower one.
const REPETITIONS: u32 = 20;
/// Repetitions of the model that is slower.
const SLOW_REPETITIONS: u32 = 6;
/// Draws of the fit that are simulated, at most.
const MOST_DRAWS: usize = 40;

/// Factors by which latencies may lie beside their prediction and still agree: the multipliers of the fit, or what is allowed without one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Allowance {
    /// Of time to first token, at least 1.
    pub ttft: f64,
    /// Of time per output token, at least 1.
    pub tpot: f64,
    /// Of end-to-end latency, at least 1.
    pub e2e: f64,
    /// Error of the step law itself, which a busy endpoint makes larger in its latencies: 0.03 for 3 %.
    pub law: f64,
}

impl Default for Allowance {
    /// A model without factors of its own: 10 % for the first token, 5 % for the others, and what a law 3 % longer makes of them under this load.
    fn default() -> Self {
        Self { ttft: 1.10, tpot: 1.05, e2e: 1.05, law: 0.03 }
    }
}

/// The model of one chunk, with what is known of its error.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The endpoint at the size that is loaded.
    pub spec: EndpointSpec,
    /// Other laws that fit as well; empty when there was no bootstrap.
    pub draws: Vec<EndpointSpec>,
    /// How far predictions may be off.
    pub allowance: Allowance,
}

impl Model {
    /// A fitted model at `chunks` chunks. Without factors from held-out errors the default allowance takes their place.
    #[must_use]
    pub fn of(fitted: &Fitted, chunks: u32) -> Self {
        let at_size = |spec: &EndpointSpec| EndpointSpec { min_chunks: chunks, max_chunks: chunks, ..spec.clone() };
        let m = &fitted.multipliers;
        let known = Allowance { ttft: m.ttft, tpot: m.tpot, e2e: m.e2e, law: 0.0 };
        Self {
            spec: at_size(&fitted.spec),
            draws: fitted.draws.iter().map(at_size).collect(),
            allowance: if m.confidence > 0.0 { known } else { Allowance::default() },
        }
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The model, at the size that was loaded (its chunks are fixed).
    pub model: &'a Model,
    /// Every record of the run, warm-up included, in any order.
    pub records: &'a [RequestRecord],
    /// What makes a request good.
    pub slo: &'a Slo,
    /// When the client gave up.
    pub patience: Patience,
    /// What was loaded; told, not used.
    pub load: Loaded,
    /// The slowdown that must not go unseen, for example 0.15.
    pub slower: f64,
    /// Feeds the model's noise and routing.
    pub seed: Seed,
}

/// How a figure stands to its prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Within the error of both.
    Agrees,
    /// Worse than predicted.
    Worse,
    /// Better than predicted.
    Better,
}

/// What the comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is worse than predicted, and a slowdown would have been seen.
    Stands,
    /// Something is worse than predicted.
    Broken,
    /// Nothing is worse, but a slowdown could have gone unseen.
    Undecided,
}

/// A latency at a percentile, milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// `TTFT`, `TPOT` or `E2E`, from the intended instant.
    pub metric: String,
    /// `p50`, `p90`, `p95`, `p99`.
    pub percentile: String,
    /// Values measured.
    pub n: u64,
    /// Measured.
    pub measured_ms: f64,
    /// 95 % interval by sectioning.
    pub measured_low_ms: f64,
    /// See `measured_low_ms`.
    pub measured_high_ms: f64,
    /// Predicted: geometric mean over repetitions.
    pub predicted_ms: f64,
    /// 95 % of repetitions and draws lie above, widened by the allowance.
    pub predicted_low_ms: f64,
    /// See `predicted_low_ms`.
    pub predicted_high_ms: f64,
    /// Measured over predicted.
    pub ratio: f64,
    /// Interval of the ratio; all rows together hold their truth in 95 % of runs.
    pub ratio_low: f64,
    /// See `ratio_low`.
    pub ratio_high: f64,
    /// A ratio up to this factor agrees.
    pub allowance: f64,
    /// How it stands.
    pub standing: Standing,
    /// Share of runs in which this row alone would say `worse` if the endpoint were slower by [`Verification::slower`].
    pub power: f64,
}

/// A share of the requests due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShareRow {
    /// `ended well` or `good`.
    pub what: String,
    /// Measured.
    pub measured: f64,
    /// Predicted with every latency raised to its allowance ...
    pub predicted_low: f64,
    /// ... and lowered by it.
    pub predicted_high: f64,
    /// Half of the interval of the difference, all rows together 95 %.
    pub half: f64,
    /// How it stands.
    pub standing: Standing,
}

/// The size and the load of a verification beside those of the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Loaded {
    /// Chunks under load.
    pub chunks: u32,
    /// Chunks that the plan recommends at most.
    pub planned_chunks: u32,
    /// Requests per second that were asked for.
    pub requests_s: f64,
    /// Requests per second at the plan's peak.
    pub planned_requests_s: f64,
}

impl Loaded {
    /// Whether the size itself was loaded; otherwise a smaller one with as much load a chunk, which verifies the model and not the size.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.chunks >= self.planned_chunks
    }
}

/// The comparison of a run with a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What was loaded.
    pub load: Loaded,
    /// What it comes to.
    pub verdict: Verdict,
    /// Requests compared: due in the measured window.
    pub requests: u64,
    /// Latencies.
    pub rows: Vec<Row>,
    /// Shares.
    pub shares: Vec<ShareRow>,
    /// The slowdown that must not go unseen.
    pub slower: f64,
    /// Share of runs like this one in which it would be seen: that of the best row.
    pub power: f64,
    /// Requests that make it 90 % and reach every percentile with an objective; absent when no number would: the model's own error is larger than the
    /// slowdown.
    pub needed: Option<u64>,
    /// Repetitions of the model.
    pub repetitions: u32,
    /// Draws of the fit among them.
    pub draws: u32,
    /// What the plan assumed and the run can see.
    pub checks: Vec<Check>,
}

/// Compares. The same input gives the same verification. `None` when too few requests ended well for a median of any latency.
#[must_use]
pub fn verify(input: &Input<'_>) -> Option<Verification> {
    let replay = Replay::new(input.records, input.patience);
    let measured = replay.measured();
    let simulate = |spec: &EndpointSpec, i: u32| replay.simulate(spec, input.seed.child("repetition", u64::from(i)));
    let base: Vec<Sample> = (0..REPETITIONS).map(|i| simulate(&input.model.spec, i)).collect();
    let draws: Vec<Sample> = input.model.draws.iter().take(MOST_DRAWS).zip(REPETITIONS..).map(|(spec, i)| simulate(spec, i)).collect();
    let slow_spec = slowed(&input.model.spec, 1.0 + input.slower);
    let slow: Vec<Sample> = (0..SLOW_REPETITIONS).map(|i| simulate(&slow_spec, 1000 + i)).collect();
    // On a logarithmic scale an error of the law has its share of what the slowdown does; latencies bend upwards, so that this is more than enough.
    let of_slow = input.model.allowance.law.ln_1p() / input.slower.ln_1p();
    let worlds = rows::Worlds { measured: &measured, base: &base, draws: &draws, slow: &slow, of_slow };
    let compared = rows::latencies(&worlds, &input.model.allowance);
    let shares = rows::shares(&worlds, &input.model.allowance, input.slo);
    if compared.is_empty() {
        return None;
    }
    let family = (compared.len() + shares.len()) as f64;
    let tail = FAMILYWISE / 2.0 / family;
    let rows: Vec<Row> = compared.iter().map(|c| c.row(student_t_quantile(1.0 - tail, c.df))).collect();
    let shares: Vec<ShareRow> = shares.iter().map(|s| s.row(student_t_quantile(1.0 - tail, s.df))).collect();
    let power = rows.iter().map(|r| r.power).fold(0.0, f64::max);
    let short = rows::values_short_of(&measured, input.slo);
    let needed = compared.iter().filter_map(|c| c.requests_needed(tail, measured.len())).min().map(|n| n.max(short.unwrap_or(0)));
    let any = |standing| rows.iter().any(|r| r.standing == standing) || shares.iter().any(|s| s.standing == standing);
    let verdict = if any(Standing::Worse) {
        Verdict::Broken
    } else if power < POWER || short.is_some() {
        Verdict::Undecided
    } else {
        Verdict::Stands
    };
    Some(Verification {
        schema_version: SCHEMA_VERSION,
        load: input.load,
        verdict,
        requests: measured.len() as u64,
        rows,
        shares,
        slower: input.slower,
        power,
        needed,
        repetitions: REPETITIONS,
        draws: u32::try_from(draws.len()).unwrap_or(u32::MAX),
        checks: Vec::new(),
    })
}

impl Verification {
    /// With what the plan assumed beside what `records` of the run show.
    #[must_use]
    pub fn with_checks(mut self, records: &[RequestRecord], planned: &Planned) -> Self {
        self.checks = checks::of(records, planned);
        self
    }

    /// As written to `verify.json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a document of numbers and texts is JSON")
    }
}

/// The endpoint with every part of its step law longer by `factor`.
#[must_use]
pub fn slowed(spec: &EndpointSpec, factor: f64) -> EndpointSpec {
    let mut slow = spec.clone();
    let law = &mut slow.step;
    for part in [&mut law.base, &mut law.per_sequence, &mut law.per_prefill_token, &mut law.per_context_token, &mut law.prefill_growth] {
        *part = crate::base::units::TimeSpan(crate::base::time::Nanos::from_secs_f64(part.as_secs_f64() * factor));
    }
    slow
}

/// Student's distribution function with `df` degrees of freedom, by the incomplete beta function (Abramowitz and Stegun 26.7.1).
fn student_t_cdf(t: f64, df: f64) -> f64 {
    let tail = 0.5 * beta_inc(0.5 * df, 0.5, df / (df + t * t));
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// The published schema of `verify.json`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Verification).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Nanos;
    use crate::base::units::{Rate, TimeSpan};
    use crate::scenario::load::{Arrivals, RateFn};
    use crate::scenario::workload::{Lengths, Marginal, Workload};
    use crate::sim::endpoint::Endpoint;
    use crate::sim::event::Detail;
    use crate::sim::virtual_time;
    use crate::workload::schedule::{Material, Schedule};

    const PATIENCE: Patience = Patience { total: Nanos::from_secs(600), first_byte: Nanos::from_secs(600) };

    /// 4 requests a second for `seconds` on two chunks that could serve about 6.
    fn measured(spec: &EndpointSpec, seconds: u64, seed: u64) -> Vec<RequestRecord> {
        let arrivals = Arrivals::Poisson { rate: RateFn::Constant(Rate(4.0)) };
        let lengths = Lengths::Independent {
            input: Marginal::Lognormal { median: 400.0, sigma: 0.8 },
            output: Marginal::Lognormal { median: 60.0, sigma: 0.6 },
        };
        let workload = Workload { lengths, max_input: 4000, max_output: 400, ..Workload::default() };
        let mut schedule = Schedule::for_demand(&arrivals, &workload, Nanos::from_secs(seconds), 1.0, &Material::default(), Seed(seed)).unwrap();
        let mut endpoint = Endpoint::new(spec, Seed(seed), Detail::Requests);
        let mut records = Vec::new();
        virtual_time::run(&mut schedule, &mut endpoint, PATIENCE, &mut |r| records.push(r.clone()));
        records
    }

    fn model() -> Model {
        let spec = EndpointSpec { min_chunks: 2, max_chunks: 2, noise: 0.03, ..EndpointSpec::default() };
        Model { spec, draws: Vec::new(), allowance: Allowance::default() }
    }

    fn slo() -> Slo {
        Slo { ttft: [("p95".parse().unwrap(), TimeSpan::millis(900))].into(), ..Slo::default() }
    }

    fn check(truth: &EndpointSpec, model: &Model, seconds: u64, seed: u64) -> Verification {
        let records = measured(truth, seconds, seed);
        let input = Input {
            model,
            records: &records,
            slo: &slo(),
            patience: PATIENCE,
            load: Loaded::default(),
            slower: 0.15,
            seed: Seed(seed).child("check", 0),
        };
        verify(&input).unwrap()
    }

    /// 10 runs of about 400 requests each: the true model is never called broken (at most 5 % of runs may), and an endpoint 15 % slower is found.
    #[test]
    fn a_true_model_stands_and_a_slower_endpoint_is_found() {
        let model = model();
        let slow = slowed(&model.spec, 1.15);
        let count = |truth: &EndpointSpec, verdict| (0..10).filter(|&seed| check(truth, &model, 100, seed).verdict == verdict).count();
        let (stands, broken) = (count(&model.spec, Verdict::Stands), count(&slow, Verdict::Broken));
        assert!(stands >= 9 && broken >= 9, "{stands} and {broken} of 10");
    }

    /// A model that is exact (its noise is zero) still agrees with a noisy truth: the sections carry the noise.
    #[test]
    fn the_noise_of_the_truth_is_no_difference() {
        let truth = model().spec;
        let exact = Model { spec: EndpointSpec { noise: 0.0, ..truth.clone() }, ..model() };
        let broken = (0..6).filter(|&seed| check(&truth, &exact, 100, seed).verdict == Verdict::Broken).count();
        assert!(broken <= 1, "{broken} of 6");
    }

    #[test]
    fn too_few_requests_are_undecided_and_say_how_many_it_takes() {
        let model = model();
        let few = check(&model.spec, &model, 8, 1);
        // Slowness would show, but the 95th percentile that is bounded has not been seen.
        assert_eq!((few.verdict, few.needed), (Verdict::Undecided, Some(200)), "{few:?}");
        assert!(few.rows.iter().all(|r| r.percentile == "p50" || r.percentile == "p90"), "{:?}", few.rows);
    }

    /// A fit whose own error is larger than the slowdown cannot be told from it by any number of requests.
    #[test]
    fn a_vague_model_is_undecided_for_ever() {
        let vague = Model { allowance: Allowance { ttft: 3.0, tpot: 3.0, e2e: 3.0, law: 0.0 }, ..model() };
        let found = check(&vague.spec, &vague, 120, 1);
        assert_eq!((found.verdict, found.needed), (Verdict::Undecided, None));
    }

    #[test]
    fn the_distribution_function_belongs_to_the_quantile() {
        for df in [3.0, 9.0, 30.0] {
            for p in [0.01, 0.3, 0.5, 0.9, 0.999] {
                assert!((student_t_cdf(student_t_quantile(p, df), df) - p).abs() < 1e-9);
            }
        }
    }
}
