//! A lane's part of the schedule, encoded a little before it is due, so that nothing is built when a request must go out.

use crate::base::time::Nanos;
use crate::protocol::openai::{self, Call};
use crate::scenario::target::Target;
use crate::workload::prompt::PromptBook;
use crate::workload::schedule::{Arrival, Schedule};
use std::collections::VecDeque;
use std::sync::Arc;

/// How far ahead requests are encoded.
const LOOK_AHEAD: Nanos = Nanos::from_millis(500);
/// An arrival is encoded at least this long before, if nothing else wakes the lane until then.
const AT_LEAST: Nanos = Nanos::from_millis(250);
/// Bytes of encoded requests, at most (the one that passes it is kept).
const MAX_BYTES: usize = 4 << 20;

/// An arrival with its encoded request.
#[derive(Debug)]
pub(crate) struct Job {
    /// What is due, and when.
    pub(crate) arrival: Arrival,
    /// The bytes to send.
    pub(crate) call: Call,
}

/// What is needed to encode a request; shared, never changed.
pub(crate) struct Encoder {
    /// The endpoint's dialect.
    pub(crate) target: Target,
    /// The text of prompts.
    pub(crate) book: PromptBook,
}

impl Encoder {
    fn encode(&self, arrival: Arrival) -> Job {
        Job { call: openai::call(&self.target, arrival.output_tokens, &self.book.text(&arrival)), arrival }
    }
}

/// Arrivals to come: the next ones encoded, the rest still in the schedule.
pub(crate) struct Ahead {
    schedule: Schedule,
    encoder: Arc<Encoder>,
    /// By instant, then by number.
    ready: VecDeque<Job>,
    bytes: usize,
}

impl Ahead {
    pub(crate) fn new(schedule: Schedule, encoder: Arc<Encoder>) -> Self {
        Self { schedule, encoder, ready: VecDeque::new(), bytes: 0 }
    }

    /// Instant of the next arrival that is known.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        let ready = self.ready.front().map(|job| job.arrival.at);
        match (ready, self.schedule.peek_at()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// When there is something to do next: `lead` before the next encoded arrival, or when another one can be encoded.
    pub(crate) fn wake_at(&self, lead: Nanos) -> Option<Nanos> {
        let send = self.ready.front().map(|job| job.arrival.at - lead);
        let encode = self.schedule.peek_at().filter(|_| self.bytes < MAX_BYTES).map(|at| at - AT_LEAST);
        match (send, encode) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Takes the next arrival that is due at `now`, encoded now if it was not before.
    pub(crate) fn take_due(&mut self, now: Nanos) -> Option<Job> {
        // What was answered a moment ago may call for a request before the ones encoded ahead.
        while let Some(at) = self.schedule.peek_at()
            && at <= now
            && self.ready.front().is_none_or(|job| at < job.arrival.at)
        {
            self.encode_next();
        }
        if self.ready.front()?.arrival.at > now {
            return None;
        }
        let job = self.ready.pop_front()?;
        self.bytes -= job.call.body.len();
        Some(job)
    }

    /// Encodes one more request if one is due soon enough and there is room; says whether it did.
    pub(crate) fn prepare(&mut self, now: Nanos) -> bool {
        let is_soon = self.schedule.peek_at().is_some_and(|at| at <= now + LOOK_AHEAD);
        if is_soon && self.bytes < MAX_BYTES {
            self.encode_next();
            return true;
        }
        false
    }

    /// Reports the end of a request.
    pub(crate) fn completed(&mut self, arrival: &Arrival, at: Nanos, ok: bool) {
        self.schedule.completed(arrival, at, ok);
    }

    /// Nothing is to come, and nothing can follow from what is open.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.ready.is_empty() && self.schedule.is_exhausted()
    }

    /// Takes everything that was due by `stopped`, not encoded, and forgets the rest.
    pub(crate) fn overdue(&mut self, stopped: Nanos) -> Vec<Arrival> {
        let mut late: Vec<Arrival> = self.ready.drain(..).map(|job| job.arrival).filter(|a| a.at <= stopped).collect();
        while self.schedule.peek_at().is_some_and(|at| at <= stopped) {
            late.extend(self.schedule.pop());
        }
        late
    }

    fn encode_next(&mut self) {
        let Some(arrival) = self.schedule.pop() else { return };
        let job = self.encoder.encode(arrival);
        self.bytes += job.call.body.len();
        let key = |job: &Job| (job.arrival.at, job.arrival.seq);
        let place = self.ready.iter().rposition(|before| key(before) <= key(&job)).map_or(0, |i| i + 1);
        self.ready.insert(place, job);
    }
}
