//! `Summary`: the one thing that report, gate and planner read; folded from records in constant memory.

pub mod client;
pub mod document;
pub mod histogram;
pub mod hlog;
pub mod knee;
pub mod plateau;
pub mod probe;
pub mod received;
pub mod recorder;
pub mod recover;
pub mod series;
pub mod slo;
pub mod step_change;
pub mod summary;
pub mod tokens;
pub mod validity;
