//! Every input of the plan with its provenance, and the reasons to doubt the answer.

use super::capacity::Capacity;
use super::demand::Demand;
use super::explain::{grouped, percent};
use super::recommendation::Assumption;
use super::units;
use super::world::World;
use crate::base::diag::{Severity, Warning};
use crate::base::time::Nanos;
use crate::base::units::HourlyPrice;
use crate::scenario::endpoint::{Lag, ScaleMetric};
use crate::scenario::load::Arrivals;
use crate::scenario::plan::{DemandSource, Provenance};
use crate::scenario::price::Price;
use crate::scenario::slo::Slo;
use crate::scenario::unit::UnitProfile;
use crate::scenario::workload::Lengths;

/// What the scale-up lag is called among the assumptions.
pub const LAG: &str = "scale-up delay";

/// Every input, in the order in which a reader doubts them.
#[must_use]
pub fn list(world: &World<'_>, slo: &Slo, demand: &Demand, model: Provenance) -> Vec<Assumption> {
    let plan = world.plan;
    let mut list = Vec::new();
    let mut add = |what: &str, value: String, source| list.push(Assumption { what: what.to_owned(), value, source });
    add("size of a chunk", format!("{} tokens/s", grouped(plan.chunk.size.0)), plan.chunk.source);
    add("price", price(&plan.price), plan.price.source.unwrap_or(Provenance::Assumed));
    add(LAG, lag(&plan.autoscaler.lag), plan.autoscaler_source);
    add("autoscaler", autoscaler(world), plan.autoscaler_source);
    add("scale-ups that fail", percent(plan.autoscaler.failure.0), plan.autoscaler_source);
    let is_recorded = matches!(plan.demand, Some(Arrivals::Trace { .. })) || matches!(plan.demand_model, Some(DemandSource::File(_)));
    let recorded = if is_recorded { Provenance::Measured } else { Provenance::Assumed };
    let facts = &demand.facts;
    let rate = format!("{:.3} requests/s and {} tokens/s on average over {}", facts.mean_requests_s, grouped(facts.mean_tok_s), plan.period);
    add("demand", rate, recorded);
    add("growth of demand", format!("x {}", plan.growth), Provenance::Assumed);
    // A learnt demand brings the spread of its own days.
    let learnt = world.material.demand.as_ref().filter(|_| plan.demand.is_none());
    let (sigma, from) = learnt.map_or((plan.day_sigma, Provenance::Assumed), |model| (model.law.day_sigma, Provenance::Measured));
    add("day-to-day spread", format!("sigma {sigma} of the logarithm"), from);
    let lengths = if matches!(world.workload.lengths, Lengths::Empirical { .. }) { Provenance::Measured } else { Provenance::Assumed };
    let (input, output) = mean_lengths(demand);
    add("token lengths", format!("{input:.0} in and {output:.0} out on average"), lengths);
    let law = &world.endpoint.step;
    let law = format!(
        "{} + {} a sequence + {} a prompt token + {} a token of context",
        law.base.nanos(),
        law.per_sequence.nanos(),
        law.per_prefill_token.nanos(),
        law.per_context_token.nanos()
    );
    add("duration of an iteration", law, model);
    add("network", world.endpoint.network.nanos().to_string(), model);
    let limits = &world.endpoint;
    let limits = format!(
        "batch {}, prefill budget {} tokens, key-value cache {} tokens, queue {}",
        limits.max_batch,
        limits.prefill_budget,
        grouped(limits.kv_tokens as f64),
        limits.queue
    );
    add("limits of a chunk", limits, Provenance::Assumed);
    add("a good request", good_request(slo, world), Provenance::Assumed);
    if let Some(retry) = &plan.retry {
        let value = format!("{} further tries, the first after {}, each wait x {}", retry.attempts, retry.backoff, retry.factor);
        add("clients that come back", value, Provenance::Assumed);
    }
    list
}

/// Every input of a plan in metered units.
#[must_use]
pub fn of_units(world: &World<'_>, slo: &Slo, demand: &Demand, profile: &UnitProfile, model: Provenance) -> Vec<Assumption> {
    let mut list = vec![
        Assumption { what: format!("what a {} carries", profile.name), value: units::load_words(&profile.load), source: profile.source },
        Assumption { what: "above it".to_owned(), value: units::overflow_words(&profile.overflow), source: profile.source },
        Assumption {
            what: "how it is sold".to_owned(),
            value: format!("{} at least, in steps of {}; {}, as of {}", profile.minimum, profile.increment, profile.reference, profile.as_of),
            source: profile.source,
        },
    ];
    let scaling = ["size of a chunk", "scale-up delay", "autoscaler", "scale-ups that fail", "limits of a chunk"];
    list.extend(self::list(world, slo, demand, model).into_iter().filter(|a| !scaling.contains(&a.what.as_str())));
    let alone = "as if alone on the endpoint, whatever the use of the units".to_owned();
    list.push(Assumption { what: "latency of a request that is let in".to_owned(), value: alone, source: Provenance::Assumed });
    list
}

fn price(price: &Price) -> String {
    let of = |p: &Option<HourlyPrice>| p.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let mut text = format!("first chunk {}, every further one {}", of(&price.first), of(&price.next));
    if let Some(tokens) = &price.pay_per_token {
        text = format!("{text}; by the token {} in and {} out", tokens.input, tokens.output);
    }
    let place = [&price.sku, &price.region, &price.as_of].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ");
    if place.is_empty() { text } else { format!("{text} ({place})") }
}

fn good_request(slo: &Slo, world: &World<'_>) -> String {
    let mut parts = vec!["ends well".to_owned()];
    for metric in [crate::scenario::slo::Metric::Ttft, crate::scenario::slo::Metric::Tpot, crate::scenario::slo::Metric::E2e] {
        if let Some(bound) = slo.request_bound(metric) {
            parts.push(format!("{} at most {bound}", metric.label()));
        }
    }
    parts.push(format!("within the client's patience of {}", world.plan.timeout));
    parts.join(", ")
}

fn lag(lag: &Lag) -> String {
    match lag {
        Lag::Fixed(span) => format!("always {}", span.nanos()),
        Lag::Lognormal { median, p95 } => format!("median {}, p95 {}", median.nanos(), p95.nanos()),
        Lag::Empirical(spans) => {
            let longest = spans.iter().map(|s| s.nanos()).max().unwrap_or(Nanos::ZERO);
            format!("{} recorded delays, the longest {longest}", spans.len())
        }
    }
}

fn autoscaler(world: &World<'_>) -> String {
    let policy = &world.plan.autoscaler;
    let metric = match policy.metric {
        ScaleMetric::Tokens => "tokens/s",
        ScaleMetric::Concurrency => "requests in flight",
    };
    format!(
        "{}, {} of {metric} over {}, decided every {}, down after {}",
        policy.policy.label(),
        percent(policy.target.0),
        policy.window,
        policy.poll,
        policy.scale_down_delay
    )
}

fn mean_lengths(demand: &Demand) -> (f64, f64) {
    let count = demand.sample.len().max(1) as f64;
    let sum = |of: fn(&super::demand::Lengths) -> u32| demand.sample.iter().map(|l| f64::from(of(l))).sum::<f64>();
    (sum(|l| l.input) / count, sum(|l| l.output) / count)
}

fn warning(severity: Severity, code: &str, message: String, hint: &str) -> Warning {
    Warning { severity, code: code.to_owned(), message, limit: String::new(), hint: hint.to_owned() }
}

/// Reasons to doubt, before the answer is known.
#[must_use]
pub fn doubts(world: &World<'_>, slo: &Slo, demand: &Demand, capacity: &Capacity) -> Vec<Warning> {
    let plan = world.plan;
    let mut warnings = Vec::new();
    let mut warn = |severity, code: &str, message: String, hint: &str| warnings.push(warning(severity, code, message, hint));
    let promised = plan.promise.requests.0;
    if capacity.tok_s <= 0.0 {
        let message =
            format!("even an idle chunk has only {} of its requests good, {} are promised", percent(capacity.idle_good_share), percent(promised));
        warn(
            Severity::Doubt,
            "objective-out-of-reach",
            message,
            "loosen the objective, shorten the prompts (workload.max_input), or use a faster model",
        );
    } else if (capacity.tok_s / plan.chunk.size.0 - 1.0).abs() > 0.2 {
        let message = format!(
            "a chunk serves {} tokens/s within the objectives for these lengths, not the {} it is sold as",
            grouped(capacity.tok_s),
            grouped(plan.chunk.size.0)
        );
        warn(
            Severity::Doubt,
            "effective-chunk",
            message,
            "the autoscaler tracks the advertised size: check the chunk size, the step law and the lengths",
        );
    }
    warnings.extend(doubts_of_demand(world, slo, demand));
    warnings
}

/// Those about the demand and the objectives alone.
#[must_use]
pub fn doubts_of_demand(world: &World<'_>, slo: &Slo, demand: &Demand) -> Vec<Warning> {
    let plan = world.plan;
    let promised = plan.promise.requests.0;
    let mut warnings = Vec::new();
    let mut warn = |severity, code: &str, message: String, hint: &str| warnings.push(warning(severity, code, message, hint));
    // A learnt demand has its weekdays, whatever the length of a period.
    if plan.demand.is_some() && plan.period.as_secs_f64() < 7.0 * 86_400.0 {
        let message = format!("the demand describes {}, less than 7 days", plan.period.nanos());
        warn(Severity::Note, "demand-short", message, "weekdays and weekends differ: set plan.day_sigma, or plan over a week");
    }
    if matches!(plan.demand, Some(Arrivals::Trace { .. })) && plan.day_sigma == 0.0 {
        let message = "every simulated period replays the same arrivals; confidence covers the scale-up delays alone".to_owned();
        warn(Severity::Doubt, "periods-alike", message, "set plan.day_sigma to how much your days differ");
    }
    if !slo.itl.is_empty() {
        let message = "gaps between single tokens (ITL) are not simulated in bulk; the plan leaves this objective out".to_owned();
        warn(Severity::Note, "itl-not-planned", message, "set slo.tpot; `plimsoll verify` measures ITL");
    }
    if demand.requests_per_period * (1.0 - promised) < 1.0 && promised < 1.0 {
        let message = format!("a period has {:.0} requests: {} of them good means all of them", demand.requests_per_period, percent(promised));
        warn(Severity::Note, "few-requests", message, "plan over a longer period or lower plan.promise.requests");
    }
    warnings
}
