//! One replica: continuous batching with prefill budget, batch cap and a key-value cache that is reserved or preempted.

use super::calendar::Calendar;
use super::event::{Detail, EventKind, Offer};
use super::outbox::Sink;
use super::step::{Composition, Law, Segment};
use crate::scenario::endpoint::{EndpointSpec, KvPolicy};
use std::collections::VecDeque;

/// One replica. Time is in nanoseconds; [`Replica::wake`] is the instant at which [`Replica::turn`] is due.
///
/// A request takes a place in the batch and its key-value tokens as soon as both are free, in order of arrival; from then on it is
/// running. Its prompt takes what the decoding sequences leave of the budget of each iteration, again in order of arrival. An iteration
/// that begins at instant t includes what arrived up to and including t.
///
/// Key-value tokens, reserved: input plus output. Preempted: prompt plus one at first, then the context as it grows. A request starts if the
/// cache, at the end of the iteration under way, holds its prompt and the next tokens of the decoding sequences, and the watermark unless
/// it is alone. Before an iteration whose tokens do not fit, the newest sequences go back to the front of the queue, never the last one.
#[derive(Debug)]
pub(super) struct Replica {
    law: Law,
    every_token: bool,
    budget: u64,
    max_batch: usize,
    kv_tokens: u64,
    /// With preemption: tokens of the cache that stay free when a request starts beside others.
    watermark: Option<u64>,
    tokens_per_step: u32,
    queue: usize,
    sequences: Vec<Sequence>,
    free: Vec<u32>,
    /// Accepted and not yet running.
    waiting: VecDeque<u32>,
    /// Running, prompt not complete.
    prompts: VecDeque<u32>,
    /// Prompt tokens that `prompts` still needs.
    prompt_tokens: u64,
    /// Running, prompt complete: by the iteration of the last token.
    decoding: Calendar,
    /// Context tokens of `decoding` at the start of the segment.
    context: u64,
    /// Key-value tokens reserved by running sequences; with preemption by `prompts` alone.
    reserved: u64,
    /// Requests that took a place in the batch.
    started: u64,
    /// Iterations over at the start of the segment.
    iterations: u64,
    segment: Segment,
    wake: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sequence {
    id: u64,
    /// Which of the requests that took a place in the batch.
    number: u64,
    /// While it decodes: the iteration of its last token.
    last: u64,
    /// Prompt tokens, and tokens made before it was preempted.
    input: u32,
    /// Tokens that it still makes after those.
    output: u32,
    /// Prompt tokens that still need prefill.
    prompt_left: u32,
    place: Place,
    /// Its first token was made.
    begun: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Waiting,
    Prompt,
    Decoding,
}

/// Requests running or waiting on one replica at most, whatever the scenario says.
const MAX_OPEN: usize = 1 << 23;

/// Instant of a wake-up that never comes.
pub(super) const NEVER: u64 = u64::MAX;

impl Sequence {
    /// Key-value tokens: the whole prompt and the whole answer.
    fn kv_tokens(&self) -> u64 {
        u64::from(self.input) + u64::from(self.output)
    }

    /// Iterations that it decodes after its prefill, when each makes `tokens` tokens.
    fn steps(&self, tokens: u32) -> u32 {
        if tokens == 1 { self.output - 1 } else { (self.output - 1).div_ceil(tokens) }
    }

    /// Context of a decoding sequence when `iterations` are over.
    fn context_at(&self, iterations: u64, tokens: u32) -> u64 {
        u64::from(self.input) + 1 + u64::from(tokens) * (u64::from(self.steps(tokens)) - (self.last - iterations))
    }

    /// Tokens of its chunk when `iterations` are over.
    fn chunk(&self, iterations: u64, tokens: u32) -> u32 {
        if iterations < self.last { tokens } else { self.output - 1 - tokens * (self.steps(tokens) - 1) }
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
            watermark: (spec.kv_policy == KvPolicy::Preempt).then(|| watermark(spec)),
            tokens_per_step: spec.tokens_per_step.max(1),
            queue: capped(spec.queue),
            sequences: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            prompts: VecDeque::new(),
            prompt_tokens: 0,
            decoding: Calendar::new(),
            context: 0,
            reserved: 0,
            started: 0,
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

    /// Requests that wait, or could if they are preempted, before any other comes.
    pub(super) fn may_wait(&self) -> usize {
        if self.watermark.is_some() { self.open() } else { self.waiting() }
    }

    /// All requests.
    pub(super) fn open(&self) -> usize {
        self.running() + self.waiting()
    }

    /// Takes a request at `now`; false if its queue is full. The caller has turned it up to `now`.
    pub(super) fn offer(&mut self, now: u64, offer: &Offer) -> bool {
        let sequence = Sequence {
            id: offer.id,
            number: 0,
            last: 0,
            input: offer.input_tokens,
            output: offer.output_tokens.max(1),
            // Even a prompt that is cached as a whole needs its last token computed.
            prompt_left: offer.input_tokens.saturating_sub(offer.cached_tokens).max(1),
            place: Place::Waiting,
            begun: false,
        };
        let starts = self.waiting.is_empty() && self.has_room(self.claim(&sequence), self.context_by(now));
        if !starts && self.waiting.len() >= self.queue {
            return false;
        }
        let slot = self.insert(sequence);
        if starts {
            self.start(slot);
            self.changed(now);
        } else {
            self.waiting.push_back(slot);
        }
        true
    }

    /// Does what is due at [`Replica::wake`]: ends an iteration, or a whole segment at once if no single token is asked for.
    pub(super) fn turn(&mut self, out: &mut impl Sink) {
        let at = self.wake;
        if !self.every_token {
            self.close(at, out);
            return;
        }
        let step = self.next_step();
        if step > self.segment.done {
            for sequence in self.sequences.iter().filter(|s| s.place == Place::Decoding) {
                let tokens = sequence.chunk(self.iterations + step, self.tokens_per_step);
                out.push(at, sequence.id, EventKind::Tokens(tokens));
            }
        }
        self.segment.done = step;
        if step == self.segment.len {
            self.close(at, out);
        } else {
            self.wake = self.segment.at(self.next_step());
        }
    }

    /// Whether the request has waited longest of all here: in an overload, the one that loses its patience next.
    pub(super) fn waits_longest(&self, id: u64) -> bool {
        self.waiting.front().is_some_and(|&slot| self.sequences[slot as usize].id == id)
    }

    /// Forgets an open request at `now` and frees all it held; false if it is not here. The iteration under way keeps its duration.
    pub(super) fn cancel(&mut self, now: u64, id: u64) -> bool {
        let first = self.waiting.front().map(|&slot| slot as usize).filter(|_| self.waits_longest(id));
        let Some(index) = first.or_else(|| self.sequences.iter().position(|s| s.place != Place::Free && s.id == id)) else {
            return false;
        };
        let sequence = self.sequences[index];
        let not_this = |slot: &u32| *slot as usize != index;
        match sequence.place {
            Place::Free => return false,
            Place::Waiting if first.is_some() => drop(self.waiting.pop_front()),
            Place::Waiting => self.waiting.retain(not_this),
            Place::Prompt => {
                self.cut_prefill(now, index);
                self.prompts.retain(not_this);
                self.prompt_tokens -= u64::from(sequence.prompt_left);
                self.reserved -= self.claim(&sequence);
            }
            Place::Decoding => {
                self.stop_decoding(now, index);
                self.leave(&sequence);
            }
        }
        self.release(index);
        self.start_waiting(self.context_by(now));
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

    /// Key-value tokens that a sequence needs to start.
    fn claim(&self, sequence: &Sequence) -> u64 {
        if self.watermark.is_some() { u64::from(sequence.input) + 1 } else { sequence.kv_tokens() }
    }

    /// Frees the key-value tokens of a sequence that does not decode any more, beside its context.
    fn leave(&mut self, sequence: &Sequence) {
        if self.watermark.is_none() {
            self.reserved -= sequence.kv_tokens();
        }
    }

    /// Tokens by which the decoding sequences grow in an iteration.
    fn growth(&self) -> u64 {
        self.decoding.len() as u64 * u64::from(self.tokens_per_step)
    }

    /// Context of the decoding sequences at the end of the iteration under way at `now`; looked at with preemption only.
    fn context_by(&self, now: u64) -> u64 {
        if self.watermark.is_none() || self.wake == NEVER || self.begins(now) {
            return self.context;
        }
        let over = self.segment.boundary_from(now).max(self.segment.done);
        self.context + over * self.segment.batch * u64::from(self.tokens_per_step) - self.segment.leaving
    }

    /// Whether a sequence that needs `claim` may start, beside decoding sequences with `context`.
    fn has_room(&self, claim: u64, context: u64) -> bool {
        if self.running() >= self.max_batch {
            return false;
        }
        let taken = match self.watermark {
            None => self.reserved,
            Some(_) if self.running() == 0 => 0,
            Some(watermark) => self.reserved + context + self.growth() + watermark,
        };
        claim <= self.kv_tokens.saturating_sub(taken)
    }

    fn start(&mut self, slot: u32) {
        self.reserved += self.claim(&self.sequences[slot as usize]);
        let sequence = &mut self.sequences[slot as usize];
        sequence.place = Place::Prompt;
        sequence.number = self.started;
        self.started += 1;
        self.prompt_tokens += u64::from(sequence.prompt_left);
        self.prompts.push_back(slot);
    }

    fn start_waiting(&mut self, context: u64) {
        while let Some(&slot) = self.waiting.front() {
            if !self.has_room(self.claim(&self.sequences[slot as usize]), context) {
                break;
            }
            self.waiting.pop_front();
            self.start(slot);
        }
    }

    /// Between two iterations: takes the newest sequences out until the next tokens of the others fit.
    fn preempt(&mut self) {
        while self.running() > 1 && self.reserved + self.context + self.growth() > self.kv_tokens {
            let slot = self.prompts.pop_back().unwrap_or_else(|| self.stop_newest());
            let claim = self.claim(&self.sequences[slot as usize]);
            let sequence = &mut self.sequences[slot as usize];
            if sequence.place == Place::Prompt {
                self.reserved -= claim;
                self.prompt_tokens -= u64::from(sequence.prompt_left);
            }
            sequence.place = Place::Waiting;
            sequence.prompt_left = sequence.input.max(1);
            self.waiting.push_front(slot);
        }
    }

    /// Takes the decoding sequence out that started last; what it made is part of its prompt from now on.
    fn stop_newest(&mut self) -> u32 {
        let decoding = self.sequences.iter_mut().enumerate().filter(|(_, s)| s.place == Place::Decoding);
        let (index, sequence) = decoding.max_by_key(|(_, s)| s.number).expect("more than one sequence runs, and no prompt");
        let slot = u32::try_from(index).expect("an index that came from a u32 slot");
        self.decoding.remove(sequence.last, slot);
        let context = sequence.context_at(self.iterations, self.tokens_per_step);
        self.context -= context;
        let made = u32::try_from(context - u64::from(sequence.input)).expect("fewer than its output tokens, a u32");
        sequence.input += made;
        sequence.output -= made;
        slot
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
        let sequence = self.sequences[index];
        self.decoding.remove(sequence.last, u32::try_from(index).expect("an index that came from a u32 slot"));
        if self.begins(now) {
            self.context -= sequence.context_at(self.iterations, self.tokens_per_step);
        } else {
            self.cut(now);
            self.segment.leaving += sequence.context_at(self.iterations + self.segment.len, self.tokens_per_step);
        }
    }

    /// The end of a segment at `at`: last tokens, first tokens, new sequences, and the next segment.
    fn close(&mut self, at: u64, out: &mut impl Sink) {
        self.iterations += self.segment.len;
        self.context = self.context + self.segment.len * self.segment.batch * u64::from(self.tokens_per_step) - self.segment.leaving;
        self.finish(at, out);
        if self.segment.prefill > 0 {
            self.prefill(at, out);
        }
        if self.watermark.is_some() {
            self.preempt();
        }
        if !self.waiting.is_empty() {
            self.start_waiting(self.context);
        }
        self.form(at);
    }

    fn finish(&mut self, at: u64, out: &mut impl Sink) {
        while let Some(slot) = self.decoding.take(self.iterations) {
            let sequence = self.sequences[slot as usize];
            self.context -= sequence.context_at(self.iterations, self.tokens_per_step);
            self.leave(&sequence);
            self.release(slot as usize);
            out.push(at, sequence.id, EventKind::Done);
        }
    }

    fn prefill(&mut self, at: u64, out: &mut impl Sink) {
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
            self.prompts.pop_front();
            self.begin_decoding(at, slot, out);
        }
    }

    /// The prompt of a sequence is complete: its next token is there.
    fn begin_decoding(&mut self, at: u64, slot: u32, out: &mut impl Sink) {
        let sequence = &mut self.sequences[slot as usize];
        sequence.prompt_left = 0;
        let begun = std::mem::replace(&mut sequence.begun, true);
        let sequence = *sequence;
        if !begun {
            out.push(at, sequence.id, EventKind::FirstToken);
        } else if self.every_token {
            out.push(at, sequence.id, EventKind::Tokens(1));
        }
        if self.watermark.is_some() {
            self.reserved -= self.claim(&sequence);
        }
        if sequence.output == 1 {
            self.leave(&sequence);
            self.release(slot as usize);
            out.push(at, sequence.id, EventKind::Done);
        } else {
            let last = self.iterations + u64::from(sequence.steps(self.tokens_per_step));
            let decoding = &mut self.sequences[slot as usize];
            decoding.place = Place::Decoding;
            decoding.last = last;
            self.context += u64::from(sequence.input) + 1;
            self.decoding.enter(self.iterations, last, slot);
        }
    }

    /// Twice the tokens of context before each of the next `prefill` prompt tokens, summed: `m (2 s + m)` for a part from s to s + m.
    fn prefill_context(&self, prefill: u64) -> u64 {
        let (mut left, mut sum) = (prefill, 0_u64);
        for &slot in &self.prompts {
            let sequence = &self.sequences[slot as usize];
            let part = left.min(u64::from(sequence.prompt_left));
            let before = u64::from(sequence.input.max(1) - sequence.prompt_left);
            sum = sum.saturating_add(part.saturating_mul(2 * before + part));
            left -= part;
            if left == 0 {
                break;
            }
        }
        sum
    }

    /// The segment that begins at `now`; idle if there is nothing to do.
    fn form(&mut self, now: u64) {
        let batch = self.decoding.len() as u64;
        let prefill = self.prompt_tokens.min(self.budget.saturating_sub(batch));
        if batch + prefill == 0 {
            self.wake = NEVER;
            return;
        }
        // An iteration with prompt tokens is a segment of its own.
        let mut len = if prefill > 0 { 1 } else { self.decoding.next(self.iterations).map_or(1, |last| last - self.iterations) };
        if self.watermark.is_some() && self.running() > 1 && batch > 0 {
            // Until the next iteration would not fit.
            len = len.min(self.kv_tokens.saturating_sub(self.reserved + self.context) / self.growth()).max(1);
        }
        let prefill_context = if prefill > 0 && self.law.prefill_grows() { self.prefill_context(prefill) } else { 0 };
        let composition = Composition { batch, prefill, prefill_context, context: self.context, len, iteration: self.iterations };
        self.segment.begin(&self.law, now, composition);
        self.wake = self.segment.at(self.next_step());
    }
}

/// Tokens of the watermark, rounded down.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u64 that is not negative")]
fn watermark(spec: &EndpointSpec) -> u64 {
    (spec.kv_tokens as f64 * spec.kv_watermark.0) as u64
}
