//! `Policy`: how many chunks an autoscaler wants at a poll; and target tracking.

use super::knative::PanicAutoscaler;
use super::kubernetes::{Keda, PodAutoscaler};
use super::meter::Meter;
use super::units::ModelUnits;
use crate::scenario::autoscaler::{Autoscaler, Policy as Rule};
use std::fmt::Debug;

/// What a policy sees at a poll.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// The instant, nanoseconds.
    pub(super) now: u64,
    /// The load.
    pub(super) meter: &'a Meter,
    /// Load that one chunk is meant to carry.
    pub(super) per_chunk: f64,
    /// Chunks that serve.
    pub(super) ready: u32,
    /// Chunks on their way.
    pub(super) pending: u32,
    /// Requests that wait for the first chunk.
    pub(super) is_waited_for: bool,
    /// Chunks at least, at this time of day.
    pub(super) min: u32,
    /// Chunks at most.
    pub(super) max: u32,
    /// Whether a change may be made now.
    pub(super) is_free: bool,
}

impl Seen<'_> {
    /// Chunks that serve or are on their way.
    pub(super) fn current(&self) -> u32 {
        self.ready + self.pending
    }

    /// Whole chunks that `load` needs.
    pub(super) fn chunks(&self, load: f64) -> u32 {
        // A millionth of a chunk is rounding, not load.
        let chunks = (load / self.per_chunk - 1e-6).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let whole = chunks as u32;
        whole
    }

    /// `chunks` within min and max.
    pub(super) fn bounded(&self, chunks: u32) -> u32 {
        chunks.max(self.min).min(self.max)
    }
}

/// A rule that chooses the number of chunks. The machinery around it bounds what it says, waits for what was asked for, and draws lags.
pub(super) trait Policy: Debug + Send {
    /// The number of chunks, serving or on their way, that there should be from now on. Asked at every poll; what it says is not done
    /// while `seen.is_free` is false.
    fn desired(&mut self, seen: &Seen<'_>) -> u32;

    /// Whether the first request wakes an endpoint without chunks; otherwise the next poll does.
    fn is_woken_by_requests(&self) -> bool {
        true
    }
}

/// The policy of an autoscaler.
pub(super) fn of(spec: &Autoscaler) -> Box<dyn Policy> {
    let down = spec.scale_down_delay.nanos().0;
    match &spec.policy {
        Rule::TargetTracking => Box::new(TargetTracking::new(down)),
        Rule::Knative(rule) => Box::new(PanicAutoscaler::new(*rule, spec.window.nanos().0, down)),
        Rule::Hpa(rule) => Box::new(PodAutoscaler::new(*rule, down)),
        Rule::Keda(rule) => Box::new(Keda::new(*rule, down)),
        Rule::Units(rule) => Box::new(ModelUnits::new(*rule, down)),
    }
}

/// `ceil(load / (target * per chunk))`. A chunk is given back when that was lower at every poll for the delay; then down to the highest of
/// that time.
#[derive(Debug)]
pub(super) struct TargetTracking {
    scale_down_delay: u64,
    low: Option<Low>,
}

/// A time of low load.
#[derive(Clone, Copy, Debug)]
struct Low {
    since: u64,
    highest: u32,
}

impl TargetTracking {
    /// With a delay in nanoseconds.
    pub(super) fn new(scale_down_delay: u64) -> Self {
        Self { scale_down_delay, low: None }
    }
}

impl Policy for TargetTracking {
    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        let desired = seen.bounded(seen.chunks(seen.meter.mean()));
        let current = seen.current();
        if !seen.is_free {
            return current;
        }
        if desired >= current {
            self.low = None;
            return desired;
        }
        let low = self.low.get_or_insert(Low { since: seen.now, highest: desired });
        low.highest = low.highest.max(desired);
        if seen.now - low.since < self.scale_down_delay {
            return current;
        }
        let highest = low.highest;
        self.low = None;
        highest
    }
}
