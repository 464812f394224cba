//! `doctor`: what load can this host make, and does a scenario fit under it? About ten seconds against the null endpoint.

pub(super) mod saved;
mod stages;

use super::args::{DoctorArgs, Format};
use super::exit::{Exit, Failure, Outcome};
use super::printer::Printer;
use super::{load, results, scenario};
use crate::base::rng::Seed;
use crate::engine::ceiling::{Ceiling, Demand, Fit, Grade, VERSION, fit};
use crate::engine::limits::{self, Allowance};
use crate::report::number::{count, gibibytes, real, share};
use crate::scenario::workload::Tokenizer;
use crate::workload::schedule::{Expected, Schedule};
use crate::workload::tokenizer::Vocabulary;
use stages::Bench;
use std::fmt::Write as _;
use std::sync::Arc;

/// Measures, prints, saves; with a scenario says whether it fits.
pub(crate) fn run(args: &DoctorArgs, printer: Printer) -> Outcome {
    let wanted = args.scenario.as_ref().map(|path| demand_of(path, args, printer)).transpose()?;
    let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let host = results::host_facts(cores);
    let kept = if args.saved { saved::read(&host) } else { None };
    let ceiling = match kept {
        Some(ceiling) => ceiling,
        None => measure(cores, args.workers.unwrap_or_else(|| load::default_workers(cores)), printer)?,
    };
    let verdict = wanted.as_ref().map(|demand| fit(demand, &ceiling));
    match printer.format {
        Format::Json => {
            let document = serde_json::json!({ "ceiling": ceiling, "demand": wanted, "fit": verdict });
            printer.data(&serde_json::to_string_pretty(&document).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?);
        }
        form => printer.data(&tables(&ceiling, wanted.as_ref().zip(verdict.as_ref()), form)),
    }
    Ok(match verdict.map(|v| v.grade) {
        Some(Grade::DoesNotFit) => Exit::Refused,
        _ => Exit::Good,
    })
}

fn demand_of(path: &std::path::Path, args: &DoctorArgs, printer: Printer) -> Result<Demand, Failure> {
    let experiment = scenario::read_file(path, &scenario::parse_overrides(&args.set)?, Seed(1), printer)?;
    let recordings = scenario::material(&experiment, printer)?;
    let expected: Expected = Schedule::new(&experiment, &recordings.load).map_err(|e| Failure::from_error(Exit::Usage, &e))?.expected();
    Ok(Demand::of(&experiment, &expected))
}

/// Every stage, one after the other; saved at the end.
fn measure(cores: u32, workers: u32, printer: Printer) -> Result<Ceiling, Failure> {
    let vocabulary = Vocabulary::embedded(&Tokenizer::Llama3).map_err(|e| Failure::from_error(Exit::Usage, &e))?;
    let bench = Bench { vocabulary: Arc::new(vocabulary), workers, cores };
    let allowance = Allowance::read();
    if cfg!(debug_assertions) {
        printer.talk("warning: this is a debug build; its ceiling is far below that of a release build");
    }
    printer.talk("1/5 timer and clock");
    let (timer_p50_us, timer_p99_us, clock_ns) = stages::timer();
    printer.talk("2/5 small answers, as many as it takes");
    let requests_s = bench.requests()?;
    printer.talk("3/5 streams, as fast as they go");
    let chunks_s = bench.chunks()?;
    printer.talk("4/5 paced streams, more and more of them");
    let possible = allowance.open_files.map_or(u64::MAX, |files| files / 3);
    let (streams, streams_at_least, stream_error_p50_ms, stream_error_p99_ms) = bench.streams(possible)?;
    printer.talk("5/5 lateness at a paced rate");
    let (paced_s, lateness_p50_ms, lateness_p99_ms) = bench.lateness(requests_s)?;
    let ceiling = Ceiling {
        version: VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        debug_build: cfg!(debug_assertions),
        host: results::host_facts(cores),
        measured_utc: load::now_utc(),
        workers,
        requests_s,
        chunks_s,
        streams,
        streams_at_least,
        stream_rate: stages::STREAM_RATE,
        stream_error_p50_ms,
        stream_error_p99_ms,
        stream_error_bound_ms: stages::ERROR_BOUND_MS,
        paced_s,
        lateness_p50_ms,
        lateness_p99_ms,
        timer_p50_us,
        timer_p99_us,
        clock_ns,
        allowance,
    };
    match saved::write(&ceiling) {
        Ok(Some(path)) => printer.talk(&format!("saved: {}", path.display())),
        Ok(None) => printer.talk("note: not saved: neither XDG_CACHE_HOME nor HOME is set"),
        // What was measured is still worth printing.
        Err(failure) => printer.talk(&format!("note: not saved: {}", failure.message)),
    }
    Ok(ceiling)
}

/// Rows of three: what, figure, remark.
fn rows(c: &Ceiling) -> Vec<[String; 3]> {
    let row = |what: &str, figure: String, remark: String| [what.to_owned(), figure, remark];
    let known = |value: Option<u64>| value.map_or_else(|| "unknown".to_owned(), |v| if v == u64::MAX { "no limit".to_owned() } else { count(v) });
    let streams = if c.streams_at_least { format!(">= {}", count(u64::from(c.streams))) } else { count(u64::from(c.streams)) };
    let memory = c.allowance.memory.map_or_else(|| "unknown".to_owned(), gibibytes);
    vec![
        row("small answers", format!("{}/s", real(c.requests_s)), format!("closed loop, {} worker threads, endpoint on the same host", c.workers)),
        row("chunks of streams", format!("{}/s", real(c.chunks_s)), "one token a write, as fast as they go".to_owned()),
        row(
            "paced streams at once",
            streams,
            format!(
                "{} tok/s each; gaps off by {} / {} ms (p50 / p99, bound {} ms; the endpoint's timer is 1 ms of it)",
                real(c.stream_rate),
                real(c.stream_error_p50_ms),
                real(c.stream_error_p99_ms),
                real(c.stream_error_bound_ms)
            ),
        ),
        row(
            "lateness",
            format!("{} / {} ms", real(c.lateness_p50_ms), real(c.lateness_p99_ms)),
            format!("p50 / p99 at {} requests/s, evenly spaced", real(c.paced_s)),
        ),
        row("timer", format!("{} / {} us late", real(c.timer_p50_us), real(c.timer_p99_us)), "p50 / p99 of waits of 100 us".to_owned()),
        row("clock", format!("{} ns", real(c.clock_ns)), "for one look".to_owned()),
        row("open files", known(c.allowance.open_files), "hard limit; two for each connection to an endpoint in this process".to_owned()),
        row("local ports", known(c.allowance.ports), "connections to one address at once, those in TIME_WAIT included".to_owned()),
        row("memory available", memory, format!("1,000 requests in flight are planned with {} MiB", limits::memory_for(1_000) >> 20)),
    ]
}

fn tables(ceiling: &Ceiling, asked: Option<(&Demand, &Fit)>, form: Format) -> String {
    let h = &ceiling.host;
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(
        out,
        "This host: {}, {} cores, {}; measured {} with plimsoll {}.\n",
        h.cpu_model,
        h.cores,
        gibibytes(h.memory_bytes),
        ceiling.measured_utc,
        ceiling.tool_version
    );
    table(&mut out, ["what", "ceiling", ""], &rows(ceiling), form);
    if let Some((demand, fit)) = asked {
        let need = |n: &crate::engine::ceiling::Need| [n.what.to_owned(), real(n.needed), format!("{} of {}", share(n.share), real(n.ceiling))];
        let mut needs: Vec<[String; 3]> = fit.needs.iter().map(need).collect();
        needs.push(["cores, requests and chunks together".to_owned(), String::new(), share(fit.cores_share)]);
        let _ = writeln!(out, "\nThe scenario, answers taken to last {} s: {}.\n", real(demand.answer_s), fit.grade.words());
        table(&mut out, ["needs at its busiest", "needed", "of the ceiling"], &needs, form);
    }
    out
}

fn table(out: &mut String, head: [&str; 3], rows: &[[String; 3]], form: Format) {
    if form == Format::Md {
        let _ = writeln!(out, "| {} |\n| --- | --- | --- |", head.join(" | "));
        for row in rows {
            let _ = writeln!(out, "| {} |", row.join(" | "));
        }
        return;
    }
    let head = head.map(str::to_owned);
    let width = |i: usize| rows.iter().chain([&head]).map(|r| r[i].chars().count()).max().unwrap_or(0);
    let (a, b) = (width(0), width(1));
    for [what, figure, remark] in std::iter::once(&head).chain(rows) {
        let line = format!("{what:<a$}  {figure:>b$}  {remark}");
        let _ = writeln!(out, "{}", line.trim_end());
    }
}
