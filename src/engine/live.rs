//! `Live`: counters that others may read while a run goes on (progress, in-flight bound, stop).

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Counters of a run in progress. Shared by every thread; each is a plain atomic, nothing is locked.
#[derive(Debug, Default)]
pub struct Live {
    pub(crate) sent: AtomicU64,
    pub(crate) ended: AtomicU64,
    pub(crate) not_ok: AtomicU64,
    pub(crate) output_tokens: AtomicU64,
    pub(crate) in_flight: AtomicU32,
    pub(crate) stop: AtomicBool,
    pub(crate) abort: AtomicBool,
}

/// The counters at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests handed to a worker.
    pub sent: u64,
    /// Requests that ended.
    pub ended: u64,
    /// Of these, not well.
    pub not_ok: u64,
    /// Output tokens received.
    pub output_tokens: u64,
    /// Requests open now.
    pub in_flight: u32,
}

impl Live {
    /// The counters now.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            sent: self.sent.load(Ordering::Relaxed),
            ended: self.ended.load(Ordering::Relaxed),
            not_ok: self.not_ok.load(Ordering::Relaxed),
            output_tokens: self.output_tokens.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
        }
    }

    /// No new arrivals; what is open may end within a short drain.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// End now; what is open is recorded as cancelled.
    pub fn abort(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.abort.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.abort.load(Ordering::Relaxed)
    }
}
