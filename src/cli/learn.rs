//! `learn`: what a recording says, and a scenario made from it.

use super::args::{Format, LearnArgs};
use super::exit::{Exit, Failure, Outcome};
use super::printer::Printer;
use super::{files, scenario};
use crate::base::rng::Seed;
use crate::scenario::load::{Columns, TimestampUnit, TraceFormat, TraceSource};
use crate::workload::learn;

/// Reads, describes, and writes a scenario when a folder is given.
pub(crate) fn run(args: &LearnArgs, printer: Printer) -> Outcome {
    let source =
        TraceSource { path: args.trace.clone(), format: format(&args.trace_format)?, columns: args.columns.as_deref().map(columns).transpose()? };
    let rows = scenario::read_trace(&args.trace, &source, printer)?;
    if rows.rows.is_empty() {
        return Err(
            Failure::new(Exit::Usage, format!("{}: no usable row", args.trace.display())).with_hint("the notes above tell why rows were skipped")
        );
    }
    let learnt = learn::learn(&rows);
    match printer.format {
        Format::Json => printer.data(&serde_json::to_string_pretty(&learnt).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?),
        Format::Text | Format::Md => printer.data(&learnt.text()),
    }
    if let Some(out) = &args.out {
        let name = match &args.name {
            Some(name) if is_plain(name) => name.clone(),
            Some(name) => {
                return Err(Failure::new(Exit::Usage, format!("--name {name:?}: expected letters, digits, `-` and `_`"))
                    .with_hint("it names files inside --out"));
            }
            None => name_of(&args.trace),
        };
        let traces = out.join("traces");
        files::make_folder(&traces)?;
        let table = traces.join(format!("{name}.csv"));
        files::write(&table, learn::compact_table(&rows, args.rows, Seed(args.seed)).as_bytes())?;
        let toml = out.join(format!("{name}.toml"));
        files::write(&toml, learn::scenario_toml(&name, &format!("traces/{name}.csv"), &learnt).as_bytes())?;
        printer.talk(&format!("wrote {} and {}", toml.display(), table.display()));
    }
    Ok(Exit::Good)
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn name_of(path: &std::path::Path) -> String {
    let stem = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = stem.split('.').next().unwrap_or("learnt");
    let clean: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' }).collect();
    if clean.is_empty() { "learnt".to_owned() } else { clean }
}

fn format(text: &str) -> Result<TraceFormat, Failure> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|_| Failure::new(Exit::Usage, format!("--trace-format {text:?}: expected auto, azure, mooncake, burstgpt, table, csv or jsonl")))
}

fn columns(map: &str) -> Result<Columns, Failure> {
    let bad = |why: String| {
        Failure::new(Exit::Usage, format!("--columns: {why}"))
            .with_hint("for example --columns timestamp=ts,input=prompt_tokens,output=completion_tokens,unit=milliseconds")
    };
    let (mut timestamp, mut input, mut output, mut unit) = (None, None, None, TimestampUnit::default());
    for part in map.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(|| bad(format!("{part:?} is not KEY=COLUMN")))?;
        match key.trim() {
            "timestamp" => timestamp = Some(value.to_owned()),
            "input" => input = Some(value.to_owned()),
            "output" => output = Some(value.to_owned()),
            "unit" => {
                unit = serde_json::from_value(serde_json::Value::String(value.to_owned())).map_err(|_| bad(format!("unknown unit {value:?}")))?;
            }
            other => return Err(bad(format!("unknown key {other:?}"))),
        }
    }
    Ok(Columns {
        timestamp,
        timestamp_unit: unit,
        input: input.ok_or_else(|| bad("input is missing".to_owned()))?,
        output: output.ok_or_else(|| bad("output is missing".to_owned()))?,
    })
}
