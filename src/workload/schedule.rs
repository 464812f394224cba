//! `Schedule`: a seeded state machine that says which request is due when. It knows no clock: its drivers tell it what completed.

mod expected;
mod learnt;
mod parts;

pub use expected::Expected;
pub use learnt::Place;

use super::arrival::{self, Renewal};
use super::demand::DemandModel;
use super::length::{self, Clipped, marginal};
use super::rate;
use super::replay::{self, Cursor, Recorded};
use super::session::{After, SoFar, Turn, pause};
use super::trace::Rows;
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::record::request::Phase;
use crate::scenario::experiment::Experiment;
use crate::scenario::load::Arrivals;
use crate::scenario::workload::Workload;
use learnt::Walk;
use parts::{Parts, Phases, Timing};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// A closed-loop user whose request failed waits at least this long: an endpoint that refuses at once must not be hammered by it.
const PAUSE_AFTER_FAILURE: Nanos = Nanos::from_millis(100);

/// Instants of one closed-loop user lie at least this far apart, so that time moves on even if answers take none.
const LEAST_GAP: Nanos = Nanos::from_micros(1);

/// One request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Number in order of arrival, from 0. In a shard of n: every n-th number.
    pub seq: u64,
    /// When it is due, from load start. Absolute: never moved.
    pub at: Nanos,
    /// By `at`: before the end of warm-up, or inside the measured window.
    pub phase: Phase,
    /// Input tokens, the whole conversation so far for later turns.
    pub input_tokens: u32,
    /// Output tokens.
    pub output_tokens: u32,
    /// Leading input tokens shared with other requests (prefix group or earlier turns), for caches.
    pub shared_tokens: u32,
    /// Which shared prefix.
    pub prefix_group: u32,
    /// Session and turn, for multi-turn load.
    pub session: Option<(u64, u32)>,
    /// Closed loop: which user.
    pub user: Option<u32>,
}

/// The rows of the recordings that a scenario names, already read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Material {
    /// Of `load.arrivals.trace`.
    pub arrivals: Option<Rows>,
    /// Of `workload.lengths.empirical.trace`.
    pub lengths: Option<Rows>,
    /// Of the `column` of the input marginal.
    pub input: Option<Rows>,
    /// Of the `column` of the output marginal.
    pub output: Option<Rows>,
    /// Of `plan.demand_model`.
    pub demand: Option<Arc<DemandModel>>,
}

/// Why there is no schedule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The rate function.
    #[error("load.arrivals.rate: {0}")]
    Rate(#[from] rate::Error),
    /// The inter-arrival family.
    #[error("load.arrivals: {0}")]
    Family(#[from] arrival::Error),
    /// The recording of the arrivals.
    #[error(transparent)]
    Replay(#[from] replay::Error),
    /// The lengths.
    #[error(transparent)]
    Lengths(#[from] length::Error),
    /// The turns of a session.
    #[error("workload.sessions.turns: {0}")]
    Turns(#[source] marginal::Error),
    /// A factor on the demand that is not one.
    #[error("a rate factor of {found}; expected a finite number above 0")]
    Factor {
        /// The value.
        found: f64,
    },
    /// A plan from a model that nobody handed over.
    #[error("plan.demand_model: no model; expected a file written by `plimsoll learn`, or a shape")]
    NoModel,
    /// A closed loop of nobody.
    #[error("load.arrivals.closed.users is 0; expected at least 1")]
    NoUsers,
}

/// The requests of one run, in order of their due instants.
///
/// Open loops keep an absolute schedule: nothing that completes can move or drop an arrival. Closed loops and sessions add
/// arrivals when [`Schedule::completed`] is told of an answer. No arrival is due at or after the end of the load span.
/// The same seed and scenario give the same arrivals; with feedback, the same completions do.
#[derive(Clone, Debug)]
pub struct Schedule {
    parts: Arc<Parts>,
    seed: Seed,
    source: Source,
    /// The next arrival of an open loop.
    ahead: Option<Recorded>,
    /// Arrivals that follow from completions, and first requests of closed-loop users. At most one for each user or open session.
    followers: BinaryHeap<Reverse<Follower>>,
    /// Requests handed out that another arrival may follow.
    awaited: u64,
    next_seq: u64,
    next_session: u64,
    next_order: u64,
    clipped: Clipped,
    cut_sessions: u64,
    shard: Shard,
    /// Instant of the last arrival drawn, of whichever shard.
    drawn_until: Nanos,
}

/// A part of a load: every `of`-th arrival, beginning with number `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    index: u64,
    of: u64,
}

impl Shard {
    const WHOLE: Self = Self { index: 0, of: 1 };

    /// The number in the whole load of this shard's `nth` one.
    fn number(self, nth: u64) -> u64 {
        nth * self.of + self.index
    }
}

#[derive(Clone, Debug)]
enum Source {
    Open(Renewal),
    Replay(Cursor),
    Learnt(Walk),
    Closed,
}

/// An arrival that waits for its instant; the first made goes first among equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Follower {
    at: Nanos,
    order: u64,
    user: Option<u32>,
    step: Step,
}

/// What a follower sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A request that stands alone.
    Alone,
    /// The first turn of a session.
    Opening { session: u64 },
    /// A later turn.
    Later(Turn),
}

impl Ord for Follower {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Follower {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Schedule {
    /// The schedule of a run: warm-up and measured window of the experiment.
    pub fn new(experiment: &Experiment, material: &Material) -> Result<Self, Error> {
        let scenario = &experiment.scenario;
        let phases = Phases { warmup: scenario.load.warmup.nanos(), span: experiment.load_span() };
        let parts = Parts::new(&scenario.load.arrivals, &scenario.workload, phases, 1.0, material)?;
        Ok(Self::start(Arc::new(parts), experiment.seed, Shard::WHOLE))
    }

    /// A period of demand for a plan: all of it measured. `rate_factor` multiplies the rate (trace: the rate scale; closed loop: the users).
    pub fn for_demand(
        arrivals: &Arrivals,
        workload: &Workload,
        period: Nanos,
        rate_factor: f64,
        material: &Material,
        seed: Seed,
    ) -> Result<Self, Error> {
        let phases = Phases { warmup: Nanos::ZERO, span: period };
        let parts = Parts::new(arrivals, workload, phases, rate_factor, material)?;
        Ok(Self::start(Arc::new(parts), seed, Shard::WHOLE))
    }

    /// A period of a demand model, or the lead-in before it: all of it measured. The seed is the period's key.
    pub fn for_model(model: Arc<DemandModel>, workload: &Workload, place: Place, material: &Material, seed: Seed) -> Result<Self, Error> {
        let parts = Parts::of_model(model, workload, place, material)?;
        Ok(Self::start(Arc::new(parts), seed, Shard::WHOLE))
    }

    /// The same load from its beginning under another seed; shares everything that was prepared, so it costs no more than a few allocations.
    #[must_use]
    pub fn reseeded(&self, seed: Seed) -> Self {
        Self::start(Arc::clone(&self.parts), seed, self.shard)
    }

    /// The same load from its beginning in `n` parts that need nothing of each other. Arrivals of an open loop are dealt out in turn and are the
    /// same, number by number, for any `n`; a session and a closed-loop user stay with one part. Numbers are unique over all parts.
    #[must_use]
    pub fn shards(&self, n: u32) -> Vec<Self> {
        let of = u64::from(n.max(1));
        (0..of).map(|index| Self::start(Arc::clone(&self.parts), self.seed, Shard { index, of })).collect()
    }

    fn start(parts: Arc<Parts>, seed: Seed, shard: Shard) -> Self {
        let source = match &parts.timing {
            Timing::Open { family, .. } => Source::Open(Renewal::new(*family, seed)),
            Timing::Replay(_) => Source::Replay(Cursor::default()),
            Timing::Learnt { model, place } => Source::Learnt(Walk::new(model, *place, seed)),
            Timing::Closed { .. } => Source::Closed,
        };
        let mut schedule = Self {
            parts,
            seed,
            source,
            ahead: None,
            followers: BinaryHeap::new(),
            awaited: 0,
            next_seq: 0,
            next_session: 0,
            next_order: 0,
            clipped: Clipped::default(),
            cut_sessions: 0,
            shard,
            drawn_until: Nanos::ZERO,
        };
        schedule.admit_users();
        for _ in 0..=shard.index {
            schedule.ahead = schedule.draw();
        }
        schedule
    }

    /// Due instant of the next known arrival. `None`: nothing is due until a completion is reported, or nothing ever again.
    #[must_use]
    pub fn peek_at(&self) -> Option<Nanos> {
        let follower = self.followers.peek().map(|Reverse(f)| f.at);
        match (self.ahead.map(|a| a.at), follower) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Takes the next known arrival; of two at the same instant, the one that stands for itself before the one that follows another.
    pub fn pop(&mut self) -> Option<Arrival> {
        let follower_at = self.followers.peek().map(|Reverse(f)| f.at);
        let arrival = match self.ahead {
            Some(ahead) if follower_at.is_none_or(|at| ahead.at <= at) => {
                self.look_ahead();
                let session = self.parts.sessions.is_some().then(|| {
                    self.next_session += 1;
                    self.shard.number(self.next_session - 1)
                });
                self.fresh(ahead, None, session)
            }
            _ => {
                let Reverse(follower) = self.followers.pop()?;
                let bare = Recorded { at: follower.at, lengths: length::Pair { input: 0, output: 0 }, shared: 0 };
                match follower.step {
                    Step::Alone => self.fresh(bare, follower.user, None),
                    Step::Opening { session } => self.fresh(bare, follower.user, Some(session)),
                    Step::Later(turn) => self.later(follower, turn),
                }
            }
        };
        self.next_seq += 1;
        self.awaited += u64::from(self.may_be_followed(&arrival));
        Some(arrival)
    }

    /// Reports the end of a request, once for each arrival that was taken. Open loops without sessions need it not and ignore it.
    ///
    /// Sessions: the next turn follows after a pause if the answer was `ok`; a failed answer ends the session. Closed loops: the user
    /// goes on after thinking, whatever the outcome; after a failure no sooner than 100 ms.
    pub fn completed(&mut self, arrival: &Arrival, at: Nanos, ok: bool) {
        if !self.may_be_followed(arrival) {
            return;
        }
        self.awaited = self.awaited.saturating_sub(1);
        let parts = Arc::clone(&self.parts);
        if let (Some(sessions), Some((session, turn)), true) = (&parts.sessions, arrival.session, ok) {
            let tokens = arrival.input_tokens.saturating_add(arrival.output_tokens);
            let so_far = SoFar { session, turn, tokens, prefix_group: arrival.prefix_group };
            match sessions.after(so_far, self.seed, &parts.lengths, parts.own_rows(), &mut self.clipped) {
                After::Turn(next) => {
                    let due = at.max(arrival.at + LEAST_GAP) + sessions.think(self.seed, session, next.turn);
                    self.follow(due, arrival.user, Step::Later(next));
                    return;
                }
                After::TooLong => self.cut_sessions += 1,
                After::Over => {}
            }
        }
        let (Timing::Closed { users, think, .. }, Some(user)) = (&parts.timing, arrival.user) else { return };
        let think = pause(*think, self.seed, "think", arrival.seq);
        let least = if ok { Nanos::ZERO } else { PAUSE_AFTER_FAILURE };
        let due = at.max(arrival.at + LEAST_GAP) + think.max(least);
        let step = match arrival.session {
            // Session numbers of one user are its own residue class, whoever finishes first.
            Some((session, _)) => Step::Opening { session: session + u64::from(*users) },
            None => Step::Alone,
        };
        self.follow(due, Some(user), step);
    }

    /// Whether no arrival is known and none can follow any request that is still open.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.ahead.is_none() && self.followers.is_empty() && self.awaited == 0
    }

    /// Requests and tokens to expect, for budgets.
    #[must_use]
    pub fn expected(&self) -> Expected {
        expected::of(&self.parts, self.seed)
    }

    /// Lengths that were moved to the workload's bounds so far.
    #[must_use]
    pub fn clipped(&self) -> Clipped {
        self.clipped
    }

    /// Sessions that ended early so far because the conversation would not fit `max_input`.
    #[must_use]
    pub fn cut_sessions(&self) -> u64 {
        self.cut_sessions
    }

    /// End of the load span: every arrival is due before it.
    #[must_use]
    pub fn span(&self) -> Nanos {
        self.parts.span
    }

    /// First requests of closed-loop users, evenly over the ramp-up.
    fn admit_users(&mut self) {
        let Timing::Closed { users, ramp_up, .. } = self.parts.timing else { return };
        let shard = self.shard;
        for user in (0..users).filter(|&user| u64::from(user) % shard.of == shard.index) {
            let at = u128::from(ramp_up.0) * u128::from(user) / u128::from(users);
            let at = Nanos(u64::try_from(at).expect("a share of a u64"));
            let step = if self.parts.sessions.is_some() { Step::Opening { session: u64::from(user) } } else { Step::Alone };
            self.follow(at, Some(user), step);
        }
    }

    /// The next arrival of an open loop that belongs to this shard.
    fn look_ahead(&mut self) {
        for _ in 0..self.shard.of {
            self.ahead = self.draw();
        }
    }

    /// Draws the next arrival of an open loop, of whichever shard.
    fn draw(&mut self) -> Option<Recorded> {
        // Where a rate touches zero, Λ is flat and its numerical inverse may fall by microseconds: instants are kept in order here.
        let earliest = self.drawn_until;
        let next = match (&self.parts.timing, &mut self.source) {
            (Timing::Open { curve, .. }, Source::Open(renewal)) => curve.inverse(renewal.advance()).map(|t| Recorded {
                at: Nanos::from_secs_f64(t).max(earliest),
                lengths: length::Pair { input: 0, output: 0 },
                shared: 0,
            }),
            (Timing::Replay(replay), Source::Replay(cursor)) => replay.advance(cursor, self.seed),
            (Timing::Learnt { model, .. }, Source::Learnt(walk)) => walk.advance(model),
            _ => None,
        }
        .filter(|next| next.at < self.parts.span);
        self.drawn_until = next.map_or(self.parts.span, |next| next.at);
        next
    }

    fn follow(&mut self, at: Nanos, user: Option<u32>, step: Step) {
        if at < self.parts.span {
            self.followers.push(Reverse(Follower { at, order: self.next_order, user, step }));
            self.next_order += 1;
        }
    }

    /// A request that follows no other: lengths drawn by its number, or by its session's.
    fn fresh(&mut self, due: Recorded, user: Option<u32>, session: Option<u64>) -> Arrival {
        let parts = &self.parts;
        let (seed, index) = match session {
            None => (self.seed, self.seq()),
            Some(session) => (self.seed.child("session", session), 0),
        };
        let has_own_row = parts.lengths.is_own_row();
        let pair = parts.lengths.draw(seed, index, has_own_row.then_some(due.lengths), &mut self.clipped);
        let (shared, prefix_group) = parts.prefix(self.seed, session.unwrap_or(self.seq()), pair.input);
        Arrival {
            seq: self.seq(),
            at: due.at,
            phase: parts.phase(due.at),
            input_tokens: pair.input,
            output_tokens: pair.output,
            // A replayed row shares what the recording says it shared, unless the scenario asks for more.
            shared_tokens: if has_own_row { shared.max(due.shared.min(pair.input)) } else { shared },
            prefix_group,
            session: session.map(|s| (s, 0)),
            user,
        }
    }

    fn later(&self, follower: Follower, turn: Turn) -> Arrival {
        Arrival {
            seq: self.seq(),
            at: follower.at,
            phase: self.parts.phase(follower.at),
            input_tokens: turn.input_tokens,
            output_tokens: turn.output_tokens,
            shared_tokens: turn.shared_tokens,
            prefix_group: turn.prefix_group,
            session: Some((turn.session, turn.turn)),
            user: follower.user,
        }
    }

    /// Number of the arrival that is being taken.
    fn seq(&self) -> u64 {
        self.shard.number(self.next_seq)
    }

    fn may_be_followed(&self, arrival: &Arrival) -> bool {
        match (arrival.user, &self.parts.sessions, arrival.session) {
            (Some(_), _, _) => true,
            (None, Some(sessions), Some((session, turn))) => turn + 1 < sessions.turns(self.seed, session),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rate::Curve;
    use super::*;
    use crate::base::units::{Rate, Share, TimeSpan};
    use crate::scenario::load::{RateFn, RatePoint, RateStep, TraceFormat, TraceSource, VaryingRate};
    use crate::scenario::workload::{Lengths, Marginal, Prompts, Sessions};
    use crate::workload::length::marginal::below;
    use crate::workload::trace::Row;
    use proptest::prelude::*;

    fn constant(rate: f64) -> RateFn {
        RateFn::Constant(Rate(rate))
    }

    fn source() -> TraceSource {
        TraceSource { path: "trace.csv".into(), format: TraceFormat::Auto, columns: None }
    }

    fn diurnal() -> RateFn {
        let at = |s, rate| RatePoint { at: TimeSpan::secs(s), rate: Rate(rate) };
        RateFn::Varying(VaryingRate::Piecewise {
            points: vec![at(0, 5.0), at(30, 0.0), at(40, 0.0), at(50, 60.0)],
            repeat: Some(TimeSpan::secs(100)),
        })
    }

    fn sine(amplitude: f64) -> RateFn {
        RateFn::Varying(VaryingRate::Sine { mean: Rate(20.0), amplitude: Share(amplitude), period: TimeSpan::secs(60), shift: TimeSpan::secs(7) })
    }

    /// 5,000 rows, 20 a second.
    fn recording() -> Rows {
        let mut stream = Seed(41).stream("recording");
        let rows = (0..5_000_u64)
            .map(|i| Row {
                at: Some(Nanos(i * 50_000_000 + below(&mut stream, 50_000_000))),
                input_tokens: u32::try_from(20 + below(&mut stream, 4_000)).unwrap(),
                output_tokens: u32::try_from(1 + below(&mut stream, 500)).unwrap(),
                blocks: 512 * u32::from(i % 3 == 0),
            })
            .collect();
        Rows { rows, ..Rows::default() }
    }

    fn material() -> Material {
        Material { arrivals: Some(recording()), lengths: Some(recording()), ..Material::default() }
    }

    fn schedule(arrivals: &Arrivals, workload: &Workload, period_s: u64, seed: u64) -> Schedule {
        Schedule::for_demand(arrivals, workload, Nanos::from_secs(period_s), 1.0, &material(), Seed(seed)).unwrap()
    }

    fn all(mut schedule: Schedule) -> Vec<Arrival> {
        let arrivals: Vec<Arrival> = std::iter::from_fn(|| schedule.pop()).collect();
        assert!(schedule.is_exhausted() && schedule.peek_at().is_none());
        arrivals
    }

    /// Arrivals, and open requests at each, of an endpoint that needs `answer` for each request and fails where `ok` says so.
    fn driven(schedule: &mut Schedule, answer: impl Fn(&Arrival) -> Nanos, ok: impl Fn(&Arrival) -> bool) -> Vec<(Arrival, usize)> {
        let mut open: Vec<(Nanos, Arrival)> = Vec::new();
        let mut seen = Vec::new();
        while !schedule.is_exhausted() {
            let soonest = open.iter().enumerate().min_by_key(|(_, (at, a))| (*at, a.seq)).map(|(i, &(at, _))| (i, at));
            match (schedule.peek_at(), soonest) {
                (Some(due), completion) if completion.is_none_or(|(_, at)| due < at) => {
                    let arrival = schedule.pop().unwrap();
                    assert_eq!(arrival.at, due);
                    open.push((due + answer(&arrival), arrival));
                    seen.push((arrival, open.len()));
                }
                (_, Some((i, at))) => {
                    let (_, arrival) = open.swap_remove(i);
                    schedule.completed(&arrival, at, ok(&arrival));
                }
                (None, None) => panic!("neither arrivals nor open requests, and yet not exhausted"),
                (Some(_), None) => unreachable!("taken above"),
            }
        }
        seen
    }

    fn fixed_lengths(input: u32, output: u32) -> Workload {
        Workload { lengths: Lengths::Independent { input: Marginal::Fixed(input), output: Marginal::Fixed(output) }, ..Workload::default() }
    }

    fn with_sessions(workload: Workload, turns: Marginal, think_ms: u64) -> Workload {
        Workload { sessions: Some(Sessions { turns, think: TimeSpan::millis(think_ms) }), ..workload }
    }

    fn empirical() -> Workload {
        Workload { lengths: Lengths::Empirical { trace: None }, ..Workload::default() }
    }

    #[test]
    fn constant_arrivals_are_exactly_spaced() {
        let arrivals = all(schedule(&Arrivals::Constant { rate: constant(8.0) }, &Workload::default(), 60, 1));
        assert_eq!(arrivals.len(), 480);
        for (k, arrival) in arrivals.iter().enumerate() {
            assert_eq!((arrival.seq, arrival.at.0), (k as u64, 62_500_000 + k as u64 * 125_000_000));
        }
    }

    /// forall rate, family: instants never fall, numbers count up, all lie in the span, and their count is Λ(span) within 4 sigma
    #[test]
    fn open_loops_keep_their_rate() {
        let rates = [constant(30.0), diurnal(), sine(1.0)];
        for rate in rates {
            let expected = Curve::new(&rate, 1.0).unwrap().cumulative(500.0);
            let families = [
                (Arrivals::Constant { rate: rate.clone() }, 0.0),
                (Arrivals::Poisson { rate: rate.clone() }, 1.0),
                (Arrivals::Gamma { rate: rate.clone(), cv: 3.0 }, 3.0),
                (Arrivals::Weibull { rate: rate.clone(), cv: 0.4 }, 0.4),
            ];
            for (arrivals, cv) in families {
                let found = all(schedule(&arrivals, &Workload::default(), 500, 6));
                assert!(found.is_sorted_by_key(|a| a.at), "{arrivals:?}");
                assert!(found.iter().all(|a| a.at < Nanos::from_secs(500)), "{arrivals:?}");
                assert!(found.iter().enumerate().all(|(i, a)| a.seq == i as u64));
                // Variance of a renewal count: cv^2 a unit of operational time.
                let sigma = cv * expected.sqrt();
                assert!((found.len() as f64 - expected).abs() <= 4.0 * sigma + 1.0, "{arrivals:?}: {} instead of {expected}", found.len());
            }
        }
    }

    /// Λ(t_i) of a Poisson process on any rate function has exponential gaps (time rescaling theorem).
    #[test]
    fn rescaled_gaps_of_a_varying_poisson_process_are_exponential() {
        for rate in [constant(30.0), diurnal(), sine(1.0)] {
            let curve = Curve::new(&rate, 1.0).unwrap();
            let found = all(schedule(&Arrivals::Poisson { rate }, &Workload::default(), 1_000, 2));
            let mass: Vec<f64> = found.iter().map(|a| curve.cumulative(a.at.as_secs_f64())).collect();
            let mut gaps: Vec<f64> = mass.windows(2).map(|w| w[1] - w[0]).collect();
            gaps.sort_by(f64::total_cmp);
            let n = gaps.len() as f64;
            let distance = gaps.iter().enumerate().map(|(i, &x)| (-(-x).exp_m1() - (i as f64 + 0.5) / n).abs() + 0.5 / n).fold(0.0, f64::max);
            assert!(distance <= 1.63 / n.sqrt(), "KS {distance} of {n} gaps");
        }
    }

    #[test]
    fn phases_follow_the_instants() {
        let phases = Phases { warmup: Nanos::from_secs(5), span: Nanos::from_secs(15) };
        let parts = Parts::new(&Arrivals::Constant { rate: constant(10.0) }, &Workload::default(), phases, 1.0, &Material::default()).unwrap();
        let found = all(Schedule::start(Arc::new(parts), Seed(1), Shard::WHOLE));
        assert_eq!(found.iter().filter(|a| a.phase == Phase::Warmup).count(), 50);
        assert_eq!(found.iter().filter(|a| a.phase == Phase::Measure).count(), 100);
    }

    #[test]
    fn a_replayed_row_keeps_its_lengths_and_its_shared_prefix() {
        let arrivals = Arrivals::Trace { trace: source(), time_scale: 2.0, rate_scale: 1.0 };
        let found = all(schedule(&arrivals, &empirical(), 60, 1));
        let rows = recording().rows;
        assert_eq!(found.len(), rows.iter().filter(|r| r.at.unwrap() < Nanos::from_secs(120)).count());
        for (arrival, row) in found.iter().zip(&rows) {
            assert!((arrival.at.0 as f64 - row.at.unwrap().0 as f64 / 2.0).abs() <= 1.0);
            assert_eq!((arrival.input_tokens, arrival.output_tokens), (row.input_tokens, row.output_tokens));
            assert_eq!(arrival.shared_tokens, row.blocks.min(row.input_tokens));
        }
        assert_eq!(schedule(&arrivals, &empirical(), 9_999, 1).expected().requests, 5_000.0, "a trace shorter than the span just ends");
    }

    #[test]
    fn a_closed_loop_never_has_more_requests_open_than_users() {
        let arrivals = Arrivals::Closed { users: 7, think: TimeSpan::millis(30), ramp_up: TimeSpan::secs(2) };
        let mut schedule = schedule(&arrivals, &Workload::default(), 20, 3);
        let seen = driven(&mut schedule, |a| Nanos::from_millis(50 + a.seq % 90), |_| true);
        assert!(seen.iter().all(|(_, open)| *open <= 7) && seen.iter().any(|(_, open)| *open == 7));
        assert!(seen.is_sorted_by_key(|(a, _)| a.at) && seen.iter().all(|(a, _)| a.at < Nanos::from_secs(20)));
        let firsts: Vec<Nanos> = (0..7).map(|u| seen.iter().find(|(a, _)| a.user == Some(u)).unwrap().0.at).collect();
        assert!(firsts.iter().enumerate().all(|(u, at)| *at == Nanos(2_000_000_000 * u as u64 / 7)), "{firsts:?}");
        // Each user: one request per (94.5 + 30) ms on average.
        let expected = 7.0 * 19.1 / 0.1245;
        assert!((seen.len() as f64 / expected - 1.0).abs() < 0.1, "{} instead of {expected}", seen.len());
    }

    #[test]
    fn an_endpoint_that_refuses_at_once_is_not_hammered_by_a_closed_loop() {
        let arrivals = Arrivals::Closed { users: 1, think: TimeSpan::secs(0), ramp_up: TimeSpan::secs(0) };
        let seen = driven(&mut schedule(&arrivals, &Workload::default(), 10, 3), |_| Nanos::ZERO, |_| false);
        assert_eq!(seen.len(), 100);
    }

    #[test]
    fn a_session_sends_the_whole_conversation_with_each_turn() {
        let workload = with_sessions(fixed_lengths(100, 40), Marginal::Uniform { min: 1, max: 5 }, 500);
        let arrivals = Arrivals::Poisson { rate: constant(5.0) };
        let mut schedule = schedule(&arrivals, &workload, 100, 3);
        let seen = driven(&mut schedule, |_| Nanos::from_millis(700), |_| true);
        let sessions = seen.iter().filter(|(a, _)| a.session.unwrap().1 == 0).count();
        assert!((sessions as f64 - 500.0).abs() < 4.0 * 500.0_f64.sqrt());
        for (arrival, _) in &seen {
            let (session, turn) = arrival.session.unwrap();
            assert_eq!((arrival.input_tokens, arrival.output_tokens), (140 * turn + 100, 40));
            assert_eq!(arrival.shared_tokens, 140 * turn);
            if turn > 0 {
                let before = seen.iter().find(|(a, _)| a.session == Some((session, turn - 1))).unwrap().0;
                assert!(arrival.at >= before.at + Nanos::from_millis(700), "the next turn waits for the answer");
            }
        }
        let turns = seen.len() as f64 / sessions as f64;
        assert!((turns - 3.0).abs() < 0.35, "{turns} turns a session; those of the last seconds are cut by the span");
        assert!(seen.iter().enumerate().all(|(i, (a, _))| a.seq == i as u64));
        let expected = schedule.expected();
        assert!(expected.is_guess && (expected.requests / 1_500.0 - 1.0).abs() < 0.05);
        assert!((expected.output_tokens / (1_500.0 * 40.0) - 1.0).abs() < 0.05);
    }

    #[test]
    fn a_session_ends_with_a_failure_or_when_it_would_not_fit() {
        let workload = with_sessions(Workload { max_input: 300, ..fixed_lengths(100, 40) }, Marginal::Fixed(9), 0);
        let arrivals = Arrivals::Constant { rate: constant(1.0) };
        let mut fitting = schedule(&arrivals, &workload, 20, 3);
        let seen = driven(&mut fitting, |_| Nanos::from_millis(1), |_| true);
        assert_eq!((seen.len(), fitting.cut_sessions()), (40, 20), "100, 240, and 380 would not fit");
        let mut failing = schedule(&arrivals, &workload, 20, 3);
        assert_eq!(driven(&mut failing, |_| Nanos::from_millis(1), |_| false).len(), 20);
    }

    #[test]
    fn users_of_a_closed_loop_go_through_sessions_of_their_own() {
        let workload = with_sessions(fixed_lengths(10, 5), Marginal::Fixed(3), 0);
        let arrivals = Arrivals::Closed { users: 4, think: TimeSpan::millis(10), ramp_up: TimeSpan::secs(0) };
        let seen = driven(&mut schedule(&arrivals, &workload, 5, 3), |_| Nanos::from_millis(20), |_| true);
        assert!(seen.iter().all(|(a, open)| *open <= 4 && a.session.unwrap().0 % 4 == u64::from(a.user.unwrap())));
        let turns_of = |session| seen.iter().filter(|(a, _)| a.session.unwrap().0 == session).map(|(a, _)| a.session.unwrap().1).collect::<Vec<_>>();
        assert_eq!((turns_of(0), turns_of(5)), (vec![0, 1, 2], vec![0, 1, 2]));
    }

    /// forall delays: what a session says hangs on its number, not on when answers come
    #[test]
    fn conversations_do_not_depend_on_the_order_of_answers() {
        let lengths = Lengths::Independent { input: Marginal::Exponential { mean: 90.0 }, output: Marginal::Exponential { mean: 50.0 } };
        let workload = with_sessions(Workload { lengths, ..Workload::default() }, Marginal::Uniform { min: 1, max: 6 }, 100);
        let arrivals = Arrivals::Poisson { rate: constant(20.0) };
        let said = |answer: fn(&Arrival) -> Nanos| {
            let mut said: Vec<_> = driven(&mut schedule(&arrivals, &workload, 30, 3), answer, |_| true)
                .iter()
                .filter(|(a, _)| a.session.unwrap().0 < 300)
                .map(|(a, _)| (a.session, a.input_tokens, a.output_tokens, a.shared_tokens))
                .collect();
            said.sort_unstable();
            said
        };
        assert_eq!(said(|_| Nanos::from_millis(5)), said(|a| Nanos::from_millis(a.seq * 7919 % 400)));
    }

    #[test]
    fn shared_prefixes_cover_their_share_and_every_group() {
        let prompts = Prompts { shared_prefix: Share(0.5), prefix_groups: 4, ..Prompts::default() };
        let found = all(schedule(&Arrivals::Poisson { rate: constant(50.0) }, &Workload { prompts, ..fixed_lengths(301, 1) }, 60, 1));
        assert!(found.iter().all(|a| a.shared_tokens == 151));
        let groups: Vec<usize> = (0..4).map(|g| found.iter().filter(|a| a.prefix_group == g).count()).collect();
        assert!(groups.iter().all(|&n| (n as f64 / found.len() as f64 - 0.25).abs() < 0.04), "{groups:?}");
    }

    #[test]
    fn the_rate_factor_multiplies_the_load() {
        let count = |arrivals: &Arrivals| {
            let scaled = Schedule::for_demand(arrivals, &empirical(), Nanos::from_secs(200), 2.5, &material(), Seed(1)).unwrap();
            (scaled.expected().requests, all(scaled).len() as f64)
        };
        for arrivals in [Arrivals::Poisson { rate: constant(20.0) }, Arrivals::Trace { trace: source(), time_scale: 1.0, rate_scale: 1.0 }] {
            let (expected, found) = count(&arrivals);
            assert!((expected / 10_000.0 - 1.0).abs() < 1e-3 && (found / 10_000.0 - 1.0).abs() < 0.04, "{expected} expected, {found} found");
        }
        for factor in [0.0, -1.0, f64::NAN] {
            let fault = Schedule::for_demand(&Arrivals::Poisson { rate: constant(1.0) }, &empirical(), Nanos(1), factor, &material(), Seed(1));
            assert!(matches!(fault, Err(Error::Factor { .. })));
        }
    }

    #[test]
    fn expected_totals_are_met() {
        let found = schedule(&Arrivals::Poisson { rate: constant(40.0) }, &empirical(), 240, 1);
        let expected = found.expected();
        let arrivals = all(found);
        let total = |of: fn(&Arrival) -> u32| arrivals.iter().map(|a| f64::from(of(a))).sum::<f64>();
        assert!(!expected.is_guess && expected.requests == 9_600.0);
        assert!((total(|a| a.input_tokens) / expected.input_tokens - 1.0).abs() < 0.04);
        assert!((total(|a| a.output_tokens) / expected.output_tokens - 1.0).abs() < 0.04);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// forall seed, rate, cv: an open loop's instants never fall, the same seed repeats, and completions change nothing
        #[test]
        fn open_loops_ignore_completions(seed in any::<u64>(), rate in 0.1_f64..200.0, cv in 0.05_f64..5.0) {
            let mut silent = schedule(&Arrivals::Gamma { rate: constant(rate), cv }, &empirical(), 10, seed);
            let mut told = silent.reseeded(Seed(seed));
            let mut last = Nanos::ZERO;
            while let Some(arrival) = silent.pop() {
                prop_assert!(arrival.at >= last);
                last = arrival.at;
                prop_assert_eq!(told.pop(), Some(arrival));
                told.completed(&arrival, arrival.at, false);
            }
            prop_assert!(told.is_exhausted());
        }
    }

    /// forall loads, n: the shards of an open loop together are the whole, arrival by arrival
    #[test]
    fn shards_of_an_open_loop_are_its_arrivals_dealt_out() {
        let chat = with_sessions(fixed_lengths(80, 30), Marginal::Fixed(1), 0);
        for (arrivals, workload) in [
            (Arrivals::Poisson { rate: diurnal() }, empirical()),
            (Arrivals::Gamma { rate: sine(1.0), cv: 2.0 }, fixed_lengths(7, 3)),
            (Arrivals::Trace { trace: source(), time_scale: 1.5, rate_scale: 1.3 }, empirical()),
            (Arrivals::Poisson { rate: constant(10.0) }, chat),
        ] {
            let whole = all(schedule(&arrivals, &workload, 100, 5));
            for n in [1, 2, 3, 16] {
                let mut parts: Vec<Arrival> = schedule(&arrivals, &workload, 100, 5).shards(n).into_iter().flat_map(all).collect();
                parts.sort_unstable_by_key(|a| a.seq);
                assert!(parts == whole, "{n} shards");
            }
        }
    }

    #[test]
    fn shards_of_a_closed_loop_share_its_users_and_repeat_no_number() {
        let arrivals = Arrivals::Closed { users: 7, think: TimeSpan::millis(30), ramp_up: TimeSpan::secs(0) };
        let workload = with_sessions(fixed_lengths(10, 5), Marginal::Fixed(3), 0);
        let parts = schedule(&arrivals, &workload, 5, 3).shards(3);
        let seen: Vec<Vec<Arrival>> =
            parts.into_iter().map(|mut p| driven(&mut p, |_| Nanos::from_millis(20), |_| true).into_iter().map(|s| s.0).collect()).collect();
        let mut numbers: Vec<u64> = seen.iter().flatten().map(|a| a.seq).collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
        for (index, part) in seen.iter().enumerate() {
            assert!(!part.is_empty() && part.iter().all(|a| a.user.unwrap() as usize % 3 == index));
        }
    }

    /// FNV-1a over every field of up to 10,000 arrivals of an endpoint that answers in 300 ms.
    fn fingerprint(arrivals: &Arrivals, workload: &Workload) -> (usize, u64) {
        let seen = driven(&mut schedule(arrivals, workload, 200, 20_240_611), |_| Nanos::from_millis(300), |_| true);
        let words = seen.iter().take(10_000).flat_map(|(a, _)| {
            let (session, turn) = a.session.unwrap_or((u64::MAX, 0));
            [
                a.seq,
                a.at.0,
                u64::from(a.input_tokens),
                u64::from(a.output_tokens),
                u64::from(a.shared_tokens),
                u64::from(a.prefix_group),
                session,
                u64::from(turn),
            ]
        });
        let hash = words.flat_map(u64::to_le_bytes).fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
        (seen.len(), hash)
    }

    /// Whoever changes these changes every recorded run: say so in the change log.
    #[test]
    fn schedules_are_pinned() {
        let gamma = Marginal::Gamma { mean: 400.0, cv: 1.2 };
        let correlated = Lengths::Correlated { input: gamma, output: Marginal::Lognormal { median: 200.0, sigma: 0.7 }, spearman: 0.4 };
        let prompts = Prompts { shared_prefix: Share(0.3), prefix_groups: 5, ..Prompts::default() };
        let chat = with_sessions(fixed_lengths(80, 30), Marginal::Uniform { min: 1, max: 4 }, 2_000);
        let steps = RateFn::Varying(VaryingRate::Steps(vec![
            RateStep { rate: Rate(50.0), hold: TimeSpan::secs(50) },
            RateStep { rate: Rate(0.0), hold: TimeSpan::secs(10) },
            RateStep { rate: Rate(90.0), hold: TimeSpan::secs(1) },
        ]));
        let found = [
            fingerprint(&Arrivals::Constant { rate: constant(60.0) }, &empirical()),
            fingerprint(&Arrivals::Poisson { rate: diurnal() }, &Workload { lengths: correlated, prompts, ..Workload::default() }),
            fingerprint(&Arrivals::Gamma { rate: sine(0.8), cv: 2.0 }, &empirical()),
            fingerprint(&Arrivals::Weibull { rate: steps, cv: 1.5 }, &empirical()),
            fingerprint(&Arrivals::Trace { trace: source(), time_scale: 1.5, rate_scale: 1.3 }, &empirical()),
            fingerprint(&Arrivals::Closed { users: 20, think: TimeSpan::millis(200), ramp_up: TimeSpan::secs(5) }, &empirical()),
            fingerprint(&Arrivals::Poisson { rate: constant(10.0) }, &chat),
        ];
        assert_eq!(found, PINNED, "{found:?}");
    }

    const PINNED: [(usize, u64); 7] = [
        (12_000, 3_132_774_179_878_792_750),
        (3856, 5_580_688_988_628_006_628),
        (4189, 8_276_193_169_420_460_563),
        (14_670, 10_504_839_916_545_788_927),
        (6553, 7_535_941_814_238_613_684),
        (7939, 5_039_605_953_046_907_436),
        (4789, 7_894_246_521_951_387_996),
    ];
}
