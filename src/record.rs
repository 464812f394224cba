//! What happened: one plain struct a request, shared by measured and simulated runs, and the append-only log that keeps it.

pub mod log;
pub mod manifest;
pub mod outcome;
pub mod request;
pub mod table;
