//! The search for the SLO capacity on a real endpoint: asks the search for the next window, loads it, shows it what came.

use super::{at_load, place, span, words};
use crate::base::diag::Severity;
use crate::base::time::Nanos;
use crate::base::units::TimeSpan;
use crate::cli::args::SweepArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::load::{self, Done, Loader, Ready};
use crate::cli::results;
use crate::measure::document::RunDocument;
use crate::measure::knee::document::{Saturated, SweepDocument};
use crate::measure::knee::{Ask, Kind, Next, Options, Reason, Search, Stage};
use crate::measure::plateau::{Collector, Offer, Plateau, targets};
use crate::scenario::experiment::Experiment;
use crate::scenario::load::{Arrivals, RateFn};
use crate::workload::schedule::Schedule;
use std::path::Path;

/// How far beyond the highest load of the sweep the over-saturated step lies.
const OVER: f64 = 1.5;

/// Windows that may be loaded again because they measured the client.
const RETRIES: u32 = 3;

/// A window shorter than this says nothing.
const LEAST_WINDOW_S: f64 = 1.0;

/// Reasons to call a run invalid that speak of this client or its machine. Others, such as requests for which no slot was left, speak of the endpoint.
const OF_THE_CLIENT: [&str; 7] = ["schedule-late", "rate-not-reached", "loop-lag", "client-cpu", "cpu-throttled", "client-stopped", "clock-drift"];

/// Whether a step measured the client and not the endpoint.
fn measured_client(document: &RunDocument) -> bool {
    let warnings = &document.summary.validity.warnings;
    warnings.iter().any(|w| w.severity == Severity::Invalid && OF_THE_CLIENT.contains(&w.code.as_str()))
}

/// What the command line asks of the search.
pub(super) fn options(args: &SweepArgs, experiment: &Experiment) -> Result<Options, Failure> {
    let within = |name: &str, value: f64, low: f64, high: f64| {
        let wrong = || Failure::new(Exit::Usage, format!("--{name} {value}: expected {low} to {high} percent"));
        if (low..=high).contains(&value) { Ok(value / 100.0) } else { Err(wrong()) }
    };
    let limits = &experiment.scenario.limits;
    let (kind, start) = match &experiment.scenario.load.arrivals {
        Arrivals::Closed { users, .. } => (Kind::Users, f64::from((*users).max(1))),
        Arrivals::Constant { rate } | Arrivals::Poisson { rate } | Arrivals::Gamma { rate, .. } | Arrivals::Weibull { rate, .. } => match rate {
            RateFn::Constant(rate) if rate.0 > 0.0 => (Kind::Rate, rate.0),
            _ => (Kind::Rate, 1.0),
        },
        Arrivals::Trace { .. } => (Kind::Rate, 1.0),
    };
    Ok(Options {
        kind,
        start,
        width: within("width", args.width, 0.5, 20.0)?,
        confidence: within("confidence", args.confidence, 50.0, 99.9)?,
        shortest_s: span("--shortest", args.shortest.as_ref(), TimeSpan::secs(10))?.nanos().as_secs_f64(),
        longest_s: span("--longest", args.longest.as_ref(), TimeSpan::secs(600))?.nanos().as_secs_f64(),
        most_requests: args.max_requests.unwrap_or(limits.requests),
        most_seconds: span("--max-time", args.max_time.as_ref(), limits.duration)?.nanos().as_secs_f64(),
    })
}

/// A search on an endpoint.
pub(super) struct Finder<'a> {
    experiment: &'a Experiment,
    ready: &'a Ready,
    loader: &'a Loader<'a>,
    folder: &'a Path,
    search: Search,
    reason: Option<Reason>,
    saturated: Option<Saturated>,
    documents: Vec<RunDocument>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(experiment: &'a Experiment, options: Options, ready: &'a Ready, loader: &'a Loader<'a>, folder: &'a Path) -> Self {
        let search = Search::new(options, targets(&experiment.scenario.slo));
        Self { experiment, ready, loader, folder, search, reason: None, saturated: None, documents: Vec::new() }
    }

    /// Loads one window after another until the search has ended, the user stops it, or a step measured the client.
    pub(super) fn search(&mut self) -> Result<(), Failure> {
        let mut invalid = 0;
        loop {
            let ask = match self.search.next() {
                Next::Load(ask) => ask,
                Next::Done(reason) => {
                    self.reason = reason;
                    return Ok(());
                }
            };
            let Some(ask) = self.within_budget(ask) else {
                self.reason = Some(Reason::BudgetSpent);
                return Ok(());
            };
            let (done, plateau) = self.load(&ask)?;
            let measured_client = measured_client(&done.document);
            let answered = done.document.summary.accounting.ok > 0;
            self.documents.push(done.document);
            if self.loader.signals.stopped().is_some() {
                self.reason = Some(Reason::Stopped);
                return Ok(());
            }
            // A moment in which this machine was busy may pass: the same window is loaded again.
            if measured_client && invalid < RETRIES {
                invalid += 1;
                self.loader.printer.talk("    that step measured the client and not the endpoint; loading it again");
                continue;
            }
            if measured_client || !answered {
                self.reason = Some(Reason::InvalidRun);
                return Ok(());
            }
            self.search.learn(ask, plateau);
            if let Some(c) = self.search.capacity() {
                self.loader.printer.talk(&format!("    capacity so far: {:.3} [{:.3}, {:.3}]", c.estimate, c.low, c.high));
            }
        }
    }

    /// The window, shortened to what is left of the time and the requests of the whole search; windows that were thrown away count as well.
    fn within_budget(&self, mut ask: Ask) -> Option<Ask> {
        let options = self.search.options();
        let spent = |of: fn(&RunDocument) -> f64| self.documents.iter().map(of).sum::<f64>();
        let seconds = options.most_seconds - spent(|d| d.summary.window.end_s);
        let sent = spent(|d| (d.summary.accounting.due + d.summary.accounting.warmup) as f64);
        let requests = options.most_requests as f64 - sent;
        let rate = if options.kind == Kind::Rate { ask.load } else { self.documents.last().map_or(0.0, |d| d.summary.offered_rate) };
        let left = if rate > 0.0 { seconds.min(requests / rate) } else { seconds };
        ask.measure_s = ask.measure_s.min(left - ask.warmup_s);
        (requests > 0.0 && ask.measure_s >= LEAST_WINDOW_S).then_some(ask)
    }

    /// Shows the search the steps of a given ladder; a step that measured the client shows nothing.
    pub(super) fn take(&mut self, done: Vec<Done>, steps: &[Experiment]) -> Result<(), Failure> {
        let mut any_measured_client = false;
        for (one, step) in done.into_iter().zip(steps) {
            if measured_client(&one.document) {
                any_measured_client = true;
                self.documents.push(one.document);
                continue;
            }
            let (load, l) = (load_of(step), &step.scenario.load);
            let ask =
                Ask { load, window: 0, warmup_s: l.warmup.nanos().as_secs_f64(), measure_s: l.measure.nanos().as_secs_f64(), stage: Stage::Given };
            let plateau = self.plateau(step, &ask, &one.folder)?;
            self.search.learn(ask, plateau);
            self.documents.push(one.document);
        }
        self.reason = if self.search.is_sure() { None } else { Some(Reason::GivenSteps) };
        if self.experiment.scenario.slo.is_empty() {
            self.reason = Some(Reason::NoObjectives);
        }
        if any_measured_client {
            self.reason = Some(Reason::InvalidRun);
        }
        Ok(())
    }

    /// One step beyond every other, for the throughput at saturation.
    pub(super) fn saturate(&mut self) -> Result<(), Failure> {
        let Some(last) = self.search.windows().iter().max_by(|a, b| a.ask.load.total_cmp(&b.ask.load)) else { return Ok(()) };
        let ask = Ask { load: (last.ask.load * OVER).ceil(), stage: Stage::Saturation, ..last.ask };
        let (done, _) = self.load(&ask)?;
        let s = &done.document.summary;
        self.saturated = Some(Saturated {
            load: ask.load,
            served_rate: s.served_rate,
            output_tok_s: s.throughput.output_tok_s,
            total_tok_s: s.throughput.total_tok_s,
        });
        self.documents.push(done.document);
        Ok(())
    }

    /// The documents of every step, and what was found.
    pub(super) fn end(self, adaptive: bool) -> (Vec<RunDocument>, SweepDocument) {
        let mut found = SweepDocument::of(&self.search, &self.experiment.scenario.name, self.reason, adaptive);
        found.saturated = self.saturated;
        (self.documents, found)
    }

    fn load(&self, ask: &Ask) -> Result<(Done, Option<Plateau>), Failure> {
        let step = self.step(ask)?;
        let i = self.documents.len();
        let unit = if self.search.kind() == Kind::Rate { "requests/s" } else { "users" };
        let label = format!("step {}: {:.3} {unit} for {:.0} s", i + 1, ask.load, ask.measure_s);
        let words = words(self.experiment.seed, i);
        if i == 0 {
            load::check_first(&step, self.ready, self.loader)?;
        }
        let done = load::once_worded(|| place(self.folder, i), &step, words, self.ready, self.loader, &label)?;
        let plateau = self.plateau(&step, ask, &done.folder)?;
        Ok((done, plateau))
    }

    fn step(&self, ask: &Ask) -> Result<Experiment, Failure> {
        let mut step = at_load(self.experiment, ask.load)?;
        step.seed = self.experiment.seed.child("window", ask.window);
        let load = &mut step.scenario.load;
        load.warmup = TimeSpan(Nanos::from_secs_f64(ask.warmup_s));
        load.measure = TimeSpan(Nanos::from_secs_f64(ask.measure_s));
        if let Arrivals::Closed { ramp_up, .. } = &mut load.arrivals {
            *ramp_up = TimeSpan(Nanos::from_secs_f64(0.5 * ask.warmup_s));
        }
        Ok(step)
    }

    fn plateau(&self, step: &Experiment, ask: &Ask, folder: &Path) -> Result<Option<Plateau>, Failure> {
        let mut collector = Collector::new(&step.scenario.slo);
        results::visit_records(folder, |r| collector.observe(r))?;
        let expected = Schedule::new(step, &self.ready.recordings.load).map_err(|e| Failure::from_error(Exit::Usage, &e))?.expected();
        // A session's length is not known beforehand: no control variates then.
        let known = step.scenario.workload.sessions.is_none() && expected.requests > 0.0;
        let offer = Offer {
            rate: (self.search.kind() == Kind::Rate).then_some(ask.load),
            input: expected.input_tokens / expected.requests,
            output: expected.output_tokens / expected.requests,
        };
        Ok(collector.finish(ask.warmup_s, ask.warmup_s + ask.measure_s, known.then_some(offer)))
    }
}

/// Requests per second, or users, of a step.
fn load_of(step: &Experiment) -> f64 {
    match &step.scenario.load.arrivals {
        Arrivals::Closed { users, .. } => f64::from(*users),
        Arrivals::Constant { rate } | Arrivals::Poisson { rate } | Arrivals::Gamma { rate, .. } | Arrivals::Weibull { rate, .. } => match rate {
            RateFn::Constant(rate) => rate.0,
            RateFn::Varying(_) => f64::NAN,
        },
        Arrivals::Trace { .. } => f64::NAN,
    }
}
