//! Words for the answer: why a size fails, what binds, and the recommendation in one sentence.

use super::cost::Tariff;
use super::recommendation::{CandidateResult, HeadroomPart, Misses};
use super::search::{PARTS, PeriodOutcome, Rules, Size};
use crate::base::stats::interval::clopper_pearson_lower;
use crate::base::time::Nanos;
use crate::scenario::plan::Plan;

/// A whole number with separators: `1,580`.
#[must_use]
pub fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number <= -0.5 { format!("-{text}") } else { text }
}

/// A share as a percentage with as many decimals as it needs to differ from 0 % and 100 %.
#[must_use]
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    let distance = value.min(100.0 - value).abs();
    let decimals = match distance {
        d if !(1e-9..10.0).contains(&d) => 0,
        d if d >= 1.0 => 1,
        d if d >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text.as_str() };
    format!("{text} %")
}

/// `min 2, max 5`.
#[must_use]
pub fn size(size: Size) -> String {
    format!("min {}, max {}", size.min, size.max)
}

/// `1 chunk`, `5 chunks`.
#[must_use]
pub fn chunks(count: u32) -> String {
    format!("{count} chunk{}", if count == 1 { "" } else { "s" })
}

/// What a period is called: days and weeks by their name.
#[must_use]
pub fn periods_noun(plan: &Plan) -> &'static str {
    match plan.period.nanos() {
        p if p == Nanos::from_secs(86_400) => "days",
        p if p == Nanos::from_secs(7 * 86_400) => "weeks",
        _ => "periods",
    }
}

/// One size and what it did, over the periods given.
#[must_use]
pub fn candidate(rules: &Rules, size: Size, periods: &[PeriodOutcome]) -> CandidateResult {
    let count = periods.len().max(1) as f64;
    let total: u64 = periods.iter().map(|p| p.total).sum();
    let good: u64 = periods.iter().map(|p| p.good).sum();
    let seen = u32::try_from(periods.len()).unwrap_or(u32::MAX);
    let kept = seen - rules.failures(periods).min(seen);
    let bound = clopper_pearson_lower(u64::from(kept), u64::from(seen), rules.confidence);
    CandidateResult {
        min_chunks: size.min,
        max_chunks: size.max,
        cost_per_hour: periods.iter().map(|p| p.cost_per_hour).sum::<f64>() / count,
        mean_chunks: periods.iter().map(|p| p.mean_chunks).sum::<f64>() / count,
        good_share: if total == 0 { 1.0 } else { good as f64 / total as f64 },
        worst_period: periods.iter().map(PeriodOutcome::good_share).fold(1.0, f64::min),
        periods_kept: kept,
        periods: seen,
        kept_lower_bound: bound,
        keeps_promise: seen > 0 && bound >= rules.periods,
        certified: false,
        misses: misses(periods),
    }
}

/// The same with the cost put on the footing of the chosen size. A candidate that was dropped early saw few periods; what the chosen one
/// cost in those few against all (`ratio`) tells how dear they were (ratio estimator on common random numbers).
#[must_use]
pub fn comparable(rules: &Rules, tariff: &Tariff, size: Size, periods: &[PeriodOutcome], ratio: f64) -> CandidateResult {
    let mut result = candidate(rules, size, periods);
    if size.min < size.max {
        result.mean_chunks = (result.mean_chunks * ratio).clamp(f64::from(size.min), f64::from(size.max));
    }
    result.cost_per_hour = tariff.per_hour(result.mean_chunks);
    result
}

/// Misses as shares of all requests.
#[must_use]
pub fn misses<'a>(periods: impl IntoIterator<Item = &'a PeriodOutcome>) -> Misses {
    let (mut total, mut sum) = (0_u64, [0_u64; 6]);
    for period in periods {
        total += period.total;
        let m = period.misses;
        for (s, add) in sum.iter_mut().zip([m.ttft, m.tpot, m.e2e, m.throttled, m.timed_out, m.failed]) {
            *s += add;
        }
    }
    let [ttft, tpot, e2e, throttled, timed_out, failed] = sum.map(|s| s as f64 / total.max(1) as f64);
    Misses { ttft, tpot, e2e, throttled, timed_out, failed }
}

/// The largest class of misses: its share and how to say it. `None` without misses.
fn dominant(misses: &Misses) -> Option<(f64, &'static str)> {
    let classes = [
        (misses.ttft, "miss TTFT"),
        (misses.tpot, "miss TPOT"),
        (misses.e2e, "miss E2E"),
        (misses.throttled, "are answered 429"),
        (misses.timed_out, "time out"),
        (misses.failed, "fail"),
    ];
    classes.into_iter().filter(|(share, _)| *share > 0.0).max_by(|a, b| a.0.total_cmp(&b.0))
}

/// When most of the misses happened: the part of the period with the most of them, and its share. `None` without misses.
fn when<'a>(plan: &Plan, periods: impl IntoIterator<Item = &'a PeriodOutcome>) -> Option<String> {
    let mut parts = [0_u64; PARTS];
    for period in periods {
        for (sum, missed) in parts.iter_mut().zip(period.missed_by_part) {
            *sum += u64::from(missed);
        }
    }
    let total: u64 = parts.iter().sum();
    let (worst, most) = parts.iter().enumerate().max_by_key(|(i, missed)| (**missed, PARTS - i))?;
    if total == 0 {
        return None;
    }
    let share = *most as f64 / total as f64;
    let part_s = plan.period.as_secs_f64() / PARTS as f64;
    let span = if plan.period.nanos() == Nanos::from_secs(86_400) {
        format!("between {worst:02}:00 and {:02}:00", worst + 1)
    } else {
        format!("between {} and {} into it", Nanos::from_secs_f64(part_s * worst as f64), Nanos::from_secs_f64(part_s * (worst as f64 + 1.0)))
    };
    Some(format!("{} of the misses {span}", percent(share)))
}

/// Why a size does not keep the promise, by its failed periods.
#[must_use]
pub fn why_fails(rules: &Rules, plan: &Plan, periods: &[PeriodOutcome]) -> String {
    let noun = periods_noun(plan);
    let failed: Vec<&PeriodOutcome> = periods.iter().filter(|p| !rules.keeps(p)).collect();
    let seen = periods.len();
    if failed.is_empty() {
        return format!("all {seen} {noun} looked at had {} of their requests good; not enough of them to certify it", percent(rules.requests));
    }
    let promised = percent(rules.requests);
    let head = match seen - failed.len() {
        0 => format!("none of {seen} simulated {noun} has {promised} of its requests good"),
        kept => {
            let (periods, confidence) = (percent(rules.periods), percent(rules.confidence));
            format!(
                "only {kept} of {seen} simulated {noun} have {promised} of their requests good, too few to promise {periods} with {confidence} confidence"
            )
        }
    };
    // Estimates are cut where the verdict was clear: how many requests are missed is told by the periods in which it is known, if there are any.
    let known: Vec<&PeriodOutcome> = failed.iter().copied().filter(|p| p.is_exact).collect();
    let told = if known.is_empty() { failed.clone() } else { known };
    let misses = misses(told.iter().copied());
    let mut text = head;
    if let Some((share, class)) = dominant(&misses) {
        text = format!("{text}; in {} {} of the requests {class}", if failed.len() == seen { "them" } else { "the others" }, percent(share));
    }
    if let Some(when) = when(plan, told.iter().copied()) {
        text = format!("{text}, {when}");
    }
    text
}

/// Figures that the sentence is made of.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Chosen size.
    pub size: Size,
    /// Mean chunks paid.
    pub mean_chunks: f64,
    /// The cheaper size and why it fails.
    pub cheaper: Option<(Size, &'a str)>,
    /// The over-provisioned part.
    pub headroom: &'a [HeadroomPart],
    /// Mean scale-up delay, seconds.
    pub lag_s: f64,
}

/// `buy min 2, max 5 chunks of 1,580 tokens/s (3,160 to 7,900 tokens/s), because …`.
#[must_use]
pub fn sentence(answer: &Answer<'_>) -> String {
    let chunk = answer.plan.chunk.size.0;
    let Size { min, max } = answer.size;
    let chunks = if max == 1 { "chunk" } else { "chunks" };
    let head = format!(
        "buy min {min}, max {max} {chunks} of {} tokens/s ({} to {} tokens/s)",
        grouped(chunk),
        grouped(chunk * f64::from(min)),
        grouped(chunk * f64::from(max))
    );
    let why = match answer.cheaper {
        Some((cheaper, reason)) => format!("because at {} {reason}", size(cheaper)),
        None => "because this is the smallest size there is, and it keeps the promise".to_owned(),
    };
    format!("{head}, {why}{}", over(answer))
}

/// The over-provisioned part of the sentence.
fn over(answer: &Answer<'_>) -> String {
    let of = |cause: &str| answer.headroom.iter().find(|p| p.cause == cause).map_or(0.0, |p| p.chunks);
    let extra: f64 = ["lag", "burst", "failure", "uncertainty"].map(of).iter().sum();
    if extra < 0.05 {
        return String::new();
    }
    let named: Vec<String> = [
        ("lag", format!("because a new chunk takes {} to serve", Nanos::from_secs_f64(answer.lag_s))),
        ("burst", "for bursts".to_owned()),
        ("failure", "for scale-ups that fail".to_owned()),
        ("uncertainty", "for what is not known exactly".to_owned()),
    ]
    .into_iter()
    .filter(|(cause, _)| of(cause) >= 0.05)
    .map(|(cause, why)| format!("{:.1} {why}", of(cause)))
    .collect();
    format!("; {extra:.1} of the {:.1} chunks paid for on average are head-room ({})", answer.mean_chunks, named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::search::MissCounts;
    use crate::planner::tests::tiny_plan;

    fn rules() -> Rules {
        Rules {
            requests: 0.99,
            periods: 0.9,
            confidence: 0.9,
            max_chunks: 8,
            least: 1,
            lowest: 1,
            guess: 1,
            fixed: false,
            search_periods: 8,
            certify_periods: 40,
            certify_least: 0,
            draws: 1,
        }
    }

    #[test]
    fn numbers_are_grouped_and_shares_keep_their_distance_from_the_ends() {
        assert_eq!([0.0, 999.0, 1580.0, 1_234_567.0].map(grouped), ["0", "999", "1,580", "1,234,567"]);
        assert_eq!([0.0, 0.5, 0.9, 0.99, 0.9995, 0.012_34, 1.0].map(percent), ["0 %", "50 %", "90 %", "99 %", "99.95 %", "1.2 %", "100 %"]);
    }

    #[test]
    fn a_failure_names_the_class_the_share_and_the_time() {
        let plan = tiny_plan();
        let mut missed_by_part = [0; PARTS];
        missed_by_part[6] = 30;
        missed_by_part[7] = 10;
        let bad = PeriodOutcome {
            total: 1000,
            good: 960,
            misses: MissCounts { ttft: 40, e2e: 3, ..MissCounts::default() },
            missed_by_part,
            ..PeriodOutcome::default()
        };
        let fine = PeriodOutcome { total: 1000, good: 1000, ..PeriodOutcome::default() };
        assert_eq!(
            why_fails(&rules(), &plan, &[fine, bad]),
            "only 1 of 2 simulated periods have 99 % of their requests good, too few to promise 90 % with 90 % confidence; \
             in the others 4 % of the requests miss TTFT, 75 % of the misses between 2.50 min and 2.92 min into it"
        );
    }

    #[test]
    fn a_candidate_without_failures_still_needs_enough_periods() {
        let fine = PeriodOutcome { total: 10, good: 10, mean_chunks: 2.0, cost_per_hour: 30.0, ..PeriodOutcome::default() };
        let few = candidate(&rules(), Size::fixed(2), &vec![fine.clone(); 10]);
        assert!(!few.keeps_promise && few.periods_kept == 10);
        let enough = candidate(&rules(), Size::fixed(2), &vec![fine; 22]);
        assert!(enough.keeps_promise && enough.cost_per_hour == 30.0 && enough.worst_period == 1.0);
    }

    #[test]
    fn the_sentence_names_size_reason_and_head_room() {
        let plan = tiny_plan();
        let part = |cause: &str, chunks| HeadroomPart { cause: cause.to_owned(), chunks, cost_per_hour: 0.0, reason: String::new() };
        let headroom = [part("base", 1.0), part("lag", 0.9), part("burst", 0.4), part("failure", 0.0)];
        let cheaper = Some((Size { min: 1, max: 5 }, "it fails"));
        let answer = Answer { plan: &plan, size: Size { min: 2, max: 5 }, mean_chunks: 2.3, cheaper, headroom: &headroom, lag_s: 300.0 };
        assert_eq!(
            sentence(&answer),
            "buy min 2, max 5 chunks of 1,580 tokens/s (3,160 to 7,900 tokens/s), because at min 1, max 5 it fails; \
             1.3 of the 2.3 chunks paid for on average are head-room (0.9 because a new chunk takes 5.00 min to serve, 0.4 for bursts)"
        );
    }
}
