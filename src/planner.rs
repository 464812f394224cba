//! `Recommendation`: minimum and maximum chunks, and why; found by simulation of the demand in virtual time.

pub mod cost;
pub mod evaluate;
pub mod explain;
pub mod naive;
pub mod recommendation;
pub mod request;
pub mod search;
