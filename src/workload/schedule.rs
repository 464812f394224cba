//! `Schedule`: a seeded state machine that says which request is due when. It knows no clock: its drivers tell it what completed.

use crate::base::time::Nanos;
use crate::record::request::Phase;

/// One request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Number in order of arrival, from 0.
    pub seq: u64,
    /// When it is due, from load start. Absolute: never moved.
    pub at: Nanos,
    /// By `at`: before the end of warm-up, or inside the measured window.
    pub phase: Phase,
    /// Input tokens, the whole conversation so far for later turns.
    pub input_tokens: u32,
    /// Output tokens.
    pub output_tokens: u32,
    /// Leading input tokens shared with other requests (prefix group or earlier turns), for caches.
    pub shared_tokens: u32,
    /// Which shared prefix.
    pub prefix_group: u32,
    /// Session and turn, for multi-turn load.
    pub session: Option<(u64, u32)>,
    /// Closed loop: which user.
    pub user: Option<u32>,
}
