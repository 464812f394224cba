//! Mode `trend`: a series of nights. Where its level changed (E-divisive with a t-test), and how far it has drifted from a pinned anchor. Never for one change.

use super::document::{Change, Mode, Report, SideFacts, Verdict};
use super::evidence::{change, margin_d, scaled};
use super::files::{copy_within, single};
use super::history::{drift, values};
use super::paired::unusable_run;
use super::rules::{Role, Rules, Term};
use super::run::Run;
use super::summing;
use super::words;
use crate::base::stats::hypothesis::welch;
use crate::base::stats::rank::median;

/// Nights that a trend is judged by, at least.
pub const NIGHTS_NEEDED: usize = 8;
/// A change of level needs a p-value of at most this.
const P: f64 = 0.001;
/// Nights of a level, at least.
const SHORTEST: usize = 3;
/// Nights that say what the level is now, at most.
const LATEST: usize = 7;

/// The runs of one night.
#[derive(Clone, Debug, PartialEq)]
pub struct Night {
    /// How the user knows it: its date, or a commit.
    pub label: String,
    /// Its runs; the night's figure is their median.
    pub runs: Vec<Run>,
}

/// Whether a series of nights got worse: FAIL if the last change of level is worse by half the margin or more, or if the level now is beyond the margin from
/// the anchor; PASS if the upper bound of the drift is within every margin. Without an anchor the first [`NIGHTS_NEEDED`] nights are the anchor,
/// and twice as many are needed.
#[must_use]
pub fn judge(rules: &Rules, nights: &[Night], anchor: &[Run]) -> Report {
    if let Some(fault) = rules.fault() {
        return Report::invalid(Mode::Trend, format!("the rules of the gate are faulty: {fault}"));
    }
    let mut report = Report::begun(Mode::Trend, rules);
    report.paired = false;
    let head = nights.iter().flat_map(|n| &n.runs);
    if let Some(reason) = summing::not_comparable(anchor.iter(), head.clone(), &mut report) {
        return report.settle(Verdict::NotComparable, vec![reason]);
    }
    report.rounds = nights.iter().zip(1..).flat_map(|(night, i)| night.runs.iter().map(move |run| single(rules, run, i, false))).collect();
    let is_usable = |run: &&Run| unusable_run(rules, run).is_none();
    report.base = SideFacts::of(anchor.iter().filter(is_usable));
    report.head = SideFacts::of(head.filter(is_usable));
    let needed = if anchor.is_empty() { 2 * NIGHTS_NEEDED } else { NIGHTS_NEEDED };
    let usable: Vec<Night> = nights.iter().map(|n| Night { runs: n.runs.iter().filter(is_usable).cloned().collect(), ..n.clone() }).collect();
    let usable: Vec<Night> = usable.into_iter().filter(|n| !n.runs.is_empty()).collect();
    report.pairs = u32::try_from(usable.len()).unwrap_or(u32::MAX);
    if usable.is_empty() {
        let why = nights.iter().flat_map(|n| &n.runs).find_map(|run| Some(format!("{}: {}", run.name, unusable_run(rules, run)?)));
        return report.settle(Verdict::Invalid, vec![why.unwrap_or_else(|| "there are no nights".to_owned())]);
    }
    if let Some(reason) = copy_within(&usable.iter().flat_map(|n| n.runs.clone()).collect::<Vec<Run>>()) {
        return report.settle(Verdict::Invalid, vec![reason]);
    }
    if usable.len() < needed {
        report.would_change.push(format!("{needed} nights instead of {}", usable.len()));
        return report.settle(Verdict::Inconclusive, vec![format!("{} usable nights, {needed} are needed", usable.len())]);
    }
    let anchor: Vec<&Run> = if anchor.is_empty() { usable[..NIGHTS_NEEDED].iter().flat_map(|n| &n.runs).collect() } else { anchor.iter().collect() };
    conclude(rules, &usable, &anchor, report)
}

/// What one metric says of the series.
enum Finding {
    Worse(String),
    Within,
    Open(String),
    Missing(String),
}

fn conclude(rules: &Rules, nights: &[Night], anchor: &[&Run], mut report: Report) -> Report {
    let mut findings = Vec::new();
    for term in &rules.terms {
        let has_any = nights.iter().flat_map(|n| &n.runs).any(|run| run.values.contains_key(&term.metric));
        if !has_any && term.role != Role::Gated {
            continue;
        }
        let finding = look_at(term, nights, anchor, &mut report);
        if term.role != Role::Informational {
            findings.push(finding);
        }
    }
    let texts = |pick: fn(&Finding) -> Option<&String>| findings.iter().filter_map(pick).cloned().collect::<Vec<String>>();
    let worse = texts(|f| if let Finding::Worse(text) = f { Some(text) } else { None });
    let missing = texts(|f| if let Finding::Missing(text) = f { Some(text) } else { None });
    let open = texts(|f| if let Finding::Open(text) = f { Some(text) } else { None });
    if !worse.is_empty() {
        return report.settle(Verdict::Fail, worse);
    }
    if !missing.is_empty() || findings.is_empty() {
        return report.settle(Verdict::Invalid, missing);
    }
    if !open.is_empty() {
        report.would_change.push("more nights, or more runs a night".to_owned());
        return report.settle(Verdict::Inconclusive, open);
    }
    let reason = format!("over {} nights no level became worse, and no drift from the anchor is beyond its margin", nights.len());
    report.settle(Verdict::Pass, vec![reason])
}

fn look_at(term: &Term, nights: &[Night], anchor: &[&Run], report: &mut Report) -> Finding {
    let m = term.metric;
    let night = |n: &Night| if n.runs.iter().all(|r| r.value(m).is_some()) { median(&values(m, &n.runs.iter().collect::<Vec<_>>())) } else { None };
    let series: Vec<f64> = nights.iter().filter_map(night).collect();
    let anchor = values(m, anchor);
    if series.len() < nights.len() || anchor.is_empty() {
        return Finding::Missing(format!("{m} is missing in {} of {} nights, or in the anchor", nights.len() - series.len(), nights.len()));
    }
    let at = steps(&scaled(m, &series), margin_d(term, Some(super::evidence::centre(m, &series))) / 2.0);
    let changes = told(term, nights, &series, &at);
    let last = changes.last().filter(|c| c.alarm).map(|c| format!("{m} is {} since {} (p {:.1e})", words::worse(m, c.d), c.label, c.p));
    report.changes.extend(changes);
    let begun = at.last().copied().unwrap_or(0).max(series.len().saturating_sub(LATEST));
    let Some(drift) = drift(term, &anchor, &series[begun..]) else { return Finding::Missing(format!("{m} has no level now")) };
    let margin = margin_d(term, Some(drift.anchor));
    // The bound of the drift is as far above it as the lower one is below.
    let high = drift.low.map(|low| 2.0 * drift.d - low);
    let (alarm, d) = (drift.alarm, drift.d);
    report.drifts.push(drift);
    match (last, high) {
        (Some(text), _) => Finding::Worse(text),
        _ if alarm => Finding::Worse(format!("{m} has drifted from the anchor: {}, margin {}", words::worse(m, d), words::amount(m, margin))),
        (None, Some(high)) if high < margin => Finding::Within,
        _ => Finding::Open(format!("{m} is {} than the anchor, but it may be beyond the margin of {}", words::worse(m, d), words::amount(m, margin))),
    }
}

fn told(term: &Term, nights: &[Night], series: &[f64], at: &[usize]) -> Vec<Change> {
    let m = term.metric;
    let scaled = scaled(m, series);
    let bounds: Vec<usize> = std::iter::once(0).chain(at.iter().copied()).chain(std::iter::once(series.len())).collect();
    let one = |w: &[usize]| {
        let test = welch(&scaled[w[0]..w[1]], &scaled[w[1]..w[2]])?;
        let least = margin_d(term, Some(super::evidence::centre(m, &series[w[0]..w[1]]))) / 2.0;
        Some(Change {
            metric: m,
            at: u32::try_from(w[1]).unwrap_or(u32::MAX),
            label: nights[w[1]].label.clone(),
            change: change(m, test.difference),
            d: test.difference,
            p: test.p_two_sided(),
            alarm: w[2] == series.len() && test.difference >= least,
        })
    };
    bounds.windows(3).filter_map(one).collect()
}

/// Indices at which a series changes its level by `least` or more: E-divisive (Matteson and James 2014, J. Am. Stat. Assoc. 109) with Welch's t-test in the place of its
/// permutations (as MongoDB's and Hunter's), splitting again in both halves, then dropping splits that no longer hold beside their neighbours.
fn steps(series: &[f64], least: f64) -> Vec<usize> {
    let mut found = Vec::new();
    split(series, 0, least, &mut found);
    found.sort_unstable();
    // A split of a whole may be none between the levels that its halves were split into.
    loop {
        let bounds: Vec<usize> = std::iter::once(0).chain(found.iter().copied()).chain(std::iter::once(series.len())).collect();
        let weak = bounds.windows(3).position(|w| !is_change(&series[w[0]..w[1]], &series[w[1]..w[2]], least));
        match weak {
            Some(i) => drop(found.remove(i)),
            None => return found,
        }
    }
}

fn split(series: &[f64], offset: usize, least: f64, found: &mut Vec<usize>) {
    if series.len() < 2 * SHORTEST {
        return;
    }
    let candidates = SHORTEST..=series.len() - SHORTEST;
    let Some(at) = candidates.max_by(|&a, &b| energy(series, a).total_cmp(&energy(series, b))) else { return };
    if is_change(&series[..at], &series[at..], least) {
        found.push(offset + at);
        split(&series[..at], offset, least, found);
        split(&series[at..], offset + at, least, found);
    }
}

fn is_change(before: &[f64], after: &[f64], least: f64) -> bool {
    welch(before, after).is_some_and(|w| w.difference.abs() >= least && w.p_two_sided() <= P)
}

/// The scaled energy distance of the parts before and from `at`: how much farther values lie from those of the other part than from their own.
fn energy(series: &[f64], at: usize) -> f64 {
    let (x, y) = series.split_at(at);
    let (n, m) = (x.len() as f64, y.len() as f64);
    let across: f64 = x.iter().flat_map(|a| y.iter().map(move |b| (a - b).abs())).sum();
    let within = |z: &[f64]| -> f64 {
        let sum: f64 = z.iter().enumerate().flat_map(|(i, a)| z[i + 1..].iter().map(move |b| (a - b).abs())).sum();
        let pairs = z.len() as f64 * (z.len() as f64 - 1.0) / 2.0;
        sum / pairs
    };
    n * m / (n + m) * (2.0 * across / (n * m) - within(x) - within(y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Metric;
    use crate::gate::fixture::{disturbed, normal};

    fn series(seed: u64, n: u64, at: u64, shift: f64, sd: f64) -> Vec<f64> {
        (0..n).map(|i| sd * normal(seed, "night", i) + if i >= at { shift } else { 0.0 }).collect()
    }

    /// forall seeds: white noise has few change points; a shift of five deviations is found where it is
    #[test]
    fn a_step_is_found_and_white_noise_seldom_is_one() {
        let false_ones = (0..80).filter(|&s| !steps(&series(s, 60, 60, 0.0, 0.02), 0.025).is_empty()).count();
        assert!(false_ones <= 2, "{false_ones} of 80");
        let right = (0..40).filter(|&s| matches!(steps(&series(s, 60, 40, 0.10, 0.02), 0.025)[..], [at] if at.abs_diff(40) <= 1)).count();
        assert!(right >= 37, "{right} of 40");
        let two: Vec<f64> = series(1, 60, 20, 0.1, 0.01).iter().zip(0..).map(|(v, i)| if i >= 40 { v - 0.1 } else { *v }).collect();
        let found = steps(&two, 0.02);
        assert_eq!(found, [20, 40]);
    }

    fn nights(seed: u64, n: u64, d: impl Fn(u64) -> f64, sd: f64) -> Vec<Night> {
        (0..n).map(|i| Night { label: format!("night {i}"), runs: vec![disturbed(seed * 1_000 + i, d(i), sd, "night")] }).collect()
    }

    #[test]
    fn steps_creep_and_steady_nights_are_told_apart() {
        let rules = Rules::default();
        let anchor: Vec<Run> = (0..8).map(|i| disturbed(90_000 + i, 0.0, 0.005, "anchor")).collect();
        let steady = judge(&rules, &nights(1, 30, |_| 0.0, 0.005), &anchor);
        assert_eq!(steady.verdict, Verdict::Pass, "{}", steady.sentence);
        let step = judge(&rules, &nights(2, 30, |i| if i >= 20 { 0.08 } else { 0.0 }, 0.005), &anchor);
        assert_eq!(step.verdict, Verdict::Fail);
        assert!(step.changes.iter().any(|c| c.metric == Metric::TpotP50 && c.at == 20 && c.alarm && c.label == "night 20"), "{:?}", step.changes);
        // A tenth of the margin a night: no step, and yet beyond the margin in the end.
        let creep = judge(&rules, &nights(3, 30, |i| 0.005 * i as f64, 0.005), &anchor);
        assert_eq!(creep.verdict, Verdict::Fail, "{}", creep.sentence);
        let mended = judge(&rules, &nights(4, 40, |i| if (10..25).contains(&i) { 0.08 } else { 0.0 }, 0.005), &anchor);
        assert_eq!(mended.verdict, Verdict::Pass, "{}", mended.sentence);
    }

    #[test]
    fn missing_data_never_pass() {
        let rules = Rules::default();
        let of = |nights: &[Night], anchor: &[Run]| judge(&rules, nights, anchor).verdict;
        let anchor: Vec<Run> = (0..8).map(|i| disturbed(90_000 + i, 0.0, 0.005, "anchor")).collect();
        let good = || nights(1, 30, |_| 0.0, 0.005);
        assert_eq!(of(&[], &anchor), Verdict::Invalid);
        assert_eq!(of(&good()[..3], &anchor), Verdict::Inconclusive);
        assert_eq!(of(&good()[..12], &[]), Verdict::Inconclusive);
        let copies: Vec<Night> = (0..30).map(|_| good()[0].clone()).collect();
        assert_eq!(of(&copies, &anchor), Verdict::Invalid);
        let mut broken = good();
        broken[5].runs[0].insert(Metric::TpotP50, f64::NAN, 600);
        assert_eq!(of(&broken, &anchor), Verdict::Invalid);
        let dead: Vec<Night> =
            good().into_iter().map(|n| Night { runs: n.runs.into_iter().map(|r| Run { valid: false, ..r }).collect(), ..n }).collect();
        assert_eq!(of(&dead, &anchor), Verdict::Invalid);
        let mut foreign = good();
        foreign[29].runs[0].fingerprint.fix("model", "mistral");
        assert_eq!(of(&foreign, &anchor), Verdict::NotComparable);
    }
}
