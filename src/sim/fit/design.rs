//! Which experiments a fit needs: idle prompt ladder, concurrency ladder, open loads; cheapest first, each sized by what the last ones showed.

use super::sight;
use crate::base::rng::Seed;
use crate::base::stats::sample::mean_variance;
use crate::base::time::Nanos;
use crate::base::units::{Rate, Share, TimeSpan};
use crate::record::request::RequestRecord;
use crate::scenario::experiment::Experiment;
use crate::scenario::load::{Arrivals, RateFn};
use crate::scenario::workload::{Lengths, Marginal};
use crate::workload::schedule::{self, Material, Schedule};

/// Requests of the idle ladder: four in each of twelve parts of the range of lengths.
const RUNGS: f64 = 48.0;
/// Answers of the idle ladder, tokens.
const RUNG_OUTPUT: u32 = 4;
/// Requests of a step of the concurrency ladder: at least, and for each user.
const CROWD: (f64, f64) = (60.0, 6.0);
/// Share of time in which requests waited that makes a crowd a waiting one.
const HELD: f64 = 0.5;
/// Crowds that wait, one twice the other: a limit that only the larger one meets is seen as well.
const FULL: u32 = 2;
/// Users at most, whatever the scenario allows.
const MOST_USERS: u32 = 1024;
/// Open loads: share of the throughput of the crowded endpoint, requests, held out.
const OPEN: [(f64, f64, bool); 3] = [(0.4, 200.0, false), (0.65, 250.0, true), (0.88, 400.0, false)];
/// The first step tells how fast the endpoint is.
const PROBE: f64 = 2.0;
/// No step is longer, seconds.
const LONGEST: f64 = 1800.0;

/// One experiment.
#[derive(Clone, Debug)]
pub struct FitStep {
    /// What it is, in words: `8 users`.
    pub label: String,
    /// The load.
    pub experiment: Experiment,
    /// Not fitted to: kept for the comparison.
    pub is_held_out: bool,
    /// Tokens expected, input plus output.
    pub tokens: f64,
}

/// The kinds of steps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Probe,
    Ladder,
    Crowd(u32),
    Open(usize),
}

/// The series of experiments. Ask for the [`Design::next_step`], run it, tell its records to [`Design::observe`].
#[derive(Clone, Debug)]
pub struct Design {
    base: Experiment,
    budget: Option<f64>,
    spent: f64,
    made: u64,
    current: Option<Kind>,
    /// Mean tokens of a request of the workload: input, output.
    mean: (f64, f64),
    /// The longest prompt but one in a hundred.
    longest: u32,
    /// Seconds of a request on an idle endpoint: before its first token, and for each token after.
    idle: (f64, f64),
    /// Mean E2E of the last step, seconds.
    cycle: f64,
    /// Best completed rate, requests per second.
    throughput: f64,
    /// Steps in a row in which the crowd waited; [`FULL`] end the ladder of users.
    full: u32,
    left_out: Vec<String>,
}

impl Design {
    /// Experiments for the endpoint and workload of `base`, within `budget` tokens (input plus output) if there is one. Prompts are unique and stand
    /// alone; lengths that are all alike are varied, because a fit cannot learn from them.
    ///
    /// # Errors
    /// When the workload's lengths cannot be drawn.
    pub fn new(base: &Experiment, material: &Material, budget: Option<f64>) -> Result<Self, schedule::Error> {
        let mut base = base.clone();
        let workload = &mut base.scenario.workload;
        workload.sessions = None;
        workload.prompts.shared_prefix = Share(0.0);
        let lengths = sample(&base, material)?;
        let input: Vec<f64> = lengths.iter().map(|l| l.0).collect();
        let (mean_in, variance) = mean_variance(&input);
        let mean_out = mean_variance(&lengths.iter().map(|l| l.1).collect::<Vec<_>>()).0;
        let mut sorted = input;
        sorted.sort_by(f64::total_cmp);
        let mut longest = sorted.get(sorted.len() * 99 / 100).copied().unwrap_or(1.0);
        let workload = &mut base.scenario.workload;
        if variance.sqrt() < 0.5 * mean_in {
            // Means stay, spreads grow: the median of a lognormal is its mean over exp(sigma^2 / 2).
            let spread = |mean: f64, sigma: f64| Marginal::Lognormal { median: mean / (sigma * sigma / 2.0).exp(), sigma };
            workload.lengths = Lengths::Independent { input: spread(mean_in, 0.7), output: spread(mean_out, 0.5) };
            longest = longest.max(mean_in * 3.0);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of tokens")]
        let longest = (longest as u32).clamp(32, workload.max_input.max(32));
        Ok(Self {
            base,
            budget,
            spent: 0.0,
            made: 0,
            current: None,
            mean: (mean_in, mean_out),
            longest,
            idle: (0.0, 0.0),
            cycle: 0.0,
            throughput: 0.0,
            full: 0,
            left_out: Vec::new(),
        })
    }

    /// The next experiment; `None` at the end.
    pub fn next_step(&mut self) -> Option<FitStep> {
        loop {
            let kind = match self.current {
                None => Kind::Probe,
                Some(Kind::Probe) => Kind::Ladder,
                Some(Kind::Ladder) => Kind::Crowd(1),
                Some(Kind::Crowd(users)) => {
                    let most = self.base.scenario.load.max_in_flight.min(MOST_USERS);
                    let more = users.saturating_mul(2).min(most);
                    if self.full >= FULL || more <= users { Kind::Open(0) } else { Kind::Crowd(more) }
                }
                Some(Kind::Open(i)) => Kind::Open(i + 1),
            };
            if matches!(kind, Kind::Open(i) if i >= OPEN.len() || self.throughput <= 0.0) {
                return None;
            }
            self.current = Some(kind);
            let step = self.step(kind);
            if self.budget.is_none_or(|budget| self.spent + step.tokens <= budget) {
                self.spent += step.tokens;
                return Some(step);
            }
            self.left_out.push(format!("{} ({:.0} tokens)", step.label, step.tokens));
            // A crowd that cannot be paid for is not followed by a larger one.
            if matches!(kind, Kind::Crowd(_)) {
                self.full = FULL;
            }
        }
    }

    /// Takes note of what the last experiment showed.
    pub fn observe(&mut self, records: &[RequestRecord]) {
        let ok: Vec<&RequestRecord> = records.iter().filter(|r| r.is_ok()).collect();
        let mean = |of: &dyn Fn(&RequestRecord) -> f64| ok.iter().map(|r| of(r)).sum::<f64>() / ok.len().max(1) as f64;
        let e2e = mean(&|r| r.e2e_service().unwrap_or_default().as_secs_f64());
        match self.current {
            Some(Kind::Probe) => {
                let ttft = mean(&|r| r.ttft_service().unwrap_or_default().as_secs_f64());
                let tokens = mean(&|r| f64::from(r.output_tokens));
                self.idle = (ttft.max(1e-4), (e2e - ttft) / (tokens - 1.0).max(1.0));
                self.cycle = e2e;
            }
            Some(Kind::Crowd(users)) => {
                self.cycle = e2e.max(1e-4);
                let open: f64 = ok.iter().filter_map(|r| r.e2e_service()).map(Nanos::as_secs_f64).sum();
                // Little: users over the time of a cycle, where all are served.
                self.throughput = self.throughput.max(f64::from(users) / (open / ok.len().max(1) as f64).max(1e-9));
                let refused = records.iter().filter(|r| r.status == 429).count();
                self.full = if sight::waiting_share(records) > HELD { self.full + 1 } else { 0 };
                if refused * 20 > records.len() {
                    self.full = FULL;
                }
            }
            Some(Kind::Ladder | Kind::Open(_)) | None => {}
        }
    }

    /// What the budget did not pay for.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Tokens of the experiments so far, as expected.
    #[must_use]
    pub fn spent(&self) -> f64 {
        self.spent
    }

    fn step(&mut self, kind: Kind) -> FitStep {
        let mut experiment = self.base.clone();
        self.made += 1;
        experiment.seed = self.base.seed.child("fit-step", self.made);
        let closed = |users| Arrivals::Closed { users, think: TimeSpan::default(), ramp_up: TimeSpan::default() };
        let (mean_in, mean_out) = self.mean;
        let (label, arrivals, seconds, requests, warmup) = match kind {
            Kind::Probe => ("one user".to_owned(), closed(1), PROBE, 20.0, 0.0),
            Kind::Ladder => {
                let scenario = &mut experiment.scenario;
                let input = Marginal::Uniform { min: 16.min(self.longest), max: self.longest };
                scenario.workload.lengths = Lengths::Independent { input, output: Marginal::Fixed(RUNG_OUTPUT) };
                scenario.workload.min_input = scenario.workload.min_input.min(16);
                scenario.workload.min_output = scenario.workload.min_output.min(RUNG_OUTPUT);
                let stretch = f64::from(self.longest) / 2.0 / mean_in.max(1.0);
                let each = self.idle.0 * stretch.max(0.5) + self.idle.1 * f64::from(RUNG_OUTPUT - 1);
                ("idle prompt ladder".to_owned(), closed(1), RUNGS * each, RUNGS, 0.0)
            }
            Kind::Crowd(users) => {
                let requests = CROWD.0.max(CROWD.1 * f64::from(users));
                // With twice the users a cycle takes up to twice as long.
                let cycle = if users == 1 { self.cycle } else { self.cycle * 1.4 };
                let label = if users == 1 { "1 user".to_owned() } else { format!("{users} users") };
                (label, closed(users), requests * cycle / f64::from(users), requests, 0.0)
            }
            Kind::Open(i) => {
                let (share, requests, _) = OPEN[i];
                let rate = share * self.throughput;
                let label = format!("open load, {:.0} % of the throughput of the crowd", share * 100.0);
                (label, Arrivals::Poisson { rate: RateFn::Constant(Rate(rate)) }, requests / rate, requests * 1.1, 0.1 * requests / rate)
            }
        };
        let load = &mut experiment.scenario.load;
        load.arrivals = arrivals;
        load.warmup = TimeSpan(Nanos::from_secs_f64(warmup));
        load.measure = TimeSpan(Nanos::from_secs_f64(seconds.clamp(0.2, LONGEST)));
        let tokens = if kind == Kind::Ladder { f64::from(self.longest) / 2.0 + f64::from(RUNG_OUTPUT) } else { mean_in + mean_out };
        FitStep { label, experiment, is_held_out: matches!(kind, Kind::Open(i) if OPEN[i].2), tokens: tokens * requests }
    }
}

/// Lengths of 500 requests of the workload: input, output.
fn sample(base: &Experiment, material: &Material) -> Result<Vec<(f64, f64)>, schedule::Error> {
    let arrivals = Arrivals::Constant { rate: RateFn::Constant(Rate(100.0)) };
    let seed = Seed(base.seed.0).child("fit-sample", 0);
    let mut schedule = Schedule::for_demand(&arrivals, &base.scenario.workload, Nanos::from_secs(5), 1.0, material, seed)?;
    Ok(std::iter::from_fn(|| schedule.pop()).map(|a| (f64::from(a.input_tokens), f64::from(a.output_tokens))).collect())
}
