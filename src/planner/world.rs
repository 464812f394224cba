//! A `World`: the demand, the endpoint and the objectives that every candidate is judged in; and the periods of demand as a source of arrivals.

use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::base::units::TimeSpan;
use crate::record::request::Phase;
use crate::scenario::endpoint::{Autoscaler, EndpointSpec, Lag};
use crate::scenario::load::Arrivals;
use crate::scenario::plan::{DemandEvent, Plan};
use crate::scenario::slo::Slo;
use crate::scenario::workload::Workload;
use crate::sim::event::Retry;
use crate::sim::virtual_time::{Patience, Source};
use crate::workload::demand::{Event, WhatIf};
use crate::workload::schedule::{self, Arrival, Material, Place, Schedule};
use rand_distr::{Distribution, StandardNormal};
use std::cell::Cell;
use std::sync::{Arc, OnceLock};

pub use super::bounds::Bounds;

use super::binned::{self, BIN_NS, Binned, Levels, Walk};
use super::chart::{Care, Chart};
use super::draws::{Draw, Uncertainty};
use super::search::{Seeds, Size};

/// Everything that does not change from one candidate to the next.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// What is to be served.
    pub plan: &'a Plan,
    /// Lengths of requests.
    pub workload: &'a Workload,
    /// Recordings.
    pub material: &'a Material,
    /// One chunk by the best estimate of its law, with the plan's autoscaler; without noise.
    pub endpoint: EndpointSpec,
    /// What a good request is to its client.
    pub bounds: Bounds,
    /// The objectives as written, at their percentiles: what a steady chunk must meet.
    pub slo: &'a Slo,
    /// The root of every stream.
    pub seed: Seed,
    /// What the truth may be; one when nothing is uncertain. Even places belong to the search, odd ones to certification.
    draws: Vec<Draw>,
    /// Demand without day-to-day variation, ready to be started under any seed.
    prototype: Schedule,
    /// The beginning of the demand, replayed before each period.
    lead: Schedule,
    /// The demand of each draw bin by bin, where it can be drawn so; then the two schedules only tell the spans.
    binned: Vec<Option<binned::Law>>,
    /// What steady load does to the endpoint of each draw, made when first asked for and shared by worlds that differ in their scaling alone.
    charts: Arc<Vec<OnceLock<Chart>>>,
}

impl<'a> World<'a> {
    /// Prepares the demand of `plan`; the step law is that of `model`, chunk and autoscaler those of the plan.
    ///
    /// # Errors
    /// When the demand or the lengths cannot be drawn.
    pub fn new(
        plan: &'a Plan,
        workload: &'a Workload,
        slo: &'a Slo,
        model: &EndpointSpec,
        material: &'a Material,
        seed: Seed,
    ) -> Result<Self, schedule::Error> {
        let period = plan.period.nanos();
        let span = lead_span(&plan.autoscaler, period);
        let autoscaler = Autoscaler { begins_at: earlier(plan.autoscaler.begins_at, span), ..plan.autoscaler.clone() };
        let endpoint = EndpointSpec { noise: 0.0, chunk: plan.chunk.size, autoscaler, ..model.clone() };
        let (prototype, lead) = if let Some(arrivals) = &plan.demand {
            let draw = |span| Schedule::for_demand(arrivals, workload, span, plan.growth, material, seed);
            (draw(period)?, draw(span)?)
        } else {
            let changed = Arc::new(material.demand.as_ref().ok_or(schedule::Error::NoModel)?.scaled(&what_if(plan)));
            let draw = |place| Schedule::for_model(Arc::clone(&changed), workload, place, material, seed);
            (draw(Place::Whole { period })?, draw(Place::Lead { period, span })?)
        };
        let bounds = Bounds::of(slo);
        let draws = vec![Draw { endpoint: endpoint.clone(), bounds, demand_level: 1.0, demand: None }];
        let binned = vec![binned::Law::of(plan, workload, material, &what_if(plan), seed.child("plan-lengths", 0))?];
        Ok(Self { plan, workload, material, endpoint, bounds, slo, seed, draws, prototype, lead, binned, charts: blank(1) })
    }

    /// The same world with its uncertainty: `per_family` outer draws for the search and as many others for certification.
    #[must_use]
    pub fn with_uncertainty(&self, uncertainty: &Uncertainty, per_family: u32) -> Self {
        let centre = Draw { endpoint: self.endpoint.clone(), bounds: self.bounds, demand_level: 1.0, demand: None };
        let count = usize::try_from(per_family.max(1)).map_or(usize::MAX, |n| n.saturating_mul(2));
        let draws = uncertainty.draws(&centre, count, self.seed);
        let own = self.binned.first().cloned().flatten();
        let law = |draw: &Draw| match &draw.demand {
            Some(model) => own.as_ref().map(|law| law.with_model(model.scaled(&what_if(self.plan)))),
            None => own.clone(),
        };
        let binned = draws.iter().map(law).collect();
        let charts = blank(draws.len());
        Self { draws, binned, charts, ..self.clone() }
    }

    /// The same demand on an endpoint with other scaling.
    #[must_use]
    pub fn with_autoscaler(&self, autoscaler: &Autoscaler) -> Self {
        let scaled = |endpoint: &EndpointSpec| EndpointSpec { autoscaler: autoscaler.clone(), ..endpoint.clone() };
        let draws = self.draws.iter().map(|draw| Draw { endpoint: scaled(&draw.endpoint), ..draw.clone() }).collect();
        Self { endpoint: scaled(&self.endpoint), draws, ..self.clone() }
    }

    /// Outer draws that a family of seeds goes through; period `j` of the family belongs to draw `j` modulo this.
    #[must_use]
    pub fn outer_draws(&self) -> u32 {
        u32::try_from((self.draws.len() / 2).max(1)).unwrap_or(u32::MAX)
    }

    /// What is taken for the truth in a period. The search and certification have no draw in common, unless there is only one: a size that
    /// suits the draws of the search may not profit from that (winner's curse).
    #[must_use]
    pub fn draw(&self, seeds: Seeds, period: u32) -> &Draw {
        &self.draws[self.draw_place(seeds, period)]
    }

    /// The place of [`World::draw`] among all draws.
    #[must_use]
    fn draw_place(&self, seeds: Seeds, period: u32) -> usize {
        let slot = (period % self.outer_draws()) as usize;
        match seeds {
            _ if self.draws.len() == 1 => 0,
            Seeds::Search => 2 * slot,
            Seeds::Certify(_) => 2 * slot + 1,
        }
    }

    /// What steady load does to the endpoint of a period's draw; `demand` is that of the period, of whichever it is.
    pub(super) fn chart(&self, seeds: Seeds, period: u32, demand: &Binned) -> &Chart {
        let place = self.draw_place(seeds, period);
        self.charts[place].get_or_init(|| {
            let Draw { endpoint, bounds, .. } = &self.draws[place];
            let care = if self.draws.len() > 1 { Care::COARSE } else { Care::FINE };
            Chart::new(endpoint, (*bounds, self.patience()), demand, care, self.seed.child("plan-chart", place as u64))
        })
    }

    /// The endpoint of a draw at a size.
    #[must_use]
    pub fn sized(&self, draw: &Draw, size: Size) -> EndpointSpec {
        EndpointSpec { min_chunks: size.min, max_chunks: size.max, ..draw.endpoint.clone() }
    }

    /// The best estimate of the endpoint at a size.
    #[must_use]
    pub fn estimate(&self, size: Size) -> EndpointSpec {
        EndpointSpec { min_chunks: size.min, max_chunks: size.max, ..self.endpoint.clone() }
    }

    /// When the simulated client gives up.
    #[must_use]
    pub fn patience(&self) -> Patience {
        Patience { total: self.plan.timeout.nanos(), first_byte: self.plan.timeout.nanos() }
    }

    /// How the simulated client comes back.
    #[must_use]
    pub fn retry(&self) -> Option<Retry> {
        self.plan.retry.map(|retry| Retry { attempts: retry.attempts, backoff: retry.backoff.nanos(), factor: retry.factor })
    }

    /// Longest that a request can be waited for, all tries and the waits between them together, seconds.
    #[must_use]
    pub fn longest_wait_s(&self) -> f64 {
        let timeout_s = self.plan.timeout.nanos().as_secs_f64();
        let Some(retry) = self.retry() else { return timeout_s };
        (0..retry.attempts).filter_map(|failed| retry.wait(failed)).map(|wait| wait.as_secs_f64() + timeout_s).sum::<f64>() + timeout_s
    }

    /// The seed of a period. Every candidate sees the same arrivals, lengths and scale-up delays in it (common random numbers).
    #[must_use]
    pub fn period_seed(&self, seeds: Seeds, period: u32) -> Seed {
        match seeds {
            Seeds::Search => self.seed.child("plan-search", u64::from(period)),
            Seeds::Certify(round) => self.seed.child("plan-certify", u64::from(round)).child("period", u64::from(period)),
        }
    }

    /// Period `period` of a family of seeds: a lead-in that is not counted, then the period at its own level of demand.
    ///
    /// # Errors
    /// When the level is out of range (an extreme `day_sigma`).
    pub fn period(&self, seeds: Seeds, period: u32) -> Result<Period, schedule::Error> {
        let seed = self.period_seed(seeds, period);
        let draw = self.draw(seeds, period);
        let outer = draw.demand_level;
        let lead_seed = seed.child("lead", 0);
        if let Some(binned) = self.binned(seeds, period) {
            return Ok(Period { lead_span: Nanos(binned.begin()), parts: Parts::Binned(Walk::new(binned, 0)) });
        }
        let (period, lead_span) = (self.plan.period.nanos(), self.lead.span());
        let Some(arrivals) = &self.plan.demand else { return self.learnt_period(draw, seed) };
        if matches!(arrivals, Arrivals::Closed { .. }) {
            let parts = Parts::scheduled(self.lead.reseeded(lead_seed), self.prototype.reseeded(seed));
            return Ok(Period { parts, lead_span });
        }
        let at_level =
            |level: f64, span: Nanos, seed: Seed| Schedule::for_demand(arrivals, self.workload, span, self.plan.growth * level, self.material, seed);
        let level = outer * self.day_level(seed);
        let main = if level == 1.0 { self.prototype.reseeded(seed) } else { at_level(level, period, seed)? };
        let lead = if outer == 1.0 { self.lead.reseeded(lead_seed) } else { at_level(outer, lead_span, lead_seed)? };
        Ok(Period { parts: Parts::scheduled(lead, main), lead_span })
    }

    /// The day-to-day factor of a period.
    fn day_level(&self, seed: Seed) -> f64 {
        if self.plan.day_sigma <= 0.0 {
            return 1.0;
        }
        let z: f64 = StandardNormal.sample(&mut seed.stream("day"));
        (self.plan.day_sigma * z).exp()
    }

    /// A period bin by bin, the same requests as [`World::period`]; `None` where the demand must be gone through in order.
    #[must_use]
    pub fn binned(&self, seeds: Seeds, period: u32) -> Option<Binned> {
        let seed = self.period_seed(seeds, period);
        let place = self.draw_place(seeds, period);
        let levels = Levels { outer: self.draws[place].demand_level, day: self.day_level(seed) };
        Some(self.binned[place].as_ref()?.period(levels, (self.lead.span(), self.plan.period.nanos()), seed))
    }

    /// A period of the demand model; the lead-in belongs to it: the rates of its beginning, other requests.
    fn learnt_period(&self, draw: &Draw, seed: Seed) -> Result<Period, schedule::Error> {
        let (period, span) = (self.plan.period.nanos(), self.lead.span());
        if draw.demand_level == 1.0 && draw.demand.is_none() {
            let parts = Parts::scheduled(self.lead.reseeded(seed), self.prototype.reseeded(seed));
            return Ok(Period { parts, lead_span: span });
        }
        let learnt = draw.demand.as_ref().or(self.material.demand.as_ref()).ok_or(schedule::Error::NoModel)?;
        let change = what_if(self.plan).and(&WhatIf { growth: draw.demand_level, ..WhatIf::default() });
        let model = Arc::new(learnt.scaled(&change));
        let draw = |place| Schedule::for_model(Arc::clone(&model), self.workload, place, self.material, seed);
        let parts = Parts::scheduled(draw(Place::Lead { period, span })?, draw(Place::Whole { period })?);
        Ok(Period { parts, lead_span: span })
    }
}

fn blank(count: usize) -> Arc<Vec<OnceLock<Chart>>> {
    Arc::new((0..count).map(|_| OnceLock::new()).collect())
}

/// What the plan changes about the demand that was learnt.
#[must_use]
pub fn what_if(plan: &Plan) -> WhatIf {
    let event =
        |e: &DemandEvent| Event { at_s: e.at.as_secs_f64(), factor: e.factor, rise_s: e.rise.as_secs_f64(), length_s: e.length.as_secs_f64() };
    WhatIf { growth: plan.growth, events: plan.events.iter().map(event).collect(), output_scale: plan.output_scale }
}

/// Mean scale-up delay in seconds.
#[must_use]
pub fn mean_lag_s(lag: &Lag) -> f64 {
    match lag {
        Lag::Fixed(span) => span.as_secs_f64(),
        Lag::Lognormal { median, p95 } => {
            // The 95 % quantile of the standard normal is 1.6449; the mean of a lognormal is median * exp(sigma^2 / 2).
            let sigma = (p95.as_secs_f64() / median.as_secs_f64().max(1e-9)).max(1.0).ln() / 1.644_853_626_951_472_7;
            median.as_secs_f64() * (sigma * sigma / 2.0).exp()
        }
        Lag::Empirical(spans) if spans.is_empty() => 0.0,
        Lag::Empirical(spans) => spans.iter().map(|s| s.as_secs_f64()).sum::<f64>() / spans.len() as f64,
    }
}

/// The effective lag in seconds: a ramp is seen after half the window, decided at the next poll, and served after the mean delay.
#[must_use]
pub fn effective_lag_s(autoscaler: &Autoscaler) -> f64 {
    autoscaler.window.as_secs_f64() / 2.0 + autoscaler.poll.as_secs_f64() + mean_lag_s(&autoscaler.lag)
}

/// How long the lead-in is: twice the effective lag, a quarter of the period at most. The endpoint starts with its minimum; the lead-in
/// replays the beginning of the demand, so that the period itself starts with the chunks that demand holds. Whole bins.
fn lead_span(autoscaler: &Autoscaler, period: Nanos) -> Nanos {
    let span = Nanos::from_secs_f64(2.0 * effective_lag_s(autoscaler)).min(Nanos(period.0 / 4));
    Nanos(span.0.div_ceil(BIN_NS) * BIN_NS)
}

/// The time of day `by` before `time`.
fn earlier(time: TimeSpan, by: Nanos) -> TimeSpan {
    let day = Nanos::from_secs(86_400).0;
    TimeSpan(Nanos((time.nanos().0 % day + day - by.0 % day) % day))
}

/// A lead-in and a period of demand, one after the other, on one time axis. Arrivals of the lead-in belong to the warm-up.
#[derive(Clone, Debug)]
pub struct Period {
    parts: Parts,
    lead_span: Nanos,
}

/// How the arrivals are drawn.
#[derive(Clone, Debug)]
enum Parts {
    Scheduled { lead: Box<Schedule>, main: Box<Schedule> },
    Binned(Walk),
}

impl Parts {
    fn scheduled(lead: Schedule, main: Schedule) -> Self {
        Self::Scheduled { lead: Box::new(lead), main: Box::new(main) }
    }
}

/// Marks numbers of the lead-in: requests and sessions of the two parts must not be mistaken for each other.
const LEAD: u64 = 1 << 63;

impl Period {
    /// When the period begins on the common time axis.
    #[must_use]
    pub fn begin(&self) -> Nanos {
        self.lead_span
    }

    /// The period without its lead-in; instants count from its own beginning.
    #[must_use]
    pub fn into_main(self) -> Main {
        let parts = match self.parts {
            Parts::Scheduled { main, .. } => MainParts::Scheduled(main),
            Parts::Binned(walk) => MainParts::Binned(Walk::new(walk.binned().clone(), walk.binned().lead_bins())),
        };
        Main { parts, lead_span: self.lead_span }
    }
}

/// A period without its lead-in.
#[derive(Clone, Debug)]
pub struct Main {
    parts: MainParts,
    lead_span: Nanos,
}

#[derive(Clone, Debug)]
enum MainParts {
    Scheduled(Box<Schedule>),
    Binned(Walk),
}

impl Source for Main {
    fn peek_at(&self) -> Option<Nanos> {
        match &self.parts {
            MainParts::Scheduled(schedule) => schedule.peek_at(),
            MainParts::Binned(walk) => walk.peek_at().map(|at| at - self.lead_span),
        }
    }

    fn pop(&mut self) -> Option<Arrival> {
        match &mut self.parts {
            MainParts::Scheduled(schedule) => schedule.pop(),
            MainParts::Binned(walk) => walk.pop().map(|a| Arrival { at: a.at - self.lead_span, ..a }),
        }
    }

    fn completed(&mut self, arrival: &Arrival, at: Nanos, ok: bool) {
        if let MainParts::Scheduled(schedule) = &mut self.parts {
            schedule.completed(arrival, at, ok);
        }
    }
}

impl Source for Period {
    fn peek_at(&self) -> Option<Nanos> {
        match &self.parts {
            Parts::Scheduled { lead, main } => [lead.peek_at(), main.peek_at().map(|at| at + self.lead_span)].into_iter().flatten().min(),
            Parts::Binned(walk) => walk.peek_at(),
        }
    }

    fn pop(&mut self) -> Option<Arrival> {
        let (lead, main) = match &mut self.parts {
            Parts::Scheduled { lead, main } => (lead, main),
            Parts::Binned(walk) => return walk.pop(),
        };
        let main_at = main.peek_at().map(|at| at + self.lead_span);
        let lead_is_next = lead.peek_at().is_some_and(|lead| main_at.is_none_or(|main| lead <= main));
        if lead_is_next {
            let a = lead.pop()?;
            return Some(Arrival { seq: a.seq | LEAD, phase: Phase::Warmup, session: a.session.map(|(s, turn)| (s | LEAD, turn)), ..a });
        }
        let a = main.pop()?;
        Some(Arrival { at: a.at + self.lead_span, phase: Phase::Measure, ..a })
    }

    fn completed(&mut self, arrival: &Arrival, at: Nanos, ok: bool) {
        let Parts::Scheduled { lead, main } = &mut self.parts else { return };
        if arrival.seq & LEAD == 0 {
            let own = Arrival { at: arrival.at - self.lead_span, ..*arrival };
            main.completed(&own, at.since(self.lead_span), ok);
        } else {
            let own = Arrival { seq: arrival.seq & !LEAD, session: arrival.session.map(|(s, turn)| (s & !LEAD, turn)), ..*arrival };
            lead.completed(&own, at, ok);
        }
    }
}

/// A list of arrivals as a source, until told to stop.
#[derive(Clone, Debug)]
pub struct List<'a> {
    arrivals: std::vec::IntoIter<Arrival>,
    stop: &'a Cell<bool>,
}

impl<'a> List<'a> {
    /// `arrivals` must be in order of time. Nothing comes any more once `stop` is set.
    #[must_use]
    pub fn new(arrivals: Vec<Arrival>, stop: &'a Cell<bool>) -> Self {
        Self { arrivals: arrivals.into_iter(), stop }
    }
}

impl Source for List<'_> {
    fn peek_at(&self) -> Option<Nanos> {
        if self.stop.get() { None } else { self.arrivals.as_slice().first().map(|a| a.at) }
    }

    fn pop(&mut self) -> Option<Arrival> {
        self.arrivals.next()
    }

    fn completed(&mut self, _: &Arrival, _: Nanos, _: bool) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::tests::tiny_plan;

    #[test]
    fn a_period_is_its_lead_in_and_then_its_demand_on_one_axis() {
        let plan = tiny_plan();
        let (workload, material, slo) = (Workload::default(), Material::default(), Slo::default());
        let world = World::new(&plan, &workload, &slo, &EndpointSpec::default(), &material, Seed(1)).unwrap();
        let mut period = world.period(Seeds::Search, 3).unwrap();
        let begin = period.begin();
        assert_eq!(begin, Nanos::from_secs(150), "a quarter of the period is less than twice the lag");
        let mut alone = world.period(Seeds::Search, 3).unwrap().into_main();
        let mut last = Nanos::ZERO;
        while let Some(arrival) = period.pop() {
            assert!(arrival.at >= last);
            last = arrival.at;
            assert_eq!(arrival.phase == Phase::Measure, arrival.at >= begin);
            if arrival.phase == Phase::Measure {
                let own = alone.pop().unwrap();
                assert_eq!((own.at + begin, own.input_tokens, own.output_tokens), (arrival.at, arrival.input_tokens, arrival.output_tokens));
            }
        }
        assert_eq!(alone.pop(), None);
    }

    #[test]
    fn families_of_seeds_are_disjoint_and_periods_repeat() {
        let plan = tiny_plan();
        let (workload, material, slo) = (Workload::default(), Material::default(), Slo::default());
        let world = World::new(&plan, &workload, &slo, &EndpointSpec::default(), &material, Seed(1)).unwrap();
        let mut seeds: Vec<u64> =
            (0..100).flat_map(|p| [Seeds::Search, Seeds::Certify(0), Seeds::Certify(1)].map(|family| world.period_seed(family, p).0)).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 300);
        let first = |p: u32| world.period(Seeds::Search, p).unwrap().into_main().pop();
        assert_eq!(first(2), first(2));
        assert_ne!(first(2), first(3));
    }

    /// Search and certification share no draw, periods go through all of theirs in turn, and one draw is what there was without any.
    #[test]
    fn draws_are_dealt_in_turn_and_move_demand_and_law() {
        let plan = tiny_plan();
        let (workload, material, slo) = (Workload::default(), Material::default(), Slo::default());
        let world = World::new(&plan, &workload, &slo, &EndpointSpec::default(), &material, Seed(1)).unwrap();
        assert_eq!(world.outer_draws(), 1);
        assert_eq!(world.draw(Seeds::Search, 3), world.draw(Seeds::Certify(1), 8));
        let uncertain = world.with_uncertainty(&Uncertainty { demand_error: 0.3, ..Uncertainty::default() }, 10);
        assert_eq!(uncertain.outer_draws(), 10);
        let levels = |seeds| (0..20).map(|p| uncertain.draw(seeds, p).demand_level).collect::<Vec<_>>();
        let (search, certify) = (levels(Seeds::Search), levels(Seeds::Certify(0)));
        assert_eq!(search[..10], search[10..]);
        assert_eq!(certify, levels(Seeds::Certify(3)));
        assert!(search.iter().all(|level| !certify.contains(level)));
        let count = |world: &World<'_>, period| {
            std::iter::from_fn({
                let mut main = world.period(Seeds::Search, period).unwrap().into_main();
                move || main.pop()
            })
            .count() as f64
        };
        for period in 0..10 {
            // 1,200 requests expected at level one; six standard deviations.
            let expected = 1200.0 * uncertain.draw(Seeds::Search, period).demand_level;
            assert!((count(&uncertain, period) - expected).abs() < 6.0 * expected.sqrt());
        }
        assert_eq!(count(&world, 2), count(&world.with_uncertainty(&Uncertainty::default(), 40), 2));
    }

    #[test]
    fn effective_lag_adds_half_the_window_the_poll_and_the_mean_delay() {
        let fixed = Autoscaler { lag: Lag::Fixed(TimeSpan::secs(300)), ..Autoscaler::default() };
        assert_eq!(effective_lag_s(&fixed), 30.0 + 15.0 + 300.0);
        let spread = Lag::Lognormal { median: TimeSpan::secs(300), p95: TimeSpan::secs(600) };
        assert!((mean_lag_s(&spread) - 327.9).abs() < 0.5, "{}", mean_lag_s(&spread));
    }
}
