//! `Clock`: the only place that asks the machine for the time.
#![expect(clippy::disallowed_methods, reason = "the one home of the machine's clocks")]

use super::time::Nanos;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock that counts from the start of a run, and remembers the wall time of that start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    wall_origin_ns: u64,
}

impl Clock {
    /// A clock whose zero is now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now(), wall_origin_ns: wall_ns() }
    }

    /// A clock whose zero lies `delay` ahead: until then it stands at zero. Gives a run time to get its threads ready.
    #[must_use]
    pub fn starting_in(delay: Nanos) -> Self {
        Self { origin: Instant::now() + delay.to_std(), wall_origin_ns: wall_ns().saturating_add(delay.0) }
    }

    /// The monotonic time since the start.
    #[must_use]
    pub fn now(&self) -> Nanos {
        Nanos::from_std(self.origin.elapsed())
    }

    /// The wall time of the start, nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn wall_origin_ns(&self) -> u64 {
        self.wall_origin_ns
    }

    /// The machine's wall time now, nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn wall_now_ns(&self) -> u64 {
        wall_ns()
    }

    /// The instant `at` as the standard library knows it, for timers.
    #[must_use]
    pub fn instant(&self, at: Nanos) -> Instant {
        self.origin + at.to_std()
    }
}

fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| Nanos::from_std(d).0)
}
