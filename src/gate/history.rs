//! Mode `history`: the head against accepted runs of the same experiment, when no base can be loaded beside it.

use super::baseline::{Baseline, RUNS_NEEDED};
use super::document::{Drift, Mode, Report, SideFacts, Verdict};
use super::evidence::{Found, Limit, change, of_history};
use super::files::{copy_within, single};
use super::judge::{Case, Level, rows};
use super::metric::Metric;
use super::paired::{unusable_run, verdict};
use super::rules::{Rules, Term};
use super::run::Run;
use super::summing;

/// The verdict on the runs of the head, against the accepted runs whose fixed facts are equal, [`RUNS_NEEDED`] at least.
///
/// FAIL needs the mean of the head beyond the prediction limit of the accepted runs (see METHOD) and beyond the margin; PASS needs the upper bound of the
/// same within the margin, and two runs of the head. Drift to the pinned entry is told beside it.
#[must_use]
pub fn judge(rules: &Rules, baseline: &Baseline, head: &[Run]) -> Report {
    if let Some(fault) = rules.fault() {
        return Report::invalid(Mode::History, format!("the rules of the gate are faulty: {fault}"));
    }
    let mut report = Report::begun(Mode::History, rules);
    let Some(first) = head.first() else {
        return report.settle(Verdict::Invalid, vec!["the head has no runs".to_owned()]);
    };
    let accepted: Vec<&Run> = baseline.comparable(&first.fingerprint).collect();
    if let Some(reason) = summing::not_comparable([].into_iter(), head.iter(), &mut report) {
        return report.settle(Verdict::NotComparable, vec![reason]);
    }
    if let Some(last) = baseline.entries.last() {
        report.differences = last.fingerprint.differences(&first.fingerprint);
    }
    if accepted.len() < RUNS_NEEDED {
        let all: usize = baseline.entries.iter().map(|e| e.runs.len()).sum();
        let key = report
            .differences
            .iter()
            .find(|d| d.fixed)
            .map_or(String::new(), |d| format!(": the last entry differs in {:?} ({:?}, the head has {:?})", d.key, d.base, d.head));
        let reason = format!("{} of the {all} runs of the baseline are comparable, {RUNS_NEEDED} are needed{key}", accepted.len());
        return report.settle(Verdict::NotComparable, vec![reason]);
    }
    let usable: Vec<Run> = head.iter().filter(|run| unusable_run(rules, run).is_none()).cloned().collect();
    let base_rounds = accepted.iter().zip(1..).map(|(run, i)| single(rules, run, i, true));
    report.rounds = base_rounds.chain(head.iter().zip(1..).map(|(run, i)| single(rules, run, i, false))).collect();
    report.base = SideFacts::of(accepted.iter().copied());
    report.head = SideFacts::of(usable.iter());
    report.pairs = u32::try_from(usable.len()).unwrap_or(u32::MAX);
    if usable.is_empty() {
        let reasons = head.iter().filter_map(|run| Some(format!("{}: {}", run.name, unusable_run(rules, run)?))).collect();
        return report.settle(Verdict::Invalid, reasons);
    }
    if let Some(reason) = copy_within(&usable) {
        return report.settle(Verdict::Invalid, vec![reason]);
    }
    let usable: Vec<&Run> = usable.iter().collect();
    report.drifts = drifts(rules, baseline, &usable);
    by_limit(rules, &accepted, &usable, report)
}

fn by_limit(rules: &Rules, accepted: &[&Run], head: &[&Run], mut report: Report) -> Report {
    let cases: Vec<Case> = rules.terms.iter().map(|term| Case { term: *term, found: of_history(rules, term, accepted, head) }).collect();
    let level = Level::only(rules);
    report.rows = rows(rules, level, &cases);
    let has_any = cases.iter().any(|c| c.decides() && matches!(c.found, Found::Evidence(_)));
    let settled = if has_any { verdict(&report.rows, &cases, true).unwrap_or(Verdict::Inconclusive) } else { Verdict::Invalid };
    report.reasons.extend(
        report
            .drifts
            .iter()
            .filter(|d| d.alarm)
            .map(|d| format!("{} has moved {:+.1}% from the pinned entry, more than its margin", d.metric, 100.0 * d.change)),
    );
    if settled == Verdict::Pass && head.len() < 2 {
        let reason = "one run of the head is within every margin, but one run does not show that it repeats; make a second one".to_owned();
        report.would_change.push("a second run of the head".to_owned());
        return report.settle(Verdict::Inconclusive, vec![reason]);
    }
    summing::up(report, level, settled)
}

/// How far the head is from the pinned entry.
fn drifts(rules: &Rules, baseline: &Baseline, head: &[&Run]) -> Vec<Drift> {
    let Some(anchor) = head.first().and_then(|run| baseline.anchor(&run.fingerprint)) else { return Vec::new() };
    let runs: Vec<&Run> = anchor.runs.iter().collect();
    rules.terms.iter().filter_map(|term| drift(term, &values(term.metric, &runs), &values(term.metric, head))).collect()
}

/// The figures of runs that have one.
pub(super) fn values(metric: Metric, runs: &[&Run]) -> Vec<f64> {
    runs.iter().filter_map(|run| run.value(metric)).collect()
}

/// The level of `now` against that of `anchor`; `None` if one has no values. The noise is that of the values of `now`; a bound needs two of them.
pub(super) fn drift(term: &Term, anchor: &[f64], now: &[f64]) -> Option<Drift> {
    if anchor.is_empty() || now.is_empty() {
        return None;
    }
    let m = term.metric;
    let limit = Limit::of(m, now, anchor);
    // The limit asks how far the anchor lies from now; drift is the other way round.
    let d = -limit.difference;
    let low = (now.len() >= 2).then(|| d - limit.t(0.95) * limit.error);
    Some(Drift {
        metric: m,
        anchor: super::evidence::centre(m, anchor),
        now: super::evidence::centre(m, now),
        change: change(m, d),
        d,
        low,
        alarm: d > super::evidence::margin_d(term, Some(super::evidence::centre(m, anchor))) && low.is_none_or(|low| low > 0.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::baseline::Entry;
    use crate::gate::fixture::disturbed;

    fn baseline(runs: u64, sd: f64) -> Baseline {
        let mut baseline = Baseline::new("chat");
        let all: Vec<Run> = (0..runs).map(|i| disturbed(10_000 + i, 0.0, sd, "base")).collect();
        let entry = Entry::by("Ada", "2026-01-02T03:04:05Z", "", true);
        baseline.accept(None, &all, entry).unwrap();
        baseline
    }

    fn head(seed: u64, n: u64, d: f64, sd: f64) -> Vec<Run> {
        (0..n).map(|i| disturbed(seed * 100 + i, d, sd, "head")).collect()
    }

    /// forall seeds: a head like the accepted runs rarely fails, one that is much worse does
    #[test]
    fn history_keeps_its_error_rate_and_finds_a_large_change() {
        let rules = Rules::default();
        let verdicts = |d: f64| (0..60).map(|s| judge(&rules, &baseline(12, 0.01), &head(s, 3, d, 0.01)).verdict).collect::<Vec<_>>();
        let (same, worse) = (verdicts(0.0), verdicts(0.15));
        assert!(same.iter().filter(|v| **v == Verdict::Fail).count() <= 1);
        assert!(same.iter().filter(|v| **v == Verdict::Pass).count() >= 56);
        assert!(worse.iter().filter(|v| **v == Verdict::Fail).count() >= 56);
    }

    #[test]
    fn too_little_or_foreign_history_is_not_comparable() {
        let rules = Rules::default();
        assert_eq!(judge(&rules, &Baseline::new("chat"), &head(1, 3, 0.0, 0.01)).verdict, Verdict::NotComparable);
        assert_eq!(judge(&rules, &baseline(7, 0.01), &head(1, 3, 0.0, 0.01)).verdict, Verdict::NotComparable);
        let mut foreign = head(1, 3, 0.0, 0.01);
        for run in &mut foreign {
            run.fingerprint.fix("model", "mistral");
        }
        let report = judge(&rules, &baseline(12, 0.01), &foreign);
        assert_eq!(report.verdict, Verdict::NotComparable);
        assert!(report.sentence.contains("model"), "{}", report.sentence);
    }

    #[test]
    fn missing_data_never_pass() {
        let rules = Rules::default();
        let base = baseline(12, 0.01);
        assert_eq!(judge(&rules, &base, &[]).verdict, Verdict::Invalid);
        assert_eq!(judge(&rules, &base, &head(1, 1, 0.0, 0.01)).verdict, Verdict::Inconclusive);
        let mut broken = head(1, 3, 0.0, 0.01);
        broken[1].insert(Metric::TpotP50, f64::NAN, 600);
        assert_eq!(judge(&rules, &base, &broken).verdict, Verdict::Invalid);
        let same = vec![head(1, 1, 0.0, 0.01).remove(0); 3];
        assert_eq!(judge(&rules, &base, &same).verdict, Verdict::Invalid);
        let dead: Vec<Run> = head(1, 3, 0.0, 0.01).into_iter().map(|r| Run { valid: false, reason: "too slow a client".to_owned(), ..r }).collect();
        assert!(judge(&rules, &base, &dead).sentence.contains("too slow a client"));
    }

    #[test]
    fn creep_shows_against_the_pinned_entry() {
        let report = judge(&Rules::default(), &baseline(12, 0.005), &head(1, 3, 0.2, 0.005));
        let tpot = report.drifts.iter().find(|d| d.metric == Metric::TpotP50).unwrap();
        assert!(tpot.alarm && (tpot.change - 0.2_f64.exp_m1()).abs() < 0.02, "{tpot:?}");
    }
}
