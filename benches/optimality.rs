//! Does the search find what looking at everything finds? Random fluid worlds, a grid of 40 x 60 sizes at full depth against the search on the same
//! periods: cost against the optimum, simulated periods against the grid's; and what rules of thumb buy.
//! `cargo bench --bench optimality` prints the table; `-- --worlds 5` makes it shorter, `--depth 400` too,
//! `--first-seed 500` makes it fresh, `--each` shows every world.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is its result")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "chunks and bins are small whole numbers; the casts saturate")]

use plimsoll::base::rng::Seed;
use plimsoll::base::stats::interval::{clopper_pearson_lower, normal_quantile};
use plimsoll::planner::bar::Tally;
use plimsoll::planner::search::{Evaluator, PeriodOutcome, Rules, Seeds, Size, cheapest, mean_cost};
use rand::RngExt;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// The grid: every minimum up to the first with every maximum up to the second.
const GRID: (u32, u32) = (40, 60);
/// Five minutes, of a day.
const BINS: usize = 288;
const BIN_S: f64 = 300.0;

/// A day of demand in chunks at each bin, and scale-up delays in bins, one for a decision in each bin.
type Day = Rc<(Vec<f32>, Vec<u8>)>;

/// A service with a daily wave, slow noise and sudden ramps, on an endpoint that tracks a target with a random delay.
struct World {
    seed: Seed,
    mean: f64,
    wave: f64,
    noise: f64,
    day_sigma: f64,
    ramps: f64,
    lag: f64,
    target: f64,
    patience_s: f64,
    days: HashMap<(Seeds, u32), Day>,
    periods: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let seed = Seed(seed);
        let mut shape = seed.stream("shape");
        let mut between = |low: f64, high: f64| low + (high - low) * shape.random::<f64>();
        Self {
            seed,
            mean: between(3.0, 12.0),
            wave: between(0.2, 0.7),
            noise: between(0.02, 0.12),
            day_sigma: between(0.05, 0.2),
            ramps: between(0.0, 2.0),
            lag: between(0.5, 5.0),
            target: between(0.6, 0.9),
            patience_s: between(2.0, 30.0),
            days: HashMap::new(),
            periods: 0,
        }
    }

    fn day(&mut self, seeds: Seeds, period: u32) -> Day {
        if let Some(day) = self.days.get(&(seeds, period)) {
            return Rc::clone(day);
        }
        let mut draw = self.seed.keyed("day", u64::from(period));
        let mut normal = || normal_quantile(draw.random::<f64>().clamp(1e-12, 1.0 - 1e-12));
        let level = self.mean * (self.day_sigma * normal()).exp();
        let mut residual = 0.0;
        let mut rates: Vec<f32> = (0..BINS)
            .map(|bin| {
                residual = 0.9 * residual + self.noise * normal();
                let wave = 1.0 - self.wave * (std::f64::consts::TAU * bin as f64 / BINS as f64).cos();
                (level * wave * f64::exp(residual)) as f32
            })
            .collect();
        let delays = (0..BINS).map(|_| (self.lag * (0.4 * normal()).exp()).round().clamp(0.0, 40.0) as u8).collect();
        let mut ramp = self.seed.keyed("ramps", u64::from(period));
        for _ in 0..8 {
            // Eight chances of a ramp; it rises within two bins to a height of its own and stays for a while.
            if ramp.random::<f64>() < self.ramps / 8.0 {
                let (at, height) =
                    ((ramp.random::<f64>() * BINS as f64) as usize, self.mean * 0.2 * (1.0 / (1.0 - 0.95 * ramp.random::<f64>())).sqrt());
                for (i, rate) in rates.iter_mut().skip(at).take(24).enumerate() {
                    *rate += (height * (i as f64 / 2.0).min(1.0)) as f32;
                }
            }
        }
        let day = Rc::new((rates, delays));
        self.days.insert((seeds, period), Rc::clone(&day));
        day
    }

    fn simulate(&self, size: Size, day: &(Vec<f32>, Vec<u8>)) -> PeriodOutcome {
        let (rates, delays) = day;
        let (mut ready, mut pending, mut due_at, mut low_for) = (size.min, 0_u32, 0_usize, 0_u32);
        let (mut backlog, mut held, mut good, mut total, mut peak) = (0.0_f64, 0.0, 0.0, 0.0, size.min);
        for bin in 0..BINS {
            if pending > 0 && bin >= due_at {
                ready += pending;
                pending = 0;
            }
            let load = f64::from(rates[bin.saturating_sub(1)]);
            let desired = ((load / self.target).ceil() as u32).clamp(size.min, size.max);
            low_for = if desired < ready { low_for + 1 } else { 0 };
            if pending == 0 && desired > ready {
                pending = desired - ready;
                due_at = bin + usize::from(delays[bin]);
                peak = peak.max(desired);
            } else if low_for > 2 {
                ready = desired;
                low_for = 0;
            }
            let (rate, capacity) = (f64::from(rates[bin]), f64::from(ready.max(1)));
            backlog = (backlog + (rate - capacity) * BIN_S).max(0.0).min(capacity * 120.0);
            held += f64::from(ready);
            total += rate;
            if backlog / capacity <= self.patience_s {
                good += rate;
            }
        }
        let mean_chunks = held / BINS as f64;
        let (total, good) = ((total * 1e4) as u64, (good * 1e4) as u64);
        PeriodOutcome { total, good, mean_chunks, cost_per_hour: mean_chunks, peak_chunks: peak, ..PeriodOutcome::default() }
    }
}

impl Evaluator for World {
    fn evaluate(&mut self, size: Size, seeds: Seeds, periods: Range<u32>) -> Vec<PeriodOutcome> {
        self.periods += periods.len() as u64;
        periods
            .map(|period| {
                let day = self.day(seeds, period);
                self.simulate(size, &day)
            })
            .collect()
    }
}

/// Whether a size passes at full depth, and its cost.
fn judge(world: &mut World, rules: &Rules, size: Size) -> Option<f64> {
    let mut tally = Tally::new(rules.search_bar());
    let mut periods = Vec::new();
    for period in 0..rules.search_periods {
        let outcome = world.evaluate(size, Seeds::Search, period..period + 1).remove(0);
        tally.add(period, rules.keeps(&outcome));
        periods.push(outcome);
        if tally.is_missed() {
            return None;
        }
    }
    Some(mean_cost(&periods))
}

struct Compared {
    optimum: f64,
    size: Size,
    found: Option<(Size, f64)>,
    share: f64,
    thumbs: [(f64, bool); 3],
}

fn compare(seed: u64, depth: u32) -> Option<Compared> {
    let mut world = World::new(seed);
    let rules = Rules {
        requests: 0.99,
        periods: 0.9,
        confidence: 0.9,
        max_chunks: GRID.1,
        least: 1,
        lowest: 1,
        guess: (world.mean * 2.0) as u32,
        fixed: false,
        search_periods: depth,
        certify_periods: 1000,
        certify_least: 0,
        draws: 1,
    };
    let mut best: Option<(f64, Size)> = None;
    let mut sizes = 0_u64;
    for max in 1..=GRID.1 {
        for min in 1..=max.min(GRID.0) {
            sizes += 1;
            if let Some(cost) = judge(&mut world, &rules, Size { min, max })
                && best.is_none_or(|(least, _)| cost < least)
            {
                best = Some((cost, Size { min, max }));
            }
        }
    }
    let (optimum, size) = best?;
    world.periods = 0;
    let found = cheapest(&rules, &mut world, &mut |_| {});
    let share = world.periods as f64 / (sizes * u64::from(depth)) as f64;
    let found = found.and_then(|(size, _)| judge(&mut world, &rules, size).map(|cost| (size, cost)));
    let mut minutes: Vec<f64> = (0..60).flat_map(|p| world.day(Seeds::Search, p).0.iter().map(|r| f64::from(*r)).collect::<Vec<_>>()).collect();
    minutes.sort_by(f64::total_cmp);
    let mean = minutes.iter().sum::<f64>() / minutes.len() as f64;
    let bought = [1.2 * mean, minutes[minutes.len() - 1], 1.3 * minutes[minutes.len() * 95 / 100]];
    let thumbs = bought.map(|chunks| {
        let chunks = chunks.ceil() as u32;
        (f64::from(chunks) / optimum, judge(&mut world, &rules, Size::fixed(chunks)).is_some())
    });
    Some(Compared { optimum, size, found, share, thumbs })
}

fn argument(name: &str, default: u64) -> u64 {
    let mut args = std::env::args().skip_while(|a| a != name);
    args.nth(1).map_or(default, |value| value.parse().unwrap())
}

fn main() {
    let (worlds, first_seed) = (argument("--worlds", 50), argument("--first-seed", 1));
    let depth = argument("--depth", 1600) as u32;
    let each = std::env::args().any(|a| a == "--each");
    let compared: Vec<(u64, Compared)> = (first_seed..first_seed + worlds).filter_map(|seed| Some((seed, compare(seed, depth)?))).collect();
    if each {
        println!("| seed | optimum | cost | found | cost / optimum | share of the grid's periods |\n| --- | --- | --- | --- | --- | --- |");
        for (seed, c) in &compared {
            let (size, ratio) =
                c.found.map_or(("none".to_owned(), f64::NAN), |(size, cost)| (format!("{}, {}", size.min, size.max), cost / c.optimum));
            println!("| {seed} | {}, {} | {:.3} | {size} | {ratio:.4} | {:.2} % |", c.size.min, c.size.max, c.optimum, 100.0 * c.share);
        }
        println!();
    }
    let count = compared.len();
    let same = compared.iter().filter(|(_, c)| c.found.is_some_and(|(size, _)| size == c.size)).count();
    let near = compared.iter().filter(|(_, c)| c.found.is_some_and(|(size, cost)| size == c.size || cost <= 1.01 * c.optimum)).count();
    let mean_share = compared.iter().map(|(_, c)| c.share).sum::<f64>() / count.max(1) as f64;
    let most_share = compared.iter().map(|(_, c)| c.share).fold(0.0, f64::max);
    println!("{count} worlds with a size in the grid, of {worlds}; {} x {} sizes, {depth} periods each\n", GRID.0, GRID.1);
    println!("| | |\n| --- | --- |");
    println!("| the same size as the grid | {same} of {count} |");
    println!(
        "| the same size, or at most 1 % dearer | {near} of {count} (at least {:.1} % with 95 % confidence) |",
        100.0 * clopper_pearson_lower(near as u64, count as u64, 0.95)
    );
    println!("| simulated periods, share of the grid's | {:.2} % on average, {:.2} % at most |", 100.0 * mean_share, 100.0 * most_share);
    for (i, rule) in ["mean x 1.2", "peak", "p95 x 1.3"].into_iter().enumerate() {
        let passes = compared.iter().filter(|(_, c)| c.thumbs[i].1).count();
        let cost = compared.iter().map(|(_, c)| c.thumbs[i].0).sum::<f64>() / count.max(1) as f64;
        println!("| {rule}, fixed | {cost:.2} of the optimum's cost; passes in {passes} of {count} |");
    }
}
