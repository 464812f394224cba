//! The planner against oracles: the whole grid by brute force, closed forms of ramps and steps, and monotony in what it is given.

use plimsoll::base::rng::Seed;
use plimsoll::base::units::{Share, TimeSpan, TokenRate};
use plimsoll::planner::cost::Tariff;
use plimsoll::planner::evaluate::Simulation;
use plimsoll::planner::limits::Binds;
use plimsoll::planner::recommendation::{Recommendation, Timeline};
use plimsoll::planner::search::{Evaluator, PeriodOutcome, Rules, Seeds, Size, mean_cost, search};
use plimsoll::planner::world::World;
use plimsoll::planner::{self, Error};
use plimsoll::scenario::endpoint::{EndpointSpec, Lag, StepLaw};
use plimsoll::scenario::experiment::Experiment;
use plimsoll::scenario::model::Scenario;
use plimsoll::scenario::plan::{Plan, Provenance};
use plimsoll::scenario::price::Price;
use plimsoll::scenario::workload::{Lengths, Marginal};
use plimsoll::workload::schedule::Material;
use serde_json::json;

/// A small world: prompts of 400 tokens, answers of 20, ten minutes that rise from a trickle to a few requests a second and fall again.
///
/// One iteration takes 20 ms and 1 ms for each sequence and 0.6 ms for each prompt token: a request costs 240 ms of prefill and about
/// 40 ms of decoding, so a chunk carries less than 4 requests, or 1,500 tokens, a second.
fn scenario(lag: &str, peak: &str) -> Scenario {
    let value = json!({
        "name": "oracle",
        "load": { "arrivals": { "poisson": { "rate": "1/s" } } },
        "workload": { "lengths": { "independent": { "input": { "fixed": 400 }, "output": { "fixed": 20 } } } },
        "slo": { "ttft": { "p95": "1s" } },
        "endpoint": { "prefill_budget": 512, "max_batch": 16 },
        "plan": {
            "demand": { "poisson": { "rate": { "piecewise": { "points": [
                { "at": "0s", "rate": "1/s" },
                { "at": "2min", "rate": "1/s" },
                { "at": "4min", "rate": peak },
                { "at": "6min", "rate": peak },
                { "at": "8min", "rate": "1/s" },
            ] } } } },
            "period": "10min",
            "chunk": { "size": "1500 tok/s", "source": "assumed" },
            "autoscaler": { "target": "80%", "window": "20s", "poll": "5s", "scale_down_delay": "60s", "lag": { "fixed": lag } },
            "price": { "first": "10 USD/h", "next": "10 USD/h", "source": "assumed" },
            "promise": { "requests": "97%", "periods": "70%", "confidence": "70%" },
            "max_chunks": 6,
            "timeout": "20s",
            "search": { "periods": 10 },
        },
    });
    let mut scenario: Scenario = serde_json::from_value(value).expect("the scenario is well formed");
    let ns = |n| TimeSpan(plimsoll::base::time::Nanos(n));
    scenario.endpoint.step =
        StepLaw { base: ns(20_000_000), per_sequence: ns(1_000_000), per_prefill_token: ns(600_000), per_context_token: ns(0), ..StepLaw::default() };
    scenario
}

fn recommend(scenario: Scenario, seed: u64) -> Recommendation {
    let experiment = Experiment { scenario, seed: Seed(seed), base_dir: ".".into(), sha256: String::new() };
    let model = experiment.scenario.endpoint.clone();
    planner::recommend(&experiment, &model, Provenance::Assumed, &Material::default(), &mut |_| {}).expect("the plan is sound")
}

fn plan_of(scenario: &mut Scenario) -> &mut Plan {
    scenario.plan.as_mut().expect("the scenario has a plan")
}

/// forall seeded worlds: the search on the grid finds what looking at every size finds, on the same periods, with fewer looks.
#[test]
fn the_search_finds_what_brute_force_finds() {
    for (seed, lag, peak) in [(1, "75s", "6/s"), (2, "20s", "5/s"), (3, "45s", "7/s")] {
        let scenario = scenario(lag, peak);
        let plan = scenario.plan.clone().expect("the scenario has a plan");
        let material = Material::default();
        let world = World::new(&plan, &scenario.workload, &scenario.slo, &scenario.endpoint, &material, Seed(seed)).expect("a sound demand");
        let tariff = Tariff::new(&plan.price).expect("one currency");
        let rules = Rules {
            requests: 0.97,
            periods: 0.7,
            confidence: 0.8,
            max_chunks: 5,
            least: 1,
            lowest: 1,
            guess: 2,
            fixed: false,
            search_periods: 4,
            certify_periods: 6,
            certify_least: 0,
            draws: 1,
        };
        let passes = |periods: &[PeriodOutcome]| rules.failures(periods) <= rules.search_bar().bad_periods;
        let mut simulation = Simulation::new(&world, &tariff, 2);
        let mut best: Option<f64> = None;
        for max in 1..=5 {
            for min in 1..=max {
                let periods = simulation.evaluate(Size { min, max }, Seeds::Search, 0..4);
                if passes(&periods) {
                    best = Some(best.map_or(mean_cost(&periods), |b| b.min(mean_cost(&periods))));
                }
            }
        }
        let found = search(&rules, &mut simulation, &mut |_| {});
        let passing = found.looked.values().filter(|p| passes(p));
        let cheapest = passing.map(|p| mean_cost(p)).reduce(f64::min);
        assert_eq!(best, cheapest, "world {seed}");
        assert!(found.looked.len() < 15, "{} of 15 sizes", found.looked.len());
        // What is certified passed on periods that the search never saw.
        let chosen = found.chosen.expect("a size up to 5 keeps the promise");
        assert_eq!(chosen.periods.len(), chosen.bar.periods() as usize);
        assert!(
            rules.failures(&chosen.periods) <= chosen.bar.bad_periods
                && plimsoll::planner::bar::binomial_at_most(chosen.bar.bad_periods, chosen.bar.depth, 0.3) <= 0.2
        );
    }
}

/// Closed form of a ramp: no backlog iff the free capacity outlasts what comes within the effective lag. A slow lag needs capacity ahead of
/// the demand, so the minimum rises with the lag; with none it falls.
#[test]
fn a_slow_lag_buys_a_larger_minimum_and_no_lag_a_smaller_one() {
    let prompt = recommend(scenario("0s", "7/s"), 1).chosen.expect("a size without lag");
    let slow = recommend(scenario("4min", "7/s"), 1).chosen.expect("a size with a slow lag");
    assert!(prompt.min_chunks < slow.min_chunks, "{prompt:?} against {slow:?}");
    assert!(prompt.cost_per_hour < slow.cost_per_hour);
    assert!(prompt.min_chunks < prompt.max_chunks, "without lag the endpoint follows demand");
}

/// Step to twice the load with patience w: the minimum must carry `peak * D / (D + w)`, nearly all of it when the lag D is long.
#[test]
fn a_step_beyond_the_patience_must_be_bought_ahead() {
    let step = |lag: &str| {
        let mut scenario = scenario(lag, "1/s");
        plan_of(&mut scenario).demand = serde_json::from_value(json!({ "poisson": { "rate": { "steps": [
            { "rate": "1.5/s", "hold": "4min" }, { "rate": "6/s", "hold": "6min" },
        ] } } }))
        .expect("steps");
        recommend(scenario, 4)
    };
    let slow = step("3min");
    let size = slow.chosen.clone().expect("a size for the step");
    // What one chunk carries within the objective bounds the fixed size that the plateau needs.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few chunks")]
    let plateau = (6.0 * 420.0 * (180.0 / 181.0) / (slow.effective_chunk_tok_s * 1.25)).ceil() as u32;
    assert!(size.min_chunks >= plateau, "{size:?}, at least {plateau} for the plateau; {}", slow.sentence);
    let quick = step("0s").chosen.expect("a size for the step without lag");
    assert!(quick.mean_chunks <= size.mean_chunks, "{quick:?} against {size:?}");
}

/// forall worlds: more demand, a tighter objective or a stricter promise never costs less.
#[test]
fn cost_is_monotone_in_demand_and_objective() {
    let cost = |change: &dyn Fn(&mut Scenario)| {
        let mut scenario = scenario("45s", "5/s");
        change(&mut scenario);
        recommend(scenario, 9).chosen.map_or(f64::INFINITY, |c| c.mean_chunks)
    };
    let base = cost(&|_| {});
    assert!(base.is_finite());
    assert!(cost(&|s| plan_of(s).growth = 1.5) >= base);
    assert!(cost(&|s| plan_of(s).growth = 0.3) <= base);
    assert!(cost(&|s| s.slo.ttft.values_mut().for_each(|bound| *bound = TimeSpan::secs(10))) <= base + 0.05);
    assert!(cost(&|s| plan_of(s).promise.requests = Share(0.5)) <= base + 0.05);
}

/// The document adds up, and is the same twice.
#[test]
fn a_recommendation_is_whole_and_repeats() {
    let mut scenario = scenario("75s", "6/s");
    plan_of(&mut scenario).autoscaler.failure = Share(0.1);
    let one = recommend(scenario.clone(), 3);
    let chosen = one.chosen.clone().expect("a size");
    assert!(
        one.sentence.starts_with(&format!("buy min {}, max {} chunks of 1,500 tokens/s (", chosen.min_chunks, chosen.max_chunks)),
        "{}",
        one.sentence
    );
    assert!(chosen.keeps_promise && chosen.kept_lower_bound >= 0.7);
    let parts: f64 = one.headroom.iter().map(|p| p.chunks).sum();
    assert!((parts - chosen.mean_chunks).abs() < 1e-6, "{parts} against {}", chosen.mean_chunks);
    let money: f64 = one.headroom.iter().map(|p| p.cost_per_hour).sum();
    assert!((money - chosen.cost_per_hour).abs() < 1e-6);
    assert_eq!(one.headroom.iter().map(|p| p.cause.as_str()).collect::<Vec<_>>(), ["base", "burst", "lag", "failure", "uncertainty"]);
    assert!(one.clairvoyant.fractional.mean_chunks <= chosen.mean_chunks + 1e-9);
    assert!(one.clairvoyant.fractional.mean_chunks <= one.clairvoyant.whole.mean_chunks * 1.2 && one.clairvoyant.price_of_delay >= -1e-9);
    assert_eq!(one.naive.iter().map(|n| n.rule.as_str()).collect::<Vec<_>>(), ["mean x 1.2", "peak minute", "p95 x 1.3", "cheapest that passed"]);
    if let Some(cheaper) = &one.next_cheaper {
        assert!(!cheaper.reason.is_empty() && cheaper.result.periods <= chosen.periods);
    }
    assert!(one.frontier.iter().any(|c| (c.min_chunks, c.max_chunks) == (chosen.min_chunks, chosen.max_chunks)));
    assert!(!one.timeline.points.is_empty() && one.timeline.points.len() <= 400);
    let due: u32 = one.timeline.points.iter().map(|p| p.due).sum();
    assert!(due > 500, "{due}");
    // The worst periods, in order of how bad they were.
    assert_eq!(one.next_worst.len(), 4);
    let missed = |t: &Timeline| t.points.iter().map(|p| f64::from(p.missed)).sum::<f64>() / t.points.iter().map(|p| f64::from(p.due)).sum::<f64>();
    let shares: Vec<f64> = std::iter::once(&one.timeline).chain(&one.next_worst).map(missed).collect();
    assert!(shares.windows(2).all(|w| w[0] >= w[1] - 1e-12), "{shares:?}");
    assert!(one.sensitivity.is_none() && one.break_even.is_none());
    assert_eq!(one.create_body["config"]["served_entities"][0]["min_provisioned_throughput"], 1500 * chosen.min_chunks);
    assert!(one.assumptions.iter().any(|a| a.what == "scale-up delay"));
    assert!(one.warnings.iter().any(|w| w.code == "demand-short"));
    let two = recommend(scenario, 3);
    assert_eq!(serde_json::to_string(&one).expect("JSON"), serde_json::to_string(&two).expect("JSON"));
}

#[test]
fn a_promise_out_of_reach_is_said_and_not_invented() {
    let mut crowded = scenario("30s", "6/s");
    plan_of(&mut crowded).max_chunks = 1;
    let answer = recommend(crowded, 1);
    assert!(answer.chosen.is_none());
    assert!(answer.sentence.starts_with("no size up to 1 chunk of 1,500 tokens/s"), "{}", answer.sentence);
    assert!(answer.warnings.iter().any(|w| w.code == "promise-out-of-reach"));
    let mut hopeless = scenario("30s", "2/s");
    hopeless.slo.ttft.values_mut().for_each(|bound| *bound = TimeSpan::millis(5));
    let answer = recommend(hopeless, 1);
    assert!(answer.chosen.is_none() && answer.effective_chunk_tok_s == 0.0);
    assert!(answer.warnings.iter().any(|w| w.code == "objective-out-of-reach"));
}

#[test]
fn a_plan_that_cannot_be_made_is_refused_with_a_reason() {
    let refused = |change: &dyn Fn(&mut Scenario)| {
        let mut scenario = scenario("30s", "2/s");
        change(&mut scenario);
        let experiment = Experiment { scenario, seed: Seed(1), base_dir: ".".into(), sha256: String::new() };
        planner::recommend(&experiment, &EndpointSpec::default(), Provenance::Assumed, &Material::default(), &mut |_| {}).expect_err("refused")
    };
    assert!(matches!(refused(&|s| s.plan = None), Error::NoPlan));
    assert!(matches!(refused(&|s| s.slo.ttft.clear()), Error::NoObjective));
    assert!(matches!(refused(&|s| plan_of(s).promise.periods = Share(1.0)), Error::NotCertifiable { .. }));
    assert!(matches!(refused(&|s| plan_of(s).chunk.size = TokenRate(0.0)), Error::Range { key: "chunk.size", .. }));
    assert!(matches!(refused(&|s| plan_of(s).price.next = "24 EUR/h".parse().ok()), Error::Price(_)));
    assert!(matches!(refused(&|s| plan_of(s).price = Price::default()), Error::Price(_)));
    assert!(matches!(refused(&|s| s.workload.lengths = Lengths::Empirical { trace: None }), Error::Demand(_)));
    let nothing = |s: &mut Scenario| plan_of(s).period = TimeSpan::millis(1);
    assert!(matches!(refused(&nothing), Error::NoDemand { .. }));
}

/// Two minutes of steady demand whose level differs from period to period.
fn brief() -> Scenario {
    let mut scenario = scenario("20s", "2/s");
    let plan = plan_of(&mut scenario);
    plan.demand = Some(serde_json::from_value(json!({ "poisson": { "rate": "3/s" } })).expect("a rate"));
    (plan.period, plan.day_sigma, plan.max_chunks) = (TimeSpan::secs(120), 0.1, 4);
    (plan.search.periods, plan.search.certify) = (Some(20), Some(20));
    scenario
}

/// What is not known of the demand is inside the promise: it costs, the certificate says by how many draws, and the limits say how much.
#[test]
fn doubt_about_the_demand_is_paid_for_and_named() {
    let sure = recommend(brief(), 2);
    let mut doubtful = brief();
    plan_of(&mut doubtful).demand_error = Share(0.25);
    let doubtful = recommend(doubtful, 2);
    let (one, other) = (sure.chosen.expect("a size"), doubtful.chosen.expect("a size"));
    assert!(other.mean_chunks >= one.mean_chunks, "{other:?} against {one:?}");
    assert_eq!(sure.certificate.expect("certified").bar.draws, 1);
    let certificate = doubtful.certificate.expect("certified");
    assert!(certificate.bar.draws > 1 && certificate.risk <= 0.3 + 1e-9, "{certificate:?}");
    assert!(doubtful.limits.without.iter().any(|w| w.what == Binds::Demand));
}

/// Where the user controls target and schedule, the answer is no dearer than without that freedom, but for the luck of fresh periods.
#[test]
fn targets_and_blocks_are_chosen_when_they_save() {
    let steps = |scenario: &mut Scenario| {
        let rate = json!({ "poisson": { "rate": { "steps": [{ "rate": "1/s", "hold": "2min" }, { "rate": "6/s", "hold": "2min" }] } } });
        plan_of(scenario).demand = Some(serde_json::from_value(rate).expect("steps"));
        plan_of(scenario).period = TimeSpan::secs(240);
        plan_of(scenario).autoscaler.lag = Lag::Fixed(TimeSpan::secs(100));
    };
    let (mut plain, mut free) = (brief(), brief());
    steps(&mut plain);
    steps(&mut free);
    plan_of(&mut free).search.targets = vec![Share(0.5), Share(0.8)];
    plan_of(&mut free).search.blocks = 4;
    let plain = recommend(plain, 5).chosen.expect("a size");
    let free = recommend(free, 5).chosen.expect("a size");
    assert!(free.mean_chunks < plain.mean_chunks, "{free:?} against {plain:?}");
    assert!(free.min_chunks < plain.min_chunks, "the schedule holds the chunks for the step, not the minimum: {free:?}");
}

/// A lag that is drawn, lengths that are drawn: the same plan again, and progress is told.
#[test]
fn progress_is_told_stage_by_stage() {
    let mut scenario = scenario("30s", "3/s");
    plan_of(&mut scenario).autoscaler.lag = Lag::Lognormal { median: TimeSpan::secs(30), p95: TimeSpan::secs(60) };
    scenario.workload.lengths = Lengths::Independent { input: Marginal::Fixed(300), output: Marginal::Uniform { min: 10, max: 30 } };
    let experiment = Experiment { scenario, seed: Seed(1), base_dir: ".".into(), sha256: String::new() };
    let model = experiment.scenario.endpoint.clone();
    let mut stages = Vec::new();
    planner::recommend(&experiment, &model, Provenance::Assumed, &Material::default(), &mut |p| {
        if stages.last() != Some(&p.stage) {
            stages.push(p.stage);
        }
    })
    .expect("the plan is sound");
    assert_eq!(stages.first(), Some(&planner::Stage::Survey));
    assert!(stages.contains(&planner::Stage::Certify) && stages.contains(&planner::Stage::Headroom));
}
