//! What the client knows of itself: processor time, delay of its event loops, drift of its clocks.

mod host;
pub(crate) mod proc;

use crate::base::clock::Clock;
use crate::base::time::Nanos;
pub(crate) use host::HostWatch;

/// Period of the ticker that measures the delay of an event loop.
pub(crate) const TICK: Nanos = Nanos::from_millis(10);

/// Width of a cell of [`LoopLag`].
const CELL_US: u64 = 20;
/// Cells: 200 ms in all; what is later counts in the last one.
const CELLS: usize = 10_000;

/// Delays of a ticker in fixed cells of 20 us up to 200 ms.
#[derive(Debug)]
pub(crate) struct LoopLag {
    cells: Vec<u32>,
    n: u64,
}

impl LoopLag {
    pub(crate) fn new() -> Self {
        Self { cells: vec![0; CELLS], n: 0 }
    }

    pub(crate) fn record(&mut self, lag: Nanos) {
        let cell = usize::try_from(lag.as_micros() / CELL_US).unwrap_or(CELLS).min(CELLS - 1);
        self.cells[cell] += 1;
        self.n += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            *mine += theirs;
        }
        self.n += other.n;
    }

    /// The 99th percentile in milliseconds (upper edge of its cell); 0 without ticks.
    pub(crate) fn p99_ms(&self) -> f64 {
        let rank = (self.n * 99).div_ceil(100);
        let mut seen = 0;
        for (i, &count) in self.cells.iter().enumerate() {
            seen += u64::from(count);
            if seen >= rank && self.n > 0 {
                return (i as f64 + 1.0) * CELL_US as f64 / 1000.0;
            }
        }
        0.0
    }
}

/// How far the wall clock moved against the monotonic clock since the start, parts per million.
pub(crate) fn drift_ppm(clock: &Clock) -> f64 {
    let mono = clock.now().as_secs_f64();
    let wall = (clock.wall_now_ns() as f64 - clock.wall_origin_ns() as f64) / 1e9;
    if mono < 1.0 { 0.0 } else { (wall - mono) / mono * 1e6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_is_the_edge_of_its_cell() {
        let mut lag = LoopLag::new();
        assert_eq!(lag.p99_ms(), 0.0);
        for _ in 0..99 {
            lag.record(Nanos::from_micros(100));
        }
        lag.record(Nanos::from_secs(1));
        assert!((lag.p99_ms() - 0.12).abs() < 1e-9);
        let mut other = LoopLag::new();
        other.record(Nanos::from_millis(50));
        other.record(Nanos::from_millis(50));
        lag.merge(&other);
        assert!((lag.p99_ms() - 50.02).abs() < 1e-9, "{}", lag.p99_ms());
    }
}
