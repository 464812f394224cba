//! `gate`: runs that exist or are made now, a verdict, and the files that tell it to people, programs and CI systems.

mod accept;
mod artifacts;
mod calibrate;
mod files;
mod history;
mod paired;
mod rules;
mod runs;
mod side;
mod slo;
mod trend;

use super::args::{Annotations, Format, GateArgs, GateMode, GateOptions, OnInconclusive};
use super::exit::{Exit, Failure, Outcome};
use super::printer::Printer;
use crate::gate::{Mode, Report, Verdict};
use crate::report as render;

/// What a gate found, with the documents of its runs.
struct Found {
    /// The verdict and what it rests on.
    report: Report,
    /// Documents of the runs that the pages show.
    runs: render::html::GateRuns,
    /// The command that repeats it.
    repeat: String,
}

/// Makes or reads the runs, judges, writes, prints.
pub(crate) fn run(args: &GateArgs, printer: Printer) -> Outcome {
    match (&args.mode, &args.load) {
        (None, Some(load)) => paired::run(load, &args.sides, &args.options, printer),
        (None, None) => Err(Failure::new(Exit::Usage, "gate: expected a scenario, or one of its modes").with_hint("plimsoll gate --help shows both")),
        (Some(GateMode::Files(mode)), _) => files::run(mode, &args.options, printer),
        (Some(GateMode::History(mode)), _) => history::run(mode, &args.options, printer),
        (Some(GateMode::Slo(mode)), _) => slo::run(mode, &args.options, printer),
        (Some(GateMode::Trend(mode)), _) => trend::run(mode, &args.options, printer),
        (Some(GateMode::Calibrate(mode)), _) => calibrate::run(mode, &args.options, printer),
        (Some(GateMode::Accept(mode)), _) => accept::run(mode, printer),
    }
}

/// Writes everything into the folder, prints, annotates; gives the exit code.
fn tell(folder: &std::path::Path, found: &Found, options: &GateOptions, printer: Printer) -> Outcome {
    artifacts::write(folder, found)?;
    if let Some(copy) = &options.copy_to {
        super::files::make_folder(copy)?;
        artifacts::write(copy, found)?;
    }
    let report = &found.report;
    match printer.format {
        Format::Text => printer.data(&render::terminal::gate(report, printer.paint())),
        Format::Md => printer.data(&render::markdown::gate(report, &found.repeat)),
        Format::Json => printer.data(&report.to_json()),
    }
    let fails = options.on_inconclusive == OnInconclusive::Fail;
    if for_github(options)
        && let Some(annotation) = render::annotation::github(report, fails)
    {
        printer.error_text(&annotation);
    }
    if report.verdict == Verdict::Inconclusive && !fails {
        printer.talk("warning: INCONCLUSIVE ends with 0 because of --on-inconclusive warn: nothing was shown");
    }
    printer.talk(&format!("report: {}", folder.join("report.html").display()));
    Ok(exit(report, options.on_inconclusive))
}

/// Whether annotations for GitHub are wanted.
fn for_github(options: &GateOptions) -> bool {
    match options.annotations {
        Annotations::Github => true,
        Annotations::None => false,
        Annotations::Auto => std::env::var_os("GITHUB_ACTIONS").is_some_and(|v| v == "true"),
    }
}

/// The exit code of a verdict.
#[must_use]
fn exit(report: &Report, on_inconclusive: OnInconclusive) -> Exit {
    match report.verdict {
        Verdict::Pass => Exit::Good,
        Verdict::Fail if report.mode == Mode::Slo => Exit::SloNotMet,
        Verdict::Fail => Exit::Regression,
        Verdict::Inconclusive if on_inconclusive == OnInconclusive::Warn => Exit::Good,
        Verdict::Inconclusive => Exit::Inconclusive,
        Verdict::Invalid => Exit::Invalid,
        Verdict::NotComparable => Exit::NotComparable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_its_code_and_only_a_warning_softens_one() {
        for (verdict, mode, code, warned) in [
            (Verdict::Pass, Mode::Paired, 0, 0),
            (Verdict::Fail, Mode::Paired, 10, 10),
            (Verdict::Fail, Mode::History, 10, 10),
            (Verdict::Fail, Mode::Slo, 11, 11),
            (Verdict::Inconclusive, Mode::Paired, 12, 0),
            (Verdict::Invalid, Mode::Files, 13, 13),
            (Verdict::NotComparable, Mode::History, 14, 14),
        ] {
            let mut report = Report::invalid(mode, "a reason");
            report.verdict = verdict;
            assert_eq!(exit(&report, OnInconclusive::Fail).code(), code, "{verdict:?} {mode:?}");
            assert_eq!(exit(&report, OnInconclusive::Warn).code(), warned, "{verdict:?} {mode:?}");
        }
    }
}
