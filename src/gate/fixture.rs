//! Made-up runs for the tests of the gate: figures with a known noise, a known change, and seeds that are told.

use super::metric::{Metric, Scale};
use super::run::{Order, Pair, Run};
use crate::base::rng::Seed;
use crate::base::stats::interval::normal_quantile;
use rand::RngExt as _;

/// A standard normal variable that depends on nothing but its key.
pub(super) fn normal(seed: u64, name: &str, index: u64) -> f64 {
    normal_quantile(Seed(seed).keyed(name, index).random_range(1e-12..1.0))
}

/// An undisturbed run of `seed`: 600 requests, all well.
pub(super) fn run(seed: u64) -> Run {
    let mut run = Run { name: format!("run-{seed}"), seed, valid: true, due: 1_000, ok: 1_000, ..Run::default() };
    for (metric, value) in [
        (Metric::TtftP50, 200.0),
        (Metric::TtftP95, 800.0),
        (Metric::TtftP99, 1_500.0),
        (Metric::TpotP50, 20.0),
        (Metric::E2eP95, 9_000.0),
        (Metric::OutputTokS, 500.0),
        (Metric::Goodput, 0.98),
        (Metric::ErrorRate, 0.0),
    ] {
        run.insert(metric, value, 1_000);
    }
    run.fingerprint.fix("model", "llama");
    run
}

/// The same run with every ratio metric worse by the logarithm `d`, and noise of standard deviation `sd` of its own in each.
pub(super) fn disturbed(seed: u64, d: f64, sd: f64, side: &str) -> Run {
    let mut run = run(seed);
    for metric in Metric::ALL {
        if metric.scale() == Scale::Difference {
            continue;
        }
        if let Some(value) = run.values.get_mut(&metric) {
            let worse = d + sd * normal(seed, &format!("{side} {}", metric.key()), 0);
            value.value *= if metric == Metric::OutputTokS { (-worse).exp() } else { worse.exp() };
        }
    }
    run
}

/// `n` pairs from `seed` on, the head worse by `d`, each run with noise `sd`.
pub(super) fn pairs(seed: u64, n: u32, d: f64, sd: f64) -> Vec<Pair> {
    (1..=n)
        .map(|round| {
            let own = seed * 1_000 + u64::from(round);
            Pair { round, order: Order::BaseFirst, base: disturbed(own, 0.0, sd, "base"), head: disturbed(own, d, sd, "head") }
        })
        .collect()
}

/// forall keys: draws of one key family are standard normal, and sides do not follow each other
#[test]
fn the_noise_is_what_it_is_said_to_be() {
    let draws = |side: &str| (0..4_000).map(|seed| normal(seed, side, 0)).collect::<Vec<f64>>();
    let (a, b) = (draws("base tpot_p50"), draws("head tpot_p50"));
    let (mean, variance) = crate::base::stats::sample::mean_variance(&a);
    assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.08, "{mean} {variance}");
    let together = crate::base::stats::sample::pearson(&a, &b).unwrap();
    assert!(together.abs() < 0.05, "{together}");
}
