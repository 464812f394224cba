//! `Patient`: clients that wait for answers from one place, with their deadlines.

use crate::sim::virtual_time::Patience;
use std::collections::VecDeque;

/// An instant that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// Open tries by slot, and when their clients give up. `T` is what is remembered of each.
#[derive(Debug)]
pub(super) struct Patient<T> {
    first_byte: u64,
    total: u64,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    /// In order of sending, so in order of both deadlines; those that are over are skipped.
    tickets: VecDeque<Ticket>,
    /// How many of them do not wait for a first token any more.
    heard: usize,
    /// At this many tickets, those that are over are thrown away.
    crowded: usize,
}

/// Tickets up to which nothing is thrown away.
const FEW: usize = 256;

/// A try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<T> {
    /// When it was sent, nanoseconds.
    pub(super) sent: u64,
    /// When the client sees its first token; [`NEVER`] until that is known.
    pub(super) first: u64,
    /// What the driver remembers of it.
    pub(super) of: T,
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

impl<T: Copy> Patient<T> {
    /// Nobody waits.
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            first_byte: patience.first_byte.0,
            total: patience.total.0,
            slots: Vec::new(),
            free: Vec::new(),
            tickets: VecDeque::with_capacity(FEW),
            heard: 0,
            crowded: FEW,
        }
    }

    /// Takes a slot for a try sent now; its deadlines are not kept until [`Patient::accepted`].
    pub(super) fn take(&mut self, sent: u64, of: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            let open = &mut self.slots[slot as usize];
            *open = Slot { sent, first: NEVER, of, turn: open.turn };
            return slot;
        }
        self.slots.push(Slot { sent, first: NEVER, of, turn: 0 });
        u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 requests are open at once")
    }

    /// The try in `slot` waits for its answer.
    pub(super) fn accepted(&mut self, slot: u32) {
        let Slot { sent, turn, .. } = self.slots[slot as usize];
        if self.tickets.len() >= self.crowded {
            self.tickets.retain(|t| self.slots[t.slot as usize].turn == t.turn);
            self.heard = 0;
            self.crowded = FEW.max(2 * self.tickets.len());
        }
        self.tickets.push_back(Ticket { sent, slot, turn });
    }

    /// The first token of `slot` will be seen at `seen`.
    pub(super) fn first(&mut self, slot: u32, seen: u64) {
        self.slots[slot as usize].first = seen;
    }

    /// Whether the client still waits when it sees the last token at `seen`. A token at the very instant of a deadline is in time.
    pub(super) fn is_in_time(&self, slot: u32, seen: u64) -> bool {
        let open = &self.slots[slot as usize];
        open.first <= open.sent.saturating_add(self.first_byte) && seen <= open.sent.saturating_add(self.total)
    }

    /// Frees the slot of a try that is over.
    pub(super) fn free(&mut self, slot: u32) -> Slot<T> {
        let open = &mut self.slots[slot as usize];
        let was = *open;
        open.turn = open.turn.wrapping_add(1);
        self.free.push(slot);
        was
    }

    /// How many wait.
    pub(super) fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The first deadline at or before `limit`, or [`NEVER`].
    pub(super) fn deadline(&mut self, limit: u64) -> u64 {
        let mut first = NEVER;
        while let Some(&ticket) = self.tickets.get(self.heard) {
            let at = ticket.sent.saturating_add(self.first_byte);
            if at > limit {
                break;
            }
            if self.waits_for_first(ticket) {
                first = at;
                break;
            }
            self.heard += 1;
        }
        while let Some(&ticket) = self.tickets.front() {
            let at = ticket.sent.saturating_add(self.total);
            if at > limit {
                break;
            }
            if self.is_open(ticket) {
                return first.min(at);
            }
            self.drop_front();
        }
        first
    }

    /// A slot whose client gives up at `now`: those that wait for a first token before those that wait for the last.
    pub(super) fn gives_up(&mut self, now: u64) -> Option<u32> {
        while let Some(&ticket) = self.tickets.get(self.heard) {
            if ticket.sent.saturating_add(self.first_byte) > now {
                break;
            }
            self.heard += 1;
            if self.waits_for_first(ticket) {
                return Some(ticket.slot);
            }
        }
        while let Some(&ticket) = self.tickets.front() {
            if ticket.sent.saturating_add(self.total) > now {
                break;
            }
            self.drop_front();
            if self.is_open(ticket) {
                return Some(ticket.slot);
            }
        }
        None
    }

    fn drop_front(&mut self) {
        self.tickets.pop_front();
        self.heard = self.heard.saturating_sub(1);
    }

    fn is_open(&self, ticket: Ticket) -> bool {
        self.slots[ticket.slot as usize].turn == ticket.turn
    }

    fn waits_for_first(&self, ticket: Ticket) -> bool {
        let open = &self.slots[ticket.slot as usize];
        open.turn == ticket.turn && open.first > ticket.sent.saturating_add(self.first_byte)
    }
}
