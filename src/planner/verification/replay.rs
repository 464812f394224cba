//! The requests of a run, measured, and once more through a model: one value a request, in the order of their due instants.

use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::record::request::{Phase, RequestRecord};
use crate::scenario::endpoint::EndpointSpec;
use crate::sim::endpoint::Endpoint;
use crate::sim::event::Detail;
use crate::sim::virtual_time::{self, Patience, Source};
use crate::workload::schedule::Arrival;

/// Latencies of one request in seconds: TTFT, TPOT, E2E, as far as they are defined; all of them absent when it did not end well.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) ok: bool,
    pub(super) latency: [Option<f64>; 3],
}

impl Seen {
    fn of(r: &RequestRecord) -> Self {
        if !r.is_ok() {
            return Self::default();
        }
        Self { ok: true, latency: [r.ttft().map(Nanos::as_secs_f64), r.tpot_s(), Some(r.e2e().as_secs_f64())] }
    }
}

/// The requests due in the measured window, in order.
pub(super) type Sample = Vec<Seen>;

/// What was sent.
pub(super) struct Replay {
    arrivals: Vec<Arrival>,
    measured: Sample,
    patience: Patience,
}

impl Replay {
    /// Everything that was sent, at its due instant and with the lengths that the server saw; what was never sent (shed) is not replayed.
    pub(super) fn new(records: &[RequestRecord], patience: Patience) -> Self {
        let mut sent: Vec<&RequestRecord> = records.iter().filter(|r| r.sent.is_some()).collect();
        sent.sort_by_key(|r| (r.intended, r.seq));
        let arrivals = sent.iter().zip(0..).map(|(r, seq)| Arrival {
            seq,
            at: r.intended,
            phase: r.phase,
            input_tokens: r.input_tokens.max(1),
            output_tokens: if r.is_ok() { r.output_tokens } else { r.output_asked }.max(1),
            shared_tokens: r.usage.and_then(|u| u.cached).unwrap_or(0),
            prefix_group: 0,
            session: None,
            user: None,
        });
        let measured = sent.iter().filter(|r| r.phase == Phase::Measure).map(|r| Seen::of(r)).collect();
        Self { arrivals: arrivals.collect(), measured, patience }
    }

    /// As it was measured.
    pub(super) fn measured(&self) -> Sample {
        self.measured.clone()
    }

    /// The same requests through `spec`.
    pub(super) fn simulate(&self, spec: &EndpointSpec, seed: Seed) -> Sample {
        let warmup = self.arrivals.iter().filter(|a| a.phase != Phase::Measure).count();
        let mut seen = vec![Seen::default(); self.arrivals.len()];
        let mut endpoint = Endpoint::new(spec, seed, Detail::Requests);
        let mut list = List { arrivals: &self.arrivals, next: 0 };
        virtual_time::run(&mut list, &mut endpoint, self.patience, &mut |r| {
            if let Some(place) = usize::try_from(r.seq).ok().and_then(|i| seen.get_mut(i)) {
                *place = Seen::of(r);
            }
        });
        // The warm-up comes before the window.
        seen.split_off(warmup)
    }
}

/// A list of arrivals as a source.
struct List<'a> {
    arrivals: &'a [Arrival],
    next: usize,
}

impl Source for List<'_> {
    fn peek_at(&self) -> Option<Nanos> {
        self.arrivals.get(self.next).map(|a| a.at)
    }
    fn pop(&mut self) -> Option<Arrival> {
        let arrival = self.arrivals.get(self.next).copied();
        self.next += 1;
        arrival
    }
    fn completed(&mut self, _: &Arrival, _: Nanos, _: bool) {}
}
