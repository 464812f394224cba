//! What runs say of one metric: the mean difference, how sure it is, and exact bounds where there is no spread to go by.

use super::metric::{Better, Metric, Scale};
use super::rules::{Role, Rules, Term};
use super::run::{Pair, Run};
use crate::base::stats::hypothesis::{fisher_at_least, student_t_above, welch};
use crate::base::stats::interval::{clopper_pearson_lower, clopper_pearson_upper, student_t_quantile};
use crate::base::stats::sample::{mean_variance, pearson};

/// Spread of a log ratio below which our histograms (three digits) see nothing: a smaller one is taken for this one.
pub(super) const RESOLUTION: f64 = 0.0005;

/// What there is of one metric.
pub(super) enum Found {
    /// Figures to judge.
    Evidence(Evidence),
    /// Some run lacks it, or it cannot be trusted; why. `may_mend`: further pairs may change that.
    Missing { why: String, may_mend: bool },
    /// No run has it.
    Absent,
}

/// The mean difference of one metric, on the scale of comparison, where positive is worse.
pub(super) struct Evidence {
    /// Mean over pairs, or difference of the means of the sides.
    pub(super) estimate: f64,
    /// Its standard error; 0 for shares without spread.
    pub(super) error: f64,
    /// Degrees of freedom of the error.
    pub(super) df: f64,
    /// Standard deviation of one pair (two single runs, where there are no pairs).
    pub(super) sd: f64,
    /// Pairs, or runs of the head.
    pub(super) n: usize,
    /// Mean of the base in its own unit; geometric for ratios.
    pub(super) base: f64,
    /// Mean of the head.
    pub(super) head: f64,
    /// Each pair; empty where there are none.
    pub(super) d: Vec<f64>,
    /// The round of each pair.
    pub(super) rounds: Vec<u32>,
    /// Requests that count against each run, and all of them: base, head. Empty for ratios.
    counts: Vec<[Count; 2]>,
}

/// Requests that count against a run, of all that were due.
#[derive(Clone, Copy, Default)]
struct Count {
    bad: u64,
    all: u64,
}

/// `head` against `base` on the scale of comparison: positive is worse.
pub(super) fn difference(metric: Metric, base: f64, head: f64) -> f64 {
    let higher = match metric.scale() {
        Scale::LogRatio => (head / base).ln(),
        Scale::Difference => head - base,
    };
    match metric.better() {
        Better::Lower => higher,
        Better::Higher => -higher,
    }
}

/// The other way: what a difference `d` means in the metric's own direction, as a share of the base or a difference of shares.
pub(super) fn change(metric: Metric, d: f64) -> f64 {
    let higher = match metric.better() {
        Better::Lower => d,
        Better::Higher => -d,
    };
    match metric.scale() {
        Scale::LogRatio => higher.exp_m1(),
        Scale::Difference => higher,
    }
}

/// How large a difference of `d` is, whichever way: as a share of the base or a difference of shares.
pub(super) fn size(metric: Metric, d: f64) -> f64 {
    change(metric, d).abs()
}

/// How much worse the head is in the metric's own unit; negative is better.
pub(super) fn worsening(metric: Metric, base: f64, head: f64) -> f64 {
    match metric.better() {
        Better::Lower => head - base,
        Better::Higher => base - head,
    }
}

/// The margin of a term on the scale of comparison, beside a base of `base` in its own unit: the margin, or the absolute floor where that is wider.
pub(super) fn margin_d(term: &Term, base: Option<f64>) -> f64 {
    let floor = base.filter(|b| *b > 0.0).map_or(0.0, |base| term.floor / base);
    match (term.metric.scale(), term.metric.better()) {
        (Scale::Difference, _) => term.margin.max(term.floor),
        (Scale::LogRatio, Better::Lower) => term.margin.max(floor).ln_1p(),
        // A fall by as much of the base; one by the whole would have no logarithm.
        (Scale::LogRatio, Better::Higher) => -(-term.margin.max(floor).min(0.99)).ln_1p(),
    }
}

/// What pairs say of a term.
pub(super) fn of_pairs(rules: &Rules, term: &Term, pairs: &[&Pair]) -> Found {
    let sides = pairs.iter().flat_map(|p| [(&p.base, "base", p.round), (&p.head, "head", p.round)]);
    if let Some(found) = gap(rules, term, sides) {
        return found;
    }
    let m = term.metric;
    let values: Vec<(f64, f64)> = pairs.iter().filter_map(|p| Some((p.base.value(m)?, p.head.value(m)?))).collect();
    let d: Vec<f64> = values.iter().map(|&(b, h)| difference(m, b, h)).collect();
    let (estimate, variance) = mean_variance(&d);
    let sd = match m.scale() {
        Scale::LogRatio => variance.sqrt().max(RESOLUTION),
        Scale::Difference => variance.sqrt(),
    };
    let n = d.len();
    let side = |which: fn(&(f64, f64)) -> f64| centre(m, &values.iter().map(which).collect::<Vec<f64>>());
    Found::Evidence(Evidence {
        estimate,
        error: sd / (n as f64).sqrt(),
        df: n as f64 - 1.0,
        sd,
        n,
        base: side(|v| v.0),
        head: side(|v| v.1),
        counts: pairs.iter().filter_map(|p| Some([count(m, &p.base)?, count(m, &p.head)?])).collect(),
        rounds: pairs.iter().map(|p| p.round).collect(),
        d,
    })
}

/// What two sides without pairs say of a term (Welch), at least two runs on each.
pub(super) fn of_sides(rules: &Rules, term: &Term, base: &[&Run], head: &[&Run]) -> Found {
    let named = base.iter().zip(1..).map(|(run, i)| (*run, "base", i)).chain(head.iter().zip(1..).map(|(run, i)| (*run, "head", i)));
    if let Some(found) = gap(rules, term, named) {
        return found;
    }
    let m = term.metric;
    let own = |runs: &[&Run]| runs.iter().filter_map(|r| r.value(m)).collect::<Vec<f64>>();
    let (b, h) = (own(base), own(head));
    let (sb, sh) = (scaled(m, &b), scaled(m, &h));
    let Some(w) = welch(&sb, &sh) else {
        return Found::Missing { why: format!("{m}: two runs or more are needed on each side"), may_mend: true };
    };
    let spread = (mean_variance(&sb).1 + mean_variance(&sh).1).sqrt();
    let least = if m.scale() == Scale::LogRatio { RESOLUTION * (1.0 / b.len() as f64 + 1.0 / h.len() as f64).sqrt() } else { 0.0 };
    let counts: Vec<[Count; 2]> = match (total(m, base), total(m, head)) {
        (Some(b), Some(h)) => vec![[b, h]],
        _ => Vec::new(),
    };
    Found::Evidence(Evidence {
        estimate: w.difference,
        error: w.error.max(least),
        df: w.df,
        sd: spread.max(if m.scale() == Scale::LogRatio { RESOLUTION } else { 0.0 }),
        n: h.len().min(b.len()),
        base: centre(m, &b),
        head: centre(m, &h),
        d: Vec::new(),
        rounds: Vec::new(),
        counts,
    })
}

/// What accepted runs and new ones say of a term: the new mean against a prediction limit of the accepted ones.
pub(super) fn of_history(rules: &Rules, term: &Term, accepted: &[&Run], head: &[&Run]) -> Found {
    let named = head.iter().zip(1..).map(|(run, i)| (*run, "head", i));
    if let Some(found) = gap(rules, term, named) {
        return found;
    }
    let m = term.metric;
    let own = |runs: &[&Run]| runs.iter().filter_map(|r| r.value(m)).collect::<Vec<f64>>();
    let (b, h) = (own(accepted), own(head));
    if b.len() < 2 {
        return Found::Missing { why: format!("{m} is missing in the accepted runs: {} of {} have it", b.len(), accepted.len()), may_mend: false };
    }
    let limit = Limit::of(m, &b, &h);
    let counts = match (total(m, accepted), total(m, head)) {
        (Some(b), Some(h)) => vec![[b, h]],
        _ => Vec::new(),
    };
    Found::Evidence(Evidence {
        estimate: limit.difference,
        error: limit.error,
        df: limit.df,
        sd: limit.sd * std::f64::consts::SQRT_2,
        n: h.len(),
        base: centre(m, &b),
        head: centre(m, &h),
        d: Vec::new(),
        rounds: Vec::new(),
        counts,
    })
}

/// How far the mean of new values lies from that of known ones, with the error that the spread of the known ones predicts:
/// `sd sqrt(1 / K + 1 / N)`, Student's t with N - 1 degrees of freedom; `sd` widened by `sqrt((1 + r) / (1 - r))` if neighbours are alike (lag-1
/// autocorrelation r above 0.2).
pub(super) struct Limit {
    pub(super) difference: f64,
    pub(super) error: f64,
    pub(super) sd: f64,
    df: f64,
}

impl Limit {
    pub(super) fn of(metric: Metric, known: &[f64], new: &[f64]) -> Self {
        let (known, new) = (scaled(metric, known), scaled(metric, new));
        let (mean, variance) = mean_variance(&known);
        let r = lag_one(&known);
        let wider = if r > 0.2 { ((1.0 + r) / (1.0 - r)).sqrt() } else { 1.0 };
        let sd = match metric.scale() {
            Scale::LogRatio => variance.sqrt().max(RESOLUTION),
            Scale::Difference => variance.sqrt(),
        } * wider;
        let error = sd * (1.0 / new.len() as f64 + 1.0 / known.len() as f64).sqrt();
        Self { difference: mean_variance(&new).0 - mean, error, sd, df: (known.len() as f64 - 1.0).max(1.0) }
    }

    /// A quantile of its distribution, in standard errors.
    pub(super) fn t(&self, p: f64) -> f64 {
        student_t_quantile(p, self.df)
    }
}

/// Lag-1 autocorrelation, cut to 0.9; 0 below four values.
fn lag_one(values: &[f64]) -> f64 {
    if values.len() < 4 {
        return 0.0;
    }
    pearson(&values[1..], &values[..values.len() - 1]).unwrap_or(0.0).min(0.9)
}

/// Values on the scale of comparison: against a base of 1 (ratios) or 0 (shares) a difference is the value itself.
pub(super) fn scaled(metric: Metric, values: &[f64]) -> Vec<f64> {
    let neutral = if metric.scale() == Scale::LogRatio { 1.0 } else { 0.0 };
    values.iter().map(|&v| difference(metric, neutral, v)).collect()
}

/// Whether anything is missing of a term in the runs, and what.
fn gap<'a>(rules: &Rules, term: &Term, runs: impl Iterator<Item = (&'a Run, &'static str, u32)>) -> Option<Found> {
    let m = term.metric;
    let runs: Vec<_> = runs.collect();
    let has_any = runs.iter().any(|(run, ..)| run.values.contains_key(&m));
    if !has_any && term.role != Role::Gated {
        return Some(Found::Absent);
    }
    for &(run, side, number) in &runs {
        if run.value(m).is_none() {
            let seen = run.samples(m);
            let why = match run.values.get(&m) {
                Some(v) if !v.value.is_finite() => format!("{m} of {side} run {number} is not a finite number"),
                Some(v) if seen > 0 => format!("{m} of {side} run {number} is {}, which cannot be compared", v.value),
                _ => format!(
                    "{m} of {side} run {number} is missing: {} of {} requests ended well, {} values are needed",
                    run.ok,
                    run.due,
                    m.samples_needed()
                ),
            };
            return Some(Found::Missing { why, may_mend: false });
        }
        if run.samples(m) < m.samples_needed() {
            let why = format!("{m} of {side} run {number} rests on {} values, {} are needed", run.samples(m), m.samples_needed());
            return Some(Found::Missing { why, may_mend: false });
        }
    }
    let survivors = ["base", "head"].into_iter().filter(|_| m.is_of_survivors()).find_map(|side| survivor_bias(rules, &runs, side));
    survivors.map(|why| Found::Missing { why: format!("{m} is not compared: {why}"), may_mend: true })
}

/// Why latencies of a side flatter it: too many of its requests, over all its runs, have none.
fn survivor_bias(rules: &Rules, runs: &[(&Run, &'static str, u32)], side: &str) -> Option<String> {
    let own = || runs.iter().filter(|r| r.1 == side).map(|r| r.0);
    let (ok, due) = (own().map(|r| r.ok.min(r.due)).sum::<u64>(), own().map(|r| r.due).sum::<u64>());
    let share = ok as f64 / due.max(1) as f64;
    (due > 0 && share < rules.min_success).then(|| {
        let (found, needed) = (100.0 * share, 100.0 * rules.min_success);
        format!("{found:.2}% of the requests of the {side} ended well, {needed:.2}% are needed, because slow requests fail first")
    })
}

/// Geometric mean for ratios, mean for shares.
pub(super) fn centre(metric: Metric, values: &[f64]) -> f64 {
    match metric.scale() {
        Scale::LogRatio => mean_variance(&values.iter().map(|v| v.ln()).collect::<Vec<f64>>()).0.exp(),
        Scale::Difference => mean_variance(values).0,
    }
}

/// Requests that count against the run: errors, or those that were not good. `None` for ratios.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
fn count(metric: Metric, run: &Run) -> Option<Count> {
    let (value, all) = (run.value(metric)?, run.samples(metric));
    let bad = match metric {
        Metric::ErrorRate => value,
        Metric::Goodput => 1.0 - value,
        _ => return None,
    };
    Some(Count { bad: (bad * all as f64).round() as u64, all })
}

fn total(metric: Metric, runs: &[&Run]) -> Option<Count> {
    runs.iter().map(|run| count(metric, run)).try_fold(Count::default(), |sum, c| {
        let c = c?;
        Some(Count { bad: sum.bad + c.bad, all: sum.all + c.all })
    })
}

impl Evidence {
    /// Upper bound of the difference with confidence `1 - alpha`.
    pub(super) fn high(&self, alpha: f64) -> f64 {
        if self.error > 0.0 || self.counts.is_empty() {
            return self.estimate + student_t_quantile(1.0 - alpha, self.df) * self.error;
        }
        let [base, head] = self.pooled();
        // No errors on the base leave nothing to bound there; otherwise both bounds share the risk (Bonferroni).
        let part = if base.bad == 0 { alpha } else { alpha / 2.0 };
        let least = if base.bad == 0 { 0.0 } else { clopper_pearson_lower(base.bad, base.all, 1.0 - part) };
        clopper_pearson_upper(head.bad, head.all, 1.0 - part) - least
    }

    /// Lower bound of the difference with confidence `1 - alpha`.
    pub(super) fn low(&self, alpha: f64) -> f64 {
        if self.error > 0.0 || self.counts.is_empty() {
            return self.estimate - student_t_quantile(1.0 - alpha, self.df) * self.error;
        }
        let [base, head] = self.pooled();
        let part = if head.bad == 0 { alpha } else { alpha / 2.0 };
        let least = if head.bad == 0 { 0.0 } else { clopper_pearson_lower(head.bad, head.all, 1.0 - part) };
        least - clopper_pearson_upper(base.bad, base.all, 1.0 - part)
    }

    /// One-sided p-value of "the difference is `at` or less".
    pub(super) fn p_above(&self, at: f64) -> f64 {
        if self.error > 0.0 {
            return student_t_above((self.estimate - at) / self.error, self.df);
        }
        smallest(|alpha| self.low(alpha) > at)
    }

    /// One-sided p-value of "the difference is `at` or more".
    pub(super) fn p_below(&self, at: f64) -> f64 {
        if self.error > 0.0 {
            return student_t_above((at - self.estimate) / self.error, self.df);
        }
        smallest(|alpha| self.high(alpha) < at)
    }

    /// Fisher's exact test of more bad requests on the head, over all pairs but the one that speaks loudest for it, so that one burst of errors does
    /// not decide. 1 where there are no counts.
    pub(super) fn p_of_counts(&self) -> f64 {
        let loudest = (0..self.counts.len()).max_by(|&a, &b| self.excess(a).total_cmp(&self.excess(b)));
        let rest = (0..self.counts.len()).filter(|&i| Some(i) != loudest || self.counts.len() == 1);
        let [base, head] = self.sum(rest);
        fisher_at_least(head.bad, head.all, base.bad, base.all)
    }

    fn excess(&self, pair: usize) -> f64 {
        let [base, head] = self.counts[pair];
        head.bad as f64 / head.all.max(1) as f64 - base.bad as f64 / base.all.max(1) as f64
    }

    fn pooled(&self) -> [Count; 2] {
        self.sum(0..self.counts.len())
    }

    fn sum(&self, pairs: impl Iterator<Item = usize>) -> [Count; 2] {
        pairs.fold([Count::default(); 2], |mut sum, i| {
            for (total, one) in sum.iter_mut().zip(self.counts[i]) {
                total.bad += one.bad;
                total.all += one.all;
            }
            sum
        })
    }
}

/// The smallest risk at which a bound that tightens with it says so, by bisection; 1 if none up to one half does.
fn smallest(says: impl Fn(f64) -> bool) -> f64 {
    if !says(0.5) {
        return 1.0;
    }
    let (mut low, mut high) = (-40.0_f64, 0.5_f64.ln());
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if says(middle.exp()) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high.exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positive_is_worse_whichever_way_is_better() {
        assert!((difference(Metric::TpotP50, 20.0, 22.0) - 1.1_f64.ln()).abs() < 1e-12);
        assert!((difference(Metric::OutputTokS, 110.0, 100.0) - 1.1_f64.ln()).abs() < 1e-12);
        assert!((difference(Metric::Goodput, 0.99, 0.95) - 0.04).abs() < 1e-12);
        for metric in Metric::ALL {
            let (base, head) = (0.5, 0.4);
            let found = change(metric, difference(metric, base, head));
            let expected = if metric.scale() == Scale::LogRatio { head / base - 1.0 } else { head - base };
            assert!((found - expected).abs() < 1e-12, "{metric}: {found}");
        }
    }

    #[test]
    fn the_floor_widens_the_margin_of_small_values_only() {
        let term = Term::new(Metric::TtftP50, Role::Gated);
        assert!((margin_d(&term, Some(1_000.0)) - 0.10_f64.ln_1p()).abs() < 1e-12);
        // 5 ms beside 10 ms is one half.
        assert!((margin_d(&term, Some(10.0)) - 0.5_f64.ln_1p()).abs() < 1e-12);
        assert!((margin_d(&term, None) - 0.10_f64.ln_1p()).abs() < 1e-12);
        let speed = Term { floor: 50.0, ..Term::new(Metric::OutputTokS, Role::Gated) };
        assert!((margin_d(&speed, Some(100.0)) - 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(margin_d(&Term::new(Metric::ErrorRate, Role::Gated), Some(0.0)), 0.005);
    }
}
