//! The pacer of a lane: waits for the instant of the next arrival. It sleeps on a kernel timer until shortly before, then looks at the clock again
//! and again; between two looks the runtime reads what has arrived, so that no answer is stamped late because a request is about to go out.

use super::lane::Lane;
use super::selfcheck::TICK;
use super::timer::Timer;
use crate::base::time::Nanos;
use crate::record::outcome::Outcome;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;

/// The last stretch before an instant is not slept: a kernel timer wakes an idle core 30 to 80 us late.
const SPIN: Nanos = Nanos::from_micros(80);

/// Sends every request of the lane at its instant, and prepares the ones to come while nothing is due. Ends with the last answer.
pub(crate) async fn pace(lane: &Rc<Lane>) -> io::Result<()> {
    // What encoding the next request takes, by the ones before.
    let mut cost = Nanos::from_micros(10);
    loop {
        let now = lane.clock.now();
        lane.turn(now);
        if lane.is_over() {
            return Ok(());
        }
        let next = if lane.is_stopped.get() { None } else { lane.ahead.borrow().next_at() };
        let wait = next.map_or(Nanos::MAX, |at| at.since(now));
        if wait > cost + cost && !lane.is_stopped.get() && lane.ahead.borrow_mut().prepare(now) {
            cost = Nanos((cost.0 * 7 + lane.clock.now().since(now).0) / 8);
            tokio::task::yield_now().await;
        } else if wait <= SPIN {
            tokio::task::yield_now().await;
        } else {
            let wake = if lane.is_stopped.get() { None } else { lane.ahead.borrow().wake_at(SPIN) };
            lane.timer.set(wake)?;
            lane.rest().await?;
        }
    }
}

/// Every 10 ms: how late the event loop is, whether the run is to end, a new token, whose time is up, what there is to
/// hand over.
pub(crate) async fn tick(lane: Rc<Lane>) -> io::Result<()> {
    let timer = Timer::new(lane.clock)?;
    let mut next = lane.clock.now() + TICK;
    let (mut is_cut, mut token_seen) = (false, 0);
    loop {
        timer.set(Some(next))?;
        poll_fn(|cx| timer.poll_fired(cx)).await?;
        let now = lane.clock.now();
        lane.lag.borrow_mut().record(now.since(next));
        next = (next + TICK).max(now);
        let cut = lane.shared.cut.outcome();
        if lane.shared.live.is_stopped() || cut.is_some() {
            lane.stop(now, cut.unwrap_or(Outcome::Cancelled));
        }
        if let Some(outcome) = cut.filter(|_| !is_cut) {
            lane.client.cut(outcome);
            is_cut = true;
        }
        if let Some(token) = lane.shared.tokens.newer_than(&mut token_seen) {
            // It was checked when it was read.
            let _ = lane.client.renew(&token);
        }
        lane.client.sweep(now);
        lane.sink.borrow_mut().tick(now);
    }
}
