//! What one chunk really serves: the largest steady rate at which it still meets the objectives for this mix of lengths.

use super::demand::{Demand, least_work_s};
use super::evaluate::Judgement;
use super::search::Size;
use super::world::{List, World};
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::record::request::Phase;
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

/// Bisects the rate of Poisson arrivals on one chunk until `promised` of the requests are just good. The same requests and the same gaps,
/// only scaled, at every rate; the first tenth is not counted.
#[must_use]
pub fn of_one_chunk(world: &World<'_>, demand: &Demand, promised: f64) -> Capacity {
    if demand.sample.is_empty() {
        return Capacity::default();
    }
    let mix = mix(demand, world.seed);
    let tokens = mix.iter().map(|(_, a)| f64::from(a.input_tokens) + f64::from(a.output_tokens)).sum::<f64>() / mix.len() as f64;
    let work_s = mix.iter().map(|(_, a)| least_work_s(&world.endpoint, a)).sum::<f64>() / mix.len() as f64;
    let good = |rate: f64| good_share(world, &mix, rate, promised);
    // No rate above 1 / work is stable. A hundredth of that leaves the chunk idle between requests.
    let most = 1.0 / work_s.max(1e-9);
    let idle_good_share = good_share(world, &mix, most * 0.002, 0.0);
    if idle_good_share < promised {
        return Capacity { idle_good_share, ..Capacity::default() };
    }
    let (mut keeps, mut fails) = (most * 0.002, most);
    for _ in 0..12 {
        let middle = f64::midpoint(keeps, fails);
        if good(middle) >= promised {
            keeps = middle;
        } else {
            fails = middle;
        }
    }
    Capacity { tok_s: keeps * tokens, requests_s: keeps, idle_good_share }
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

/// Share of counted requests that are good; overload ends early, when more were missed than `promised` allows.
fn good_share(world: &World<'_>, mix: &[(f64, Arrival)], rate: f64, promised: f64) -> f64 {
    let arrivals = mix.iter().map(|(at, a)| Arrival { at: Nanos::from_secs_f64(at / rate), ..*a }).collect();
    let counted_from = mix.len() as u64 / 10;
    let missable = (mix.len() as f64 - counted_from as f64) * (1.0 - promised) + 1.0;
    let stop = Cell::new(false);
    let mut endpoint = Endpoint::new(&world.sized(Size::fixed(1)), world.seed, Detail::Requests);
    let (mut good, mut missed) = (0_u64, 0_u64);
    virtual_time::run(&mut List::new(arrivals, &stop), &mut endpoint, world.patience(), &mut |record| {
        if record.seq >= counted_from {
            let is_good = Judgement::of(record, &world.bounds).is_good();
            good += u64::from(is_good);
            missed += u64::from(!is_good);
            stop.set(missed as f64 > missable);
        }
    });
    if stop.get() && promised > 0.0 {
        // What was not sent any more counts as missed.
        return good as f64 / (mix.len() as f64 - counted_from as f64);
    }
    if good + missed == 0 { 0.0 } else { good as f64 / (good + missed) as f64 }
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
    /// The 99th percentile lies somewhat lower.
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
        assert_eq!(capacity(TimeSpan::millis(5)), Capacity { tok_s: 0.0, requests_s: 0.0, idle_good_share: 0.0 });
    }
}
