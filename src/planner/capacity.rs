//! What one chunk really serves: the largest steady rate at which it still meets the objectives for this mix of lengths.

use super::demand::{Demand, least_work_s};
use super::evaluate::Judgement;
use super::search::Size;
use super::world::{List, World};
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::record::request::{Phase, RequestRecord};
use crate::scenario::slo::Metric;
use crate::sim::endpoint::Endpoint;
use crate::sim::event::Detail;
use crate::sim::virtual_time;
use crate::workload::schedule::Arrival;
use rand_distr::{Distribution, Exp1};
use std::cell::Cell;

/// Capacity of one chunk within the objectives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Capacity {
    /// Input plus output tokens per second; zero when even an idle chunk misses the objectives.
    pub tok_s: f64,
    /// Requests per second.
    pub requests_s: f64,
    /// Share of requests that are good when they come one at a time.
    pub idle_good_share: f64,
}

/// Bisects the rate of Poisson arrivals on one chunk until the objectives are just met, each at its percentile (`promised` of the requests
/// must end well when there are no others). The same requests and the same gaps, only scaled, at every rate; the first tenth is not counted.
#[must_use]
pub fn of_one_chunk(world: &World<'_>, demand: &Demand, promised: f64) -> Capacity {
    if demand.sample.is_empty() {
        return Capacity::default();
    }
    let mix = mix(demand, world.seed);
    let limits = Limits::of(world, promised);
    let tokens = mix.iter().map(|(_, a)| f64::from(a.input_tokens) + f64::from(a.output_tokens)).sum::<f64>() / mix.len() as f64;
    let work_s = mix.iter().map(|(_, a)| least_work_s(&world.endpoint, a)).sum::<f64>() / mix.len() as f64;
    // No rate above 1 / work is stable. A small part of that leaves the chunk idle between requests.
    let most = 1.0 / work_s.max(1e-9);
    let idle = most * 0.002;
    let idle_good_share = steady(world, &mix, idle, None).good_share;
    if !steady(world, &mix, idle, Some(&limits)).is_met {
        return Capacity { idle_good_share, ..Capacity::default() };
    }
    let (mut keeps, mut fails) = (idle, most);
    for _ in 0..12 {
        let middle = f64::midpoint(keeps, fails);
        if steady(world, &mix, middle, Some(&limits)).is_met {
            keeps = middle;
        } else {
            fails = middle;
        }
    }
    Capacity { tok_s: keeps * tokens, requests_s: keeps, idle_good_share }
}

/// The objectives of a steady load: each latency bound with the share of requests that may be above it, and the share that may end badly.
#[derive(Clone, Debug, PartialEq)]
struct Limits {
    terms: Vec<(Metric, Nanos, f64)>,
    errors: f64,
}

impl Limits {
    fn of(world: &World<'_>, promised: f64) -> Self {
        let terms =
            world.slo.terms().filter(|t| t.metric != Metric::Itl).map(|t| (t.metric, t.bound.nanos(), 1.0 - t.percentile.quantile())).collect();
        Self { terms, errors: world.slo.errors.map_or(1.0 - promised, |share| share.0) }
    }

    /// Whether one of them is exceeded by `counts` of `total` requests.
    fn are_exceeded(&self, counts: &Counts, total: f64) -> bool {
        let above = self.terms.iter().zip(&counts.above).any(|((_, _, share), above)| *above as f64 > share * total);
        above || counts.bad as f64 > self.errors * total
    }
}

/// Requests above each bound, and those that ended badly.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    above: Vec<u64>,
    bad: u64,
    good: u64,
    total: u64,
}

impl Counts {
    fn add(&mut self, record: &RequestRecord, world: &World<'_>, limits: &Limits) {
        self.above.resize(limits.terms.len(), 0);
        self.total += 1;
        self.good += u64::from(Judgement::of(record, &world.bounds).is_good());
        if !record.is_ok() {
            self.bad += 1;
            return;
        }
        for ((metric, bound, _), above) in limits.terms.iter().zip(&mut self.above) {
            let is_above = match metric {
                Metric::Ttft => record.ttft().is_none_or(|t| t > *bound),
                Metric::Tpot => record.tpot_s().is_some_and(|t| t > bound.as_secs_f64()),
                Metric::E2e => record.e2e() > *bound,
                Metric::Itl => false,
            };
            *above += u64::from(is_above);
        }
    }
}

/// What a steady rate does.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Steady {
    is_met: bool,
    good_share: f64,
}

/// The sample of requests with Poisson instants at rate one, in seconds.
fn mix(demand: &Demand, seed: Seed) -> Vec<(f64, Arrival)> {
    let mut stream = seed.stream("plan-capacity");
    let mut at = 0.0;
    let mut mix = Vec::with_capacity(demand.sample.len());
    for (seq, lengths) in (0_u64..).zip(&demand.sample) {
        let gap: f64 = Exp1.sample(&mut stream);
        at += gap;
        let arrival = Arrival {
            seq,
            at: Nanos::ZERO,
            phase: Phase::Measure,
            input_tokens: lengths.input,
            output_tokens: lengths.output,
            shared_tokens: lengths.shared,
            prefix_group: 0,
            session: None,
            user: None,
        };
        mix.push((at, arrival));
    }
    mix
}

/// Runs the mix at `rate`. With `limits` overload ends early: as soon as one of them cannot be met any more.
fn steady(world: &World<'_>, mix: &[(f64, Arrival)], rate: f64, limits: Option<&Limits>) -> Steady {
    let arrivals = mix.iter().map(|(at, a)| Arrival { at: Nanos::from_secs_f64(at / rate), ..*a }).collect();
    let counted_from = mix.len() as u64 / 10;
    let total = mix.len() as f64 - counted_from as f64;
    let stop = Cell::new(false);
    let none = Limits { terms: Vec::new(), errors: 1.0 };
    let limits = limits.unwrap_or(&none);
    let mut counts = Counts::default();
    let mut endpoint = Endpoint::new(&world.estimate(Size::fixed(1)), world.seed, Detail::Requests);
    virtual_time::run(&mut List::new(arrivals, &stop), &mut endpoint, world.patience(), &mut |record| {
        if record.seq >= counted_from {
            counts.add(record, world, limits);
            stop.set(limits.are_exceeded(&counts, total));
        }
    });
    Steady { is_met: !limits.are_exceeded(&counts, total), good_share: counts.good as f64 / counts.total.max(1) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::TimeSpan;
    use crate::planner::{demand, tests::tiny_plan};
    use crate::scenario::endpoint::EndpointSpec;
    use crate::scenario::slo::{Percentile, Slo};
    use crate::scenario::workload::Workload;
    use crate::workload::schedule::Material;

    fn capacity(tpot: TimeSpan) -> Capacity {
        let plan = tiny_plan();
        let (workload, material) = (Workload::default(), Material::default());
        let slo = Slo { tpot: [(Percentile::P95, tpot)].into(), ..Slo::default() };
        let world = World::new(&plan, &workload, &slo, &EndpointSpec::default(), &material, Seed(1)).unwrap();
        let demand = demand::look(&world, 1, 0.99).unwrap();
        of_one_chunk(&world, &demand, 0.99)
    }

    /// Mean field: TPOT = a / (1 - rate * w), so the mean meets a bound t up to rate (1 - a / t) / w, with w = b o + c p + d (o p + o^2 / 2).
    /// The 95th percentile lies somewhat lower.
    #[test]
    fn capacity_lies_below_the_mean_field_bound_and_near_it() {
        let capacity = capacity(TimeSpan::millis(60));
        let work = 0.000_25 * 128.0 + 0.000_06 * 256.0 + 150e-9 * (128.0 * 256.0 + 128.0 * 128.0 / 2.0);
        let mean_field = (1.0 - 12.0 / 60.0) / work;
        assert!(capacity.requests_s < mean_field, "{capacity:?} against {mean_field}");
        assert!(capacity.requests_s > 0.6 * mean_field, "{capacity:?} against {mean_field}");
        assert!((capacity.tok_s - capacity.requests_s * 384.0).abs() < 1e-6);
        assert_eq!(capacity.idle_good_share, 1.0);
    }

    #[test]
    fn a_looser_bound_never_lowers_capacity_and_an_impossible_one_leaves_nothing() {
        assert!(capacity(TimeSpan::millis(40)).tok_s <= capacity(TimeSpan::millis(80)).tok_s);
        assert_eq!(capacity(TimeSpan::millis(5)).tok_s, 0.0);
    }
}
