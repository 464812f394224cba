//! The maker: walks the schedule a little ahead of time and encodes requests, so that nothing is built when a request is due.

use super::job::{Completion, Job};
use super::live::Live;
use super::worker::{self, Outlets};
use crate::base::clock::Clock;
use crate::base::time::Nanos;
use crate::protocol::openai::{self, Call};
use crate::scenario::target::Target;
use crate::workload::prompt::PromptBook;
use crate::workload::schedule::{Arrival, Schedule};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// How far ahead requests are encoded. Bounds the memory of encoded requests to this much of the offered rate.
const LOOK_AHEAD: Nanos = Nanos::from_millis(500);

/// How often a waiting maker looks whether the run was stopped.
const STOP_CHECK: Duration = Duration::from_millis(20);

/// What the maker needs to encode a request.
pub(crate) struct Encoder {
    /// The endpoint's dialect.
    pub(crate) target: Target,
    /// The text of prompts.
    pub(crate) book: PromptBook,
}

impl Encoder {
    /// The request of `arrival`.
    pub(crate) fn encode(&self, arrival: &Arrival) -> Call {
        openai::call(&self.target, arrival.output_tokens, &self.book.text(arrival))
    }
}

/// The maker before the run starts: encodes what is due at the very beginning while no clock runs.
pub(crate) struct Maker {
    schedule: Schedule,
    encoder: Encoder,
    jobs: Sender<Job>,
}

impl Maker {
    /// A maker whose first jobs are already in the channel.
    pub(crate) fn prepare(mut schedule: Schedule, encoder: Encoder, jobs: Sender<Job>) -> Self {
        while schedule.peek_at().is_some_and(|at| at <= LOOK_AHEAD) {
            let Some(arrival) = schedule.pop() else { break };
            // A closed channel means that the run is over before it began; the loop below notices.
            let _ = jobs.send(Job { call: encoder.encode(&arrival), arrival });
        }
        Self { schedule, encoder, jobs }
    }

    /// Keeps [`LOOK_AHEAD`] ahead of the clock until the schedule is exhausted or the run is stopped; what was due by then and not yet encoded
    /// is recorded as not sent.
    pub(crate) fn run(mut self, clock: &Clock, live: &Live, completions: &Receiver<Completion>, outlets: &Outlets) {
        self.keep_ahead(clock, live, completions);
        let stopped = clock.now();
        while self.schedule.peek_at().is_some_and(|at| at <= stopped) {
            let Some(arrival) = self.schedule.pop() else { break };
            outlets.finish(&arrival, worker::due(&arrival));
        }
    }

    fn keep_ahead(&mut self, clock: &Clock, live: &Live, completions: &Receiver<Completion>) {
        while !live.is_stopped() && !self.schedule.is_exhausted() {
            while let Ok(done) = completions.try_recv() {
                self.schedule.completed(&done.arrival, done.at, done.ok);
            }
            let now = clock.now();
            let wait = match self.schedule.peek_at() {
                Some(at) if at <= now + LOOK_AHEAD => {
                    if let Some(arrival) = self.schedule.pop() {
                        let job = Job { call: self.encoder.encode(&arrival), arrival };
                        if self.jobs.send(job).is_err() {
                            return;
                        }
                    }
                    continue;
                }
                Some(at) => (at - LOOK_AHEAD).since(now).to_std().min(STOP_CHECK),
                None => STOP_CHECK,
            };
            match completions.recv_timeout(wait) {
                Ok(done) => self.schedule.completed(&done.arrival, done.at, done.ok),
                Err(RecvTimeoutError::Timeout) => {}
                // Cannot be while this thread holds an outlet of its own; a stop ends the loop.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}
