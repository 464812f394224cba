//! `Report`: the verdict on a change, from runs that have been made. The unit is the pair of runs with the same workload seed.
//!
//! Modes: [`paired`] (base and head loaded in turns), [`files`] (runs on disk), [`history`] (the head against accepted runs), [`slo`] (an absolute
//! promise), [`trend`] (one point a night), [`calibrate`] (what the noise lets one see). Formulas and sources: docs/METHOD.md, "Gates"; proof: docs/GATES.md.

mod baseline;
pub mod calibrate;
mod document;
mod evidence;
pub mod files;
mod fingerprint;
pub mod history;
mod judge;
mod metric;
pub mod paired;
mod power;
mod rules;
mod run;
pub mod slo;
mod summing;
pub mod trend;
mod words;

pub use baseline::{BASELINE_BYTES, BASELINE_VERSION, Baseline, BaselineError, Entry, RUNS_NEEDED};
pub use document::{
    Change, Drift, Look, LookRow, MetricVerdict, Mode, Noise, Promise, Report, Robustness, Round, Row, SCHEMA_VERSION, SideFacts, Verdict,
    json_schema,
};
pub use fingerprint::{Difference, Fact, Fingerprint};
pub use metric::{Better, Metric, Scale};
pub use rules::{Role, Rules, Term};
pub use run::{Order, Pair, Run, Value};

#[cfg(test)]
mod fixture;
