//! Statistics: what a sample says (`sample`), how sure one may be (`interval`), and what a correlated series says (`output`);
//! the special functions they need (`special`).

pub mod interval;
pub mod output;
pub mod sample;
pub mod special;
