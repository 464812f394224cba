//! `Outbox`: events on their way to the client, in order of time, shifted by the network.

use super::event::{Event, EventKind};
use crate::base::time::Nanos;
use std::collections::VecDeque;

/// Where a replica tells what happens.
pub(super) trait Sink {
    /// An event at the instant `at` (nanoseconds) on the endpoint's side of the network.
    fn push(&mut self, at: u64, id: u64, kind: EventKind);
}

/// Events that have happened inside and that the client has not seen yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// In order of time: replicas are advanced in order of time, and the network delays every event alike.
    events: VecDeque<Event>,
    network: u64,
}

impl Outbox {
    /// An empty outbox before a network that takes `network`.
    pub(super) fn new(network: Nanos) -> Self {
        Self { events: VecDeque::new(), network: network.0 }
    }

    /// When the client sees the next event; the network's delay of what happens at `inside` if that is earlier.
    pub(super) fn next(&self, inside: u64) -> u64 {
        let seen = inside.saturating_add(self.network);
        self.events.front().map_or(seen, |e| e.at.0.min(seen))
    }

    /// Moves everything seen up to and including `now` to `out`.
    pub(super) fn deliver(&mut self, now: Nanos, out: &mut Vec<Event>) {
        while self.events.front().is_some_and(|e| e.at <= now) {
            out.extend(self.events.pop_front());
        }
    }

    /// Drops what is on its way to a client that went away.
    pub(super) fn forget(&mut self, id: u64) {
        self.events.retain(|e| e.id != id);
    }
}

impl Sink for Outbox {
    fn push(&mut self, at: u64, id: u64, kind: EventKind) {
        self.events.push_back(Event { at: Nanos(at.saturating_add(self.network)), id, kind });
    }
}
