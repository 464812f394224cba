//! Knative's pod autoscaler (KPA): a stable and a panic window.

use super::policy::{Policy, Seen};
use crate::scenario::autoscaler::Knative;
use std::collections::VecDeque;

/// After `pkg/autoscaler/scaling/autoscaler.go` of knative/serving, with the defaults of its `config-autoscaler`.
///
/// Both windows want `ceil(load / target)`, each kept between `floor(ready / down rate)` and `ceil(up rate * ready)`. It panics when the
/// panic window wants `panic_threshold` times the ready chunks; then the higher of the two counts and nothing is given back, until that was
/// not so for a stable window. Left out: the activator (requests queue on the chunks) and the metric's sampling each second.
#[derive(Debug)]
pub(super) struct PanicAutoscaler {
    rule: Knative,
    window: u64,
    /// When the panic threshold was last crossed, while panicking; and the most wanted since the panic began.
    panic: Option<(u64, u32)>,
    highest: Trailing,
}

impl PanicAutoscaler {
    /// With the stable window and the scale-down delay in nanoseconds.
    pub(super) fn new(rule: Knative, window: u64, scale_down_delay: u64) -> Self {
        Self { rule, window, panic: None, highest: Trailing::new(scale_down_delay) }
    }
}

impl Policy for PanicAutoscaler {
    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        let ready = f64::from(seen.ready.max(1));
        let (least, most) = ((ready / self.rule.max_scale_down_rate).floor(), (ready * self.rule.max_scale_up_rate).ceil());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded below by zero; the cast saturates")]
        let kept = |chunks: u32| f64::from(chunks).max(least).min(most) as u32;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a window")]
        let short = (self.window as f64 * self.rule.panic_window.0) as u64;
        let stable = seen.chunks(seen.meter.mean());
        let panic = seen.chunks(seen.meter.mean_over(short));
        let mut desired = kept(stable);
        if f64::from(panic) / ready >= self.rule.panic_threshold {
            self.panic = Some((seen.now, self.panic.map_or(0, |(_, most)| most)));
        } else if self.panic.is_some_and(|(at, _)| at.saturating_add(self.window) < seen.now) {
            self.panic = None;
        }
        if let Some((_, most)) = &mut self.panic {
            *most = desired.max(kept(panic)).max(*most);
            desired = *most;
        }
        self.highest.over(seen.now, seen.bounded(desired))
    }
}

/// The highest of what was wanted over a trailing span.
#[derive(Debug)]
pub(super) struct Trailing {
    span: u64,
    /// In order of time, each lower than the one before: the first is the highest.
    wanted: VecDeque<(u64, u32)>,
}

impl Trailing {
    /// Over `span` nanoseconds.
    pub(super) fn new(span: u64) -> Self {
        Self { span, wanted: VecDeque::new() }
    }

    /// The highest of `chunks` and of what was wanted less than the span ago.
    pub(super) fn over(&mut self, now: u64, chunks: u32) -> u32 {
        while self.wanted.back().is_some_and(|(_, other)| *other <= chunks) {
            self.wanted.pop_back();
        }
        self.wanted.push_back((now, chunks));
        while self.wanted.len() > 1 && self.wanted.front().is_some_and(|(at, _)| now - at >= self.span.max(1)) {
            self.wanted.pop_front();
        }
        self.wanted.front().map_or(chunks, |(_, highest)| *highest)
    }
}
