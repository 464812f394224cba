//! The verdict on a run and on a plan in one sentence, the same words in every format.

use super::number::{count, money, percentile, plural, real, share};
use crate::base::diag::Severity;
use crate::measure::summary::{Objective, ObjectiveVerdict, Summary};
use crate::planner::recommendation::Recommendation;

/// How a run stands, from the worst that can be said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not invalid, every objective met.
    Good,
    /// Not invalid, and nothing was asked of it.
    NoObjectives,
    /// Not invalid, but too few values to judge an objective.
    Undecided,
    /// Not invalid, an objective was not met.
    Missed,
    /// The run measured something else than the endpoint.
    Invalid,
}

impl Standing {
    /// In a word or two.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "OBJECTIVES MET",
            Self::NoObjectives => "MEASURED",
            Self::Undecided => "UNDECIDED",
            Self::Missed => "OBJECTIVES NOT MET",
            Self::Invalid => "INVALID",
        }
    }

    /// A sign that does not need colour.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Good => "\u{2713}",
            Self::NoObjectives => "\u{2022}",
            Self::Undecided => "?",
            Self::Missed | Self::Invalid => "\u{2717}",
        }
    }

    /// Style class of the page.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NoObjectives => "plain",
            Self::Undecided => "doubt",
            Self::Missed | Self::Invalid => "bad",
        }
    }
}

/// A verdict: where it stands, and why, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Where it stands.
    pub standing: Standing,
    /// Why, without the word itself.
    pub sentence: String,
}

/// The verdict on a run.
#[must_use]
pub fn of_run(summary: &Summary) -> Verdict {
    let standing = standing(summary);
    let says = |o: &Objective| format!("{} (measured {})", o.text, o.measured);
    let of = |v: ObjectiveVerdict| summary.objectives.iter().filter(|o| o.verdict == v).map(says).collect::<Vec<_>>().join("; ");
    let n = summary.objectives.len();
    let sample = plural(summary.accounting.due, "request", "requests");
    let doubts = summary.validity.warnings.iter().filter(|w| w.severity == Severity::Doubt).count();
    let doubt = if doubts > 0 {
        format!(" {} below.", if doubts == 1 { "One doubt is noted".to_owned() } else { format!("{doubts} doubts are noted") })
    } else {
        String::new()
    };
    let kind = if doubts > 0 { "Suspect run" } else { "Valid run" };
    let sentence = match standing {
        Standing::Invalid => {
            let reasons: Vec<&str> =
                summary.validity.warnings.iter().filter(|w| w.severity == Severity::Invalid).map(|w| w.message.as_str()).collect();
            let reason = if reasons.is_empty() { "the run is marked invalid".to_owned() } else { reasons.join("; ") };
            format!("This run does not measure the endpoint: {}. Do not use its figures.", reason.trim_end_matches('.'))
        }
        Standing::NoObjectives => format!("{kind} over {sample}; the scenario sets no objectives.{doubt}"),
        Standing::Good if n == 1 => format!("{kind} over {sample}; the objective is met: {}.{doubt}", of(ObjectiveVerdict::Met)),
        Standing::Good => format!("{kind} over {sample}; all {n} objectives are met: {}.{doubt}", of(ObjectiveVerdict::Met)),
        Standing::Missed => {
            let missed = summary.objectives.iter().filter(|o| o.verdict == ObjectiveVerdict::NotMet).count();
            format!(
                "{kind} over {sample}; {missed} of {} not met: {}.{doubt}",
                plural(n as u64, "objective", "objectives"),
                of(ObjectiveVerdict::NotMet)
            )
        }
        Standing::Undecided => format!("{kind} over {sample}, too few to judge {}.{doubt}", of(ObjectiveVerdict::Undecided)),
    };
    Verdict { standing, sentence }
}

fn standing(summary: &Summary) -> Standing {
    let any = |v: ObjectiveVerdict| summary.objectives.iter().any(|o| o.verdict == v);
    if !summary.validity.valid {
        Standing::Invalid
    } else if any(ObjectiveVerdict::NotMet) {
        Standing::Missed
    } else if any(ObjectiveVerdict::Undecided) {
        Standing::Undecided
    } else if summary.objectives.is_empty() {
        Standing::NoObjectives
    } else {
        Standing::Good
    }
}

/// The knee: in order of offered rate, the last step that meets every objective before the first that misses one or is invalid. A step with too
/// few values to judge is passed over; a lucky step beyond a bad one does not count.
#[must_use]
pub fn knee(steps: &[&Summary]) -> Option<usize> {
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by(|&a, &b| steps[a].offered_rate.total_cmp(&steps[b].offered_rate));
    let bearable = order.into_iter().take_while(|&i| !matches!(standing(steps[i]), Standing::Missed | Standing::Invalid));
    bearable.filter(|&i| standing(steps[i]) == Standing::Good).last()
}

/// The finding of a sweep in a sentence.
#[must_use]
pub fn of_sweep(steps: &[&Summary]) -> String {
    let swept = plural(steps.len() as u64, "load step", "load steps");
    match knee(steps).map(|i| steps[i]) {
        Some(s) => format!(
            "Of {swept}, the highest that meets every objective offers {} requests/s: {} total tok/s ({} output tok/s), TTFT p95 {}, E2E p95 {}, {} good.",
            real(s.offered_rate),
            real(s.throughput.total_tok_s),
            real(s.throughput.output_tok_s),
            percentile(&s.latency.ttft, "p95"),
            percentile(&s.latency.e2e, "p95"),
            share(s.goodput.share)
        ),
        None if steps.iter().all(|s| standing(s) == Standing::NoObjectives) => {
            format!("{swept} measured; the scenario sets no objectives, so that there is no knee to find.")
        }
        None => format!("None of {swept} meets every objective."),
    }
}

/// Share of due requests that failed, were throttled, timed out or were shed; `None` when nothing was due.
#[must_use]
pub fn error_share(summary: &Summary) -> Option<f64> {
    let a = &summary.accounting;
    (a.due > 0).then(|| (a.failed + a.throttled + a.timed_out + a.shed) as f64 / a.due as f64)
}

/// The promise in a sentence.
#[must_use]
pub fn promise(plan: &Recommendation) -> String {
    let p = &plan.promise;
    if plan.warnings.iter().any(|w| w.code == "periods-alike") {
        return format!(
            "On this one recorded period, {} of the requests are to be good; every simulated period replays it, so that no confidence can be stated for others.",
            share(p.requests)
        );
    }
    format!(
        "With {} confidence, at least {} of periods have at least {} of their requests good.",
        share(p.confidence),
        share(p.periods),
        share(p.requests)
    )
}

/// How the chosen size stands to the promise, on seeds that the search never saw.
#[must_use]
pub fn of_plan(plan: &Recommendation) -> Verdict {
    let Some(c) = &plan.chosen else {
        return Verdict { standing: Standing::Missed, sentence: plan.sentence.clone() };
    };
    let standing = if c.keeps_promise { Standing::Good } else { Standing::Missed };
    let verb = if c.keeps_promise { "kept" } else { "not kept" };
    Verdict {
        standing,
        sentence: format!(
            "The promise is {verb}: {} of {} simulated periods reached {} good requests, which makes at least {} of periods; {} of all requests were good, at {} per hour.",
            count(u64::from(c.periods_kept)),
            count(u64::from(c.periods)),
            share(plan.promise.requests),
            share(c.kept_lower_bound),
            share(c.good_share),
            money(c.cost_per_hour, &plan.currency)
        ),
    }
}
