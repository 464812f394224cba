//! `provision.md`: the way in one page: what was done, what came out, and what it rests on.

use super::state::{State, Verdict};
use crate::planner::recommendation::Recommendation;
use crate::scenario::plan::Provenance;
use std::fmt::Write;

/// The page.
pub(super) fn markdown(state: &State, plan: &Recommendation) -> String {
    let mut text = format!("# {} on {}\n\n{}\n\n", state.endpoint, state.host, plan.sentence);
    // Writing into a String cannot fail.
    let _ = writeln!(text, "| step | when | what came of it |\n| --- | --- | --- |");
    for done in &state.done {
        let _ = writeln!(text, "| {} | {} | {} |", done.step.words(), done.at, cell(&done.note));
    }
    let advertised = plan.chunk_tok_s;
    let _ = writeln!(
        text,
        "\nOne chunk is advertised for {advertised:.0} tokens/s and carries {:.0} of this mix within the objectives ({:.0} %).",
        plan.effective_chunk_tok_s,
        100.0 * plan.effective_chunk_tok_s / advertised.max(1.0)
    );
    let verdict = state.verdict.as_ref().map_or("was not verified", Verdict::words);
    let _ = writeln!(text, "The promise {verdict}.\n\n## Over-provisioning\n");
    let _ = writeln!(text, "Autoscaling of foundation models is slower than that of CPU models, so the minimum holds more than the load at rest:\n");
    let _ = writeln!(text, "| for | mean chunks paid | {} an hour | why |\n| --- | --- | --- | --- |", plan.currency);
    for part in &plan.headroom {
        let _ = writeln!(text, "| {} | {:.2} | {:.2} | {} |", cell(&part.cause), part.chunks, part.cost_per_hour, cell(&part.reason));
    }
    let _ = writeln!(text, "\n## What it rests on\n\n| what | value | source |\n| --- | --- | --- |");
    for assumption in &plan.assumptions {
        let _ = writeln!(text, "| {} | {} | {} |", cell(&assumption.what), cell(&assumption.value), source(assumption.source));
    }
    if let Some(identity) = &state.identity {
        let reported = state.model_reported.as_deref().unwrap_or("not told");
        let _ = writeln!(
            text,
            "\n## Identity\n\nEndpoint {} ({}), model {} version {}, configuration {}, {} to {} tokens/s; the answers name the model {}.",
            state.endpoint,
            identity.id.as_deref().unwrap_or("no id"),
            identity.model,
            identity.version,
            identity.config_version,
            identity.min_tok_s,
            identity.max_tok_s,
            cell(reported)
        );
    }
    text
}

fn source(source: Provenance) -> &'static str {
    match source {
        Provenance::Measured => "measured",
        Provenance::Documented => "documented",
        Provenance::Assumed => "assumed",
    }
}

/// Text that cannot break out of its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}
