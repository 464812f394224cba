//! `gate accept`: runs that passed a gate, or the first ones, into a baseline file; what changes is shown, and who did it and when is kept.

use super::{artifacts, history, runs};
use crate::cli::args::{Format, GateAcceptArgs};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::files;
use crate::cli::load::now_utc;
use crate::cli::printer::Printer;
use crate::gate::{Baseline, Entry, Metric, Report, Run, Scale};
use crate::report as render;
use crate::report::chart::Table;
use crate::report::gate_content as content;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Reads the runs, shows the difference, writes.
pub(super) fn run(args: &GateAcceptArgs, printer: Printer) -> Outcome {
    let (report, folders) = given(args)?;
    let mut head = runs::read(&folders, printer)?;
    let first = runs::first(&head)?.clone();
    runs::rules_for(&first.experiment.gate, &mut [&mut head.runs])?;
    let held = history::read(&args.baseline).map_err(|why| {
        Failure::new(Exit::NotComparable, why).with_hint("a file that is no baseline is not written over; give another name, or remove it")
    })?;
    let mut baseline = held.unwrap_or_else(|| Baseline::new(&first.manifest.scenario_name));
    let before: Vec<Run> = head.runs.first().map(|r| baseline.comparable(&r.fingerprint).cloned().collect()).unwrap_or_default();
    let entry = Entry::by(&who(args.by.as_ref())?, &now_utc(), &args.note, args.pin);
    baseline.accept(report.as_ref(), &head.runs, entry).map_err(|e| {
        let exit = report.as_ref().map_or(Exit::Invalid, |r| super::exit(r, crate::cli::args::OnInconclusive::Fail));
        Failure::new(if exit == Exit::Good { Exit::NotComparable } else { exit }, e.message).with_hint(e.hint)
    })?;
    if !args.dry_run {
        write(&args.baseline, &baseline)?;
    }
    show(args, &before, &head.runs, &baseline, printer);
    Ok(Exit::Good)
}

/// The report of a gate with the runs of its head that count; or runs without a report.
fn given(args: &GateAcceptArgs) -> Result<(Option<Report>, Vec<PathBuf>), Failure> {
    let result = args.gate.join(artifacts::RESULT);
    if !result.is_file() {
        return Ok((None, vec![args.gate.clone()]));
    }
    let bytes = files::read(&result, "gate result", 64 << 20)?;
    let report: Report = serde_json::from_slice(&bytes).map_err(|e| {
        Failure::new(Exit::Usage, format!("{}: {e}", result.display())).with_hint("expected the folder of a gate that this version made")
    })?;
    let named = report.rounds.iter().filter(|r| r.counted && !r.head_run.is_empty()).map(|r| r.head_run.as_str());
    let folders: Vec<PathBuf> = named.map(|name| if args.gate.join(name).exists() { args.gate.join(name) } else { PathBuf::from(name) }).collect();
    if folders.is_empty() {
        return Err(Failure::new(Exit::Invalid, format!("{}: no run of its head counts, so that there is nothing to accept", result.display()))
            .with_hint(report.sentence));
    }
    Ok((Some(report), folders))
}

/// Who accepts: as said, or as the CI system or the shell knows.
pub(super) fn who(said: Option<&String>) -> Result<String, Failure> {
    let known = || ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    said.cloned()
        .or_else(known)
        .ok_or_else(|| Failure::new(Exit::Usage, "nobody is known to accept these runs").with_hint("say who with --by NAME; the baseline keeps it"))
}

/// Writes a baseline whole or not at all.
pub(super) fn write(path: &Path, baseline: &Baseline) -> Result<(), Failure> {
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        files::make_folder(folder)?;
    }
    files::write(path, baseline.to_json().as_bytes())
}

/// What the accepted runs change: the level of each metric before, and theirs.
fn show(args: &GateAcceptArgs, before: &[Run], runs: &[Run], baseline: &Baseline, printer: Printer) {
    let verb = if args.dry_run { "would be accepted" } else { "accepted" };
    let pinned = if args.pin { ", pinned as the anchor" } else { "" };
    let sentence = format!(
        "{}: {} {verb} beside {} comparable ones{pinned}; {} entries",
        args.baseline.display(),
        render::number::plural(runs.len() as u64, "run", "runs"),
        before.len(),
        baseline.entries.len()
    );
    let levels: Vec<(Metric, Option<f64>, Option<f64>)> =
        Metric::ALL.into_iter().map(|m| (m, level(m, before), level(m, runs))).filter(|(_, b, a)| b.is_some() || a.is_some()).collect();
    if printer.format == Format::Json {
        let rows: Vec<_> = levels.iter().map(|(m, b, a)| json!({ "metric": m, "before": b, "accepted": a })).collect();
        let whole =
            json!({ "baseline": args.baseline, "written": !args.dry_run, "runs": runs.len(), "comparable_before": before.len(), "levels": rows });
        printer.data(&format!("{whole:#}"));
        return;
    }
    let mut table = Table::new(&["Metric", "Before", "Accepted runs", "Change"]);
    for (metric, before, after) in levels {
        let shown = |x: Option<f64>| x.map_or_else(|| "n/a".to_owned(), |x| content::value(metric, x));
        let change = match (before, after, metric.scale()) {
            (Some(b), Some(a), Scale::LogRatio) => content::change(Scale::LogRatio, a / b - 1.0),
            (Some(b), Some(a), Scale::Difference) => content::change(Scale::Difference, a - b),
            _ => "n/a".to_owned(),
        };
        table.rows.push(vec![metric.label().to_owned(), shown(before), shown(after), change]);
    }
    match printer.format {
        Format::Md => printer.data(&render::markdown::titled(&sentence, &table)),
        Format::Text | Format::Json => printer.data(&render::terminal::titled(&sentence, &table, printer.paint())),
    }
}

/// The level of a metric over runs: geometric mean for ratios, mean for shares; `None` where no run has it.
fn level(metric: Metric, runs: &[Run]) -> Option<f64> {
    let values: Vec<f64> = runs.iter().filter_map(|r| r.value(metric)).collect();
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    Some(match metric.scale() {
        Scale::LogRatio => (values.iter().map(|v| v.ln()).sum::<f64>() / n).exp(),
        Scale::Difference => values.iter().sum::<f64>() / n,
    })
}
