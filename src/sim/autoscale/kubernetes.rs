//! Kubernetes' horizontal pod autoscaler (HPA), and KEDA on top of it.

use super::knative::Trailing;
use super::policy::{Policy, Seen};
use crate::scenario::autoscaler::{Hpa, Keda as Rule};
use std::collections::VecDeque;

/// After Kubernetes' "Horizontal Pod Autoscaling: algorithm details" and its controller's defaults.
///
/// `desired = ceil(current * ratio)` with ratio = load / (target * current), and current if ratio is within the tolerance of 1; current
/// counts chunks on their way. Going down, the highest recommendation of the stabilisation window counts. Going up, at most
/// `max(share, chunks)` more than there were a period ago. Without a chunk it does nothing.
#[derive(Debug)]
pub(super) struct PodAutoscaler {
    rule: Hpa,
    recommended: Trailing,
    /// `(instant, chunks added)` of the last period.
    added: VecDeque<(u64, u32)>,
}

impl PodAutoscaler {
    /// With the stabilisation window of scaling down in nanoseconds.
    pub(super) fn new(rule: Hpa, scale_down_delay: u64) -> Self {
        Self { rule, recommended: Trailing::new(scale_down_delay), added: VecDeque::new() }
    }

    /// The most chunks there may be now.
    fn limit(&mut self, now: u64, current: u32) -> u32 {
        let period = self.rule.scale_up_period.nanos().0;
        while self.added.front().is_some_and(|(at, _)| now - at >= period) {
            self.added.pop_front();
        }
        let before = current.saturating_sub(self.added.iter().map(|(_, n)| n).sum());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; the cast saturates")]
        let by_share = (f64::from(before) * (1.0 + self.rule.scale_up_share.0)).ceil() as u32;
        by_share.max(before.saturating_add(self.rule.scale_up_chunks))
    }
}

impl Policy for PodAutoscaler {
    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        let current = seen.current();
        if current == 0 {
            return 0;
        }
        let load = seen.meter.mean();
        let ratio = load / (seen.per_chunk * f64::from(current));
        let raw = if (ratio - 1.0).abs() <= self.rule.tolerance.0 { current } else { seen.chunks(load) };
        let stable = self.recommended.over(seen.now, seen.bounded(raw));
        // The window holds the recommendation of now: what is above it only holds back a decrease.
        let desired = if raw >= current { seen.bounded(raw) } else { stable.min(current) };
        let desired = desired.min(self.limit(seen.now, current)).max(seen.min);
        if seen.is_free && desired > current {
            self.added.push_back((seen.now, desired - current));
        }
        desired
    }
}

/// After KEDA's "Scaling Deployments": between one and max chunks it is Kubernetes' autoscaler; the first chunk comes and the last one goes by
/// its own polling. It only asks at whole polls of the endpoint's autoscaler.
#[derive(Debug)]
pub(super) struct Keda {
    rule: Rule,
    inner: PodAutoscaler,
    next_look: u64,
    active: u64,
}

impl Keda {
    /// With the stabilisation window of scaling down in nanoseconds.
    pub(super) fn new(rule: Rule, scale_down_delay: u64) -> Self {
        Self { rule, inner: PodAutoscaler::new(rule.hpa, scale_down_delay), next_look: 0, active: 0 }
    }
}

impl Policy for Keda {
    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        // A request that waits keeps what is on its way to serve it.
        let is_active = seen.meter.mean() / seen.per_chunk > self.rule.activation || (seen.is_waited_for && seen.current() > 0);
        if is_active {
            self.active = seen.now;
        }
        if seen.current() == 0 {
            if seen.now < self.next_look {
                return 0;
            }
            self.next_look = seen.now.saturating_add(self.rule.polling.nanos().0);
            return u32::from(is_active);
        }
        let is_cold = seen.now - self.active >= self.rule.cooldown.nanos().0;
        let one = Seen { min: seen.min.max(1), ..*seen };
        let desired = self.inner.desired(&one);
        if is_cold && seen.min == 0 { 0 } else { desired }
    }

    fn is_woken_by_requests(&self) -> bool {
        false
    }
}
