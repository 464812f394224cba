//! Where a lane puts what has ended: its own histograms, its part of the log, its counts. Nothing here waits for anybody.

use super::live::Live;
use crate::base::time::Nanos;
use crate::measure::histogram::Histogram;
use crate::measure::recorder::Recorder;
use crate::record::log;
use crate::record::request::RequestRecord;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};

/// A buffer is handed over when it holds this much.
const BATCH: usize = 64 << 10;
/// A buffer is handed over when its first record is this old: a kill loses what was not.
const BATCH_AGE: Nanos = Nanos::from_millis(200);
/// Bytes that wait for the disk, at most: beyond it the load is stopped, because it would fill the memory.
const MAX_BACKLOG: u64 = 256 << 20;

/// Frames of the log from one lane.
pub(crate) struct Batch {
    /// Whose they are.
    pub(crate) lane: usize,
    /// Whole frames.
    pub(crate) frames: Vec<u8>,
}

/// What waits to be written; shared by the lanes and the keeper of the log.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: AtomicU64,
    most: AtomicU64,
    overrun: AtomicBool,
}

impl Backlog {
    /// The keeper has written `bytes`.
    pub(crate) fn written(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Most bytes that ever waited.
    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// The disk was too slow, and the load was stopped for it.
    pub(crate) fn is_overrun(&self) -> bool {
        self.overrun.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) -> bool {
        let waiting = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.most.fetch_max(waiting, Ordering::Relaxed);
        if waiting > MAX_BACKLOG {
            self.overrun.store(true, Ordering::Relaxed);
        }
        waiting <= MAX_BACKLOG
    }
}

/// Counts since the last time they were made public.
#[derive(Default)]
struct Counts {
    sent: u64,
    ended: u64,
    not_ok: u64,
    output_tokens: u64,
}

/// The outlet of one lane.
pub(crate) struct Sink {
    lane: usize,
    recorder: Recorder,
    /// Waits for a stream inside the client, where that can be.
    waits: Option<Histogram>,
    frames: Vec<u8>,
    first_at: Option<Nanos>,
    counts: Counts,
    live: Arc<Live>,
    backlog: Arc<Backlog>,
    full: Sender<Batch>,
    empty: Receiver<Vec<u8>>,
}

impl Sink {
    pub(crate) fn new(
        lane: usize,
        recorder: Recorder,
        live: Arc<Live>,
        backlog: Arc<Backlog>,
        full: Sender<Batch>,
        empty: Receiver<Vec<u8>>,
    ) -> Self {
        let frames = Vec::with_capacity(BATCH * 2);
        Self { lane, recorder, waits: None, frames, first_at: None, counts: Counts::default(), live, backlog, full, empty }
    }

    /// Requests may wait for a stream inside the client: that is counted.
    #[must_use]
    pub(crate) fn with_waits(mut self, is_shared: bool) -> Self {
        self.waits = is_shared.then(Histogram::latency);
        self
    }

    /// A request was given to a connection.
    pub(crate) fn sent(&mut self) {
        self.counts.sent += 1;
    }

    /// A request has ended, or was never sent.
    pub(crate) fn take(&mut self, record: &RequestRecord) -> io::Result<()> {
        self.counts.ended += 1;
        self.counts.not_ok += u64::from(!record.is_ok());
        self.counts.output_tokens += u64::from(record.output_tokens);
        self.recorder.observe(record);
        if let (Some(waits), Some(_)) = (&mut self.waits, record.sent) {
            waits.record_nanos(record.stream_wait);
        }
        log::append_frame(&mut self.frames, record)?;
        self.first_at.get_or_insert(record.closed);
        if self.frames.len() >= BATCH {
            self.hand_over();
        }
        Ok(())
    }

    /// Publishes the counts, and hands over what has waited long enough.
    pub(crate) fn tick(&mut self, now: Nanos) {
        let counts = std::mem::take(&mut self.counts);
        self.live.sent.fetch_add(counts.sent, Ordering::Relaxed);
        self.live.ended.fetch_add(counts.ended, Ordering::Relaxed);
        self.live.not_ok.fetch_add(counts.not_ok, Ordering::Relaxed);
        self.live.output_tokens.fetch_add(counts.output_tokens, Ordering::Relaxed);
        if self.first_at.is_some_and(|at| now.since(at) >= BATCH_AGE) {
            self.hand_over();
        }
    }

    /// Hands over everything, and gives what the lane has measured.
    pub(crate) fn finish(mut self, now: Nanos) -> (Recorder, Option<Histogram>) {
        self.tick(now);
        self.hand_over();
        (self.recorder, self.waits)
    }

    fn hand_over(&mut self) {
        self.first_at = None;
        if self.frames.is_empty() {
            return;
        }
        let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BATCH * 2));
        let frames = std::mem::replace(&mut self.frames, next);
        if !self.backlog.add(frames.len()) {
            self.live.abort();
        }
        // A keeper that has gone means that the run is over.
        let _ = self.full.send(Batch { lane: self.lane, frames });
    }
}
