//! A timer that fires within microseconds of its instant and wakes the runtime it belongs to; tokio's own is up to two milliseconds late.

use crate::base::clock::Clock;
use crate::base::time::Nanos;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use std::cell::Cell;
use std::io;
use std::task::{Context, Poll};
use tokio::io::unix::AsyncFd;

/// One kernel timer (`timerfd`), readable when it has fired.
pub(crate) struct Timer {
    fd: AsyncFd<OwnedFd>,
    clock: Clock,
    armed: Cell<Option<Nanos>>,
}

impl Timer {
    /// Must be called inside a runtime with IO.
    pub(crate) fn new(clock: Clock) -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "its successor is unsafe to call; the timer owns its descriptor for as long as the runtime knows it")]
        let fd = AsyncFd::new(fd)?;
        Ok(Self { fd, clock, armed: Cell::new(None) })
    }

    /// Fires at `at`, at once if that has passed; `None`: not at all.
    pub(crate) fn set(&self, at: Option<Nanos>) -> io::Result<()> {
        if self.armed.get() == at {
            return Ok(());
        }
        // Zero would disarm it.
        let wait = at.map(|at| at.since(self.clock.now()).max(Nanos(1)));
        let it_value = match wait {
            Some(wait) => Timespec {
                tv_sec: i64::try_from(wait.0 / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(wait.0 % 1_000_000_000).unwrap_or(0),
            },
            None => Timespec { tv_sec: 0, tv_nsec: 0 },
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
        self.armed.set(at);
        Ok(())
    }

    /// Whether it fires later than `at`, or not at all.
    pub(crate) fn is_later_than(&self, at: Option<Nanos>) -> bool {
        match (self.armed.get(), at) {
            (Some(armed), Some(at)) => armed > at,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }

    /// Ready once it has fired since it was set.
    pub(crate) fn poll_fired(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = match self.fd.poll_read_ready(cx) {
                Poll::Ready(guard) => guard?,
                Poll::Pending => return Poll::Pending,
            };
            let mut count = [0_u8; 8];
            match rustix::io::read(self.fd.get_ref(), &mut count) {
                Ok(_) => {
                    self.armed.set(None);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(Errno::INTR) => {}
                Err(fault) => return Poll::Ready(Err(fault.into())),
            }
        }
    }
}
