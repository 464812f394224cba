//! From evidence to rows: p-values with Holm's correction, bounds, the verdict on each metric, the cross-check by ranks.

use super::document::{LookRow, MetricVerdict, Robustness, Row};
use super::evidence::{Evidence, Found, change, margin_d, size, worsening};
use super::metric::Metric;
use super::power::{Risk, detectable, pairs_to_pass};
use super::rules::{Role, Rules, Term};
use super::words;
use crate::base::stats::hypothesis::holm;
use crate::base::stats::rank::{hodges_lehmann, outliers, signed_rank_above, signed_rank_high, signed_rank_low};

/// Pairs from which ranks can say something at 1 %, and up to which their exact distribution is quick to count.
const PAIRS_FOR_RANKS: std::ops::RangeInclusive<usize> = 8..=200;
/// Confidence of the intervals that are shown.
const SHOWN: f64 = 0.95;

/// A term with what there is of it.
pub(super) struct Case {
    pub(super) term: Term,
    pub(super) found: Found,
}

impl Case {
    /// It decides: it is gated, and there is something of it.
    pub(super) fn decides(&self) -> bool {
        self.term.role != Role::Informational && !matches!(self.found, Found::Absent)
    }
}

/// Risks of one look: over all metrics for FAIL, for each metric for PASS.
#[derive(Clone, Copy)]
pub(super) struct Level {
    pub(super) fail: f64,
    pub(super) pass: f64,
}

impl Level {
    /// One of the looks of the rules.
    pub(super) fn of_look(rules: &Rules) -> Self {
        Self { fail: rules.alpha_fail / rules.looks_count(), pass: rules.alpha_pass / rules.looks_count() }
    }

    /// The only look.
    pub(super) fn only(rules: &Rules) -> Self {
        Self { fail: rules.alpha_fail, pass: rules.alpha_pass }
    }

    fn risk(self, metrics: usize) -> Risk {
        Risk { fail: self.fail / metrics.max(1) as f64, pass: self.pass }
    }
}

/// A row for every case that is not absent.
pub(super) fn rows(rules: &Rules, level: Level, cases: &[Case]) -> Vec<Row> {
    let raw: Vec<f64> = cases.iter().filter(|c| c.decides()).map(p_worse).collect();
    let mut corrected = holm(&raw).into_iter();
    let mut rows = Vec::new();
    for case in cases {
        let p_holm = if case.decides() { corrected.next() } else { None };
        match &case.found {
            Found::Absent => {}
            Found::Missing { why, .. } => rows.push(missing(&case.term, why)),
            Found::Evidence(evidence) => rows.push(row(rules, level, case, evidence, p_holm)),
        }
    }
    rows
}

/// One-sided p-value of "not worse at all": Student's t; for errors, Fisher's test beside it, the smaller of the two doubled (Bonferroni). 1 without evidence.
fn p_worse(case: &Case) -> f64 {
    match &case.found {
        Found::Evidence(e) if case.term.metric == Metric::ErrorRate => (2.0 * e.p_above(0.0).min(e.p_of_counts())).min(1.0),
        Found::Evidence(e) => e.p_above(0.0),
        Found::Missing { .. } | Found::Absent => 1.0,
    }
}

/// A row without figures.
fn missing(term: &Term, why: &str) -> Row {
    let verdict = if term.role == Role::Informational { MetricVerdict::Informational } else { MetricVerdict::Invalid };
    Row {
        metric: term.metric,
        scale: term.metric.scale(),
        better: term.metric.better(),
        role: term.role,
        verdict,
        reason: why.to_owned(),
        pairs: 0,
        base: None,
        head: None,
        change: None,
        change_low: None,
        change_high: None,
        estimate: None,
        low: None,
        high: None,
        pass_high: None,
        margin: term.margin,
        margin_d: margin_d(term, None),
        floor: term.floor,
        worsening: None,
        p_worse: None,
        p_worse_holm: None,
        p_margin: None,
        p_better: None,
        sd: None,
        detectable: None,
        pairs_needed: None,
        robustness: None,
        outliers: Vec::new(),
    }
}

fn row(rules: &Rules, level: Level, case: &Case, e: &Evidence, p_holm: Option<f64>) -> Row {
    let term = &case.term;
    let m = term.metric;
    let margin = margin_d(term, Some(e.base));
    let (low, high) = (e.low(0.5 * (1.0 - SHOWN)), e.high(0.5 * (1.0 - SHOWN)));
    let (a, b) = (change(m, low), change(m, high));
    let pairs = u32::try_from(e.n).unwrap_or(u32::MAX);
    let p = p_worse(case);
    let mut row = Row {
        pairs,
        base: Some(e.base),
        head: Some(e.head),
        change: Some(change(m, e.estimate)),
        change_low: Some(a.min(b)),
        change_high: Some(a.max(b)),
        estimate: Some(e.estimate),
        low: Some(low),
        high: Some(high),
        pass_high: Some(e.high(level.pass)),
        margin_d: margin,
        worsening: Some(worsening(m, e.base, e.head)),
        p_worse: Some(p),
        p_worse_holm: p_holm,
        p_margin: Some(e.p_below(margin)),
        p_better: Some(e.p_below(0.0)),
        sd: Some(e.sd),
        robustness: robustness(rules, e),
        outliers: outliers(&e.d).into_iter().map(|i| e.rounds[i]).collect(),
        ..missing(term, "")
    };
    let decided = decide(level, &row);
    let (verdict, disagrees) = cross_check(rules, decided, &row);
    if let Some(r) = &mut row.robustness {
        r.disagrees = disagrees;
    }
    row.verdict = if term.role == Role::Informational { MetricVerdict::Informational } else { verdict };
    row.reason = words::of_row(&row);
    row
}

/// The verdict by Student's t alone.
fn decide(level: Level, row: &Row) -> MetricVerdict {
    let (Some(estimate), Some(high)) = (row.estimate, row.pass_high) else { return MetricVerdict::Invalid };
    let is_beyond = estimate >= row.margin_d;
    let p_fail = row.p_worse_holm.or(row.p_worse).unwrap_or(1.0);
    if is_beyond && p_fail <= level.fail {
        return MetricVerdict::Fail;
    }
    // A bound at the margin is not below it; NaN is not either.
    if high < row.margin_d {
        return match (row.p_better, row.p_worse) {
            (Some(better), _) if better <= level.fail && estimate < 0.0 => MetricVerdict::Improved,
            (_, Some(worse)) if worse <= level.fail && estimate > 0.0 => MetricVerdict::WorseWithinTolerance,
            _ => MetricVerdict::Pass,
        };
    }
    MetricVerdict::Inconclusive
}

fn robustness(rules: &Rules, e: &Evidence) -> Option<Robustness> {
    if !PAIRS_FOR_RANKS.contains(&e.d.len()) {
        return None;
    }
    Some(Robustness {
        estimate: hodges_lehmann(&e.d)?,
        low: signed_rank_low(&e.d, rules.alpha_fail),
        high: signed_rank_high(&e.d, rules.alpha_pass),
        p_worse: signed_rank_above(&e.d),
        disagrees: false,
    })
}

/// Ranks may take a verdict back, never give one: they must come to the same by themselves, at the undivided risks. Tells also where ranks alone would
/// pass what t does not: there an outlier stands in the way.
fn cross_check(rules: &Rules, verdict: MetricVerdict, row: &Row) -> (MetricVerdict, bool) {
    let Some(r) = row.robustness else { return (verdict, false) };
    let passes = r.high.is_some_and(|high| high < row.margin_d);
    let keeps = match verdict {
        MetricVerdict::Fail => r.estimate >= row.margin_d && r.p_worse <= rules.alpha_fail,
        MetricVerdict::Pass | MetricVerdict::Improved | MetricVerdict::WorseWithinTolerance => passes || r.high.is_none(),
        _ => return (verdict, passes && !row.outliers.is_empty()),
    };
    if keeps { (verdict, false) } else { (MetricVerdict::Inconclusive, true) }
}

/// Adds what the gate could have seen: the smallest worsening that it finds, and the pairs that a PASS takes.
pub(super) fn add_power(level: Level, rows: &mut [Row]) {
    let risk = level.risk(rows.iter().filter(|r| r.verdict != MetricVerdict::Informational).count());
    for row in rows {
        if let Some(sd) = row.sd {
            row.detectable = Some(size(row.metric, detectable(risk, sd, row.pairs, row.margin_d))).filter(|d| d.is_finite());
            row.pairs_needed = pairs_to_pass(risk, sd, row.margin_d);
        }
    }
}

/// The bounds of a look, for the metrics that decide.
pub(super) fn look_rows(level: Level, cases: &[Case]) -> Vec<LookRow> {
    let risk = level.risk(cases.iter().filter(|c| c.decides()).count());
    let of = |case: &Case| match &case.found {
        Found::Evidence(e) if case.decides() => Some(LookRow {
            metric: case.term.metric,
            estimate: e.estimate,
            low: e.low(risk.fail),
            high: e.high(risk.pass),
            margin_d: margin_d(&case.term, Some(e.base)),
        }),
        _ => None,
    };
    cases.iter().filter_map(of).collect()
}

/// Pairs after which this row would pass at the estimate it has now; `None` if none would.
pub(super) fn pairs_at_this_estimate(level: Level, deciding: usize, row: &Row) -> Option<u32> {
    let (estimate, sd) = (row.estimate?, row.sd?);
    let room = (row.margin_d - estimate.max(0.0)).max(estimate.max(0.0) - row.margin_d);
    let found = pairs_to_pass(level.risk(deciding), sd, room)?;
    Some(found.max(row.pairs + 1))
}
