//! Periods of demand drawn bin by bin: any bin alone and again, so that a period need not be gone through from its beginning.
//!
//! Demands that are Poisson around a rate, of requests that stand alone and share no prefix, are drawn so; the others by their schedule.

use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::record::request::Phase;
use crate::scenario::load::Arrivals;
use crate::scenario::plan::Plan;
use crate::scenario::workload::{Lengths, Workload};
use crate::workload::demand::{self, BIN_S, Day, DemandModel, Due, WhatIf};
use crate::workload::length::{self, LengthModel, Pair, Recordings};
use crate::workload::rate::Curve;
use crate::workload::schedule::{self, Arrival, Material};
use std::ops::Range;
use std::sync::Arc;

/// Pairs of lengths drawn once where the workload gives distributions and no rows.
const PAIRS: u32 = 1 << 15;

/// Width of a bin in nanoseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number of seconds")]
pub const BIN_NS: u64 = (BIN_S * 1e9) as u64;

/// A demand that can be drawn bin by bin.
#[derive(Clone, Debug)]
pub struct Law {
    rates: Rates,
    rows: Arc<Rows>,
}

#[derive(Clone, Debug)]
enum Rates {
    /// Poisson around a curve.
    Curve(Curve),
    /// A process that draws its own days.
    Model(Arc<DemandModel>),
}

/// Factors on the rate of one period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// Of the outer draw: lead-in and period.
    pub outer: f64,
    /// Of the period alone. A demand model brings its own.
    pub day: f64,
}

/// Lengths of requests, one list a stratum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    pairs: Vec<Pair>,
    /// First pair of each stratum, and the end.
    starts: Vec<usize>,
}

impl Rows {
    /// Strata of pairs.
    #[must_use]
    pub fn new(strata: &[Vec<Pair>]) -> Self {
        let mut starts = vec![0];
        starts.extend(strata.iter().scan(0, |end, stratum| {
            *end += stratum.len();
            Some(*end)
        }));
        Self { pairs: strata.concat(), starts }
    }

    /// All pairs, stratum after stratum.
    #[must_use]
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Where the pairs of each stratum are.
    pub fn strata(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.starts.windows(2).map(|w| w[0]..w[1])
    }

    /// Where the pairs of a stratum are; those of the first for a stratum that is not there.
    #[must_use]
    pub fn of(&self, stratum: u16) -> Range<usize> {
        let i = usize::from(stratum);
        match (self.starts.get(i), self.starts.get(i + 1)) {
            (Some(&from), Some(&to)) => from..to,
            _ => 0..self.starts.get(1).copied().unwrap_or(0),
        }
    }
}

/// A request that is due, on the time axis of lead-in and period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// When, nanoseconds from the beginning of the lead-in.
    pub at: u64,
    /// Its lengths: a place in [`Rows::pairs`].
    pub row: usize,
}

impl Law {
    /// The law of the demand of a plan, changed by `what_if` where it is learnt; `None` if its arrivals must be gone through in order (other
    /// families, recordings, sessions, prefixes in a cache).
    ///
    /// # Errors
    /// When rates or lengths cannot be used.
    pub fn of(plan: &Plan, workload: &Workload, material: &Material, what_if: &WhatIf, seed: Seed) -> Result<Option<Self>, schedule::Error> {
        if workload.sessions.is_some() || workload.prompts.shared_prefix.0 > 0.0 {
            return Ok(None);
        }
        let rates = match (&plan.demand, &material.demand) {
            (Some(Arrivals::Poisson { rate }), _) => Rates::Curve(Curve::new(rate, plan.growth)?),
            (None, Some(model)) => Rates::Model(Arc::new(model.scaled(what_if))),
            _ => return Ok(None),
        };
        let recordings = Recordings { lengths: material.lengths.as_ref(), input: material.input.as_ref(), output: material.output.as_ref() };
        let rows = match &rates {
            Rates::Model(model) if model.has_lengths() => {
                let own = Workload { lengths: Lengths::Empirical { trace: None }, ..workload.clone() };
                let lengths = LengthModel::new(&own, recordings, length::Arrivals::WithRows)?;
                if model.lengths.all().any(|row| row.blocks > 0) {
                    return Ok(None);
                }
                let strata = (0..u16::try_from(model.lengths.strata_count()).unwrap_or(u16::MAX)).map(|i| model.lengths(i));
                Rows::new(&strata.map(|rows| rows.iter().map(|row| lengths.cut(Pair::from(row))).collect()).collect::<Vec<_>>())
            }
            _ => match LengthModel::new(workload, recordings, length::Arrivals::Bare)?.table(PAIRS, seed) {
                Some(pairs) => Rows::new(&[pairs]),
                None => return Ok(None),
            },
        };
        Ok(Some(Self { rates, rows: Arc::new(rows) }))
    }

    /// The same requests' lengths with the days of another model of the same recording.
    #[must_use]
    pub fn with_model(&self, model: DemandModel) -> Self {
        Self { rates: Rates::Model(Arc::new(model)), rows: Arc::clone(&self.rows) }
    }

    /// A lead-in and a period of the lengths `spans`.
    #[must_use]
    pub fn period(&self, levels: Levels, spans: (Nanos, Nanos), seed: Seed) -> Binned {
        let (lead, main) = match &self.rates {
            Rates::Curve(curve) => {
                (follow(curve, levels.outer, spans.0, seed.child("lead", 0)), follow(curve, levels.outer * levels.day, spans.1, seed))
            }
            Rates::Model(model) => (times(model.lead(seed, 0, spans.1, spans.0), levels.outer), times(model.day(seed, 0, spans.1), levels.outer)),
        };
        Binned { lead, main, length: spans.1.0, rows: Arc::clone(&self.rows) }
    }
}

/// A day whose rates are the means of `level` times a curve over each bin.
fn follow(curve: &Curve, level: f64, span: Nanos, seed: Seed) -> Day {
    let mut before = 0.0;
    let rates: Vec<f64> = (1..=span.0.div_ceil(BIN_NS))
        .map(|bin| {
            let until = curve.cumulative(bin as f64 * BIN_S);
            (until - std::mem::replace(&mut before, until)).max(0.0) / BIN_S * level
        })
        .collect();
    Day { bin_s: BIN_S, strata: vec![0; rates.len()], rates, dispersion: 0.0, seed }
}

fn times(mut day: Day, level: f64) -> Day {
    day.rates.iter_mut().for_each(|rate| *rate *= level);
    day
}

/// A lead-in of whole bins and a period, one after the other.
#[derive(Clone, Debug)]
pub struct Binned {
    lead: Day,
    main: Day,
    /// Of the period, nanoseconds.
    length: u64,
    rows: Arc<Rows>,
}

impl Binned {
    /// Bins of the lead-in, which come first.
    #[must_use]
    pub fn lead_bins(&self) -> usize {
        self.lead.rates.len()
    }

    /// Bins of both.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.lead.rates.len() + self.main.rates.len()
    }

    /// Requests that the period is expected to have, without its lead-in.
    #[must_use]
    pub fn expected_requests(&self) -> f64 {
        self.main.rates.iter().sum::<f64>() * BIN_S
    }

    /// Bytes it takes, about; its lengths are shared.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bins() * (size_of::<f64>() + size_of::<u16>())
    }

    /// When the period begins.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.lead_bins() as u64 * BIN_NS
    }

    /// When it ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.begin() + self.length
    }

    /// Lengths of its requests.
    #[must_use]
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The same, shared.
    #[must_use]
    pub fn shared_rows(&self) -> Arc<Rows> {
        Arc::clone(&self.rows)
    }

    /// Variance factor of the counts of its bins.
    #[must_use]
    pub fn dispersion(&self) -> f64 {
        self.main.dispersion
    }

    /// Which of the two days a bin belongs to, and its number there.
    fn place(&self, bin: usize) -> (&Day, usize) {
        bin.checked_sub(self.lead_bins()).map_or((&self.lead, bin), |own| (&self.main, own))
    }

    /// Requests per second expected in a bin, and their lengths.
    #[must_use]
    pub fn expected(&self, bin: usize) -> (f64, Range<usize>) {
        let (day, own) = self.place(bin);
        (day.rates.get(own).copied().unwrap_or(0.0), self.rows.of(day.strata.get(own).copied().unwrap_or(0)))
    }

    /// Calls `each` with the row of every request of a bin, in no order.
    pub fn each_row(&self, bin: usize, each: &mut impl FnMut(usize)) {
        let (day, own) = self.place(bin);
        let rows = self.rows.of(day.strata.get(own).copied().unwrap_or(0));
        if (bin as u64 + 1) * BIN_NS > self.end() {
            // A bin that the end of the period cuts.
            let mut requests = Vec::new();
            self.draw(bin, &mut requests);
            for request in &requests {
                each(request.row);
            }
            return;
        }
        for row in demand::rows_of(day, own, rows.len()) {
            each(rows.start + row as usize);
        }
    }

    /// Appends the requests of a bin in order of time. None is due at or after the end of the period.
    pub fn draw(&self, bin: usize, out: &mut Vec<Request>) {
        let (day, own) = self.place(bin);
        let rows = self.rows.of(day.strata.get(own).copied().unwrap_or(0));
        let offset = if bin < self.lead_bins() { 0 } else { self.begin() };
        let mut due: Vec<Due> = Vec::new();
        demand::arrivals(day, own, rows.len(), &mut due);
        let end = self.end();
        out.extend(due.into_iter().map(|d| Request { at: offset + d.at.0, row: rows.start + d.row as usize }).filter(|r| r.at < end));
    }
}

/// A [`Binned`] period as a source of arrivals.
#[derive(Clone, Debug)]
pub struct Walk {
    binned: Binned,
    /// The next bin to draw.
    bin: usize,
    ready: std::vec::IntoIter<Request>,
    seq: u64,
}

impl Walk {
    /// From bin `bin` on.
    #[must_use]
    pub fn new(binned: Binned, bin: usize) -> Self {
        let mut walk = Self { binned, bin, ready: Vec::new().into_iter(), seq: 0 };
        walk.fill();
        walk
    }

    /// What it goes through.
    #[must_use]
    pub fn binned(&self) -> &Binned {
        &self.binned
    }

    fn fill(&mut self) {
        while self.ready.as_slice().is_empty() && self.bin < self.binned.bins() {
            let mut requests = Vec::new();
            self.binned.draw(self.bin, &mut requests);
            self.ready = requests.into_iter();
            self.bin += 1;
        }
    }

    /// Due instant of the next arrival, from the beginning of the lead-in.
    #[must_use]
    pub fn peek_at(&self) -> Option<Nanos> {
        self.ready.as_slice().first().map(|r| Nanos(r.at))
    }

    /// The next arrival; instants count from the beginning of the lead-in.
    pub fn pop(&mut self) -> Option<Arrival> {
        let request = self.ready.next()?;
        self.fill();
        let pair = self.binned.rows.pairs[request.row];
        self.seq += 1;
        Some(Arrival {
            seq: self.seq - 1,
            at: Nanos(request.at),
            phase: if request.at < self.binned.begin() { Phase::Warmup } else { Phase::Measure },
            input_tokens: pair.input,
            output_tokens: pair.output,
            shared_tokens: 0,
            prefix_group: 0,
            session: None,
            user: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::search::Seeds;
    use crate::planner::tests::tiny_plan;
    use crate::planner::world::World;
    use crate::scenario::endpoint::EndpointSpec;
    use crate::scenario::slo::Slo;
    use crate::sim::virtual_time::Source;

    /// forall bins: drawn alone it has the requests that a walk from the beginning meets there, and its rows are theirs.
    #[test]
    fn any_bin_alone_is_that_of_the_whole() {
        let mut plan = tiny_plan();
        // Not a whole number of bins: the end of the period cuts the last one.
        plan.period = crate::base::units::TimeSpan::secs(607);
        let lengths = serde_json::json!({ "independent": { "input": { "exponential": { "mean": 300.0 } }, "output": { "fixed": 50 } } });
        let workload = Workload { lengths: serde_json::from_value(lengths).unwrap(), ..Workload::default() };
        let (material, slo) = (Material::default(), Slo::default());
        let world = World::new(&plan, &workload, &slo, &EndpointSpec::default(), &material, Seed(7)).unwrap();
        let binned = world.binned(Seeds::Search, 2).unwrap();
        let mut source = world.period(Seeds::Search, 2).unwrap();
        let mut seen = 0;
        for bin in 0..binned.bins() {
            let (mut drawn, mut rows) = (Vec::new(), Vec::new());
            binned.draw(bin, &mut drawn);
            binned.each_row(bin, &mut |row| rows.push(row));
            for request in &drawn {
                let arrival = source.pop().unwrap();
                let pair = binned.rows().pairs()[request.row];
                assert_eq!((arrival.at.0, arrival.input_tokens, arrival.output_tokens), (request.at, pair.input, pair.output));
                assert_eq!(request.at / BIN_NS, bin as u64);
                seen += 1;
            }
            let mut same: Vec<usize> = drawn.iter().map(|r| r.row).collect();
            same.sort_unstable();
            rows.sort_unstable();
            assert_eq!(rows, same);
        }
        assert_eq!(source.pop(), None);
        // 2 a second over the period and a lead-in of a quarter of it; five standard deviations.
        assert!((f64::from(seen) - 2.0 * 607.0 * 1.25).abs() < 5.0 * 39.0, "{seen}");
    }

    /// The mean of the pairs is that of the distribution, far closer than as many independent draws would bring it.
    #[test]
    fn lengths_drawn_once_keep_the_mean_of_their_distribution() {
        let lengths = serde_json::json!({ "correlated": { "spearman": 0.5,
            "input": { "lognormal": { "median": 800.0, "sigma": 1.0 } }, "output": { "gamma": { "mean": 200.0, "cv": 1.0 } } } });
        let workload = Workload { lengths: serde_json::from_value(lengths).unwrap(), ..Workload::default() };
        let model = LengthModel::new(&workload, Recordings::default(), length::Arrivals::Bare).unwrap();
        let (input, output) = model.mean().unwrap();
        let pairs = model.table(4096, Seed(1)).unwrap();
        let mean = |of: &dyn Fn(&Pair) -> u32| pairs.iter().map(|p| f64::from(of(p))).sum::<f64>() / 4096.0;
        let (found_input, found_output) = (mean(&|p| p.input), mean(&|p| p.output));
        // Independent draws: a standard error of 2 %. The second of the pair is stratified only in part.
        assert!((found_input / input - 1.0).abs() < 0.005, "{found_input} against {input}");
        assert!((found_output / output - 1.0).abs() < 0.03, "{found_output} against {output}");
    }
}
