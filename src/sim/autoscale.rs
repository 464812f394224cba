//! Chunks over time: target tracking with window, poll, scale-up lag, failure, scale-down delay.

use crate::base::rng::{Seed, Stream};
use crate::base::time::Nanos;
use crate::scenario::endpoint::{Autoscaler, EndpointSpec, Lag, ScaleMetric};
use rand::distr::Distribution;
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use std::collections::VecDeque;

/// The autoscaler. Every `poll` it compares `desired = ceil(load / (target * per chunk))` with the chunks that serve.
///
/// - The load is the mean over the last `window` (over all the time there was, before that), read at polls and interpolated between them.
/// - One decision at a time: while a chunk is on its way nothing else is decided.
/// - Each added chunk draws its lag, and whether it fails, from a stream named by the number of the decision, so that two plans that
///   decide alike wait alike. A chunk that fails is pending for its lag and never serves.
/// - A chunk is given back when desired was below the serving chunks at every poll for `scale_down_delay`; then down to the highest
///   desired of that time.
#[derive(Debug)]
pub(super) struct Scaler {
    policy: Autoscaler,
    min: u32,
    max: u32,
    /// Load that one chunk is meant to carry: `target * per chunk`.
    per_chunk: f64,
    seed: Seed,
    decisions: u64,
    next_poll: u64,
    pending: Vec<Pending>,
    /// `(instant, total)` of the tracked quantity at polls, covering the window.
    readings: VecDeque<(u64, f64)>,
    low: Option<Low>,
}

/// A chunk on its way.
#[derive(Clone, Copy, Debug)]
struct Pending {
    ready_at: u64,
    fails: bool,
}

/// A time of low load.
#[derive(Clone, Copy, Debug)]
struct Low {
    since: u64,
    highest: u32,
}

/// What the autoscaler asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// Chunks were asked for and are pending.
    Asked,
    /// This many pending chunks serve now; others may have failed.
    Arrived(u32),
    /// Give this many chunks back.
    Remove(u32),
}

impl Scaler {
    /// The autoscaler of an endpoint; `None` if the number of chunks is fixed.
    pub(super) fn new(spec: &EndpointSpec, seed: Seed) -> Option<Self> {
        let policy = spec.autoscaler.clone();
        let unit = match policy.metric {
            ScaleMetric::Tokens => spec.chunk.0,
            ScaleMetric::Concurrency => f64::from(spec.max_batch),
        };
        (spec.max_chunks > spec.min_chunks).then(|| Self {
            min: spec.min_chunks.max(1),
            max: spec.max_chunks,
            per_chunk: (policy.target.0 * unit).max(f64::MIN_POSITIVE),
            seed,
            decisions: 0,
            next_poll: policy.poll.nanos().0.max(1),
            pending: Vec::new(),
            readings: VecDeque::from([(0, 0.0)]),
            low: None,
            policy,
        })
    }

    /// What it tracks.
    pub(super) fn metric(&self) -> ScaleMetric {
        self.policy.metric
    }

    /// Chunks on their way.
    pub(super) fn pending(&self) -> u32 {
        u32::try_from(self.pending.len()).unwrap_or(u32::MAX)
    }

    /// When [`Scaler::turn`] is due, nanoseconds.
    pub(super) fn wake(&self) -> u64 {
        self.pending.iter().map(|p| p.ready_at).min().map_or(self.next_poll, |ready| ready.min(self.next_poll))
    }

    /// Does what is due at [`Scaler::wake`]. `total` is the tracked quantity since zero: tokens arrived, or request-seconds in flight.
    pub(super) fn turn(&mut self, total: f64, ready: u32) -> Change {
        let now = self.wake();
        if now < self.next_poll {
            return self.arrive(now);
        }
        self.next_poll = now.saturating_add(self.policy.poll.nanos().0.max(1));
        let desired = self.desired(now, total);
        if self.pending.is_empty() { self.decide(now, desired, ready) } else { Change::None }
    }

    fn arrive(&mut self, now: u64) -> Change {
        let mut arrived = 0;
        self.pending.retain(|p| {
            let due = p.ready_at <= now;
            arrived += u32::from(due && !p.fails);
            !due
        });
        Change::Arrived(arrived)
    }

    fn desired(&mut self, now: u64, total: f64) -> u32 {
        self.readings.push_back((now, total));
        let start = now.saturating_sub(self.policy.window.nanos().0.max(1));
        while self.readings.len() > 2 && self.readings[1].0 <= start {
            self.readings.pop_front();
        }
        let ((t0, v0), (t1, v1)) = (self.readings[0], self.readings[1]);
        let at_start = if start <= t0 { v0 } else { v0 + (v1 - v0) * (start - t0) as f64 / (t1 - t0) as f64 };
        let span = Nanos(now - start.max(t0)).as_secs_f64();
        let load = (total - at_start) / span;
        // A millionth of a chunk is rounding, not load.
        let chunks = (load / self.per_chunk - 1e-6).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, and min and max bound it")]
        let whole = chunks as u32;
        whole.clamp(self.min, self.max)
    }

    fn decide(&mut self, now: u64, desired: u32, ready: u32) -> Change {
        if desired >= ready {
            self.low = None;
            return if desired > ready { self.ask(now, desired - ready) } else { Change::None };
        }
        let low = self.low.get_or_insert(Low { since: now, highest: desired });
        low.highest = low.highest.max(desired);
        if now - low.since < self.policy.scale_down_delay.nanos().0 {
            return Change::None;
        }
        let highest = low.highest;
        self.low = None;
        Change::Remove(ready - highest)
    }

    fn ask(&mut self, now: u64, chunks: u32) -> Change {
        let mut stream = self.seed.keyed("lag", self.decisions);
        self.decisions += 1;
        for _ in 0..chunks {
            let ready_at = now.saturating_add(draw(&self.policy.lag, &mut stream).0.max(1));
            let fails = stream.random::<f64>() < self.policy.failure.0;
            self.pending.push(Pending { ready_at, fails });
        }
        Change::Asked
    }
}

/// One scale-up delay.
fn draw(lag: &Lag, stream: &mut Stream) -> Nanos {
    match lag {
        Lag::Fixed(span) => span.nanos(),
        Lag::Lognormal { median, p95 } => {
            // The 95 % quantile of the standard normal is 1.6449.
            let sigma = (p95.as_secs_f64() / median.as_secs_f64().max(1e-9)).max(1.0).ln() / 1.644_853_626_951_472_7;
            let z: f64 = StandardNormal.sample(stream);
            Nanos::from_secs_f64(median.as_secs_f64() * (sigma * z).exp())
        }
        Lag::Empirical(spans) => {
            let word = u128::from(stream.next_u64());
            usize::try_from((word * spans.len() as u128) >> 64).ok().and_then(|i| spans.get(i)).map_or(Nanos::ZERO, |s| s.nanos())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::{Share, TimeSpan, TokenRate};

    fn spec() -> EndpointSpec {
        EndpointSpec {
            chunk: TokenRate(1000.0),
            min_chunks: 1,
            max_chunks: 5,
            autoscaler: Autoscaler {
                target: Share(0.5),
                window: TimeSpan::secs(60),
                poll: TimeSpan::secs(10),
                lag: Lag::Fixed(TimeSpan::secs(100)),
                scale_down_delay: TimeSpan::secs(120),
                ..Autoscaler::default()
            },
            ..EndpointSpec::default()
        }
    }

    /// Turns until `until` with the load `rate(t)` in tokens per second (constant between polls); returns `(seconds, change, ready after)`.
    fn play(scaler: &mut Scaler, until_s: u64, rate: impl Fn(u64) -> f64) -> Vec<(u64, Change, u32)> {
        let (mut total, mut last, mut ready, mut log) = (0.0, 0, 1_u32, Vec::new());
        while scaler.wake() <= until_s * 1_000_000_000 {
            let now = scaler.wake();
            total += rate(last / 1_000_000_000) * (now - last) as f64 / 1e9;
            last = now;
            let change = scaler.turn(total, ready);
            match change {
                Change::Arrived(n) => ready += n,
                Change::Remove(n) => ready -= n,
                Change::None | Change::Asked => {}
            }
            if change != Change::None {
                log.push((now / 1_000_000_000, change, ready));
            }
        }
        log
    }

    /// A step to 1,400 tok/s needs ceil(1400 / 500) = 3 chunks; the window passes 500 in 60 * 500 / 1400 = 21.4 s, the next poll is at 30 s.
    #[test]
    fn a_step_is_seen_through_the_window_and_served_after_the_lag() {
        let mut scaler = Scaler::new(&spec(), Seed(1)).unwrap();
        let log = play(&mut scaler, 400, |t| if t < 100 { 0.0 } else { 1400.0 });
        assert_eq!(log[0], (130, Change::Asked, 1), "700 tok/s over the window: 2 chunks");
        assert_eq!(log[1], (230, Change::Arrived(1), 2));
        assert_eq!(log[2], (240, Change::Asked, 2), "one decision at a time");
        assert_eq!(log[3], (340, Change::Arrived(1), 3));
        assert_eq!(log.len(), 4);
    }

    #[test]
    fn chunks_are_given_back_only_after_the_delay_and_never_below_the_minimum() {
        let mut scaler = Scaler::new(&spec(), Seed(1)).unwrap();
        let log = play(&mut scaler, 1200, |t| if t < 300 { 900.0 } else { 0.0 });
        let (at, change, ready) = *log.last().unwrap();
        assert_eq!((change, ready), (Change::Remove(1), 1));
        assert!((300 + 120..300 + 120 + 60 + 10).contains(&at), "{at}");
    }

    #[test]
    fn a_failed_chunk_is_tried_again_after_its_lag() {
        let mut s = spec();
        s.autoscaler.failure = Share(1.0);
        let mut scaler = Scaler::new(&s, Seed(1)).unwrap();
        let log = play(&mut scaler, 500, |_| 900.0);
        let arrived: Vec<_> = log.iter().filter(|(_, c, _)| matches!(c, Change::Arrived(_))).collect();
        assert!(arrived.len() >= 3 && arrived.iter().all(|(_, c, ready)| *c == Change::Arrived(0) && *ready == 1), "{log:?}");
    }

    #[test]
    fn a_fixed_number_of_chunks_needs_no_autoscaler() {
        assert!(Scaler::new(&EndpointSpec { min_chunks: 3, max_chunks: 3, ..spec() }, Seed(1)).is_none());
    }

    /// Half of the lags are below the median and one in twenty above the p95; 10,000 draws, four standard errors.
    #[test]
    fn lognormal_lags_have_the_quantiles_asked_for() {
        let lag = Lag::Lognormal { median: TimeSpan::secs(300), p95: TimeSpan::secs(900) };
        let draws: Vec<Nanos> = (0..10_000).map(|i| draw(&lag, &mut Seed(5).keyed("lag", i))).collect();
        let above = |s| draws.iter().filter(|d| **d > Nanos::from_secs(s)).count() as f64 / 1e4;
        assert!((above(300) - 0.5).abs() < 0.02 && (above(900) - 0.05).abs() < 0.009, "{} {}", above(300), above(900));
    }
}
