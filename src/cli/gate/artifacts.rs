//! The files of a gate: one verdict, told to each reader in its own form.

use super::Found;
use crate::cli::exit::Failure;
use crate::cli::files;
use crate::report as render;
use std::path::Path;

/// Name of the document that everything else is made from.
pub(super) const RESULT: &str = "result.json";

/// Writes everything; the document first, so that nothing is told that it does not hold.
pub(super) fn write(folder: &Path, found: &Found) -> Result<(), Failure> {
    let report = &found.report;
    files::write(&folder.join(RESULT), report.to_json().as_bytes())?;
    files::write(&folder.join("junit.xml"), render::junit::gate(report).as_bytes())?;
    files::write(&folder.join("summary.md"), render::markdown::gate(report, &found.repeat).as_bytes())?;
    files::write(&folder.join("metrics.txt"), render::openmetrics::gate(report).as_bytes())?;
    files::write(&folder.join("load-performance.json"), render::load_performance::gate(report, &found.runs.head).as_bytes())?;
    files::write(&folder.join("report.html"), render::html::gate_page(report, &found.runs, &found.repeat).as_bytes())
}
