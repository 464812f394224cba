//! A plan in units that are metered: a fixed number of them, bought in steps; requests beyond them wait or are answered 429.
//!
//! The endpoint behind the meter belongs to the provider. A request that is let in is taken to be served as if it were alone on `[endpoint]`: that
//! is what the provider promises below full use. So a period is a walk over its requests, without an event simulation.

use super::bar::Bar;
use super::cost::{self, Bill, Tariff};
use super::demand::{self, Demand};
use super::evaluate::Judgement;
use super::explain;
use super::limits::Limits;
use super::recommendation::{
    Baseline, CandidateResult, Clairvoyant, Effort, HeadroomPart, PromiseText, Recommendation, Rejected, Timeline, UnitFacts,
};
use super::search::{self, Evaluator, Found, Judged, Look, PARTS, PeriodOutcome, Rules, Seeds, Size};
use super::survey;
use super::timeline::{self, Points};
use super::units::{self, Admission, Load, Meter, Tokens};
use super::world::{Bounds, World};
use super::{Error, Model, PlanProgress, SCHEMA_VERSION, Stage, assumptions, naive};
use crate::base::time::Nanos;
use crate::record::outcome::Group;
use crate::record::request::Phase;
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::experiment::Experiment;
use crate::scenario::plan::Provenance;
use crate::scenario::unit::UnitProfile;
use crate::sim::virtual_time::Source;
use crate::workload::schedule::{self, Arrival, Material};
use std::ops::Range;

/// The number of units after so many steps: the minimum, then one increment each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Steps {
    minimum: u32,
    increment: u32,
}

impl Steps {
    fn of(profile: &UnitProfile) -> Self {
        Self { minimum: profile.minimum.max(1), increment: profile.increment.max(1) }
    }

    /// Units after `step` steps, from 1.
    fn units(self, step: u32) -> u32 {
        self.minimum.saturating_add(step.saturating_sub(1).saturating_mul(self.increment))
    }

    /// The fewest steps to at least `units`.
    fn reaching(self, units: u32) -> u32 {
        units.saturating_sub(self.minimum).div_ceil(self.increment).saturating_add(1)
    }
}

/// How a request is served when it is alone on `spec`: seconds to its first token, and between tokens.
///
/// TTFT is the network and every iteration of its prompt; TPOT is one decoding iteration with half of the output behind it.
#[must_use]
pub fn alone_s(spec: &EndpointSpec, tokens: Tokens) -> (f64, f64) {
    let law = &spec.step;
    let iteration = |work: f64| (law.base.as_secs_f64().powf(law.curvature) + work.powf(law.curvature)).powf(1.0 / law.curvature);
    let cached = tokens.cached.min(tokens.input.saturating_sub(1));
    let mut ttft = spec.network.as_secs_f64();
    let mut at = cached;
    while at < tokens.input.max(1) {
        let part = (tokens.input.max(1) - at).min(spec.prefill_budget.max(1));
        let before = f64::from(at) + f64::from(part) / 2.0;
        let token = law.per_prefill_token.as_secs_f64() + law.prefill_growth.as_secs_f64() * before / 1000.0;
        ttft += iteration(token * f64::from(part));
        at += part;
    }
    let context = f64::from(tokens.input) + f64::from(tokens.output) / 2.0;
    let step = iteration(law.per_sequence.as_secs_f64() + law.per_context_token.as_secs_f64() * context);
    (ttft, step / f64::from(spec.tokens_per_step.max(1)))
}

/// Judges periods of a metered endpoint. Sizes count steps, and only fixed ones can be bought.
struct Metered<'a> {
    world: &'a World<'a>,
    tariff: &'a Tariff,
    profile: &'a UnitProfile,
    steps: Steps,
    periods: u64,
    requests: u64,
    error: Option<schedule::Error>,
}

impl<'a> Metered<'a> {
    fn new(world: &'a World<'a>, tariff: &'a Tariff, profile: &'a UnitProfile) -> Self {
        Self { world, tariff, profile, steps: Steps::of(profile), periods: 0, requests: 0, error: None }
    }

    /// One period with `units` units; `each` sees every counted request, whether it was good, and the instant it was due within the period.
    fn period(&self, units: u32, seeds: Seeds, period: u32, each: &mut dyn FnMut(&Arrival, bool, Nanos)) -> Result<PeriodOutcome, schedule::Error> {
        let mut source = self.world.period(seeds, period)?;
        let draw = self.world.draw(seeds, period);
        let begin = source.begin();
        let length_s = self.world.plan.period.as_secs_f64().max(1e-9);
        let mut meter = Meter::new(self.profile, units);
        let mut outcome = PeriodOutcome { peak_chunks: units, mean_chunks: f64::from(units), ..PeriodOutcome::default() };
        outcome.cost_per_hour = self.tariff.per_hour(f64::from(units));
        while let Some(arrival) = source.pop() {
            let tokens = Tokens { input: arrival.input_tokens, cached: arrival.shared_tokens, output: arrival.output_tokens };
            let served = served(&mut meter, &draw.endpoint, &arrival, tokens);
            let judgement = judge(served, tokens, &draw.bounds, self.world.plan.timeout.as_secs_f64());
            let ended = arrival.at + Nanos::from_secs_f64(served.map_or(0.0, |s| s.e2e_s(tokens)));
            source.completed(&arrival, ended, judgement.ended.is_none());
            if arrival.phase == Phase::Warmup {
                continue;
            }
            let due = arrival.at.since(begin);
            outcome.total += 1;
            if judgement.is_good() {
                outcome.good += 1;
            } else {
                outcome.misses.add(judgement);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and cut to the last part")]
                let part = ((due.as_secs_f64() / length_s * PARTS as f64) as usize).min(PARTS - 1);
                outcome.missed_by_part[part] += 1;
            }
            each(&arrival, judgement.is_good(), due);
        }
        Ok(outcome)
    }

    fn judged(&mut self, step: u32, seeds: Seeds, periods: Range<u32>) -> Vec<PeriodOutcome> {
        self.evaluate(Size::fixed(step), seeds, periods)
    }
}

impl Evaluator for Metered<'_> {
    fn evaluate(&mut self, size: Size, seeds: Seeds, periods: Range<u32>) -> Vec<PeriodOutcome> {
        // What cannot be bought keeps no period.
        if size.min != size.max {
            return periods.map(|_| PeriodOutcome { total: 1, cost_per_hour: f64::INFINITY, ..PeriodOutcome::default() }).collect();
        }
        let units = self.steps.units(size.max);
        let mut outcomes = Vec::new();
        for period in periods {
            match self.period(units, seeds, period, &mut |_, _, _| {}) {
                Ok(outcome) => {
                    self.periods += 1;
                    self.requests += outcome.total;
                    outcomes.push(outcome);
                }
                Err(error) => {
                    self.error.get_or_insert(error);
                    outcomes.push(PeriodOutcome::default());
                }
            }
        }
        outcomes
    }
}

/// How a request that was let in is served.
#[derive(Clone, Copy, Debug)]
struct Served {
    ttft_s: f64,
    tpot_s: f64,
}

impl Served {
    fn e2e_s(self, tokens: Tokens) -> f64 {
        self.ttft_s + self.tpot_s * f64::from(tokens.output.saturating_sub(1))
    }
}

/// `None`: 429.
fn served(meter: &mut Meter<'_>, endpoint: &EndpointSpec, arrival: &Arrival, tokens: Tokens) -> Option<Served> {
    let (ttft_s, tpot_s) = alone_s(endpoint, tokens);
    let alone = Served { ttft_s, tpot_s };
    match meter.offer(arrival.at.as_secs_f64(), tokens, alone.e2e_s(tokens)) {
        Admission::After(wait_s) => Some(Served { ttft_s: wait_s + ttft_s, tpot_s }),
        Admission::Throttled => None,
    }
}

fn judge(served: Option<Served>, tokens: Tokens, bounds: &Bounds, patience_s: f64) -> Judgement {
    let Some(served) = served else { return Judgement { ended: Some(Group::Throttled), ..Judgement::default() } };
    let e2e_s = served.e2e_s(tokens);
    if e2e_s > patience_s {
        return Judgement { ended: Some(Group::TimedOut), ..Judgement::default() };
    }
    Judgement {
        ttft: bounds.ttft.is_some_and(|bound| served.ttft_s > bound.as_secs_f64()),
        tpot: tokens.output > 1 && bounds.tpot_s.is_some_and(|bound| served.tpot_s > bound),
        e2e: bounds.e2e.is_some_and(|bound| e2e_s > bound.as_secs_f64()),
        ended: None,
    }
}

/// The mean load of a request in each pool, unit-seconds, and its mean tokens.
fn mean_load(profile: &UnitProfile, demand: &Demand) -> (Load, f64) {
    let count = demand.sample.len().max(1) as f64;
    let mut sum = ([0.0; 2], 0.0);
    for l in &demand.sample {
        let load = units::load(&profile.load, Tokens { input: l.input, cached: l.shared, output: l.output });
        sum = ([sum.0[0] + load[0], sum.0[1] + load[1]], sum.1 + f64::from(l.input) + f64::from(l.output));
    }
    (sum.0.map(|l| l / count), sum.1 / count)
}

/// Finds how many units to buy for the plan of `experiment`.
pub(super) fn recommend(
    experiment: &Experiment,
    profile: &UnitProfile,
    model: &Model<'_>,
    material: &Material,
    progress: &mut dyn FnMut(PlanProgress),
) -> Result<Recommendation, Error> {
    let scenario = &experiment.scenario;
    let plan = scenario.plan.as_ref().ok_or(Error::NoPlan)?;
    let tariff = Tariff::new(&plan.price)?;
    let borrowed = super::with_lengths(material);
    let uncertainty = super::uncertainty_of(plan, model, &borrowed);
    let world = World::new(plan, &scenario.workload, &scenario.slo, model.spec, &borrowed, experiment.seed)?
        .with_uncertainty(&uncertainty, uncertainty.per_family(plan.promise.confidence.0));
    progress(PlanProgress { stage: Stage::Survey, size: None, candidates: 0 });
    let demand = demand::look(&world, 4, plan.promise.requests.0)?;
    if demand.requests_per_period <= 0.0 {
        return Err(Error::NoDemand { period: plan.period.to_string() });
    }
    let (load, tokens) = mean_load(profile, &demand);
    let effective_tok_s = tokens / load[0].max(load[1]).max(1e-12);
    let rules = rules(&world, profile, &demand, effective_tok_s)?;
    let mut candidates = 0;
    let mut evaluator = Metered::new(&world, &tariff, profile);
    let found = search::search(&rules, &mut evaluator, &mut |look: Look| {
        candidates += u32::from(look.seeds == Seeds::Search && look.size.min == look.size.max);
        let stage = if look.seeds == Seeds::Search { Stage::Search } else { Stage::Certify };
        progress(PlanProgress { stage, size: Some(Size::fixed(evaluator_units(profile, look.size))), candidates });
    });
    let mut answer = Answer { evaluator, rules, profile, demand: &demand, effective_tok_s };
    let mut to = answer.blank(experiment, model.source, &found);
    answer.fill(&found, &mut to)?;
    to.effort = Effort { candidates, periods: answer.evaluator.periods, requests: answer.evaluator.requests, simulated: answer.evaluator.requests };
    answer.evaluator.error.take().map_or(Ok(to), |e| Err(e.into()))
}

fn evaluator_units(profile: &UnitProfile, size: Size) -> u32 {
    Steps::of(profile).units(size.max)
}

fn rules(world: &World<'_>, profile: &UnitProfile, demand: &Demand, effective_tok_s: f64) -> Result<Rules, Error> {
    let plan = world.plan;
    let steps = Steps::of(profile);
    let promise = &plan.promise;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate, and the search clamps it")]
    let guess = (demand.p95_minute_tok_s / effective_tok_s).ceil() as u32;
    let mut rules = Rules {
        requests: promise.requests.0,
        periods: promise.periods.0,
        confidence: promise.confidence.0,
        // As many whole steps as there is room for below the largest size; one at least.
        max_chunks: (plan.max_chunks.saturating_sub(steps.minimum) / steps.increment).saturating_add(1),
        least: 1,
        lowest: 1,
        guess: steps.reaching(guess),
        fixed: true,
        search_periods: 1,
        certify_periods: 1,
        certify_least: 0,
        draws: world.outer_draws(),
    };
    survey::budget(&mut rules, plan, demand.requests_per_period);
    if rules.bars().is_empty() {
        return Err(survey::not_certifiable(&rules, plan));
    }
    Ok(rules)
}

/// From what was found to the document.
struct Answer<'a> {
    evaluator: Metered<'a>,
    rules: Rules,
    profile: &'a UnitProfile,
    demand: &'a Demand,
    effective_tok_s: f64,
}

impl Answer<'_> {
    fn named(&self, step: u32) -> String {
        format!("{} {}", explain::grouped(f64::from(self.evaluator.steps.units(step))), self.profile.name)
    }

    fn candidate(&self, step: u32, periods: &[PeriodOutcome]) -> CandidateResult {
        explain::candidate(&self.rules, Size::fixed(self.evaluator.steps.units(step)), periods)
    }

    /// A number of units that was judged by fresh periods, against the bar of its round.
    fn judged(&self, step: u32, periods: &[PeriodOutcome], bar: Bar) -> CandidateResult {
        super::result(&self.rules, Size::fixed(self.evaluator.steps.units(step)), periods, bar)
    }

    /// Everything that does not depend on the chosen number, and the answer when there is none.
    fn blank(&self, experiment: &Experiment, model_source: Provenance, found: &Found) -> Recommendation {
        let (world, profile) = (self.evaluator.world, self.profile);
        let (plan, scenario) = (world.plan, &experiment.scenario);
        let most = self.rules.max_chunks;
        let why =
            found.judged.last().map(|j| (j.size.max, &j.periods)).or_else(|| found.looked.get_key_value(&Size::fixed(most)).map(|(s, p)| (s.max, p)));
        let binding = why.map_or_else(
            || "no number could be judged".to_owned(),
            |(step, periods)| format!("at {} {}", self.named(step), explain::why_fails(&self.rules, plan, periods)),
        );
        let mut frontier: Vec<CandidateResult> = found
            .looked
            .iter()
            .filter(|(size, _)| size.min == size.max)
            .map(|(size, periods)| match found.judged.iter().rev().find(|j| j.size == *size && j.certified) {
                Some(judged) => CandidateResult { certified: true, ..self.judged(size.max, &judged.periods, judged.bar) },
                None => self.candidate(size.max, periods),
            })
            .collect();
        frontier.sort_by(|a, b| a.cost_per_hour.total_cmp(&b.cost_per_hour).then(a.max_chunks.cmp(&b.max_chunks)));
        Recommendation {
            schema_version: SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: scenario.name.clone(),
            question: scenario.question.clone(),
            seed: experiment.seed.0,
            sentence: format!("no number up to {} keeps the promise: {binding}", self.named(most)),
            chosen: None,
            chunk_tok_s: self.effective_tok_s,
            effective_chunk_tok_s: self.effective_tok_s,
            promise: PromiseText { requests: plan.promise.requests.0, periods: plan.promise.periods.0, confidence: plan.promise.confidence.0 },
            currency: self.evaluator.tariff.currency.clone(),
            demand: self.demand.facts,
            headroom: Vec::new(),
            clairvoyant: Clairvoyant::default(),
            binding,
            prices: cost::facts(&plan.price),
            break_even: None,
            unit: Some(self.facts()),
            next_cheaper: None,
            naive: Vec::new(),
            frontier,
            timeline: Timeline::default(),
            next_worst: Vec::new(),
            sensitivity: None,
            certificate: None,
            limits: Limits::default(),
            assumptions: assumptions::of_units(world, &scenario.slo, self.demand, profile, model_source),
            create_body: serde_json::Value::Null,
            resize_body: serde_json::Value::Null,
            warnings: assumptions::doubts_of_demand(world, &scenario.slo, self.demand),
            effort: Effort::default(),
        }
    }

    fn facts(&self) -> UnitFacts {
        let p = self.profile;
        UnitFacts {
            name: p.name.clone(),
            offer: p.offer.clone(),
            load: units::load_words(&p.load),
            overflow: units::overflow_words(&p.overflow),
            minimum: self.evaluator.steps.minimum,
            increment: self.evaluator.steps.increment,
            source: p.source,
            reference: p.reference.clone(),
            as_of: p.as_of.clone(),
        }
    }

    fn fill(&mut self, found: &Found, to: &mut Recommendation) -> Result<(), Error> {
        self.thumbs(found, to);
        let Some(chosen) = &found.chosen else { return Ok(()) };
        let step = chosen.size.max;
        let plan = self.evaluator.world.plan;
        let seeds = Seeds::Certify(chosen.round);
        let count = u32::try_from(chosen.periods.len()).unwrap_or(u32::MAX);
        if step > 1 {
            let periods = self.evaluator.judged(step - 1, seeds, 0..count);
            let reason = explain::why_fails(&self.rules, plan, &periods);
            to.next_cheaper = Some(Rejected { rule: "next cheaper".to_owned(), result: self.judged(step - 1, &periods, chosen.bar), reason });
        }
        to.binding = to.next_cheaper.as_ref().map_or_else(
            || format!("{} are the least that can be bought, and they keep the promise", self.named(1)),
            |r| format!("at {} {}", self.named(step - 1), r.reason),
        );
        to.sentence = format!("buy {} ({}), because {}", self.named(step), self.profile.offer, to.binding);
        let result = CandidateResult { certified: true, ..self.judged(step, &chosen.periods, chosen.bar) };
        self.headroom(found, &result, to);
        let facts = &self.demand.facts;
        let bill = Bill {
            input_tok_s: facts.mean_input_tok_s,
            output_tok_s: facts.mean_tok_s - facts.mean_input_tok_s,
            effective_tok_s: self.effective_tok_s,
            cost_per_hour: result.cost_per_hour,
        };
        to.break_even = plan.price.pay_per_token.as_ref().and_then(|tokens| cost::break_even(self.evaluator.tariff, tokens, &bill));
        let mut worst = self.replays(chosen)?.into_iter();
        to.timeline = worst.next().unwrap_or_default();
        to.next_worst = worst.collect();
        to.chosen = Some(result);
        to.certificate = Some(super::certificate(&self.rules, chosen));
        Ok(())
    }

    /// What the mean demand takes, what bursts and whole steps take beyond it, and what certification adds.
    fn headroom(&self, found: &Found, chosen: &CandidateResult, to: &mut Recommendation) {
        let tariff = self.evaluator.tariff;
        let facts = &self.demand.facts;
        let here = chosen.mean_chunks;
        let base = (facts.mean_tok_s / self.effective_tok_s).min(here);
        let least = found.cheapest.map_or(here, |size| f64::from(self.evaluator.steps.units(size.max))).clamp(base, here);
        let mut below = 0.0;
        let levels = [
            ("base", base, format!("the mean demand takes {base:.2} {}", self.profile.name)),
            ("burst", least, format!("the fewest that pass on the periods of the search, in steps of {}, less that", self.evaluator.steps.increment)),
            ("uncertainty", here, "what certification on fresh periods asks for beyond that".to_owned()),
        ];
        for (cause, level, reason) in levels {
            let chunks = level - below;
            to.headroom.push(HeadroomPart { cause: cause.to_owned(), chunks, cost_per_hour: tariff.step(below, chunks), reason });
            below = level;
        }
        let baseline = |units: f64| Baseline { mean_chunks: units, cost_per_hour: tariff.per_hour(units) };
        let bins = || self.demand.bins.iter().flatten();
        let whole = bins().map(|tok_s| (tok_s / self.effective_tok_s).ceil()).sum::<f64>() / bins().count().max(1) as f64;
        let fractional = baseline(base);
        let price_of_delay = if fractional.cost_per_hour > 0.0 { chosen.cost_per_hour / fractional.cost_per_hour - 1.0 } else { 0.0 };
        to.clairvoyant = Clairvoyant { fractional, whole: baseline(whole), price_of_delay };
    }

    /// Rules of thumb, judged on the periods of certification.
    fn thumbs(&mut self, found: &Found, to: &mut Recommendation) {
        let round = found.chosen.as_ref().map_or(0, |c| c.round);
        let Some(bar) = self.rules.bars().get(round as usize).copied() else { return };
        let periods = bar.periods();
        let steps = self.evaluator.steps;
        let fixed = found.looked.iter().filter(|(size, _)| size.min == size.max).map(|(size, periods)| (*size, periods.clone())).collect();
        let passed = naive::cheapest_that_passed(&self.rules, &fixed).map(|t| (t.rule, t.size.max));
        let thumbs = naive::rules(self.demand, self.effective_tok_s).map(|t| (t.rule, steps.reaching(t.size.max)));
        for (rule, step) in thumbs.into_iter().chain(passed) {
            let outcomes = self.evaluator.judged(step, Seeds::Certify(round), 0..periods);
            let result = self.judged(step, &outcomes, bar);
            let reason = if result.keeps_promise {
                "it keeps the promise on these periods, and was not certified".to_owned()
            } else {
                explain::why_fails(&self.rules, self.evaluator.world.plan, &outcomes)
            };
            to.naive.push(Rejected { rule: rule.to_owned(), result, reason });
        }
    }

    fn replays(&self, chosen: &Judged) -> Result<Vec<Timeline>, Error> {
        let units = self.evaluator.steps.units(chosen.size.max);
        let seeds = Seeds::Certify(chosen.round);
        let mut replayed = Vec::new();
        for period in timeline::worst(&chosen.periods) {
            let mut points = Points::new(self.evaluator.world.plan.period.as_secs_f64());
            self.evaluator.period(units, seeds, period, &mut |arrival, is_good, due| {
                points.add(due, f64::from(arrival.input_tokens) + f64::from(arrival.output_tokens), is_good);
            })?;
            replayed.push(points.into_timeline(period, |_| (units, 0)));
        }
        Ok(replayed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::base::units::TimeSpan;
    use crate::planner::tests::tiny_plan;
    use crate::scenario::endpoint::StepLaw;
    use crate::scenario::slo::Slo;
    use crate::scenario::workload::{Lengths, Marginal, Workload};
    use crate::sim::endpoint::Endpoint;
    use crate::sim::event::Detail;
    use crate::sim::virtual_time;

    /// One request at a time through the simulator: the same TTFT and TPOT, but for the rounding of its durations to nanoseconds.
    #[test]
    fn alone_is_what_the_simulator_finds_for_one_request() {
        for (input, output) in [(1, 1), (700, 2), (2048, 40), (5000, 300)] {
            let plan = tiny_plan();
            let lengths = Lengths::Independent { input: Marginal::Fixed(input), output: Marginal::Fixed(output) };
            let workload = Workload { lengths, ..Workload::default() };
            let (material, slo) = (Material::default(), Slo::default());
            let step = StepLaw { prefill_growth: TimeSpan(Nanos(20_000)), curvature: 2.0, ..StepLaw::default() };
            let model = EndpointSpec { noise: 0.0, step, ..EndpointSpec::default() };
            let world = World::new(&plan, &workload, &slo, &model, &material, Seed(1)).unwrap();
            let stop = std::cell::Cell::new(false);
            let first = world.period(Seeds::Search, 0).unwrap().into_main().pop().unwrap();
            let mut source = crate::planner::world::List::new(vec![Arrival { at: Nanos::ZERO, ..first }], &stop);
            let mut endpoint = Endpoint::new(&world.estimate(Size::fixed(1)), Seed(1), Detail::Requests);
            let mut seen = Vec::new();
            virtual_time::run(&mut source, &mut endpoint, world.patience(), &mut |record| seen.push((record.ttft(), record.tpot_s())));
            let (ttft, tpot) = alone_s(&model, Tokens { input, cached: 0, output });
            let (seen_ttft, seen_tpot) = seen[0];
            assert!((seen_ttft.unwrap().as_secs_f64() - ttft).abs() < 1e-6, "{input} {output}: {seen_ttft:?} against {ttft}");
            if let Some(seen) = seen_tpot {
                assert!((seen / tpot - 1.0).abs() < 0.002, "{input} {output}: {seen} against {tpot}");
            }
        }
    }
}
