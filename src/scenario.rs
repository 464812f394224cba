//! What the user asked for: the model of a scenario file, its check, and the `Experiment` in which nothing is left implicit.

pub mod autoscaler;
pub mod check;
pub mod endpoint;
pub mod experiment;
pub mod gate;
pub mod load;
pub mod model;
pub mod plan;
pub mod price;
pub mod schema;
pub mod slo;
pub mod target;
pub mod unit;
pub mod workload;
pub mod workspace;
