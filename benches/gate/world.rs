//! The world of the proof: our simulator as a small endpoint, runs of 600 requests in virtual time, noise of runs, drift, contamination, planted changes.

use plimsoll::base::rng::Seed;
use plimsoll::base::stats::sample::quantile_sorted;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Share, TimeSpan};
use plimsoll::gate::{Metric, Run};
use plimsoll::scenario::endpoint::{EndpointSpec, StepLaw};
use plimsoll::sim::bulk::{self, Ended, How, Job};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::virtual_time::Patience;
use rand::RngExt as _;
use rand::distr::Distribution;
use rand_distr::{Exp1, LogNormal, StandardNormal};

/// Requests before the window, and in it.
const WARMUP: usize = 100;
pub(crate) const WINDOW: usize = 600;
/// Share of requests that fail on an unchanged system.
const ERRORS: f64 = 0.002;

/// A planted change of the head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    None,
    /// Decoding takes this much longer: every part of a step but the prompt tokens.
    Tpot(f64),
    /// A prompt token takes this much longer.
    Prefill(f64),
    /// Every step takes this much longer.
    Capacity(f64),
    /// This share of requests fails on top.
    Errors(f64),
}

impl Change {
    fn apply(self, spec: &mut EndpointSpec) {
        let law = &mut spec.step;
        let decode = |law: &mut StepLaw, by: f64| {
            for part in [&mut law.base, &mut law.per_sequence, &mut law.per_context_token] {
                *part = scaled(*part, 1.0 + by);
            }
        };
        match self {
            Self::None => {}
            Self::Tpot(by) => decode(law, by),
            Self::Prefill(by) => law.per_prefill_token = scaled(law.per_prefill_token, 1.0 + by),
            Self::Capacity(by) => {
                decode(law, by);
                law.per_prefill_token = scaled(law.per_prefill_token, 1.0 + by);
            }
            Self::Errors(by) => spec.error_share = Share(spec.error_share.0 + by),
        }
    }
}

fn scaled(span: TimeSpan, by: f64) -> TimeSpan {
    TimeSpan(Nanos((span.nanos().0 as f64 * by).round() as u64))
}

/// A small endpoint under a steady load.
pub(crate) struct World {
    spec: EndpointSpec,
    /// Requests a second.
    rate: f64,
    /// Objectives for goodput, milliseconds.
    ttft_ms: f64,
    tpot_ms: f64,
}

/// A run with what single requests took, for rules that want them.
pub(crate) struct Measured {
    pub(crate) run: Run,
    pub(crate) ttft_ms: Vec<f64>,
    pub(crate) tpot_ms: Vec<f64>,
    pub(crate) e2e_ms: Vec<f64>,
}

impl World {
    /// The endpoint at `load` of the requests a second that it completes when it always has work.
    pub(crate) fn at(load: f64) -> Self {
        let spec = EndpointSpec { queue: 1_000_000, error_share: Share(ERRORS), ..EndpointSpec::default() };
        let mut world = Self { spec, rate: 1e6, ttft_ms: 1e9, tpot_ms: 1e9 };
        let jobs = world.jobs(Seed(1), 20_000);
        let mut last = 0;
        bulk::run(jobs.iter().copied(), &mut Endpoint::new(&world.spec, Seed(1), Detail::Requests), patience(), None, &mut |e| {
            last = last.max(e.last);
            true
        });
        world.rate = load * jobs.len() as f64 / Nanos(last).as_secs_f64();
        // Objectives that an unchanged system misses now and then.
        let runs: Vec<Measured> = (0..20).map(|i| world.run(Seed(2).child("probe", i), Change::None, 1.0, Seed(3).child("probe", i))).collect();
        let p95 = |of: fn(&Measured) -> &Vec<f64>| {
            let mut all: Vec<f64> = runs.iter().flat_map(|r| of(r).iter().copied()).collect();
            plimsoll::base::stats::sample::sort(&mut all);
            quantile_sorted(&all, 0.95).unwrap()
        };
        (world.ttft_ms, world.tpot_ms) = (1.25 * p95(|r| &r.ttft_ms), 1.15 * p95(|r| &r.tpot_ms));
        world
    }

    /// Seconds that a run takes, warm-up included.
    pub(crate) fn run_s(&self) -> f64 {
        (WARMUP + WINDOW) as f64 / self.rate
    }

    fn jobs(&self, seed: Seed, n: usize) -> Vec<Job> {
        let mut stream = seed.stream("jobs");
        let input: LogNormal<f64> = LogNormal::new(300.0_f64.ln(), 0.8).unwrap();
        let output: LogNormal<f64> = LogNormal::new(80.0_f64.ln(), 0.6).unwrap();
        let mut at = 0.0;
        let mut one = || {
            let gap: f64 = Exp1.sample(&mut stream);
            at += gap * 1e9 / self.rate;
            let (i, o) = (input.sample(&mut stream).clamp(8.0, 4_000.0), output.sample(&mut stream).clamp(2.0, 800.0));
            Job { at: at as u64, input: i as u32, output: o as u32, cached: 0 }
        };
        (0..n).map(|_| one()).collect()
    }

    /// One run: the workload of `workload`, a step law that takes `slower` times as long, an endpoint whose own noise comes from `noise`.
    pub(crate) fn run(&self, workload: Seed, change: Change, slower: f64, noise: Seed) -> Measured {
        let jobs = self.jobs(workload, WARMUP + WINDOW);
        let mut spec = self.spec.clone();
        change.apply(&mut spec);
        for part in [&mut spec.step.base, &mut spec.step.per_sequence, &mut spec.step.per_prefill_token, &mut spec.step.per_context_token] {
            *part = scaled(*part, slower);
        }
        let (start, end) = (jobs[WARMUP].at, jobs[jobs.len() - 1].at);
        let (mut ttft, mut tpot, mut e2e) = (Vec::with_capacity(WINDOW), Vec::with_capacity(WINDOW), Vec::with_capacity(WINDOW));
        let (mut ok, mut good, mut tokens) = (0_u64, 0_u64, 0.0);
        let ms = |ns: u64| ns as f64 / 1e6;
        let mut ended = |e: &Ended| {
            let job = &jobs[e.job as usize];
            if e.how == How::Ok {
                // Tokens that came inside the window, evenly spread between the first and the last.
                let inside = e.last.min(end).saturating_sub(e.first.max(start)) as f64;
                tokens += f64::from(job.output) * inside / (e.last - e.first).max(1) as f64;
            }
            if (e.job as usize) < WARMUP {
                return true;
            }
            if e.how == How::Ok {
                ok += 1;
                let pace = ms(e.last - e.first) / f64::from(job.output - 1);
                ttft.push(ms(e.first - e.at));
                tpot.push(pace);
                e2e.push(ms(e.last - e.at));
                good += u64::from(ms(e.first - e.at) <= self.ttft_ms && pace <= self.tpot_ms);
            }
            true
        };
        bulk::run(jobs.iter().copied(), &mut Endpoint::new(&spec, noise, Detail::Requests), patience(), None, &mut ended);
        let mut run = Run { name: String::new(), seed: workload.0, valid: true, due: WINDOW as u64, ok, ..Run::default() };
        let share = |n: u64| n as f64 / WINDOW as f64;
        for (metric, values) in [(Metric::TtftP50, &ttft), (Metric::TtftP95, &ttft), (Metric::TpotP50, &tpot), (Metric::E2eP95, &e2e)] {
            let mut sorted = values.clone();
            plimsoll::base::stats::sample::sort(&mut sorted);
            run.insert(metric, quantile_sorted(&sorted, metric.quantile().unwrap()).unwrap(), sorted.len() as u64);
        }
        run.insert(Metric::OutputTokS, tokens / Nanos(end - start).as_secs_f64(), WINDOW as u64);
        run.insert(Metric::Goodput, share(good), WINDOW as u64);
        run.insert(Metric::ErrorRate, share(WINDOW as u64 - ok), WINDOW as u64);
        Measured { run, ttft_ms: ttft, tpot_ms: tpot, e2e_ms: e2e }
    }
}

fn patience() -> Patience {
    let hour = Nanos::from_secs(3_600);
    Patience { total: hour, first_byte: hour }
}

/// What disturbs runs that should be equal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Disturbance {
    /// Standard deviation of the logarithm of a run's own speed.
    pub(crate) run_noise: f64,
    /// Drift of the machine that both sides share: standard deviation, correlation time in minutes (Ornstein and Uhlenbeck).
    pub(crate) drift: Option<(f64, f64)>,
    /// Share of rounds in which one run is slower by a quarter, and whether it is always the head's.
    pub(crate) contaminated: Option<(f64, bool)>,
}

/// The speeds of the runs of one gate, round after round.
pub(crate) struct Speeds {
    disturbance: Disturbance,
    stream: plimsoll::base::rng::Stream,
    drift: f64,
    /// Seconds from one run to the next.
    step_s: f64,
}

/// How a round was made: whether the base ran first, and how much slower each side was.
pub(crate) struct Course {
    pub(crate) base_first: bool,
    pub(crate) base: f64,
    pub(crate) head: f64,
}

impl Speeds {
    pub(crate) fn new(world: &World, disturbance: Disturbance, seed: Seed) -> Self {
        let mut stream = seed.stream("speeds");
        let first: f64 = StandardNormal.sample(&mut stream);
        let drift = disturbance.drift.map_or(0.0, |(sd, _)| sd * first);
        Self { disturbance, stream, drift, step_s: world.run_s() + 10.0 }
    }

    fn next_run(&mut self) -> f64 {
        let (own, step): (f64, f64) = (StandardNormal.sample(&mut self.stream), StandardNormal.sample(&mut self.stream));
        let now = self.drift;
        if let Some((sd, minutes)) = self.disturbance.drift {
            let keep = (-self.step_s / (60.0 * minutes)).exp();
            self.drift = keep * self.drift + sd * (1.0 - keep * keep).sqrt() * step;
        }
        (now + self.disturbance.run_noise * own).exp()
    }

    pub(crate) fn next_round(&mut self) -> Course {
        let base_first = self.stream.random_bool(0.5);
        let (first, second) = (self.next_run(), self.next_run());
        let (mut base, mut head) = if base_first { (first, second) } else { (second, first) };
        let (hit, side) = (self.stream.random_bool(self.disturbance.contaminated.map_or(0.0, |c| c.0)), self.stream.random_bool(0.5));
        if hit {
            let slow = if side || self.disturbance.contaminated.is_some_and(|c| c.1) { &mut head } else { &mut base };
            *slow *= 1.25;
        }
        Course { base_first, base, head }
    }
}
