//! The time series of a run: one interval after the other, in bounded memory: a run too long for its intervals gets longer intervals.

use super::received::{Portion, UNITS_PER_TOKEN};
use super::summary::{Series, SeriesPoint};
use crate::base::time::Nanos;

/// Intervals, at most. At one more, neighbours are joined and the step doubles.
const MAX_INTERVALS: usize = 4096;
/// Instants per interval at which requests in flight are looked at.
const LOOKS: usize = 16;
/// First tokens in an interval below which its 95th percentile says nothing.
const P95_NEEDS: u64 = 20;

/// What happened, by interval from load start. Equal observations give equal series, in whatever order and on however many parts they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervals {
    step: u64,
    parts: Vec<Interval>,
    /// Requests sent minus requests closed, by `step / LOOKS`.
    in_flight_change: Vec<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Interval {
    offered: u64,
    sent: u64,
    completed: u64,
    errors: u64,
    output_units: u64,
    input_tokens: u64,
    ttft: Sketch,
}

/// What is counted in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// A request was due.
    Offered,
    /// A request was sent.
    Sent,
    /// A request ended well.
    Completed,
    /// A request ended otherwise.
    Error,
}

impl Intervals {
    /// Empty, with intervals of `step` (at least 16 ns).
    #[must_use]
    pub fn new(step: Nanos) -> Self {
        Self { step: step.0.max(LOOKS as u64), parts: Vec::new(), in_flight_change: Vec::new() }
    }

    /// Counts one event.
    pub fn count(&mut self, what: Count, at: Nanos) {
        let interval = self.at(at);
        match what {
            Count::Offered => interval.offered += 1,
            Count::Sent => interval.sent += 1,
            Count::Completed => interval.completed += 1,
            Count::Error => interval.errors += 1,
        }
    }

    /// A request was in flight from `sent` to `closed`.
    pub fn in_flight(&mut self, sent: Nanos, closed: Nanos) {
        self.at(closed.max(sent));
        let from = self.look(sent);
        self.in_flight_change[from] += 1;
        let to = self.look(closed.max(sent));
        self.in_flight_change[to] -= 1;
    }

    /// A first token came, of a request with `input_tokens`.
    pub fn first_token(&mut self, at: Nanos, ttft: Nanos, input_tokens: u32) {
        let interval = self.at(at);
        interval.ttft.record(ttft.0);
        interval.input_tokens += u64::from(input_tokens);
    }

    /// An answer without tokens came, of a request with `input_tokens`.
    pub fn answer(&mut self, at: Nanos, input_tokens: u32) {
        self.at(at).input_tokens += u64::from(input_tokens);
    }

    /// Output came in.
    pub fn output(&mut self, portion: &Portion) {
        let end = self.at(portion.to.max(portion.from));
        if portion.from == portion.to {
            end.output_units += portion.units;
            return;
        }
        let (first, last) = (self.index(portion.from), self.index(portion.to));
        if first == last {
            self.parts[first].output_units += portion.units;
            return;
        }
        let mut before = 0;
        for i in first..=last {
            let until = if i == last { portion.units } else { portion.before(Nanos((i as u64 + 1).saturating_mul(self.step))) };
            self.parts[i].output_units += until - before;
            before = until;
        }
    }

    /// Adds what `other` saw. Both must have begun with the same step.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        while self.step < other.step {
            self.coarsen();
        }
        while other.step < self.step {
            other.coarsen();
        }
        if self.parts.len() < other.parts.len() {
            std::mem::swap(self, &mut other);
        }
        for (mine, theirs) in self.parts.iter_mut().zip(&other.parts) {
            mine.add(theirs);
        }
        for (mine, theirs) in self.in_flight_change.iter_mut().zip(&other.in_flight_change) {
            *mine += theirs;
        }
    }

    /// Most requests in flight at any of the instants looked at, 16 an interval.
    #[must_use]
    pub fn in_flight_max(&self) -> u32 {
        let mut level = 0_i64;
        let mut most = 0_i64;
        for change in &self.in_flight_change {
            level += change;
            most = most.max(level);
        }
        u32::try_from(most).unwrap_or(u32::MAX)
    }

    /// Mean requests in flight over each of `parts` equal parts of `[start, end)`, from 16 looks an interval; empty when there are fewer looks
    /// than parts.
    #[must_use]
    pub fn in_flight_levels(&self, (start, end): (Nanos, Nanos), parts: usize) -> Vec<f64> {
        let place = |at: Nanos| usize::try_from(u128::from(at.0) * LOOKS as u128 / u128::from(self.step)).unwrap_or(usize::MAX);
        let (first, last) = (place(start), place(end));
        let n = last.saturating_sub(first);
        if parts == 0 || n < parts {
            return Vec::new();
        }
        let mut level: i64 = self.in_flight_change.iter().take(first).sum();
        let mut sums = vec![(0.0, 0_u32); parts];
        for look in first..last {
            level += self.in_flight_change.get(look).copied().unwrap_or(0);
            let part = &mut sums[(look - first) * parts / n];
            part.0 += level as f64;
            part.1 += 1;
        }
        sums.into_iter().map(|(sum, looks)| sum / f64::from(looks)).collect()
    }

    /// The points of the series.
    #[must_use]
    pub fn series(&self) -> Series {
        let step_s = Nanos(self.step).as_secs_f64();
        let mut level = 0_i64;
        let point = |(interval, changes): (&Interval, &[i64])| {
            level += changes.iter().sum::<i64>();
            SeriesPoint {
                offered: interval.offered as f64 / step_s,
                sent: interval.sent as f64 / step_s,
                completed: interval.completed as f64 / step_s,
                errors: interval.errors as f64 / step_s,
                in_flight: u32::try_from(level).unwrap_or(0),
                output_tok_s: interval.output_units as f64 / UNITS_PER_TOKEN as f64 / step_s,
                input_tok_s: interval.input_tokens as f64 / step_s,
                ttft_p50_ms: interval.ttft.quantile_ms(1, 2),
                ttft_p95_ms: (interval.ttft.n >= P95_NEEDS).then(|| interval.ttft.quantile_ms(19, 20)).flatten(),
            }
        };
        Series { step_s, points: self.parts.iter().zip(self.in_flight_change.chunks(LOOKS)).map(point).collect() }
    }

    /// The interval that holds `at`, made if need be.
    fn at(&mut self, at: Nanos) -> &mut Interval {
        let mut index = at.0 / self.step;
        while index >= MAX_INTERVALS as u64 {
            self.coarsen();
            index = at.0 / self.step;
        }
        let index = usize::try_from(index).expect("fewer than MAX_INTERVALS");
        if index >= self.parts.len() {
            self.parts.resize_with(index + 1, Interval::default);
            self.in_flight_change.resize((index + 1) * LOOKS, 0);
        }
        &mut self.parts[index]
    }

    /// Only for instants that `at` has made room for.
    fn index(&self, at: Nanos) -> usize {
        usize::try_from(at.0 / self.step).expect("fewer than MAX_INTERVALS: `at` made room")
    }

    fn look(&self, at: Nanos) -> usize {
        let index = self.index(at);
        let rest = at.0 - index as u64 * self.step;
        let within = u128::from(rest) * LOOKS as u128 / u128::from(self.step);
        index * LOOKS + usize::try_from(within).expect("rest < step, so within < LOOKS")
    }

    /// Joins neighbours; the step doubles.
    fn coarsen(&mut self) {
        self.step = self.step.saturating_mul(2);
        let mut joined = Vec::with_capacity(self.parts.len().div_ceil(2));
        for pair in self.parts.chunks_mut(2) {
            let mut sum = std::mem::take(&mut pair[0]);
            if let Some(second) = pair.get(1) {
                sum.add(second);
            }
            joined.push(sum);
        }
        self.parts = joined;
        self.in_flight_change = self.in_flight_change.chunks(2).map(|pair| pair.iter().sum()).collect();
        self.in_flight_change.resize(self.parts.len() * LOOKS, 0);
    }
}

impl Interval {
    fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.sent += other.sent;
        self.completed += other.completed;
        self.errors += other.errors;
        self.output_units += other.output_units;
        self.input_tokens += other.input_tokens;
        self.ttft.add(&other.ttft);
    }
}

/// A histogram that takes memory only for what is in it: 64 cells an octave, so a value is read back within 0.8 %. Whole-number arithmetic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sketch {
    n: u64,
    /// Cell and count, by rising cell.
    cells: Vec<(u16, u32)>,
}

impl Sketch {
    fn record(&mut self, value: u64) {
        self.add_cell(cell_of(value), 1);
    }

    fn add(&mut self, other: &Self) {
        for &(cell, count) in &other.cells {
            self.add_cell(cell, count);
        }
    }

    fn add_cell(&mut self, cell: u16, count: u32) {
        self.n += u64::from(count);
        match self.cells.binary_search_by_key(&cell, |&(c, _)| c) {
            Ok(i) => self.cells[i].1 = self.cells[i].1.saturating_add(count),
            Err(i) => self.cells.insert(i, (cell, count)),
        }
    }

    /// The value of rank ceil(n * numerator / denominator), from nanoseconds to milliseconds.
    fn quantile_ms(&self, numerator: u64, denominator: u64) -> Option<f64> {
        let rank = (self.n * numerator).div_ceil(denominator).max(1);
        let mut seen = 0;
        let cell = self.cells.iter().find(|&&(_, count)| {
            seen += u64::from(count);
            seen >= rank
        })?;
        Some(middle_of(cell.0) / 1e6)
    }
}

/// Values below 64 have a cell each; above, the six bits after the leading one choose among 64 cells of the octave.
fn cell_of(value: u64) -> u16 {
    if value < 64 {
        return u16::try_from(value).expect("below 64");
    }
    let shift = value.ilog2() - 6;
    let cell = u64::from(shift + 1) * 64 + ((value >> shift) & 63);
    u16::try_from(cell).expect("at most 58 * 64 + 63")
}

fn middle_of(cell: u16) -> f64 {
    if cell < 64 {
        return f64::from(cell);
    }
    let width = f64::from(2).powi(i32::from(cell / 64) - 1);
    (f64::from(64 + cell % 64) + 0.5) * width
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Nanos = Nanos(1_000_000_000);

    #[test]
    fn events_fall_into_their_intervals() {
        let mut s = Intervals::new(SECOND);
        s.count(Count::Offered, Nanos::from_millis(100));
        s.count(Count::Offered, Nanos::from_millis(1999));
        s.count(Count::Sent, Nanos::from_millis(1000));
        s.first_token(Nanos::from_millis(2500), Nanos::from_millis(400), 70);
        s.output(&Portion { from: Nanos::from_millis(1500), to: Nanos::from_millis(3500), units: 8 * UNITS_PER_TOKEN });
        s.in_flight(Nanos::from_millis(500), Nanos::from_millis(2500));
        s.in_flight(Nanos::from_millis(1500), Nanos::from_millis(1700));
        let series = s.series();
        let p = &series.points;
        assert_eq!((series.step_s, p.len()), (1.0, 4));
        assert_eq!((p[0].offered, p[1].offered, p[1].sent), (1.0, 1.0, 1.0));
        assert_eq!((p[1].output_tok_s, p[2].output_tok_s, p[3].output_tok_s), (2.0, 4.0, 2.0));
        assert_eq!((p[0].in_flight, p[1].in_flight, p[2].in_flight), (1, 1, 0));
        assert_eq!((p[2].input_tok_s, p[2].ttft_p95_ms), (70.0, None));
        assert!((p[2].ttft_p50_ms.unwrap() / 400.0 - 1.0).abs() < 0.008);
        assert_eq!(s.in_flight_max(), 2);
        assert_eq!(s.in_flight_levels((SECOND, Nanos::from_secs(3)), 2), [1.0 + 3.0 / 16.0, 0.5]);
        assert_eq!(s.in_flight_levels((SECOND, Nanos::from_millis(1_100)), 2), [0.0; 0]);
    }

    #[test]
    fn a_long_run_gets_longer_intervals_and_loses_no_event() {
        let mut s = Intervals::new(SECOND);
        for i in 0..50_000 {
            s.count(Count::Offered, Nanos::from_secs(i));
            s.in_flight(Nanos::from_secs(i), Nanos::from_secs(i + 40));
        }
        let series = s.series();
        assert_eq!(series.step_s, 16.0);
        assert!(series.points.len() <= MAX_INTERVALS);
        assert_eq!(series.points.iter().map(|p| p.offered * series.step_s).sum::<f64>(), 50_000.0);
        assert_eq!(s.in_flight_max(), 40);
        s.count(Count::Error, Nanos::MAX);
        assert!(s.series().points.len() <= MAX_INTERVALS);
    }

    proptest! {
        /// forall events, split: merge of the parts == the whole, although the parts may have stopped at different steps.
        #[test]
        fn merging_is_exact(events in proptest::collection::vec((0_u64..20_000, 0_u64..5_000), 0..60), split in 0_usize..60) {
            let fold = |events: &[(u64, u64)]| {
                let mut s = Intervals::new(SECOND);
                for &(at, long) in events {
                    let (from, to) = (Nanos::from_secs(at), Nanos::from_secs(at + long));
                    s.count(Count::Offered, from);
                    s.in_flight(from, to);
                    s.first_token(to, Nanos::from_millis(long), 3);
                    s.output(&Portion { from, to, units: 7 * UNITS_PER_TOKEN + 1 });
                }
                s
            };
            let (a, b) = events.split_at(split.min(events.len()));
            let mut merged = fold(a);
            merged.merge(&fold(b));
            prop_assert_eq!(merged, fold(&events));
        }

        /// forall values: the cell's middle is within 0.8 % of the value.
        #[test]
        fn cells_are_narrow(value in 1_u64..u64::MAX) {
            let error = middle_of(cell_of(value)) / value as f64 - 1.0;
            prop_assert!(error.abs() <= 1.0 / 128.0 + 1e-9, "{error}");
        }
    }
}
