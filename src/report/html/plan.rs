//! The page of a plan: what to buy, why, and what it rests on.

use super::part::{self, Head};
use super::{run, sweep, verify};
use crate::measure::document::RunDocument;
use crate::planner::recommendation::{Recommendation, Sensitivity};
use crate::planner::verification::Verification;
use crate::report::number::{plural, real, span};
use crate::report::verdict::{self, Standing, Verdict};
use crate::report::{FitRow, chart, money_content, plan_content as content, sensitivity_content};
use askama::Template;

/// What was measured around the plan.
#[derive(Clone, Debug, Default)]
pub struct PlanExtras<'a> {
    /// The load steps that the model was fitted to.
    pub sweep: &'a [RunDocument],
    /// Measured against predicted.
    pub fit: &'a [FitRow],
    /// The run against the recommended size.
    pub verify: Option<&'a RunDocument>,
    /// What that run says of the model.
    pub verification: Option<&'a Verification>,
    /// When the plan was made, ISO 8601 in UTC; empty: not shown.
    pub made_utc: &'a str,
}

#[derive(Template)]
#[template(path = "plan.html", config = "src/report/html/askama.toml")]
struct PlanPage<'a> {
    head: Head,
    verdict: Verdict,
    word: &'static str,
    buy: String,
    sentence: String,
    promise: String,
    certificate: String,
    limits: String,
    kpis: String,
    warnings: String,
    timeline: String,
    headroom: String,
    money_verdict: String,
    money: String,
    sensitivity: String,
    binding: &'a str,
    alternatives: String,
    frontier: String,
    verify: String,
    verified: &'static str,
    sweep: String,
    fit: String,
    assumptions: String,
    demand: String,
    has_bodies: bool,
    create_body: String,
    resize_body: String,
    effort: String,
    glossary: String,
}

/// The report of a plan as one HTML file.
#[must_use]
pub fn plan_page(plan: &Recommendation, extras: &PlanExtras) -> String {
    let mut stamp = format!("Seed {}", plan.seed);
    if !extras.made_utc.is_empty() {
        stamp = format!("Made {} · seed {}", extras.made_utc, plan.seed);
    }
    let verdict = verdict::of_plan(plan);
    let misses = content::misses(plan);
    let page = PlanPage {
        head: Head::new("capacity plan", &plan.scenario, &plan.question, &plan.tool_version, stamp),
        word: if plan.chosen.is_some() { "RECOMMENDATION" } else { "NO SIZE FOUND" },
        buy: content::buy(plan),
        sentence: content::reason(plan),
        promise: match extras.verify {
            Some(doc) => format!("{} Verification: {}.", verdict::promise(plan), verified(doc)),
            None => verdict::promise(plan),
        },
        certificate: content::certificate(plan),
        limits: content::limits(plan),
        kpis: part::figures(&content::figures(plan)),
        warnings: part::warnings(plan.warnings.iter()),
        timeline: timelines(plan),
        money_verdict: plan.break_even.as_ref().map(money_content::verdict).unwrap_or_default(),
        money: money(plan),
        sensitivity: plan.sensitivity.as_ref().map(|found| sensitivity(plan, found)).unwrap_or_default(),
        headroom: bar(plan)
            + &part::sentences(&content::headroom(plan), "Cost by cause")
            + &if misses.rows.is_empty() { String::new() } else { part::numbers(&misses, "Misses of the recommended size") },
        binding: &plan.binding,
        alternatives: part::sentences(&content::alternatives(plan), "Options"),
        frontier: part::chart(&chart::frontier(plan)),
        verify: extras
            .verify
            .map(|doc| verification(plan, doc) + &extras.verification.map(|v| verify::section(doc, v)).unwrap_or_default())
            .unwrap_or_default(),
        verified: extras.verify.map_or("the recommended size under load", |doc| verified(doc)),
        sweep: sweep::section(extras.sweep),
        fit: sweep::fit_section(extras.fit),
        assumptions: part::sentences(&content::assumptions(plan), "Inputs and their source"),
        demand: run::paragraph(&demand(plan)),
        has_bodies: !plan.create_body.is_null(),
        create_body: part::json(&plan.create_body),
        resize_body: part::json(&plan.resize_body),
        effort: content::effort(plan),
        glossary: part::glossary(),
        verdict,
    };
    super::inert(&part::rendered(&page))
}

/// The worst period at full width, the next ones side by side.
fn timelines(plan: &Recommendation) -> String {
    let charts = chart::timelines(plan);
    let Some((worst, others)) = charts.split_first() else { return "<p>No period was replayed.</p>".to_owned() };
    let small: String = others.iter().map(part::chart).collect();
    let grid = if small.is_empty() {
        String::new()
    } else {
        format!("<h3>{}</h3>\n<div class=\"grid\">{small}</div>", "The next worst periods, on the same scales")
    };
    part::chart(worst) + &grid
}

/// The bar of the head-room; empty without a size to cut up.
fn bar(plan: &Recommendation) -> String {
    if plan.headroom.is_empty() { String::new() } else { part::chart(&chart::headroom(plan)) }
}

fn money(plan: &Recommendation) -> String {
    let mut out = run::paragraph(&money_content::prices(plan));
    if let Some(found) = &plan.break_even {
        out += &part::numbers(&money_content::break_even(found, &plan.currency), "Ways to pay");
        out += &part::chart(&chart::break_even(plan, found));
    }
    out
}

fn sensitivity(plan: &Recommendation, found: &Sensitivity) -> String {
    run::paragraph(&sensitivity_content::note(found))
        + &part::chart(&chart::tornado(found, &plan.currency))
        + &doubts(plan)
        + &part::numbers(&sensitivity_content::lags(found, &plan.currency), "Other scale-up delays")
        + &part::sentences(&sensitivity_content::chunk_more(found, &plan.currency), "One chunk more")
}

/// What less uncertainty would save; empty when there is none.
fn doubts(plan: &Recommendation) -> String {
    let table = content::without(plan);
    if table.rows.is_empty() { String::new() } else { part::numbers(&table, "What less uncertainty would save") }
}

/// What the verification came to, for a heading and beside the recommendation.
fn verified(doc: &RunDocument) -> &'static str {
    match verdict::of_run(&doc.summary).standing {
        Standing::Good => "the recommended size met every objective under load",
        Standing::Missed => "FAILED, the recommended size missed an objective under load",
        Standing::Invalid => "NOT VERIFIED, the run at the recommended size is invalid",
        Standing::Undecided => "UNDECIDED, too few requests to judge every objective",
        Standing::NoObjectives => "measured; the scenario sets no objectives",
    }
}

fn verification(plan: &Recommendation, doc: &RunDocument) -> String {
    let s = &doc.summary;
    let verdict = verdict::of_run(s);
    let sentence = format!(
        "{} {}: {} of load at {}/s offered. {}",
        verdict.standing.sign(),
        verdict.standing.word(),
        span(s.window.end_s - s.window.start_s),
        real(s.offered_rate),
        verdict.sentence
    );
    run::paragraph(&sentence) + &part::sentences(&content::verification(plan, doc), "Verification") + &part::warnings(s.validity.warnings.iter())
}

fn demand(plan: &Recommendation) -> String {
    let d = &plan.demand;
    let t = &plan.timeline;
    format!(
        "Demand over the simulated periods: {} requests/s and {} tok/s in the mean, {} tok/s in the largest minute. Within one effective lag of {} (half the averaging window, the poll, and the mean scale-up delay) demand grows by up to {}x (p99). The replayed period is number {} and has {}.",
        real(d.mean_requests_s),
        real(d.mean_tok_s),
        real(d.peak_minute_tok_s),
        span(d.effective_lag_s),
        real(d.growth_in_lag_p99),
        t.period,
        plural(t.points.len() as u64, "interval", "intervals")
    )
}
