//! Why there is no recommendation: plans that cannot be made, and promises that the data cannot support.

use super::cost;
use super::explain;
use crate::base::diag::{Severity, Warning};
use crate::base::time::Nanos;
use crate::scenario::load::Arrivals;
use crate::scenario::plan::Plan;
use crate::workload::demand::Generator;
use crate::workload::schedule::{self, Material};

/// Why there is no recommendation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to plan.
    #[error("the scenario has no [plan]; expected a demand, a chunk and a price")]
    NoPlan,
    /// Nothing to keep.
    #[error("the scenario has no objective; expected a bound in [slo], for example `ttft = {{ p95 = \"800ms\" }}`: without one, every size will do")]
    NoObjective,
    /// No price, or two currencies.
    #[error(transparent)]
    Price(#[from] cost::Error),
    /// A unit whose profile nobody read.
    #[error("plan.unit: there is no profile; expected `file` or `profile`")]
    NoUnit,
    /// The demand cannot be drawn.
    #[error("plan.demand: {0}")]
    Demand(#[from] schedule::Error),
    /// Nobody comes.
    #[error("plan.demand: no request within {period}; expected some demand")]
    NoDemand {
        /// The period.
        period: String,
    },
    /// The recording ends long before the period does: the rest would be taken for silence.
    #[error(
        "plan.demand: the recording ends after {recorded}, long before plan.period = {period}: the rest would count as no demand at all; expected a period no longer than the recording, for example period = \"{fitting}s\""
    )]
    ShortRecording {
        /// Where the scaled recording ends.
        recorded: String,
        /// The period.
        period: String,
        /// Whole seconds of the recording.
        fitting: u64,
    },
    /// More is promised of requests than the lengths that were recorded can tell.
    #[error(
        "plan.promise.requests = {requests} speaks of 1 request in {one_in}, and only {rows} recorded lengths are there to draw from: what so rare a request looks like was never seen; expected at most {most}, or a longer recording"
    )]
    BeyondLengths {
        /// Share promised.
        requests: String,
        /// Its reciprocal tail.
        one_in: u64,
        /// Recorded rows.
        rows: usize,
        /// The largest share that they support.
        most: String,
    },
    /// More is promised of periods than the recorded days can tell.
    #[error(
        "plan.promise.periods = {periods} speaks of 1 {noun} in {one_in}, and the demand was learnt from {recorded}: how bad so rare a {noun} is was never seen; expected at most {most}, or more recorded days"
    )]
    BeyondDays {
        /// Share promised.
        periods: String,
        /// `day` or `period`.
        noun: &'static str,
        /// Its reciprocal tail.
        one_in: u64,
        /// What was recorded.
        recorded: String,
        /// The largest share that it supports.
        most: String,
    },
    /// The fit has too few draws for the confidence.
    #[error(
        "plan.promise.confidence = {confidence} needs at least {needed} outer draws to certify on, and the fit allows {draws}; expected a lower confidence or a model.json with more draws"
    )]
    TooFewDraws {
        /// Confidence.
        confidence: String,
        /// Draws that certification has.
        draws: u32,
        /// Draws that it needs.
        needed: u64,
    },
    /// The promise cannot be shown by simulation.
    #[error(
        "plan.promise: to show with {confidence} confidence that {periods} of periods keep it takes more than {most} simulated ones; expected less of either, for example 95% and 95%"
    )]
    NotCertifiable {
        /// Share of periods.
        periods: String,
        /// Confidence.
        confidence: String,
        /// The limit.
        most: u64,
    },
    /// A size of nothing.
    #[error("plan.{key} is {found}; expected {expected}")]
    Range {
        /// Key below `plan`.
        key: &'static str,
        /// The value.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
}

pub(super) fn check_ranges(plan: &Plan) -> Result<(), Error> {
    let range = |key, found: String, expected| Err(Error::Range { key, found, expected });
    if plan.max_chunks == 0 {
        return range("max_chunks", "0".to_owned(), "at least 1");
    }
    if plan.chunk.size.0 <= 0.0 {
        return range("chunk.size", plan.chunk.size.to_string(), "more than 0 tok/s");
    }
    if plan.period.nanos().0 == 0 {
        return range("period", plan.period.to_string(), "more than 0s");
    }
    if !(plan.growth.is_finite() && plan.growth > 0.0) {
        return range("growth", plan.growth.to_string(), "a finite number above 0");
    }
    if !(0.0..=3.0).contains(&plan.day_sigma) {
        return range("day_sigma", plan.day_sigma.to_string(), "from 0 to 3");
    }
    Ok(())
}

/// Refuses a recording that covers less than nine tenths of the period.
pub(super) fn check_recording(plan: &Plan, material: &Material) -> Result<(), Error> {
    let (Some(Arrivals::Trace { time_scale, .. }), Some(rows)) = (&plan.demand, &material.arrivals) else { return Ok(()) };
    let last = rows.rows.iter().filter_map(|row| row.at).max().unwrap_or_default();
    let recorded = Nanos::from_secs_f64(last.as_secs_f64() / time_scale.max(1e-9));
    if recorded.as_secs_f64() < 0.9 * plan.period.as_secs_f64() {
        let fitting = recorded.0 / 1_000_000_000;
        return Err(Error::ShortRecording { recorded: recorded.to_string(), period: plan.period.to_string(), fitting });
    }
    Ok(())
}

/// Refuses a promise on requests rarer than any that was recorded.
pub(super) fn check_lengths(plan: &Plan, material: &Material) -> Result<(), Error> {
    let Some(rows) = &material.lengths else { return Ok(()) };
    let (count, missed) = (rows.rows.len(), 1.0 - plan.promise.requests.0);
    // Recorded lengths may hold no request at all of the tail that the promise is about.
    if count == 0 || missed <= 0.0 || missed * count as f64 >= 1.0 - 1e-9 {
        return Ok(());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    let one_in = (1.0 / missed).round() as u64;
    let most = explain::percent(1.0 - 1.0 / count as f64);
    Err(Error::BeyondLengths { requests: plan.promise.requests.to_string(), one_in, rows: count, most })
}

/// Periods that a law learnt from `n` of them may speak of beyond the worst: one in this many times `n + 1`.
const BEYOND: f64 = 10.0;

/// What the recorded days leave open about a promise on rare ones. Recorded days drawn again (a block bootstrap) have none worse than the worst
/// recorded one; a law goes beyond it, and is doubted for that, but not ten times as far.
///
/// # Errors
/// When the promise speaks of periods rarer than that.
pub(super) fn check_days(plan: &Plan, material: &Material) -> Result<Option<Warning>, Error> {
    const DAY_S: f64 = 86_400.0;
    let (None, Some(model)) = (&plan.demand, &material.demand) else { return Ok(None) };
    let periods = f64::from(model.recorded.days) * DAY_S / plan.period.as_secs_f64().max(DAY_S);
    let missed = 1.0 - plan.promise.periods.0;
    // A named shape was not recorded at all: it is an assumption, and shown as one.
    if model.recorded.days == 0 || missed <= 0.0 || missed * (periods + 1.0) >= 1.0 - 1e-9 {
        return Ok(None);
    }
    let allowed = if matches!(model.generator, Generator::Days(_)) { 1.0 } else { BEYOND };
    let recorded = format!("{} days", model.recorded.days);
    if missed * (periods + 1.0) * allowed < 1.0 - 1e-9 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let one_in = (1.0 / missed).round() as u64;
        let most = explain::percent(1.0 - 1.0 / (allowed * (periods + 1.0)));
        let noun = if plan.period.as_secs_f64() <= DAY_S { "day" } else { "period" };
        return Err(Error::BeyondDays { periods: plan.promise.periods.to_string(), noun, one_in, recorded, most });
    }
    Ok(Some(Warning {
        severity: Severity::Doubt,
        code: "beyond-recorded-days".to_owned(),
        message: format!("{} of {} are promised, and the demand was learnt from {recorded}", plan.promise.periods, explain::periods_noun(plan)),
        limit: String::new(),
        hint: "the worst days rest on the law that was fitted, not on days that were seen: record longer, or promise less of them".to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::{Share, TimeSpan};
    use crate::planner::tests::tiny_plan;
    use crate::workload::demand::{DemandModel, Recorded};
    use std::sync::Arc;

    #[test]
    fn rare_days_need_recorded_ones() {
        let mut plan = tiny_plan();
        (plan.demand, plan.period) = (None, TimeSpan::secs(86_400));
        let check = |days: u32, periods: f64, plan: &mut Plan| {
            plan.promise.periods = Share(periods);
            let text = include_str!("../../scenarios/azure-code-week.demand.json");
            let model = DemandModel::from_json(text.as_bytes()).unwrap();
            let model = DemandModel { recorded: Recorded { days, ..model.recorded.clone() }, generator: Generator::Law, ..model };
            check_days(plan, &Material { demand: Some(Arc::new(model)), ..Material::default() })
        };
        assert_eq!(check(14, 0.9, &mut plan).unwrap(), None);
        assert!(check(14, 0.95, &mut plan).unwrap().is_some_and(|w| w.code == "beyond-recorded-days"));
        assert!(matches!(check(14, 0.995, &mut plan), Err(Error::BeyondDays { one_in: 200, .. })));
        assert_eq!(check(0, 0.995, &mut plan).unwrap(), None);
    }
}
