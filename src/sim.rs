//! The endpoint as a state machine: `offer`, `next_wakeup`, `advance`. It knows no clock; planning drives it in virtual time, `serve` in real time.

pub mod autoscale;
pub mod bulk;
mod calendar;
pub mod endpoint;
pub mod event;
pub mod fit;
mod outbox;
mod replica;
mod routing;
mod step;
pub mod virtual_time;
