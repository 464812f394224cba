//! Wakes tasks at instants of the monotonic clock, to some ten microseconds: a kernel timer to shortly before, then yielding.

use rustix::fd::OwnedFd;
use rustix::time::{ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime};
use rustix::time::{timerfd_create, timerfd_settime};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use tokio::io::unix::AsyncFd;

/// The kernel timer is set this much ahead; the rest is spent yielding.
const AHEAD_NS: u64 = 50_000;

/// Nanoseconds of the monotonic clock, which every process of this machine shares.
pub fn now_ns() -> u64 {
    ns_of(ClockId::Monotonic)
}

/// Nanoseconds since 1970.
pub fn wall_ns() -> u64 {
    ns_of(ClockId::Realtime)
}

/// Processor time of this process, nanoseconds.
pub fn cpu_ns() -> u64 {
    ns_of(ClockId::ProcessCPUTime)
}

fn ns_of(clock: ClockId) -> u64 {
    let t = clock_gettime(clock);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0)
}

/// The alarms of one runtime.
#[derive(Debug)]
pub struct Alarms {
    timer: AsyncFd<OwnedFd>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    due: BinaryHeap<Reverse<Entry>>,
    /// What the kernel timer is set for; 0 while the driver looks by itself.
    armed: u64,
    order: u64,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    order: u64,
    waker: Waker,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl Alarms {
    /// Starts the driver on the current runtime.
    pub fn start() -> Result<Arc<Self>, String> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC).map_err(|e| format!("timerfd: {e}"))?;
        #[expect(deprecated, reason = "the other constructor is unsafe; an owned descriptor is what this one wants")]
        let timer = AsyncFd::new(timer).map_err(|e| format!("timerfd: {e}"))?;
        let alarms = Arc::new(Self { timer, queue: Mutex::new(Queue { armed: u64::MAX, ..Queue::default() }) });
        tokio::spawn(Arc::clone(&alarms).drive());
        Ok(alarms)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes `waker` at `at`, not before.
    pub fn wake_at(&self, at: u64, waker: Waker) {
        let mut queue = self.queue();
        queue.order += 1;
        let order = queue.order;
        queue.due.push(Reverse(Entry { at, order, waker }));
        if at < queue.armed {
            queue.armed = at;
            self.arm(at);
        }
    }

    /// Waits until `at`.
    pub async fn until(&self, at: u64) {
        poll_fn(|cx| {
            if now_ns() >= at {
                return Poll::Ready(());
            }
            self.wake_at(at, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn arm(&self, at: u64) {
        let at = at.saturating_sub(AHEAD_NS).max(1);
        let value = Timespec { tv_sec: i64::try_from(at / 1_000_000_000).unwrap_or(0), tv_nsec: i64::try_from(at % 1_000_000_000).unwrap_or(0) };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        let _ = timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &spec);
    }

    async fn drive(self: Arc<Self>) {
        loop {
            let Ok(mut guard) = self.timer.readable().await else { return };
            let _ = guard.try_io(|fd| rustix::io::read(fd.get_ref(), &mut [0_u8; 8]).map_err(Into::into));
            drop(guard);
            while self.ring() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Wakes what is due; true while the next alarm is so near that the driver keeps looking.
    fn ring(&self) -> bool {
        let now = now_ns();
        let mut queue = self.queue();
        queue.armed = 0;
        while queue.due.peek().is_some_and(|next| next.0.at <= now) {
            if let Some(Reverse(entry)) = queue.due.pop() {
                entry.waker.wake();
            }
        }
        let next = queue.due.peek().map_or(u64::MAX, |next| next.0.at);
        if next <= now + AHEAD_NS {
            return true;
        }
        queue.armed = next;
        if next < u64::MAX {
            self.arm(next);
        }
        false
    }
}
