//! The demand model against known truths: how far off what is learnt is, whether its outer draws hold the truth, how often the held-out check
//! refuses a law that is true, and what a drawn request costs. Recordings of two, four and eight weeks are drawn from a law and learnt again.
//! `cargo bench --bench demand` prints the tables; `-- --recordings 10` makes it shorter, `--first-seed 9000` makes it fresh.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is its result")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock to say how long it took")]

use plimsoll::base::rng::Seed;
use plimsoll::base::stats::interval::{clopper_pearson_lower, clopper_pearson_upper};
use plimsoll::base::time::Nanos;
use plimsoll::workload::demand::{About, DemandModel, Due, Law, Residual, Series, Shots, arrivals, learn};
use std::f64::consts::TAU;
use std::time::Instant;

const DAY: Nanos = Nanos::from_secs(86_400);
const WEEK: Nanos = Nanos::from_secs(7 * 86_400);
/// Draws are sorted; the truth is to lie between these two of 160: nominally in 137 of 161 cases.
const INSIDE: (usize, usize) = (11, 148);
const NOMINAL: f64 = 137.0 / 161.0;

/// A figure of a law.
type Figure<'a> = &'a dyn Fn(&Law) -> f64;

fn main() {
    let recordings = option("--recordings").unwrap_or(40);
    let first = option("--first-seed").unwrap_or(5000);
    println!(
        "| truth | weeks | recordings | mean rate: rms error | inside its draws | G(20 min) p99: rms error | inside its draws | day sigma inside | check holds |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (name, law) in [("bursts", bursty()), ("calm", calm())] {
        for weeks in [2, 4, 8] {
            row(name, &law, weeks, first..first + recordings);
        }
    }
    println!(
        "\nInside: between the 12th and the 149th of 160 sorted draws, nominally {:.0} %; in brackets 95 % by Clopper and Pearson.\n",
        NOMINAL * 100.0
    );
    speed();
}

fn option(name: &str) -> Option<u64> {
    let args: Vec<String> = std::env::args().collect();
    let at = args.iter().position(|a| a == name)?;
    args.get(at + 1)?.parse().ok()
}

/// Weekends half as busy, a wave over the day, ramps of 40 % six times a day.
fn bursty() -> Law {
    let wave = |low: f64| (0..144).map(|i| 0.8 * ((f64::from(i) / 144.0 - 0.25) * TAU).sin() + low).collect();
    Law {
        level: 3.0,
        classes: [0, 0, 0, 0, 0, 1, 1],
        profiles: vec![wave(0.0), wave(-0.7)],
        growth_per_day: 0.0,
        day_sigma: 0.12,
        residual: Residual { sigma: 0.08, memory_s: 3600.0 },
        shots: Shots { per_day: 6.0, height: 0.4, hold_s: 1200.0 },
    }
}

/// The same without ramps, days alike.
fn calm() -> Law {
    Law { day_sigma: 0.05, residual: Residual { sigma: 0.05, memory_s: 3600.0 }, shots: Shots::default(), ..bursty() }
}

fn model(law: &Law) -> DemandModel {
    let json = include_bytes!("../scenarios/azure-code-week.demand.json");
    DemandModel { law: law.clone(), draws: Vec::new(), ..DemandModel::from_json(json).unwrap() }
}

/// Ten-minute means of weeks drawn from a law.
fn series(law: &Law, weeks: u32, seed: u64) -> Series {
    let model = model(law);
    let of_week = |week: u32| model.day(Seed(seed), week, WEEK).rates.chunks(40).map(|c| c.iter().sum::<f64>() / 40.0).collect::<Vec<_>>();
    Series { step_s: 600.0, start_s: 0.0, is_dated: true, rates: (0..weeks).flat_map(of_week).collect() }
}

fn growth(law: &Law, weeks: u32) -> f64 {
    series(law, weeks, 999).growth()[1].p99
}

fn row(name: &str, law: &Law, weeks: u32, seeds: std::ops::Range<u64>) {
    let (mean, grown) = (law.mean_rate(), growth(law, 40));
    let n = seeds.end - seeds.start;
    let (mut inside, mut squares, mut holds) = ([0_u64; 3], [0.0; 2], 0);
    for seed in seeds {
        let learnt = learn(&series(law, weeks, seed), About::default()).unwrap();
        squares[0] += (learnt.law.mean_rate() / mean).ln().powi(2);
        squares[1] += (growth(&learnt.law, 8) / grown).ln().powi(2);
        let figures: [(Figure<'_>, f64); 3] = [(&Law::mean_rate, mean), (&|l| growth(l, 4), grown), (&|l| l.day_sigma, law.day_sigma)];
        for (count, (figure, truth)) in inside.iter_mut().zip(figures) {
            let mut draws: Vec<f64> = learnt.draws.iter().map(figure).collect();
            draws.sort_by(f64::total_cmp);
            *count += u64::from(draws[INSIDE.0] < truth && truth < draws[INSIDE.1]);
        }
        holds += u64::from(learnt.check.is_some_and(|c| c.holds));
    }
    let share = |k: u64| {
        let (low, high) = (clopper_pearson_lower(k, n, 0.975), clopper_pearson_upper(k, n, 0.975));
        format!("{:.0} % ({:.0} to {:.0})", 100.0 * k as f64 / n as f64, 100.0 * low, 100.0 * high)
    };
    let rms = |x: f64| format!("{:.1} %", 100.0 * (x / n as f64).sqrt());
    println!(
        "| {name} | {weeks} | {n} | {} | {} | {} | {} | {} | {} |",
        rms(squares[0]),
        share(inside[0]),
        rms(squares[1]),
        share(inside[1]),
        share(inside[2]),
        share(holds)
    );
}

/// What a day and a request cost, at 10 requests a second.
fn speed() {
    let model = model(&Law { level: 2.0, ..bursty() });
    let start = Instant::now();
    let days: Vec<_> = (0..50).map(|i| model.day(Seed(1), i, DAY)).collect();
    let drawn = start.elapsed().as_secs_f64() / days.len() as f64;
    let rows = model.lengths(0).len();
    let mut requests: Vec<Due> = Vec::new();
    let mut n = 0;
    let start = Instant::now();
    for day in &days {
        for bin in 0..day.rates.len() {
            requests.clear();
            arrivals(day, bin, rows, &mut requests);
            n += requests.len();
        }
    }
    println!("| a day's rates | a request: instant and row |\n| --- | --- |");
    println!("| {:.0} us | {:.1} ns ({n} drawn) |", drawn * 1e6, start.elapsed().as_secs_f64() / n as f64 * 1e9);
}
