//! The lean driver: jobs in, one small `Ended` a job out. The same results as `virtual_time` to the nanosecond, without records.

use super::endpoint::Endpoint;
use super::event::{Admission, Event, EventKind, Offer, Retry};
use super::virtual_time::Patience;
use crate::base::time::Nanos;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A request to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Due instant, nanoseconds; jobs come in order of it.
    pub at: u64,
    /// Prompt tokens.
    pub input: u32,
    /// Tokens to be produced; 0 counts as 1.
    pub output: u32,
    /// Leading prompt tokens found in the prefix cache.
    pub cached: u32,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// With its last token.
    Ok,
    /// 429, on the last try.
    Throttled,
    /// The client gave up, on the last try.
    TimedOut,
    /// 500: drawn with `error_share`, or larger than the key-value cache.
    Failed,
}

/// A job that is over. Instants are what the client sees, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its index in order of arrival.
    pub job: u32,
    /// When it was due, first of all its tries.
    pub at: u64,
    /// Its first token; `last` if there was none.
    pub first: u64,
    /// Its last token, or when it ended otherwise.
    pub last: u64,
    /// How it ended.
    pub how: How,
}

/// Runs `jobs` (in order of `at`) against the endpoint from instant zero and tells the end of each; the order of the ends is not defined.
/// Stops at once when `ended` answers false. Returns how many jobs were told.
///
/// Without `retry` the ends are those of [`super::virtual_time::run`]. The endpoint is advanced to the last end, as there.
pub fn run(
    jobs: impl Iterator<Item = Job>,
    endpoint: &mut Endpoint,
    patience: Patience,
    retry: Option<Retry>,
    ended: &mut impl FnMut(&Ended) -> bool,
) -> u64 {
    let mut client = Client {
        patience,
        retry,
        network: endpoint.spec().network.nanos().0,
        now: 0,
        end: 0,
        open: 0,
        told: 0,
        slots: Vec::new(),
        free: Vec::new(),
        first_bytes: VecDeque::new(),
        totals: VecDeque::new(),
        later: BinaryHeap::new(),
        put_off: 0,
        ended,
    };
    let mut jobs = jobs.zip(0_u32..).peekable();
    let mut events = Vec::new();
    let mut going = true;
    while going {
        let wake = if client.open > 0 { endpoint.next_wakeup().map(|n| n.0) } else { None };
        let due = jobs.peek().map(|(job, _)| job.at);
        let again = client.later.peek().map(|Reverse(later)| later.at);
        let Some(now) = [wake, due, again, client.deadline()].into_iter().flatten().min() else { break };
        client.now = now.max(client.now);
        endpoint.advance(Nanos(client.now), &mut events);
        for event in events.drain(..) {
            going = going && client.event(event);
        }
        going = going && client.give_up(endpoint);
        while going && client.later.peek().is_some_and(|Reverse(later)| later.at <= client.now) {
            let Some(Reverse(later)) = client.later.pop() else { break };
            going = client.send(endpoint, later.job, later.index, later.tries);
        }
        while going && jobs.peek().is_some_and(|(job, _)| job.at <= client.now) {
            let Some((job, index)) = jobs.next() else { break };
            going = client.send(endpoint, job, index, 0);
        }
    }
    endpoint.advance(Nanos(client.end), &mut events);
    client.told
}

/// The simulated client: open requests, their deadlines, and tries to come.
struct Client<'a, E> {
    patience: Patience,
    retry: Option<Retry>,
    network: u64,
    now: u64,
    end: u64,
    open: usize,
    told: u64,
    /// By id.
    slots: Vec<Open>,
    free: Vec<u32>,
    /// In order of sending, so in order of deadline.
    first_bytes: VecDeque<Ticket>,
    totals: VecDeque<Ticket>,
    later: BinaryHeap<Reverse<Later>>,
    put_off: u64,
    ended: &'a mut E,
}

/// An open try.
#[derive(Clone, Copy, Debug)]
struct Open {
    job: Job,
    index: u32,
    tries: u32,
    first: Option<u64>,
    /// Which use of the slot.
    turn: u32,
}

/// A deadline of one use of a slot.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    sent: u64,
    slot: u32,
    turn: u32,
}

/// A try to come: by instant, then by the order in which it was put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Later {
    at: u64,
    order: u64,
    job: Job,
    index: u32,
    tries: u32,
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
    fn send(&mut self, endpoint: &mut Endpoint, job: Job, index: u32, tries: u32) -> bool {
        let open = Open { job, index, tries, first: None, turn: 0 };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Open { turn: self.slots[slot as usize].turn, ..open };
                slot
            }
            None => {
                self.slots.push(open);
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 requests are open at once")
            }
        };
        self.open += 1;
        let offer = Offer { id: u64::from(slot), input_tokens: job.input, output_tokens: job.output.max(1), cached_tokens: job.cached };
        match endpoint.offer(Nanos(self.now), offer) {
            Admission::Accepted => {
                let ticket = Ticket { sent: self.now, slot, turn: self.slots[slot as usize].turn };
                self.first_bytes.push_back(ticket);
                self.totals.push_back(ticket);
                true
            }
            Admission::Throttled { .. } => self.close(slot, self.now + self.network, How::Throttled),
            Admission::Failed => self.close(slot, self.now + self.network, How::Failed),
        }
    }

    fn event(&mut self, event: Event) -> bool {
        let slot = u32::try_from(event.id).expect("ids are slots");
        match event.kind {
            EventKind::FirstToken => self.slots[slot as usize].first = Some(event.at.0),
            EventKind::Tokens(_) => {}
            EventKind::Done => return self.close(slot, event.at.0, How::Ok),
        }
        true
    }

    fn deadline(&self) -> Option<u64> {
        let first = self.first_bytes.front().map(|t| t.sent.saturating_add(self.patience.first_byte.0));
        let total = self.totals.front().map(|t| t.sent.saturating_add(self.patience.total.0));
        first.into_iter().chain(total).min()
    }

    /// A token that arrives at the very instant of the deadline is in time.
    fn give_up(&mut self, endpoint: &mut Endpoint) -> bool {
        while let Some(ticket) = self.first_bytes.front().copied() {
            let waits = self.is_open(ticket) && self.slots[ticket.slot as usize].first.is_none();
            if waits && ticket.sent.saturating_add(self.patience.first_byte.0) > self.now {
                break;
            }
            self.first_bytes.pop_front();
            if waits && !self.abandon(endpoint, ticket.slot) {
                return false;
            }
        }
        while let Some(ticket) = self.totals.front().copied() {
            let waits = self.is_open(ticket);
            if waits && ticket.sent.saturating_add(self.patience.total.0) > self.now {
                break;
            }
            self.totals.pop_front();
            if waits && !self.abandon(endpoint, ticket.slot) {
                return false;
            }
        }
        true
    }

    fn is_open(&self, ticket: Ticket) -> bool {
        self.slots[ticket.slot as usize].turn == ticket.turn
    }

    fn abandon(&mut self, endpoint: &mut Endpoint, slot: u32) -> bool {
        endpoint.cancel(Nanos(self.now), u64::from(slot));
        self.close(slot, self.now, How::TimedOut)
    }

    fn close(&mut self, slot: u32, at: u64, how: How) -> bool {
        let open = &mut self.slots[slot as usize];
        open.turn = open.turn.wrapping_add(1);
        let open = *open;
        self.free.push(slot);
        self.open -= 1;
        self.end = self.end.max(at);
        let again = if matches!(how, How::Throttled | How::TimedOut) { self.retry.and_then(|r| r.wait(open.tries)) } else { None };
        if let Some(wait) = again {
            self.put_off += 1;
            let later = Later { at: at.saturating_add(wait.0), order: self.put_off, job: open.job, index: open.index, tries: open.tries + 1 };
            self.later.push(Reverse(later));
            return true;
        }
        self.told += 1;
        let first = open.first.unwrap_or(at);
        (self.ended)(&Ended { job: open.index, at: open.job.at, first, last: at, how })
    }
}
