//! Statistics: what a sample says (`sample`), how sure one may be (`interval`), whether two samples differ (`hypothesis`, `rank`), and what a
//! correlated series says (`output`); the special functions they need (`special`).

pub mod hypothesis;
pub mod interval;
pub mod output;
pub mod rank;
pub mod sample;
pub mod special;
