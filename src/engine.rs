//! Runs an `Experiment` in real time, thread per core: every lane has its own part of the schedule, its pacer, its connections, its histograms and
//! its log buffer; the caller's thread keeps the log. Nothing here waits for the endpoint before the next arrival is due.

mod ahead;
pub mod budget;
pub mod ceiling;
mod lane;
pub mod limits;
pub mod live;
mod pacer;
mod renewal;
pub mod run;
mod selfcheck;
mod sink;
mod timer;
pub mod workspace_limits;
