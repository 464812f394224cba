//! `summary.md`: for a comment in a code review. Verdict in the first line, then the same figures as the page.

mod gate;

use super::chart::Table;
use super::verdict::{self, Standing};
use super::{
    Figure, capacity_content, fit_content, money_content, plan_content, probe_content, run_content, sensitivity_content, verify_content, words,
};
use crate::base::diag::Warning;
use crate::measure::document::RunDocument;
use crate::measure::knee::document::SweepDocument;
use crate::measure::probe::document::ProbeDocument;
use crate::measure::summary::Summary;
use crate::planner::recommendation::Recommendation;
use crate::planner::verification::Verification;
use crate::sim::fit::Fitted;
use std::fmt::Write as _;

pub use gate::{GATE_BUDGET, gate, gate_marker, titled};

/// The summary of a run.
#[must_use]
pub fn run(doc: &RunDocument) -> String {
    let s = &doc.summary;
    let verdict = verdict::of_run(s);
    let mut out =
        format!("**{} {}** `{}`: {}\n", verdict.standing.sign(), verdict.standing.word(), code(&doc.manifest.scenario_name), text(&verdict.sentence));
    let interruption = run_content::interruption(doc);
    if !interruption.is_empty() {
        let _ = write!(out, "\n**{interruption}**\n");
    }
    figures(&mut out, &run_content::figures(s));
    if !s.objectives.is_empty() {
        table(&mut out, &run_content::objectives(s));
    }
    let errors = run_content::errors(doc);
    if !errors.rows.is_empty() {
        table(&mut out, &errors);
    }
    let _ = write!(out, "\nIs it the client? {}\n", text(&run_content::client(s)));
    warnings(&mut out, &s.validity.warnings);
    let m = &doc.manifest;
    let _ =
        write!(out, "\n{} Seed {}, started {}, plimsoll {}.\n", run_content::accounting(s), m.seed.0, text(&m.started_utc), text(&m.tool_version));
    out
}

/// The summary of a sweep.
#[must_use]
pub fn sweep(steps: &[RunDocument]) -> String {
    let summaries: Vec<&Summary> = steps.iter().map(|d| &d.summary).collect();
    let Some(first) = steps.first() else { return String::new() };
    let mut out = format!("**{}**\n\n`{}`\n", text(&verdict::of_sweep(&summaries)), code(&first.manifest.scenario_name));
    table(&mut out, &super::chart::knee(&summaries, &first.experiment.slo).table);
    out
}

/// The summary of a fit; `labels` name its steps.
#[must_use]
pub fn fit(fitted: &Fitted, labels: &[String]) -> String {
    let mut out = format!("**{}**\n", text(&fit_content::sentence(fitted)));
    table(&mut out, &fit_content::parameters(fitted));
    for line in fit_content::uncertainty(fitted) {
        let _ = write!(out, "\n{}\n", text(&line));
    }
    let assumed = fit_content::assumed(fitted);
    if !assumed.rows.is_empty() {
        table(&mut out, &assumed);
    }
    let figures = if fitted.quality.held_out.is_empty() { &fitted.quality.rows } else { &fitted.quality.held_out };
    table(&mut out, &plan_content::fit(&fit_content::rows(figures, labels)));
    for warning in &fitted.quality.warnings {
        let _ = write!(out, "\n- {}\n", text(warning));
    }
    out
}

/// What a sweep found: the SLO capacity, and one row a window.
#[must_use]
pub fn capacity(found: &SweepDocument) -> String {
    let mut out = format!("\n**{}**\n", text(&capacity_content::sentence(found)));
    table(&mut out, &capacity_content::windows(found));
    out
}

/// The summary of a probe, with the lines for the scenario.
#[must_use]
pub fn probe(found: &ProbeDocument) -> String {
    let standing = probe_content::standing(found);
    let mut out =
        format!("**{} {}** `{}`: {}\n", standing.sign(), probe_content::word(found), code(&found.scenario), text(&probe_content::sentence(found)));
    table(&mut out, &probe_content::repeats(found));
    table(&mut out, &probe_content::levels(found));
    let _ = write!(out, "\n{}\n", text(probe_content::NOTE));
    if !found.toml.is_empty() {
        let _ = write!(out, "\n```toml\n{}```\n", found.toml);
    }
    out
}

/// The summary of a plan.
#[must_use]
pub fn plan(plan: &Recommendation) -> String {
    let verdict = verdict::of_plan(plan);
    let standing = if plan.chosen.is_some() { verdict.standing } else { Standing::Missed };
    let mut out =
        format!("**{} {}** `{}`\n\n{}\n", standing.sign(), text(&plan_content::buy(plan)), code(&plan.scenario), text(&plan_content::reason(plan)));
    if verdict.sentence != plan.sentence {
        let _ = write!(out, "\n{}\n", text(&verdict.sentence));
    }
    let _ = write!(out, "\n{}\n", text(&verdict::promise(plan)));
    for line in [plan_content::certificate(plan), plan_content::limits(plan)].iter().filter(|l| !l.is_empty()) {
        let _ = write!(out, "\n{}\n", text(line));
    }
    figures(&mut out, &plan_content::figures(plan));
    table(&mut out, &plan_content::headroom(plan));
    let _ = write!(out, "\n{}\n", text(&money_content::prices(plan)));
    if let Some(found) = &plan.break_even {
        let _ = write!(out, "\n{} {}\n", text(&money_content::verdict(found)), text(&money_content::break_even_note(found)));
        table(&mut out, &money_content::break_even(found, &plan.currency));
    }
    table(&mut out, &plan_content::alternatives(plan));
    if let Some(found) = &plan.sensitivity {
        let _ = write!(out, "\n{}\n", text(&sensitivity_content::note(found)));
        table(&mut out, &sensitivity_content::inputs(found, &plan.currency));
        table(&mut out, &sensitivity_content::lags(found, &plan.currency));
        table(&mut out, &sensitivity_content::chunk_more(found, &plan.currency));
    }
    let _ = write!(out, "\n<details><summary>What it rests on</summary>\n");
    table(&mut out, &plan_content::assumptions(plan));
    out.push_str("\n</details>\n");
    warnings(&mut out, &plan.warnings);
    let _ = write!(out, "\n{}\n", text(&plan_content::effort(plan)));
    out
}

/// The summary of a verification.
#[must_use]
pub fn verification(plan: &Recommendation, run: &RunDocument, found: &Verification) -> String {
    let standing = verify_content::standing(run, found);
    let sentence = verify_content::sentence(run, found);
    let mut out = format!("**{} {}** `{}`: {}\n", standing.sign(), verify_content::word(run, found), code(&plan.scenario), text(&sentence));
    let advice = verify_content::advice(run, found);
    if !advice.is_empty() {
        let _ = write!(out, "\n{}\n", text(&advice));
    }
    table(&mut out, &verify_content::rows(found));
    let _ = write!(out, "\n{}\n", text(&verify_content::note(found)));
    table(&mut out, &verify_content::checks(found));
    warnings(&mut out, &run.summary.validity.warnings);
    out
}

fn figures(out: &mut String, figures: &[Figure]) {
    let mut rows = Table::new(&["Figure", "Value", "Over"]);
    for f in figures {
        let said = |(label, value): &(String, String)| if label.is_empty() { value.clone() } else { format!("{label} {value}") };
        rows.rows.push(vec![f.name.clone(), f.values.iter().map(said).collect::<Vec<_>>().join(", "), f.note.clone()]);
    }
    table(out, &rows);
}

fn table(out: &mut String, table: &Table) {
    let line = |cells: &[String]| format!("| {} |\n", cells.iter().map(|c| text(c)).collect::<Vec<_>>().join(" | "));
    out.push('\n');
    out.push_str(&line(&table.head));
    let _ = writeln!(out, "|{}", " --- |".repeat(table.head.len()));
    for row in &table.rows {
        out.push_str(&line(row));
    }
}

fn warnings(out: &mut String, warnings: &[Warning]) {
    if !warnings.is_empty() {
        out.push('\n');
    }
    for w in warnings {
        let _ = writeln!(out, "- **{}** {} ({}) `{}`", words::severity(w.severity), text(&w.message), text(&w.hint), code(&w.code));
    }
}

/// Text that cannot open markup, end a table cell or a line, or mention anybody.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '!' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Text inside a code span, for names and codes: what would end it, open markup or mention anybody is replaced.
fn code(raw: &str) -> String {
    raw.chars()
        .map(
            |c| {
                if "`|<>@\\".contains(c) || c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') { '\u{fffd}' } else { c }
            },
        )
        .collect()
}
