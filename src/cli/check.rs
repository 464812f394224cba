//! `check`: every fault of every scenario at once, and the recordings and vocabularies they name.

use super::args::{CheckArgs, Format};
use super::exit::{Exit, Outcome};
use super::printer::Printer;
use super::{faults, files, scenario};
use crate::base::rng::Seed;
use crate::scenario::check::check;
use std::path::Path;

/// Checks all files; ends with 2 if any has a fault.
pub(crate) fn run(args: &CheckArgs, printer: Printer) -> Outcome {
    let overrides = scenario::parse_overrides(&args.set)?;
    let mut bad = 0;
    let mut listed = Vec::new();
    for path in &args.scenarios {
        let name = path.display().to_string();
        let text = match files::read(path, "scenario", 4 << 20) {
            Ok(text) => text,
            Err(failure) => {
                bad += 1;
                printer.error(&failure);
                continue;
            }
        };
        match check(&name, &text, path.parent().unwrap_or(Path::new(".")), &overrides, Seed(1)) {
            Ok(experiment) => match scenario::material(&experiment, printer).and_then(|_| scenario::vocabulary(&experiment)) {
                Ok(_) => {
                    if printer.format != Format::Json {
                        printer.data(&format!("{name}: ok"));
                    }
                }
                Err(failure) => {
                    bad += 1;
                    printer.error(&failure);
                }
            },
            Err(found) => {
                bad += 1;
                printer.error_text(&faults::draw(&found, &String::from_utf8_lossy(&text), printer.color_err));
                listed.push(faults::list(&found));
            }
        }
    }
    if printer.format == Format::Json {
        printer.data(&format!("{:#}", serde_json::Value::Array(listed)));
    }
    Ok(if bad == 0 { Exit::Good } else { Exit::Usage })
}
