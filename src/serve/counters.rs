//! Counters of the live endpoint and their Prometheus text.

use crate::sim::event::State;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counted since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    by_status: Mutex<BTreeMap<u16, u64>>,
    in_flight: AtomicU64,
    prompt_tokens: AtomicU64,
    output_tokens: AtomicU64,
}

impl Counters {
    /// An answer with this status was begun.
    pub(super) fn answered(&self, status: u16) {
        *self.by_status.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_insert(0) += 1;
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

    /// The Prometheus exposition format, version 0.0.4.
    pub(super) fn text(&self, state: State) -> String {
        let mut text = String::new();
        let head = |name: &str, kind: &str, help: &str| format!("# HELP plimsoll_{name} {help}\n# TYPE plimsoll_{name} {kind}\n");
        text.push_str(&head("requests_total", "counter", "Requests answered, by status."));
        for (status, n) in &*self.by_status.lock().unwrap_or_else(PoisonError::into_inner) {
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
