//! All replicas together, in order of time: for routing that looks at them, autoscalers and retries.

use super::patient::{NEVER, Patient};
use super::{Ended, How, Job};
use crate::base::time::Nanos;
use crate::sim::endpoint::Endpoint;
use crate::sim::event::{Admission, EventKind, Retry};
use crate::sim::outbox::Sink;
use crate::sim::virtual_time::Patience;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// As [`super::run`].
pub(super) fn run(
    mut jobs: impl Iterator<Item = (Job, u32)>,
    endpoint: &mut Endpoint,
    patience: Patience,
    retry: Option<Retry>,
    ended: &mut impl FnMut(&Ended) -> bool,
) -> u64 {
    let network = endpoint.spec().network.nanos().0;
    let waiting = Patient::new(patience);
    let mut client = Client { waiting, retry, network, end: 0, told: 0, going: true, later: BinaryHeap::new(), put_off: 0, ended };
    let mut next = jobs.next();
    let mut now = 0;
    while client.going {
        let due = next.map_or(NEVER, |(job, _)| job.at);
        let mut target = client.later.peek().map_or(due, |Reverse(later)| later.at.min(due));
        if target == NEVER {
            if client.waiting.open() == 0 {
                break;
            }
            target = endpoint.next_turn();
        }
        now = target.min(client.waiting.deadline(target)).max(now);
        endpoint.advance_into(Nanos(now), &mut client);
        while let Some(slot) = client.waiting.gives_up(now) {
            endpoint.cancel(Nanos(now), u64::from(slot));
            client.close(slot, now, How::TimedOut);
        }
        while client.going && client.later.peek().is_some_and(|Reverse(later)| later.at <= now) {
            let Some(Reverse(later)) = client.later.pop() else { break };
            client.send(endpoint, now, later.of);
        }
        while let Some((job, index)) = next.filter(|(job, _)| client.going && job.at <= now) {
            client.send(endpoint, now, Try { job, index, number: 0 });
            next = jobs.next();
        }
    }
    let end = client.end;
    endpoint.advance_into(Nanos(end), &mut client);
    client.told
}

/// The simulated clients: open tries, and tries to come.
struct Client<'a, E> {
    waiting: Patient<Try>,
    retry: Option<Retry>,
    network: u64,
    end: u64,
    told: u64,
    going: bool,
    later: BinaryHeap<Reverse<Later>>,
    put_off: u64,
    ended: &'a mut E,
}

/// One try of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Try {
    job: Job,
    index: u32,
    number: u32,
}

/// A try to come: by instant, then by the order in which it was put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Later {
    at: u64,
    order: u64,
    of: Try,
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E: FnMut(&Ended) -> bool> Client<'_, E> {
    fn send(&mut self, endpoint: &mut Endpoint, now: u64, of: Try) {
        let slot = self.waiting.take(now, of);
        match endpoint.offer(Nanos(now), of.job.offer(slot)) {
            Admission::Accepted => self.waiting.accepted(slot),
            Admission::Throttled { .. } => self.close(slot, now + self.network, How::Throttled),
            Admission::Failed => self.close(slot, now + self.network, How::Failed),
        }
    }

    fn close(&mut self, slot: u32, at: u64, how: How) {
        let was = self.waiting.free(slot);
        self.end = self.end.max(at);
        let again = if matches!(how, How::Throttled | How::TimedOut) { self.retry.and_then(|r| r.wait(was.of.number)) } else { None };
        if let Some(wait) = again {
            self.put_off += 1;
            let of = Try { number: was.of.number + 1, ..was.of };
            self.later.push(Reverse(Later { at: at.saturating_add(wait.0), order: self.put_off, of }));
        } else if self.going {
            self.told += 1;
            let first = if was.first <= at { was.first } else { at };
            self.going = (self.ended)(&Ended { job: was.of.index, at: was.of.job.at, first, last: at, how });
        }
    }
}

impl<E: FnMut(&Ended) -> bool> Sink for Client<'_, E> {
    fn push(&mut self, at: u64, id: u64, kind: EventKind) {
        let slot = u32::try_from(id).expect("ids are slots");
        let seen = at.saturating_add(self.network);
        match kind {
            EventKind::FirstToken => self.waiting.first(slot, seen),
            // If it is not in time the client gives up before it sees this.
            EventKind::Done if self.waiting.is_in_time(slot, seen) => self.close(slot, seen, How::Ok),
            EventKind::Tokens(_) | EventKind::Done => {}
        }
    }
}
