//! Mode `calibrate`: the same system on both sides; how large the noise of each metric is, and what a gate with these rules can see through it.

use super::document::{MetricVerdict, Mode, Noise, Report, Row, Verdict};
use super::evidence::{margin_d, size};
use super::judge::{Level, add_power, rows};
use super::paired::{cases, copies, count_rounds};
use super::power::{Risk, detectable, margin_possible, pairs_to_find, pairs_to_pass};
use super::rules::{Role, Rules, Term};
use super::run::Pair;
use super::summing;
use super::words;
use crate::base::stats::hypothesis::{chi_squared_quantile, holm};

/// Pairs below which a noise is not called known.
pub const PAIRS_NEEDED: u32 = 10;
/// Confidence of the upper bound of the noise.
const SD_CONFIDENCE: f64 = 0.9;

/// What pairs of one system with itself say of the noise. PASS: the noise is known; FAIL: the system differs from itself, so that order, warm-up or a cache
/// favours a side; INCONCLUSIVE: fewer than [`PAIRS_NEEDED`] pairs.
#[must_use]
pub fn judge(rules: &Rules, pairs: &[Pair]) -> Report {
    if let Some(fault) = rules.fault() {
        return Report::invalid(Mode::Calibrate, format!("the rules of the gate are faulty: {fault}"));
    }
    let mut report = Report::begun(Mode::Calibrate, rules);
    let counted = count_rounds(rules, pairs, &mut report);
    report.pairs = u32::try_from(counted.len()).unwrap_or(u32::MAX);
    if let Some(reason) = summing::not_comparable(counted.iter().map(|p| &p.base), counted.iter().map(|p| &p.head), &mut report) {
        return report.settle(Verdict::NotComparable, vec![reason]);
    }
    if counted.len() < 2 {
        let why = pairs.iter().rev().find_map(|p| super::paired::unusable(rules, p)).unwrap_or_default();
        return report.settle(Verdict::Invalid, vec![format!("{} usable pairs, {PAIRS_NEEDED} are needed. {why}", counted.len()).trim().to_owned()]);
    }
    if let Some(reason) = copies(&counted) {
        return report.settle(Verdict::Invalid, vec![reason]);
    }
    let level = Level::only(rules);
    report.rows = rows(rules, level, &cases(rules, &counted));
    add_power(level, &mut report.rows);
    report.noise = report.rows.iter().filter_map(|row| noise(rules, row)).collect();
    conclude(rules, report)
}

/// The rules with every metric informational that the noise of `report` does not let a gate decide.
#[must_use]
pub fn suggest(rules: &Rules, report: &Report) -> Rules {
    let role = |term: &Term| report.noise.iter().find(|n| n.metric == term.metric).map_or(term.role, |n| n.role);
    Rules { terms: rules.terms.iter().map(|term| Term { role: role(term), ..*term }).collect(), ..rules.clone() }
}

fn noise(rules: &Rules, row: &Row) -> Option<Noise> {
    let (m, sd, bias, base) = (row.metric, row.sd?, row.estimate?, row.base?);
    let term = rules.term(m)?;
    let gated = rules.terms.iter().filter(|t| t.role != Role::Informational).count();
    let risk = Risk::of(rules, gated);
    let most = rules.looks.last().copied()?;
    let margin = margin_d(term, Some(base));
    let twice = margin_d(&Term { margin: 2.0 * term.margin, floor: 2.0 * term.floor, ..*term }, Some(base));
    let seen = detectable(risk, sd, most, margin);
    let df = f64::from(row.pairs) - 1.0;
    let is_blind = seen > twice;
    let pairs_to_pass = pairs_to_pass(risk, sd, margin);
    let reason = if is_blind {
        format!("{most} pairs find {} at best, more than twice the margin of {}: it does not decide", words::amount(m, seen), words::margin(row))
    } else if pairs_to_pass.is_none_or(|n| n > most) {
        let needed = pairs_to_pass.map_or("more than 1,000".to_owned(), |n| n.to_string());
        format!(
            "{most} pairs find {}, but an unchanged system needs {needed} pairs to pass a margin of {}",
            words::amount(m, seen),
            words::margin(row)
        )
    } else {
        format!("{most} pairs find {}, and an unchanged system passes", words::amount(m, seen))
    };
    Some(Noise {
        metric: m,
        pairs: row.pairs,
        sd,
        sd_high: sd * (df / chi_squared_quantile(1.0 - SD_CONFIDENCE, df)).sqrt(),
        bias,
        detectable: size(m, seen),
        pairs_to_find: pairs_to_find(risk, sd, twice, margin),
        pairs_to_pass,
        margin_possible: size(m, margin_possible(risk, sd, most)),
        margin: term.margin,
        role: if is_blind { Role::Informational } else { term.role },
        reason,
    })
}

fn conclude(rules: &Rules, mut report: Report) -> Report {
    let decides = |row: &&Row| row.verdict != MetricVerdict::Informational;
    let broken: Vec<String> = report.rows.iter().filter(|r| r.verdict == MetricVerdict::Invalid).map(|r| r.reason.clone()).collect();
    if !broken.is_empty() {
        return report.settle(Verdict::Invalid, broken);
    }
    let two_sided: Vec<(&Row, f64)> =
        report.rows.iter().filter(decides).map(|r| (r, (2.0 * r.p_worse.unwrap_or(1.0).min(r.p_better.unwrap_or(1.0))).min(1.0))).collect();
    let p = holm(&two_sided.iter().map(|x| x.1).collect::<Vec<f64>>());
    let biased: Vec<String> = two_sided
        .iter()
        .zip(&p)
        .filter(|(_, p)| **p <= rules.alpha_fail)
        .map(|((r, _), _)| format!("{} is {} on one side of the same system: order, warm-up or a cache favours a side", r.metric, r.reason))
        .collect();
    if !biased.is_empty() {
        report.would_change.push("drained pauses between runs, a longer warm-up, salted prompts, the same machine for both".to_owned());
        return report.settle(Verdict::Fail, biased);
    }
    let told: Vec<String> = report.noise.iter().map(|n| format!("{}: {}", n.metric, n.reason)).collect();
    if report.pairs < PAIRS_NEEDED {
        report.would_change.push(format!("{PAIRS_NEEDED} pairs instead of {}", report.pairs));
        let first = format!("{} pairs, {PAIRS_NEEDED} are needed to know the noise", report.pairs);
        return report.settle(Verdict::Inconclusive, std::iter::once(first).chain(told).collect());
    }
    let blind = report.noise.iter().filter(|n| n.role == Role::Informational && rules.term(n.metric).is_some_and(|t| t.role != Role::Informational));
    let blind: Vec<&str> = blind.map(|n| n.metric.label()).collect();
    let demoted = if blind.is_empty() { "every metric may decide".to_owned() } else { format!("too noisy to decide: {}", blind.join(", ")) };
    let first = format!("the noise is known from {} pairs; {demoted}", report.pairs);
    report.settle(Verdict::Pass, std::iter::once(first).chain(told).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Metric;
    use crate::gate::fixture::{disturbed, pairs};

    #[test]
    fn the_noise_is_found_and_blind_metrics_are_demoted() {
        let rules = Rules::default();
        let mut all = pairs(1, 20, 0.0, 0.01);
        for pair in &mut all {
            for (run, side) in [(&mut pair.base, "b"), (&mut pair.head, "h")] {
                let noisy = disturbed(pair.round.into(), 0.0, 0.3, side).values[&Metric::TtftP95];
                run.values.insert(Metric::TtftP95, noisy);
            }
        }
        let report = judge(&rules, &all);
        assert_eq!(report.verdict, Verdict::Pass, "{}", report.sentence);
        let of = |m| report.noise.iter().find(|n| n.metric == m).unwrap();
        let quiet = of(Metric::TpotP50);
        assert!(quiet.sd > 0.009 && quiet.sd < 0.021 && quiet.sd_high > quiet.sd, "{quiet:?}");
        assert_eq!(quiet.role, Role::Gated);
        assert_eq!(of(Metric::TtftP95).role, Role::Informational);
        let suggested = suggest(&rules, &report);
        assert_eq!(suggested.term(Metric::TtftP95).unwrap().role, Role::Informational);
        assert_eq!(suggested.term(Metric::TpotP50), rules.term(Metric::TpotP50));
        assert!(report.sentence.contains("TTFT p95"), "{}", report.sentence);
    }

    #[test]
    fn a_favoured_side_and_few_pairs_are_told() {
        let rules = Rules::default();
        assert_eq!(judge(&rules, &pairs(2, 12, 0.05, 0.01)).verdict, Verdict::Fail);
        assert_eq!(judge(&rules, &pairs(2, 5, 0.0, 0.01)).verdict, Verdict::Inconclusive);
        assert_eq!(judge(&rules, &pairs(2, 1, 0.0, 0.01)).verdict, Verdict::Invalid);
        assert_eq!(judge(&rules, &[]).verdict, Verdict::Invalid);
        let mut broken = pairs(2, 12, 0.0, 0.01);
        broken[3].head.values.remove(&Metric::TpotP50);
        assert_eq!(judge(&rules, &broken).verdict, Verdict::Invalid);
    }

    /// A gate with the pairs that calibration asks for does what it says.
    #[test]
    fn the_pairs_it_asks_for_pass_an_unchanged_system() {
        let rules = Rules { terms: vec![Term::new(Metric::TpotP50, Role::Gated)], looks: vec![40], ..Rules::default() };
        let noise = judge(&rules, &pairs(5, 200, 0.0, 0.03)).noise.remove(0);
        assert!((noise.sd / (0.03 * 2.0_f64.sqrt()) - 1.0).abs() < 0.15, "{noise:?}");
        let needed = noise.pairs_to_pass.unwrap();
        assert!((8..20).contains(&needed), "{needed} {noise:?}");
        let rules = Rules { looks: vec![needed], ..rules };
        let passed = (100..160).filter(|&seed| super::super::paired::look(&rules, &pairs(seed, needed, 0.0, 0.03)).verdict == Verdict::Pass).count();
        assert!(passed >= 48, "{passed} of 60 with {needed} pairs");
    }
}
