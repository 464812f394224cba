//! `Live`: the simulator driven by commands and wake-ups with instants; and the thread that feeds it with the real ones.

use crate::base::clock::Clock;
use crate::base::time::Nanos;
use crate::sim::endpoint::Endpoint;
use crate::sim::event::{Admission, Event, EventKind, Offer, State};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use tokio::sync::{mpsc, oneshot};

/// An event on its way to the task that answers the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which of the prompts of one HTTP request, from 0.
    pub choice: u32,
    /// The simulated instant, not the later one at which this is read.
    pub at: Nanos,
    /// What happened.
    pub kind: EventKind,
}

/// What the HTTP side asks of the simulator.
#[derive(Debug)]
pub enum Command {
    /// A new request.
    Open {
        /// The request; its id is unique among open ones.
        offer: Offer,
        /// Which of the prompts of one HTTP request.
        choice: u32,
        /// Where its events go. Unbounded: it holds `output_tokens + 1` entries at most.
        to: mpsc::UnboundedSender<Delivery>,
        /// Where the first answer goes.
        answer: oneshot::Sender<Admission>,
    },
    /// The client went away.
    Cancel {
        /// Of the offer.
        id: u64,
    },
    /// What is the state?
    Look {
        /// Where the answer goes.
        answer: oneshot::Sender<State>,
    },
    /// End: every open request loses its sender.
    Stop,
}

/// The endpoint and the open requests. It knows no clock: a late turn delivers late, with the instants it would have had in time.
#[derive(Debug)]
pub struct Live {
    endpoint: Endpoint,
    open: HashMap<u64, (u32, mpsc::UnboundedSender<Delivery>)>,
    events: Vec<Event>,
}

impl Live {
    /// Nothing open.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, open: HashMap::new(), events: Vec::new() }
    }

    /// When [`Live::turn`] is due.
    #[must_use]
    pub fn next(&self) -> Option<Nanos> {
        self.endpoint.next_wakeup()
    }

    /// Delivers everything up to and including `now`.
    pub fn turn(&mut self, now: Nanos) {
        self.endpoint.advance(now, &mut self.events);
        for event in self.events.drain(..) {
            let Some((choice, to)) = self.open.get(&event.id) else { continue };
            // A receiver that is gone has sent `Cancel`, which is on its way.
            let _ = to.send(Delivery { choice: *choice, at: event.at, kind: event.kind });
            if event.kind == EventKind::Done {
                self.open.remove(&event.id);
            }
        }
    }

    /// Turns to `now`, then does what `command` says.
    pub fn apply(&mut self, now: Nanos, command: Command) {
        self.turn(now);
        match command {
            Command::Open { offer, choice, to, answer } => {
                let admission = self.endpoint.offer(now, offer);
                if admission == Admission::Accepted {
                    self.open.insert(offer.id, (choice, to));
                }
                let _ = answer.send(admission);
            }
            Command::Cancel { id } => {
                if self.open.remove(&id).is_some() {
                    self.endpoint.cancel(now, id);
                }
            }
            Command::Look { answer } => {
                let _ = answer.send(self.endpoint.state());
            }
            Command::Stop => self.open.clear(),
        }
    }
}

/// Turns `live` in real time until [`Command::Stop`] or until every sender is gone. Blocks its thread.
///
/// The thread waits on the channel itself: the kernel's timer is some 0.06 ms late, that of the async runtime 1 ms.
pub(super) fn drive(mut live: Live, commands: &Receiver<Command>, clock: Clock) {
    loop {
        let received = match live.next() {
            Some(at) => commands.recv_timeout(at.since(clock.now()).to_std()),
            None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(command) => live.apply(clock.now(), command),
            Err(RecvTimeoutError::Timeout) => live.turn(clock.now()),
        }
    }
}
