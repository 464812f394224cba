//! `learn`: what a recording says, and a scenario made from it.

use super::args::{Format, LearnArgs};
use super::exit::{Exit, Failure, Outcome};
use super::printer::Printer;
use super::{files, scenario};
use crate::base::rng::Seed;
use crate::base::units::Share;
use crate::scenario::load::{Columns, TimestampUnit, TraceFormat, TraceSource};
use crate::workload::demand::{self, DemandModel, Said, TooShort};
use crate::workload::learn::{self, Learnt};
use crate::workload::trace::{Recording, Rows};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Reads, describes, and writes a scenario and a demand model when a folder is given.
pub(crate) fn run(args: &LearnArgs, printer: Printer) -> Outcome {
    let source =
        TraceSource { path: args.trace.clone(), format: format(&args.trace_format)?, columns: args.columns.as_deref().map(columns).transpose()? };
    let name = match &args.name {
        Some(name) if is_plain(name) => name.clone(),
        Some(name) => {
            return Err(
                Failure::new(Exit::Usage, format!("--name {name:?}: expected letters, digits, `-` and `_`")).with_hint("it names files inside --out")
            );
        }
        None => name_of(&args.trace),
    };
    let said = said(args)?;
    let (rows, demand) = match scenario::read_recording(&args.trace, &source, printer)? {
        Recording::Requests(rows) => {
            let prepared = demand::of_requests(&rows, &said);
            (Some(rows), prepared.map(|(series, about)| demand::learn(&series, about)))
        }
        Recording::Rates(rates) => {
            let auto = |path: &PathBuf| TraceSource { path: path.clone(), format: TraceFormat::Auto, columns: None };
            let lengths = args.lengths.as_ref().map(|path| scenario::read_trace(path, &auto(path), printer)).transpose()?;
            let (series, about) = demand::of_rates(&rates, lengths.as_ref(), &said);
            (None, Some(demand::learn(&series, about)))
        }
    };
    if rows.is_some() && args.lengths.is_some() {
        return Err(Failure::new(Exit::Usage, "--lengths: the recording has lengths of its own").with_hint("it is for recordings of rates"));
    }
    if rows.as_ref().is_some_and(|r| r.rows.is_empty()) {
        return Err(
            Failure::new(Exit::Usage, format!("{}: no usable row", args.trace.display())).with_hint("the notes above tell why rows were skipped")
        );
    }
    let told = Told {
        learnt: rows.as_ref().map(learn::learn),
        demand: demand.as_ref().and_then(|d| d.as_ref().ok()),
        no_demand: no_demand(demand.as_ref()),
    };
    match printer.format {
        Format::Json => printer.data(&serde_json::to_string_pretty(&told).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?),
        Format::Text | Format::Md => printer.data(&told.text()),
    }
    if let Some(out) = &args.out {
        write(out, &name, args, rows.as_ref(), &told, printer)?;
    }
    Ok(Exit::Good)
}

/// What a recording says.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    learnt: Option<Learnt>,
    /// The demand model, where the recording is long enough.
    demand: Option<&'a DemandModel>,
    /// Why there is none.
    no_demand: Option<String>,
}

impl Told<'_> {
    fn text(&self) -> String {
        let mut out = self.learnt.as_ref().map_or_else(String::new, Learnt::text);
        match (self.demand, &self.no_demand) {
            (Some(model), _) => out.push_str(&model.text()),
            (None, Some(why)) => {
                out.push_str("\nno demand model: ");
                out.push_str(why);
                out.push('\n');
            }
            (None, None) => {}
        }
        out
    }
}

fn no_demand(demand: Option<&Result<DemandModel, TooShort>>) -> Option<String> {
    match demand {
        None => Some("the recording has no instants; a demand model needs a day of them".to_owned()),
        Some(Err(why)) => Some(why.to_string()),
        Some(Ok(_)) => None,
    }
}

fn write(out: &Path, name: &str, args: &LearnArgs, rows: Option<&Rows>, told: &Told<'_>, printer: Printer) -> Result<(), Failure> {
    files::make_folder(out)?;
    let mut written = Vec::new();
    if let Some(model) = told.demand {
        let path = out.join(format!("{name}.demand.json"));
        files::write(&path, model.to_json().as_bytes())?;
        written.push(path);
    }
    if let (Some(rows), Some(learnt)) = (rows, &told.learnt) {
        let traces = out.join("traces");
        files::make_folder(&traces)?;
        let table = traces.join(format!("{name}.csv"));
        files::write(&table, learn::compact_table(rows, args.rows, Seed(args.seed)).as_bytes())?;
        let toml = out.join(format!("{name}.toml"));
        let model = told.demand.map(|_| format!("{name}.demand.json"));
        files::write(&toml, learn::scenario_toml(name, &format!("traces/{name}.csv"), learnt, model.as_deref()).as_bytes())?;
        written.extend([toml, table]);
    } else if told.demand.is_some() {
        printer.talk(&format!("in a scenario beside it: [plan] demand_model = \"{name}.demand.json\""));
    }
    for path in written {
        printer.talk(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// The options that say what the file does not.
fn said(args: &LearnArgs) -> Result<Said, Failure> {
    let start_ns = args.start.as_deref().map(instant).transpose()?;
    let throttled_share = match &args.throttled_share {
        None => 0.0,
        Some(text) => match text.parse::<Share>() {
            Ok(share) if share.0 < 1.0 => share.0,
            _ => return Err(Failure::new(Exit::Usage, format!("--throttled-share {text:?}: expected a share below 100%, e.g. 3%"))),
        },
    };
    let name = args.trace.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Said { name, start_ns, throttled_share })
}

/// Nanoseconds since 1970 of an instant of ISO 8601; without a zone it is UTC.
fn instant(text: &str) -> Result<i64, Failure> {
    let stamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    });
    stamp
        .and_then(|stamp| i64::try_from(stamp.as_nanosecond()).ok())
        .ok_or_else(|| Failure::new(Exit::Usage, format!("--start {text:?}: expected an instant such as 2024-05-10T00:00Z")))
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn name_of(path: &Path) -> String {
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
