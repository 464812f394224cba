//! The paired gate: error rates with fixed seeds, and everything that must never pass.

use super::*;
use crate::gate::fixture::{disturbed, pairs, run};
use crate::gate::rules::{Role, Term};
use crate::gate::run::{Order, Value};
use std::collections::BTreeSet;

/// As the command does: pairs are added until the report wants no more.
fn gate(rules: &Rules, all: &[Pair]) -> Report {
    let mut report = look(rules, &[]);
    let mut taken = 0;
    while let Some(next) = report.another_look {
        let next = next as usize;
        if next > all.len() || next <= taken {
            break;
        }
        taken = next;
        report = look(rules, &all[..next]);
    }
    report
}

fn only(metric: Metric) -> Rules {
    Rules { terms: vec![Term::new(metric, Role::Gated)], ..Rules::default() }
}

fn row(report: &Report, metric: Metric) -> &Row {
    report.rows.iter().find(|r| r.metric == metric).unwrap()
}

/// forall seeds: an unchanged system fails in no more than 1 % of gates, and passes nearly always when the noise is small
#[test]
fn an_unchanged_system_rarely_fails() {
    let rules = Rules::default();
    for (sd, passes) in [(0.005, 68), (0.02, 50)] {
        let verdicts: Vec<Verdict> = (0..70).map(|seed| gate(&rules, &pairs(seed, 10, 0.0, sd)).verdict).collect();
        let count = |v: Verdict| verdicts.iter().filter(|&&x| x == v).count();
        assert!(count(Verdict::Fail) <= 1, "sd {sd}: {}", count(Verdict::Fail));
        assert!(count(Verdict::Pass) >= passes, "sd {sd}: {}", count(Verdict::Pass));
    }
}

/// forall seeds: twice the margin is found, the margin itself does not pass
#[test]
fn a_change_is_found_and_the_margin_does_not_pass() {
    let rules = only(Metric::TpotP50);
    let verdicts = |d: f64| (1_000..1_120).map(|seed| gate(&rules, &pairs(seed, 10, d, 0.014)).verdict).collect::<Vec<_>>();
    let found = verdicts(0.10_f64.ln_1p()).iter().filter(|v| **v == Verdict::Fail).count();
    assert!(found >= 114, "{found} of 120");
    let passed = verdicts(0.05_f64.ln_1p()).iter().filter(|v| **v == Verdict::Pass).count();
    // 5 % and two standard deviations of 120 draws.
    assert!(passed <= 11, "{passed} of 120");
}

/// forall pairs: what comes after the deciding look changes nothing
#[test]
fn later_pairs_do_not_change_a_verdict() {
    let rules = Rules::default();
    let mut all = pairs(7, 4, 0.2, 0.005);
    let early = look(&rules, &all);
    assert_eq!((early.verdict, early.pairs, early.another_look), (Verdict::Fail, 4, None));
    all.extend(pairs(8, 10, -0.2, 0.005).into_iter().skip(4));
    let late = look(&rules, &all);
    assert_eq!((late.verdict, late.pairs, &late.rows), (Verdict::Fail, 4, &early.rows));
    assert_eq!(late.rounds.len(), 10);
}

#[test]
fn each_metric_is_told_apart() {
    let report = gate(&Rules::default(), &pairs(3, 10, -0.2, 0.005));
    assert_eq!(report.verdict, Verdict::Pass);
    assert_eq!(row(&report, Metric::TpotP50).verdict, MetricVerdict::Improved);
    assert_eq!(row(&report, Metric::TtftP99).verdict, MetricVerdict::Informational);
    assert_eq!(row(&report, Metric::ErrorRate).verdict, MetricVerdict::Pass);
    let report = gate(&Rules::default(), &pairs(3, 10, 0.03, 0.003));
    assert_eq!(report.verdict, Verdict::Pass, "{}", report.sentence);
    assert_eq!(row(&report, Metric::TpotP50).verdict, MetricVerdict::WorseWithinTolerance);
    let speed = row(&report, Metric::OutputTokS);
    assert!(speed.change.unwrap() < 0.0 && speed.estimate.unwrap() > 0.0, "a fall of throughput is negative as a change and worse");
    assert!(report.sentence.starts_with("PASS after 4 pairs"), "{}", report.sentence);
}

#[test]
fn a_shift_below_the_absolute_floor_does_not_fail() {
    let mut all = pairs(5, 10, 0.0, 0.005);
    for pair in &mut all {
        for (run, ms) in [(&mut pair.base, 2.0), (&mut pair.head, 3.0)] {
            let noise = run.values[&Metric::TtftP50].value / 200.0;
            run.insert(Metric::TtftP50, ms * noise, 1_000);
        }
    }
    let report = gate(&Rules::default(), &all);
    assert_eq!(report.verdict, Verdict::Pass, "{}", report.sentence);
    assert!(row(&report, Metric::TtftP50).reason.contains("floor"), "{}", row(&report, Metric::TtftP50).reason);
}

/// One round of +25 % among ten neither fails nor, with the ranks against it, passes in silence.
#[test]
fn one_contaminated_round_does_not_fail_and_is_named() {
    let rules = only(Metric::TpotP50);
    let mut all = pairs(11, 10, 0.0, 0.01);
    all[2].head = disturbed(11_003, 0.25_f64.ln_1p(), 0.01, "head");
    let report = gate(&rules, &all);
    assert_ne!(report.verdict, Verdict::Fail);
    assert_eq!(row(&report, Metric::TpotP50).outliers, [3]);
    assert!(row(&report, Metric::TpotP50).reason.contains("round 3"), "{}", report.sentence);
}

fn with_errors(mut pair: Pair, base: u64, head: u64) -> Pair {
    for (run, errors) in [(&mut pair.base, base), (&mut pair.head, head)] {
        run.ok = run.due - errors;
        run.insert(Metric::ErrorRate, errors as f64 / run.due as f64, run.due);
    }
    pair
}

#[test]
fn errors_fail_when_they_are_more_and_not_when_they_come_in_one_burst() {
    let rules = Rules::default();
    let made = |errors: &[(u64, u64)]| {
        let all: Vec<Pair> = pairs(21, 10, 0.0, 0.005).into_iter().zip(errors.iter().cycle()).map(|(p, &(b, h))| with_errors(p, b, h)).collect();
        gate(&rules, &all)
    };
    let more = made(&[(0, 9), (1, 8)]);
    assert_eq!(more.verdict, Verdict::Fail, "{}", more.sentence);
    assert_eq!(row(&more, Metric::ErrorRate).verdict, MetricVerdict::Fail);
    assert_eq!(made(&[(1, 1), (0, 1), (2, 1)]).verdict, Verdict::Pass);
    // All in one round of ten: never FAIL.
    let burst = made(&[(0, 0), (0, 200), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)]);
    assert_ne!(burst.verdict, Verdict::Fail, "{}", burst.sentence);
    assert_ne!(burst.verdict, Verdict::Pass, "{}", burst.sentence);
}

#[test]
fn all_errors_on_the_head_fail_and_on_both_sides_are_invalid() {
    let dead = |run: &mut Run| {
        run.ok = 0;
        run.values.retain(|m, _| matches!(m, Metric::ErrorRate | Metric::Goodput));
        run.insert(Metric::ErrorRate, 1.0, run.due);
        run.insert(Metric::Goodput, 0.0, run.due);
    };
    let rules = Rules::default();
    let mut all = pairs(31, 10, 0.0, 0.005);
    for pair in &mut all {
        dead(&mut pair.head);
    }
    assert_eq!(gate(&rules, &all).verdict, Verdict::Fail);
    for pair in &mut all {
        dead(&mut pair.base);
    }
    let report = gate(&rules, &all);
    assert_eq!(report.verdict, Verdict::Invalid);
    assert!(report.sentence.contains("is missing: 0 of 1000"), "{}", report.sentence);
}

/// forall ways to have no data: never PASS
#[test]
fn missing_data_never_pass() {
    let rules = Rules::default();
    let good = || pairs(41, 10, 0.0, 0.005);
    let with = |change: fn(&mut Pair)| {
        let mut all = good();
        all.iter_mut().for_each(change);
        all
    };
    let cases: Vec<(&str, Vec<Pair>, Verdict)> = vec![
        ("no rounds", vec![], Verdict::Inconclusive),
        ("one round", good()[..1].to_vec(), Verdict::Inconclusive),
        ("three rounds", good()[..3].to_vec(), Verdict::Inconclusive),
        ("no requests", with(|p| p.head.due = 0), Verdict::Inconclusive),
        ("too few requests", with(|p| p.base.due = 100), Verdict::Inconclusive),
        ("NaN", with(|p| p.head.insert(Metric::TpotP50, f64::NAN, 1_000)), Verdict::Invalid),
        ("infinite", with(|p| p.head.insert(Metric::TtftP50, f64::INFINITY, 1_000)), Verdict::Invalid),
        ("zero latency", with(|p| p.base.insert(Metric::TtftP50, 0.0, 1_000)), Verdict::Invalid),
        (
            "missing metric",
            with(|p| {
                p.head.values.remove(&Metric::E2eP95);
            }),
            Verdict::Invalid,
        ),
        (
            "missing on both sides",
            with(|p| {
                for run in [&mut p.base, &mut p.head] {
                    run.values.remove(&Metric::E2eP95);
                }
            }),
            Verdict::Invalid,
        ),
        (
            "goodput on one side",
            with(|p| {
                p.head.values.remove(&Metric::Goodput);
            }),
            Verdict::Invalid,
        ),
        ("too few values", with(|p| p.head.values.get_mut(&Metric::TtftP95).unwrap().n = 150), Verdict::Invalid),
        ("invalid runs", with(|p| p.head.valid = false), Verdict::Inconclusive),
        ("other workload", with(|p| p.head.seed += 1), Verdict::Inconclusive),
        ("survivors", with(|p| p.head.ok = 950), Verdict::Invalid),
        ("the head is the base", with(|p| p.head = p.base.clone()), Verdict::Invalid),
        ("one round ten times", (1..=10).map(|round| Pair { round, ..good()[0].clone() }).collect(), Verdict::Invalid),
        (
            "no spread",
            (1..=10).map(|r| Pair { round: r, order: Order::Unknown, base: run(u64::from(r)), head: run(u64::from(r)) }).collect(),
            Verdict::Invalid,
        ),
        ("foreign", with(|p| p.head.fingerprint.fix("model", "mistral")), Verdict::NotComparable),
    ];
    for (name, pairs, expected) in cases {
        let report = look(&rules, &pairs);
        assert_eq!(report.verdict, expected, "{name}: {}", report.sentence);
        assert!(!report.sentence.is_empty() && !report.sentence.contains("NaN"), "{name}: {}", report.sentence);
        // A report is data: it must survive JSON whatever was missing.
        assert_eq!(serde_json::from_str::<Report>(&report.to_json()).unwrap().verdict, report.verdict, "{name}");
    }
    let faulty = Rules { looks: vec![], ..Rules::default() };
    assert_eq!(look(&faulty, &good()).verdict, Verdict::Invalid);
}

#[test]
fn a_round_that_never_works_ends_the_gate() {
    let rules = Rules::default();
    let mut all = pairs(51, 4, 0.0, 0.005);
    all[3].head.valid = false;
    "the client was too slow".clone_into(&mut all[3].head.reason);
    let bad = all[3].clone();
    let report = look(&rules, &all);
    assert_eq!((report.verdict, report.another_look), (Verdict::Inconclusive, Some(4)));
    all.push(bad.clone());
    assert_eq!(look(&rules, &all).another_look, Some(4));
    all.push(bad);
    let report = look(&rules, &all);
    assert_eq!((report.verdict, report.another_look), (Verdict::Invalid, None));
    assert!(report.sentence.contains("the client was too slow"), "{}", report.sentence);
    // A third try that works counts.
    all.pop();
    all.push(pairs(51, 4, 0.0, 0.005).pop().unwrap());
    assert_eq!(look(&rules, &all).verdict, Verdict::Pass);
}

#[test]
fn a_fixed_fact_that_differs_is_named() {
    let mut all = pairs(61, 4, 0.0, 0.005);
    for pair in &mut all {
        pair.head.fingerprint.note("server", "b");
    }
    assert_eq!(look(&Rules::default(), &all).verdict, Verdict::Pass);
    all[2].base.fingerprint.fix("region", "eu");
    let report = look(&Rules::default(), &all);
    assert_eq!(report.verdict, Verdict::NotComparable);
    assert!(report.sentence.contains("region"), "{}", report.sentence);
    assert_eq!(report.differences.iter().map(|d| d.key.as_str()).collect::<BTreeSet<_>>(), BTreeSet::from(["server"]));
}

/// Shares without spread have exact bounds: no error in 4,000 requests is less than half a point for certain, none in 400 is not.
#[test]
fn no_errors_pass_only_with_enough_requests() {
    let rules = only(Metric::ErrorRate);
    let of = |due: u64| {
        let mut all = pairs(71, 4, 0.0, 0.005);
        for run in all.iter_mut().flat_map(|p| [&mut p.base, &mut p.head]) {
            (run.due, run.ok) = (due, due);
            run.values.insert(Metric::ErrorRate, Value { value: 0.0, n: due });
        }
        look(&Rules { min_requests: 50, ..rules.clone() }, &all)
    };
    assert_eq!(of(1_000).verdict, Verdict::Pass);
    let few = of(100);
    assert_eq!((few.verdict, few.another_look), (Verdict::Inconclusive, Some(6)), "{}", few.sentence);
}

/// A few errors in one run are no survivor bias; many over a side are, however they are spread.
#[test]
fn survivors_are_counted_over_a_side() {
    let rules = Rules::default();
    let of = |errors: [u64; 4]| {
        let all: Vec<Pair> = pairs(81, 4, 0.0, 0.005).into_iter().zip(errors).map(|(p, e)| with_errors(p, e, e)).collect();
        look(&rules, &all)
    };
    assert_eq!(of([15, 1, 0, 2]).rows.iter().filter(|r| r.verdict == MetricVerdict::Invalid).count(), 0);
    let many = of([15, 12, 10, 14]);
    assert_eq!(row(&many, Metric::TpotP50).verdict, MetricVerdict::Invalid);
    assert!(row(&many, Metric::TpotP50).reason.contains("98.7"), "{}", row(&many, Metric::TpotP50).reason);
}
