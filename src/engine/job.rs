//! `Job`: an arrival with its request, encoded before it is due.

use crate::base::time::Nanos;
use crate::protocol::openai::Call;
use crate::workload::schedule::Arrival;

/// An arrival with its encoded request.
#[derive(Debug)]
pub(crate) struct Job {
    /// What is due, and when.
    pub(crate) arrival: Arrival,
    /// The bytes to send.
    pub(crate) call: Call,
}

/// A request that ended, as the schedule needs to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    /// The arrival it belongs to.
    pub(crate) arrival: Arrival,
    /// When it ended.
    pub(crate) at: Nanos,
    /// Whether it ended well.
    pub(crate) ok: bool,
}
