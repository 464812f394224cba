//! The numbers that a fit searches for, as a point in space: times in nanoseconds, moved by their logarithms.

use crate::base::time::Nanos;
use crate::base::units::TimeSpan;
use crate::scenario::endpoint::{EndpointSpec, StepLaw};

/// How many numbers there are.
pub(super) const N: usize = 7;

/// The numbers: a, b, c, d (see [`StepLaw`]), the network time, and e: nanoseconds; and q - 1, the curvature above a straight line.
pub(super) type Numbers = [f64; N];

/// Place of the network time.
pub(super) const NETWORK: usize = 4;
/// Place of e.
pub(super) const GROWTH: usize = 5;
/// Place of q - 1.
pub(super) const CURVATURE: usize = 6;

/// The numbers of the plain law.
pub(super) const PLAIN: [usize; 5] = [0, 1, 2, 3, NETWORK];

/// Names as in `[endpoint]`, with the unit shown and its nanoseconds.
pub(super) const NAMES: [(&str, &str, f64); N] = [
    ("step.base", "us", 1e3),
    ("step.per_sequence", "us", 1e3),
    ("step.per_prefill_token", "us", 1e3),
    ("step.per_context_token", "ns", 1.0),
    ("network", "us", 1e3),
    ("step.prefill_growth", "us", 1e3),
    ("step.curvature", "", 1.0),
];

/// A number that is found to be nothing starts here: logarithms need something.
const FLOOR: Numbers = [1e4, 1e3, 1e1, 1.0, 1e4, 1e-3, 1e-3];
/// Where the two optional numbers start when they are tried: e as a share of c, and q - 1.
pub(super) const TRIED: (f64, f64) = (0.1, 0.15);
/// A curvature below this is a straight line.
const STRAIGHT: f64 = 0.01;
/// A number is moved by this much (of its logarithm) to see what it does: large against the jumps of single requests.
const NUDGE: f64 = 0.03;

/// `base` with these numbers, and without noise: what is replayed is the law itself.
pub(super) fn spec_of(base: &EndpointSpec, p: &Numbers) -> EndpointSpec {
    let step = StepLaw {
        base: span(p[0]),
        per_sequence: span(p[1]),
        per_prefill_token: span(p[2]),
        per_context_token: span(p[3]),
        prefill_growth: span(p[GROWTH]),
        curvature: if p[CURVATURE] < STRAIGHT { 1.0 } else { (1.0 + p[CURVATURE]).min(100.0) },
    };
    EndpointSpec { step, network: span(p[NETWORK]), noise: 0.0, ..base.clone() }
}

fn span(ns: f64) -> TimeSpan {
    TimeSpan(Nanos::from_secs_f64(ns.max(0.0) / 1e9))
}

/// The point of these numbers.
pub(super) fn to_point(p: &Numbers) -> Numbers {
    std::array::from_fn(|i| p[i].max(FLOOR[i]).ln())
}

/// The numbers of a point.
pub(super) fn of_point(x: &Numbers) -> Numbers {
    x.map(f64::exp)
}

/// How far number `k` is moved at a point to see what it does, of its logarithm. Times are whole nanoseconds: two of them at least.
pub(super) fn nudge(x: &Numbers, k: usize) -> f64 {
    let value = x[k].exp();
    if k == CURVATURE { NUDGE * 3.0 } else { ((value * (1.0 + NUDGE)).max(value + 2.0) / value).ln() }
}
