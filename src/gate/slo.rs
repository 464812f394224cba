//! Mode `slo`: an absolute promise, shown over several runs with different workload seeds; one long run cannot show it, because its requests are not
//! independent of each other near saturation.

use super::document::{Mode, Promise, Report, SideFacts, Verdict};
use super::files::{copy_within, single};
use super::paired::unusable_run;
use super::power::MOST_PAIRS;
use super::rules::Rules;
use super::run::Run;
use super::summing;
use crate::base::stats::interval::{clopper_pearson_lower, clopper_pearson_upper, student_t_quantile};
use crate::base::stats::sample::mean_variance;
use crate::measure::document::RunDocument;
use crate::measure::summary::Objective;

/// Runs that a promise is judged by, at least.
pub const RUNS_NEEDED: usize = 8;

/// One run with what its objectives count.
#[derive(Clone, Debug, PartialEq)]
pub struct SloRun {
    /// The run.
    pub run: Run,
    /// Its objectives, in the order of the scenario.
    pub objectives: Vec<Objective>,
}

impl SloRun {
    /// What a run document tells, under `name`.
    #[must_use]
    pub fn of(name: impl Into<String>, document: &RunDocument) -> Self {
        Self { run: Run::of(name, document), objectives: document.summary.objectives.clone() }
    }
}

/// Whether the objectives of the scenario are kept: PASS (met) if for each the upper bound of the mean share of misses over runs is within what it allows, FAIL
/// (not met) if the lower bound of one is above. Bounds are those of Student's t over runs, at `alpha_fail` (shared over objectives for FAIL); shares without
/// spread have exact bounds.
#[must_use]
pub fn judge(rules: &Rules, runs: &[SloRun]) -> Report {
    let mut report = Report::begun(Mode::Slo, rules);
    report.paired = false;
    let all: Vec<&Run> = runs.iter().map(|r| &r.run).collect();
    report.rounds = all.iter().zip(1..).map(|(run, i)| single(rules, run, i, false)).collect();
    if let Some(reason) = summing::not_comparable([].into_iter(), all.iter().copied(), &mut report) {
        return report.settle(Verdict::NotComparable, vec![reason]);
    }
    let usable: Vec<&SloRun> = runs.iter().filter(|r| unusable_run(rules, &r.run).is_none()).collect();
    report.head = SideFacts::of(usable.iter().map(|r| &r.run));
    report.pairs = u32::try_from(usable.len()).unwrap_or(u32::MAX);
    if let Some(reason) = fault(rules, runs, &usable) {
        return report.settle(Verdict::Invalid, vec![reason]);
    }
    let objectives = usable[0].objectives.len();
    report.promises = (0..objectives).map(|i| promise(rules, &usable, i, objectives)).collect();
    conclude(report)
}

/// What forbids to judge at all.
fn fault(rules: &Rules, runs: &[SloRun], usable: &[&SloRun]) -> Option<String> {
    let Some(first) = usable.first() else {
        let why = runs.iter().find_map(|r| Some(format!("{}: {}", r.run.name, unusable_run(rules, &r.run)?)));
        return Some(why.unwrap_or_else(|| "there are no runs".to_owned()));
    };
    if first.objectives.is_empty() {
        return Some("the scenario sets no objectives; add an [slo] table".to_owned());
    }
    let texts = |r: &SloRun| r.objectives.iter().map(|o| o.text.clone()).collect::<Vec<String>>();
    if let Some(other) = usable.iter().find(|r| texts(r) != texts(first)) {
        return Some(format!("{} and {} have different objectives", first.run.name, other.run.name));
    }
    for r in usable {
        if let Some(o) = r.objectives.iter().find(|o| o.asked == 0 || !(0.0..1.0).contains(&o.allowed)) {
            return Some(format!("{} of {} cannot be judged: {}", o.text, r.run.name, if o.measured.is_empty() { "no counts" } else { &o.measured }));
        }
    }
    for (i, r) in usable.iter().enumerate() {
        if let Some(twin) = usable[..i].iter().find(|t| t.run.seed == r.run.seed) {
            return Some(format!("{} and {} have the same workload seed {}: they are one workload, not two", twin.run.name, r.run.name, r.run.seed));
        }
    }
    copy_within(&usable.iter().map(|r| r.run.clone()).collect::<Vec<Run>>())
}

fn promise(rules: &Rules, runs: &[&SloRun], index: usize, objectives: usize) -> Promise {
    let of = |r: &&SloRun| r.objectives[index].clone();
    let first = of(&runs[0]);
    let missed: Vec<f64> = runs.iter().map(of).map(|o| o.missed.min(o.asked) as f64 / o.asked as f64).collect();
    let (bad, asked) = runs.iter().map(of).fold((0, 0), |sum, o| (sum.0 + o.missed.min(o.asked), sum.1 + o.asked));
    let (mean, variance) = mean_variance(&missed);
    let (n, sd) = (missed.len() as f64, variance.sqrt());
    let fail = rules.alpha_fail / objectives.max(1) as f64;
    let t = |alpha: f64, n: f64| student_t_quantile(1.0 - alpha, (n - 1.0).max(1.0)) * sd / n.sqrt();
    let (low, high) = if sd > 0.0 {
        (mean - t(fail, n), mean + t(rules.alpha_fail, n))
    } else {
        (clopper_pearson_lower(bad, asked, 1.0 - fail), clopper_pearson_upper(bad, asked, 1.0 - rules.alpha_fail))
    };
    let enough = missed.len() >= RUNS_NEEDED;
    let verdict = if enough && high <= first.allowed {
        Verdict::Pass
    } else if enough && low > first.allowed {
        Verdict::Fail
    } else {
        Verdict::Inconclusive
    };
    let is_met_by = |runs: &usize| if sd > 0.0 { mean + t(rules.alpha_fail, *runs as f64) <= first.allowed } else { high <= first.allowed };
    let further_runs = (verdict == Verdict::Inconclusive)
        .then(|| ((missed.len() + 1).max(RUNS_NEEDED)..=MOST_PAIRS as usize).find(is_met_by))
        .flatten()
        .and_then(|runs| u32::try_from(runs - missed.len()).ok());
    let percent = |share: f64| format!("{:.2}%", 100.0 * share.clamp(0.0, 1.0));
    let seen = format!("{} missed it (between {} and {} for certain), {} may", percent(mean), percent(low), percent(high), percent(first.allowed));
    let reason = match (verdict, further_runs) {
        (Verdict::Inconclusive, Some(more)) => format!("{seen}; about {more} more runs would show it met at this mean and spread"),
        (Verdict::Inconclusive, None) => format!("{seen}; more runs would not show it met"),
        _ => seen,
    };
    Promise {
        text: first.text,
        allowed: first.allowed,
        missed,
        mean,
        low: low.max(0.0),
        high: high.min(1.0),
        verdict,
        further_runs,
        high_if_independent: clopper_pearson_upper(bad, asked, 1.0 - rules.alpha_fail),
        reason,
    }
}

fn conclude(mut report: Report) -> Report {
    let of = |v: Verdict| report.promises.iter().filter(|p| p.verdict == v).collect::<Vec<&Promise>>();
    let verdict = [Verdict::Fail, Verdict::Inconclusive].into_iter().find(|v| !of(*v).is_empty()).unwrap_or(Verdict::Pass);
    let mut order: Vec<&Promise> = report.promises.iter().collect();
    // The deciding ones first, and of these the nearest to its bound.
    order.sort_by(|a, b| (b.verdict == verdict).cmp(&(a.verdict == verdict)).then((b.mean / b.allowed).total_cmp(&(a.mean / a.allowed))));
    let reasons: Vec<String> = order.iter().map(|p| format!("{}: {}", p.text, p.reason)).collect();
    let mut would_change: Vec<String> =
        report.promises.iter().filter_map(|p| Some(format!("{}: {} more runs with other seeds", p.text, p.further_runs?))).collect();
    if verdict == Verdict::Inconclusive && (report.pairs as usize) < RUNS_NEEDED {
        would_change.insert(0, format!("{RUNS_NEEDED} runs with different seeds instead of {}", report.pairs));
    }
    report.would_change = would_change;
    report.settle(verdict, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::gate::fixture::disturbed;
    use rand::RngExt as _;

    fn runs(seed: u64, n: u64, mean: f64, spread: f64) -> Vec<SloRun> {
        let one = |i: u64| {
            let share = mean + spread * (Seed(seed).keyed("share", i).random_range(0.0..1.0) - 0.5);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 10,000")]
            let missed = (share * 10_000.0).round() as u64;
            let objective = Objective { text: "TTFT p95 <= 800ms".to_owned(), allowed: 0.05, missed, asked: 10_000, ..Objective::default() };
            SloRun { run: disturbed(seed * 1_000 + i, 0.0, 0.01, "head"), objectives: vec![objective] }
        };
        (0..n).map(one).collect()
    }

    /// forall seeds: a promise that is kept just so is not called met in more than 1 % of the cases, nor broken
    #[test]
    fn a_promise_at_its_bound_is_seldom_called_either_way() {
        let rules = Rules::default();
        let verdicts: Vec<Verdict> = (0..300).map(|s| judge(&rules, &runs(s, 8, 0.05, 0.03)).verdict).collect();
        let count = |v: Verdict| verdicts.iter().filter(|x| **x == v).count();
        assert!(count(Verdict::Pass) <= 8 && count(Verdict::Fail) <= 8, "{} {}", count(Verdict::Pass), count(Verdict::Fail));
        assert_eq!(judge(&rules, &runs(1, 8, 0.02, 0.02)).verdict, Verdict::Pass);
        assert_eq!(judge(&rules, &runs(1, 8, 0.09, 0.02)).verdict, Verdict::Fail);
    }

    #[test]
    fn further_runs_are_told_and_suffice() {
        let rules = Rules::default();
        let report = judge(&rules, &runs(1, 8, 0.04, 0.06));
        let more = report.promises[0].further_runs;
        assert_eq!(report.verdict, Verdict::Inconclusive, "{}", report.sentence);
        assert!(more.is_some_and(|m| m > 0), "{}", report.sentence);
        let few = judge(&rules, &runs(1, 3, 0.02, 0.02));
        assert!(few.verdict == Verdict::Inconclusive && few.promises[0].further_runs == Some(5), "{}", few.sentence);
    }

    #[test]
    fn no_miss_at_all_has_an_exact_bound() {
        let report = judge(&Rules::default(), &runs(1, 8, 0.0, 0.0));
        assert_eq!(report.verdict, Verdict::Pass);
        let high = 1.0 - 0.01_f64.powf(1.0 / 80_000.0);
        assert!((report.promises[0].high - high).abs() < 1e-9);
    }

    #[test]
    fn missing_data_never_pass() {
        let rules = Rules::default();
        let good = || runs(1, 8, 0.02, 0.02);
        let with = |change: fn(&mut SloRun)| {
            let mut all = good();
            for run in &mut all {
                change(run);
            }
            judge(&rules, &all).verdict
        };
        assert_eq!(judge(&rules, &[]).verdict, Verdict::Invalid);
        assert_eq!(judge(&rules, &good()[..1]).verdict, Verdict::Inconclusive);
        assert_eq!(with(|r| r.objectives.clear()), Verdict::Invalid);
        assert_eq!(with(|r| r.objectives[0].asked = 0), Verdict::Invalid);
        assert_eq!(with(|r| r.objectives[0].allowed = f64::NAN), Verdict::Invalid);
        assert_eq!(with(|r| r.run.valid = false), Verdict::Invalid);
        assert_eq!(with(|r| r.run.due = 0), Verdict::Invalid);
        assert_eq!(with(|r| r.run.seed = 7), Verdict::Invalid);
        assert_eq!(with(|r| r.objectives[0].missed = r.objectives[0].asked), Verdict::Fail);
        let mut foreign = good();
        foreign[3].run.fingerprint.fix("model", "mistral");
        assert_eq!(judge(&rules, &foreign).verdict, Verdict::NotComparable);
    }
}
