//! From rows to a finished report: comparability, the sentence, the reasons, what would change the verdict.

use super::document::{MetricVerdict, Mode, Report, Row, SCHEMA_VERSION, SideFacts, Verdict};
use super::fingerprint::{Difference, Fingerprint};
use super::judge::{Level, add_power, pairs_at_this_estimate};
use super::rules::Rules;
use super::run::Run;
use super::words;

impl Report {
    /// An empty report of these rules.
    pub(super) fn begun(mode: Mode, rules: &Rules) -> Self {
        Self {
            alpha_fail: rules.alpha_fail,
            alpha_pass: rules.alpha_pass,
            looks_planned: if mode == Mode::Paired { rules.looks.clone() } else { Vec::new() },
            paired: matches!(mode, Mode::Paired | Mode::Calibrate),
            ..Self::empty(mode)
        }
    }

    fn empty(mode: Mode) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            mode,
            scenario: String::new(),
            verdict: Verdict::Inconclusive,
            sentence: String::new(),
            reasons: Vec::new(),
            would_change: Vec::new(),
            paired: false,
            pairs: 0,
            another_look: None,
            alpha_fail: 0.0,
            alpha_pass: 0.0,
            looks_planned: Vec::new(),
            base: SideFacts::default(),
            head: SideFacts::default(),
            rows: Vec::new(),
            rounds: Vec::new(),
            looks: Vec::new(),
            promises: Vec::new(),
            changes: Vec::new(),
            drifts: Vec::new(),
            noise: Vec::new(),
            differences: Vec::new(),
            fingerprint: Fingerprint::default(),
        }
    }

    /// A report without figures: base and head are not the same experiment, or there is nothing to compare with.
    #[must_use]
    pub fn not_comparable(mode: Mode, reason: impl Into<String>) -> Self {
        Self::empty(mode).settle(Verdict::NotComparable, vec![reason.into()])
    }

    /// A report without figures: the runs measure nothing that could be compared.
    #[must_use]
    pub fn invalid(mode: Mode, reason: impl Into<String>) -> Self {
        Self::empty(mode).settle(Verdict::Invalid, vec![reason.into()])
    }

    /// With this verdict for these reasons, the first of which makes the sentence.
    pub(super) fn settle(mut self, verdict: Verdict, reasons: Vec<String>) -> Self {
        self.verdict = verdict;
        let first = reasons.first().map_or("no reason is known", String::as_str);
        self.sentence = format!("{}: {}.", verdict.word(), first.trim_end_matches('.'));
        let remedy = match verdict {
            Verdict::NotComparable => {
                Some("runs of the same experiment: the same scenario and the same fixed facts on both sides, or a baseline accepted anew")
            }
            Verdict::Invalid => Some("runs that hold what is missing: see the first reason"),
            _ => None,
        };
        self.would_change.extend(remedy.map(str::to_owned));
        self.reasons = reasons;
        self
    }
}

impl SideFacts {
    /// The sum of runs.
    pub(super) fn of<'a>(runs: impl Iterator<Item = &'a Run>) -> Self {
        runs.fold(Self::default(), |sum, run| Self { runs: sum.runs + 1, requests: sum.requests + run.due, errors: sum.errors + run.errors() })
    }
}

/// Notes the fingerprint and what differs; the reason, if a fact that is declared fixed does.
pub(super) fn not_comparable<'a>(base: impl Iterator<Item = &'a Run>, head: impl Iterator<Item = &'a Run>, report: &mut Report) -> Option<String> {
    let (base, head): (Vec<&Run>, Vec<&Run>) = (base.collect(), head.collect());
    let first = |side: &[&Run]| side.first().map(|r| r.fingerprint.clone()).unwrap_or_default();
    let (of_base, of_head) = (first(&base), first(&head));
    report.differences = of_base.differences(&of_head);
    if head.is_empty() || base.is_empty() {
        report.differences.clear();
    }
    report.fingerprint = of_head.clone();
    let between = report.differences.iter().find(|d| d.fixed).cloned();
    let within = |side: &[&Run], own: &Fingerprint| side.iter().flat_map(|r| own.differences(&r.fingerprint)).find(|d| d.fixed);
    let why = |d: &Difference, what: &str| {
        let value = |v: &str| if v.is_empty() { "nothing".to_owned() } else { format!("{v:?}") };
        format!("{:?} must be equal and {what}: {} and {}", d.key, value(&d.base), value(&d.head))
    };
    between
        .map(|d| why(&d, "differs between base and head"))
        .or_else(|| within(&base, &of_base).map(|d| why(&d, "changed between runs of the base")))
        .or_else(|| within(&head, &of_head).map(|d| why(&d, "changed between runs of the head")))
}

/// Sentence, reasons and what would change the verdict, from the rows.
pub(super) fn up(mut report: Report, level: Level, verdict: Verdict) -> Report {
    report.verdict = verdict;
    add_power(level, &mut report.rows);
    let notes = std::mem::take(&mut report.reasons);
    let mut order: Vec<&Row> = report.rows.iter().collect();
    order.sort_by(|a, b| rank(a).cmp(&rank(b)).then(closeness(b).total_cmp(&closeness(a))));
    let reasons: Vec<String> = order.iter().map(|row| format!("{} {}: {}", row.metric, row.verdict.word(), row.reason)).collect();
    let what = if report.paired { "pair" } else { "run" };
    let after = match report.pairs {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    report.sentence = match (order.first(), report.another_look) {
        (_, Some(more)) if report.looks.is_empty() => format!("INCONCLUSIVE so far: {after} made, the first look is at {more}."),
        (Some(row), Some(more)) => format!("INCONCLUSIVE so far after {after}: {} is {}; the next look is at {more}.", row.metric, row.reason),
        (Some(row), None) if row.verdict == MetricVerdict::Invalid => format!("{}: {}.", verdict.word(), row.reason),
        (Some(row), None) if verdict == Verdict::Pass => {
            format!("PASS after {after}: nothing is worse than its margin; nearest to it is {}, {}.", row.metric, row.reason)
        }
        (Some(row), None) => format!("{} after {after}: {} is {}.", verdict.word(), row.metric, row.reason),
        (None, _) => format!("{}: no metric was compared.", verdict.word()),
    };
    report.would_change = would_change(&report, level);
    report.reasons = reasons.into_iter().chain(notes).collect();
    report
}

/// The gravest first.
fn rank(row: &Row) -> u8 {
    match row.verdict {
        MetricVerdict::Fail => 0,
        MetricVerdict::Invalid => 1,
        MetricVerdict::Inconclusive => 2,
        MetricVerdict::WorseWithinTolerance => 3,
        MetricVerdict::Pass => 4,
        MetricVerdict::Improved => 5,
        MetricVerdict::Informational => 6,
    }
}

/// How near a row is to its margin, or how far beyond; one that did not move at all comes last.
fn closeness(row: &Row) -> f64 {
    if row.verdict == MetricVerdict::Pass && row.estimate == Some(0.0) {
        return f64::NEG_INFINITY;
    }
    let value = if row.verdict == MetricVerdict::Fail { row.estimate } else { row.pass_high };
    value.unwrap_or(f64::INFINITY) / row.margin_d
}

fn would_change(report: &Report, level: Level) -> Vec<String> {
    let deciding = report.rows.iter().filter(|r| r.verdict != MetricVerdict::Informational).count();
    let unit = if report.paired { "pairs" } else { "runs on each side" };
    let of = |row: &Row| match row.verdict {
        MetricVerdict::Fail => {
            row.estimate.map(|d| format!("{}: a margin above {} instead of {}", row.metric, words::amount(row.metric, d), words::margin(row)))
        }
        MetricVerdict::Inconclusive => {
            let more = pairs_at_this_estimate(level, deciding, row);
            let outliers =
                if row.outliers.is_empty() { String::new() } else { format!("; without {} it may be sooner", words::rounds_in_words(&row.outliers)) };
            Some(match more {
                Some(n) => {
                    format!("{}: about {n} {unit} instead of {} would decide at this estimate and this noise{outliers}", row.metric, row.pairs)
                }
                None => format!("{}: more {unit} would not help at this noise; steadier runs or a wider margin would{outliers}", row.metric),
            })
        }
        MetricVerdict::Invalid => Some(format!("{}: longer runs or fewer errors, so that every run has it; or another role for it", row.metric)),
        MetricVerdict::Pass | MetricVerdict::Improved | MetricVerdict::WorseWithinTolerance if report.verdict == Verdict::Pass => row
            .pass_high
            .filter(|high| *high > 0.0)
            .map(|high| format!("{}: a margin below {} would not pass with these runs", row.metric, words::amount(row.metric, high))),
        _ => None,
    };
    report.rows.iter().filter_map(of).collect()
}
