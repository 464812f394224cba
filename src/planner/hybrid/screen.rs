//! The fluid screen: where a size is loaded lightly enough for the chart, and which windows must be simulated.

use super::input::PeriodInput;
use super::profile::Profile;
use crate::base::time::Nanos;
use crate::planner::binned::BIN_NS;
use crate::planner::bounds::Bounds;
use crate::planner::chart::Chart;
use crate::sim::event::ScaleEvent;
use crate::sim::virtual_time::Patience;
use crate::workload::demand::BIN_S;

/// Consecutive bins that are simulated event by event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    /// First bin that is simulated, from an empty endpoint.
    pub warm_from: usize,
    /// First bin whose requests count.
    pub from: usize,
    /// The bin after the last one whose requests count.
    pub to: usize,
    /// How bad it looks: the larger, the more misses it may hold.
    pub weight: f64,
    /// Requests that wait so long by the fluid alone that they are missed; see [`Overload`].
    pub lost: u64,
    /// Misses to be expected at most: those of steady load bin by bin, and every request while what is offered on average exceeds what serves, until
    /// that is worked off. Work that waits by the chance of arrivals and lengths alone is part of steady load.
    pub guess: f64,
    /// Misses to be expected at least: those of steady load, at high loads of a load that settles soon; and requests that wait longer than the
    /// tightest bound by the average fluid.
    pub least: f64,
}

/// Steady load above it takes longer to settle than demand stands still.
const SETTLES: f64 = 0.85;
/// The misses of a window are taken to lie within this factor of what is to be expected of it, either way.
const WITHIN: f64 = 2.0;
/// And within so many of its standard deviations if they were independent.
const SCATTER: f64 = 4.0;

impl Window {
    /// Requests that count.
    #[must_use]
    pub(super) fn requests(&self, profile: &Profile) -> u64 {
        profile.counts[self.from..self.to].iter().map(|&c| u64::from(c)).sum()
    }

    /// Least and most misses that it may hold.
    #[must_use]
    pub(super) fn bounds(&self, profile: &Profile) -> (u64, u64) {
        let scatter = |guess: f64| SCATTER * guess.sqrt();
        let (low, high) = (self.least / WITHIN - scatter(self.least), self.guess * WITHIN + scatter(self.guess));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate, below zero as well")]
        let (low, high) = (low as u64, high as u64 + 1);
        (low.max(self.lost), high.max(self.lost).min(self.requests(profile)))
    }
}

/// When a request is missed for waiting alone, and how much can wait; all in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Overload {
    /// The tightest bound that a wait counts for.
    pub bound: f64,
    /// A wait from which on requests are missed: the tightest bound that a wait counts for and a quarter of the patience.
    pub hopeless: f64,
    /// No request waits longer than its patience; a fifth less.
    pub longest: f64,
}

impl Overload {
    /// By the bounds and the patience of a period. Without a bound on TTFT or E2E no wait is hopeless before the patience ends.
    pub(super) fn of(bounds: &Bounds, patience: Patience) -> Self {
        let patience_s = patience.total.as_secs_f64();
        let bound_s = [bounds.ttft, bounds.e2e].into_iter().flatten().min().map_or(patience_s, Nanos::as_secs_f64);
        Self { bound: bound_s, hopeless: bound_s + 0.25 * patience_s, longest: 0.8 * patience_s }
    }
}

/// A period at a size, screened.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Screened {
    /// What must be simulated, in order of time; counted bins do not overlap.
    pub windows: Vec<Window>,
    /// For each bin outside of all windows: requests missed beyond the hopeless ones, by the chart. Zero inside.
    pub estimate: Vec<f64>,
}

/// Least chunks that serve in each bin.
#[must_use]
pub(super) fn chunks_of_bins(path: &[ScaleEvent], bins: usize) -> Vec<u32> {
    let mut least = vec![u32::MAX; bins];
    for (i, event) in path.iter().enumerate() {
        let end = path.get(i + 1).map_or(u64::MAX, |next| next.at.0);
        let first = usize::try_from(event.at.0 / BIN_NS).unwrap_or(usize::MAX);
        let last = usize::try_from(end.saturating_sub(1) / BIN_NS).unwrap_or(usize::MAX);
        for bin in least.iter_mut().take(last.saturating_add(1)).skip(first) {
            *bin = (*bin).min(event.ready);
        }
    }
    least
}

/// Screens a period: bins count by the chart where steady load would miss at most the share `limit` beyond the hopeless ones and where no work
/// is left over from before; the others are joined to windows.
#[must_use]
pub(super) fn screen(input: &PeriodInput<'_>, chunks: &[u32], chart: &Chart, limit: f64) -> Screened {
    let (demand, profile) = (input.demand, input.profile);
    let overload = Overload::of(&input.bounds, input.patience);
    let bins = demand.bins();
    let lead = demand.lead_bins();
    let mut estimate = vec![0.0; bins];
    let mut weights = vec![0.0; bins];
    let mut lost = vec![0; bins];
    let (mut guesses, mut least) = (vec![0.0; bins], vec![0.0; bins]);
    let (mut backlog, mut mean_backlog, mut least_backlog) = (0.0_f64, 0.0_f64, 0.0_f64);
    for bin in 0..bins {
        let (rate, rows) = demand.expected(bin);
        let serving = f64::from(chunks[bin].max(1));
        let load = rate * chart.mean_work_s(&rows) / serving;
        let share = chart.excess(chunks[bin], load);
        let served = serving * chart.saturation() * BIN_S;
        backlog = (backlog + f64::from(profile.work_s[bin]) - served).max(0.0);
        mean_backlog = (mean_backlog + load * serving * BIN_S - served).max(0.0);
        // Chunks do a second of least work in a second at most, those that come within the bin for all of it; what nobody waits for any more is gone.
        let most = f64::from(chunks[bin].max(*chunks.get(bin + 1).unwrap_or(&0)).max(1));
        let before = least_backlog;
        least_backlog = (least_backlog + f64::from(profile.work_s[bin]) - most * BIN_S).clamp(0.0, most * overload.longest);
        if before.min(least_backlog) > most * overload.hopeless {
            lost[bin] = profile.counts[bin];
        }
        let count = f64::from(profile.counts[bin]);
        let hopeless = f64::from(profile.hopeless[bin]);
        guesses[bin] = if mean_backlog > 0.0 { count } else { hopeless + share.min(1.0) * (count - hopeless) };
        let waits_s = mean_backlog / (serving * chart.saturation());
        least[bin] =
            if waits_s > overload.bound { count } else { hopeless + chart.excess(chunks[bin], load.min(SETTLES)).min(1.0) * (count - hopeless) };
        if share > limit || backlog > 0.0 {
            weights[bin] = count * (share.min(1.0) + backlog / (serving * BIN_S));
        } else {
            estimate[bin] = share * (count - hopeless);
        }
    }
    let mut windows = join(&weights, (lead, bins), chart.settle_bins());
    for window in &mut windows {
        window.lost = lost[window.from..window.to].iter().map(|&c| u64::from(c)).sum();
        window.guess = guesses[window.from..window.to].iter().sum();
        window.least = least[window.from..window.to].iter().sum();
        estimate[window.from..window.to].fill(0.0);
    }
    estimate[..lead].fill(0.0);
    Screened { windows, estimate }
}

/// Windows around the bins with a weight, each with `settle` bins of warm-up and as many counted ones after it. Windows that would meet are
/// one. When most of a period is in them, it is simulated in whole, from its beginning.
fn join(weights: &[f64], (lead, bins): (usize, usize), settle: usize) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    for (bin, &weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
        let to = (bin + 1 + settle).min(bins);
        let from = bin.saturating_sub(1);
        match windows.last_mut() {
            // What lies between costs no more than another warm-up.
            Some(last) if from.saturating_sub(settle) <= last.to => {
                last.to = to;
                last.weight += weight;
            }
            _ => windows.push(Window { warm_from: from.saturating_sub(settle), from, to, weight, lost: 0, guess: 0.0, least: 0.0 }),
        }
    }
    windows.retain_mut(|w| {
        w.from = w.from.max(lead);
        w.to > w.from
    });
    let simulated: usize = windows.iter().map(|w| w.to - w.warm_from).sum();
    if simulated * 10 > bins * 8 {
        return vec![Window { warm_from: 0, from: lead, to: bins, weight: windows.iter().map(|w| w.weight).sum(), lost: 0, guess: 0.0, least: 0.0 }];
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_number_of_chunks_in_a_bin_counts() {
        let at = |s, ready| ScaleEvent { at: Nanos::from_secs(s), ready, pending: 0 };
        assert_eq!(chunks_of_bins(&[at(0, 2), at(30, 3), at(50, 1), at(70, 4)], 6), [2, 2, 3, 1, 1, 4]);
    }

    #[test]
    fn the_misses_of_a_window_lie_around_what_is_expected_of_it() {
        let mut profile = Profile::default();
        profile.counts = vec![1_000; 10];
        let window = Window { warm_from: 0, from: 0, to: 10, weight: 1.0, lost: 0, guess: 400.0, least: 100.0 };
        assert_eq!(window.bounds(&profile), (10, 881), "half of the least and twice the guess, four deviations wider");
        assert_eq!(Window { lost: 50, ..window }.bounds(&profile).0, 50, "what is lost for sure is missed");
        assert_eq!(Window { guess: 9_000.0, ..window }.bounds(&profile).1, 10_000, "no more than there are");
        assert_eq!(Window { guess: 0.0, least: 0.0, ..window }.bounds(&profile), (0, 1));
    }

    #[test]
    fn windows_have_a_warm_up_and_an_end_and_join_when_they_meet() {
        let mut weights = vec![0.0; 100];
        weights[40] = 2.0;
        let one = join(&weights, (10, 100), 4);
        assert_eq!(one, [Window { warm_from: 35, from: 39, to: 45, weight: 2.0, lost: 0, guess: 0.0, least: 0.0 }]);
        weights[50] = 1.0;
        assert_eq!(join(&weights, (10, 100), 4), [Window { warm_from: 35, from: 39, to: 55, weight: 3.0, lost: 0, guess: 0.0, least: 0.0 }]);
        weights[50] = 0.0;
        weights[80] = 1.0;
        assert_eq!(join(&weights, (10, 100), 4).len(), 2);
        weights[2] = 1.0;
        assert_eq!(join(&weights, (10, 100), 4).len(), 2, "what is over before the period begins does not count");
        assert_eq!(join(&vec![1.0; 100], (10, 100), 4), [Window { warm_from: 0, from: 10, to: 100, weight: 100.0, lost: 0, guess: 0.0, least: 0.0 }]);
    }
}
