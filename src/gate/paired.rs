//! Mode `paired`: rounds of base and head with the same workload seed, looked at after 4, 6, 8 and 10 pairs, stopped by the first look that decides.

use super::document::{Look, MetricVerdict, Mode, Report, Round, Row, SideFacts, Verdict};
use super::evidence::{Found, difference, of_pairs};
use super::judge::{Case, Level, look_rows, rows};
use super::metric::{Metric, Scale};
use super::rules::Rules;
use super::run::{Pair, Run};
use super::summing;
use std::collections::{BTreeMap, BTreeSet};

/// The verdict after the rounds made so far; give all of them, invalid ones too. [`Report::another_look`] says how many pairs the next look wants.
///
/// The looks are taken in order and the first that decides stands, so that more pairs than it saw never change a verdict.
#[must_use]
pub fn look(rules: &Rules, pairs: &[Pair]) -> Report {
    if let Some(fault) = rules.fault() {
        return Report::invalid(Mode::Paired, format!("the rules of the gate are faulty: {fault}"));
    }
    let mut report = Report::begun(Mode::Paired, rules);
    let counted = count_rounds(rules, pairs, &mut report);
    if let Some(reason) = summing::not_comparable(counted.iter().map(|p| &p.base), counted.iter().map(|p| &p.head), &mut report) {
        return report.settle(Verdict::NotComparable, vec![reason]);
    }
    if let Some(reason) = given_up(rules, pairs, &counted).or_else(|| copies(&counted)) {
        return report.settle(Verdict::Invalid, vec![reason]);
    }
    let level = Level::of_look(rules);
    let last = rules.looks.last().copied().unwrap_or(0);
    for &at in rules.looks.iter().filter(|&&at| at as usize <= counted.len()) {
        let cases = cases(rules, &counted[..at as usize]);
        report.rows = rows(rules, level, &cases);
        report.pairs = at;
        let settled = verdict(&report.rows, &cases, at == last);
        report.looks.push(Look { pairs: at, verdict: settled.unwrap_or(Verdict::Inconclusive), rows: look_rows(level, &cases) });
        if let Some(verdict) = settled {
            return summing::up(report, level, verdict);
        }
    }
    if report.looks.is_empty() {
        report.rows = rows(rules, level, &cases(rules, &counted));
        report.pairs = u32::try_from(counted.len()).unwrap_or(u32::MAX);
    }
    report.another_look = rules.looks.iter().copied().find(|&at| at as usize > counted.len());
    summing::up(report, level, Verdict::Inconclusive)
}

/// Why a pair cannot count, so that its round should be made again with the same seed; `None` if it can.
#[must_use]
pub fn unusable(rules: &Rules, pair: &Pair) -> Option<String> {
    for (run, side) in [(&pair.base, "base"), (&pair.head, "head")] {
        if let Some(reason) = unusable_run(rules, run) {
            return Some(format!("{side}: {reason}"));
        }
    }
    (pair.base.seed != pair.head.seed).then(|| format!("base and head have different workloads: seeds {} and {}", pair.base.seed, pair.head.seed))
}

/// Why a run cannot count.
pub(super) fn unusable_run(rules: &Rules, run: &Run) -> Option<String> {
    if !run.valid {
        return Some(if run.reason.is_empty() { "the run is not valid".to_owned() } else { run.reason.clone() });
    }
    (run.due < rules.min_requests.max(1)).then(|| format!("{} requests were due, {} are needed", run.due, rules.min_requests.max(1)))
}

/// Every term with what `pairs` say of it.
pub(super) fn cases(rules: &Rules, pairs: &[&Pair]) -> Vec<Case> {
    let found = |term| if pairs.len() < 2 { too_few() } else { of_pairs(rules, term, pairs) };
    rules.terms.iter().map(|term| Case { term: *term, found: found(term) }).collect()
}

fn too_few() -> Found {
    Found::Missing { why: "one pair says nothing of the noise; two or more are needed".to_owned(), may_mend: true }
}

/// Tells every round in the report; gives those that count, one a round number, in the order they were made.
pub(super) fn count_rounds<'a>(rules: &Rules, pairs: &'a [Pair], report: &mut Report) -> Vec<&'a Pair> {
    let mut seen = BTreeSet::new();
    let mut counted = Vec::new();
    for pair in pairs {
        let reason = unusable(rules, pair)
            .or_else(|| (!seen.insert(pair.round)).then(|| format!("round {} is there already", pair.round)))
            .unwrap_or_default();
        if reason.is_empty() {
            counted.push(pair);
        }
        report.rounds.push(round(rules, pair, reason));
    }
    report.base = SideFacts::of(counted.iter().map(|p| &p.base));
    report.head = SideFacts::of(counted.iter().map(|p| &p.head));
    counted
}

fn round(rules: &Rules, pair: &Pair, reason: String) -> Round {
    let figures = |run: &Run| rules.terms.iter().filter_map(|t| Some((t.metric, run.value(t.metric)?))).collect::<BTreeMap<Metric, f64>>();
    let (base, head) = (figures(&pair.base), figures(&pair.head));
    let d = base.iter().filter_map(|(&m, &b)| Some((m, difference(m, b, *head.get(&m)?)))).collect();
    Round {
        round: pair.round,
        order: pair.order,
        seed: pair.base.seed,
        counted: reason.is_empty(),
        reason,
        base_run: pair.base.name.clone(),
        head_run: pair.head.name.clone(),
        base,
        head,
        d,
    }
}

/// A round that was tried as often as the rules allow and never counted.
fn given_up(rules: &Rules, pairs: &[Pair], counted: &[&Pair]) -> Option<String> {
    let tries = pairs.iter().fold(BTreeMap::<u32, u32>::new(), |mut tries, pair| {
        *tries.entry(pair.round).or_default() += 1;
        tries
    });
    let (round, n) = tries.into_iter().find(|(round, n)| *n > rules.redo && counted.iter().all(|p| p.round != *round))?;
    let why = pairs.iter().rev().find(|p| p.round == round).and_then(|p| unusable(rules, p)).unwrap_or_default();
    Some(format!("round {round} was made {n} times and is not usable: {why}"))
}

/// Whether rounds are copies: two rounds with the same figures on one side, or no spread of any ratio at all. Runs that were really made never agree in every digit.
pub(super) fn copies(pairs: &[&Pair]) -> Option<String> {
    let ratios = |run: &Run| -> Vec<(Metric, u64)> {
        let of = |m: Metric| run.value(m).map(|v| (m, v.to_bits()));
        Metric::ALL.into_iter().filter(|m| m.scale() == Scale::LogRatio).filter_map(of).collect()
    };
    for (side, of) in [("base", (|p| &p.base) as fn(&Pair) -> &Run), ("head", |p| &p.head)] {
        let mut seen = BTreeMap::new();
        for pair in pairs {
            let figures = ratios(of(pair));
            if figures.len() >= 2
                && let Some(earlier) = seen.insert(figures, pair.round)
            {
                let later = pair.round;
                return Some(format!("rounds {earlier} and {later} have the same figures of the {side} in every digit: one is a copy of the other"));
            }
        }
    }
    let differences = |pair: &Pair| -> Vec<u64> {
        let (base, head) = (ratios(&pair.base), ratios(&pair.head));
        base.iter().zip(&head).filter(|(b, h)| b.0 == h.0).map(|(b, h)| difference(b.0, f64::from_bits(b.1), f64::from_bits(h.1)).to_bits()).collect()
    };
    let first = differences(pairs.first()?);
    let same = pairs.len() >= 2 && !first.is_empty() && pairs.iter().all(|p| differences(p) == first);
    same.then(|| {
        "base and head differ by exactly the same in every round: the rounds are copies, or the head is the base; noise cannot be told from nothing"
            .to_owned()
    })
}

/// The verdict of a look, or `None` for another one. A FAIL that is shown stands even where other data are missing; a PASS needs everything.
pub(super) fn verdict(rows: &[Row], cases: &[Case], is_last: bool) -> Option<Verdict> {
    let deciding: Vec<&Row> = rows.iter().filter(|r| r.verdict != MetricVerdict::Informational).collect();
    let hopeless = cases.iter().any(|c| c.decides() && matches!(c.found, Found::Missing { may_mend: false, .. }));
    let is_any = |v: MetricVerdict| deciding.iter().any(|r| r.verdict == v);
    if is_any(MetricVerdict::Fail) {
        Some(Verdict::Fail)
    } else if hopeless || deciding.is_empty() || (is_last && is_any(MetricVerdict::Invalid)) {
        Some(Verdict::Invalid)
    } else if deciding.iter().all(|r| r.verdict.is_good()) {
        Some(Verdict::Pass)
    } else {
        is_last.then_some(Verdict::Inconclusive)
    }
}

#[cfg(test)]
mod tests;
