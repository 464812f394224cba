//! A hidden world: an endpoint, a mix of lengths and a demand that the planner never sees but through measurements and a recording.
//! The demand is drawn by another law than the one that the planner fits: harmonics, an Ornstein-Uhlenbeck residual, ramps with a decay.

use plimsoll::base::rng::{Seed, Stream};
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Share, TimeSpan, TokenRate};
use plimsoll::planner::bounds::Bounds;
use plimsoll::planner::judgement::Judgement;
use plimsoll::scenario::endpoint::{Autoscaler, EndpointSpec, Lag, StepLaw};
use plimsoll::scenario::slo::{Percentile, Slo};
use plimsoll::sim::bulk::{self, Job};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::virtual_time::Patience;
use rand::RngExt;
use rand_distr::{Distribution, Exp1, StandardNormal};
use std::f64::consts::TAU;

/// Seconds of a day.
const DAY_S: f64 = 86_400.0;
/// Rates are told for intervals of this length, seconds; the poll of every hidden autoscaler.
pub(crate) const BIN_S: f64 = 15.0;

/// What is hidden.
pub(crate) struct World {
    pub(crate) endpoint: EndpointSpec,
    pub(crate) slo: Slo,
    /// Input and output tokens of requests, drawn evenly.
    pub(crate) lengths: Vec<(u32, u32)>,
    pub(crate) demand: Demand,
    pub(crate) seed: Seed,
}

/// The law of the demand, requests per second.
#[derive(Debug)]
pub(crate) struct Demand {
    /// Mean of an average day.
    pub(crate) mean: f64,
    /// Amplitudes and phases of two harmonics of the logarithm.
    waves: [(f64, f64); 2],
    /// Factors of the days of the week.
    week: [f64; 7],
    /// Standard deviation of the logarithm of a day's level.
    day_sigma: f64,
    /// Of the residual, and its time constant in seconds.
    residual: (f64, f64),
    /// Ramps a day, and the exponent of their heights.
    ramps: (f64, f64),
    /// Relative variance of the gamma factor of the rate of an interval.
    pub(crate) dispersion: f64,
}

fn between(stream: &mut Stream, low: f64, high: f64) -> f64 {
    low + (high - low) * stream.random::<f64>()
}

/// Between the two, evenly on the scale of logarithms.
fn log_between(stream: &mut Stream, low: f64, high: f64) -> f64 {
    between(stream, low.ln(), high.ln()).exp()
}

fn span(seconds: f64) -> TimeSpan {
    TimeSpan(Nanos::from_secs_f64(seconds))
}

impl World {
    /// World number `index`.
    pub(crate) fn new(seed: Seed, index: u64) -> Self {
        let seed = seed.child("world", index);
        let mut s = seed.stream("endpoint");
        let lengths = lengths(seed);
        let n = lengths.len() as f64;
        let (mean_in, mean_out) = (lengths.iter().map(|l| f64::from(l.0)).sum::<f64>() / n, lengths.iter().map(|l| f64::from(l.1)).sum::<f64>() / n);
        // The step of a full batch of 16, and how it is shared: base, sequences, context.
        let full = log_between(&mut s, 0.015, 0.045);
        let parts = [between(&mut s, 0.25, 0.6), between(&mut s, 0.2, 0.5), between(&mut s, 0.05, 0.25)];
        let sum: f64 = parts.iter().sum();
        let context = 16.0 * (mean_in + mean_out / 2.0);
        let step = StepLaw {
            base: span(full * parts[0] / sum),
            per_sequence: span(full * parts[1] / sum / 16.0),
            per_prefill_token: span(log_between(&mut s, 60e-6, 200e-6)),
            per_context_token: span(full * parts[2] / sum / context),
            ..StepLaw::default()
        };
        let work = step.per_prefill_token.as_secs_f64() * mean_in
            + step.per_sequence.as_secs_f64() * mean_out
            + step.per_context_token.as_secs_f64() * mean_out * (mean_in + mean_out / 2.0);
        // A bound on TPOT that a load between half and nine tenths of the last request a second meets on average (mean field: t = a / (1 - rho)).
        let rho = between(&mut s, 0.5, 0.9);
        let tpot = step.base.as_secs_f64() / (1.0 - rho) * 1.35;
        let ttft = between(&mut s, 2.5, 5.0) * (step.per_prefill_token.as_secs_f64() * mean_in * 3.0 + tpot) + 0.2;
        let budget: u32 = [256, 512, 1024][s.random_range(0..3)];
        // An idle chunk meets it with room for 997 prompts of 1,000: else the objectives could not be kept at any size, or hardly.
        let mut prompts: Vec<u32> = lengths.iter().map(|l| l.0).collect();
        prompts.sort_unstable();
        let long = f64::from(prompts[prompts.len() * 997 / 1000]);
        let alone = step.per_prefill_token.as_secs_f64() * long + (long / f64::from(budget)).ceil() * step.base.as_secs_f64();
        let ttft = ttft.max(1.5 * alone);
        let median = log_between(&mut s, 120.0, 720.0);
        let autoscaler = Autoscaler {
            target: Share((between(&mut s, 0.5, 0.75) * 100.0).round() / 100.0),
            window: TimeSpan::secs(60),
            poll: span(BIN_S),
            lag: Lag::Lognormal { median: span(median), p95: span(median * between(&mut s, 1.3, 2.2)) },
            scale_down_delay: TimeSpan::secs(600),
            failure: Share(if s.random::<f64>() < 0.5 { 0.0 } else { 0.03 }),
            ..Autoscaler::default()
        };
        let endpoint = EndpointSpec {
            step,
            prefill_budget: budget,
            max_batch: [48, 64, 96][s.random_range(0..3)],
            network: span(between(&mut s, 0.001, 0.02)),
            noise: between(&mut s, 0.01, 0.04),
            autoscaler,
            ..EndpointSpec::default()
        };
        let slo = Slo { ttft: [(Percentile::P95, span(ttft))].into(), tpot: [(Percentile::P95, span(tpot))].into(), ..Slo::default() };
        // The platform rates a chunk at about what it serves within these objectives, and its target lies below that.
        let per_chunk = per_chunk(&endpoint, &slo, &lengths, 1.0 / work, seed);
        let rated = per_chunk * (mean_in + mean_out) * between(&mut s, 0.85, 1.15);
        let endpoint = EndpointSpec { chunk: TokenRate(rated.round()), ..endpoint };
        let demand = Demand::new(seed, per_chunk);
        Self { endpoint, slo, lengths, demand, seed }
    }
}

/// Requests per second of which one chunk answers 99 % within the objectives, by bisection below `most`.
fn per_chunk(endpoint: &EndpointSpec, slo: &Slo, lengths: &[(u32, u32)], most: f64, seed: Seed) -> f64 {
    let spec = EndpointSpec { min_chunks: 1, max_chunks: 1, ..endpoint.clone() };
    let patience = Patience { total: Nanos::from_secs(60), first_byte: Nanos::from_secs(60) };
    let bounds = Bounds::of(slo);
    let keeps = |rate: f64| {
        let mut s = seed.stream("rating");
        let mut at = 0.0;
        let jobs = (0..6000).map(|_| {
            let gap: f64 = Exp1.sample(&mut s);
            at += gap / rate;
            let (input, output) = lengths[s.random_range(0..lengths.len())];
            Job { at: Nanos::from_secs_f64(at).0, input, output, cached: 0 }
        });
        let (mut bad, mut all) = (0_u32, 0_u32);
        let outputs = std::cell::RefCell::new(Vec::new());
        let jobs = jobs.inspect(|job| outputs.borrow_mut().push(job.output));
        bulk::run(jobs, &mut Endpoint::new(&spec, seed, Detail::Requests), patience, None, &mut |ended| {
            all += 1;
            bad += u32::from(!Judgement::of_ended(ended, outputs.borrow()[ended.job as usize], &bounds).is_good());
            true
        });
        f64::from(bad) <= 0.01 * f64::from(all)
    };
    let (mut low, mut high) = (0.1 * most, most);
    for _ in 0..10 {
        let middle = 0.5 * (low + high);
        if keeps(middle) { low = middle } else { high = middle }
    }
    low
}

/// Lognormal prompts and answers, cut where services cut.
fn lengths(seed: Seed) -> Vec<(u32, u32)> {
    let mut s = seed.stream("lengths");
    let (median_in, sigma_in) = (log_between(&mut s, 800.0, 3000.0), between(&mut s, 0.5, 1.0));
    let (median_out, sigma_out) = (log_between(&mut s, 150.0, 500.0), between(&mut s, 0.4, 0.8));
    let mut draw = |median: f64, sigma: f64, most: f64| {
        let z: f64 = StandardNormal.sample(&mut s);
        (median * (sigma * z).exp()).clamp(2.0, most).round() as u32
    };
    (0..4000).map(|_| (draw(median_in, sigma_in, 8000.0), draw(median_out, sigma_out, 1000.0))).collect()
}

impl Demand {
    fn new(seed: Seed, per_chunk: f64) -> Self {
        let mut s = seed.stream("demand");
        let weekend = between(&mut s, 0.4, 0.95);
        let mut week = [1.0; 7];
        for (day, factor) in week.iter_mut().enumerate() {
            *factor = if day >= 5 { weekend } else { between(&mut s, 0.95, 1.05) };
        }
        Self {
            mean: per_chunk * log_between(&mut s, 4.0, 12.0),
            waves: [(between(&mut s, 0.3, 0.9), between(&mut s, 0.0, TAU)), (between(&mut s, 0.05, 0.3), between(&mut s, 0.0, TAU))],
            week,
            day_sigma: between(&mut s, 0.03, 0.12),
            residual: (between(&mut s, 0.03, 0.10), between(&mut s, 1200.0, 3600.0)),
            ramps: (between(&mut s, 0.2, 1.5), between(&mut s, 3.0, 6.0)),
            dispersion: between(&mut s, 0.0, 0.05),
        }
    }

    /// Requests per second in each interval of day `day` of the family `seed`; day 0 is a Monday.
    pub(crate) fn day(&self, seed: Seed, day: u64) -> Vec<f64> {
        let mut s = seed.keyed("hidden-day", day);
        let bins = (DAY_S / BIN_S) as usize;
        let z: f64 = StandardNormal.sample(&mut s);
        let level = self.mean * self.week[(day % 7) as usize] * (self.day_sigma * z).exp();
        let (sigma, constant) = self.residual;
        let keep = (-BIN_S / constant).exp();
        let mut residual: f64 = sigma * Distribution::<f64>::sample(&StandardNormal, &mut s);
        let ramps = self.ramps(&mut s);
        (0..bins)
            .map(|bin| {
                let at = bin as f64 * BIN_S;
                let wave: f64 =
                    (1..).zip(&self.waves).map(|(k, (amplitude, phase))| amplitude * (TAU * f64::from(k) * at / DAY_S + phase).sin()).sum();
                residual = keep * residual + sigma * (1.0 - keep * keep).sqrt() * Distribution::<f64>::sample(&StandardNormal, &mut s);
                let lifted = ramps.iter().map(|r| r.at(at)).fold(1.0, f64::max);
                level * (wave + residual).exp() * lifted
            })
            .collect()
    }

    fn ramps(&self, s: &mut Stream) -> Vec<Ramp> {
        let mut ramps = Vec::new();
        let mut at = 0.0;
        loop {
            let gap: f64 = Exp1.sample(s);
            at += gap * DAY_S / self.ramps.0;
            if at > DAY_S {
                return ramps;
            }
            let height = (1.15 * (1.0 - s.random::<f64>()).powf(-1.0 / self.ramps.1)).min(3.0);
            ramps.push(Ramp { from: at, height, rise: between(s, 120.0, 600.0), hold: between(s, 1200.0, 3600.0), fall: between(s, 600.0, 1800.0) });
        }
    }
}

/// A rise within minutes that stays a while.
struct Ramp {
    from: f64,
    height: f64,
    rise: f64,
    hold: f64,
    fall: f64,
}

impl Ramp {
    fn at(&self, at: f64) -> f64 {
        let since = at - self.from;
        let share = if since < 0.0 {
            0.0
        } else if since < self.rise {
            since / self.rise
        } else if since < self.rise + self.hold {
            1.0
        } else {
            (-(since - self.rise - self.hold) / self.fall).exp()
        };
        1.0 + (self.height - 1.0) * share
    }
}
