//! `Endpoint`: admission and routing over replicas, 429, cancellation, scaling.

use super::event::{Admission, Detail, Event, Offer, ScaleEvent, State};
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::scenario::endpoint::EndpointSpec;

/// The simulated endpoint: replicas behind a balancer, and an autoscaler. It knows no clock: its driver tells it the time.
#[derive(Debug)]
pub struct Endpoint {
    spec: EndpointSpec,
    scale_log: Vec<ScaleEvent>,
    detail: Detail,
}

impl Endpoint {
    /// An endpoint at instant zero with `spec.min_chunks` chunks ready.
    #[must_use]
    pub fn new(spec: &EndpointSpec, _seed: Seed, detail: Detail) -> Self {
        Self { spec: spec.clone(), scale_log: vec![ScaleEvent { at: Nanos::ZERO, ready: spec.min_chunks, pending: 0 }], detail }
    }

    /// Offers a request at `now`. The caller has advanced to `now` before.
    pub fn offer(&mut self, _now: Nanos, _offer: Offer) -> Admission {
        Admission::Failed
    }

    /// Forgets an open request at `now`, wherever it is: no more events for it.
    pub fn cancel(&mut self, _now: Nanos, _id: u64) {}

    /// The earliest instant at which something can happen by itself.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Nanos> {
        None
    }

    /// Appends all events up to and including `now`, in order of time.
    pub fn advance(&mut self, _now: Nanos, _out: &mut Vec<Event>) {}

    /// The endpoint at the instant of the last advance.
    #[must_use]
    pub fn state(&self) -> State {
        State::default()
    }

    /// Every change of the number of chunks; the first entry is at zero.
    #[must_use]
    pub fn scale_log(&self) -> &[ScaleEvent] {
        &self.scale_log
    }

    /// Chunk-seconds paid from zero to `until`.
    #[must_use]
    pub fn chunk_seconds(&self, until: Nanos) -> f64 {
        until.as_secs_f64() * f64::from(self.spec.min_chunks)
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
}
