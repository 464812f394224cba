//! `Endpoint`: admission and routing over replicas, 429, cancellation, scaling.

use super::autoscale::{self, Scaler};
use super::event::{Admission, Detail, Event, Offer, ScaleEvent, State};
use super::outbox::{Outbox, Sink};
use super::replica::{NEVER, Replica};
use super::routing::Balancer;
use super::step::Law;
use crate::base::rng::{Seed, Stream};
use crate::base::time::Nanos;
use crate::scenario::autoscaler::ScaleMetric;
use crate::scenario::endpoint::{EndpointSpec, Routing};
use rand::RngExt;
use std::collections::VecDeque;

/// The simulated endpoint: replicas behind a balancer, and an autoscaler. It knows no clock: its driver tells it the time.
///
/// What it answers depends on the offers, the cancellations and their instants alone, not on how often or how late it is advanced.
#[derive(Debug)]
pub struct Endpoint {
    spec: EndpointSpec,
    detail: Detail,
    seed: Seed,
    law: Law,
    /// The first `ready` take new requests, the others are draining.
    replicas: Vec<Replica>,
    ready: usize,
    /// `Replica::wake` of each, side by side: the scan for the earliest is the hottest loop.
    wakes: Vec<u64>,
    /// `Replica::open` of each.
    open: Vec<u32>,
    born: u64,
    /// Requests that wait for the first chunk.
    lobby: VecDeque<Offer>,
    balancer: Balancer,
    errors: Stream,
    offers: u64,
    outbox: Outbox,
    scaler: Option<Scaler>,
    load: Load,
    scale_log: Vec<ScaleEvent>,
    paid: Paid,
}

/// Prefix caches keep whole blocks of this many tokens.
pub(super) const CACHE_BLOCK: u32 = 16;

/// One more than the largest word of a draw.
const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;

/// What the autoscaler tracks, summed since zero.
#[derive(Debug, Default)]
struct Load {
    tokens: f64,
    /// Request-seconds in flight up to `last`.
    in_flight_s: f64,
    in_flight: u64,
    last: u64,
}

impl Load {
    /// `before` requests in flight became `after` at `now`.
    fn change(&mut self, now: u64, before: u32, after: u32) {
        self.upto(now);
        self.in_flight = self.in_flight + u64::from(after) - u64::from(before);
    }

    fn upto(&mut self, now: u64) {
        self.in_flight_s += self.in_flight as f64 * Nanos(now - self.last).as_secs_f64();
        self.last = now;
    }
}

/// Chunk-time paid: replicas that serve, draining ones included.
#[derive(Debug, Default)]
struct Paid {
    chunk_ns: u128,
    last: u64,
}

impl Endpoint {
    /// An endpoint at instant zero with `spec.min_chunks` chunks ready, or those that its schedule asks for then.
    #[must_use]
    pub fn new(spec: &EndpointSpec, seed: Seed, detail: Detail) -> Self {
        let scaler = Scaler::new(spec, autoscale::endpoint_seed(seed));
        Self::build(spec, seed, detail, autoscale::first_chunks(spec), scaler)
    }

    /// An endpoint at instant zero with `chunks` chunks ready, within those that it may have.
    #[must_use]
    pub fn starting_with(spec: &EndpointSpec, seed: Seed, detail: Detail, chunks: u32) -> Self {
        let scaler = Scaler::new(spec, autoscale::endpoint_seed(seed));
        Self::build(spec, seed, detail, chunks.max(spec.min_chunks).min(spec.max_chunks), scaler)
    }

    /// An endpoint whose chunks follow `path` (in order of time) and no policy: from each entry's instant on, `ready` chunks serve. An entry at
    /// zero says how many serve first; without one that is as in [`Endpoint::new`]. Chunks that leave drain. With the path that
    /// [`autoscale::path`] gives for the same seed and arrivals it does exactly what [`Endpoint::new`] does.
    #[must_use]
    pub fn prescribed(spec: &EndpointSpec, seed: Seed, detail: Detail, path: &[ScaleEvent]) -> Self {
        let (first, later) = match path {
            [first, later @ ..] if first.at == Nanos::ZERO => (first.ready, later),
            _ => (autoscale::first_chunks(spec), path),
        };
        Self::build(spec, seed, detail, first, Some(Scaler::prescribed(later)))
    }

    fn build(spec: &EndpointSpec, seed: Seed, detail: Detail, chunks: u32, scaler: Option<Scaler>) -> Self {
        let seed = autoscale::endpoint_seed(seed);
        let mut endpoint = Self {
            spec: spec.clone(),
            detail,
            seed,
            law: Law::new(spec, seed),
            replicas: Vec::new(),
            ready: 0,
            wakes: Vec::new(),
            open: Vec::new(),
            born: 0,
            lobby: VecDeque::new(),
            balancer: Balancer::new(spec.routing, seed),
            errors: seed.stream("errors"),
            offers: 0,
            outbox: Outbox::new(spec.network.nanos()),
            scaler,
            load: Load::default(),
            scale_log: Vec::new(),
            paid: Paid::default(),
        };
        (0..chunks).for_each(|_| endpoint.add_replica());
        endpoint.log_scale(0);
        endpoint
    }

    /// Offers a request at `now`. The caller has advanced to `now` before.
    ///
    /// A request that could never run (input plus output beyond `kv_tokens`) is answered [`Admission::Failed`], like one drawn with
    /// `error_share`. The balancer tries every replica before it answers 429. Without a chunk as many requests as one queue holds wait for
    /// the first.
    pub fn offer(&mut self, now: Nanos, offer: Offer) -> Admission {
        let Some(offer) = self.screen(offer) else { return Admission::Failed };
        let is_accepted = if self.ready == 0 { self.wait(now.0, offer) } else { self.place(now.0, &offer) };
        if is_accepted { Admission::Accepted } else { Admission::Throttled { retry_after: self.spec.retry_after.nanos() } }
    }

    /// Counts the offer as load and draws what is drawn for it; `None` if it fails.
    pub(super) fn screen(&mut self, offer: Offer) -> Option<Offer> {
        let need = u64::from(offer.input_tokens) + u64::from(offer.output_tokens.max(1));
        self.load.tokens += need as f64;
        let offer = if self.spec.prefix_hit.requests.0 > 0.0 { self.with_prefix_hit(offer) } else { offer };
        let drawn = self.spec.error_share.0 > 0.0 && self.errors.random::<f64>() < self.spec.error_share.0;
        (!drawn && need <= self.spec.kv_tokens).then_some(offer)
    }

    /// Gives a request to a replica that serves; false if every queue is full.
    fn place(&mut self, now: u64, offer: &Offer) -> bool {
        let first = self.balancer.choose(&self.open[..self.ready]);
        for i in (first..self.ready).chain(0..first) {
            if self.replicas[i].offer(now, offer) {
                self.settle(i, now);
                return true;
            }
        }
        false
    }

    /// Lets a request wait for the first chunk and asks for one; false if too many wait already.
    fn wait(&mut self, now: u64, offer: Offer) -> bool {
        if self.scaler.as_mut().is_some_and(|scaler| scaler.is_woken(now)) {
            self.log_scale(now);
        }
        let has_room = u64::try_from(self.lobby.len()).is_ok_and(|waiting| waiting < u64::from(self.spec.queue));
        if has_room {
            self.lobby.push_back(offer);
            self.load.change(now, 0, 1);
        }
        has_room
    }

    /// What the offer finds in the prefix cache by itself or by the draw for its number, whichever is more.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u32 is a u32")]
    fn with_prefix_hit(&mut self, offer: Offer) -> Offer {
        let hit = self.spec.prefix_hit;
        self.offers += 1;
        if self.seed.child("prefix hit", self.offers).0 as f64 >= hit.requests.0 * TWO_POW_64 {
            return offer;
        }
        let found = (f64::from(offer.input_tokens) * hit.prompt.0) as u32 / CACHE_BLOCK * CACHE_BLOCK;
        Offer { cached_tokens: offer.cached_tokens.max(found), ..offer }
    }

    /// Forgets an open request at `now`, wherever it is, and frees what it held: no more events for it. The caller has advanced to `now`
    /// before. An id that is not open is ignored.
    pub fn cancel(&mut self, now: Nanos, id: u64) {
        self.outbox.forget(id);
        if let Some(i) = self.lobby.iter().position(|offer| offer.id == id) {
            self.lobby.remove(i);
            self.load.change(now.0, 1, 0);
            return;
        }
        let waits = self.replicas.iter().position(|r| r.waits_longest(id)).filter(|&i| self.replicas[i].cancel(now.0, id));
        let Some(i) = waits.or_else(|| self.replicas.iter_mut().position(|r| r.cancel(now.0, id))) else {
            return;
        };
        self.settle(i, now.0);
        self.retire(i, now.0);
    }

    /// The earliest instant at which something can happen by itself: an event, or a turn of the autoscaler.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Nanos> {
        let events = self.outbox.next(self.soonest().1);
        let next = self.scaler.as_ref().map_or(events, |s| events.min(s.wake()));
        (next != NEVER).then_some(Nanos(next))
    }

    /// Appends all events up to and including `now`, in order of time.
    pub fn advance(&mut self, now: Nanos, out: &mut Vec<Event>) {
        let mut outbox = std::mem::take(&mut self.outbox);
        self.advance_into(now, &mut outbox);
        outbox.deliver(now, out);
        self.outbox = outbox;
    }

    /// Does everything that is due up to and including `now`, in order of time; `out` hears it before the network.
    pub(super) fn advance_into(&mut self, now: Nanos, out: &mut impl Sink) {
        loop {
            let (i, wake) = self.soonest();
            let scale = self.scaler.as_ref().map_or(NEVER, Scaler::wake);
            if wake.min(scale) > now.0 || wake.min(scale) == NEVER {
                break;
            }
            if wake <= scale {
                self.replicas[i].turn(out);
                self.settle(i, wake);
                self.retire(i, wake);
            } else {
                self.scale(scale);
            }
        }
    }

    /// When something happens inside by itself, nanoseconds; [`NEVER`] without anything to do.
    pub(super) fn next_turn(&self) -> u64 {
        self.soonest().1.min(self.scaler.as_ref().map_or(NEVER, Scaler::wake))
    }

    /// Its replicas, if what one does has no bearing on another as long as no queue is full: no autoscaler, routing that looks at no state.
    pub(super) fn lanes(&self) -> Option<usize> {
        let blind = matches!(self.spec.routing, Routing::Random | Routing::RoundRobin);
        (blind && self.scaler.is_none() && self.detail == Detail::Requests && self.ready > 0).then_some(self.ready)
    }

    /// The replica that the balancer tries first for the next request; for routing that looks at no state.
    pub(super) fn first_choice(&mut self) -> usize {
        self.balancer.choose(&self.open[..self.ready])
    }

    /// One replica, to be followed by [`Endpoint::settle`].
    pub(super) fn replica(&mut self, i: usize) -> &mut Replica {
        &mut self.replicas[i]
    }

    /// The endpoint at the instant of the last advance. Draining chunks are not `ready`, their requests are counted.
    #[must_use]
    pub fn state(&self) -> State {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        State {
            ready: count(self.ready),
            pending: self.pending(),
            running: count(self.replicas.iter().map(Replica::running).sum()),
            waiting: count(self.lobby.len() + self.replicas.iter().map(Replica::waiting).sum::<usize>()),
        }
    }

    /// Every change of the number of chunks; the first entry is at zero. A chunk that drains is not `ready` any more.
    #[must_use]
    pub fn scale_log(&self) -> &[ScaleEvent] {
        &self.scale_log
    }

    /// Chunk-seconds paid from zero to `until` (not before the last advance): chunks that serve or drain. Pending ones cost nothing.
    #[must_use]
    pub fn chunk_seconds(&self, until: Nanos) -> f64 {
        let since = u128::from(until.0.saturating_sub(self.paid.last)) * self.replicas.len() as u128;
        (self.paid.chunk_ns + since) as f64 / 1e9
    }

    /// What it was made from.
    #[must_use]
    pub fn spec(&self) -> &EndpointSpec {
        &self.spec
    }

    /// How much it tells.
    #[must_use]
    pub fn detail(&self) -> Detail {
        self.detail
    }

    fn pending(&self) -> u32 {
        self.scaler.as_ref().map_or(0, Scaler::pending)
    }

    /// The replica that is due first, and when. Ties go to the first.
    fn soonest(&self) -> (usize, u64) {
        let mut best = (0, NEVER);
        for (i, wake) in self.wakes.iter().enumerate() {
            if *wake < best.1 {
                best = (i, *wake);
            }
        }
        best
    }

    /// Takes over what changed in replica `i` at `now`.
    pub(super) fn settle(&mut self, i: usize, now: u64) {
        let open = u32::try_from(self.replicas[i].open()).expect("a replica holds fewer than 2^25 requests");
        self.wakes[i] = self.replicas[i].wake();
        let before = std::mem::replace(&mut self.open[i], open);
        if self.scaler.as_ref().is_some_and(|s| s.metric() == ScaleMetric::Concurrency) {
            self.load.change(now, before, open);
        }
    }

    /// Gives replica `i` back if it has drained.
    fn retire(&mut self, i: usize, now: u64) {
        if i >= self.ready && self.open[i] == 0 {
            self.pay(now);
            self.replicas.remove(i);
            self.wakes.remove(i);
            self.open.remove(i);
        }
    }

    fn scale(&mut self, now: u64) {
        self.load.upto(now);
        let ready = u32::try_from(self.ready).unwrap_or(u32::MAX);
        let Some(scaler) = &mut self.scaler else { return };
        let total = match scaler.metric() {
            ScaleMetric::Tokens => self.load.tokens,
            ScaleMetric::Concurrency => self.load.in_flight_s,
        };
        let Some(wanted) = scaler.turn(total, ready, !self.lobby.is_empty()) else { return };
        if wanted > ready {
            self.pay(now);
            (ready..wanted).for_each(|_| self.add_replica());
            self.admit_waiting(now);
        }
        // The youngest go first. Their requests run to their end, new ones go elsewhere.
        for _ in wanted..ready {
            self.ready -= 1;
            self.retire(self.ready, now);
        }
        self.log_scale(now);
    }

    /// The first chunk is there: those who waited for it go in.
    fn admit_waiting(&mut self, now: u64) {
        while let Some(offer) = self.lobby.pop_front() {
            self.load.change(now, 1, 0);
            let is_placed = self.place(now, &offer);
            debug_assert!(is_placed, "one queue holds all who wait");
        }
    }

    fn add_replica(&mut self) {
        self.replicas.insert(self.ready, Replica::new(&self.spec, self.law.of_replica(self.seed, self.born), self.detail));
        self.wakes.insert(self.ready, NEVER);
        self.open.insert(self.ready, 0);
        self.ready += 1;
        self.born += 1;
    }

    fn log_scale(&mut self, now: u64) {
        let ready = u32::try_from(self.ready).unwrap_or(u32::MAX);
        self.scale_log.push(ScaleEvent { at: Nanos(now), ready, pending: self.pending() });
    }

    fn pay(&mut self, now: u64) {
        self.paid.chunk_ns += u128::from(now - self.paid.last) * self.replicas.len() as u128;
        self.paid.last = now;
    }
}
