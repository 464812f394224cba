//! Hidden endpoints: drawn at random from a seed, fast enough that a few seconds of load tell much.

use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Share, TimeSpan};
use plimsoll::scenario::endpoint::{EndpointSpec, KvPolicy, PrefixHit, StepLaw};
use plimsoll::scenario::experiment::Experiment;
use plimsoll::scenario::load::{Arrivals, Load, RateFn};
use plimsoll::scenario::model::Scenario;
use plimsoll::scenario::workload::{Lengths, Marginal, Workload};
use rand::RngExt;

/// One hidden endpoint, and the mixes of lengths that are sent to it.
pub(crate) struct World {
    pub name: String,
    pub truth: EndpointSpec,
    /// What it is fitted to.
    pub mix: Workload,
    /// What nobody fitted it to.
    pub other: Workload,
}

fn mix(input: f64, sigma_in: f64, output: f64, sigma_out: f64) -> Workload {
    let lengths = Lengths::Independent {
        input: Marginal::Lognormal { median: input, sigma: sigma_in },
        output: Marginal::Lognormal { median: output, sigma: sigma_out },
    };
    Workload { lengths, min_input: 4, max_input: 1600, min_output: 2, max_output: 160, ..Workload::default() }
}

/// World number `index` of a series.
pub(crate) fn draw(seed: Seed, index: u64) -> World {
    let mut stream = seed.keyed("world", index);
    let mut between = |low: f64, high: f64| -> f64 { (low.ln() + stream.random::<f64>() * (high / low).ln()).exp() };
    let ns = |v: f64| TimeSpan(Nanos(v as u64));
    let step = StepLaw {
        base: ns(between(2e6, 5e6)),
        per_sequence: ns(between(40e3, 300e3)),
        per_prefill_token: ns(between(4e3, 25e3)),
        per_context_token: ns(between(15.0, 250.0)),
        ..StepLaw::default()
    };
    let budgets = [128_u32, 192, 256, 384, 512, 768, 1024];
    let prefill_budget = budgets[between(1.0, 7.999) as usize - 1];
    let max_batch = between(10.0, 49.0) as u32;
    let (input, output) = (between(120.0, 360.0), between(14.0, 40.0));
    let kv_tokens =
        if between(1.0, 2.0) < 1.25 { (f64::from(max_batch) * (input * 1.4 + output * 1.2) * between(0.55, 0.8)) as u64 } else { 1_000_000 };
    let truth = EndpointSpec {
        step,
        prefill_budget,
        max_batch,
        kv_tokens: kv_tokens.max(2000),
        network: ns(between(0.2e6, 2e6)),
        noise: between(0.002, 0.03),
        queue: 4096,
        ..EndpointSpec::default()
    };
    World {
        name: format!("{index}"),
        truth,
        mix: mix(input, between(0.6, 1.0), output, between(0.4, 0.8)),
        other: mix(input * between(0.5, 0.8), 0.5, output * between(1.3, 1.8), 0.9),
    }
}

/// The same world with something that the plain law does not have: by `index`, curvature, superlinear prefill, preemption, prefix hits, or chunks of two
/// tokens; every sixth has two of them.
pub(crate) fn misspecified(seed: Seed, index: u64) -> World {
    let mut world = draw(seed, index);
    let mut stream = seed.keyed("misspecified", index);
    let mut between = |low: f64, high: f64| -> f64 { low + stream.random::<f64>() * (high - low) };
    let t = &mut world.truth;
    let kinds = if index % 6 == 5 { vec![0, 1] } else { vec![index % 6] };
    for kind in kinds {
        let name = match kind {
            0 => {
                t.step.curvature = between(1.5, 4.0);
                "curvature"
            }
            1 => {
                let c = t.step.per_prefill_token.nanos().0 as f64;
                t.step.prefill_growth = TimeSpan(Nanos((c * between(0.2, 0.8)) as u64));
                "superlinear prefill"
            }
            2 => {
                t.kv_policy = KvPolicy::Preempt;
                t.kv_tokens = (f64::from(t.max_batch) * between(120.0, 220.0)).max(2500.0) as u64;
                "preemption"
            }
            3 => {
                t.prefix_hit = PrefixHit { requests: Share(between(0.2, 0.6)), prompt: Share(between(0.3, 0.8)) };
                "prefix hits"
            }
            _ => {
                t.tokens_per_step = 2;
                "2-token chunks"
            }
        };
        world.name = format!("{} {name}", world.name);
    }
    world
}

/// A scenario that loads `workload`; the endpoint in it is what the client assumes, not the truth.
pub(crate) fn experiment(workload: &Workload, seed: Seed) -> Experiment {
    let scenario = Scenario {
        name: "hidden".to_owned(),
        question: String::new(),
        target: plimsoll::scenario::target::Target::default(),
        load: Load {
            arrivals: Arrivals::Poisson { rate: RateFn::Constant(plimsoll::base::units::Rate(1.0)) },
            warmup: TimeSpan::secs(0),
            measure: TimeSpan::secs(1),
            drain: TimeSpan::secs(20),
            max_in_flight: 512,
        },
        workload: workload.clone(),
        slo: plimsoll::scenario::slo::Slo::default(),
        sweep: plimsoll::scenario::load::Sweep::default(),
        endpoint: EndpointSpec::default(),
        plan: None,
        gate: plimsoll::scenario::gate::Gate::default(),
        limits: plimsoll::scenario::model::Limits::default(),
    };
    Experiment { scenario, seed, base_dir: std::path::PathBuf::new(), sha256: String::new() }
}
