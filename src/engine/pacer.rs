//! The pacer: the one place that waits for an instant. Sleeps until shortly before it, then spins; tokio's timer is a millisecond late by design.

use super::job::Job;
use super::live::Live;
use crate::base::clock::Clock;
use crate::base::time::Nanos;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// The last stretch before an instant is spun: longer than a timer with 1 ns of slack is late on a quiet core (20 to 40 us).
const SPIN: Nanos = Nanos::from_micros(60);

/// How often a waiting pacer looks whether the run was stopped.
const STOP_CHECK: Duration = Duration::from_millis(20);

/// Jobs in order of their instants; ties in order of the schedule.
struct Due(Job);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}
impl Due {
    fn key(&self) -> (Nanos, u64) {
        (self.0.arrival.at, self.0.arrival.seq)
    }
}

/// What becomes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Its instant has come.
    Due,
    /// Its instant had passed when the run was stopped: it was due, and is recorded as not sent.
    Overdue,
}

/// Releases every job at its instant through `release`, until the maker is done. When the run is stopped, what was due by then is handed over as
/// overdue, and what was not yet due is dropped.
pub(crate) fn run(clock: &Clock, live: &Live, jobs: &Receiver<Job>, mut release: impl FnMut(Job, Turn)) {
    // Timer slack is 50 us by default; a refusal leaves only that.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let mut heap: BinaryHeap<Reverse<Due>> = BinaryHeap::new();
    let mut more = true;
    while !live.is_stopped() && (more || !heap.is_empty()) {
        let now = clock.now();
        let wait = match heap.peek() {
            Some(Reverse(due)) if due.0.arrival.at <= now => {
                if let Some(Reverse(Due(job))) = heap.pop() {
                    release(job, Turn::Due);
                }
                continue;
            }
            Some(Reverse(due)) => due.0.arrival.at.since(now),
            None => Nanos::MAX,
        };
        if wait <= SPIN {
            while let Ok(job) = jobs.try_recv() {
                heap.push(Reverse(Due(job)));
            }
            std::hint::spin_loop();
            continue;
        }
        let nap = (wait - SPIN).to_std().min(STOP_CHECK);
        if more {
            match jobs.recv_timeout(nap) {
                Ok(job) => heap.push(Reverse(Due(job))),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => more = false,
            }
        } else {
            nap_for(nap);
        }
    }
    let stopped = clock.now();
    // The maker ends by itself after a stop, and with it this channel.
    let late = heap.into_iter().map(|Reverse(Due(job))| job).chain(jobs.iter());
    for job in late.filter(|job| job.arrival.at <= stopped) {
        release(job, Turn::Overdue);
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
fn nap_for(nap: Duration) {
    std::thread::sleep(nap);
}
