//! Replicas one at a time, each through a block of jobs: where none has a bearing on another as long as no queue is full.

use super::patient::{NEVER, Patient};
use super::{Ended, How, Job};
use crate::sim::endpoint::Endpoint;
use crate::sim::event::{EventKind, Offer};
use crate::sim::outbox::Sink;
use crate::sim::replica::Replica;
use crate::sim::virtual_time::Patience;

/// Jobs of a lane that are taken together: enough to make the change to the next lane cheap, few enough to stay in the first cache.
const BLOCK: usize = 64;

/// As [`super::run`], for an endpoint with `lanes` replicas for which [`Endpoint::lanes`] holds.
pub(super) fn run<E: FnMut(&Ended) -> bool>(
    jobs: impl Iterator<Item = (Job, u32)>,
    endpoint: &mut Endpoint,
    lanes: usize,
    patience: Patience,
    ended: &mut E,
) -> u64 {
    let network = endpoint.spec().network.nanos().0;
    let teller = Teller { network, told: 0, going: true, ended };
    let mut all = Lanes { lanes: (0..lanes).map(|_| Lane::new(patience)).collect(), teller };
    for (job, index) in jobs {
        if !all.teller.going {
            break;
        }
        let Some(offer) = endpoint.screen(job.offer(0)) else {
            all.teller.tell(index, job.at, NEVER, job.at + network, How::Failed);
            continue;
        };
        let i = endpoint.first_choice();
        let lane = &mut all.lanes[i];
        if lane.taken == lane.room {
            all.flush(endpoint);
            if all.lanes[i].room == 0 {
                all.place(endpoint, i, &job, index, offer);
                continue;
            }
        }
        all.lanes[i].take(Due { at: job.at, index, offer });
    }
    all.flush(endpoint);
    for (i, lane) in all.lanes.iter_mut().enumerate() {
        lane.advance(endpoint.replica(i), NEVER - 1, &mut all.teller);
        endpoint.settle(i, 0);
    }
    all.teller.told
}

struct Lanes<'a, E> {
    lanes: Vec<Lane>,
    teller: Teller<'a, E>,
}

impl<E: FnMut(&Ended) -> bool> Lanes<'_, E> {
    /// Runs every lane through the jobs it took.
    fn flush(&mut self, endpoint: &mut Endpoint) {
        let queue = endpoint.spec().queue as usize;
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            let replica = endpoint.replica(i);
            for k in 0..lane.taken {
                let due = lane.due[k];
                lane.advance(replica, due.at, &mut self.teller);
                let is_accepted = lane.offer(replica, due.at, due.at, due.index, due.offer);
                debug_assert!(is_accepted, "the queue had room for all that were taken");
                if !self.teller.going {
                    return;
                }
            }
            lane.taken = 0;
            lane.room = room(queue, replica);
        }
    }

    /// Offers a job whose first choice may be full to one replica after the other.
    fn place(&mut self, endpoint: &mut Endpoint, first: usize, job: &Job, index: u32, offer: Offer) {
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            lane.advance(endpoint.replica(i), job.at, &mut self.teller);
        }
        for i in (first..self.lanes.len()).chain(0..first) {
            if self.lanes[i].offer(endpoint.replica(i), job.at, job.at, index, offer) {
                self.lanes[i].room = room(endpoint.spec().queue as usize, endpoint.replica(i));
                return;
            }
        }
        self.teller.tell(index, job.at, NEVER, job.at + self.teller.network, How::Throttled);
    }
}

/// How many jobs a replica with a queue for `queue` takes for sure: as many as could wait.
fn room(queue: usize, replica: &Replica) -> usize {
    queue.saturating_sub(replica.may_wait()).min(BLOCK)
}

/// One replica's jobs and clients.
#[derive(Debug)]
struct Lane {
    due: [Due; BLOCK],
    taken: usize,
    /// How many may be taken until the lane has to be run.
    room: usize,
    waiting: Patient<u32>,
}

/// A job on its way to a replica.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: u64,
    index: u32,
    offer: Offer,
}

impl Lane {
    fn new(patience: Patience) -> Self {
        let offer = Offer { id: 0, input_tokens: 0, output_tokens: 1, cached_tokens: 0 };
        Self { due: [Due { at: 0, index: 0, offer }; BLOCK], taken: 0, room: 0, waiting: Patient::new(patience) }
    }

    fn take(&mut self, due: Due) {
        self.due[self.taken] = due;
        self.taken += 1;
    }

    fn offer(&mut self, replica: &mut Replica, now: u64, due: u64, index: u32, offer: Offer) -> bool {
        let slot = self.waiting.take(due, index);
        let is_accepted = replica.offer(now, &Offer { id: slot.into(), ..offer });
        if is_accepted {
            self.waiting.accepted(slot);
        } else {
            self.waiting.free(slot);
        }
        is_accepted
    }

    /// Does everything that is due up to and including `until`.
    fn advance<E: FnMut(&Ended) -> bool>(&mut self, replica: &mut Replica, until: u64, teller: &mut Teller<'_, E>) {
        while teller.going {
            let deadline = self.waiting.deadline(until);
            let next = until.min(deadline);
            while replica.wake() <= next && teller.going {
                replica.turn(&mut Ears { waiting: &mut self.waiting, teller });
            }
            if deadline > until {
                return;
            }
            while let Some(slot) = self.waiting.gives_up(deadline) {
                replica.cancel(deadline, slot.into());
                let was = self.waiting.free(slot);
                teller.tell(was.of, was.sent, was.first, deadline, How::TimedOut);
            }
        }
    }
}

/// Tells the ends.
struct Teller<'a, E> {
    network: u64,
    told: u64,
    going: bool,
    ended: &'a mut E,
}

impl<E: FnMut(&Ended) -> bool> Teller<'_, E> {
    fn tell(&mut self, job: u32, at: u64, first: u64, last: u64, how: How) {
        if self.going {
            self.told += 1;
            self.going = (self.ended)(&Ended { job, at, first: first.min(last), last, how });
        }
    }
}

/// What one lane's clients hear.
struct Ears<'a, 'b, E> {
    waiting: &'a mut Patient<u32>,
    teller: &'a mut Teller<'b, E>,
}

impl<E: FnMut(&Ended) -> bool> Sink for Ears<'_, '_, E> {
    fn push(&mut self, at: u64, id: u64, kind: EventKind) {
        let slot = u32::try_from(id).expect("ids are slots");
        let seen = at.saturating_add(self.teller.network);
        match kind {
            EventKind::FirstToken => self.waiting.first(slot, seen),
            // If it is not in time the client gives up before it sees this.
            EventKind::Done if self.waiting.is_in_time(slot, seen) => {
                let was = self.waiting.free(slot);
                self.teller.tell(was.of, was.sent, was.first, seen, How::Ok);
            }
            EventKind::Tokens(_) | EventKind::Done => {}
        }
    }
}
