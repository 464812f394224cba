//! Conversations: how many turns a session has, how long its user thinks, and what the next turn sends.

use super::length::marginal::{Error, Marginal};
use super::length::{Clipped, LengthModel, Pair, whole};
use super::replay::Replay;
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::scenario::workload::Sessions;
use rand_distr::{Distribution, Exp1};

/// Turns of a session, at most; keeps the keys of its streams apart.
const MAX_TURNS: u32 = 65_535;

/// Sessions made ready. Everything about a session hangs on its number alone, so the order in which answers come in changes no conversation.
#[derive(Clone, Debug)]
pub struct Conversations {
    turns: Marginal,
    think: Nanos,
}

/// A turn that follows another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The session.
    pub session: u64,
    /// The turn, from 1: the first turn (0) is an arrival of its own.
    pub turn: u32,
    /// The conversation so far and the new question.
    pub input_tokens: u32,
    /// The answer.
    pub output_tokens: u32,
    /// The conversation so far.
    pub shared_tokens: u32,
    /// The shared prefix with which the session began.
    pub prefix_group: u32,
}

/// What a session says so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoFar {
    /// The session.
    pub session: u64,
    /// Its latest turn.
    pub turn: u32,
    /// Tokens of every question and answer up to and including that turn.
    pub tokens: u32,
    /// The shared prefix with which the session began.
    pub prefix_group: u32,
}

/// What may come after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Another turn.
    Turn(Turn),
    /// Nothing: it was the last one.
    Over,
    /// Nothing: the conversation would not fit `max_input`. A shortened one would be another conversation and miss the prefix caches.
    TooLong,
}

impl Conversations {
    /// The sessions that `spec` describes.
    pub fn new(spec: &Sessions) -> Result<Self, Error> {
        Ok(Self { turns: Marginal::new(&spec.turns, None)?, think: spec.think.nanos() })
    }

    /// Turns of a session, at least 1.
    #[must_use]
    pub fn turns(&self, seed: Seed, session: u64) -> u32 {
        whole(self.turns.draw(&mut seed.keyed("turns", session))).clamp(1, MAX_TURNS)
    }

    /// The pause before `turn` of a session: exponential.
    #[must_use]
    pub fn think(&self, seed: Seed, session: u64, turn: u32) -> Nanos {
        pause(self.think, seed.child("session", session), "think", u64::from(turn))
    }

    /// Mean pause.
    #[must_use]
    pub fn mean_think(&self) -> Nanos {
        self.think
    }

    /// What follows `so_far`. `rows`: where arrivals keep their own row, later turns take rows at random.
    #[must_use]
    pub fn after(&self, so_far: SoFar, seed: Seed, lengths: &LengthModel, rows: Option<&Replay>, clipped: &mut Clipped) -> After {
        let turn = so_far.turn + 1;
        if turn >= self.turns(seed, so_far.session) {
            return After::Over;
        }
        let mut moved = *clipped;
        let new = question(so_far.session, turn, seed, lengths, rows, &mut moved);
        let input_tokens = so_far.tokens.saturating_add(new.input);
        if input_tokens > lengths.max_input() {
            return After::TooLong;
        }
        *clipped = moved;
        After::Turn(Turn {
            session: so_far.session,
            turn,
            input_tokens,
            output_tokens: new.output,
            shared_tokens: so_far.tokens,
            prefix_group: so_far.prefix_group,
        })
    }
}

/// The new tokens of one turn.
fn question(session: u64, turn: u32, seed: Seed, lengths: &LengthModel, rows: Option<&Replay>, clipped: &mut Clipped) -> Pair {
    let seed = seed.child("session", session);
    let own = rows.and_then(|r| r.any_lengths(&mut seed.keyed("rows", u64::from(turn))));
    lengths.draw(seed, u64::from(turn), own, clipped)
}

/// An exponential pause of mean `mean`, from stream `name` at `index`.
#[must_use]
pub fn pause(mean: Nanos, seed: Seed, name: &str, index: u64) -> Nanos {
    if mean == Nanos::ZERO {
        return Nanos::ZERO;
    }
    let factor: f64 = Exp1.sample(&mut seed.keyed(name, index));
    Nanos::from_secs_f64(mean.as_secs_f64() * factor)
}
