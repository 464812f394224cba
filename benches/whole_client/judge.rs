//! What the null server saw: the log that judges every client, and the figures drawn from it.

use super::alarm::{cpu_ns, now_ns};
use plimsoll::base::stats::sample::{quantile_sorted, sort};
use serde::{Deserialize, Deserializer, Serialize};

/// Width of a cell of the throughput series.
const CELL_NS: u64 = 10_000_000;

/// The log of one measurement.
#[derive(Debug, Default)]
pub struct Log {
    /// Instant at which each request was read, monotonic ns.
    pub arrivals: Vec<u64>,
    /// First token written minus arrival, ns.
    pub ttft: Vec<u64>,
    /// Between writes of tokens, ns; capped at four seconds.
    pub gaps: Vec<u32>,
    /// Written later than due, ns; of paced streams.
    pub late: Vec<u32>,
    /// Replies or tokens in each cell of 10 ms from the first arrival.
    cells: Vec<u64>,
    /// Replies, or tokens of streams.
    pub units: u64,
    /// Answers that were written to their end.
    pub finished: u64,
    /// Streams open now, and at most.
    pub open: (u64, u64),
    /// Connections accepted.
    pub connections: u64,
    last_write: u64,
    cpu_at_start: u64,
}

impl Log {
    /// Starts over.
    pub fn reset(&mut self) {
        *self = Self { cpu_at_start: cpu_ns(), ..Self::default() };
    }

    /// A request has been read.
    pub fn arrival(&mut self, at: u64) {
        self.arrivals.push(at);
    }

    /// `units` have been handed to the socket.
    pub fn wrote(&mut self, at: u64, units: u64) {
        let from = self.arrivals.first().copied().unwrap_or(at);
        let cell = usize::try_from(at.saturating_sub(from) / CELL_NS).unwrap_or(0);
        if cell >= self.cells.len() {
            self.cells.resize(cell + 1, 0);
        }
        self.cells[cell] += units;
        self.units += units;
        self.last_write = at;
    }

    /// The figures.
    pub fn truth(&self) -> Truth {
        let first = self.arrivals.first().copied().unwrap_or_else(now_ns);
        let span = self.last_write.saturating_sub(first) as f64 / 1e9;
        let cpu_s = cpu_ns().saturating_sub(self.cpu_at_start) as f64 / 1e9;
        Truth {
            cpu_s,
            requests: self.arrivals.len() as u64,
            finished: self.finished,
            units: self.units,
            rate: self.middle_rate(),
            span_s: span,
            first_ns: first,
            last_ns: self.last_write,
            ttft: Quantiles::of(self.ttft.iter().map(|&ns| ns as f64 / 1e6).collect()),
            itl: Quantiles::of(self.gaps.iter().map(|&ns| f64::from(ns) / 1e6).collect()),
            late: Quantiles::of(self.late.iter().map(|&ns| f64::from(ns) / 1e6).collect()),
            busy: if span > 0.0 { cpu_s / span } else { 0.0 },
            open_most: self.open.1,
            // The one that asks for this is not a client's.
            connections: self.connections.saturating_sub(1),
            arrivals: self.arrivals.clone(),
        }
    }

    /// Units a second over the middle 80 % of the time, so that neither start nor end counts.
    fn middle_rate(&self) -> f64 {
        let cut = self.cells.len() / 10;
        let middle = self.cells.get(cut..self.cells.len() - cut).unwrap_or(&[]);
        if middle.is_empty() {
            return 0.0;
        }
        middle.iter().sum::<u64>() as f64 / (middle.len() as f64 * CELL_NS as f64 / 1e9)
    }
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Values.
    pub n: u64,
    /// Median; NaN without values, which JSON writes as null.
    #[serde(deserialize_with = "or_nan")]
    pub p50: f64,
    /// 99th percentile, nearest rank.
    #[serde(deserialize_with = "or_nan")]
    pub p99: f64,
    /// Largest.
    #[serde(deserialize_with = "or_nan")]
    pub max: f64,
}

fn or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(deserializer).map(|value| value.unwrap_or(f64::NAN))
}

impl Quantiles {
    /// Of values in any order.
    pub fn of(mut values: Vec<f64>) -> Self {
        sort(&mut values);
        let at = |p| quantile_sorted(&values, p).unwrap_or(f64::NAN);
        Self { n: values.len() as u64, p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

/// The judge's figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Truth {
    /// Requests read.
    pub requests: u64,
    /// Answers written to their end.
    pub finished: u64,
    /// Replies, or tokens.
    pub units: u64,
    /// Units a second over the middle 80 % of the time.
    pub rate: f64,
    /// First arrival to last write, seconds.
    pub span_s: f64,
    /// First arrival, monotonic ns.
    pub first_ns: u64,
    /// Last write, monotonic ns.
    pub last_ns: u64,
    /// Arrival to first token written.
    pub ttft: Quantiles,
    /// Between writes of tokens.
    pub itl: Quantiles,
    /// The server's own lateness.
    pub late: Quantiles,
    /// Processor time of the server over `span_s`.
    pub busy: f64,
    /// Processor time of the server since it was reset, seconds.
    pub cpu_s: f64,
    /// Streams open at once, most.
    pub open_most: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Instants of arrival, monotonic ns.
    pub arrivals: Vec<u64>,
}
