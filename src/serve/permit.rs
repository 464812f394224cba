//! `Permit`: one of the requests that a workspace lets be open at once, and the seconds in which it counts them.

use crate::base::time::Nanos;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The limits of the workspace over all of its serving endpoints.
#[derive(Debug)]
pub(super) struct Limits {
    open: Arc<AtomicU32>,
    most_open: Option<u32>,
    per_second: Option<u32>,
    /// The second that is counted, and its requests.
    second: (u64, u32),
}

/// Why a workspace refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    /// Too many requests are open.
    Parallel,
    /// Too many requests in this second.
    Rate,
}

impl Limits {
    /// Nothing open.
    pub(super) fn new(most_open: Option<u32>, per_second: Option<u32>) -> Self {
        Self { open: Arc::new(AtomicU32::new(0)), most_open, per_second, second: (0, 0) }
    }

    /// A request comes at `now`.
    pub(super) fn enter(&mut self, now: Nanos) -> Result<Permit, Exceeded> {
        let second = now.0 / 1_000_000_000;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        if self.per_second.is_some_and(|most| self.second.1 >= most) {
            return Err(Exceeded::Rate);
        }
        if self.most_open.is_some_and(|most| self.open.load(Ordering::Relaxed) >= most) {
            return Err(Exceeded::Parallel);
        }
        self.second.1 += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Permit(Arc::clone(&self.open)))
    }
}

/// Held while a request is open.
#[derive(Debug)]
pub(super) struct Permit(Arc<AtomicU32>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_allowed_are_open_and_come_in_a_second() {
        let mut limits = Limits::new(Some(2), Some(3));
        let at = |ms| Nanos::from_millis(ms);
        let (first, _second) = (limits.enter(at(0)).unwrap(), limits.enter(at(1)).unwrap());
        assert_eq!(limits.enter(at(2)).unwrap_err(), Exceeded::Parallel);
        drop(first);
        let third = limits.enter(at(3)).unwrap();
        drop(third);
        assert_eq!(limits.enter(at(999)).unwrap_err(), Exceeded::Rate);
        assert!(limits.enter(at(1000)).is_ok());
    }
}
