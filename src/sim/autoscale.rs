//! Chunks over time: a policy that is asked at polls, and the machinery of lag, failure and draining around it; or a prescribed path.

mod knative;
mod kubernetes;
mod lag;
mod meter;
mod policy;
mod schedule;
mod units;

use self::meter::Meter;
use self::policy::{Policy, Seen};
use super::event::ScaleEvent;
use crate::base::rng::{Seed, Stream};
use crate::base::time::Nanos;
use crate::scenario::autoscaler::{Autoscaler, ScaleMetric};
use crate::scenario::endpoint::EndpointSpec;
use rand::RngExt;
use std::cmp::Ordering;
use std::collections::VecDeque;

/// The number of chunks over time under a policy that looks at nothing but the tokens offered, without simulating a request: the same
/// instants and numbers as [`super::endpoint::Endpoint::scale_log`] has for the same seed and arrivals.
///
/// `load_until(t)` is the sum of input and output tokens of all requests offered before the instant `t` (nanoseconds), refused ones
/// included, and at least one output token a request; it is asked for rising instants. The path ends at `until`, inclusive. `None` when the
/// path depends on more than that: on requests in flight, or on the instant of the request that wakes an endpoint without chunks.
pub fn path(spec: &EndpointSpec, seed: Seed, load_until: &mut dyn FnMut(u64) -> f64, until: u64) -> Option<Vec<ScaleEvent>> {
    let mut ready = first_chunks(spec);
    let mut path = vec![ScaleEvent { at: Nanos::ZERO, ready, pending: 0 }];
    let Some(mut decider) = Decider::new(spec, endpoint_seed(seed)) else { return Some(path) };
    if decider.spec.metric != ScaleMetric::Tokens || spec.min_chunks == 0 {
        return None;
    }
    while decider.wake() <= until {
        let now = decider.wake();
        let total = if decider.is_poll_next() { load_until(now) } else { 0.0 };
        if let Some(changed) = decider.turn(total, ready, false) {
            ready = changed;
            path.push(ScaleEvent { at: Nanos(now), ready, pending: decider.pending_chunks() });
        }
    }
    Some(path)
}

/// The seed of an endpoint's own streams.
pub(super) fn endpoint_seed(seed: Seed) -> Seed {
    seed.child("endpoint", 0)
}

/// Chunks that serve at instant zero.
pub(super) fn first_chunks(spec: &EndpointSpec) -> u32 {
    spec.min_chunks.max(schedule::least(&spec.autoscaler, 0).min(spec.max_chunks))
}

/// What changes the number of chunks of an endpoint.
#[derive(Debug)]
pub(super) enum Scaler {
    /// A policy.
    Decides(Box<Decider>),
    /// A list made beforehand.
    Follows(Follower),
}

impl Scaler {
    /// The autoscaler of an endpoint; `None` if the number of chunks is fixed.
    pub(super) fn new(spec: &EndpointSpec, seed: Seed) -> Option<Self> {
        Decider::new(spec, seed).map(|decider| Self::Decides(Box::new(decider)))
    }

    /// The changes of `path`, in order of time.
    pub(super) fn prescribed(path: &[ScaleEvent]) -> Self {
        Self::Follows(Follower { changes: path.iter().copied().collect(), pending: 0 })
    }

    /// What it tracks.
    pub(super) fn metric(&self) -> ScaleMetric {
        match self {
            Self::Decides(decider) => decider.spec.metric,
            Self::Follows(_) => ScaleMetric::Tokens,
        }
    }

    /// Chunks on their way.
    pub(super) fn pending(&self) -> u32 {
        match self {
            Self::Decides(decider) => decider.pending_chunks(),
            Self::Follows(follower) => follower.pending,
        }
    }

    /// When [`Scaler::turn`] is due, nanoseconds.
    pub(super) fn wake(&self) -> u64 {
        match self {
            Self::Decides(decider) => decider.wake(),
            Self::Follows(follower) => follower.changes.front().map_or(u64::MAX, |change| change.at.0),
        }
    }

    /// Does what is due at [`Scaler::wake`]. `total` is the tracked quantity since zero: tokens arrived, or request-seconds in flight;
    /// `ready` chunks serve; `is_waited_for` says whether requests wait for the first one. Chunks that serve from now on, if anything
    /// changed: that number, or what is pending.
    pub(super) fn turn(&mut self, total: f64, ready: u32, is_waited_for: bool) -> Option<u32> {
        match self {
            Self::Decides(decider) => decider.turn(total, ready, is_waited_for),
            Self::Follows(follower) => follower.turn(),
        }
    }

    /// A request came to an endpoint without chunks at `now`; whether one was asked for.
    pub(super) fn is_woken(&mut self, now: u64) -> bool {
        match self {
            Self::Decides(decider) => decider.is_woken(now),
            Self::Follows(_) => false,
        }
    }
}

/// A path that was made beforehand.
#[derive(Debug)]
pub(super) struct Follower {
    changes: VecDeque<ScaleEvent>,
    pending: u32,
}

impl Follower {
    fn turn(&mut self) -> Option<u32> {
        let change = self.changes.pop_front()?;
        self.pending = change.pending;
        Some(change.ready)
    }
}

/// The machinery around a policy. Every `poll` the policy says how many chunks there should be.
///
/// - The load is the mean over the last `window` (over all the time there was, before that), read at polls and interpolated between them.
/// - One change at a time, if the autoscaler is so: while a chunk is on its way nothing else is decided.
/// - Each added chunk draws its lag, and whether it fails, from a stream named by the number of the decision, so that two plans that
///   decide alike wait alike. A chunk that fails is pending for its lag and never serves.
/// - When fewer are wanted, those on their way are called off first, the last asked for first; then chunks that serve drain.
/// - Without a chunk the first request asks for one, and for another if that one fails.
#[derive(Debug)]
pub(super) struct Decider {
    spec: Autoscaler,
    policy: Box<dyn Policy>,
    meter: Meter,
    min: u32,
    max: u32,
    /// Load that one chunk is meant to carry: `target * per chunk`.
    per_chunk: f64,
    seed: Seed,
    decisions: u64,
    next_poll: u64,
    /// In the order in which they were asked for.
    pending: Vec<Pending>,
}

/// A chunk on its way.
#[derive(Clone, Copy, Debug)]
struct Pending {
    ready_at: u64,
    fails: bool,
}

impl Decider {
    fn new(spec: &EndpointSpec, seed: Seed) -> Option<Self> {
        let scaler = spec.autoscaler.clone();
        let unit = match scaler.metric {
            ScaleMetric::Tokens => spec.chunk.0,
            ScaleMetric::Concurrency => f64::from(spec.max_batch),
        };
        (spec.max_chunks > spec.min_chunks).then(|| Self {
            policy: policy::of(&scaler),
            meter: Meter::new(scaler.window.nanos().0),
            min: spec.min_chunks,
            max: spec.max_chunks,
            per_chunk: (scaler.target.0 * unit).max(f64::MIN_POSITIVE),
            seed,
            decisions: 0,
            next_poll: scaler.poll.nanos().0.max(1),
            pending: Vec::new(),
            spec: scaler,
        })
    }

    fn pending_chunks(&self) -> u32 {
        u32::try_from(self.pending.len()).unwrap_or(u32::MAX)
    }

    fn wake(&self) -> u64 {
        self.pending.iter().map(|p| p.ready_at).min().map_or(self.next_poll, |ready| ready.min(self.next_poll))
    }

    /// Whether the next turn looks at the load.
    fn is_poll_next(&self) -> bool {
        self.wake() == self.next_poll
    }

    fn turn(&mut self, total: f64, ready: u32, is_waited_for: bool) -> Option<u32> {
        let now = self.wake();
        if !self.is_poll_next() {
            return Some(self.arrive(now, ready, is_waited_for));
        }
        self.next_poll = now.saturating_add(self.spec.poll.nanos().0.max(1));
        self.meter.read(now, total);
        self.decide(now, ready, is_waited_for)
    }

    /// Chunks that serve after those that are due have come.
    fn arrive(&mut self, now: u64, ready: u32, is_waited_for: bool) -> u32 {
        let mut arrived = 0;
        self.pending.retain(|p| {
            let due = p.ready_at <= now;
            arrived += u32::from(due && !p.fails);
            !due
        });
        if ready + arrived == 0 && is_waited_for {
            self.is_woken(now);
        }
        ready + arrived
    }

    fn decide(&mut self, now: u64, ready: u32, is_waited_for: bool) -> Option<u32> {
        let seen = Seen {
            now,
            meter: &self.meter,
            per_chunk: self.per_chunk,
            ready,
            pending: self.pending_chunks(),
            is_waited_for,
            min: self.min.max(schedule::least(&self.spec, now)).min(self.max),
            max: self.max,
            is_free: !self.spec.one_change_at_a_time || self.pending.is_empty(),
        };
        let desired = seen.bounded(self.policy.desired(&seen));
        if !seen.is_free {
            return None;
        }
        let current = seen.current();
        let desired = if is_waited_for && self.policy.is_woken_by_requests() { desired.max(1) } else { desired };
        match desired.cmp(&current) {
            Ordering::Equal => None,
            Ordering::Greater => {
                self.ask(now, desired - current);
                Some(ready)
            }
            Ordering::Less => {
                let kept = self.pending.len().min(desired.saturating_sub(ready) as usize);
                self.pending.truncate(kept);
                Some(ready.min(desired))
            }
        }
    }

    fn ask(&mut self, now: u64, chunks: u32) {
        let mut stream: Stream = self.seed.keyed("lag", self.decisions);
        self.decisions += 1;
        for _ in 0..chunks {
            let ready_at = now.saturating_add(lag::draw(&self.spec.lag, &mut stream).0.max(1));
            let fails = stream.random::<f64>() < self.spec.failure.0;
            self.pending.push(Pending { ready_at, fails });
        }
    }

    fn is_woken(&mut self, now: u64) -> bool {
        let wakes = self.pending.is_empty() && self.policy.is_woken_by_requests();
        if wakes {
            self.ask(now, 1);
        }
        wakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::{Share, TimeSpan, TokenRate};
    use crate::scenario::autoscaler::{Block, Burst, Hpa, Keda, Knative, Lag, Policy as Rule, Units};

    const S: u64 = 1_000_000_000;

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

    /// A policy with its own defaults, tokens as its metric, and a lag of one second; a chunk is meant to carry 500 tok/s.
    fn under(policy: Rule, min_chunks: u32, max_chunks: u32) -> EndpointSpec {
        let target = Share(0.5);
        let autoscaler = Autoscaler { metric: ScaleMetric::Tokens, target, lag: Lag::Fixed(TimeSpan::secs(1)), ..Autoscaler::with_policy(policy) };
        EndpointSpec { min_chunks, max_chunks, autoscaler, ..spec() }
    }

    /// Turns until `until_s` with the load `rate(t)` in tokens per second (constant within each second): `(seconds, ready, pending)` after
    /// each change.
    fn play(spec: &EndpointSpec, until_s: u64, rate: impl Fn(u64) -> f64) -> Vec<(u64, u32, u32)> {
        let mut scaler = Decider::new(spec, Seed(1)).unwrap();
        let (mut total, mut second, mut ready, mut log) = (0.0, 0, first_chunks(spec), Vec::new());
        while scaler.wake() <= until_s * S {
            let now = scaler.wake();
            while second < now / S {
                total += rate(second);
                second += 1;
            }
            if let Some(changed) = scaler.turn(total, ready, false) {
                ready = changed;
                log.push((now / S, ready, scaler.pending_chunks()));
            }
        }
        log
    }

    /// A step to 1,400 tok/s needs ceil(1400 / 500) = 3 chunks; the window passes 500 in 60 * 500 / 1400 = 21.4 s, the next poll is at 30 s.
    #[test]
    fn a_step_is_seen_through_the_window_and_served_after_the_lag() {
        let log = play(&spec(), 400, |t| if t < 100 { 0.0 } else { 1400.0 });
        // 700 tok/s over the window: 2 chunks; one decision at a time.
        assert_eq!(log, [(130, 1, 1), (230, 2, 0), (240, 2, 1), (340, 3, 0)]);
    }

    #[test]
    fn several_changes_at_a_time_do_not_wait_for_each_other() {
        let mut spec = spec();
        spec.autoscaler.one_change_at_a_time = false;
        let log = play(&spec, 400, |t| if t < 100 { 0.0 } else { 1400.0 });
        assert_eq!(log, [(130, 1, 1), (150, 1, 2), (230, 2, 1), (250, 3, 0)]);
    }

    /// Down to one after two were asked for: those on their way are called off, and none that serves.
    #[test]
    fn chunks_on_their_way_are_called_off_first() {
        let mut spec = spec();
        spec.autoscaler.one_change_at_a_time = false;
        spec.autoscaler.scale_down_delay = TimeSpan::secs(0);
        let log = play(&spec, 400, |t| if t < 30 { 1400.0 } else { 0.0 });
        // 42,000 tokens over 50 s are two chunks' worth, the last 28,000 of them over 60 s one's.
        assert_eq!(log, [(10, 1, 2), (50, 1, 1), (70, 1, 0)]);
    }

    #[test]
    fn chunks_are_given_back_only_after_the_delay_and_never_below_the_minimum() {
        let log = play(&spec(), 1200, |t| if t < 300 { 900.0 } else { 0.0 });
        let (at, ready, pending) = *log.last().unwrap();
        assert_eq!((ready, pending), (1, 0));
        assert!((300 + 120..300 + 120 + 60 + 10).contains(&at), "{at}");
    }

    #[test]
    fn a_failed_chunk_is_tried_again_after_its_lag() {
        let mut spec = spec();
        spec.autoscaler.failure = Share(1.0);
        let log = play(&spec, 500, |_| 900.0);
        assert_eq!(log[..4], [(10, 1, 1), (110, 1, 0), (120, 1, 1), (220, 1, 0)]);
    }

    #[test]
    fn a_fixed_number_of_chunks_needs_no_autoscaler() {
        assert!(Scaler::new(&EndpointSpec { min_chunks: 3, max_chunks: 3, ..spec() }, Seed(1)).is_none());
    }

    /// From one chunk at 500 tok/s a jump to 2,000: the panic window (6 s) wants two chunks when a third of it is new, within two polls;
    /// the stable one would need 20 s. It does not come down within 60 s after the last crossing.
    #[test]
    fn knative_panics_within_its_short_window_and_does_not_come_down_in_panic() {
        let log = play(&under(Rule::Knative(Knative::default()), 1, 20), 400, |t| if (100..110).contains(&t) { 2000.0 } else { 500.0 });
        assert_eq!(log[0], (102, 1, 1), "(4 * 500 + 2 * 2000) / 6 = 1000 tok/s: two chunks");
        assert_eq!(log.iter().map(|l| l.1).max(), Some(4));
        // At 102 s it was crossed for the last time: three wanted of two, and four of three, are no panic.
        let down = *log.iter().find(|l| l.0 > 107).unwrap();
        assert_eq!(down, (164, 2, 0), "half of four, at the first poll more than 60 s after: {log:?}");
        assert_eq!(log.last().unwrap().1, 1);
    }

    #[test]
    fn knative_gives_back_no_more_than_half_at_a_time() {
        let log = play(&under(Rule::Knative(Knative::default()), 1, 20), 400, |t| if t < 100 { 4000.0 } else { 10.0 });
        let downs: Vec<u32> = log.iter().filter(|l| l.0 > 130).map(|l| l.1).collect();
        assert!(downs.windows(2).all(|w| w[1] >= w[0] / 2) && downs.last() == Some(&1), "{log:?}");
    }

    /// 10 % around the target nothing happens; a step to 40 chunks' worth is met with 1 + 4, 5 + 5, 10 + 10, 20 + 20 every 15 s.
    #[test]
    fn kubernetes_tolerates_and_limits_its_steps() {
        let hpa = under(Rule::Hpa(Hpa::default()), 1, 50);
        assert_eq!(play(&hpa, 600, |_| 549.0), []);
        let mut quick = hpa;
        quick.autoscaler.window = TimeSpan::secs(15);
        let log = play(&quick, 100, |t| if t < 15 { 500.0 } else { 20_000.0 });
        let asked: Vec<_> = log.iter().filter(|l| l.2 > 0).map(|l| (l.0, l.1 + l.2)).collect();
        assert_eq!(asked, [(30, 5), (45, 10), (60, 20), (75, 40)]);
    }

    /// The highest recommendation of the last 300 s holds.
    #[test]
    fn kubernetes_comes_down_after_its_stabilisation_window() {
        let log = play(&under(Rule::Hpa(Hpa::default()), 1, 50), 900, |t| if t < 300 { 2000.0 } else { 100.0 });
        let (at, ready, _) = *log.iter().find(|l| l.0 > 300).unwrap();
        // At 300 s four chunks were recommended, at 315 s 1,525 tok/s: still four.
        assert_eq!((at, ready), (615, 3), "{log:?}");
        assert_eq!(log.last().unwrap().1, 1);
    }

    #[test]
    fn keda_sleeps_after_its_cooldown_and_wakes_at_its_polling() {
        let keda = under(Rule::Keda(Keda { polling: TimeSpan::secs(60), ..Keda::default() }), 0, 5);
        let log = play(&keda, 2000, |t| if (100..200).contains(&t) { 700.0 } else { 0.0 });
        // Polls at 15 s, 75 s, 135 s: the load is seen at 135 s.
        assert_eq!(log[0], (135, 0, 1));
        let asleep = *log.iter().find(|l| l.0 > 200 && l.1 == 0).unwrap();
        // Active until the window is empty at 255 s at the latest (240 s is the last poll that sees load), and 300 s more.
        assert_eq!(asleep, (555, 0, 0), "{log:?}");
    }

    #[test]
    fn a_burst_of_model_units_ends_and_rests() {
        let units = under(Rule::Units(Units { burst: Some(Burst { longest: TimeSpan::secs(90), rest: TimeSpan::secs(120) }) }), 2, 4);
        let log = play(&units, 500, |_| 3000.0);
        assert_eq!(log, [(15, 2, 2), (16, 4, 0), (105, 2, 0), (225, 2, 2), (226, 4, 0), (315, 2, 0), (435, 2, 2), (436, 4, 0)]);
        let fixed = under(Rule::Units(Units { burst: None }), 2, 4);
        assert_eq!(play(&fixed, 500, |_| 3000.0), []);
    }

    #[test]
    fn a_schedule_lifts_the_minimum_of_any_policy() {
        let block = Block { from: TimeSpan::secs(300), to: TimeSpan::secs(600), min_chunks: 9 };
        for policy in [Rule::TargetTracking, Rule::Knative(Knative::default()), Rule::Hpa(Hpa::default()), Rule::Keda(Keda::default())] {
            let mut spec = under(policy, 1, 4);
            spec.autoscaler.schedule = vec![block];
            let log = play(&spec, 2000, |_| 10.0);
            assert!((300..316).contains(&log[0].0) && log[0].1 + log[0].2 == 4, "max bounds it: {log:?}");
            assert!(log.iter().find(|l| l.1 < 4 && l.2 == 0).unwrap().0 >= 600, "{log:?}");
            assert_eq!(log.last().unwrap().1, 1, "{log:?}");
            spec.autoscaler.begins_at = TimeSpan::secs(400);
            assert_eq!(first_chunks(&spec), 4, "it begins within the block");
        }
    }

    /// The path without requests is refused where it would depend on them.
    #[test]
    fn a_path_needs_a_policy_that_looks_at_tokens_alone() {
        let mut load = |_| 0.0;
        let mut by_requests = spec();
        by_requests.autoscaler.metric = ScaleMetric::Concurrency;
        assert!(path(&by_requests, Seed(1), &mut load, 10 * S).is_none());
        assert!(path(&EndpointSpec { min_chunks: 0, ..spec() }, Seed(1), &mut load, 10 * S).is_none());
        let fixed = path(&EndpointSpec { min_chunks: 3, max_chunks: 3, ..spec() }, Seed(1), &mut load, 10 * S);
        assert_eq!(fixed, Some(vec![ScaleEvent { at: Nanos::ZERO, ready: 3, pending: 0 }]));
    }
}
