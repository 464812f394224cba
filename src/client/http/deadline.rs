//! When to give up: one timer a request that follows its stages, and is not touched by the pieces of an answer.

use crate::base::clock::Clock;
use crate::base::time::Nanos;
use crate::record::outcome::Outcome;
use crate::scenario::target::Timeouts;
use std::cell::Cell;

/// What a request is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Name, TCP, TLS.
    Connect,
    /// First byte.
    Head,
    /// More of the answer.
    Body,
    /// The end of a stream after `[DONE]`.
    Close,
}

/// Where a request stands; shared by the attempt, which moves it, and the deadline, which watches it.
#[derive(Debug)]
pub(super) struct Progress {
    stage: Cell<Stage>,
    since: Cell<Nanos>,
    pub(super) connect: Cell<Nanos>,
    pub(super) tls: Cell<Nanos>,
    pub(super) is_reused: Cell<bool>,
}

impl Progress {
    pub(super) fn new(now: Nanos) -> Self {
        Self {
            stage: Cell::new(Stage::Connect),
            since: Cell::new(now),
            connect: Cell::new(Nanos::ZERO),
            tls: Cell::new(Nanos::ZERO),
            is_reused: Cell::new(false),
        }
    }

    pub(super) fn enter(&self, stage: Stage, now: Nanos) {
        if self.stage.get() != stage {
            self.stage.set(stage);
            self.since.set(now);
        }
    }

    /// A piece of the answer came; what follows `[DONE]` does not buy more time.
    pub(super) fn touch(&self, now: Nanos) {
        if self.stage.get() == Stage::Body {
            self.since.set(now);
        }
    }
}

/// How long a server may hold a stream open after `[DONE]`.
const CLOSE_LIMIT: Nanos = Nanos::from_secs(1);

/// The limits of every request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    connect: Nanos,
    first_byte: Nanos,
    idle: Nanos,
    close: Nanos,
    total: Nanos,
}

impl Limits {
    pub(super) fn new(timeouts: &Timeouts) -> Self {
        let idle = timeouts.idle.nanos();
        Self {
            connect: timeouts.connect.nanos(),
            first_byte: timeouts.first_byte.nanos(),
            idle,
            close: idle.min(CLOSE_LIMIT),
            total: timeouts.total.nanos(),
        }
    }

    /// The limit of a stage, and the class and words of its end.
    fn of(&self, stage: Stage) -> (Nanos, Outcome, &'static str) {
        match stage {
            Stage::Connect => (self.connect, Outcome::TimeoutConnect, "no connection"),
            Stage::Head => (self.first_byte, Outcome::TimeoutFirstByte, "no first byte of the answer"),
            Stage::Body => (self.idle, Outcome::TimeoutIdle, "silence inside the answer"),
            Stage::Close => (self.close, Outcome::TimeoutIdle, "the stream was held open after its end"),
        }
    }

    /// Ends when the request has run out of time, with the class and the words.
    pub(super) async fn expire(&self, clock: Clock, progress: &Progress, sent: Nanos) -> (Outcome, String) {
        let end = sent + self.total;
        let shortest = self.first_byte.min(self.idle).min(self.close);
        loop {
            let now = clock.now();
            let (limit, outcome, words) = self.of(progress.stage.get());
            let stage_end = progress.since.get() + limit;
            if now >= stage_end {
                return (outcome, format!("{words} within {limit}"));
            }
            if now >= end {
                return (Outcome::TimeoutTotal, format!("not complete within {}", self.total));
            }
            // A later stage starts after `now` and lasts at least `shortest`, so its end cannot be missed.
            let wake = stage_end.min(end).min(now + shortest);
            tokio::time::sleep_until(clock.instant(wake).into()).await;
        }
    }
}
