//! What steady load does to an endpoint of one draw: the share of requests it makes miss, by chunks and load, measured by event simulation.

use super::binned::{BIN_NS, Binned, Rows};
use super::bounds::Bounds;
use super::judgement::Judgement;
use super::search::MissCounts;
use super::work::least_work_s;
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::record::request::Phase;
use crate::scenario::autoscaler::Autoscaler;
use crate::scenario::endpoint::EndpointSpec;
use crate::sim::bulk::{self, Ended, Job};
use crate::sim::endpoint::Endpoint;
use crate::sim::event::Detail;
use crate::sim::virtual_time::Patience;
use crate::workload::demand::{self, BIN_S, Day};
use crate::workload::schedule::Arrival;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A row of lengths and what it costs an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowFacts {
    /// Input and output tokens, one of output at least.
    pub tokens: u32,
    /// Least work of a chunk for it, microseconds: `planner::demand::least_work_s`.
    pub work_us: u32,
    /// Misses an objective even on an idle chunk.
    pub hopeless: bool,
}

/// Numbers of chunks that are measured; between them the share is interpolated.
const CHUNKS: [u32; 14] = [1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96];
/// Loads that are measured: whole multiples of this, up to one less than [`LOADS`].
const LOAD_STEP: f64 = 0.05;
/// A load of 1 is never measured: all are missed in the end.
const LOADS: usize = 20;
/// Loads below this many steps count as this many.
const LEAST: usize = 1;
/// How long an entry is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Care {
    /// Counted requests, at most.
    most: u64,
    /// Counted requests after which a measurement ends that saw no miss, or `many`.
    enough: u64,
    /// Misses that are enough: a hundred tell a share to a tenth if they were independent.
    many: u64,
}

impl Care {
    /// For a chart that stands alone and is to be exact.
    pub const FINE: Self = Self { most: 15_000, enough: 6_000, many: 100 };
    /// For one of many draws, of which only verdicts are asked: these allow for twice the misses.
    pub const COARSE: Self = Self { most: 5_000, enough: 2_000, many: 50 };
}

/// At a load of six tenths the endpoint forgets its past after the mean time of a request; windows warm up for so many of them.
const MEMORIES: f64 = 5.0;

/// The chart of one draw. Entries are measured when first asked for; they depend on nothing but the draw and their place.
#[derive(Debug)]
pub struct Chart {
    endpoint: EndpointSpec,
    bounds: Bounds,
    patience: Patience,
    lengths: Arc<Rows>,
    dispersion: f64,
    facts: Vec<RowFacts>,
    /// Mean work of each stratum's rows, microseconds.
    means_us: Vec<(Range<usize>, f64)>,
    /// Of the hopeless rows, the share that misses by each cause.
    causes: MissShares,
    saturation: f64,
    settle_bins: usize,
    care: Care,
    seed: Seed,
    cells: Vec<OnceLock<f64>>,
}

/// Of hopeless requests, the shares by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct MissShares {
    ttft: f64,
    tpot: f64,
    e2e: f64,
    timed_out: f64,
    failed: f64,
}

impl Chart {
    /// Prepares the chart of `endpoint` (its law and policies, whatever its size) for the lengths and the dispersion of `demand`.
    #[must_use]
    pub fn new(endpoint: &EndpointSpec, (bounds, patience): (Bounds, Patience), demand: &Binned, care: Care, seed: Seed) -> Self {
        let mut chart = Self {
            endpoint: EndpointSpec { error_share: crate::base::units::Share(0.0), ..endpoint.clone() },
            bounds,
            patience,
            lengths: demand.shared_rows(),
            dispersion: demand.dispersion(),
            facts: Vec::new(),
            means_us: Vec::new(),
            causes: MissShares::default(),
            saturation: 1.0,
            settle_bins: 1,
            care,
            seed,
            cells: (0..CHUNKS.len() * LOADS).map(|_| OnceLock::new()).collect(),
        };
        chart.look_at_rows();
        chart.saturation = chart.measure_saturation();
        chart.settle_bins = chart.measure_memory();
        chart
    }

    /// One entry for each row of the demand.
    #[must_use]
    pub fn rows(&self) -> &[RowFacts] {
        &self.facts
    }

    /// Mean work of a request of these rows, seconds.
    #[must_use]
    pub fn mean_work_s(&self, rows: &Range<usize>) -> f64 {
        self.means_us.iter().find(|(range, _)| range == rows).map_or(0.0, |(_, us)| us / 1e6)
    }

    /// Work that one chunk does in a second when it never runs dry, in seconds of least work; at most about 1.
    #[must_use]
    pub fn saturation(&self) -> f64 {
        self.saturation
    }

    /// Bins after which an endpoint has forgotten how it started.
    #[must_use]
    pub fn settle_bins(&self) -> usize {
        self.settle_bins
    }

    /// The share of requests that `chunks` chunks under a steady `load` (work a second and chunk) miss beyond the hopeless ones.
    #[must_use]
    pub fn excess(&self, chunks: u32, load: f64) -> f64 {
        let column = CHUNKS.partition_point(|&c| c <= chunks).max(1) - 1;
        let here = self.at_load(column, load);
        match CHUNKS.get(column + 1) {
            Some(&next) if chunks > CHUNKS[column] && here > 0.0 => {
                let share = f64::from(chunks - CHUNKS[column]) / f64::from(next - CHUNKS[column]);
                between(here, self.at_load(column + 1, load), share)
            }
            // More chunks than were measured share load at least as well.
            _ => here,
        }
    }

    fn at_load(&self, column: usize, load: f64) -> f64 {
        let place = (load / LOAD_STEP).max(LEAST as f64);
        if place >= (LOADS - 1) as f64 {
            return 1.0;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from LEAST to LOADS - 1")]
        let low = place as usize;
        let share = place - low as f64;
        let below = self.cell(column, low);
        if share <= 0.0 || below >= 0.5 { below } else { between(below, self.cell(column, low + 1), share) }
    }

    fn cell(&self, column: usize, step: usize) -> f64 {
        *self.cells[column * LOADS + step].get_or_init(|| self.measure(CHUNKS[column], step as f64 * LOAD_STEP))
    }

    /// Adds `count` hopeless requests to `misses`, by cause in the proportions of the rows.
    pub fn tell_hopeless(&self, count: u64, misses: &mut MissCounts) {
        let part = |share: f64| whole(count as f64 * share);
        misses.ttft += part(self.causes.ttft);
        misses.tpot += part(self.causes.tpot);
        misses.e2e += part(self.causes.e2e);
        misses.timed_out += part(self.causes.timed_out);
        misses.failed += part(self.causes.failed);
    }

    /// Adds `count` requests that steady load made miss: they waited, so they count for the first bound there is.
    pub fn tell_excess(&self, count: u64, misses: &mut MissCounts) {
        match self.bounds {
            Bounds { ttft: Some(_), .. } => misses.ttft += count,
            Bounds { tpot_s: Some(_), .. } => misses.tpot += count,
            Bounds { .. } => misses.e2e += count,
        }
    }

    fn fixed(&self, chunks: u32) -> EndpointSpec {
        EndpointSpec { min_chunks: chunks, max_chunks: chunks, autoscaler: Autoscaler::default(), ..self.endpoint.clone() }
    }

    fn job(&self, at: u64, row: usize) -> Job {
        let pair = self.lengths.pairs()[row];
        Job { at, input: pair.input, output: pair.output, cached: 0 }
    }

    fn judged(&self, ended: &Ended, row: usize) -> Judgement {
        Judgement::of_ended(ended, self.lengths.pairs()[row].output, &self.bounds)
    }

    /// Sends every row to an idle chunk, one after the other.
    fn look_at_rows(&mut self) {
        let gap = self.patience.total.0 + 1_000_000_000;
        let pairs = self.lengths.pairs();
        let mut facts: Vec<RowFacts> = pairs
            .iter()
            .map(|pair| {
                let work_s = least_work_s(&self.endpoint, &alone(pair.input, pair.output));
                let work_us = u32::try_from(whole(work_s * 1e6)).unwrap_or(u32::MAX);
                RowFacts { tokens: pair.input.saturating_add(pair.output.max(1)), work_us, hopeless: false }
            })
            .collect();
        let mut endpoint = Endpoint::new(&self.fixed(1), self.seed, Detail::Requests);
        let mut counts = MissCounts::default();
        let mut hopeless = 0_u64;
        let jobs = (0..pairs.len()).map(|row| self.job(row as u64 * gap, row));
        bulk::run(jobs, &mut endpoint, self.patience, None, &mut |ended| {
            let row = ended.job as usize;
            let judgement = self.judged(ended, row);
            if !judgement.is_good() {
                facts[row].hopeless = true;
                hopeless += 1;
                counts.add(judgement);
            }
            true
        });
        if self.endpoint.prefix_hit.requests.0 > 0.0 {
            // Whether a prompt is found in a cache is drawn anew each time: no row is hopeless for sure, the load's share holds them all.
            for fact in &mut facts {
                fact.hopeless = false;
            }
        }
        let share = |n: u64| n as f64 / hopeless.max(1) as f64;
        self.causes = MissShares {
            ttft: share(counts.ttft),
            tpot: share(counts.tpot),
            e2e: share(counts.e2e),
            timed_out: share(counts.timed_out),
            failed: share(counts.failed + counts.throttled),
        };
        let mean = |rows: &Range<usize>| facts[rows.clone()].iter().map(|f| f64::from(f.work_us)).sum::<f64>() / rows.len().max(1) as f64;
        self.means_us = self.lengths.strata().map(|rows| (rows.clone(), mean(&rows))).collect();
        self.facts = facts;
    }

    /// A crowd at once on one chunk, by a client that waits for ever: work done until nine tenths are served, a second. Two per cent less, so
    /// that a backlog is never taken to be gone too early.
    fn measure_saturation(&self) -> f64 {
        const CROWD: u64 = 2_000;
        let rows: Vec<usize> = self.day(0, CROWD as f64 / BIN_S).into_iter().map(|(_, row)| row).collect();
        let spec = EndpointSpec { queue: u32::MAX, ..self.fixed(1) };
        let mut endpoint = Endpoint::new(&spec, self.seed, Detail::Requests);
        let for_ever = Patience { total: Nanos(u64::MAX / 4), first_byte: Nanos(u64::MAX / 4) };
        let (mut ended_jobs, mut work_s, mut last) = (0, 0.0, 0);
        bulk::run(rows.iter().map(|&row| self.job(0, row)), &mut endpoint, for_ever, None, &mut |ended| {
            ended_jobs += 1;
            work_s += f64::from(self.facts[rows[ended.job as usize]].work_us) / 1e6;
            last = last.max(ended.last);
            ended_jobs * 10 < rows.len() * 9
        });
        if last == 0 { 1.0 } else { (0.98 * work_s / Nanos(last).as_secs_f64()).clamp(0.05, 1.0) }
    }

    /// [`MEMORIES`] times the mean time of a request on one chunk at a load of 0.6, in whole bins.
    fn measure_memory(&self) -> usize {
        let (mut sum_s, mut count) = (0.0, 0_u64);
        self.steady(1, 0.6, &mut |ended, _| {
            sum_s += Nanos(ended.last - ended.at).as_secs_f64();
            count += 1;
            count < 4_000
        });
        let bins = MEMORIES * sum_s / count.max(1) as f64 / BIN_S;
        usize::try_from(whole(bins + 0.5)).unwrap_or(usize::MAX).clamp(2, 240)
    }

    fn measure(&self, chunks: u32, load: f64) -> f64 {
        let Care { most, enough, many } = self.care;
        let (mut seen, mut missed) = (0_u64, 0_u64);
        self.steady(chunks, load, &mut |ended, row| {
            seen += 1;
            missed += u64::from(!self.facts[row].hopeless && !self.judged(ended, row).is_good());
            let told = seen >= enough && (missed == 0 || missed >= many);
            let clear = missed >= many && missed * 10 > seen;
            seen < most && !told && !clear
        });
        missed as f64 / seen.max(1) as f64
    }

    /// Runs steady load, warmed up, and tells the end and the row of each request that was due after it, until `each` has enough.
    fn steady(&self, chunks: u32, load: f64, each: &mut dyn FnMut(&Ended, usize) -> bool) {
        let work_s = self.means_us.iter().map(|(_, us)| us).sum::<f64>() / self.means_us.len().max(1) as f64 / 1e6;
        let rate = load * f64::from(chunks) / work_s.max(1e-9);
        let warm = 20_u64.max(2 * self.settle_bins as u64) * BIN_NS;
        let rows: RefCell<Vec<usize>> = RefCell::new(Vec::new());
        let (mut bin, mut ready) = (0, Vec::new().into_iter());
        let jobs = std::iter::from_fn(|| {
            // A rate so low that a year brings nobody ends the run.
            while ready.len() == 0 && bin < 2_000_000 {
                ready = self.day(bin, rate).into_iter();
                bin += 1;
            }
            let (at, row) = ready.next()?;
            rows.borrow_mut().push(row);
            Some(self.job(at, row))
        });
        let mut endpoint = Endpoint::new(&self.fixed(chunks), self.seed, Detail::Requests);
        bulk::run(jobs, &mut endpoint, self.patience, None, &mut |ended| {
            let row = rows.borrow()[ended.job as usize];
            ended.at < warm || each(ended, row)
        });
    }

    /// Requests of one bin of steady demand: instants and rows. Strata take turns.
    fn day(&self, bin: usize, rate: f64) -> Vec<(u64, usize)> {
        let range = self.means_us[bin % self.means_us.len()].0.clone();
        let day = Day { bin_s: BIN_S, rates: vec![rate], dispersion: self.dispersion, strata: vec![0], seed: self.seed.child("steady", bin as u64) };
        let mut due = Vec::new();
        demand::arrivals(&day, 0, range.len(), &mut due);
        due.into_iter().map(|d| (bin as u64 * BIN_NS + d.at.0, range.start + d.row as usize)).collect()
    }
}

/// Between two shares: as exponentials of the load do where both are known to be above zero, else in a straight line.
fn between(low: f64, high: f64, share: f64) -> f64 {
    if low > 0.0 && high > 0.0 { low.powf(1.0 - share) * high.powf(share) } else { low + (high - low) * share }
}

fn alone(input: u32, output: u32) -> Arrival {
    Arrival {
        seq: 0,
        at: Nanos::ZERO,
        phase: Phase::Measure,
        input_tokens: input,
        output_tokens: output,
        shared_tokens: 0,
        prefix_group: 0,
        session: None,
        user: None,
    }
}

/// To the nearest whole number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate; counts are not negative")]
fn whole(value: f64) -> u64 {
    (value + 0.5) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::TimeSpan;
    use crate::planner::search::Seeds;
    use crate::planner::tests::tiny_plan;
    use crate::planner::world::World;
    use crate::scenario::slo::Slo;
    use crate::scenario::workload::Workload;
    use crate::workload::schedule::Material;

    /// A chart of an endpoint whose requests take 40 ms of work, when they must have their first token within `ttft_ms`.
    fn chart(ttft_ms: u64) -> Chart {
        let mut endpoint = EndpointSpec { max_batch: 4, ..EndpointSpec::default() };
        endpoint.step.base = TimeSpan::millis(2);
        let bounds = Bounds { ttft: Some(Nanos::from_millis(ttft_ms)), ..Bounds::default() };
        let plan = tiny_plan();
        let lengths = serde_json::json!({ "independent": { "input": { "fixed": 200 }, "output": { "fixed": 20 } } });
        let workload = Workload { lengths: serde_json::from_value(lengths).unwrap(), ..Workload::default() };
        let (material, slo) = (Material::default(), Slo::default());
        let world = World::new(&plan, &workload, &slo, &endpoint, &material, Seed(1)).unwrap();
        Chart::new(&endpoint, (bounds, world.patience()), &world.binned(Seeds::Search, 0).unwrap(), Care::FINE, Seed(2))
    }

    #[test]
    fn a_chart_rises_with_load_and_falls_with_chunks() {
        let chart = chart(60);
        assert!(chart.rows().iter().all(|row| !row.hopeless && row.tokens == 220));
        let [low, high] = [0.8, 0.9].map(|load| chart.excess(2, load));
        assert!(0.0 < low && low < chart.excess(2, 0.825) && chart.excess(2, 0.825) < high, "{low} {high}");
        assert!(chart.excess(3, 0.9) < high);
        assert_eq!(chart.excess(2, 1.2), 1.0);
        // A quiet night is not a load of three tenths.
        let [night, day] = [0.05, 0.3].map(|load| chart.excess(1, load));
        assert!(night < day / 3.0 && day > 0.0, "{night} {day}");
        assert!((0.7..=1.0).contains(&chart.saturation()), "{}", chart.saturation());
    }

    #[test]
    fn rows_that_miss_on_an_idle_chunk_are_hopeless_and_no_excess() {
        // 200 tokens of prompt take 14 ms, the network 2 ms.
        let chart = chart(10);
        assert!(chart.rows().iter().all(|row| row.hopeless));
        let mut misses = MissCounts::default();
        chart.tell_hopeless(10, &mut misses);
        assert_eq!(misses, MissCounts { ttft: 10, ..MissCounts::default() });
    }
}
