//! Runs an `Experiment` in real time: a maker prepares requests ahead, a pacer releases each at its instant, workers talk to the endpoint,
//! and the caller's thread keeps the log. Nothing here waits for the endpoint before the next arrival is due.

pub mod budget;
pub mod ceiling;
mod job;
pub mod limits;
pub mod live;
mod maker;
mod pacer;
pub mod run;
mod selfcheck;
mod worker;
