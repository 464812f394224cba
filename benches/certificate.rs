//! Does the certificate keep its word? Thousands of synthetic worlds whose truth is known in closed form: share of wrong promises and cost against
//! the oracle, beside "the cheapest that passed" and a certificate that takes the estimates for the truth.
//! `cargo bench --bench certificate` prints the table; `-- --repeats 500` makes it shorter, `--first-seed 5000` makes it fresh.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is its result")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "chunks and repeats are small whole numbers; the casts saturate")]

use plimsoll::base::rng::Seed;
use plimsoll::base::stats::interval::{clopper_pearson_lower, clopper_pearson_upper, normal_quantile};
use plimsoll::planner::search::{Evaluator, PeriodOutcome, Rules, Seeds, Size, search};
use rand::RngExt;
use std::ops::Range;

/// Largest size.
const MOST: u32 = 80;

/// A period has the load `theta * exp(sigma z)`; it is kept when the minimum is at least `rise` times the load and the maximum `peak` times. So a
/// size keeps the share `Phi(ln(capacity / theta) / sigma)` of periods, with `capacity = min(min / rise, max / peak)`.
struct World {
    rise: f64,
    peak: f64,
    sigma: f64,
    /// The level of demand that is true, and the estimates of it for the search and for certification.
    truth: f64,
    draws: [Vec<f64>; 2],
    seed: Seed,
    periods: u64,
}

impl World {
    /// The estimate is off by a lognormal error of width `error`, and so are the draws around the estimate: the truth is one of them.
    fn new(seed: u64, error: f64, draws: u32) -> Self {
        let seed = Seed(seed);
        let mut shape = seed.stream("shape");
        let mut between = |low: f64, high: f64| low + (high - low) * shape.random::<f64>();
        let (rise, peak, sigma) = (between(4.0, 12.0), between(1.3, 2.5), between(0.08, 0.3));
        let normal = |name: &str, i: u64| normal_quantile(seed.keyed(name, i).random::<f64>().clamp(1e-12, 1.0 - 1e-12));
        let estimate = (error * normal("estimate", 0)).exp();
        let draw = |name: &str, i: u32| if draws == 1 { estimate } else { estimate * (error * normal(name, i.into())).exp() };
        let family = |name: &str| -> Vec<f64> { (0..draws).map(|i| draw(name, i)).collect() };
        let draws = [family("search"), family("certify")];
        Self { rise, peak: peak * rise, sigma, truth: 1.0, draws, seed, periods: 0 }
    }

    fn capacity(&self, size: Size) -> f64 {
        (f64::from(size.min) / self.rise).min(f64::from(size.max) / self.peak)
    }

    fn cost(size: Size) -> f64 {
        f64::from(size.min) + 0.35 * f64::from(size.max - size.min)
    }

    fn load(&self, seeds: Seeds, period: u32) -> f64 {
        let (family, name) = match seeds {
            Seeds::Search => (0, "search-period".to_owned()),
            Seeds::Certify(round) => (1, format!("certify-period-{round}")),
        };
        let draws: &[f64] = &self.draws[family];
        let uniform = self.seed.keyed(&name, period.into()).random::<f64>().clamp(1e-12, 1.0 - 1e-12);
        draws[period as usize % draws.len()] * (self.sigma * normal_quantile(uniform)).exp()
    }

    /// Whether the truth keeps less than `share` of periods.
    fn is_wrong(&self, size: Size, share: f64) -> bool {
        (self.capacity(size) / self.truth).ln() < self.sigma * normal_quantile(share)
    }

    fn cheapest(may_do: impl Fn(Size) -> bool) -> Option<Size> {
        let sizes = (1..=MOST).flat_map(|max| (1..=max).map(move |min| Size { min, max }));
        sizes.filter(|size| may_do(*size)).min_by(|a, b| Self::cost(*a).total_cmp(&Self::cost(*b)))
    }
}

impl Evaluator for World {
    fn evaluate(&mut self, size: Size, seeds: Seeds, periods: Range<u32>) -> Vec<PeriodOutcome> {
        self.periods += periods.len() as u64;
        let cost = Self::cost(size);
        let outcome = |period| {
            let good = u64::from(self.capacity(size) >= self.load(seeds, period));
            PeriodOutcome { total: 1, good, mean_chunks: cost, cost_per_hour: cost, peak_chunks: size.max, ..PeriodOutcome::default() }
        };
        periods.map(outcome).collect()
    }
}

/// A way to choose a size.
#[derive(Clone, Copy)]
enum Way {
    /// The search and its certificate, on this many outer draws.
    Certified { draws: u32 },
    /// The cheapest of the grid of which at least the promised share of this many simulated periods was kept, the estimate taken for the truth.
    Passed { periods: u32 },
}

impl Way {
    fn choose(self, world: &mut World, rules: &Rules) -> Option<Size> {
        match self {
            Self::Certified { .. } => search(rules, world, &mut |_| {}).chosen.map(|c| c.size),
            Self::Passed { periods } => {
                let mut loads: Vec<f64> = (0..periods).map(|p| world.load(Seeds::Search, p)).collect();
                loads.sort_by(f64::total_cmp);
                let needed = loads[((rules.periods * f64::from(periods)).ceil() as usize).clamp(1, loads.len()) - 1];
                world.periods += u64::from(periods) * 40;
                World::cheapest(|size| world.capacity(size) >= needed)
            }
        }
    }
}

struct Case {
    periods: f64,
    confidence: f64,
    error: f64,
    way: Way,
    name: &'static str,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (periods, confidence) in [(0.9, 0.9), (0.95, 0.95)] {
        let mut add = |error, name, way| cases.push(Case { periods, confidence, error, way, name });
        add(0.0, "certified", Way::Certified { draws: 1 });
        for (name, periods) in [("cheapest that passed 60", 60), ("cheapest that passed 300", 300)] {
            add(0.0, name, Way::Passed { periods });
        }
        let draws = (4.0 / (1.0 - confidence)).ceil() as u32;
        for error in [0.05, 0.15] {
            add(error, "certified over draws", Way::Certified { draws });
            add(error, "certified at the estimate", Way::Certified { draws: 1 });
            add(error, "cheapest that passed 300", Way::Passed { periods: 300 });
        }
    }
    cases
}

fn row(case: &Case, repeats: u64, first_seed: u64) -> String {
    let draws = if let Way::Certified { draws } = case.way { draws } else { 1 };
    let rules = Rules {
        requests: 1.0,
        periods: case.periods,
        confidence: case.confidence,
        max_chunks: MOST,
        least: 1,
        lowest: 1,
        guess: 12,
        fixed: false,
        search_periods: if draws == 1 { 300 } else { 16 * draws },
        certify_periods: if draws == 1 { 1000 } else { 80 * draws },
        certify_least: 0,
        draws,
    };
    let (mut answers, mut wrong, mut ratio, mut periods) = (0_u64, 0_u64, 0.0, 0_u64);
    for seed in first_seed..first_seed + repeats {
        let mut world = World::new(seed, case.error, draws);
        let chosen = case.way.choose(&mut world, &rules);
        periods += world.periods;
        let oracle = World::cheapest(|size| !world.is_wrong(size, case.periods));
        let (Some(chosen), Some(oracle)) = (chosen, oracle) else { continue };
        answers += 1;
        wrong += u64::from(world.is_wrong(chosen, case.periods));
        ratio += World::cost(chosen) / World::cost(oracle);
    }
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    format!(
        "| {} | {} | {} | {} | {} | {} ({} to {}) | {} | {:.3} | {} |",
        percent(case.periods),
        percent(case.confidence),
        percent(case.error),
        case.name,
        percent(answers as f64 / repeats as f64),
        percent(wrong as f64 / answers.max(1) as f64),
        percent(clopper_pearson_lower(wrong, answers, 0.975)),
        percent(clopper_pearson_upper(wrong, answers, 0.975)),
        percent(1.0 - case.confidence),
        ratio / answers.max(1) as f64,
        periods / repeats.max(1)
    )
}

fn argument(name: &str, default: u64) -> u64 {
    let mut args = std::env::args().skip_while(|a| a != name);
    args.nth(1).map_or(default, |value| value.parse().unwrap())
}

fn main() {
    let (repeats, first_seed) = (argument("--repeats", 3000), argument("--first-seed", 1));
    println!("{repeats} worlds a row, seeds from {first_seed}; 95 % interval of Clopper and Pearson in brackets\n");
    println!(
        "| periods promised | confidence | error of the demand | how | answered | wrong promises | allowed | cost / oracle | simulated periods |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for case in cases() {
        println!("{}", row(&case, repeats, first_seed));
    }
}
