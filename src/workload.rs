//! `Schedule`: the one source of load, consumed alike by the engine (real time) and by the simulator (virtual time).

pub mod arrival;
pub mod demand;
pub mod learn;
pub mod length;
pub mod prompt;
pub mod rate;
pub mod replay;
pub mod schedule;
pub mod session;
pub mod tokenizer;
pub mod trace;
