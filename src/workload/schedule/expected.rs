//! How many requests and tokens a schedule will ask for: the sum behind budgets.

use super::parts::{Parts, Timing};
use crate::base::rng::Seed;

/// Closed loops: seconds that an answer is taken to need at least. A fast server, so that a budget errs on the high side.
const ANSWER_S: f64 = 0.01;
/// Closed loops: seconds that a token of an answer is taken to need.
const TOKEN_S: f64 = 0.005;
/// Sessions whose turns are drawn to find their mean.
const SESSIONS_DRAWN: u64 = 2_000;

/// Expected totals of a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expected {
    /// Requests.
    pub requests: f64,
    /// Input tokens of all of them.
    pub input_tokens: f64,
    /// Output tokens of all of them.
    pub output_tokens: f64,
    /// Whether the endpoint's speed decides and the totals are a guess: closed loops (answers taken to need 10 ms and 5 ms a token) and
    /// sessions (taken to finish every turn inside the load span).
    pub is_guess: bool,
}

/// The totals of `parts` under `seed`.
pub(super) fn of(parts: &Parts, seed: Seed) -> Expected {
    let (input, output) = means(parts);
    let span = parts.span.as_secs_f64();
    let turns = Turns::of(parts, seed);
    match &parts.timing {
        Timing::Open { curve, .. } => totals(curve.cumulative(span), input, output, &turns),
        Timing::Learnt { model, .. } => totals(model.mean_rate() * span, input, output, &turns),
        Timing::Replay(replay) => totals(replay.expected(), input, output, &turns),
        Timing::Closed { users, think, ramp_up } => {
            let answer = ANSWER_S + TOKEN_S * output;
            let turn_think = parts.sessions.as_ref().map_or(0.0, |s| s.mean_think().as_secs_f64());
            let session = turns.mean * answer + (turns.mean - 1.0) * turn_think + think.as_secs_f64();
            // A user is active for the span less its wait; the mean wait is half the ramp-up. Each begins at least one session.
            let active = (span - 0.5 * ramp_up.as_secs_f64().min(span)).max(0.0);
            let sessions = f64::from(*users) * (active / session).max(1.0);
            Expected { is_guess: true, ..totals(sessions, input, output, &turns) }
        }
    }
}

/// Moments of the number of turns T: what a growing conversation sends in all.
struct Turns {
    mean: f64,
    /// E[T (T + 1) / 2]: how often a question is sent.
    questions: f64,
    /// E[T (T - 1) / 2]: how often an answer is sent back.
    answers: f64,
    is_guess: bool,
}

impl Turns {
    fn of(parts: &Parts, seed: Seed) -> Self {
        let Some(sessions) = &parts.sessions else { return Self { mean: 1.0, questions: 1.0, answers: 0.0, is_guess: false } };
        let (mut mean, mut squares) = (0.0, 0.0);
        for session in 0..SESSIONS_DRAWN {
            let turns = f64::from(sessions.turns(seed, session));
            mean += turns / SESSIONS_DRAWN as f64;
            squares += turns * turns / SESSIONS_DRAWN as f64;
        }
        Self { mean, questions: 0.5 * (squares + mean), answers: 0.5 * (squares - mean), is_guess: true }
    }
}

fn totals(sessions: f64, input: f64, output: f64, turns: &Turns) -> Expected {
    Expected {
        requests: sessions * turns.mean,
        input_tokens: sessions * (input * turns.questions + output * turns.answers),
        output_tokens: sessions * output * turns.mean,
        is_guess: turns.is_guess,
    }
}

/// Mean input and output tokens of a request.
fn means(parts: &Parts) -> (f64, f64) {
    parts.lengths.mean().unwrap_or_else(|| match &parts.timing {
        Timing::Replay(replay) => crate::workload::length::mean(replay.rows().iter().map(|r| parts.lengths.cut(r.lengths))),
        Timing::Learnt { model, .. } => crate::workload::length::mean(model.lengths.all().map(|r| parts.lengths.cut(r.into()))),
        _ => (0.0, 0.0),
    })
}
