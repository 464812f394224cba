//! Rules of `[plan]` and `[slo]`.

use super::Judge;
use crate::base::diag::Fault;
use crate::scenario::load::Arrivals;
use crate::scenario::plan::{DemandSource, Plan};
use crate::scenario::price::{Price, day_number};
use crate::scenario::slo::Slo;
use crate::scenario::unit::{LoadRule, Overflow, Unit};

pub(super) fn judge_slo(judge: &mut Judge<'_>, slo: &Slo) {
    for (name, bounds) in [("ttft", &slo.ttft), ("tpot", &slo.tpot), ("itl", &slo.itl), ("e2e", &slo.e2e)] {
        for (percentile, bound) in bounds {
            judge.positive_span(&format!("slo.{name}.{percentile}"), *bound);
        }
        let sorted: Vec<_> = bounds.iter().collect();
        for pair in sorted.windows(2) {
            let [(low, low_bound), (high, high_bound)] = pair else { continue };
            let message = format!("{high} may take {high_bound}, less than {low} with {low_bound}");
            judge.expect_with(
                &[&format!("slo.{name}.{low}")],
                high_bound >= low_bound,
                &format!("slo.{name}.{high}"),
                message,
                "bounds that do not fall as the percentile rises",
            );
        }
    }
    if let Some(errors) = slo.errors {
        judge.expect(errors.0 < 1.0, "slo.errors", "every request may fail", "a share below 100%, e.g. \"1%\"");
    }
    if let Some(goodput) = slo.goodput {
        judge.expect(goodput.0 > 0.0, "slo.goodput", "no request needs to be good", "a share above 0%, e.g. \"95%\"");
    }
}

pub(super) fn judge(judge: &mut Judge<'_>, plan: &Plan) {
    demand(judge, plan);
    judge.positive_span("plan.period", plan.period);
    judge.positive_span("plan.timeout", plan.timeout);
    retry(judge, plan);
    judge.within("plan.growth", plan.growth, 0.001, 1000.0);
    judge.within("plan.day_sigma", plan.day_sigma, 0.0, 3.0);
    judge.expect(plan.demand_error.0 < 1.0, "plan.demand_error", "a demand of which nothing is known", "a share below 100%, e.g. \"5%\"");
    search(judge, plan);
    match &plan.unit {
        Some(unit) => self::unit(judge, unit),
        None => judge.expect(
            plan.chunk.size.0 > 0.0,
            "plan.chunk",
            "no chunk that serves anything",
            "chunk = { size = \"1580 tok/s\", source = \"documented\" }, or a unit",
        ),
    }
    judge.at_least("plan.max_chunks", plan.max_chunks.into(), 1);
    judge.expect(plan.max_chunks <= 10_000, "plan.max_chunks", format!("{} is too many", plan.max_chunks), "10000 at most");
    super::autoscaler::judge(judge, "plan.autoscaler", &plan.autoscaler);
    price(judge, &plan.price);
    promise(judge, plan);
    for (key, value) in [("endpoint", &plan.entity.endpoint), ("name", &plan.entity.name), ("version", &plan.entity.version)] {
        judge.expect(!value.trim().is_empty(), &format!("plan.entity.{key}"), "no name", "a name for the request body");
    }
}

/// Exactly one demand, and what may stand beside it.
fn demand(judge: &mut Judge<'_>, plan: &Plan) {
    match (&plan.demand, &plan.demand_model) {
        (Some(Arrivals::Closed { .. }), _) => {
            let fault =
                Fault::new("", "a closed loop slows down with the endpoint: it is no demand").with_expected("an open arrival process or a trace");
            judge.refuse(
                "plan.demand.closed",
                fault.with_hint("demand = { poisson = { rate = { sine = { mean = \"2/s\", amplitude = \"60%\", period = \"1d\" } } } }"),
            );
        }
        (Some(arrivals), None) => super::load::arrivals(judge, "plan.demand", arrivals),
        (None, Some(source)) => demand_model(judge, source),
        (Some(_), Some(_)) => {
            let fault = Fault::new("", "there is a plan.demand too").with_expected("one of `demand` and `demand_model`");
            judge.refuse("plan.demand_model", fault.with_hint("keep demand_model: it varies from day to day as the recording did"));
        }
        (None, None) => {
            let fault = Fault::new("", "no demand to plan for").with_expected("`demand` or `demand_model`");
            judge.refuse(
                "plan",
                fault.with_hint("demand_model = \"NAME.demand.json\" from `plimsoll learn`, or { shape = \"office\", mean = \"2/s\" }"),
            );
        }
    }
    let is_model = plan.demand_model.is_some();
    judge.expect(is_model || plan.events.is_empty(), "plan.events", "events need a demand_model", "`demand_model` in place of `demand`");
    judge.expect(
        is_model || plan.output_scale == 1.0,
        "plan.output_scale",
        "longer outputs need a demand_model",
        "`demand_model` in place of `demand`",
    );
    judge.expect(
        !is_model || plan.day_sigma == 0.0,
        "plan.day_sigma",
        "a demand_model has its own day factors",
        "no `day_sigma` beside `demand_model`",
    );
    judge.within("plan.output_scale", plan.output_scale, 0.01, 100.0);
    for (i, event) in plan.events.iter().enumerate() {
        let key = format!("plan.events.{i}");
        judge.within(&format!("{key}.factor"), event.factor, 0.0, 1000.0);
        judge.positive_span(&format!("{key}.length"), event.length);
        let message = format!("rising and falling for {} each does not fit into {}", event.rise, event.length);
        judge.expect(event.rise.nanos().0 <= event.length.nanos().0 / 2, &format!("{key}.rise"), message, "at most half of `length`");
    }
}

fn demand_model(judge: &mut Judge<'_>, source: &DemandSource) {
    match source {
        DemandSource::File(path) => {
            judge.expect(!path.as_os_str().is_empty(), "plan.demand_model", "no path", "the path of a .demand.json file");
        }
        DemandSource::Shape(shape) => {
            judge.positive_rate("plan.demand_model.mean", shape.mean);
            judge.within("plan.demand_model.day_sigma", shape.day_sigma, 0.0, 3.0);
            judge.within("plan.demand_model.bursts", shape.bursts, 0.0, 5.0);
            judge.within("plan.demand_model.error", shape.error.0, 0.0, 1.0);
            judge.within("plan.demand_model.peak_to_mean", shape.peak_to_mean.unwrap_or(1.0), 1.0, 30.0);
        }
    }
}

fn retry(judge: &mut Judge<'_>, plan: &Plan) {
    let Some(retry) = &plan.retry else { return };
    judge.at_least("plan.retry.attempts", retry.attempts.into(), 1);
    judge.expect(retry.attempts <= 20, "plan.retry.attempts", format!("{} is too many", retry.attempts), "20 at most");
    judge.positive_span("plan.retry.backoff", retry.backoff);
    judge.within("plan.retry.factor", retry.factor, 1.0, 100.0);
    judge.expect(plan.unit.is_none(), "plan.retry", "units are judged without retries", "no `retry` beside `unit`");
}

fn unit(judge: &mut Judge<'_>, unit: &Unit) {
    judge.expect(unit.file.is_some() != unit.profile.is_some(), "plan.unit", "not one profile", "either `file` or `profile`");
    let Some(profile) = &unit.profile else { return };
    let mut above_zero = |key: &str, value: f64| {
        judge.expect(value > 0.0, &format!("plan.unit.profile.{key}"), format!("{value} carries nothing"), "more than zero");
    };
    match &profile.load {
        LoadRule::Tokens(rate) => above_zero("load.tokens", rate.0),
        LoadRule::Weighted(weights) => {
            above_zero("load.weighted.rate", weights.rate.0);
            above_zero("load.weighted.input", weights.input);
            above_zero("load.weighted.output", weights.output);
        }
        LoadRule::Pools { input, output } => {
            above_zero("load.pools.input", input.0);
            above_zero("load.pools.output", output.0);
        }
        LoadRule::Surface(points) => {
            above_zero("load.surface", points.iter().map(|p| p.rate.0).fold(f64::INFINITY, f64::min));
            judge.expect(!points.is_empty(), "plan.unit.profile.load.surface", "no point", "one point or more");
        }
    }
    judge.at_least("plan.unit.profile.minimum", profile.minimum.into(), 1);
    judge.at_least("plan.unit.profile.increment", profile.increment.into(), 1);
    if let Overflow::Throttle { window, .. } = &profile.overflow {
        judge.positive_span("plan.unit.profile.overflow.throttle.window", *window);
    }
}

fn price(judge: &mut Judge<'_>, price: &Price) {
    let own = [price.first.is_some(), price.next.is_some(), price.source.is_some()];
    if price.file.is_some() || price.sku.is_some() {
        judge.expect(
            price.file.is_some() && price.sku.is_some(),
            "plan.price",
            "a price file needs an entry, an entry needs its file",
            "`file` and `sku`",
        );
        let apart = own == [false; 3] && price.pay_per_token.is_none() && price.as_of.is_none() && price.region.is_none();
        judge.expect(apart, "plan.price", "a price of its own beside a price file", "either `file` and `sku`, or `first`, `next` and `source`");
        return;
    }
    let expected = "`first`, `next` and `source`, or `file` and `sku` of a price file";
    judge.expect(own == [true; 3], "plan.price", "not a whole price", expected);
    if let (Some(first), Some(next)) = (&price.first, &price.next) {
        let mut one_currency = |key: &str, other: &str| {
            let message = format!("{} and {other} cannot be added", first.currency);
            judge.expect_with(&["plan.price.first"], *other == first.currency, key, message, "one currency for all prices");
        };
        one_currency("plan.price.next", &next.currency);
        if let Some(tokens) = &price.pay_per_token {
            one_currency("plan.price.pay_per_token.input", &tokens.input.currency);
            one_currency("plan.price.pay_per_token.output", &tokens.output.currency);
        }
    }
    if let Some(as_of) = &price.as_of {
        judge.expect(day_number(as_of).is_some(), "plan.price.as_of", format!("{as_of:?} is not a day"), "year, month and day, e.g. \"2026-04-10\"");
    }
}

fn search(judge: &mut Judge<'_>, plan: &Plan) {
    for (key, periods) in [("periods", plan.search.periods), ("certify", plan.search.certify)] {
        let Some(periods) = periods else { continue };
        let key = format!("plan.search.{key}");
        judge.at_least(&key, periods.into(), 1);
        judge.expect(periods <= 20_000, &key, format!("{periods} simulated periods"), "20000 at most");
    }
    for target in &plan.search.targets {
        judge.expect(target.0 > 0.0, "plan.search.targets", "a target of nothing", "shares above 0%, e.g. [\"60%\", \"80%\"]");
    }
    let blocks = plan.search.blocks;
    judge.expect(blocks != 1 && blocks <= 48, "plan.search.blocks", format!("{blocks} blocks of the day"), "0, or 2 to 48");
}

fn promise(judge: &mut Judge<'_>, plan: &Plan) {
    let promise = &plan.promise;
    for (key, share) in [("requests", promise.requests), ("periods", promise.periods), ("confidence", promise.confidence)] {
        let key = format!("plan.promise.{key}");
        judge.expect(share.0 > 0.0, &key, "a promise of nothing", "a share above 0%");
    }
    // No sample proves that something never happens, and none is needed to say nothing.
    for (key, share) in [("periods", promise.periods), ("confidence", promise.confidence)] {
        let key = format!("plan.promise.{key}");
        judge.expect(share.0 < 1.0, &key, "certainty cannot be had from a sample", "a share below 100%, e.g. \"90%\"");
    }
}
