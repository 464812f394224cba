//! `Meter`: the tracked quantity, read at polls, and its mean over the last while.

use crate::base::time::Nanos;
use std::collections::VecDeque;

/// Readings of a sum since zero (tokens arrived, or request-seconds in flight), covering the window; between them it is taken to grow evenly.
#[derive(Debug)]
pub(super) struct Meter {
    window: u64,
    /// `(instant, total)`.
    readings: VecDeque<(u64, f64)>,
}

impl Meter {
    /// A meter that remembers `window` nanoseconds, read as zero at instant zero.
    pub(super) fn new(window: u64) -> Self {
        Self { window: window.max(1), readings: VecDeque::from([(0, 0.0)]) }
    }

    /// Reads `total` at `now`, later than the reading before.
    pub(super) fn read(&mut self, now: u64, total: f64) {
        self.readings.push_back((now, total));
        let start = now.saturating_sub(self.window);
        while self.readings.len() > 2 && self.readings[1].0 <= start {
            self.readings.pop_front();
        }
    }

    /// Mean growth per second over the window, or over all the time there was.
    pub(super) fn mean(&self) -> f64 {
        self.mean_over(self.window)
    }

    /// Mean growth per second over the last `span` nanoseconds (the window at most), or over all the time there was.
    pub(super) fn mean_over(&self, span: u64) -> f64 {
        let Some(&(now, total)) = self.readings.back() else { return 0.0 };
        let start = now.saturating_sub(span.clamp(1, self.window));
        let after = self.readings.partition_point(|(at, _)| *at <= start);
        let (begin, before) = match (after.checked_sub(1).and_then(|i| self.readings.get(i)), self.readings.get(after)) {
            (Some(&(t0, v0)), Some(&(t1, v1))) => (start, v0 + (v1 - v0) * (start - t0) as f64 / (t1 - t0) as f64),
            (None, Some(&first)) => first,
            _ => return 0.0,
        };
        (total - before) / Nanos(now - begin).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_mean_is_taken_over_the_time_there_was_until_the_window_is_full() {
        let mut meter = Meter::new(60 * S);
        meter.read(10 * S, 50.0);
        assert_eq!(meter.mean(), 5.0);
        (2..=12).for_each(|i| meter.read(i * 10 * S, 50.0 * i as f64 + if i > 11 { 300.0 } else { 0.0 }));
        assert_eq!(meter.mean(), 10.0, "60 s at 5 and one jump of 300");
        assert_eq!(meter.mean_over(10 * S), 35.0);
        assert_eq!(meter.mean_over(20 * S), 20.0);
        assert_eq!(meter.mean_over(5 * S), 35.0, "between readings it grows evenly");
        assert_eq!(meter.mean_over(900 * S), meter.mean(), "it remembers no more than the window");
    }
}
