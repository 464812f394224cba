//! The loop: next of arrival, wake-up, timeout; schedule in, records out.

use super::endpoint::Endpoint;
use super::event::ScaleEvent;
use crate::base::time::Nanos;
use crate::record::request::RequestRecord;
use crate::workload::schedule::Arrival;

/// Where arrivals come from: `workload::schedule::Schedule`, or a list in tests.
pub trait Source {
    /// Due instant of the next known arrival; `None`: nothing is due until a completion is reported, or ever.
    fn peek_at(&self) -> Option<Nanos>;
    /// Takes the next known arrival.
    fn pop(&mut self) -> Option<Arrival>;
    /// Reports that a request ended at `at`; follow-up arrivals may become known.
    fn completed(&mut self, arrival: &Arrival, at: Nanos, ok: bool);
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
}

/// Runs the schedule against the endpoint in virtual time; `sink` gets one record a request, in order of their ends.
pub fn run<S: Source>(_schedule: &mut S, endpoint: &mut Endpoint, _patience: Patience, _sink: &mut dyn FnMut(&RequestRecord)) -> Simulated {
    Simulated { scale: endpoint.scale_log().to_vec(), chunk_seconds: 0.0, end: Nanos::ZERO, requests: 0 }
}
