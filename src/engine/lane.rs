//! A lane: one thread, one runtime, its own part of the schedule, connections, histograms and log buffer. Lanes share nothing but a few counters.
//!
//! Everything a lane does happens on its thread, so that a request which follows an answer (a closed loop, a session) is sent by the very task that
//! saw the answer end, without a hand-over. The bound on requests in flight is the one number that lanes agree on.

use super::ahead::{Ahead, Job};
use super::live::Live;
use super::selfcheck::LoopLag;
use super::sink::Sink;
use super::timer::Timer;
use crate::base::clock::Clock;
use crate::base::time::Nanos;
use crate::client::auth::TokenFeed;
use crate::client::http::{Client, Identity};
use crate::measure::histogram::Histogram;
use crate::measure::recorder::Recorder;
use crate::record::outcome::Outcome;
use crate::record::request::RequestRecord;
use crate::workload::schedule::Arrival;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

/// How everything that is still open must end; told to the lanes by the thread that watches the run.
#[derive(Debug, Default)]
pub(crate) struct Cut(AtomicU8);

impl Cut {
    const UNFINISHED: u8 = 1;
    const CANCELLED: u8 = 2;

    /// The drain is over.
    pub(crate) fn unfinished(&self) {
        let _ = self.0.compare_exchange(0, Self::UNFINISHED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Somebody stopped the run.
    pub(crate) fn cancelled(&self) {
        let _ = self.0.compare_exchange(0, Self::CANCELLED, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.0.load(Ordering::Relaxed) {
            Self::UNFINISHED => Some(Outcome::Unfinished),
            Self::CANCELLED => Some(Outcome::Cancelled),
            _ => None,
        }
    }
}

/// What a lane shares with others.
#[derive(Clone)]
pub(crate) struct Shared {
    /// Counters, and the wish to stop.
    pub(crate) live: Arc<Live>,
    /// The order to end.
    pub(crate) cut: Arc<Cut>,
    /// Tokens renewed during the run.
    pub(crate) tokens: Arc<TokenFeed>,
    /// Requests in flight over all lanes, at most.
    pub(crate) max_in_flight: u32,
}

/// What a lane leaves behind.
pub(crate) struct LaneReport {
    /// Delay of its event loop.
    pub(crate) lag: LoopLag,
    /// One message for each class of failure it met.
    pub(crate) examples: Vec<(Outcome, String)>,
    /// Who answered.
    pub(crate) identity: Identity,
    /// What it measured.
    pub(crate) recorder: Recorder,
    /// Waits for a stream inside the client, over HTTP/2.
    pub(crate) waits: Option<Histogram>,
}

/// The record of an arrival before anything happened to it.
pub(crate) fn due(record: &mut RequestRecord, arrival: &Arrival) {
    record.restart(arrival.seq, arrival.phase, arrival.at, arrival.input_tokens, arrival.output_tokens);
    record.session = arrival.session;
}

/// A connection's place: the job it is given next, and how to wake it.
#[derive(Default)]
struct Slot {
    job: Cell<Option<Job>>,
    waker: RefCell<Option<Waker>>,
    /// Its task sleeps; otherwise it is the one that runs, and looks for a job before it does.
    is_asleep: Cell<bool>,
}

impl Slot {
    fn give(&self, job: Job) {
        self.job.set(Some(job));
        if self.is_asleep.replace(false)
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }

    fn poll_job(&self, cx: &mut Context<'_>) -> Poll<Job> {
        if let Some(job) = self.job.take() {
            return Poll::Ready(job);
        }
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *known = Some(cx.waker().clone());
        }
        self.is_asleep.set(true);
        Poll::Pending
    }
}

/// The state of a lane; its tasks are `pacer::pace`, `pacer::tick` and one for each connection.
pub(crate) struct Lane {
    pub(super) clock: Clock,
    pub(super) shared: Shared,
    pub(super) client: Rc<Client>,
    pub(super) ahead: RefCell<Ahead>,
    pub(super) sink: RefCell<Sink>,
    pub(super) lag: RefCell<LoopLag>,
    /// Fires shortly before the next arrival.
    pub(super) timer: Timer,
    /// No new arrivals.
    pub(super) is_stopped: Cell<bool>,
    /// Connections without a request, the last one used on top.
    idle: RefCell<Vec<Rc<Slot>>>,
    open: Cell<u32>,
    /// For records of requests that were not sent.
    unsent: RefCell<RequestRecord>,
    nudge: RefCell<Option<Waker>>,
    is_nudged: Cell<bool>,
    /// The log cannot be encoded: the run ends with this.
    fault: RefCell<Option<io::Error>>,
}

impl Lane {
    pub(crate) fn new(clock: Clock, shared: Shared, client: Client, ahead: Ahead, sink: Sink) -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            clock,
            shared,
            client: Rc::new(client),
            ahead: RefCell::new(ahead),
            sink: RefCell::new(sink),
            lag: RefCell::new(LoopLag::new()),
            timer: Timer::new(clock)?,
            is_stopped: Cell::new(false),
            idle: RefCell::default(),
            open: Cell::new(0),
            unsent: RefCell::new(RequestRecord::due(0, crate::record::request::Phase::Measure, Nanos::ZERO, 0, 0)),
            nudge: RefCell::default(),
            is_nudged: Cell::new(false),
            fault: RefCell::default(),
        }))
    }

    /// Releases everything that is due at `now`.
    pub(super) fn turn(self: &Rc<Self>, now: Nanos) {
        while !self.is_stopped.get() {
            let Some(job) = self.ahead.borrow_mut().take_due(now) else { return };
            self.release(job);
        }
    }

    /// Everything has been sent or will not be, and nothing is open.
    pub(super) fn is_over(&self) -> bool {
        self.open.get() == 0 && (self.is_stopped.get() || self.ahead.borrow().is_exhausted())
    }

    /// No new arrivals; what was due by now and not sent is recorded as `outcome`.
    pub(super) fn stop(&self, now: Nanos, outcome: Outcome) {
        if self.is_stopped.replace(true) {
            return;
        }
        let late = self.ahead.borrow_mut().overdue(now);
        for arrival in late {
            self.unsent(&arrival, outcome);
        }
        self.nudge();
    }

    /// Waits until the timer fires or somebody nudges.
    pub(super) async fn rest(&self) -> io::Result<()> {
        poll_fn(|cx| {
            if self.is_nudged.take() {
                return Poll::Ready(Ok(()));
            }
            let mut known = self.nudge.borrow_mut();
            if !known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *known = Some(cx.waker().clone());
            }
            self.timer.poll_fired(cx)
        })
        .await
    }

    /// What the lane leaves behind; every task but the caller's must have gone.
    pub(crate) fn finish(self: Rc<Self>) -> io::Result<LaneReport> {
        let now = self.clock.now();
        let (examples, identity) = (self.client.examples(), self.client.identity());
        let lane = Rc::into_inner(self).ok_or_else(|| io::Error::other("a connection outlived its lane"))?;
        if let Some(fault) = lane.fault.into_inner() {
            return Err(fault);
        }
        let (recorder, waits) = lane.sink.into_inner().finish(now);
        Ok(LaneReport { lag: lane.lag.into_inner(), examples, identity, recorder, waits })
    }

    fn release(self: &Rc<Self>, job: Job) {
        let in_flight = &self.shared.live.in_flight;
        if in_flight.fetch_add(1, Ordering::Relaxed) >= self.shared.max_in_flight {
            in_flight.fetch_sub(1, Ordering::Relaxed);
            return self.unsent(&job.arrival, Outcome::Shed);
        }
        self.open.set(self.open.get() + 1);
        self.sink.borrow_mut().sent();
        let slot = self.idle.borrow_mut().pop();
        if let Some(slot) = slot {
            slot.give(job);
        } else {
            let slot = Rc::new(Slot::default());
            slot.job.set(Some(job));
            tokio::task::spawn_local(Self::serve(Rc::clone(self), slot));
        }
    }

    /// The task of one connection.
    async fn serve(self: Rc<Self>, slot: Rc<Slot>) {
        let mut line = self.client.line();
        let mut record = RequestRecord::due(0, crate::record::request::Phase::Measure, Nanos::ZERO, 0, 0);
        loop {
            let job = poll_fn(|cx| slot.poll_job(cx)).await;
            due(&mut record, &job.arrival);
            line.execute(&job.call, &mut record).await;
            drop(job.call);
            self.shared.live.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.open.set(self.open.get() - 1);
            self.idle.borrow_mut().push(Rc::clone(&slot));
            self.ended(&job.arrival, &record);
        }
    }

    /// Records an end and sends what follows from it.
    fn ended(self: &Rc<Self>, arrival: &Arrival, record: &RequestRecord) {
        self.keep(record);
        let next = {
            let mut ahead = self.ahead.borrow_mut();
            ahead.completed(arrival, record.closed, record.is_ok());
            ahead.next_at()
        };
        if next.is_some_and(|at| at <= record.closed) {
            self.turn(record.closed);
        }
        // Whoever paces sleeps: it is woken when there is an end to be seen, or something to be done before its timer fires.
        if self.is_over() || self.timer.is_later_than(self.ahead.borrow().next_at()) {
            self.nudge();
        }
    }

    fn unsent(&self, arrival: &Arrival, outcome: Outcome) {
        let mut record = self.unsent.borrow_mut();
        due(&mut record, arrival);
        record.outcome = outcome;
        self.keep(&record);
        let mut ahead = self.ahead.borrow_mut();
        ahead.completed(arrival, record.closed, false);
    }

    fn keep(&self, record: &RequestRecord) {
        if let Err(fault) = self.sink.borrow_mut().take(record) {
            self.fault.borrow_mut().get_or_insert(fault);
            self.shared.live.abort();
        }
    }

    fn nudge(&self) {
        self.is_nudged.set(true);
        if let Some(waker) = &*self.nudge.borrow() {
            waker.wake_by_ref();
        }
    }
}
