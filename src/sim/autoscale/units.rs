//! Model units: a fixed number, and bursts above it.

use super::policy::{Policy, Seen, TargetTracking};
use crate::scenario::autoscaler::Units;

/// The chunks bought, always; with bursts, target tracking above them until `longest` after the first decision for more, and then nothing
/// above them for `rest`. A burst that ends by itself needs no rest.
#[derive(Debug)]
pub(super) struct ModelUnits {
    rule: Units,
    inner: TargetTracking,
    /// When the burst began.
    since: Option<u64>,
    rests_until: u64,
}

impl ModelUnits {
    /// With the scale-down delay of a burst in nanoseconds.
    pub(super) fn new(rule: Units, scale_down_delay: u64) -> Self {
        Self { rule, inner: TargetTracking::new(scale_down_delay), since: None, rests_until: 0 }
    }
}

impl Policy for ModelUnits {
    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        let Some(burst) = self.rule.burst else { return seen.min };
        if self.since.is_some_and(|since| seen.now - since >= burst.longest.nanos().0) {
            self.since = None;
            self.rests_until = seen.now.saturating_add(burst.rest.nanos().0);
        }
        if seen.now < self.rests_until {
            return seen.min;
        }
        let desired = self.inner.desired(seen);
        self.since = if desired > seen.min { self.since.or(Some(seen.now)) } else { None };
        desired
    }
}
