//! Backlogs of a ramp and of a step without enough capacity: the fluid's formulas, and single requests at even distances in their place.

use super::queues::Row;
use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::TimeSpan;
use plimsoll::scenario::endpoint::{EndpointSpec, StepLaw};
use plimsoll::sim::bulk::{self, Job};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::virtual_time::Patience;

/// Requests per second that one chunk serves, one after the other.
const MU: f64 = 1000.0;

/// A stretch of load: seconds, and requests per second at its begin and its end.
type Stretch = (f64, f64, f64);

/// `(due, wait)` in seconds of each request: one whenever the load has grown by a whole request.
fn waits(load: &[Stretch]) -> Vec<(f64, f64)> {
    let mut due = Vec::new();
    let (mut begin, mut whole) = (0.0, 0.0);
    for &(span, from, to) in load {
        let slope = (to - from) / span;
        let total = span * (from + to) / 2.0;
        // The k-th request is due when from t + slope t^2 / 2 = k - whole.
        let mut need = 1.0 - whole;
        while need <= total {
            let t = if slope == 0.0 { need / from } else { ((from * from + 2.0 * slope * need).sqrt() - from) / slope };
            due.push(begin + t);
            need += 1.0;
        }
        whole = 1.0 - (need - total);
        begin += span;
    }
    let ns = |n| TimeSpan(Nanos(n));
    let spec = EndpointSpec {
        step: StepLaw { base: ns(1_000_000), per_sequence: ns(0), per_prefill_token: ns(0), per_context_token: ns(0), ..StepLaw::default() },
        max_batch: 1,
        noise: 0.0,
        network: ns(0),
        queue: 8_000_000,
        ..EndpointSpec::default()
    };
    let forever = Patience { total: Nanos(u64::MAX / 4), first_byte: Nanos(u64::MAX / 4) };
    let jobs = due.iter().map(|at| Job { at: Nanos::from_secs_f64(*at).0, input: 1, output: 1, cached: 0 });
    let mut waits = vec![0.0; due.len()];
    bulk::run(jobs, &mut Endpoint::new(&spec, Seed(1), Detail::Requests), forever, None, &mut |e| {
        waits[e.job as usize] = (e.last - e.at) as f64 / 1e9 - 1.0 / MU;
        true
    });
    due.into_iter().zip(waits).collect()
}

fn row(queue: &str, quantity: &'static str, load: f64, closed: f64, simulated: f64, size: f64) -> Row {
    // A fluid has no whole requests: one more or less of them, and a service time, are what it leaves out.
    Row { queue: queue.to_owned(), quantity, load, closed, simulated, standard_error: f64::MIN_POSITIVE, remainder: size / closed }
}

/// lambda = l0 + r t meets mu at t1 = (mu - l0) / r. The wait passes w at t1 + sqrt(2 mu w / r), and at t2 it is Q / mu with
/// Q = r (t2 - t1)^2 / 2. Load then falls to l2: the backlog is gone Q / (mu - l2) later.
pub(crate) fn ramp() -> Vec<Row> {
    let (l0, l2, late, w) = (500.0, 600.0, 60.0, 0.5);
    let mut rows = Vec::new();
    for r in [2.0, 5.0, 10.0] {
        let t1 = (MU - l0) / r;
        let t2 = t1 + late;
        let seen = waits(&[(t2, l0, l0 + r * t2), (200.0, l2, l2)]);
        let passes = seen.iter().find(|(_, wait)| *wait > w).map_or(f64::NAN, |(at, _)| *at);
        let backlog = r * late * late / 2.0;
        let last = seen.iter().rev().find(|(at, _)| *at <= t2).map_or(f64::NAN, |(_, wait)| *wait);
        let drained = seen.iter().find(|(at, wait)| *at > t2 && *wait < 1.0 / MU).map_or(f64::NAN, |(at, _)| *at);
        let queue = format!("ramp of {r} requests/s^2");
        let onset = (2.0 * MU * w / r).sqrt();
        // dw / dt = r t / mu: an error of a service time in w is one of mu / (r t) service times in t.
        rows.push(row(&queue, "onset of violations, s", l0 / MU, onset, passes - t1, 2.0 / (r * onset)));
        rows.push(row(&queue, "wait when capacity comes, s", l0 / MU, backlog / MU, last, 2.0 / MU));
        rows.push(row(&queue, "time to drain, s", l0 / MU, backlog / (MU - l2), drained - t2, 4.0 / (MU - l2)));
    }
    rows
}

/// A step from l0 to g l0 for D seconds. With mu = g l0 D / (D + w) the longest wait is w: the least capacity for that patience.
pub(crate) fn step() -> Vec<Row> {
    let w = 10.0;
    let mut rows = Vec::new();
    for late in [20.0, 60.0, 300.0] {
        let high = MU * (late + w) / late;
        let low = high / 2.0;
        let seen = waits(&[(50.0, low, low), (late, high, high), (2.0 * late + 100.0, low, low)]);
        let longest = seen.iter().map(|(_, wait)| *wait).fold(0.0, f64::max);
        let drained = seen.iter().find(|(at, wait)| *at > 50.0 + late && *wait < 1.0 / MU).map_or(f64::NAN, |(at, _)| *at);
        let queue = format!("step for {late} s");
        rows.push(row(&queue, "longest wait, s", low / MU, w, longest, 2.0 / MU));
        rows.push(row(&queue, "time to drain, s", low / MU, (high - MU) * late / (MU - low), drained - 50.0 - late, 4.0 / (MU - low)));
    }
    rows
}
