//! Rules of `[load]` and `[sweep]`.

use super::Judge;
use crate::base::diag::Fault;
use crate::base::units::Rate;
use crate::scenario::load::{Arrivals, Columns, Load, RateFn, RatePoint, Sweep, TraceFormat, TraceSource, VaryingRate};

pub(super) fn judge(judge: &mut Judge<'_>, load: &Load) {
    arrivals(judge, "load.arrivals", &load.arrivals);
    judge.positive_span("load.measure", load.measure);
    judge.at_least("load.max_in_flight", load.max_in_flight.into(), 1);
}

/// Also for the demand of a plan.
pub(super) fn arrivals(judge: &mut Judge<'_>, key: &str, arrivals: &Arrivals) {
    match arrivals {
        Arrivals::Constant { rate } => rate_fn(judge, &format!("{key}.constant.rate"), rate),
        Arrivals::Poisson { rate } => rate_fn(judge, &format!("{key}.poisson.rate"), rate),
        Arrivals::Gamma { rate, cv } => {
            rate_fn(judge, &format!("{key}.gamma.rate"), rate);
            judge.within(&format!("{key}.gamma.cv"), *cv, 0.01, 20.0);
        }
        Arrivals::Weibull { rate, cv } => {
            rate_fn(judge, &format!("{key}.weibull.rate"), rate);
            judge.within(&format!("{key}.weibull.cv"), *cv, 0.05, 20.0);
        }
        Arrivals::Trace { trace, time_scale, rate_scale } => {
            source(judge, &format!("{key}.trace.trace"), trace);
            judge.within(&format!("{key}.trace.time_scale"), *time_scale, 1e-6, 1e6);
            judge.within(&format!("{key}.trace.rate_scale"), *rate_scale, 1e-6, 1e6);
        }
        Arrivals::Closed { users, .. } => judge.at_least(&format!("{key}.closed.users"), (*users).into(), 1),
    }
}

fn rate_fn(judge: &mut Judge<'_>, key: &str, rate: &RateFn) {
    match rate {
        RateFn::Constant(rate) => judge.positive_rate(key, *rate),
        RateFn::Varying(VaryingRate::Ramp { from, to, over }) => {
            judge.positive_span(&format!("{key}.ramp.over"), *over);
            some_rate(judge, &format!("{key}.ramp"), [*from, *to]);
        }
        RateFn::Varying(VaryingRate::Steps(steps)) => {
            let key = format!("{key}.steps");
            judge.at_least(&key, steps.len() as u64, 1);
            for (i, step) in steps.iter().enumerate() {
                judge.positive_span(&format!("{key}.{i}.hold"), step.hold);
            }
            some_rate(judge, &key, steps.iter().map(|s| s.rate));
        }
        RateFn::Varying(VaryingRate::Piecewise { points, repeat }) => {
            piecewise(judge, &format!("{key}.piecewise"), points);
            if let (Some(repeat), Some(last)) = (repeat, points.last()) {
                let message = format!("the points last longer ({}) than the period", last.at);
                judge.expect(*repeat >= last.at, &format!("{key}.piecewise.repeat"), message, "a period that holds every point");
                judge.positive_span(&format!("{key}.piecewise.repeat"), *repeat);
            }
        }
        RateFn::Varying(VaryingRate::Sine { mean, period, .. }) => {
            judge.positive_rate(&format!("{key}.sine.mean"), *mean);
            judge.positive_span(&format!("{key}.sine.period"), *period);
        }
    }
}

fn piecewise(judge: &mut Judge<'_>, key: &str, points: &[RatePoint]) {
    let key = format!("{key}.points");
    judge.at_least(&key, points.len() as u64, 2);
    for (i, pair) in points.windows(2).enumerate() {
        if let [earlier, later] = pair {
            let message = format!("{} does not come after {}", later.at, earlier.at);
            judge.expect(later.at > earlier.at, &format!("{key}.{}.at", i + 1), message, "points in order of time");
        }
    }
    some_rate(judge, &key, points.iter().map(|p| p.rate));
}

/// A curve that is zero everywhere sends nothing.
fn some_rate(judge: &mut Judge<'_>, key: &str, rates: impl IntoIterator<Item = Rate>) {
    let mut rates = rates.into_iter().peekable();
    if rates.peek().is_some() {
        judge.expect(rates.any(|r| r.0 > 0.0), key, "no requests at any time", "a rate above zero somewhere");
    }
}

/// Also for the recordings of lengths.
pub(super) fn source(judge: &mut Judge<'_>, key: &str, source: &TraceSource) {
    judge.expect(!source.path.as_os_str().is_empty(), &format!("{key}.path"), "no path", "the path of a recording");
    let mapped = matches!(source.format, TraceFormat::Csv | TraceFormat::Jsonl);
    if mapped && source.columns.is_none() {
        let fault = Fault::new("", "the names of its columns are needed").with_expected("`columns` beside `format`");
        judge.refuse(key, fault.with_hint("columns = { timestamp = \"ts\", input = \"prompt_tokens\", output = \"completion_tokens\" }"));
    }
    if let Some(Columns { input, output, .. }) = &source.columns {
        judge.expect(!input.is_empty(), &format!("{key}.columns.input"), "no name", "the name of a column");
        judge.expect(!output.is_empty(), &format!("{key}.columns.output"), "no name", "the name of a column");
    }
}

pub(super) fn judge_sweep(judge: &mut Judge<'_>, sweep: &Sweep) {
    for (i, rate) in sweep.rates.iter().enumerate() {
        judge.positive_rate(&format!("sweep.rates.{i}"), *rate);
    }
    for (i, users) in sweep.users.iter().enumerate() {
        judge.at_least(&format!("sweep.users.{i}"), (*users).into(), 1);
    }
    judge.positive_span("sweep.measure", sweep.measure);
    judge.expect(sweep.stop_at_errors.0 > 0.0, "sweep.stop_at_errors", "every sweep would stop at its first step", "a share above 0%");
}

/// Rates step an open loop, users step a closed one.
pub(super) fn judge_sweep_against_load(judge: &mut Judge<'_>, sweep: &Sweep, load: &Load) {
    let is_closed = matches!(load.arrivals, Arrivals::Closed { .. });
    if is_closed && !sweep.rates.is_empty() {
        let fault = Fault::new("", "a closed loop has users, not a rate").with_expected("`users`, e.g. [1, 2, 4, 8]");
        judge.refuse("sweep.rates", fault.with_hint("or make load.arrivals an open loop, e.g. poisson"));
    }
    if !is_closed && !sweep.users.is_empty() {
        let fault = Fault::new("", "an open loop has a rate, not users").with_expected("`rates`, e.g. [\"1/s\", \"2/s\", \"4/s\"]");
        judge.refuse("sweep.users", fault.with_hint("or make load.arrivals closed"));
    }
}
