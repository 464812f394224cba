//! Does the gate keep its error rates? Gates played to their end in virtual time, on the simulator. `cargo bench --bench gate` prints the tables of docs/GATES.md in
//! small; `-- aa ab drift contaminated rules` chooses among them, `--gates N` plays N gates a cell, `--threads N`; `ab --load 0.85` one load alone.
//!
//! No run is used twice: every round of every gate is simulated when the gate asks for it, so that gates are independent of each other.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "the tables are its result")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock to say how long it took")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "instants, lengths and counts are not negative; the casts saturate")]

#[path = "gate/play.rs"]
mod play;
#[path = "gate/rules.rs"]
mod rules;
#[path = "gate/world.rs"]
mod world;

use play::{Cell, Tally};
use plimsoll::base::stats::interval::clopper_pearson_upper;
use plimsoll::gate::{Metric, Row, Rules, Run, files};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use world::{Change, Disturbance, World};

/// Shares of what the endpoint can do.
const LOADS: [f64; 3] = [0.5, 0.7, 0.85];
/// Standard deviations of a run's own speed.
const NOISES: [f64; 3] = [0.005, 0.02, 0.05];

/// An experiment by name, given gates and threads.
type Part = (&'static str, fn(u32, u32));

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)?.parse::<u32>().ok());
    let (gates, threads) = (option("--gates").unwrap_or(20), option("--threads").unwrap_or(2));
    let wants =
        |name: &str| args.iter().any(|a| a == name) || !args.iter().any(|a| ["aa", "ab", "drift", "contaminated", "rules"].contains(&a.as_str()));
    let parts: [Part; 5] = [("aa", aa), ("ab", ab), ("drift", drift), ("contaminated", contaminated), ("rules", others)];
    for (name, part) in parts {
        if wants(name) {
            let begun = Instant::now();
            part(gates, threads);
            println!("\n({name}: {:.0} s, {threads} threads)\n", begun.elapsed().as_secs_f64());
        }
    }
}

fn noisy(run_noise: f64) -> Disturbance {
    Disturbance { run_noise, ..Disturbance::default() }
}

/// The end of a row: verdicts in percent, mean pairs.
fn verdicts(t: &Tally) -> String {
    format!(
        "{:.1} | {:.1} | {:.1} | {:.1} | {:.1}",
        t.percent(t.fail),
        t.percent(t.pass),
        t.percent(t.inconclusive),
        t.percent(t.invalid),
        t.mean_pairs()
    )
}

/// The same system on both sides.
fn aa(gates: u32, threads: u32) {
    println!("A/A: {gates} gates a cell of {} requests a run.\n", world::WINDOW);
    println!(
        "| load | run noise | FAIL % | PASS % | INCONCLUSIVE % | INVALID % | pairs | FAIL | upper 95 % |\n|---|---|---|---|---|---|---|---|---|"
    );
    let rules = Rules::default();
    let mut all = (0, 0);
    for (i, load) in LOADS.into_iter().enumerate() {
        let world = World::at(load);
        for (j, noise) in NOISES.into_iter().enumerate() {
            let cell = Cell { change: Change::None, disturbance: noisy(noise), key: 1_000 + 10 * i as u64 + j as u64 };
            let t = play::cell(&world, &rules, cell, gates, threads);
            all = (all.0 + t.fail, all.1 + t.gates);
            let upper = 100.0 * clopper_pearson_upper(t.fail.into(), t.gates.into(), 0.95);
            println!("| {load} | {} % | {} | {} of {} | {upper:.2} % |", 100.0 * noise, verdicts(&t), t.fail, t.gates);
        }
    }
    println!("\nFalse FAIL over all cells: {} of {} ({:.2} %).", all.0, all.1, 100.0 * f64::from(all.0) / f64::from(all.1));
}

/// Each metric over 300 pairs, as the gate would see it with endless ones.
fn observed(world: &World, rules: &Rules, change: Change, noise: f64) -> Vec<Row> {
    let mut rounds = play::Rounds::new(world, Cell { change, disturbance: noisy(noise), key: 99 }, 0);
    for _ in 0..300 {
        rounds.make();
    }
    let (base, head): (Vec<Run>, Vec<Run>) = rounds.pairs.into_iter().map(|p| (p.base, p.head)).unzip();
    files::judge(rules, &base, &head).rows
}

/// The largest true worsening in units of its margin, without noise of runs, and of which metric.
fn true_effect(world: &World, rules: &Rules, change: Change) -> (f64, Metric) {
    let rows = observed(world, rules, change, 0.0);
    rows.iter().map(|r| (r.estimate.unwrap_or(0.0) / r.margin_d, r.metric)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

/// The size of a change whose largest true worsening is `times` its margin, by bisection.
fn sized(world: &World, rules: &Rules, kind: fn(f64) -> Change, times: f64) -> f64 {
    let (mut low, mut high) = (0.0, 0.5);
    for _ in 0..10 {
        let middle = f64::midpoint(low, high);
        if true_effect(world, rules, kind(middle)).0 < times { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

type Kind = (&'static str, fn(f64) -> Change);

/// A planted change on the head.
fn ab(gates: u32, threads: u32) {
    println!(
        "A/B: {gates} gates a cell. Worsening: the largest true one in units of its margin. Spread: standard deviation of that metric's difference between the runs of a pair.\n"
    );
    println!(
        "| load | change | worsening | run noise | spread | FAIL % | PASS % | INCONCLUSIVE % | INVALID % | pairs |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    let rules = Rules::default();
    let kinds: [Kind; 3] = [("TPOT", Change::Tpot), ("prefill", Change::Prefill), ("capacity", Change::Capacity)];
    let only = std::env::args().skip_while(|a| a != "--load").nth(1).and_then(|load| load.parse::<f64>().ok());
    for (i, load) in LOADS.into_iter().enumerate().filter(|(_, load)| only.is_none_or(|only| only == *load)) {
        let mut key = 5_000 + 40 * i as u64;
        let world = World::at(load);
        let mut changes: Vec<(String, Change)> = Vec::new();
        for (name, kind) in kinds {
            for (times, words) in [(1.0, "at the margin"), (2.0, "at twice the margin")] {
                let size = sized(&world, &rules, kind, times);
                changes.push((format!("{name} +{:.1} %, {words}", 100.0 * size), kind(size)));
            }
            changes.extend([0.03, 0.05, 0.10, 0.20].map(|by| (format!("{name} +{:.0} %", 100.0 * by), kind(by))));
        }
        changes.push(("errors +0.5 points, at the margin".to_owned(), Change::Errors(0.005)));
        changes.push(("errors +1 point, at twice the margin".to_owned(), Change::Errors(0.01)));
        for (name, change) in changes {
            let (times, metric) = true_effect(&world, &rules, change);
            for noise in [0.005, 0.02] {
                key += 1;
                let t = play::cell(&world, &rules, Cell { change, disturbance: noisy(noise), key }, gates, threads);
                let rows = observed(&world, &rules, change, noise);
                let spread = rows.iter().find(|r| r.metric == metric).and_then(|r| r.sd).map_or(f64::NAN, |sd| 100.0 * sd);
                println!("| {load} | {name} | {times:.2} ({metric}) | {} % | {spread:.1} % | {} |", 100.0 * noise, verdicts(&t));
            }
        }
    }
}

/// A machine whose speed drifts under both sides.
fn drift(gates: u32, threads: u32) {
    println!("Drift: {gates} A/A gates a cell; speed of the machine an Ornstein-Uhlenbeck process of 5 %, run noise 0.5 %.\n");
    println!("| load | correlation time | FAIL % | PASS % | INCONCLUSIVE % | INVALID % | pairs | FAIL |\n|---|---|---|---|---|---|---|---|");
    let rules = Rules::default();
    for (i, load) in LOADS.into_iter().enumerate() {
        let world = World::at(load);
        for (j, minutes) in [5.0, 30.0, 240.0].into_iter().enumerate() {
            let disturbance = Disturbance { drift: Some((0.05, minutes)), ..noisy(0.005) };
            let t = play::cell(&world, &rules, Cell { change: Change::None, disturbance, key: 2_000 + 10 * i as u64 + j as u64 }, gates, threads);
            println!("| {load} | {minutes} min | {} | {} of {} |", verdicts(&t), t.fail, t.gates);
        }
    }
}

/// Rounds in which one run was slowed by something else.
fn contaminated(gates: u32, threads: u32) {
    println!("Contamination: {gates} A/A gates a cell; in 5 % of the rounds one run is 25 % slower.\n");
    println!(
        "| load | run noise | slower side | FAIL % | PASS % | INCONCLUSIVE % | INVALID % | pairs | FAIL |\n|---|---|---|---|---|---|---|---|---|"
    );
    let rules = Rules::default();
    let mut key = 3_000;
    for load in LOADS {
        let world = World::at(load);
        for (noise, always_head) in [(0.005, false), (0.02, false), (0.005, true), (0.02, true)] {
            key += 1;
            let disturbance = Disturbance { contaminated: Some((0.05, always_head)), ..noisy(noise) };
            let t = play::cell(&world, &rules, Cell { change: Change::None, disturbance, key }, gates, threads);
            let side = if always_head { "always the head" } else { "either" };
            println!("| {load} | {} % | {side} | {} | {} of {} |", 100.0 * noise, verdicts(&t), t.fail, t.gates);
        }
    }
}

/// Other tools' rules on the same runs.
fn others(gates: u32, threads: u32) {
    println!("Other rules on the same runs: {gates} gates a column; share of alarms in percent. Change: TPOT.\n");
    let rules = Rules::default();
    let mut columns = Vec::new();
    for (load, first) in [(0.5, 4_000), (0.7, 4_002)] {
        let world = World::at(load);
        let long = rules::long_run(&world);
        for (change, what, key) in
            [(Change::None, "same", first), (Change::Tpot(0.20), "+20 %", first + 1), (Change::Tpot(0.10), "+10 %", first + 100)]
        {
            let cell = Cell { change, disturbance: noisy(0.02), key };
            let next = AtomicU32::new(0);
            let work = || {
                let mut alarms = rules::Alarms::default();
                loop {
                    let gate = next.fetch_add(1, Ordering::Relaxed);
                    if gate >= gates {
                        return alarms;
                    }
                    rules::judge(&world, &rules, cell, gate, &long, &mut alarms);
                }
            };
            let found: Vec<rules::Alarms> = std::thread::scope(|scope| {
                let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
                workers.into_iter().map(|w| w.join().unwrap()).collect()
            });
            let sum = |of: &dyn Fn(&rules::Alarms) -> u32| found.iter().map(of).sum::<u32>();
            let percent = |n: u32| 100.0 * f64::from(n) / f64::from(sum(&|a| a.gates).max(1));
            let mut column: Vec<f64> = (0..rules::NAMES.len()).map(|i| percent(sum(&|a| a.each[i]))).collect();
            column.push(percent(sum(&|a| a.ours)));
            columns.push((format!("load {load}, {what}"), column));
        }
    }
    println!("| rule | {} |", columns.iter().map(|c| c.0.as_str()).collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---|".repeat(columns.len()));
    for (i, name) in rules::NAMES.into_iter().chain(["plimsoll gate"]).enumerate() {
        println!("| {name} | {} |", columns.iter().map(|c| format!("{:.1}", c.1[i])).collect::<Vec<_>>().join(" | "));
    }
}
