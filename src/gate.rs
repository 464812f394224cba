//! `Report`: the verdict on a change, from runs that have been made. The unit is the pair of runs with the same workload seed.
//!
//! Formulas and sources: docs/METHOD.md, "Gates"; proof: docs/GATES.md.

mod document;
mod fingerprint;
mod metric;
mod rules;
mod run;

pub use document::{
    Change, Drift, Look, LookRow, MetricVerdict, Mode, Noise, Promise, Report, Robustness, Round, Row, SCHEMA_VERSION, SideFacts, Verdict,
    json_schema,
};
pub use fingerprint::{Difference, Fact, Fingerprint};
pub use metric::{Better, Metric, Scale};
pub use rules::{Role, Rules, Term};
pub use run::{Order, Pair, Run, Value};
