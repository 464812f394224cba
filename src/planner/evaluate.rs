//! Candidates judged by the simulator in virtual time, periods spread over threads; the results do not depend on how many.

use super::cost::Tariff;
use super::search::{Evaluator, MissCounts, PARTS, PeriodOutcome, Seeds, Size};
use super::world::{Bounds, World};
use crate::base::time::Nanos;
use crate::record::outcome::Group;
use crate::record::request::{Phase, RequestRecord};
use crate::sim::endpoint::Endpoint;
use crate::sim::event::{Detail, ScaleEvent};
use crate::sim::virtual_time;
use crate::workload::schedule;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What became of a request, by the objectives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// TTFT above its bound.
    pub ttft: bool,
    /// TPOT above its bound.
    pub tpot: bool,
    /// E2E above its bound.
    pub e2e: bool,
    /// How it ended, when not well.
    pub ended: Option<Group>,
}

impl Judgement {
    /// Judges a record: good means it ended well and met every bound. A TPOT that is not defined (one token) meets its bound.
    #[must_use]
    pub fn of(record: &RequestRecord, bounds: &Bounds) -> Self {
        let group = record.outcome.group();
        if group != Group::Ok {
            return Self { ended: Some(group), ..Self::default() };
        }
        Self {
            ttft: bounds.ttft.is_some_and(|bound| record.ttft().is_none_or(|t| t > bound)),
            tpot: bounds.tpot_s.is_some_and(|bound| record.tpot_s().is_some_and(|t| t > bound)),
            e2e: bounds.e2e.is_some_and(|bound| record.e2e() > bound),
            ended: None,
        }
    }

    /// Ended well and met every bound.
    #[must_use]
    pub fn is_good(self) -> bool {
        self == Self::default()
    }
}

impl MissCounts {
    /// Counts one request.
    pub fn add(&mut self, judgement: Judgement) {
        self.ttft += u64::from(judgement.ttft);
        self.tpot += u64::from(judgement.tpot);
        self.e2e += u64::from(judgement.e2e);
        match judgement.ended {
            None | Some(Group::Ok) => {}
            Some(Group::Throttled) => self.throttled += 1,
            Some(Group::TimedOut) => self.timed_out += 1,
            Some(Group::Failed | Group::Shed | Group::Cancelled) => self.failed += 1,
        }
    }
}

/// Mean chunks that served from `from` to `to`, by the log of changes (its first entry at or before `from`).
#[must_use]
pub fn mean_ready(scale: &[ScaleEvent], from: Nanos, to: Nanos) -> f64 {
    if to <= from {
        return scale.last().map_or(0.0, |e| f64::from(e.ready));
    }
    let mut chunk_ns = 0.0;
    for (i, event) in scale.iter().enumerate() {
        let start = event.at.max(from);
        let end = scale.get(i + 1).map_or(to, |next| next.at.min(to));
        chunk_ns += f64::from(event.ready) * end.since(start).0 as f64;
    }
    chunk_ns / to.since(from).0 as f64
}

/// Simulates one period at one size; `each` sees every counted record with its judgement and the instant it was due within the period.
///
/// # Errors
/// When the period's demand cannot be drawn.
pub fn simulate(
    world: &World<'_>,
    tariff: &Tariff,
    size: Size,
    (seeds, period): (Seeds, u32),
    each: &mut dyn FnMut(&RequestRecord, Judgement, Nanos),
) -> Result<(PeriodOutcome, Vec<ScaleEvent>), schedule::Error> {
    let mut source = world.period(seeds, period)?;
    let begin = source.begin();
    let length = world.plan.period.nanos();
    let draw = world.draw(seeds, period);
    let mut endpoint = Endpoint::new(&world.sized(draw, size), world.period_seed(seeds, period), Detail::Requests);
    let mut outcome = PeriodOutcome::default();
    let simulated = virtual_time::run(&mut source, &mut endpoint, world.patience(), &mut |record| {
        if record.phase == Phase::Warmup {
            return;
        }
        let judgement = Judgement::of(record, &draw.bounds);
        let due = record.intended.since(begin);
        outcome.total += 1;
        if judgement.is_good() {
            outcome.good += 1;
        } else {
            outcome.misses.add(judgement);
            let part = due.as_secs_f64() / length.as_secs_f64().max(1e-9) * PARTS as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and cut to the last part")]
            let part = (part as usize).min(PARTS - 1);
            outcome.missed_by_part[part] += 1;
        }
        each(record, judgement, due);
    });
    let scale = simulated.scale;
    outcome.mean_chunks = mean_ready(&scale, begin, begin + length);
    outcome.cost_per_hour = tariff.per_hour(outcome.mean_chunks);
    outcome.peak_chunks = scale.iter().map(|e| e.ready + e.pending).max().unwrap_or(size.min);
    Ok((outcome, scale))
}

/// The evaluator of the planner.
#[derive(Debug)]
pub struct Simulation<'a> {
    world: &'a World<'a>,
    tariff: &'a Tariff,
    threads: usize,
    /// Periods simulated.
    pub periods: u64,
    /// Requests simulated, without those of lead-ins.
    pub requests: u64,
    /// The first error; outcomes after it mean nothing.
    pub error: Option<schedule::Error>,
}

impl<'a> Simulation<'a> {
    /// Spreads periods over `threads` threads, one at least.
    #[must_use]
    pub fn new(world: &'a World<'a>, tariff: &'a Tariff, threads: usize) -> Self {
        Self { world, tariff, threads: threads.max(1), periods: 0, requests: 0, error: None }
    }

    fn one(&self, size: Size, seeds: Seeds, period: u32) -> Result<PeriodOutcome, schedule::Error> {
        simulate(self.world, self.tariff, size, (seeds, period), &mut |_, _, _| {}).map(|(outcome, _)| outcome)
    }

    /// Simulates `wanted`, each by the thread that is free; results in order of the period.
    fn all(&self, size: Size, seeds: Seeds, wanted: &[u32]) -> Vec<Result<PeriodOutcome, schedule::Error>> {
        if self.threads == 1 || wanted.len() < 2 {
            return wanted.iter().map(|&p| self.one(size, seeds, p)).collect();
        }
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some((i, &period)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| wanted.get(i).map(|p| (i, p))) {
                done.push((i, self.one(size, seeds, period)));
            }
            done
        };
        let mut results: Vec<(usize, Result<PeriodOutcome, schedule::Error>)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..self.threads.min(wanted.len())).map(|_| scope.spawn(work)).collect();
            let mut results = work();
            for thread in threads {
                results.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            results
        });
        results.sort_by_key(|(i, _)| *i);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

impl Evaluator for Simulation<'_> {
    fn evaluate(&mut self, size: Size, seeds: Seeds, periods: Range<u32>) -> Vec<PeriodOutcome> {
        let wanted: Vec<u32> = periods.collect();
        let mut outcomes = Vec::with_capacity(wanted.len());
        for result in self.all(size, seeds, &wanted) {
            match result {
                Ok(outcome) => {
                    self.requests += outcome.total;
                    outcomes.push(outcome);
                }
                Err(error) => {
                    self.error.get_or_insert(error);
                    outcomes.push(PeriodOutcome::default());
                }
            }
        }
        self.periods += wanted.len() as u64;
        outcomes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::base::units::TimeSpan;
    use crate::planner::tests::tiny_plan;
    use crate::record::outcome::Outcome;
    use crate::scenario::endpoint::EndpointSpec;
    use crate::scenario::slo::{Percentile, Slo};
    use crate::scenario::workload::Workload;
    use crate::workload::schedule::Material;

    fn slo() -> Slo {
        Slo { ttft: [(Percentile::P95, TimeSpan::millis(800))].into(), ..Slo::default() }
    }

    #[test]
    fn mean_ready_integrates_the_log_of_changes() {
        let at = |s, ready, pending| ScaleEvent { at: Nanos::from_secs(s), ready, pending };
        let log = [at(0, 1, 0), at(5, 1, 2), at(10, 3, 0), at(30, 2, 0)];
        assert_eq!(mean_ready(&log, Nanos::from_secs(0), Nanos::from_secs(20)), 2.0);
        assert_eq!(mean_ready(&log, Nanos::from_secs(20), Nanos::from_secs(40)), 2.5);
        assert_eq!(mean_ready(&log, Nanos::from_secs(50), Nanos::from_secs(60)), 2.0);
    }

    #[test]
    fn a_request_is_good_when_it_ended_well_and_met_its_bounds() {
        let bounds = Bounds { ttft: Some(Nanos::from_millis(100)), tpot_s: Some(0.05), e2e: None };
        let mut record = RequestRecord::due(0, Phase::Measure, Nanos::ZERO, 10, 3);
        assert_eq!(Judgement::of(&record, &bounds).ended, Some(Group::Shed));
        record.outcome = Outcome::Ok;
        record.output_tokens = 3;
        record.first_token = Some(Nanos::from_millis(100));
        record.last_token = Some(Nanos::from_millis(200));
        assert!(Judgement::of(&record, &bounds).is_good());
        record.last_token = Some(Nanos::from_millis(201));
        assert!(Judgement::of(&record, &bounds).tpot);
        record.first_token = Some(Nanos::from_millis(101));
        assert_eq!(Judgement::of(&record, &bounds), Judgement { ttft: true, ..Judgement::default() });
    }

    /// forall threads: the same outcomes, byte for byte; and accounting holds.
    #[test]
    fn outcomes_do_not_depend_on_the_number_of_threads() {
        let mut plan = tiny_plan();
        plan.day_sigma = 0.2;
        let (workload, material, slo) = (Workload::default(), Material::default(), slo());
        let world = World::new(&plan, &workload, &slo, &EndpointSpec::default(), &material, Seed(5)).unwrap();
        let tariff = Tariff::new(&plan.price).unwrap();
        let run = |threads| Simulation::new(&world, &tariff, threads).evaluate(Size { min: 1, max: 2 }, Seeds::Search, 0..5);
        let one = run(1);
        assert_eq!(one, run(3));
        assert_eq!(one.len(), 5);
        for period in &one {
            assert!(period.good <= period.total && period.total > 500);
            assert_eq!(u64::from(period.missed_by_part.iter().sum::<u32>()), period.total - period.good);
            assert!(period.mean_chunks >= 1.0 && period.peak_chunks <= 2);
        }
    }
}
