//! Statistics: what a sample says (`sample`), and how sure one may be (`interval`).

pub mod interval;
pub mod sample;
