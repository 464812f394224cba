//! Rules of `[plan]` and `[slo]`.

use super::Judge;
use crate::base::diag::Fault;
use crate::scenario::load::Arrivals;
use crate::scenario::plan::{Plan, Price};
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
    if let Arrivals::Closed { .. } = plan.demand {
        let fault = Fault::new("", "a closed loop slows down with the endpoint: it is no demand").with_expected("an open arrival process or a trace");
        judge.refuse(
            "plan.demand.closed",
            fault.with_hint("demand = { poisson = { rate = { sine = { mean = \"2/s\", amplitude = \"60%\", period = \"1d\" } } } }"),
        );
    } else {
        super::load::arrivals(judge, "plan.demand", &plan.demand);
    }
    judge.positive_span("plan.period", plan.period);
    judge.positive_span("plan.timeout", plan.timeout);
    judge.within("plan.growth", plan.growth, 0.001, 1000.0);
    judge.within("plan.day_sigma", plan.day_sigma, 0.0, 3.0);
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

fn price(judge: &mut Judge<'_>, price: &Price) {
    let message = format!("{} and {} cannot be added", price.first.currency, price.next.currency);
    judge.expect_with(&["plan.price.first"], price.first.currency == price.next.currency, "plan.price.next", message, "one currency for both prices");
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
