//! Rules of `[plan]` and `[slo]`.

use super::Judge;
use crate::base::diag::Fault;
use crate::scenario::load::Arrivals;
use crate::scenario::plan::{DemandSource, Plan, Price};
use crate::scenario::slo::Slo;

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
    judge.within("plan.growth", plan.growth, 0.001, 1000.0);
    judge.within("plan.day_sigma", plan.day_sigma, 0.0, 3.0);
    judge.expect(plan.demand_error.0 < 1.0, "plan.demand_error", "a demand of which nothing is known", "a share below 100%, e.g. \"5%\"");
    search(judge, plan);
    judge.expect(plan.chunk.size.0 > 0.0, "plan.chunk.size", "a chunk that serves nothing", "a rate above zero, e.g. \"1580 tok/s\"");
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

fn price(judge: &mut Judge<'_>, price: &Price) {
    let message = format!("{} and {} cannot be added", price.first.currency, price.next.currency);
    judge.expect_with(&["plan.price.first"], price.first.currency == price.next.currency, "plan.price.next", message, "one currency for both prices");
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
