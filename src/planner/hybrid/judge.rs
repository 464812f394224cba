//! One period at one size: the path of chunks, the screen, and as many windows as the question needs.

use super::input::PeriodInput;
use super::screen::{Screened, Window, chunks_of_bins, screen};
use super::window::look;
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::planner::binned::BIN_NS;
use crate::planner::chart::Chart;
use crate::planner::judgement::mean_ready;
use crate::planner::search::{PARTS, PeriodOutcome};
use crate::scenario::endpoint::EndpointSpec;
use crate::sim::autoscale;
use crate::sim::event::ScaleEvent;

/// How much is to be found out about a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Whether it keeps the promise; how many requests it missed only as far as that takes.
    Verdict,
    /// How many requests it missed.
    Full,
}

/// Share of requests missed by steady load up to which a bin counts by the chart, when shares are to be exact.
const EXACT: f64 = 0.002;
/// The same when only a verdict is asked for and the chart leaves no doubt about it.
const ROUGH: f64 = 0.02;
/// A chart's estimate may be wrong by this factor either way before a verdict that rests on it would be.
const DOUBT: f64 = 2.0;

/// Whether the path of chunks follows from the tokens offered, so that [`judge`] can tell. Cheap: nothing is offered.
pub(super) fn is_screenable(spec: &EndpointSpec) -> bool {
    autoscale::path(spec, Seed(0), &mut |_| 0.0, 0).is_some()
}

/// Judges a period. `None` when the path of chunks depends on more than the tokens offered: then only a full simulation can tell.
///
/// With the outcome: how many requests were simulated. Its cost is left to the caller.
#[must_use]
pub fn judge(input: &PeriodInput<'_>, depth: Depth, chart: &Chart) -> Option<(PeriodOutcome, u64)> {
    let demand = input.demand;
    let until = |at| input.profile.tokens_until(demand, chart.rows(), at);
    let path = autoscale::path(input.spec, input.seed, &mut |at| until(at), demand.end())?;
    let chunks = chunks_of_bins(&path, demand.bins());
    let total = input.profile.counts[demand.lead_bins()..].iter().map(|&c| u64::from(c)).sum();
    let mut case = Case { input, chart, path: &path, chunks: &chunks, total, allowance: input.allowance(total), simulated: 0 };
    let mut outcome = match depth {
        Depth::Full => case.full(),
        Depth::Verdict => case.verdict(),
    };
    let (begin, end) = (Nanos(demand.begin()), Nanos(demand.end()));
    outcome.mean_chunks = mean_ready(&path, begin, end);
    outcome.peak_chunks = path.iter().map(|e| e.ready + e.pending).max().unwrap_or(input.spec.min_chunks);
    Some((outcome, case.simulated))
}

/// A period at a size with its path.
struct Case<'a> {
    input: &'a PeriodInput<'a>,
    chart: &'a Chart,
    path: &'a [ScaleEvent],
    chunks: &'a [u32],
    total: u64,
    allowance: u64,
    simulated: u64,
}

impl Case<'_> {
    fn screen(&self, limit: f64) -> Screened {
        screen(self.input, self.chunks, self.chart, limit)
    }

    fn full(&mut self) -> PeriodOutcome {
        let screened = self.screen(EXACT);
        let (mut outcome, misses) = self.outside(&screened, 1.0);
        let mut missed = misses;
        for window in &screened.windows {
            missed += self.inside(window, u64::MAX, &mut outcome);
        }
        outcome.total = self.total;
        outcome.good = self.total - missed.min(self.total);
        outcome.is_exact = true;
        outcome
    }

    /// First by the rough screen; where that leaves a doubt, by the exact one.
    fn verdict(&mut self) -> PeriodOutcome {
        let rough = self.screen(ROUGH);
        if let Some(outcome) = self.decided(&rough, DOUBT) {
            return outcome;
        }
        let exact = self.screen(EXACT);
        self.decided(&exact, 1.0).unwrap_or_else(|| self.full())
    }

    /// The verdict by `screened` if it holds even when the chart is wrong by the factor `doubt`. Windows that were not needed for it count by
    /// their weight, on the right side of the promise.
    fn decided(&mut self, screened: &Screened, doubt: f64) -> Option<PeriodOutcome> {
        let missed_low = self.outside(screened, 1.0 / doubt).1;
        let missed_high = self.outside(screened, doubt).1;
        let profile = self.input.profile;
        let mut order: Vec<(&Window, (u64, u64))> = screened.windows.iter().map(|w| (w, w.bounds(profile))).collect();
        // Those first that leave most open.
        order.sort_by(|(a, p), (b, q)| (q.1 - q.0).cmp(&(p.1 - p.0)).then(a.from.cmp(&b.from)));
        let mut most: u64 = order.iter().map(|(_, bounds)| bounds.1).sum();
        let mut least: u64 = order.iter().map(|(_, bounds)| bounds.0).sum();
        let mut inside = PeriodOutcome::default();
        let mut missed = 0;
        let mut order = order.into_iter();
        loop {
            let is_kept = missed_high + missed + most <= self.allowance;
            if is_kept || missed_low + missed + least > self.allowance {
                let (outside, outside_missed) = self.outside(screened, 1.0);
                let is_exact = is_kept && order.len() == 0;
                let guess = outside_missed + missed + round(order.map(|(w, _)| w.guess).sum());
                let missed = if is_kept { guess.min(self.allowance) } else { guess.max(self.allowance + 1) };
                return Some(self.sum(outside, &inside, missed, is_exact));
            }
            let (window, bounds) = order.next()?;
            most -= bounds.1;
            least -= bounds.0;
            missed += self.inside(window, (self.allowance - missed_low).saturating_sub(missed), &mut inside);
        }
    }

    fn sum(&self, outside: PeriodOutcome, inside: &PeriodOutcome, missed: u64, is_exact: bool) -> PeriodOutcome {
        let mut outcome = outside;
        outcome.misses.merge(&inside.misses);
        for (part, more) in outcome.missed_by_part.iter_mut().zip(inside.missed_by_part) {
            *part += more;
        }
        outcome.total = self.total;
        outcome.good = self.total - missed.min(self.total);
        outcome.is_exact = is_exact;
        outcome
    }

    /// Misses outside of all windows: the hopeless requests, and the chart's estimate times `factor`.
    fn outside(&self, screened: &Screened, factor: f64) -> (PeriodOutcome, u64) {
        let mut outcome = PeriodOutcome::default();
        let demand = self.input.demand;
        let mut is_in = vec![false; demand.bins()];
        screened.windows.iter().for_each(|w| is_in[w.from..w.to].fill(true));
        let errors = self.input.spec.error_share.0;
        let (mut hopeless, mut parts) = (0_u64, [0.0_f64; PARTS]);
        let mut failed = 0.0;
        for bin in (demand.lead_bins()..demand.bins()).filter(|&bin| !is_in[bin]) {
            let lost = self.input.profile.hopeless[bin];
            hopeless += u64::from(lost);
            let drawn = errors * f64::from(self.input.profile.counts[bin].saturating_sub(lost));
            failed += drawn;
            parts[self.input.part(bin as u64 * BIN_NS)] += f64::from(lost) + drawn + screened.estimate[bin] * factor;
        }
        self.chart.tell_hopeless(hopeless, &mut outcome.misses);
        outcome.misses.failed += round(failed);
        let excess = screened.estimate.iter().sum::<f64>() * factor;
        self.chart.tell_excess(round(excess), &mut outcome.misses);
        for (part, missed) in outcome.missed_by_part.iter_mut().zip(parts) {
            *part = u32::try_from(round(missed)).unwrap_or(u32::MAX);
        }
        // One sum for all, so that parts and whole agree.
        let missed = outcome.missed_by_part.iter().map(|&p| u64::from(p)).sum();
        (outcome, missed)
    }

    fn inside(&mut self, window: &Window, enough: u64, outcome: &mut PeriodOutcome) -> u64 {
        let looked = look(self.input, self.path, window, enough);
        self.simulated += looked.simulated;
        outcome.misses.merge(&looked.causes);
        for (part, more) in outcome.missed_by_part.iter_mut().zip(looked.by_part) {
            *part += more;
        }
        looked.missed
    }
}

/// To the nearest whole number.
fn round(value: f64) -> u64 {
    index(value + 0.5)
}

/// A share of a count, rounded down.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate; counts are not negative")]
fn index(value: f64) -> u64 {
    value as u64
}
