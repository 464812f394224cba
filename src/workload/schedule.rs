//! `Schedule`: a seeded state machine that says which request is due when. It knows no clock: its drivers tell it what completed.

mod expected;

pub use expected::Expected;

use super::arrival::{self, Family, Renewal};
use super::length::marginal::{self, below};
use super::length::{self, Clipped, LengthModel, Recordings};
use super::rate::{self, Curve};
use super::replay::{self, Cursor, Recorded, Replay, Scales};
use super::session::{After, Conversations, SoFar, Turn, pause};
use super::trace::Rows;
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::record::request::Phase;
use crate::scenario::experiment::Experiment;
use crate::scenario::load::Arrivals;
use crate::scenario::workload::Workload;
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
    /// Number in order of arrival, from 0.
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
}

/// What does not change while a schedule runs; shared by schedules that differ in the seed only.
#[derive(Debug)]
struct Parts {
    timing: Timing,
    lengths: LengthModel,
    sessions: Option<Conversations>,
    shared_prefix: f64,
    prefix_groups: u32,
    warmup: Nanos,
    span: Nanos,
}

#[derive(Debug)]
enum Timing {
    Open { curve: Curve, family: Family },
    Replay(Replay),
    Closed { users: u32, think: Nanos, ramp_up: Nanos },
}

#[derive(Clone, Debug)]
enum Source {
    Open(Renewal),
    Replay(Cursor),
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
        Ok(Self::start(Arc::new(parts), experiment.seed))
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
        Ok(Self::start(Arc::new(parts), seed))
    }

    /// The same load from its beginning under another seed; shares everything that was prepared, so it costs no more than a few allocations.
    #[must_use]
    pub fn reseeded(&self, seed: Seed) -> Self {
        Self::start(Arc::clone(&self.parts), seed)
    }

    fn start(parts: Arc<Parts>, seed: Seed) -> Self {
        let source = match &parts.timing {
            Timing::Open { family, .. } => Source::Open(Renewal::new(*family, seed)),
            Timing::Replay(_) => Source::Replay(Cursor::default()),
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
        };
        schedule.admit_users();
        schedule.look_ahead();
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
                    self.next_session - 1
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
        for user in 0..users {
            let at = u128::from(ramp_up.0) * u128::from(user) / u128::from(users);
            let at = Nanos(u64::try_from(at).expect("a share of a u64"));
            let step = if self.parts.sessions.is_some() { Step::Opening { session: u64::from(user) } } else { Step::Alone };
            self.follow(at, Some(user), step);
        }
    }

    /// Draws the next arrival of an open loop.
    fn look_ahead(&mut self) {
        self.ahead = match (&self.parts.timing, &mut self.source) {
            (Timing::Open { curve, .. }, Source::Open(renewal)) => curve.inverse(renewal.advance()).map(|t| Recorded {
                at: Nanos::from_secs_f64(t),
                lengths: length::Pair { input: 0, output: 0 },
                shared: 0,
            }),
            (Timing::Replay(replay), Source::Replay(cursor)) => replay.advance(cursor, self.seed),
            _ => None,
        }
        .filter(|next| next.at < self.parts.span);
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
            None => (self.seed, self.next_seq),
            Some(session) => (self.seed.child("session", session), 0),
        };
        let has_own_row = parts.lengths.is_own_row();
        let pair = parts.lengths.draw(seed, index, has_own_row.then_some(due.lengths), &mut self.clipped);
        let (shared, prefix_group) = parts.prefix(self.seed, session.unwrap_or(self.next_seq), pair.input);
        Arrival {
            seq: self.next_seq,
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
            seq: self.next_seq,
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

    fn may_be_followed(&self, arrival: &Arrival) -> bool {
        match (arrival.user, &self.parts.sessions, arrival.session) {
            (Some(_), _, _) => true,
            (None, Some(sessions), Some((session, turn))) => turn + 1 < sessions.turns(self.seed, session),
            _ => false,
        }
    }
}

/// Ends of the phases, from load start.
#[derive(Clone, Copy, Debug)]
struct Phases {
    warmup: Nanos,
    span: Nanos,
}

impl Parts {
    fn new(arrivals: &Arrivals, workload: &Workload, phases: Phases, factor: f64, material: &Material) -> Result<Self, Error> {
        if !(factor.is_finite() && factor > 0.0) {
            return Err(Error::Factor { found: factor });
        }
        let open = |rate, family| Ok::<_, Error>(Timing::Open { curve: Curve::new(rate, factor)?, family });
        let timing = match arrivals {
            Arrivals::Constant { rate } => open(rate, Family::Constant)?,
            Arrivals::Poisson { rate } => open(rate, Family::Exponential)?,
            Arrivals::Gamma { rate, cv } => open(rate, Family::gamma(*cv)?)?,
            Arrivals::Weibull { rate, cv } => open(rate, Family::weibull(*cv)?)?,
            Arrivals::Trace { time_scale, rate_scale, .. } => {
                let scales = Scales { time: *time_scale, rate: rate_scale * factor };
                Timing::Replay(Replay::new(material.arrivals.as_ref(), scales, phases.span)?)
            }
            Arrivals::Closed { users: 0, .. } => return Err(Error::NoUsers),
            Arrivals::Closed { users, think, ramp_up } => {
                let users = length::whole(f64::from(*users) * factor).max(1);
                Timing::Closed { users, think: think.nanos(), ramp_up: ramp_up.nanos() }
            }
        };
        let recordings = Recordings { lengths: material.lengths.as_ref(), input: material.input.as_ref(), output: material.output.as_ref() };
        let rows = if matches!(timing, Timing::Replay(_)) { length::Arrivals::WithRows } else { length::Arrivals::Bare };
        Ok(Self {
            timing,
            lengths: LengthModel::new(workload, recordings, rows)?,
            sessions: workload.sessions.as_ref().map(Conversations::new).transpose().map_err(Error::Turns)?,
            shared_prefix: workload.prompts.shared_prefix.0.clamp(0.0, 1.0),
            prefix_groups: workload.prompts.prefix_groups.max(1),
            warmup: phases.warmup,
            span: phases.span,
        })
    }

    fn phase(&self, at: Nanos) -> Phase {
        if at < self.warmup { Phase::Warmup } else { Phase::Measure }
    }

    fn own_rows(&self) -> Option<&Replay> {
        match &self.timing {
            Timing::Replay(replay) if self.lengths.is_own_row() => Some(replay),
            _ => None,
        }
    }

    /// Shared tokens and prefix group of a request (or session) by its number.
    fn prefix(&self, seed: Seed, key: u64, input: u32) -> (u32, u32) {
        if self.shared_prefix <= 0.0 {
            return (0, 0);
        }
        let shared = length::whole(self.shared_prefix * f64::from(input)).min(input);
        if self.prefix_groups == 1 {
            return (shared, 0);
        }
        let group = below(&mut seed.keyed("prefix", key), u64::from(self.prefix_groups));
        (shared, u32::try_from(group).expect("below a u32"))
    }
}
