//! When to give up: every open request of a client has an instant in one list, and one look over the list ends what has run out of time.
//!
//! A request that is answered in time costs a store a piece and no timer of its own.

use crate::base::time::Nanos;
use crate::record::outcome::Outcome;
use crate::scenario::target::Timeouts;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

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

    fn of(&self, stage: Stage) -> Nanos {
        match stage {
            Stage::Connect => self.connect,
            Stage::Head => self.first_byte,
            Stage::Body => self.idle,
            Stage::Close => self.close,
        }
    }

    /// The class and the words of a request that ran out of time in `stage`, or in all.
    fn expired(&self, stage: Stage, is_total: bool) -> (Outcome, String) {
        if is_total {
            return (Outcome::TimeoutTotal, format!("not complete within {}", self.total));
        }
        let (outcome, words) = match stage {
            Stage::Connect => (Outcome::TimeoutConnect, "no connection"),
            Stage::Head => (Outcome::TimeoutFirstByte, "no first byte of the answer"),
            Stage::Body => (Outcome::TimeoutIdle, "silence inside the answer"),
            Stage::Close => (Outcome::TimeoutIdle, "the stream was held open after its end"),
        };
        (outcome, format!("{words} within {}", self.of(stage)))
    }
}

/// No request is open here.
const IDLE: Nanos = Nanos::MAX;

/// The instants at which the open requests of one client run out of time.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    ends: RefCell<Vec<Nanos>>,
    wakers: RefCell<Vec<Option<Waker>>>,
    /// The class with which everything open ends.
    cut: Cell<Option<Outcome>>,
    /// Instant of the last look: what polls a request need not ask the clock.
    swept: Cell<Nanos>,
}

impl Deadlines {
    /// Wakes every request whose time is up at `now`.
    pub(super) fn sweep(&self, now: Nanos) {
        self.swept.set(now.max(self.swept.get()));
        let cut = self.cut.get().is_some();
        for (end, waker) in self.ends.borrow().iter().zip(self.wakers.borrow().iter()) {
            if *end != IDLE
                && (cut || *end <= now)
                && let Some(waker) = waker
            {
                waker.wake_by_ref();
            }
        }
    }

    /// Ends everything that is open, and all that is begun later, as `outcome`.
    pub(super) fn cut(&self, outcome: Outcome) {
        self.cut.set(Some(outcome));
        self.sweep(Nanos::ZERO);
    }
}

/// Where a request stands; one for each connection, used again for every request on it.
#[derive(Debug)]
pub(super) struct Progress {
    deadlines: Rc<Deadlines>,
    index: usize,
    limits: Limits,
    stage: Cell<Stage>,
    total_end: Cell<Nanos>,
    pub(super) connect: Cell<Nanos>,
    pub(super) tls: Cell<Nanos>,
    pub(super) stream_wait: Cell<Nanos>,
    pub(super) is_reused: Cell<bool>,
}

impl Progress {
    pub(super) fn new(deadlines: &Rc<Deadlines>, limits: Limits) -> Self {
        let index = deadlines.ends.borrow().len();
        deadlines.ends.borrow_mut().push(IDLE);
        deadlines.wakers.borrow_mut().push(None);
        Self {
            deadlines: Rc::clone(deadlines),
            index,
            limits,
            stage: Cell::new(Stage::Connect),
            total_end: Cell::new(IDLE),
            connect: Cell::new(Nanos::ZERO),
            tls: Cell::new(Nanos::ZERO),
            stream_wait: Cell::new(Nanos::ZERO),
            is_reused: Cell::new(false),
        }
    }

    /// A request begins.
    pub(super) fn begin(&self, now: Nanos) {
        self.total_end.set(now + self.limits.total);
        self.connect.set(Nanos::ZERO);
        self.tls.set(Nanos::ZERO);
        self.stream_wait.set(Nanos::ZERO);
        self.is_reused.set(false);
        self.stage.set(Stage::Connect);
        self.set_end(now);
    }

    /// The request has ended.
    pub(super) fn end(&self) {
        self.deadlines.ends.borrow_mut()[self.index] = IDLE;
    }

    pub(super) fn enter(&self, stage: Stage, now: Nanos) {
        if self.stage.get() != stage {
            self.stage.set(stage);
            self.set_end(now);
        }
    }

    /// A piece of the answer came; what follows `[DONE]` does not buy more time.
    pub(super) fn touch(&self, now: Nanos) {
        if self.stage.get() == Stage::Body {
            self.set_end(now);
        }
    }

    /// The class with which everything ends, if it was cut.
    pub(super) fn cut(&self) -> Option<Outcome> {
        self.deadlines.cut.get()
    }

    /// Who is to be woken when the time is up.
    pub(super) fn watch(&self, waker: &Waker) {
        let mut wakers = self.deadlines.wakers.borrow_mut();
        let known = &mut wakers[self.index];
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// The class and the words if everything was cut, or if the time was up at the last look.
    pub(super) fn expired(&self) -> Option<(Outcome, String)> {
        if let Some(outcome) = self.deadlines.cut.get() {
            return Some((outcome, "stopped".to_owned()));
        }
        let now = self.deadlines.swept.get();
        let is_over = self.deadlines.ends.borrow()[self.index] <= now;
        is_over.then(|| self.limits.expired(self.stage.get(), self.total_end.get() <= now))
    }

    fn set_end(&self, now: Nanos) {
        let end = (now + self.limits.of(self.stage.get())).min(self.total_end.get());
        self.deadlines.ends.borrow_mut()[self.index] = end;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
        self.deadlines.wakers.borrow_mut()[self.index] = None;
    }
}
