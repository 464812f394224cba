//! What there is to say of a plan, as figures and tables of text: the same in every format.

use super::chart::Table;
use super::number::{count, money, plural, real, share, span};
use super::verdict::error_share;
use super::{Figure, FitRow, words};
use crate::measure::document::RunDocument;
use crate::planner::recommendation::{CandidateResult, Recommendation};

/// `2 to 5`, or `3 fixed` when the endpoint cannot scale.
#[must_use]
pub fn size(c: &CandidateResult) -> String {
    if c.min_chunks == c.max_chunks { format!("{} fixed", c.min_chunks) } else { format!("{} to {}", c.min_chunks, c.max_chunks) }
}

/// What to buy, in one line.
#[must_use]
pub fn buy(plan: &Recommendation) -> String {
    plan.chosen.as_ref().map_or_else(
        || "No size keeps the promise".to_owned(),
        |c| {
            if let Some(unit) = &plan.unit {
                return format!("Buy {} {}", count(u64::from(c.max_chunks)), unit.name);
            }
            format!(
                "Buy min {}, max {} chunks of {} tokens/s",
                count(u64::from(c.min_chunks)),
                count(u64::from(c.max_chunks)),
                real(plan.chunk_tok_s)
            )
        },
    )
}

/// Why, in a sentence that does not repeat what to buy.
#[must_use]
pub fn reason(plan: &Recommendation) -> String {
    let repeats = plan.chosen.is_some() && plan.sentence.to_lowercase().starts_with("buy ");
    match plan.sentence.split_once(", because ") {
        Some((_, why)) if repeats => format!("Because {why}"),
        _ => plan.sentence.clone(),
    }
}

/// The main figures.
#[must_use]
pub fn figures(plan: &Recommendation) -> Vec<Figure> {
    let d = &plan.demand;
    let mut all = Vec::new();
    if let (Some(c), Some(unit)) = (&plan.chosen, &plan.unit) {
        all.push(Figure::single(
            "Capacity",
            format!("{} {}", count(u64::from(c.max_chunks)), unit.name),
            format!("{}: {} at least, in steps of {}", unit.offer, count(u64::from(unit.minimum)), count(u64::from(unit.increment))),
        ));
    } else if let Some(c) = &plan.chosen {
        let throughput = |chunks: u32| format!("{} tok/s", real(f64::from(chunks) * plan.chunk_tok_s));
        all.push(Figure {
            name: "Provisioned throughput".to_owned(),
            values: vec![("min".to_owned(), throughput(c.min_chunks)), ("max".to_owned(), throughput(c.max_chunks))],
            note: format!("{} chunks; mean paid {}", size(c), real(c.mean_chunks)),
        });
    }
    if let Some(c) = &plan.chosen {
        all.push(Figure::single(
            "Cost",
            format!("{}/h", money(c.cost_per_hour, &plan.currency)),
            format!("{} in 30 days", money(c.cost_per_hour * 720.0, &plan.currency)),
        ));
        all.push(Figure::single(
            "Price of the delay",
            format!("+{}", ratio(plan.clairvoyant.price_of_delay.max(0.0), 1.0)),
            format!(
                "above {}/h, what capacity that follows demand at once would cost",
                money(plan.clairvoyant.fractional.cost_per_hour, &plan.currency)
            ),
        ));
        all.push(Figure::single(
            "Good requests",
            share(c.good_share),
            format!("worst period {}; promised {}", share(c.worst_period), share(plan.promise.requests)),
        ));
        all.push(Figure::single(
            "Periods kept",
            format!("{} of {}", count(u64::from(c.periods_kept)), count(u64::from(c.periods))),
            format!(
                "at least {} of periods ({} confidence); promised {}",
                share(c.kept_lower_bound),
                share(plan.promise.confidence),
                share(plan.promise.periods)
            ),
        ));
    }
    match &plan.unit {
        Some(unit) => all.push(Figure::single(
            &format!("One {} carries", unit.name),
            format!("{} tok/s", real(plan.effective_chunk_tok_s)),
            format!("of this mix of lengths; {}; {}", unit.load, unit.overflow),
        )),
        None => all.push(chunk(plan)),
    }
    all.push(Figure {
        name: "Demand".to_owned(),
        values: vec![
            ("mean".to_owned(), format!("{} tok/s", real(d.mean_tok_s))),
            ("peak minute".to_owned(), format!("{} tok/s", real(d.peak_minute_tok_s))),
        ],
        note: format!("{} requests/s, mean", real(d.mean_requests_s)),
    });
    if plan.unit.is_none() {
        all.push(Figure::single("Effective lag", span(d.effective_lag_s), format!("demand grows up to {}x in it (p99)", real(d.growth_in_lag_p99))));
    }
    all
}

/// What a chunk really serves.
fn chunk(plan: &Recommendation) -> Figure {
    Figure::single(
        "One chunk serves",
        format!("{} tok/s", real(plan.effective_chunk_tok_s)),
        format!(
            "within the objectives, for this mix of lengths: {} of the {} tok/s it is sold as",
            ratio(plan.effective_chunk_tok_s, plan.chunk_tok_s),
            real(plan.chunk_tok_s)
        ),
    )
}

/// A part of a whole in per cent; may be more than all of it.
fn ratio(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{}%", real(part / whole * 100.0)) } else { "n/a".to_owned() }
}

/// The capacity paid for, by cause, with its sum.
#[must_use]
pub fn headroom(plan: &Recommendation) -> Table {
    let mut table = Table::new(&["Paid for", "Mean chunks", "Cost per hour", "Share of cost", "How it was found"]);
    let total: f64 = plan.headroom.iter().map(|h| h.cost_per_hour).sum();
    let part = |cost: f64| if total > 0.0 { share((cost / total).clamp(0.0, 1.0)) } else { "n/a".to_owned() };
    for h in &plan.headroom {
        table.rows.push(vec![
            words::cause(&h.cause).to_owned(),
            real(h.chunks),
            money(h.cost_per_hour, &plan.currency),
            part(h.cost_per_hour),
            h.reason.clone(),
        ]);
    }
    if plan.headroom.len() > 1 {
        let chunks = plan.headroom.iter().map(|h| h.chunks).sum();
        table.rows.push(vec!["Together".to_owned(), real(chunks), money(total, &plan.currency), part(total), String::new()]);
    }
    let c = &plan.clairvoyant;
    for (name, least, reason) in [
        ("For comparison: no delay at all", &c.fractional, "If capacity followed demand at once, in any fraction of a chunk: no plan can cost less."),
        ("The same in whole chunks", &c.whole, "Rounded up minute by minute, at the demand of the survey."),
    ] {
        table.rows.push(vec![
            name.to_owned(),
            real(least.mean_chunks),
            money(least.cost_per_hour, &plan.currency),
            part(least.cost_per_hour),
            reason.to_owned(),
        ]);
    }
    table
}

/// The chosen size, the next cheaper one, and rules of thumb: what each does and why it was not taken.
#[must_use]
pub fn alternatives(plan: &Recommendation) -> Table {
    let mut table = Table::new(&["Option", "Chunks", "Cost per hour", "Good requests", "Periods kept", "Promise", "Why"]);
    let row = |name: &str, c: &CandidateResult, why: &str| {
        vec![
            name.to_owned(),
            size(c),
            money(c.cost_per_hour, &plan.currency),
            share(c.good_share),
            format!("{} of {}", count(u64::from(c.periods_kept)), count(u64::from(c.periods))),
            if c.keeps_promise { "\u{2713}\u{a0}kept".to_owned() } else { "\u{2717}\u{a0}BROKEN".to_owned() },
            why.to_owned(),
        ]
    };
    if let Some(c) = &plan.chosen {
        table.rows.push(row("recommended", c, "The cheapest size found that keeps the promise."));
    }
    for r in plan.next_cheaper.iter().chain(&plan.naive) {
        table.rows.push(row(&r.rule, &r.result, &r.reason));
    }
    table
}

/// How the promise was shown: outer draws, periods of each, and the risk that it is wrong. Empty without a certificate.
#[must_use]
pub fn certificate(plan: &Recommendation) -> String {
    let Some(c) = &plan.certificate else { return String::new() };
    let draws = if c.bar.draws > 1 {
        format!(
            "{} of what endpoint and demand may be, {} each; in {} of them more periods failed than the promise allows",
            plural(u64::from(c.bar.draws), "draw", "draws"),
            plural(u64::from(c.bar.depth), "period", "periods"),
            count(u64::from(c.bad_draws)),
        )
    } else {
        format!("{}, {} may fail", plural(u64::from(c.bar.depth), "fresh period", "fresh periods"), count(u64::from(c.bar.bad_periods)))
    };
    let how = if c.bar.draws > 1 { "is estimated at" } else { "is at most" };
    format!("Shown on {draws}; the risk that the promise is wrong {how} {} ({} is what it may be).", share(c.risk), share(c.bar.risk))
}

/// Which uncertainty decides the size, as a sentence; empty when that was not looked at.
#[must_use]
pub fn limits(plan: &Recommendation) -> String {
    words::sentence(&plan.limits.sentence)
}

/// What less uncertainty would save; empty rows when there is none.
#[must_use]
pub fn without(plan: &Recommendation) -> Table {
    let mut table = Table::new(&["If it were away", "Chunks", "Saved per hour"]);
    for w in &plan.limits.without {
        let size = if w.min_chunks == w.max_chunks { format!("{} fixed", w.min_chunks) } else { format!("{} to {}", w.min_chunks, w.max_chunks) };
        table.rows.push(vec![words::binds(w.what).to_owned(), size, money(w.saved_per_hour, &plan.currency)]);
    }
    table
}

/// Every input and where it comes from.
#[must_use]
pub fn assumptions(plan: &Recommendation) -> Table {
    let mut table = Table::new(&["Input", "Value", "Where it comes from"]);
    table.rows.extend(plan.assumptions.iter().map(|a| vec![a.what.clone(), a.value.clone(), words::provenance(a.source).to_owned()]));
    table
}

/// Why requests of the recommended size were not good.
#[must_use]
pub fn misses(plan: &Recommendation) -> Table {
    let mut table = Table::new(&["Why requests were not good", "Share of all requests"]);
    if let Some(c) = &plan.chosen {
        let m = &c.misses;
        for (name, x) in [
            ("TTFT above its bound", m.ttft),
            ("TPOT above its bound", m.tpot),
            ("E2E above its bound", m.e2e),
            ("429", m.throttled),
            ("client gave up", m.timed_out),
            ("answered with an error", m.failed),
        ] {
            table.rows.push(vec![name.to_owned(), share(x)]);
        }
    }
    table
}

/// Measured against predicted, with the relative difference.
#[must_use]
pub fn fit(rows: &[FitRow]) -> Table {
    let mut table = Table::new(&["Load step", "Latency", "Measured", "Predicted", "Predicted - measured"]);
    for r in rows {
        let difference = if r.measured_ms > 0.0 { format!("{:+.1}%", (r.predicted_ms / r.measured_ms - 1.0) * 100.0) } else { "n/a".to_owned() };
        table.rows.push(vec![
            r.step.clone(),
            format!("{} {}", r.metric, r.percentile),
            super::number::millis(r.measured_ms),
            super::number::millis(r.predicted_ms),
            difference,
        ]);
    }
    table
}

/// Largest absolute relative difference of a fit, as a sentence; empty without rows.
#[must_use]
pub fn fit_note(rows: &[FitRow]) -> String {
    let mut errors: Vec<f64> = rows.iter().filter(|r| r.measured_ms > 0.0).map(|r| (r.predicted_ms / r.measured_ms - 1.0).abs()).collect();
    errors.sort_by(f64::total_cmp);
    let Some(worst) = errors.last() else { return String::new() };
    format!(
        "{}: half of them within {}, the worst {} off.",
        plural(errors.len() as u64, "figure", "figures"),
        share(errors[errors.len() / 2]),
        share(*worst)
    )
}

/// What the verification run found beside what was promised.
#[must_use]
pub fn verification(plan: &Recommendation, run: &RunDocument) -> Table {
    let s = &run.summary;
    let mut table = Table::new(&["Figure", "Measured in the verification run", "Predicted or promised"]);
    let chosen = plan.chosen.as_ref();
    let predicted = chosen.map_or_else(
        || "n/a".to_owned(),
        |c| format!("{} predicted over all periods, {} promised", share(c.good_share), share(plan.promise.requests)),
    );
    table.rows.push(vec![
        "Good requests".to_owned(),
        format!("{} ({} of {})", share(s.goodput.share), count(s.goodput.good), count(s.accounting.due)),
        predicted,
    ]);
    let errors = chosen.map_or_else(
        || "n/a".to_owned(),
        |c| format!("{} predicted", share((c.misses.throttled + c.misses.timed_out + c.misses.failed).clamp(0.0, 1.0))),
    );
    table.rows.push(vec!["Errors, throttled, timed out, not sent".to_owned(), error_share(s).map_or_else(|| "n/a".to_owned(), share), errors]);
    let demand = format!("{} mean, {} in the peak minute of the demand", real(plan.demand.mean_tok_s), real(plan.demand.peak_minute_tok_s));
    table.rows.push(vec!["Total tok/s".to_owned(), real(s.throughput.total_tok_s), demand]);
    for o in &s.objectives {
        table.rows.push(vec![o.text.clone(), o.measured.clone(), super::run_content::objective_verdict(o.verdict).to_owned()]);
    }
    table
}

/// What the answer cost to find.
#[must_use]
pub fn effort(plan: &Recommendation) -> String {
    let e = &plan.effort;
    let how = if e.simulated < e.requests {
        format!("{} of them one by one where misses could come from, the others by a chart of steady load, ", super::number::count(e.simulated))
    } else {
        String::new()
    };
    format!(
        "{}, {} and {} were simulated, {how}seed {}.",
        plural(u64::from(e.candidates), "candidate", "candidates"),
        plural(e.periods, "period", "periods"),
        plural(e.requests, "request", "requests"),
        plan.seed
    )
}
