//! Words every other module speaks: time, seeded streams, units, statistics, diagnostics. Depends on nothing of ours.

pub mod clock;
pub mod diag;
pub mod rng;
pub mod stats;
pub mod time;
pub mod units;
