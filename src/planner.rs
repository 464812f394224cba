//! `Recommendation`: minimum and maximum chunks, and why; found by simulation of the demand in virtual time.

pub mod assumptions;
pub mod bar;
pub mod binned;
pub mod bounds;
pub mod capacity;
pub mod chart;
mod compare;
pub mod cost;
mod decision;
pub mod demand;
pub mod draws;
pub mod evaluate;
pub mod explain;
pub mod headroom;
pub mod hybrid;
pub mod judgement;
pub mod limits;
pub mod metered;
pub mod mixture;
pub mod naive;
pub mod nearby;
pub mod probed;
pub mod recommendation;
mod refusal;
pub mod request;
pub mod search;
pub mod sensitivity;
pub mod spread;
mod survey;
pub mod timeline;
mod tune;
pub mod units;
pub mod verification;
pub mod what_if;
pub mod work;
pub mod world;

use crate::base::diag::{Severity, Warning};
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::experiment::Experiment;
use crate::scenario::plan::{Chunk, Plan, Provenance};
use crate::scenario::unit::{LoadRule, Overflow};
use crate::sim::fit::{Fitted, Multipliers};
use crate::workload::schedule::Material;
use cost::{Bill, Tariff};
pub use decision::{Decision, decide};
use draws::Uncertainty;
use evaluate::Simulation;
use explain::Answer;
use headroom::{Chosen, Split};
use hybrid::Depth;
use limits::{Certificate, Doubt, Limits};
use recommendation::{BreakEven, CandidateResult, Clairvoyant, Effort, PromiseText, Recommendation, Timeline};
pub use refusal::Error;
use search::{Evaluator, Found, Judged, Look, PeriodOutcome, Rules, Seeds, Size};
use std::fmt;
use survey::Survey;
use tune::Ground;
use world::World;

/// Version of the [`Recommendation`] document.
pub const SCHEMA_VERSION: u32 = 1;

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
    /// Other inputs.
    Sensitivity,
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
            Stage::Sensitivity => "other inputs",
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
    if let Some(unit) = &plan.unit {
        let profile = unit.profile.as_ref().ok_or(Error::NoUnit)?;
        refusal::check_recording(plan, material)?;
        return match &profile.load {
            LoadRule::Tokens(size) if profile.overflow == Overflow::Queue => {
                recommend_under(&with_chunk(experiment, Chunk { size: *size, source: profile.source }), model, material, progress)
            }
            _ => metered::recommend(experiment, profile, model, material, progress),
        };
    }
    refusal::check_ranges(plan)?;
    refusal::check_recording(plan, material)?;
    let tariff = Tariff::new(&plan.price)?;
    let borrowed = with_lengths(material);
    refusal::check_lengths(plan, &borrowed)?;
    let beyond = refusal::check_days(plan, material)?;
    let uncertainty = uncertainty_of(plan, model, &borrowed);
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
    recommendation.warnings.extend(beyond);
    recommendation.effort = work.effort;
    Ok(recommendation)
}

/// A size by its periods; the promise is kept when the bar is met.
fn result(rules: &Rules, size: Size, periods: &[PeriodOutcome], bar: bar::Bar) -> CandidateResult {
    let mut tally = bar::Tally::new(bar);
    for (index, period) in (0..).zip(periods) {
        tally.add(index, rules.keeps(period));
    }
    let keeps_promise = periods.len() >= bar.periods() as usize && !tally.is_missed();
    CandidateResult { keeps_promise, ..explain::candidate(rules, size, periods) }
}

/// How the promise was shown for the size chosen. One draw: the risks of the rounds before count too.
fn certificate(rules: &Rules, chosen: &Judged) -> Certificate {
    let before = (0..).zip(rules.bars()).take_while(|(round, bar)| *round < chosen.round && bar.draws == 1);
    let risk = before.map(|(_, bar)| bar.risk).sum::<f64>() + if chosen.bar.draws > 1 { chosen.risk } else { chosen.bar.risk };
    Certificate { bar: chosen.bar, bad_draws: chosen.bad_draws, risk }
}

/// What is not known of the endpoint and of the demand.
fn uncertainty_of(plan: &Plan, model: &Model<'_>, material: &Material) -> Uncertainty {
    let endpoints = if model.draws.len() > 1 { model.draws.to_vec() } else { Vec::new() };
    let learnt = if plan.demand.is_none() { material.demand.clone() } else { None };
    Uncertainty { endpoints, multipliers: model.multipliers, demand_error: plan.demand_error.0, demand: learnt }
}

/// The same plan in chunks.
fn with_chunk(experiment: &Experiment, chunk: Chunk) -> Experiment {
    let mut experiment = experiment.clone();
    if let Some(plan) = &mut experiment.scenario.plan {
        plan.chunk = chunk;
        plan.unit = None;
    }
    experiment
}

/// Lengths of requests that come by a rate function are drawn from the rows of the recorded arrivals when they have no others.
fn with_lengths(material: &Material) -> Material {
    Material { lengths: material.lengths.clone().or_else(|| material.arrivals.clone()), ..material.clone() }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(16))
}

/// Periods of the chosen size in which every miss is counted, at most; of the others whether they kept the promise and about how many they missed.
const EXPLAINED: u32 = 256;

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
        let mut found = search::search(&self.survey.rules, &mut simulation, &mut look);
        // Certification asks for verdicts; the report says how many requests were missed, and by which cause.
        if let Some(chosen) = found.chosen.as_mut().filter(|chosen| chosen.periods.iter().any(|p| !p.is_exact)) {
            simulation.set_depth(Depth::Full);
            let shown = chosen.bar.periods().min(EXPLAINED);
            for (known, exact) in chosen.periods.iter_mut().zip(simulation.evaluate(chosen.size, Seeds::Certify(chosen.round), 0..shown)) {
                *known = exact;
            }
        }
        if let Some(chosen) = &found.chosen {
            for judged in found.judged.iter_mut().filter(|j| j.certified && j.size == chosen.size) {
                judged.periods.clone_from(&chosen.periods);
            }
        }
        let error = simulation.error.take();
        self.effort.periods += simulation.periods;
        self.effort.requests += simulation.requests;
        self.effort.simulated += simulation.simulated;
        self.effort.candidates = self.candidates;
        error.map_or(Ok(found), |e| Err(e.into()))
    }

    /// Simulates `size` on the seeds of a round until its bar is decided.
    fn simulate(&mut self, size: Size, round: u32, bar: bar::Bar) -> Vec<PeriodOutcome> {
        let mut simulation = Simulation::new(self.world, self.tariff, self.threads);
        let mut outcomes: Vec<PeriodOutcome> = Vec::new();
        let mut tally = bar::Tally::new(bar);
        let mut next = 0;
        while next < bar.periods() && !tally.is_missed() {
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
        self.effort.simulated += simulation.simulated;
        outcomes
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
            clairvoyant: Clairvoyant::default(),
            binding,
            prices: cost::facts(&plan.price),
            break_even: None,
            unit: None,
            next_cheaper: None,
            naive: Vec::new(),
            frontier: self.frontier(found, None),
            timeline: Timeline::default(),
            next_worst: Vec::new(),
            sensitivity: None,
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
            self.thumbs(None, found, to, progress);
            return Ok(());
        };
        let plan = self.world.plan;
        let judged = result(&self.survey.rules, chosen.size, &chosen.periods, chosen.bar);
        let result = CandidateResult { keeps_promise: chosen.certified, certified: true, ..judged };
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
        let mut worst = timeline::of_worst(self.world, self.tariff, chosen)?.into_iter();
        to.timeline = worst.next().unwrap_or_default();
        to.next_worst = worst.collect();
        to.break_even = self.break_even(result.cost_per_hour);
        to.create_body = request::create_body(plan, chosen.size);
        to.resize_body = request::resize_body(plan, chosen.size);
        to.chosen = Some(result);
        to.certificate = Some(certificate(&self.survey.rules, chosen));
        self.thumbs(Some(chosen), found, to, progress);
        progress(PlanProgress { stage: Stage::Limits, size: None, candidates: self.candidates });
        to.limits = self.limits(found, progress);
        Ok(())
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
        self.effort.simulated += effort.simulated;
        self.effort.candidates += effort.candidates;
        limits
    }

    /// Against paying by the token, when its price is known.
    fn break_even(&self, cost_per_hour: f64) -> Option<BreakEven> {
        let facts = &self.survey.demand.facts;
        let bill = Bill {
            input_tok_s: facts.mean_input_tok_s,
            output_tok_s: facts.mean_tok_s - facts.mean_input_tok_s,
            effective_tok_s: self.survey.capacity.tok_s,
            cost_per_hour,
        };
        cost::break_even(self.tariff, self.world.plan.price.pay_per_token.as_ref()?, &bill)
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
        self.effort.simulated += split.simulated;
        self.effort.candidates += split.candidates;
        split
    }

    /// Every size looked at, cheapest first: judged ones by their fresh periods, the others by those of the search.
    fn frontier(&self, found: &Found, chosen: Option<&Judged>) -> Vec<CandidateResult> {
        let rules = &self.survey.rules;
        let mut frontier = Vec::new();
        for (size, periods) in &found.looked {
            let judged = found.judged.iter().rev().find(|j| j.size == *size && j.certified);
            frontier.push(match judged {
                Some(judged) => CandidateResult { certified: true, ..result(&self.survey.rules, *size, &judged.periods, judged.bar) },
                None => explain::comparable(rules, self.tariff, *size, periods, dearness(found, chosen, periods.len())),
            });
        }
        for judged in found.judged.iter().filter(|j| !found.looked.contains_key(&j.size)) {
            frontier.push(result(&self.survey.rules, judged.size, &judged.periods, judged.bar));
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

    /// Rules of a shallow search without uncertainty.
    pub(super) fn rules(max_chunks: u32) -> super::search::Rules {
        super::search::Rules {
            requests: 0.99,
            periods: 0.9,
            confidence: 0.9,
            max_chunks,
            least: 1,
            lowest: 1,
            guess: 1,
            fixed: false,
            search_periods: 4,
            certify_periods: 22,
            certify_least: 0,
            draws: 1,
        }
    }

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
