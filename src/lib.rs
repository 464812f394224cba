//! Plimsoll: capacity planning and load testing for LLM serving endpoints.
//!
//! One [`workload`] schedule, two executors ([`engine`] in real time, [`sim`] in virtual time), one
//! [`record::request::RequestRecord`]: measuring, planning and reporting cannot tell them apart.
//!
//! Ranks; a module uses lower ranks only (`tests/tidy.rs` enforces it), and only those marked `*` touch clock, sockets, files or environment:
//! ```text
//! 6 cli*
//! 5 report
//! 4 engine*  serve*  planner  gate
//! 3 client*  sim
//! 2 workload  protocol  measure
//! 1 scenario  record
//! 0 base
//! ```

pub mod base;
pub mod cli;
pub mod client;
pub mod engine;
pub mod gate;
pub mod measure;
pub mod planner;
pub mod protocol;
pub mod record;
pub mod report;
pub mod scenario;
pub mod serve;
pub mod sim;
pub mod workload;
