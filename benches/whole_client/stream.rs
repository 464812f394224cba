//! The body of a streamed answer: flooding with one write at a time, or each token at its instant.

use super::alarm::{Alarms, now_ns};
use super::answer::{Answer, Parts};
use super::judge::Log;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// A stream that is being written.
pub struct Stream {
    answer: Answer,
    parts: Arc<Parts>,
    with_usage: bool,
    log: Arc<Mutex<Log>>,
    alarms: Arc<Alarms>,
    arrival: u64,
    sent: u32,
    last: u64,
    has_yielded: bool,
    is_over: bool,
}

impl Stream {
    /// Begins a stream for a request read at `arrival`.
    pub fn new(answer: Answer, parts: Arc<Parts>, with_usage: bool, log: Arc<Mutex<Log>>, alarms: Arc<Alarms>, arrival: u64) -> Self {
        let mut seen = log.lock().unwrap_or_else(PoisonError::into_inner);
        seen.open.0 += 1;
        seen.open.1 = seen.open.1.max(seen.open.0);
        drop(seen);
        Self { answer, parts, with_usage, log, alarms, arrival, sent: 0, last: 0, has_yielded: false, is_over: false }
    }

    fn is_paced(&self) -> bool {
        self.answer.itl_us > 0 || self.answer.ttft_us > 0
    }

    /// When the next token is due, from the arrival on, whatever became of the ones before.
    fn due(&self) -> u64 {
        self.arrival + (self.answer.ttft_us + u64::from(self.sent) * self.answer.itl_us) * 1000
    }

    /// The tokens of one write.
    fn write(&mut self, now: u64) -> Bytes {
        let tokens = self.answer.per_write.min(self.answer.tokens - self.sent);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if self.sent == 0 {
            log.ttft.push(now - self.arrival);
        } else {
            log.gaps.push(u32::try_from(now - self.last).unwrap_or(u32::MAX));
        }
        if self.is_paced() {
            let late = now.saturating_sub(self.due());
            log.late.push(u32::try_from(late).unwrap_or(u32::MAX));
        }
        log.wrote(now, u64::from(tokens));
        let full = tokens == self.answer.per_write;
        let is_first = self.sent == 0;
        self.sent += tokens;
        self.last = now;
        let is_last = self.sent == self.answer.tokens;
        if is_last {
            log.finished += 1;
        }
        drop(log);
        if full && !is_first && !is_last {
            return self.parts.tokens.clone();
        }
        let mut out = BytesMut::with_capacity(self.parts.tokens.len() + 1024);
        if is_first {
            out.extend_from_slice(&self.parts.role);
        }
        for _ in 0..tokens {
            out.extend_from_slice(&self.parts.token);
        }
        if is_last {
            out.extend_from_slice(if self.with_usage { &self.parts.end_with_usage } else { &self.parts.end });
            self.is_over = true;
        }
        out.freeze()
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.is_paced() {
            let due = self.due();
            if now_ns() < due {
                self.alarms.wake_at(due, cx.waker().clone());
                return Poll::Pending;
            }
        } else if self.sent > 0 && !std::mem::replace(&mut self.has_yielded, true) {
            // A pending body makes hyper flush: every event is a write of its own, as real servers do it.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_yielded = false;
        let bytes = self.write(now_ns());
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.open.0 = log.open.0.saturating_sub(1);
    }
}
