//! The loop: next of arrival, wake-up, timeout; schedule in, records out.

use super::endpoint::{CACHE_BLOCK, Endpoint};
use super::event::{Admission, Detail, Event, EventKind, Offer, Retry, ScaleEvent};
use crate::base::time::Nanos;
use crate::record::outcome::Outcome;
use crate::record::request::{ChunkStamp, RequestRecord, TokenSource, Usage};
use crate::workload::schedule::{Arrival, Schedule};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};

/// Where arrivals come from: `workload::schedule::Schedule`, or a list in tests.
pub trait Source {
    /// Due instant of the next known arrival; `None`: nothing is due until a completion is reported, or ever.
    fn peek_at(&self) -> Option<Nanos>;
    /// Takes the next known arrival.
    fn pop(&mut self) -> Option<Arrival>;
    /// Reports that a request ended at `at`; follow-up arrivals may become known, none before `at`.
    fn completed(&mut self, arrival: &Arrival, at: Nanos, ok: bool);
}

impl Source for Schedule {
    fn peek_at(&self) -> Option<Nanos> {
        Self::peek_at(self)
    }
    fn pop(&mut self) -> Option<Arrival> {
        Self::pop(self)
    }
    fn completed(&mut self, arrival: &Arrival, at: Nanos, ok: bool) {
        Self::completed(self, arrival, at, ok);
    }
}

/// When the simulated client gives up, counted from the send instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the last token.
    pub total: Nanos,
    /// For the first token.
    pub first_byte: Nanos,
}

/// What a simulated run leaves beside its records.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// Every change of the number of chunks.
    pub scale: Vec<ScaleEvent>,
    /// Chunk-seconds paid until `end`.
    pub chunk_seconds: f64,
    /// When the last request ended.
    pub end: Nanos,
    /// How many requests there were.
    pub requests: u64,
    /// How many tries there were beyond the first of each request.
    pub retries: u64,
}

/// Runs the schedule against the endpoint in virtual time; `sink` gets one record a request, when its end is known.
///
/// Every request is sent at its intended instant. Records have what a measured run would have, with these limits: `chunks` is filled only
/// with [`Detail::Tokens`]; without it a request cut by `patience.total` counts one output token. Prefix caches are taken to be endless:
/// the shared part of a prompt is cached, in whole blocks of 16 tokens, except for the first request of its group or session.
pub fn run<S: Source>(source: &mut S, endpoint: &mut Endpoint, patience: Patience, sink: &mut dyn FnMut(&RequestRecord)) -> Simulated {
    run_with_retries(source, endpoint, patience, None, sink)
}

/// [`run`] with clients that come back after a 429 or a timeout, see [`Retry`]. There is one record a request: it tells how the last try
/// ended, `sent` is the instant of that try, and latencies count from the intended instant of the first, waits between tries included.
pub fn run_with_retries<S: Source>(
    source: &mut S,
    endpoint: &mut Endpoint,
    patience: Patience,
    retry: Option<Retry>,
    sink: &mut dyn FnMut(&RequestRecord),
) -> Simulated {
    let mut client = Client::new(endpoint, patience, retry);
    let mut events = Vec::new();
    loop {
        let wake = if client.open > 0 { endpoint.next_wakeup() } else { None };
        let due = source.peek_at();
        let again = client.later.peek().map(|Reverse(later)| later.at);
        let Some(now) = [wake, due, again, client.deadline()].into_iter().flatten().min() else { break };
        let now = now.max(client.now);
        client.now = now;
        endpoint.advance(now, &mut events);
        for event in events.drain(..) {
            client.event(event, source, sink);
        }
        // A token that arrives at the very instant of the deadline is in time.
        client.give_up(endpoint, source, sink);
        while client.later.peek().is_some_and(|Reverse(later)| later.at <= now) {
            let Some(Reverse(later)) = client.later.pop() else { break };
            client.retries += 1;
            client.send(later.arrival, (later.cached, later.tries), endpoint, source, sink);
        }
        while source.peek_at().is_some_and(|at| at <= now) {
            let Some(arrival) = source.pop() else { break };
            client.requests += 1;
            let cached = client.cached(&arrival);
            client.send(arrival, (cached, 0), endpoint, source, sink);
        }
    }
    endpoint.advance(client.end, &mut events);
    Simulated {
        scale: endpoint.scale_log().to_vec(),
        chunk_seconds: endpoint.chunk_seconds(client.end),
        end: client.end,
        requests: client.requests,
        retries: client.retries,
    }
}

/// The simulated client: open requests, their deadlines, and the record of the one that just ended.
struct Client {
    now: Nanos,
    end: Nanos,
    requests: u64,
    retries: u64,
    open: usize,
    patience: Patience,
    retry: Option<Retry>,
    detail: Detail,
    network: Nanos,
    reasoning_share: f64,
    /// By id.
    slots: Vec<Open>,
    free: Vec<u32>,
    /// In order of sending, so in order of deadline; those that ended or got their first token are skipped when they come to the front.
    first_bytes: VecDeque<Ticket>,
    totals: VecDeque<Ticket>,
    /// Tries to come, the earliest first.
    later: BinaryHeap<Reverse<Later>>,
    put_off: u64,
    prefixes: HashSet<Prefix>,
}

/// A try to come: by instant, then by the order in which it was put off.
#[derive(Debug)]
struct Later {
    at: Nanos,
    order: u64,
    arrival: Arrival,
    cached: u32,
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

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Later {}

/// An open request.
#[derive(Debug)]
struct Open {
    arrival: Arrival,
    sent: Nanos,
    first: Option<Nanos>,
    last: Nanos,
    first_content: Option<Nanos>,
    tokens: u32,
    cached: u32,
    /// Tries before this one.
    tries: u32,
    /// Which use of the slot; 0 to begin with, one more whenever the slot is freed.
    turn: u32,
    chunks: Vec<ChunkStamp>,
}

/// A deadline of one use of a slot.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    sent: Nanos,
    slot: u32,
    turn: u32,
}

/// Who shares a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Prefix {
    Group(u32),
    Session(u64),
}

impl Client {
    fn new(endpoint: &Endpoint, patience: Patience, retry: Option<Retry>) -> Self {
        Self {
            now: Nanos::ZERO,
            end: Nanos::ZERO,
            requests: 0,
            retries: 0,
            open: 0,
            patience,
            retry,
            detail: endpoint.detail(),
            network: endpoint.spec().network.nanos(),
            reasoning_share: endpoint.spec().reasoning_share.0,
            slots: Vec::new(),
            free: Vec::new(),
            first_bytes: VecDeque::new(),
            totals: VecDeque::new(),
            later: BinaryHeap::new(),
            put_off: 0,
            prefixes: HashSet::new(),
        }
    }

    fn send(
        &mut self,
        arrival: Arrival,
        (cached, tries): (u32, u32),
        endpoint: &mut Endpoint,
        source: &mut impl Source,
        sink: &mut dyn FnMut(&RequestRecord),
    ) {
        let slot = self.take_slot(arrival, cached, tries);
        let offer =
            Offer { id: u64::from(slot), input_tokens: arrival.input_tokens, output_tokens: arrival.output_tokens.max(1), cached_tokens: cached };
        self.open += 1;
        match endpoint.offer(self.now, offer) {
            Admission::Accepted => {
                let ticket = Ticket { sent: self.now, slot, turn: self.slots[slot as usize].turn };
                self.first_bytes.push_back(ticket);
                self.totals.push_back(ticket);
            }
            Admission::Throttled { retry_after } => {
                let at = self.now + self.network;
                self.close(
                    slot,
                    at,
                    Refused { outcome: Outcome::ThrottledCapacity, status: 429, retry_after: Some(retry_after) }.into(),
                    source,
                    sink,
                );
            }
            Admission::Failed => {
                let at = self.now + self.network;
                self.close(slot, at, Refused { outcome: Outcome::ServerError, status: 500, retry_after: None }.into(), source, sink);
            }
        }
    }

    fn cached(&mut self, arrival: &Arrival) -> u32 {
        if arrival.shared_tokens == 0 {
            if let Some((session, 0)) = arrival.session {
                self.prefixes.insert(Prefix::Session(session));
            }
            return 0;
        }
        let prefix = match arrival.session {
            Some((session, turn)) if turn > 0 => Prefix::Session(session),
            _ => Prefix::Group(arrival.prefix_group),
        };
        let known = !self.prefixes.insert(prefix);
        if known { arrival.shared_tokens / CACHE_BLOCK * CACHE_BLOCK } else { 0 }
    }

    fn take_slot(&mut self, arrival: Arrival, cached: u32, tries: u32) -> u32 {
        if let Some(slot) = self.free.pop() {
            let open = &mut self.slots[slot as usize];
            open.arrival = arrival;
            open.sent = self.now;
            open.first = None;
            open.first_content = None;
            open.tokens = 0;
            open.cached = cached;
            open.tries = tries;
            open.chunks.clear();
            return slot;
        }
        self.slots.push(Open {
            arrival,
            sent: self.now,
            first: None,
            last: self.now,
            first_content: None,
            tokens: 0,
            cached,
            tries,
            turn: 0,
            chunks: Vec::new(),
        });
        u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 requests are open at once")
    }

    fn event(&mut self, event: Event, source: &mut impl Source, sink: &mut dyn FnMut(&RequestRecord)) {
        let slot = u32::try_from(event.id).expect("ids are slots");
        let reasoning_share = self.reasoning_share;
        let open = &mut self.slots[slot as usize];
        match event.kind {
            EventKind::FirstToken => {
                open.first = Some(event.at);
                open.tokens(event.at, 1, self.detail, reasoning_share);
            }
            EventKind::Tokens(n) => open.tokens(event.at, n, self.detail, reasoning_share),
            EventKind::Done => {
                if self.detail == Detail::Requests {
                    open.infer_tokens(event.at, reasoning_share);
                }
                self.close(slot, event.at, Ending::Complete, source, sink);
            }
        }
    }

    /// The next instant at which the client gives up. The fronts are open requests: `give_up` clears the others away.
    fn deadline(&self) -> Option<Nanos> {
        // Patience for the first token that is longer than for the last may leave tickets of those that are over at the front.
        if self.open == 0 {
            return None;
        }
        let first = self.first_bytes.front().map(|t| t.sent + self.patience.first_byte);
        let total = self.totals.front().map(|t| t.sent + self.patience.total);
        first.into_iter().chain(total).min()
    }

    fn give_up(&mut self, endpoint: &mut Endpoint, source: &mut impl Source, sink: &mut dyn FnMut(&RequestRecord)) {
        while let Some(ticket) = self.first_bytes.front().copied() {
            let waits = self.is_open(ticket) && self.slots[ticket.slot as usize].first.is_none();
            if waits && ticket.sent + self.patience.first_byte > self.now {
                break;
            }
            self.first_bytes.pop_front();
            if waits {
                self.abandon(ticket.slot, Outcome::TimeoutFirstByte, endpoint, source, sink);
            }
        }
        while let Some(ticket) = self.totals.front().copied() {
            let waits = self.is_open(ticket);
            if waits && ticket.sent + self.patience.total > self.now {
                break;
            }
            self.totals.pop_front();
            if waits {
                self.abandon(ticket.slot, Outcome::TimeoutTotal, endpoint, source, sink);
            }
        }
    }

    fn is_open(&self, ticket: Ticket) -> bool {
        self.slots[ticket.slot as usize].turn == ticket.turn
    }

    fn abandon(&mut self, slot: u32, outcome: Outcome, endpoint: &mut Endpoint, source: &mut impl Source, sink: &mut dyn FnMut(&RequestRecord)) {
        endpoint.cancel(self.now, u64::from(slot));
        self.close(slot, self.now, Ending::GivenUp(outcome), source, sink);
    }

    fn close(&mut self, slot: u32, at: Nanos, ending: Ending, source: &mut impl Source, sink: &mut dyn FnMut(&RequestRecord)) {
        let open = &mut self.slots[slot as usize];
        open.turn = open.turn.wrapping_add(1);
        let (arrival, cached, tries) = (open.arrival, open.cached, open.tries);
        self.free.push(slot);
        self.open -= 1;
        self.end = self.end.max(at);
        if let Some(wait) = self.retry.filter(|_| ending.is_worth_another_try()).and_then(|retry| retry.wait(tries)) {
            self.put_off += 1;
            self.later.push(Reverse(Later { at: at + wait, order: self.put_off, arrival, cached, tries: tries + 1 }));
            return;
        }
        let mut record = open.record(at, ending, self.reasoning_share);
        sink(&record);
        open.chunks = std::mem::take(&mut record.chunks);
        source.completed(&arrival, at, ending == Ending::Complete);
    }
}

/// How a simulated request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Complete,
    GivenUp(Outcome),
    Refused(Refused),
}

impl Ending {
    /// 429 and timeouts; an error would come again.
    fn is_worth_another_try(self) -> bool {
        match self {
            Self::Complete => false,
            Self::GivenUp(_) => true,
            Self::Refused(refused) => refused.status == 429,
        }
    }
}

/// The endpoint's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused {
    outcome: Outcome,
    status: u16,
    retry_after: Option<Nanos>,
}

impl From<Refused> for Ending {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Open {
    fn tokens(&mut self, at: Nanos, tokens: u32, detail: Detail, reasoning_share: f64) {
        if detail == Detail::Tokens {
            let gap = if self.tokens == 0 { 0 } else { at.since(self.last).0 };
            self.chunks.push(ChunkStamp { gap, tokens });
        }
        self.tokens += tokens;
        self.last = at;
        if self.first_content.is_none() && self.tokens > reasoning_tokens(self.arrival.output_tokens, reasoning_share) {
            self.first_content = Some(at);
        }
    }

    /// First and last token are known; the first visible one is where it would be with even gaps.
    fn infer_tokens(&mut self, last: Nanos, reasoning_share: f64) {
        let output = self.arrival.output_tokens.max(1);
        let hidden = reasoning_tokens(output, reasoning_share);
        let first = self.first.unwrap_or(last);
        if hidden > 0 {
            let share = f64::from(hidden) / f64::from(output - 1);
            self.first_content = Some(first + Nanos::from_secs_f64(last.since(first).as_secs_f64() * share));
        }
        self.tokens = output;
        self.last = last;
    }

    fn record(&mut self, at: Nanos, ending: Ending, reasoning_share: f64) -> RequestRecord {
        let a = &self.arrival;
        let mut r = RequestRecord::due(a.seq, a.phase, a.at, a.input_tokens, a.output_tokens);
        r.session = a.session;
        r.sent = Some(self.sent);
        r.closed = at;
        match ending {
            Ending::Refused(refused) => {
                r.outcome = refused.outcome;
                r.status = refused.status;
                r.retry_after = refused.retry_after;
                r.first_byte = Some(at);
                return r;
            }
            Ending::GivenUp(outcome) => r.outcome = outcome,
            Ending::Complete => {
                r.outcome = Outcome::Ok;
                let cached = (self.cached > 0).then_some(self.cached);
                let reasoning = (reasoning_share > 0.0).then(|| reasoning_tokens(self.tokens, reasoning_share));
                r.reasoning_tokens = reasoning.unwrap_or(0);
                r.usage = Some(Usage { prompt: a.input_tokens, completion: self.tokens, cached, reasoning });
            }
        }
        if let Some(first) = self.first {
            r.status = 200;
            r.first_byte = Some(first);
            r.first_token = Some(first);
            r.first_content = self.first_content;
            r.last_token = Some(self.last);
            r.output_tokens = self.tokens;
            r.counted_tokens = self.tokens;
            r.token_source = if ending == Ending::Complete { TokenSource::Usage } else { TokenSource::Chunks };
            r.chunks = std::mem::take(&mut self.chunks);
        }
        r
    }
}

/// Output tokens sent as reasoning: the share, rounded down, and never all of them.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u32 is a u32")]
pub fn reasoning_tokens(output: u32, share: f64) -> u32 {
    ((f64::from(output) * share) as u32).min(output.saturating_sub(1))
}
