//! Judged periods against full simulation.

use super::*;
use crate::base::rng::Seed;
use crate::base::units::{TimeSpan, TokenRate};
use crate::planner::cost::Tariff;
use crate::planner::evaluate::Simulation;
use crate::planner::search::Evaluator;
use crate::planner::tests::tiny_plan;
use crate::scenario::endpoint::{EndpointSpec, StepLaw};
use crate::scenario::plan::Plan;
use crate::scenario::slo::{Percentile, Slo};
use crate::scenario::workload::Workload;
use crate::workload::schedule::Material;

/// A fast endpoint, so that little time holds many requests: an idle request takes a fifth of a second.
fn fast() -> EndpointSpec {
    let step = StepLaw {
        base: TimeSpan::millis(1),
        per_sequence: TimeSpan(crate::base::time::Nanos(40_000)),
        per_prefill_token: TimeSpan(crate::base::time::Nanos(10_000)),
        per_context_token: TimeSpan(crate::base::time::Nanos(0)),
        ..StepLaw::default()
    };
    EndpointSpec { step, max_batch: 16, ..EndpointSpec::default() }
}

/// Ten minutes of calm, ten of three times the demand, forty of calm; a request is good when its first token comes within half a second.
fn plan() -> Plan {
    let mut plan = tiny_plan();
    plan.period = TimeSpan::secs(3600);
    plan.promise.requests = crate::base::units::Share(0.95);
    plan.chunk.size = TokenRate(18_000.0);
    let demand = serde_json::from_value(serde_json::json!({ "poisson": { "rate": { "steps": [
        { "rate": "25/s", "hold": "20min" }, { "rate": "75/s", "hold": "10min" }, { "rate": "25/s", "hold": "30min" } ] } } }));
    plan.demand = Some(demand.unwrap());
    plan
}

fn slo() -> Slo {
    Slo { ttft: [(Percentile::P95, TimeSpan::millis(500))].into(), ..Slo::default() }
}

struct Fixture {
    plan: Plan,
    workload: Workload,
    material: Material,
    slo: Slo,
    tariff: Tariff,
}

impl Fixture {
    fn new() -> Self {
        let plan = plan();
        let tariff = Tariff::new(&plan.price).unwrap();
        Self { plan, workload: Workload::default(), material: Material::default(), slo: slo(), tariff }
    }

    fn world(&self) -> World<'_> {
        World::new(&self.plan, &self.workload, &self.slo, &fast(), &self.material, Seed(3)).unwrap()
    }
}

fn share(periods: &[PeriodOutcome]) -> f64 {
    periods.iter().map(PeriodOutcome::good_share).sum::<f64>() / periods.len() as f64
}

/// forall sizes: attainment within 0.05 points of the full simulation of the same periods, paths of chunks the same, a part simulated.
#[test]
fn judged_periods_agree_with_full_simulation() {
    let fixture = Fixture::new();
    let world = fixture.world();
    for (size, simulated_most) in [(Size { min: 1, max: 4 }, 0.9), (Size::fixed(3), 0.5), (Size::fixed(4), 0.3)] {
        let full = Simulation::in_full(&world, &fixture.tariff, 2).evaluate(size, Seeds::Search, 0..2);
        let mut hybrid = Simulation::new(&world, &fixture.tariff, 2).to(Depth::Full);
        let judged = hybrid.evaluate(size, Seeds::Search, 0..2);
        assert!((share(&full) - share(&judged)).abs() <= 5e-4, "{size:?}: {} against {}", share(&judged), share(&full));
        for (a, b) in full.iter().zip(&judged) {
            assert_eq!((a.total, a.mean_chunks, a.cost_per_hour), (b.total, b.mean_chunks, b.cost_per_hour));
            assert!(b.is_exact);
            assert_eq!(u64::from(b.missed_by_part.iter().sum::<u32>()), b.total - b.good);
        }
        let part = hybrid.simulated as f64 / hybrid.requests as f64;
        assert!(part <= simulated_most, "{size:?}: {part}");
    }
}

/// forall threads, sizes: the same outcomes, byte for byte; and a verdict is that of the exact outcome.
#[test]
fn verdicts_do_not_depend_on_threads_and_agree_with_exact_outcomes() {
    let fixture = Fixture::new();
    let world = fixture.world();
    for size in [Size::fixed(1), Size { min: 1, max: 3 }, Size::fixed(4)] {
        let run = |threads, depth| Simulation::new(&world, &fixture.tariff, threads).to(depth).evaluate(size, Seeds::Certify(0), 0..3);
        let one = run(1, Depth::Verdict);
        assert_eq!(one, run(2, Depth::Verdict));
        let kept = |p: &PeriodOutcome| p.good as f64 >= 0.95 * p.total as f64;
        for (verdict, exact) in one.iter().zip(run(2, Depth::Full)) {
            assert_eq!(kept(verdict), kept(&exact), "{size:?}: {verdict:?} {exact:?}");
            assert_eq!(verdict.mean_chunks, exact.mean_chunks);
        }
    }
}

/// A policy that looks at what is in flight leaves nothing to screen by.
#[test]
fn what_cannot_be_screened_is_simulated_in_whole() {
    let mut fixture = Fixture::new();
    fixture.plan.autoscaler.metric = crate::scenario::autoscaler::ScaleMetric::Concurrency;
    fixture.plan.period = TimeSpan::secs(300);
    let world = fixture.world();
    let size = Size { min: 1, max: 2 };
    let mut hybrid = Simulation::new(&world, &fixture.tariff, 1);
    let judged = hybrid.evaluate(size, Seeds::Search, 0..1);
    assert_eq!(judged, Simulation::in_full(&world, &fixture.tariff, 1).evaluate(size, Seeds::Search, 0..1));
    assert_eq!(hybrid.simulated, hybrid.requests);
}
