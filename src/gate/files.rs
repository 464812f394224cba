//! Mode `files`: runs that are on disk already, paired by workload seed where both sides have it, side against side otherwise.

use super::document::{Mode, Report, Round, SideFacts, Verdict};
use super::evidence::{Found, of_sides};
use super::judge::{Case, Level, rows};
use super::metric::Metric;
use super::paired::{cases, copies, count_rounds, unusable_run, verdict};
use super::rules::Rules;
use super::run::{Order, Pair, Run};
use super::summing;
use std::collections::BTreeMap;

/// The verdict on runs that exist: one look, with the whole of both error rates.
///
/// Runs with the same seed on both sides make pairs; if there are at least as many as the first look of the rules wants, the pairs are judged and the
/// rest is left out. Otherwise the sides are compared by Welch's test, which needs as many runs on each side and sees far less; the report says so.
#[must_use]
pub fn judge(rules: &Rules, base: &[Run], head: &[Run]) -> Report {
    if let Some(fault) = rules.fault() {
        return Report::invalid(Mode::Files, format!("the rules of the gate are faulty: {fault}"));
    }
    let mut report = Report::begun(Mode::Files, rules);
    if base.is_empty() || head.is_empty() {
        let side = if base.is_empty() { "base" } else { "head" };
        return report.settle(Verdict::NotComparable, vec![format!("the {side} has no runs")]);
    }
    if let Some(reason) = summing::not_comparable(base.iter(), head.iter(), &mut report) {
        return report.settle(Verdict::NotComparable, vec![reason]);
    }
    let pairs = pairs_by_seed(rules, base, head);
    let needed = rules.looks[0] as usize;
    report.paired = pairs.len() >= needed;
    report.reasons.extend(in_turns(base, head));
    if report.paired { by_pairs(rules, &pairs, report) } else { by_sides(rules, base, head, report) }
}

/// Usable runs of the same seed, in the order of the base.
fn pairs_by_seed(rules: &Rules, base: &[Run], head: &[Run]) -> Vec<Pair> {
    let is_usable = |run: &&Run| unusable_run(rules, run).is_none();
    let mut free: Vec<Option<&Run>> = head.iter().filter(is_usable).map(Some).collect();
    let mut pairs = Vec::new();
    for run in base.iter().filter(is_usable) {
        let Some(partner) = free.iter_mut().find(|h| h.is_some_and(|h| h.seed == run.seed)).and_then(Option::take) else { continue };
        let order = match (run.started_utc.as_str(), partner.started_utc.as_str()) {
            ("", _) | (_, "") => Order::Unknown,
            (b, h) if b <= h => Order::BaseFirst,
            _ => Order::HeadFirst,
        };
        let round = u32::try_from(pairs.len() + 1).unwrap_or(u32::MAX);
        pairs.push(Pair { round, order, base: run.clone(), head: partner.clone() });
    }
    pairs
}

fn by_pairs(rules: &Rules, pairs: &[Pair], mut report: Report) -> Report {
    let counted = count_rounds(rules, pairs, &mut report);
    if let Some(reason) = copies(&counted) {
        return report.settle(Verdict::Invalid, vec![reason]);
    }
    let level = Level::only(rules);
    let cases = cases(rules, &counted);
    report.rows = rows(rules, level, &cases);
    report.pairs = u32::try_from(counted.len()).unwrap_or(u32::MAX);
    let verdict = verdict(&report.rows, &cases, true).unwrap_or(Verdict::Inconclusive);
    summing::up(report, level, verdict)
}

fn by_sides(rules: &Rules, base: &[Run], head: &[Run], mut report: Report) -> Report {
    let needed = rules.looks[0] as usize;
    for (runs, is_base) in [(base, true), (head, false)] {
        report.rounds.extend(runs.iter().zip(1..).map(|(run, round)| single(rules, run, round, is_base)));
    }
    let usable = |runs: &'_ [Run]| runs.iter().filter(|run| unusable_run(rules, run).is_none()).cloned().collect::<Vec<Run>>();
    let (base, head) = (usable(base), usable(head));
    report.base = SideFacts::of(base.iter());
    report.head = SideFacts::of(head.iter());
    report.pairs = u32::try_from(base.len().min(head.len())).unwrap_or(u32::MAX);
    if base.is_empty() || head.is_empty() {
        let reasons = report.rounds.iter().filter(|r| !r.counted).map(|r| format!("{}{}: {}", r.base_run, r.head_run, r.reason)).collect();
        return report.settle(Verdict::Invalid, reasons);
    }
    if let Some(reason) = copy_within(&base).or_else(|| copy_within(&head)) {
        return report.settle(Verdict::Invalid, vec![reason]);
    }
    if base.len() < needed || head.len() < needed {
        let reason = format!("{} usable runs of the base and {} of the head, {needed} of each are needed", base.len(), head.len());
        report.would_change.push(format!("{needed} runs of each side, best with the same seeds on both"));
        return report.settle(Verdict::Inconclusive, vec![reason]);
    }
    let note = "the sides share too few workload seeds to make pairs, so that runs are compared side against side, which sees far less; run both sides with the same seeds";
    report.reasons.push(note.to_owned());
    let (base, head): (Vec<&Run>, Vec<&Run>) = (base.iter().collect(), head.iter().collect());
    let cases: Vec<Case> = rules.terms.iter().map(|term| Case { term: *term, found: of_sides(rules, term, &base, &head) }).collect();
    let level = Level::only(rules);
    report.rows = rows(rules, level, &cases);
    let has_any = cases.iter().any(|c| c.decides() && matches!(c.found, Found::Evidence(_)));
    let settled = if has_any { verdict(&report.rows, &cases, true).unwrap_or(Verdict::Inconclusive) } else { Verdict::Invalid };
    summing::up(report, level, settled)
}

/// A run that stands alone, as a round with one side.
pub(super) fn single(rules: &Rules, run: &Run, round: u32, is_base: bool) -> Round {
    let figures: BTreeMap<Metric, f64> = rules.terms.iter().filter_map(|t| Some((t.metric, run.value(t.metric)?))).collect();
    let reason = unusable_run(rules, run).unwrap_or_default();
    let (name, none) = (run.name.clone(), String::new());
    let (base_run, head_run) = if is_base { (name, none) } else { (none, name) };
    let (base, head) = if is_base { (figures, BTreeMap::new()) } else { (BTreeMap::new(), figures) };
    Round { round, order: Order::Unknown, seed: run.seed, counted: reason.is_empty(), reason, base_run, head_run, base, head, d: BTreeMap::new() }
}

/// Two runs of one side with the same figures in every digit.
pub(super) fn copy_within(runs: &[Run]) -> Option<String> {
    let same = |a: &Run, b: &Run| a.values.len() >= 2 && a.values == b.values;
    let (i, j) = (0..runs.len()).flat_map(|j| (0..j).map(move |i| (i, j))).find(|&(i, j)| same(&runs[i], &runs[j]))?;
    Some(format!("{} and {} have the same figures in every digit: one is a copy of the other", runs[i].name, runs[j].name))
}

/// A note if all runs of one side were made before all of the other: whatever changed with time looks like a change of the system.
fn in_turns(base: &[Run], head: &[Run]) -> Option<String> {
    let span = |runs: &[Run]| {
        let times: Vec<&str> = runs.iter().map(|r| r.started_utc.as_str()).filter(|t| !t.is_empty()).collect();
        Some(((*times.iter().min()?).to_owned(), (*times.iter().max()?).to_owned()))
    };
    let ((b0, b1), (h0, h1)) = (span(base)?, span(head)?);
    (b1 < h0 || h1 < b0).then(|| {
        "all runs of one side were made before the other's: drift of the machine or the service looks like a change; make them in turns, as the paired gate does".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::{disturbed, run};

    fn side(seed: u64, n: u64, d: f64, name: &str) -> Vec<Run> {
        (0..n).map(|i| disturbed(seed * 100 + i, d, 0.01, name)).collect()
    }

    /// Runs in any order are paired by their seeds; the rest is left out.
    #[test]
    fn runs_are_paired_by_seed_in_any_order() {
        let rules = Rules::default();
        let (mut base, mut head) = (side(1, 6, 0.0, "base"), side(1, 6, 0.0, "head"));
        head.reverse();
        base.push(disturbed(99, 0.0, 0.01, "base"));
        let report = judge(&rules, &base, &head);
        assert!(report.paired && report.pairs == 6 && report.verdict == Verdict::Pass, "{}", report.sentence);
        assert_eq!(judge(&rules, &base, &side(1, 6, 0.15, "head")).verdict, Verdict::Fail);
    }

    /// forall seeds: without pairs the error rate is kept as well, and a large change is found
    #[test]
    fn sides_without_common_seeds_are_compared_as_a_whole() {
        let rules = Rules::default();
        let verdicts = |d: f64| (0..60).map(|s| judge(&rules, &side(1_000 + s, 6, 0.0, "base"), &side(2_000 + s, 6, d, "head"))).collect::<Vec<_>>();
        let same = verdicts(0.0);
        assert!(same.iter().all(|r| !r.paired && r.reasons.iter().any(|w| w.contains("side against side"))));
        assert!(same.iter().filter(|r| r.verdict == Verdict::Fail).count() <= 1);
        assert!(same.iter().filter(|r| r.verdict == Verdict::Pass).count() >= 57);
        assert!(verdicts(0.15).iter().filter(|r| r.verdict == Verdict::Fail).count() >= 57);
    }

    #[test]
    fn runs_made_one_side_after_the_other_are_told() {
        let stamp = |runs: Vec<Run>, hour: u32| {
            runs.into_iter().zip(0..).map(|(r, i)| Run { started_utc: format!("2026-01-02T{hour:02}:{i:02}:00Z"), ..r }).collect::<Vec<Run>>()
        };
        let (base, head) = (stamp(side(1, 6, 0.0, "base"), 3), stamp(side(1, 6, 0.0, "head"), 4));
        let told = |report: &Report| report.reasons.iter().any(|r| r.contains("drift"));
        assert!(told(&judge(&Rules::default(), &base, &head)));
        let turns: Vec<Run> = head.iter().zip(&base).map(|(h, b)| Run { started_utc: b.started_utc.clone(), ..h.clone() }).collect();
        assert!(!told(&judge(&Rules::default(), &base, &turns)));
    }

    #[test]
    fn missing_data_never_pass() {
        let rules = Rules::default();
        let (base, head) = (side(1, 6, 0.0, "base"), side(1, 6, 0.0, "head"));
        assert_eq!(judge(&rules, &[], &head).verdict, Verdict::NotComparable);
        assert_eq!(judge(&rules, &base, &[]).verdict, Verdict::NotComparable);
        assert_eq!(judge(&rules, &base[..1], &head[..1]).verdict, Verdict::Inconclusive);
        assert_eq!(judge(&rules, &base[..3], &head[..3]).verdict, Verdict::Inconclusive);
        assert_eq!(judge(&rules, &base, &base).verdict, Verdict::Invalid);
        assert_eq!(judge(&rules, &vec![run(1); 6], &vec![run(2); 6]).verdict, Verdict::Invalid);
        let dead = |runs: &[Run]| runs.iter().map(|r| Run { due: 0, ok: 0, ..r.clone() }).collect::<Vec<Run>>();
        assert_eq!(judge(&rules, &base, &dead(&head)).verdict, Verdict::Invalid);
        let mut broken = head.clone();
        broken[2].values.remove(&Metric::TtftP95);
        assert_eq!(judge(&rules, &base, &broken).verdict, Verdict::Invalid);
        let mut foreign = head;
        foreign[5].fingerprint.fix("model", "mistral");
        assert_eq!(judge(&rules, &base, &foreign).verdict, Verdict::NotComparable);
    }
}
