//! What one live endpoint counted: totals since its start, the last minute, and two histograms.

use crate::base::clock::Clock;
use crate::base::time::Nanos;
use crate::sim::event::State;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Upper bounds of the buckets of a histogram, milliseconds.
pub(super) const BOUNDS_MS: [u32; 14] = [1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000];

/// Counted since the start.
#[derive(Debug)]
pub(super) struct Counters {
    clock: Clock,
    by_status: Mutex<BTreeMap<u16, u64>>,
    minute: Mutex<Minute>,
    latency: Mutex<Histogram>,
    queue: Mutex<Histogram>,
    in_flight: AtomicU64,
    prompt_tokens: AtomicU64,
    output_tokens: AtomicU64,
}

/// Answers begun in the seconds of the last minute.
#[derive(Debug)]
struct Minute {
    /// Of second `s` at `s % 60`, with `s`: all, 4xx, 5xx.
    seconds: [(u64, [u64; 3]); 60],
}

impl Minute {
    fn add(&mut self, second: u64, status: u16) {
        let slot = &mut self.seconds[usize::try_from(second % 60).unwrap_or(0)];
        if slot.0 != second {
            *slot = (second, [0; 3]);
        }
        let counts = &mut slot.1;
        counts[0] += 1;
        counts[1] += u64::from((400..500).contains(&status));
        counts[2] += u64::from(status >= 500);
    }

    fn sum(&self, second: u64) -> [u64; 3] {
        let recent = self.seconds.iter().filter(|(s, _)| second - (*s).min(second) < 60);
        recent.fold([0; 3], |sum, (_, counts)| [sum[0] + counts[0], sum[1] + counts[1], sum[2] + counts[2]])
    }
}

/// Counts at or below each of [`BOUNDS_MS`], and over all.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// Cumulative, as the text format has them.
    pub(super) buckets: [u64; BOUNDS_MS.len()],
    /// Observations.
    pub(super) count: u64,
    /// Their sum.
    pub(super) sum_ms: f64,
}

impl Histogram {
    fn add(&mut self, span: Nanos) {
        let ms = span.as_millis_f64();
        for (bucket, bound) in self.buckets.iter_mut().zip(BOUNDS_MS) {
            *bucket += u64::from(ms <= f64::from(bound));
        }
        self.count += 1;
        self.sum_ms += ms;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counters {
    /// Nothing counted; `clock` tells the minute.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            by_status: Mutex::default(),
            minute: Mutex::new(Minute { seconds: [(0, [0; 3]); 60] }),
            latency: Mutex::default(),
            queue: Mutex::default(),
            in_flight: AtomicU64::new(0),
            prompt_tokens: AtomicU64::new(0),
            output_tokens: AtomicU64::new(0),
        }
    }

    /// An answer with this status was begun.
    pub(super) fn answered(&self, status: u16) {
        *locked(&self.by_status).entry(status).or_insert(0) += 1;
        locked(&self.minute).add(self.second(), status);
    }

    /// A request was answered in full after `span`.
    pub(super) fn finished(&self, span: Nanos) {
        locked(&self.latency).add(span);
    }

    /// A request waited `span` before it was worked on.
    pub(super) fn queued(&self, span: Nanos) {
        locked(&self.queue).add(span);
    }

    /// A request was admitted with so many prompt tokens.
    pub(super) fn admitted(&self, prompt_tokens: u64) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.prompt_tokens.fetch_add(prompt_tokens, Ordering::Relaxed);
    }

    /// An admitted request ended or was given up.
    pub(super) fn closed(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Tokens were produced for a client.
    pub(super) fn produced(&self, tokens: u64) {
        self.output_tokens.fetch_add(tokens, Ordering::Relaxed);
    }

    /// Answers begun in the last minute: all, those of status 4xx, those of 5xx.
    pub(super) fn last_minute(&self) -> [u64; 3] {
        locked(&self.minute).sum(self.second())
    }

    /// Times of answers.
    pub(super) fn latency(&self) -> Histogram {
        locked(&self.latency).clone()
    }

    /// Times in the queue.
    pub(super) fn queue(&self) -> Histogram {
        locked(&self.queue).clone()
    }

    fn second(&self) -> u64 {
        self.clock.now().0 / 1_000_000_000
    }

    /// The Prometheus exposition format, version 0.0.4.
    pub(super) fn text(&self, state: State) -> String {
        let mut text = String::new();
        let head = |name: &str, kind: &str, help: &str| format!("# HELP plimsoll_{name} {help}\n# TYPE plimsoll_{name} {kind}\n");
        text.push_str(&head("requests_total", "counter", "Requests answered, by status."));
        for (status, n) in &*locked(&self.by_status) {
            let _ = writeln!(text, "plimsoll_requests_total{{status=\"{status}\"}} {n}");
        }
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        for (name, kind, help, value) in [
            ("requests_in_flight", "gauge", "HTTP requests admitted and not yet answered in full.", load(&self.in_flight)),
            ("requests_running", "gauge", "Requests decoding or in prefill.", u64::from(state.running)),
            ("requests_waiting", "gauge", "Requests waiting for a place in a batch.", u64::from(state.waiting)),
            ("chunks_ready", "gauge", "Chunks that serve.", u64::from(state.ready)),
            ("chunks_pending", "gauge", "Chunks asked for and not yet serving.", u64::from(state.pending)),
            ("prompt_tokens_total", "counter", "Prompt tokens of admitted requests.", load(&self.prompt_tokens)),
            ("output_tokens_total", "counter", "Output tokens sent.", load(&self.output_tokens)),
        ] {
            text.push_str(&head(name, kind, help));
            let _ = writeln!(text, "plimsoll_{name} {value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_forgets_what_is_older_than_itself() {
        let mut minute = Minute { seconds: [(0, [0; 3]); 60] };
        for (second, status) in [(0, 200), (1, 429), (30, 500), (59, 200)] {
            minute.add(second, status);
        }
        assert_eq!(minute.sum(59), [4, 1, 1]);
        assert_eq!(minute.sum(60), [3, 1, 1]);
        minute.add(61, 200);
        assert_eq!(minute.sum(61), [3, 0, 1], "its slot was used again");
        assert_eq!(minute.sum(1000), [0; 3]);
    }

    #[test]
    fn buckets_are_cumulative() {
        let mut histogram = Histogram::default();
        [3, 10, 70_000].map(Nanos::from_millis).into_iter().for_each(|span| histogram.add(span));
        assert_eq!(histogram.buckets[..3], [0, 1, 2]);
        assert_eq!((histogram.buckets[BOUNDS_MS.len() - 1], histogram.count), (2, 3));
        assert!((histogram.sum_ms - 70_013.0).abs() < 1e-9);
    }
}
