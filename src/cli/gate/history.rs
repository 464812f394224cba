//! The head against the accepted runs of a baseline file.

use super::{Found, accept, runs, tell};
use crate::cli::args::{GateHistoryArgs, GateOptions, OnMissingBaseline};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::files;
use crate::cli::load::now_utc;
use crate::cli::printer::Printer;
use crate::gate::{Baseline, Entry, Mode, RUNS_NEEDED, Report, Rules, Run, Verdict, history};
use crate::report::html::GateRuns;
use std::path::Path;

/// Reads, judges, tells; or records the first runs.
pub(super) fn run(args: &GateHistoryArgs, options: &GateOptions, printer: Printer) -> Outcome {
    let mut head = runs::read(&args.head, printer)?;
    let first = runs::first(&head)?.clone();
    let gate = runs::section(args.rules.as_ref(), &first, printer)?;
    let rules = runs::rules_for(&gate, &mut [&mut head.runs])?;
    let scenario = &first.manifest.scenario_name;
    let held = read(&args.baseline);
    let record = args.on_missing_baseline == OnMissingBaseline::Record;
    let (mut report, exit) = match held {
        Ok(None) if record => first_runs(args, Baseline::new(scenario), &head.runs)?,
        Ok(Some(baseline)) if record && too_few(&baseline, &head.runs) => first_runs(args, baseline, &head.runs)?,
        held => (against(held, args, &rules, &head.runs), None),
    };
    report.scenario.clone_from(scenario);
    let folder = runs::folder(&options.out, &first)?;
    let told = tell(&folder, &Found { report, runs: GateRuns { base: Vec::new(), head: head.documents }, repeat: String::new() }, options, printer)?;
    Ok(exit.unwrap_or(told))
}

/// The baseline of a file; `None` if there is no such file, an error text if it is none.
pub(super) fn read(path: &Path) -> Result<Option<Baseline>, String> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = files::read(path, "baseline", 16 << 20).map_err(|e| e.message)?;
    Baseline::from_json(&String::from_utf8_lossy(&bytes)).map(Some).map_err(|e| format!("{}: {}; {}", path.display(), e.message, e.hint))
}

fn too_few(baseline: &Baseline, head: &[Run]) -> bool {
    head.first().is_some_and(|run| baseline.comparable(&run.fingerprint).count() < RUNS_NEEDED)
}

/// What cannot be read is never a pass.
fn against(held: Result<Option<Baseline>, String>, args: &GateHistoryArgs, rules: &Rules, head: &[Run]) -> Report {
    match held {
        Ok(Some(baseline)) => history::judge(rules, &baseline, head),
        Ok(None) => Report::not_comparable(
            Mode::History,
            format!("there is no baseline {}; `plimsoll gate accept` or --on-missing-baseline record makes one", args.baseline.display()),
        ),
        Err(why) => Report::not_comparable(Mode::History, why),
    }
}

/// Takes the runs as the first ones: told, never silent, and no PASS.
fn first_runs(args: &GateHistoryArgs, mut baseline: Baseline, head: &[Run]) -> Result<(Report, Option<Exit>), Failure> {
    let entry = Entry::by(&accept::who(args.by.as_ref())?, &now_utc(), "recorded by gate history", false);
    baseline.accept(None, head, entry).map_err(|e| Failure::new(Exit::Invalid, e.message).with_hint(e.hint))?;
    accept::write(&args.baseline, &baseline)?;
    let held = head.first().map_or(0, |run| baseline.comparable(&run.fingerprint).count());
    let reason = format!(
        "recorded in {}, which now holds {held} of the {RUNS_NEEDED} runs that a verdict needs; nothing was compared",
        args.baseline.display()
    );
    let mut report = Report::not_comparable(Mode::History, reason.clone());
    report.verdict = Verdict::Inconclusive;
    report.sentence = format!("INCONCLUSIVE: {reason}");
    Ok((report, Some(Exit::Good)))
}
