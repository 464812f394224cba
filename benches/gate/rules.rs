//! The same raw data judged as other tools do: a fixed threshold, a ratio to the last run, rank and mean tests over requests, an interval from one run.

use crate::play::{Cell, Rounds};
use crate::world::{Change, Measured, World};
use plimsoll::base::rng::Seed;
use plimsoll::base::stats::hypothesis::welch;
use plimsoll::base::stats::sample::{mid_ranks, sort};
use plimsoll::base::stats::special::normal_cdf;
use plimsoll::gate::{Metric, Rules, Verdict};
use std::collections::BTreeMap;

/// Latencies that every rule looks at.
const LOOKED_AT: [Metric; 4] = [Metric::TtftP50, Metric::TtftP95, Metric::TpotP50, Metric::E2eP95];

/// The rules in the order of the table.
pub(crate) const NAMES: [&str; 8] = [
    "threshold at +10 % of the long-run value, one run (k6)",
    "ratio to the last run above 110 %",
    "ratio to the last run above 200 % (default of a common action)",
    "Mann-Whitney over requests of one run each, p < 0.05",
    "Welch over requests of one run each, p < 0.05",
    "95 % intervals of percentiles of one run each, apart",
    "the three above, with the same seed on both sides (fewest alarms of them)",
    "Welch over the runs of 10 rounds, p < 0.05, no pairs",
];

/// How often each rule alarms, and our gate.
#[derive(Clone, Default)]
pub(crate) struct Alarms {
    pub(crate) gates: u32,
    pub(crate) each: [u32; NAMES.len()],
    pub(crate) ours: u32,
}

/// Long-run values of an unchanged system.
pub(crate) fn long_run(world: &World) -> BTreeMap<Metric, f64> {
    let runs: Vec<Measured> = (0..200).map(|i| world.run(Seed(77).child("long", i), Change::None, 1.0, Seed(78).child("long", i))).collect();
    LOOKED_AT.into_iter().map(|m| (m, runs.iter().filter_map(|r| r.run.value(m)).sum::<f64>() / runs.len() as f64)).collect()
}

/// One gate and every other rule on its data.
pub(crate) fn judge(world: &World, rules: &Rules, cell: Cell, gate: u32, long: &BTreeMap<Metric, f64>, alarms: &mut Alarms) {
    let mut rounds = Rounds::new(world, cell, gate);
    let made: Vec<(Measured, Measured)> = (0..10).map(|_| rounds.make()).collect();
    let ours = rounds.play(rules);
    alarms.gates += 1;
    alarms.ours += u32::from(ours.verdict == Verdict::Fail);
    // What is stored is an earlier run with a workload of its own.
    let (base, head, same) = (&made[0].0, &made[1].1, &made[1].0);
    let value = |m: Metric, r: &Measured| r.run.value(m).unwrap();
    let ratio = |limit: f64| LOOKED_AT.into_iter().any(|m| value(m, head) > limit * value(m, base));
    let over_runs = LOOKED_AT.into_iter().any(|m| {
        let side = |of: fn(&(Measured, Measured)) -> &Measured| made.iter().map(|r| value(m, of(r)).ln()).collect::<Vec<f64>>();
        welch(&side(|r| &r.0), &side(|r| &r.1)).is_some_and(|w| w.difference > 0.0 && w.p_two_sided() < 0.05)
    });
    let found = [
        LOOKED_AT.into_iter().any(|m| value(m, head) > 1.1 * long[&m]),
        ratio(1.1),
        ratio(2.0),
        mann_whitney(base, head),
        over_requests(base, head),
        intervals_apart(base, head),
        [mann_whitney(same, head), over_requests(same, head), intervals_apart(same, head)].into_iter().all(|a| a),
        over_runs,
    ];
    for (sum, alarm) in alarms.each.iter_mut().zip(found) {
        *sum += u32::from(alarm);
    }
}

fn latencies(r: &Measured) -> [&Vec<f64>; 3] {
    [&r.ttft_ms, &r.tpot_ms, &r.e2e_ms]
}

/// Whether any latency of the head is larger by Mann and Whitney's test (normal approximation, two-sided 5 %).
fn mann_whitney(base: &Measured, head: &Measured) -> bool {
    latencies(base).into_iter().zip(latencies(head)).any(|(b, h)| {
        let all: Vec<f64> = b.iter().chain(h).copied().collect();
        let (n, m) = (b.len() as f64, h.len() as f64);
        let sum: f64 = mid_ranks(&all)[b.len()..].iter().sum();
        let u = sum - m * (m + 1.0) / 2.0;
        let z = (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt();
        z > 0.0 && 2.0 * (1.0 - normal_cdf(z)) < 0.05
    })
}

fn over_requests(base: &Measured, head: &Measured) -> bool {
    latencies(base).into_iter().zip(latencies(head)).any(|(b, h)| welch(b, h).is_some_and(|w| w.difference > 0.0 && w.p_two_sided() < 0.05))
}

/// Whether the 95 % order-statistic interval of a percentile of the head lies wholly above the base's.
fn intervals_apart(base: &Measured, head: &Measured) -> bool {
    let of = |r: &Measured, m: Metric| {
        let values = match m {
            Metric::TpotP50 => &r.tpot_ms,
            Metric::E2eP95 => &r.e2e_ms,
            _ => &r.ttft_ms,
        };
        let mut sorted = values.clone();
        sort(&mut sorted);
        let (n, p) = (sorted.len() as f64, m.quantile().unwrap());
        let half = 1.96 * (n * p * (1.0 - p)).sqrt();
        let at = |rank: f64| sorted[(rank.max(0.0) as usize).min(sorted.len() - 1)];
        (at((n * p - half).floor() - 1.0), at((n * p + half).ceil()))
    };
    LOOKED_AT.into_iter().any(|m| of(head, m).0 > of(base, m).1)
}
