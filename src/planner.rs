//! `Recommendation`: minimum and maximum chunks, and why; found by simulation of the demand in virtual time.

pub mod assumptions;
pub mod bar;
pub mod binned;
pub mod capacity;
pub mod cost;
pub mod demand;
pub mod draws;
pub mod evaluate;
pub mod explain;
pub mod headroom;
pub mod hybrid;
pub mod judgement;
pub mod limits;
pub mod naive;
pub mod recommendation;
pub mod request;
pub mod search;
pub mod spread;
pub mod timeline;
mod tune;
pub mod verification;
pub mod world;

use crate::base::diag::{Severity, Warning};
use crate::base::time::Nanos;
use crate::scenario::autoscaler::Policy;
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::experiment::Experiment;
use crate::scenario::load::Arrivals;
use crate::scenario::plan::{Plan, Promise, Provenance};
use crate::sim::fit::{Fitted, Multipliers};
use crate::workload::schedule::{self, Material};
use capacity::Capacity;
use cost::Tariff;
use demand::Demand;
use draws::Uncertainty;
use evaluate::Simulation;
use explain::Answer;
use headroom::{Chosen, Split};
use limits::{Certificate, Doubt, Limits};
use recommendation::{Baseline, CandidateResult, Effort, PromiseText, Recommendation, Rejected, Timeline};
use search::{Evaluator, Found, Judged, Look, PeriodOutcome, Rules, Seeds, Size};
use std::fmt;
use tune::Ground;
use world::World;

/// Version of the [`Recommendation`] document.
pub const SCHEMA_VERSION: u32 = 1;

/// Requests that a plan may simulate, about. Strict promises over long periods take more, and say so.
const BUDGET: f64 = 100e6;

/// Why there is no recommendation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to plan.
    #[error("the scenario has no [plan]; expected a demand, a chunk and a price")]
    NoPlan,
    /// Nothing to keep.
    #[error("the scenario has no objective; expected a bound in [slo], for example `ttft = {{ p95 = \"800ms\" }}`: without one, every size will do")]
    NoObjective,
    /// Two currencies.
    #[error("plan.price: the first chunk is in {first} and the next ones in {next}; expected one currency")]
    Currencies {
        /// Of the first chunk.
        first: String,
        /// Of the next ones.
        next: String,
    },
    /// The demand cannot be drawn.
    #[error("plan.demand: {0}")]
    Demand(#[from] schedule::Error),
    /// Nobody comes.
    #[error("plan.demand: no request within {period}; expected some demand")]
    NoDemand {
        /// The period.
        period: String,
    },
    /// The recording ends long before the period does: the rest would be taken for silence.
    #[error(
        "plan.demand: the recording ends after {recorded}, long before plan.period = {period}: the rest would count as no demand at all; expected a period no longer than the recording, for example period = \"{fitting}s\""
    )]
    ShortRecording {
        /// Where the scaled recording ends.
        recorded: String,
        /// The period.
        period: String,
        /// Whole seconds of the recording.
        fitting: u64,
    },
    /// More is promised of requests than the lengths that were recorded can tell.
    #[error(
        "plan.promise.requests = {requests} speaks of 1 request in {one_in}, and only {rows} recorded lengths are there to draw from: what so rare a request looks like was never seen; expected at most {most}, or a longer recording"
    )]
    BeyondLengths {
        /// Share promised.
        requests: String,
        /// Its reciprocal tail.
        one_in: u64,
        /// Recorded rows.
        rows: usize,
        /// The largest share that they support.
        most: String,
    },
    /// The fit has too few draws for the confidence.
    #[error(
        "plan.promise.confidence = {confidence} needs at least {needed} outer draws to certify on, and the fit allows {draws}; expected a lower confidence or a model.json with more draws"
    )]
    TooFewDraws {
        /// Confidence.
        confidence: String,
        /// Draws that certification has.
        draws: u32,
        /// Draws that it needs.
        needed: u64,
    },
    /// The promise cannot be shown by simulation.
    #[error(
        "plan.promise: to show with {confidence} confidence that {periods} of periods keep it takes more than {most} simulated ones; expected less of either, for example 95% and 95%"
    )]
    NotCertifiable {
        /// Share of periods.
        periods: String,
        /// Confidence.
        confidence: String,
        /// The limit.
        most: u64,
    },
    /// A size of nothing.
    #[error("plan.{key} is {found}; expected {expected}")]
    Range {
        /// Key below `plan`.
        key: &'static str,
        /// The value.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
}

/// How far a plan is. Shown as one line: `search: min 2, max 5 (candidate 7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanProgress {
    /// What is being done.
    pub stage: Stage,
    /// The size being looked at.
    pub size: Option<Size>,
    /// Candidates looked at so far.
    pub candidates: u32,
}

/// The parts of planning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Demand and capacity of a chunk.
    Survey,
    /// Variants of the autoscaler.
    Tune,
    /// The search.
    Search,
    /// Fresh periods.
    Certify,
    /// What would do without lag and failures.
    Headroom,
    /// Rules of thumb and the next cheaper size.
    Compare,
    /// Worlds with less uncertainty.
    Limits,
}

impl fmt::Display for PlanProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stage {
            Stage::Survey => "demand and capacity of a chunk",
            Stage::Tune => "target and schedule",
            Stage::Search => "search",
            Stage::Certify => "certify on fresh periods",
            Stage::Headroom => "head-room by cause",
            Stage::Compare => "rules of thumb",
            Stage::Limits => "which uncertainty decides",
        })?;
        match self.size {
            Some(size) => write!(f, ": {} (candidate {})", explain::size(size), self.candidates),
            None => Ok(()),
        }
    }
}

/// The law of one chunk and what is not known of it.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// The best estimate.
    pub spec: &'a EndpointSpec,
    /// Where it comes from.
    pub source: Provenance,
    /// Laws that the measurement allows as well; fewer than two: the estimate is taken to be exact.
    pub draws: &'a [EndpointSpec],
    /// By how much a prediction may be too low.
    pub multipliers: Multipliers,
}

impl<'a> Model<'a> {
    /// A law that is taken to be exact.
    #[must_use]
    pub fn exact(spec: &'a EndpointSpec, source: Provenance) -> Self {
        Self { spec, source, draws: &[], multipliers: Multipliers::default() }
    }

    /// A fit with its uncertainty.
    #[must_use]
    pub fn fitted(fitted: &'a Fitted, source: Provenance) -> Self {
        Self { spec: &fitted.spec, source, draws: &fitted.draws, multipliers: fitted.multipliers }
    }
}

/// Finds minimum and maximum chunks for the plan of `experiment`.
///
/// `model` is the law of one chunk, taken to be exact, `model_source` where it comes from; `material` holds the rows of `plan.demand` (as
/// `arrivals`) and of the lengths. The result depends on nothing but these and the seed.
///
/// # Errors
/// See [`Error`]. That no size keeps the promise is no error: [`Recommendation::chosen`] is `None` then.
pub fn recommend(
    experiment: &Experiment,
    model: &EndpointSpec,
    model_source: Provenance,
    material: &Material,
    progress: &mut dyn FnMut(PlanProgress),
) -> Result<Recommendation, Error> {
    recommend_under(experiment, &Model::exact(model, model_source), material, progress)
}

/// [`recommend`] with what is not known of the endpoint (`model`) and of the level of demand (`plan.demand_error`) inside the promise.
///
/// # Errors
/// See [`Error`].
pub fn recommend_under(
    experiment: &Experiment,
    model: &Model<'_>,
    material: &Material,
    progress: &mut dyn FnMut(PlanProgress),
) -> Result<Recommendation, Error> {
    let scenario = &experiment.scenario;
    let plan = scenario.plan.as_ref().ok_or(Error::NoPlan)?;
    if scenario.slo.is_empty() {
        return Err(Error::NoObjective);
    }
    check_ranges(plan)?;
    check_recording(plan, material)?;
    let tariff = Tariff::new(&plan.price).map_err(|(first, next)| Error::Currencies { first, next })?;
    // Lengths of requests that come by a rate function are drawn from the rows of the recorded arrivals when they have no others.
    let borrowed = Material { lengths: material.lengths.clone().or_else(|| material.arrivals.clone()), ..material.clone() };
    check_lengths(plan, &borrowed)?;
    let endpoints = if model.draws.len() > 1 { model.draws.to_vec() } else { Vec::new() };
    let learnt = if plan.demand.is_none() { borrowed.demand.clone() } else { None };
    let uncertainty = Uncertainty { endpoints, multipliers: model.multipliers, demand_error: plan.demand_error.0, demand: learnt };
    let ground = Ground {
        scenario,
        law: model.spec,
        material: &borrowed,
        seed: experiment.seed,
        uncertainty: &uncertainty,
        draws: uncertainty.per_family(plan.promise.confidence.0),
        tariff: &tariff,
        threads: threads(),
    };
    progress(PlanProgress { stage: Stage::Survey, size: None, candidates: 0 });
    let survey = Survey::of(&ground.world(plan)?)?;
    let mut effort = Effort::default();
    let tuned = tune::autoscaler(&ground, plan, &survey.rules, &mut effort, progress)?;
    let world = ground.world(&tuned)?;
    let (threads, candidates) = (ground.threads, effort.candidates);
    let mut work = Work { world: &world, tariff: &tariff, survey: &survey, uncertainty: &uncertainty, threads, candidates, effort };
    let found = work.search(progress)?;
    let mut recommendation = work.unanswered(experiment, model.source, &found);
    work.answer(&found, &mut recommendation, progress)?;
    recommendation.effort = work.effort;
    Ok(recommendation)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(16))
}

fn check_ranges(plan: &Plan) -> Result<(), Error> {
    let range = |key, found: String, expected| Err(Error::Range { key, found, expected });
    if plan.max_chunks == 0 {
        return range("max_chunks", "0".to_owned(), "at least 1");
    }
    if plan.chunk.size.0 <= 0.0 {
        return range("chunk.size", plan.chunk.size.to_string(), "more than 0 tok/s");
    }
    if plan.period.nanos().0 == 0 {
        return range("period", plan.period.to_string(), "more than 0s");
    }
    if !(plan.growth.is_finite() && plan.growth > 0.0) {
        return range("growth", plan.growth.to_string(), "a finite number above 0");
    }
    if !(0.0..=3.0).contains(&plan.day_sigma) {
        return range("day_sigma", plan.day_sigma.to_string(), "from 0 to 3");
    }
    Ok(())
}

/// Refuses a recording that covers less than nine tenths of the period.
fn check_recording(plan: &Plan, material: &Material) -> Result<(), Error> {
    let (Some(Arrivals::Trace { time_scale, .. }), Some(rows)) = (&plan.demand, &material.arrivals) else { return Ok(()) };
    let last = rows.rows.iter().filter_map(|row| row.at).max().unwrap_or_default();
    let recorded = Nanos::from_secs_f64(last.as_secs_f64() / time_scale.max(1e-9));
    if recorded.as_secs_f64() < 0.9 * plan.period.as_secs_f64() {
        let fitting = recorded.0 / 1_000_000_000;
        return Err(Error::ShortRecording { recorded: recorded.to_string(), period: plan.period.to_string(), fitting });
    }
    Ok(())
}

/// Refuses a promise on requests rarer than any that was recorded.
fn check_lengths(plan: &Plan, material: &Material) -> Result<(), Error> {
    let Some(rows) = &material.lengths else { return Ok(()) };
    let (count, missed) = (rows.rows.len(), 1.0 - plan.promise.requests.0);
    // Recorded lengths may hold no request at all of the tail that the promise is about.
    if count == 0 || missed <= 0.0 || missed * count as f64 >= 1.0 - 1e-9 {
        return Ok(());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    let one_in = (1.0 / missed).round() as u64;
    let most = explain::percent(1.0 - 1.0 / count as f64);
    Err(Error::BeyondLengths { requests: plan.promise.requests.to_string(), one_in, rows: count, most })
}

/// What is known before the search.
struct Survey {
    demand: Demand,
    capacity: Capacity,
    rules: Rules,
}

impl Survey {
    fn of(world: &World<'_>) -> Result<Self, Error> {
        let plan = world.plan;
        let Promise { requests, periods, confidence } = plan.promise;
        let demand = demand::look(world, 4, requests.0)?;
        if demand.requests_per_period <= 0.0 {
            return Err(Error::NoDemand { period: plan.period.to_string() });
        }
        let capacity = capacity::of_one_chunk(world, &demand, requests.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate, and the search clamps it")]
        let guess = (demand.p95_minute_tok_s / if capacity.tok_s > 0.0 { capacity.tok_s } else { plan.chunk.size.0 }).ceil() as u32;
        let policy = &plan.autoscaler.policy;
        let mut rules = Rules {
            requests: requests.0,
            periods: periods.0,
            confidence: confidence.0,
            max_chunks: plan.max_chunks,
            least: u32::from(!matches!(policy, Policy::Keda(_))),
            lowest: demand.lowest_chunks,
            guess,
            fixed: matches!(policy, Policy::Units(units) if units.burst.is_none()),
            search_periods: 1,
            certify_periods: 1,
            certify_least: 0,
            draws: world.outer_draws(),
        };
        budget(&mut rules, plan, demand.requests_per_period);
        if rules.bars().is_empty() {
            return Err(not_certifiable(&rules, plan));
        }
        Ok(Self { demand, capacity, rules })
    }
}

fn not_certifiable(rules: &Rules, plan: &Plan) -> Error {
    let Promise { periods, confidence, .. } = plan.promise;
    let risk = 1.0 - confidence.0;
    if rules.draws > 1 && risk > 0.0 && 1.0 / (f64::from(rules.draws) + 1.0) >= risk {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let needed = (1.0 / risk).floor() as u64;
        return Error::TooFewDraws { confidence: confidence.to_string(), draws: rules.draws, needed };
    }
    Error::NotCertifiable { periods: periods.to_string(), confidence: confidence.to_string(), most: bar::MOST_PERIODS.into() }
}

/// Shares the budget: enough periods in the search to tell good from bad, and enough in certification that a size that is good enough is not
/// refused for a few bad days. `plan.search` overrides both.
fn budget(rules: &mut Rules, plan: &Plan, requests_per_period: f64) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    let affordable = |share: f64, candidates: f64| (share * BUDGET / (candidates * requests_per_period.max(1.0))) as u32;
    rules.certify_periods = affordable(0.4, 4.0).clamp(1, bar::MOST_PERIODS);
    let certify = rules.bars().first().map_or(1, bar::Bar::periods);
    // A few for each outer draw; without draws, as many as certification takes, for a fair guess of what will pass.
    let (fewest, wanted) = if rules.draws > 1 { (rules.draws, 4 * rules.draws) } else { (4, certify) };
    rules.search_periods = affordable(0.5, 16.0).clamp(fewest, wanted.max(fewest));
    if let Some(periods) = plan.search.periods {
        rules.search_periods = periods.max(fewest);
    }
    if let Some(periods) = plan.search.certify {
        rules.certify_least = periods;
        rules.certify_periods = rules.certify_periods.max(periods);
    }
}

/// The planner at work.
struct Work<'a> {
    world: &'a World<'a>,
    tariff: &'a Tariff,
    survey: &'a Survey,
    uncertainty: &'a Uncertainty,
    threads: usize,
    candidates: u32,
    effort: Effort,
}

impl Work<'_> {
    fn search(&mut self, progress: &mut dyn FnMut(PlanProgress)) -> Result<Found, Error> {
        let mut simulation = Simulation::new(self.world, self.tariff, self.threads);
        let mut look = |look: Look| {
            self.candidates += u32::from(look.seeds == Seeds::Search);
            let stage = if look.seeds == Seeds::Search { Stage::Search } else { Stage::Certify };
            progress(PlanProgress { stage, size: Some(look.size), candidates: self.candidates });
        };
        let found = search::search(&self.survey.rules, &mut simulation, &mut look);
        let error = simulation.error.take();
        self.effort.periods += simulation.periods;
        self.effort.requests += simulation.requests;
        self.effort.candidates = self.candidates;
        error.map_or(Ok(found), |e| Err(e.into()))
    }

    /// Simulates `size` on the seeds of a round until its bar is decided, or all of it when `is_whole`.
    fn simulate(&mut self, size: Size, round: u32, bar: bar::Bar, is_whole: bool) -> Vec<PeriodOutcome> {
        let mut simulation = Simulation::new(self.world, self.tariff, self.threads);
        let mut outcomes: Vec<PeriodOutcome> = Vec::new();
        let mut tally = bar::Tally::new(bar);
        let mut next = 0;
        while next < bar.periods() && (is_whole || !tally.is_missed()) {
            let end = (next + 8).min(bar.periods());
            let more = simulation.evaluate(size, Seeds::Certify(round), next..end);
            for (index, period) in (next..).zip(&more) {
                tally.add(index, self.survey.rules.keeps(period));
            }
            outcomes.extend(more);
            next = end;
        }
        self.effort.periods += simulation.periods;
        self.effort.requests += simulation.requests;
        outcomes
    }

    /// What a size did on fresh periods. With outer draws the bar decides on the promise, not the periods of all draws together.
    fn result(&self, size: Size, periods: &[PeriodOutcome], bar: bar::Bar) -> CandidateResult {
        let mut result = explain::candidate(&self.survey.rules, size, periods);
        if bar.draws > 1 {
            let mut tally = bar::Tally::new(bar);
            for (index, period) in (0..).zip(periods) {
                tally.add(index, self.survey.rules.keeps(period));
            }
            result.keeps_promise = periods.len() >= bar.periods() as usize && !tally.is_missed();
        }
        result
    }

    /// Everything that does not depend on the chosen size, and the answer when there is none.
    fn unanswered(&self, experiment: &Experiment, model_source: Provenance, found: &Found) -> Recommendation {
        let (plan, survey) = (self.world.plan, self.survey);
        let scenario = &experiment.scenario;
        let binding = self.why_none(found);
        let most = Size::fixed(plan.max_chunks);
        Recommendation {
            schema_version: SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: scenario.name.clone(),
            question: scenario.question.clone(),
            seed: experiment.seed.0,
            sentence: format!(
                "no size up to {} of {} tokens/s keeps the promise: {binding}",
                explain::chunks(plan.max_chunks),
                explain::grouped(plan.chunk.size.0)
            ),
            chosen: None,
            chunk_tok_s: plan.chunk.size.0,
            effective_chunk_tok_s: survey.capacity.tok_s,
            promise: PromiseText { requests: plan.promise.requests.0, periods: plan.promise.periods.0, confidence: plan.promise.confidence.0 },
            currency: self.tariff.currency.clone(),
            demand: survey.demand.facts,
            headroom: Vec::new(),
            clairvoyant: Baseline::default(),
            binding,
            next_cheaper: None,
            naive: Vec::new(),
            frontier: self.frontier(found, None),
            timeline: Timeline::default(),
            assumptions: assumptions::list(self.world, &scenario.slo, &survey.demand, model_source),
            create_body: request::create_body(plan, most),
            resize_body: request::resize_body(plan, most),
            certificate: None,
            limits: Limits::default(),
            warnings: assumptions::doubts(self.world, &scenario.slo, &survey.demand, &survey.capacity),
            effort: Effort::default(),
        }
    }

    fn why_none(&self, found: &Found) -> String {
        let (rules, plan) = (&self.survey.rules, self.world.plan);
        if rules.lowest > plan.max_chunks {
            return format!("the work of the busiest hours alone takes {} chunks, however long requests may wait", rules.lowest);
        }
        let largest = Size::fixed(plan.max_chunks);
        match found.judged.last().map(|j| (j.size, &j.periods)).or_else(|| found.looked.get_key_value(&largest).map(|(s, p)| (*s, p))) {
            Some((size, periods)) => format!("at {} {}", explain::size(size), explain::why_fails(rules, plan, periods)),
            None => "no size could be judged".to_owned(),
        }
    }

    /// Fills in everything about the chosen size; without one, the rules of thumb and a warning.
    fn answer(&mut self, found: &Found, to: &mut Recommendation, progress: &mut dyn FnMut(PlanProgress)) -> Result<(), Error> {
        let Some(chosen) = &found.chosen else {
            to.warnings.push(Warning {
                severity: Severity::Doubt,
                code: "promise-out-of-reach".to_owned(),
                message: to.sentence.clone(),
                limit: String::new(),
                hint: "raise plan.max_chunks, loosen [slo] or plan.promise; the request bodies show the largest size considered".to_owned(),
            });
            self.thumbs(None, to, progress);
            return Ok(());
        };
        let plan = self.world.plan;
        let result = self.result(chosen.size, &chosen.periods, chosen.bar);
        progress(PlanProgress { stage: Stage::Headroom, size: None, candidates: self.candidates });
        let split = self.headroom(found, chosen, result.mean_chunks, progress);
        progress(PlanProgress { stage: Stage::Compare, size: None, candidates: self.candidates });
        to.next_cheaper = self.next_cheaper(found, chosen);
        let cheaper = to.next_cheaper.as_ref().map(|r| (Size { min: r.result.min_chunks, max: r.result.max_chunks }, r.reason.as_str()));
        let lag_s = world::mean_lag_s(&plan.autoscaler.lag);
        let answer = Answer { plan, size: chosen.size, mean_chunks: result.mean_chunks, cheaper, headroom: &split.parts, lag_s };
        to.sentence = explain::sentence(&answer);
        to.binding = match cheaper {
            Some((size, reason)) => format!("at {} {reason}", explain::size(size)),
            None => "one chunk is the least that can be bought, and it keeps the promise".to_owned(),
        };
        to.headroom = split.parts;
        to.clairvoyant = split.clairvoyant;
        to.frontier = self.frontier(found, Some(chosen));
        to.timeline = timeline::of_worst(self.world, self.tariff, chosen)?;
        to.create_body = request::create_body(plan, chosen.size);
        to.resize_body = request::resize_body(plan, chosen.size);
        to.chosen = Some(result);
        to.certificate = Some(self.certificate(chosen));
        self.thumbs(Some(chosen), to, progress);
        progress(PlanProgress { stage: Stage::Limits, size: None, candidates: self.candidates });
        to.limits = self.limits(found, progress);
        Ok(())
    }

    fn certificate(&self, chosen: &Judged) -> Certificate {
        let spent = (0..).zip(self.survey.rules.bars()).take_while(|(round, _)| *round <= chosen.round);
        let risk = spent.map(|(_, bar)| bar.risk(self.survey.rules.periods)).sum();
        Certificate { bar: chosen.bar, bad_draws: chosen.bad_draws, risk }
    }

    fn limits(&mut self, found: &Found, progress: &mut dyn FnMut(PlanProgress)) -> Limits {
        let rules = &self.survey.rules;
        let doubt = Doubt { uncertainty: self.uncertainty, confidence: rules.confidence };
        let mut candidates = self.candidates;
        let (limits, effort) = limits::find(self.world, self.tariff, rules, (found, &doubt), self.threads, &mut |look| {
            candidates += 1;
            progress(PlanProgress { stage: Stage::Limits, size: Some(look.size), candidates });
        });
        self.effort.periods += effort.periods;
        self.effort.requests += effort.requests;
        self.effort.candidates += effort.candidates;
        limits
    }

    fn headroom(&mut self, found: &Found, chosen: &Judged, mean_chunks: f64, progress: &mut dyn FnMut(PlanProgress)) -> Split {
        let rules = Rules { guess: chosen.size.max, ..self.survey.rules };
        let cheapest = found.cheapest.and_then(|size| found.looked.get(&size));
        let what = Chosen { size: chosen.size, mean_chunks, cheapest: cheapest.map(Vec::as_slice) };
        let mut candidates = self.candidates;
        let split =
            headroom::split(self.world, self.tariff, &rules, &what, (&self.survey.demand, self.survey.capacity.tok_s), self.threads, &mut |look| {
                candidates += 1;
                progress(PlanProgress { stage: Stage::Headroom, size: Some(look.size), candidates });
            });
        self.effort.periods += split.periods;
        self.effort.requests += split.requests;
        self.effort.candidates += split.candidates;
        split
    }

    /// The dearest candidate that is cheaper than the chosen one, on the periods that certified it. Costs are compared on common periods.
    fn next_cheaper(&mut self, found: &Found, chosen: &Judged) -> Option<Rejected> {
        let reference = found.looked.get(&chosen.size);
        let saving = |periods: &[PeriodOutcome]| {
            let own = reference.map_or(&chosen.periods[..], Vec::as_slice);
            let common = own.len().min(periods.len());
            search::mean_cost(&own[..common]) - search::mean_cost(&periods[..common])
        };
        let size = found
            .looked
            .iter()
            .filter(|(size, periods)| **size != chosen.size && saving(periods) > 1e-9)
            .min_by(|a, b| saving(a.1).total_cmp(&saving(b.1)).then(a.0.cmp(b.0)))
            .map(|(size, _)| *size)?;
        let rules = self.survey.rules;
        let periods = self.simulate(size, chosen.round, chosen.bar, true);
        let result = self.result(size, &periods, chosen.bar);
        let reason = explain::why_fails(&rules, self.world.plan, &periods);
        Some(Rejected { rule: "next cheaper".to_owned(), result, reason })
    }

    /// Rules of thumb, judged like the chosen size, on the same periods.
    fn thumbs(&mut self, chosen: Option<&Judged>, to: &mut Recommendation, progress: &mut dyn FnMut(PlanProgress)) {
        let rules = self.survey.rules;
        let round = chosen.map_or(0, |c| c.round);
        let Some(bar) = chosen.map(|c| c.bar).or_else(|| rules.bars().first().copied()) else { return };
        for thumb in naive::rules(&self.survey.demand, self.world.plan.chunk.size.0) {
            progress(PlanProgress { stage: Stage::Compare, size: Some(thumb.size), candidates: self.candidates });
            let size = thumb.size;
            let known = chosen.filter(|c| c.size == size).map(|c| c.periods.clone());
            let outcomes = known.unwrap_or_else(|| self.simulate(size, round, bar, false));
            let result = self.result(size, &outcomes, bar);
            let reason = self.thumb_reason(&result, &outcomes, to.chosen.as_ref());
            to.naive.push(Rejected { rule: thumb.rule.to_owned(), result, reason });
        }
    }

    fn thumb_reason(&self, result: &CandidateResult, outcomes: &[PeriodOutcome], chosen: Option<&CandidateResult>) -> String {
        if !result.keeps_promise {
            return explain::why_fails(&self.survey.rules, self.world.plan, outcomes);
        }
        let more = result.cost_per_hour - chosen.map_or(0.0, |c| c.cost_per_hour);
        let currency = &self.tariff.currency;
        match chosen {
            Some(c) if (c.min_chunks, c.max_chunks) == (result.min_chunks, result.max_chunks) => "the same size".to_owned(),
            Some(_) if more >= 0.0 => format!("it keeps the promise too, for {more:.2} {currency} an hour more"),
            _ => "it keeps the promise on these periods, and was not certified".to_owned(),
        }
    }

    /// Every size looked at, cheapest first: judged ones by their fresh periods, the others by those of the search.
    fn frontier(&self, found: &Found, chosen: Option<&Judged>) -> Vec<CandidateResult> {
        let rules = &self.survey.rules;
        let mut frontier = Vec::new();
        for (size, periods) in &found.looked {
            let judged = found.judged.iter().rev().find(|j| j.size == *size && j.certified);
            frontier.push(match judged {
                Some(judged) => self.result(*size, &judged.periods, judged.bar),
                None => explain::comparable(rules, self.tariff, *size, periods, dearness(found, chosen, periods.len())),
            });
        }
        for judged in found.judged.iter().filter(|j| !found.looked.contains_key(&j.size)) {
            frontier.push(self.result(judged.size, &judged.periods, judged.bar));
        }
        frontier.sort_by(|a, b| a.cost_per_hour.total_cmp(&b.cost_per_hour).then((a.min_chunks, a.max_chunks).cmp(&(b.min_chunks, b.max_chunks))));
        frontier
    }
}

/// What the chosen size pays on average, against what it paid in the first `periods` periods of the search; one when not known.
fn dearness(found: &Found, chosen: Option<&Judged>, periods: usize) -> f64 {
    let mean = |outcomes: &[PeriodOutcome]| outcomes.iter().map(|p| p.mean_chunks).sum::<f64>() / outcomes.len().max(1) as f64;
    let seen = chosen.and_then(|c| found.looked.get(&c.size).map(|own| (mean(&c.periods), mean(&own[..periods.min(own.len())]))));
    seen.filter(|(_, first)| *first > 0.0).map_or(1.0, |(all, first)| all / first)
}

#[cfg(test)]
mod tests {
    use crate::scenario::plan::Plan;

    /// A plan of a few minutes, small enough for a debug build.
    pub(super) fn tiny_plan() -> Plan {
        let json = serde_json::json!({
            "demand": { "poisson": { "rate": "2/s" } },
            "period": "10min",
            "chunk": { "size": "1580 tok/s", "source": "documented" },
            "price": { "first": "6 USD/h", "next": "24 USD/h", "source": "documented" },
        });
        serde_json::from_value(json).unwrap()
    }
}
