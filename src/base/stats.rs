//! Statistics: what a sample says (`sample`), how sure one may be (`interval`), and what a correlated series says (`output`).

pub mod interval;
pub mod output;
pub mod sample;
