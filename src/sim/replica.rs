//! One replica: continuous batching with prefill budget, batch cap and key-value reservation.

use super::event::{Detail, EventKind, Offer};
use super::outbox::Outbox;
use super::step::{Composition, Law, Segment};
use crate::scenario::endpoint::EndpointSpec;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// One replica. Time is in nanoseconds; [`Replica::wake`] is the instant at which [`Replica::turn`] is due.
///
/// A request reserves a place in the batch and its key-value tokens as soon as both are free, in order of arrival; from then on it is
/// running. Its prompt takes what the decoding sequences leave of the budget of each iteration, again in order of arrival. An iteration
/// that begins at instant t includes what arrived up to and including t.
#[derive(Debug)]
pub(super) struct Replica {
    law: Law,
    every_token: bool,
    budget: u64,
    max_batch: usize,
    kv_tokens: u64,
    queue: usize,
    sequences: Vec<Sequence>,
    free: Vec<u32>,
    /// Accepted and not yet running.
    waiting: VecDeque<u32>,
    /// Running, prompt not complete.
    prompts: VecDeque<u32>,
    /// Prompt tokens that `prompts` still needs.
    prompt_tokens: u64,
    /// Running, prompt complete: `iteration of the last token << SLOT_BITS | slot`, the earliest first.
    decoding: BinaryHeap<Reverse<u64>>,
    /// Context tokens of `decoding` at the start of the segment.
    context: u64,
    /// Key-value tokens reserved by running sequences.
    reserved: u64,
    /// Iterations over at the start of the segment.
    iterations: u64,
    segment: Segment,
    wake: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sequence {
    id: u64,
    input: u32,
    output: u32,
    /// Prompt tokens that still need prefill.
    prompt_left: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Waiting,
    Prompt,
    Decoding,
}

/// Bits of a key of `decoding` that hold the slot; the other 40 count iterations (30 years of iterations of 1 ms).
const SLOT_BITS: u32 = 24;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;

/// Requests open on one replica at most, whatever the scenario says: what a slot number can hold.
const MAX_OPEN: usize = 1 << (SLOT_BITS - 1);

/// Instant of a wake-up that never comes.
pub(super) const NEVER: u64 = u64::MAX;

impl Sequence {
    /// Key-value tokens: the whole prompt and the whole answer.
    fn kv_tokens(&self) -> u64 {
        u64::from(self.input) + u64::from(self.output)
    }

    /// Context when `iterations` are over, for a decoding sequence whose last token comes at iteration `last`.
    fn context_at(&self, iterations: u64, last: u64) -> u64 {
        self.kv_tokens() - (last - iterations)
    }
}

impl Replica {
    /// An idle replica.
    pub(super) fn new(spec: &EndpointSpec, law: Law, detail: Detail) -> Self {
        let capped = |n: u32| usize::try_from(n).map_or(MAX_OPEN, |n| n.min(MAX_OPEN));
        Self {
            law,
            every_token: detail == Detail::Tokens,
            budget: u64::from(spec.prefill_budget.max(1)),
            max_batch: capped(spec.max_batch.max(1)),
            kv_tokens: spec.kv_tokens,
            queue: capped(spec.queue),
            sequences: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            prompts: VecDeque::new(),
            prompt_tokens: 0,
            decoding: BinaryHeap::new(),
            context: 0,
            reserved: 0,
            iterations: 0,
            segment: Segment::default(),
            wake: NEVER,
        }
    }

    /// When [`Replica::turn`] is due; [`NEVER`] if idle.
    pub(super) fn wake(&self) -> u64 {
        self.wake
    }

    /// Sequences with a place in the batch.
    pub(super) fn running(&self) -> usize {
        self.prompts.len() + self.decoding.len()
    }

    /// Requests without a place in the batch.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// All requests.
    pub(super) fn open(&self) -> usize {
        self.running() + self.waiting()
    }

    /// Takes a request at `now`; false if its queue is full. The caller has turned it up to `now`.
    pub(super) fn offer(&mut self, now: u64, offer: &Offer) -> bool {
        let output = offer.output_tokens.max(1);
        let need = u64::from(offer.input_tokens) + u64::from(output);
        let starts = self.waiting.is_empty() && self.has_room(need);
        if !starts && self.waiting.len() >= self.queue {
            return false;
        }
        // Even a prompt that is cached as a whole needs its last token computed.
        let prompt_left = offer.input_tokens.saturating_sub(offer.cached_tokens).max(1);
        let slot = self.insert(Sequence { id: offer.id, input: offer.input_tokens, output, prompt_left, place: Place::Waiting });
        if starts {
            self.start(slot);
            self.changed(now);
        } else {
            self.waiting.push_back(slot);
        }
        true
    }

    /// Does what is due at [`Replica::wake`]: ends an iteration, or a whole segment at once if no single token is asked for.
    pub(super) fn turn(&mut self, out: &mut Outbox) {
        let step = self.next_step();
        let at = self.segment.at(step);
        if self.every_token && step > self.segment.done {
            for Reverse(key) in &self.decoding {
                out.push(at, self.sequences[slot_of(*key)].id, EventKind::Token);
            }
        }
        self.segment.done = step;
        if step == self.segment.len {
            self.close(at, out);
        } else {
            self.wake = self.segment.at(self.next_step());
        }
    }

    /// Forgets an open request at `now` and frees all it held; false if it is not here. The iteration under way keeps its duration.
    pub(super) fn cancel(&mut self, now: u64, id: u64) -> bool {
        let Some(index) = self.sequences.iter().position(|s| s.place != Place::Free && s.id == id) else {
            return false;
        };
        let sequence = self.sequences[index];
        let not_this = |slot: &u32| *slot as usize != index;
        match sequence.place {
            Place::Free => return false,
            Place::Waiting => self.waiting.retain(not_this),
            Place::Prompt => {
                self.cut_prefill(now, index);
                self.prompts.retain(not_this);
                self.prompt_tokens -= u64::from(sequence.prompt_left);
                self.reserved -= sequence.kv_tokens();
            }
            Place::Decoding => {
                self.stop_decoding(now, index);
                self.reserved -= sequence.kv_tokens();
            }
        }
        self.release(index);
        self.start_waiting();
        self.changed(now);
        true
    }

    fn insert(&mut self, sequence: Sequence) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.sequences[slot as usize] = sequence;
            return slot;
        }
        self.sequences.push(sequence);
        u32::try_from(self.sequences.len() - 1).expect("a replica holds at most 2 * MAX_OPEN requests, fewer than 2^32")
    }

    fn release(&mut self, index: usize) {
        self.sequences[index].place = Place::Free;
        self.free.push(u32::try_from(index).expect("an index that came from a u32 slot"));
    }

    fn has_room(&self, need: u64) -> bool {
        self.running() < self.max_batch && need <= self.kv_tokens.saturating_sub(self.reserved)
    }

    fn start(&mut self, slot: u32) {
        let sequence = &mut self.sequences[slot as usize];
        sequence.place = Place::Prompt;
        self.reserved += sequence.kv_tokens();
        self.prompt_tokens += u64::from(sequence.prompt_left);
        self.prompts.push_back(slot);
    }

    fn start_waiting(&mut self) {
        while let Some(&slot) = self.waiting.front() {
            if !self.has_room(self.sequences[slot as usize].kv_tokens()) {
                break;
            }
            self.waiting.pop_front();
            self.start(slot);
        }
    }

    /// The composition changed at `now`: forms the iteration that begins now anew, or lets the segment end at the next boundary.
    fn changed(&mut self, now: u64) {
        if self.wake == NEVER || self.begins(now) {
            self.form(now);
        } else {
            self.cut(now);
            self.wake = self.segment.at(self.next_step());
        }
    }

    /// Whether the segment begins at this instant and nothing of it is over.
    fn begins(&self, now: u64) -> bool {
        self.segment.start == now && self.segment.done == 0
    }

    /// Lets the segment end at the first boundary not before `now`. Durations are whole numbers, so cutting changes no instant.
    fn cut(&mut self, now: u64) {
        self.segment.len = self.segment.len.min(self.segment.boundary_from(now).max(self.segment.done));
    }

    fn next_step(&self) -> u64 {
        if self.every_token { self.segment.len.min(self.segment.done + 1) } else { self.segment.len }
    }

    /// Takes the part of a prompt that goes away out of the iteration under way.
    fn cut_prefill(&mut self, now: u64, index: usize) {
        if self.begins(now) {
            return;
        }
        let mut before = self.segment.prefill;
        for &slot in &self.prompts {
            let share = before.min(u64::from(self.sequences[slot as usize].prompt_left));
            if slot as usize == index {
                self.segment.prefill -= share;
                return;
            }
            before -= share;
        }
    }

    /// Takes a decoding sequence out of the batch; its context counts until the end of the iteration under way.
    fn stop_decoding(&mut self, now: u64, index: usize) {
        let mut last = self.iterations;
        self.decoding.retain(|Reverse(key)| {
            let other = slot_of(*key) != index;
            if !other {
                last = key >> SLOT_BITS;
            }
            other
        });
        let sequence = &self.sequences[index];
        if self.begins(now) {
            self.context -= sequence.context_at(self.iterations, last);
        } else {
            self.cut(now);
            self.segment.leaving += self.sequences[index].context_at(self.iterations + self.segment.len, last);
        }
    }

    /// The end of a segment at `at`: last tokens, first tokens, new sequences, and the next segment.
    fn close(&mut self, at: u64, out: &mut Outbox) {
        self.iterations += self.segment.len;
        self.context = self.context + self.segment.len * self.segment.batch - self.segment.leaving;
        self.finish(at, out);
        self.prefill(at, out);
        self.start_waiting();
        self.form(at);
    }

    fn finish(&mut self, at: u64, out: &mut Outbox) {
        while let Some(&Reverse(key)) = self.decoding.peek() {
            if key >> SLOT_BITS > self.iterations {
                break;
            }
            self.decoding.pop();
            let index = slot_of(key);
            let sequence = self.sequences[index];
            self.context -= sequence.kv_tokens();
            self.reserved -= sequence.kv_tokens();
            self.release(index);
            out.push(at, sequence.id, EventKind::Done);
        }
    }

    fn prefill(&mut self, at: u64, out: &mut Outbox) {
        let mut tokens = self.segment.prefill;
        self.prompt_tokens -= tokens;
        while tokens > 0 {
            let slot = *self.prompts.front().expect("the tokens of an iteration belong to its prompts");
            let index = slot as usize;
            let sequence = &mut self.sequences[index];
            let left = u64::from(sequence.prompt_left);
            if left > tokens {
                sequence.prompt_left -= u32::try_from(tokens).expect("fewer than prompt_left, a u32");
                return;
            }
            tokens -= left;
            sequence.prompt_left = 0;
            let sequence = *sequence;
            self.prompts.pop_front();
            out.push(at, sequence.id, EventKind::FirstToken);
            if sequence.output == 1 {
                self.reserved -= sequence.kv_tokens();
                self.release(index);
                out.push(at, sequence.id, EventKind::Done);
            } else {
                self.sequences[index].place = Place::Decoding;
                self.context += u64::from(sequence.input) + 1;
                let last = self.iterations + u64::from(sequence.output) - 1;
                self.decoding.push(Reverse(last << SLOT_BITS | u64::from(slot)));
            }
        }
    }

    /// The segment that begins at `now`; idle if there is nothing to do.
    fn form(&mut self, now: u64) {
        let batch = self.decoding.len() as u64;
        let prefill = self.prompt_tokens.min(self.budget.saturating_sub(batch));
        let len = self.decoding.peek().map_or(1, |Reverse(key)| (key >> SLOT_BITS) - self.iterations);
        if batch + prefill == 0 {
            self.wake = NEVER;
            return;
        }
        let composition = Composition { batch, prefill, context: self.context, len, iteration: self.iterations };
        self.segment = Segment::new(&self.law, now, composition);
        self.wake = self.segment.at(self.next_step());
    }
}

fn slot_of(key: u64) -> usize {
    (key & SLOT_MASK) as usize
}
