//! A run folder: the log while the run goes on, everything else made from the log when it has ended; a cut run is recovered the same way.

use super::exit::{Exit, Failure};
use super::files;
use super::printer::Printer;
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::engine::run::{Keeper, Report};
use crate::measure::document::RunDocument;
use crate::measure::hlog;
use crate::measure::recorder::{Expectations, Recorder};
use crate::measure::recover;
use crate::record::log::{Header, LogReader, LogWriter};
use crate::record::manifest::{HostFacts, Manifest};
use crate::record::request::RequestRecord;
use crate::record::table;
use crate::report as render;
use crate::report::html::RunExtras;
use crate::scenario::experiment::Experiment;
use crate::scenario::model::Scenario;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Name of the append-only log.
const LOG: &str = "requests.log";

/// A run folder whose log is being written.
pub(crate) struct RunFolder {
    /// `reports/<scenario>/<time>-<seed>`.
    pub(crate) path: PathBuf,
    log: LogWriter<File>,
}

impl RunFolder {
    /// Begins the log in a folder that exists.
    pub(crate) fn create(path: PathBuf, experiment: &Experiment, manifest: &Manifest) -> Result<Self, Failure> {
        let log_path = path.join(LOG);
        let failed = |e: &std::io::Error| files::unwritable(&log_path, e);
        let file = File::options().write(true).create_new(true).open(&log_path).map_err(|e| failed(&e))?;
        let header = Header {
            schema_version: manifest.schema_version,
            manifest: manifest.clone(),
            experiment: serde_json::to_value(&experiment.scenario).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?,
        };
        let log = LogWriter::create(file, &header).map_err(|e| failed(&e))?;
        Ok(Self { path, log })
    }
}

/// `out/<scenario>/<time>-<seed>`, with a number behind it when two runs begin in the same second.
pub(crate) fn new_folder(out: &Path, scenario: &str, seed: Seed, started_utc: &str) -> Result<PathBuf, Failure> {
    new_named_folder(out, scenario, "", seed, started_utc)
}

/// The same with a word before the time: `gate-`.
pub(crate) fn new_named_folder(out: &Path, scenario: &str, word: &str, seed: Seed, started_utc: &str) -> Result<PathBuf, Failure> {
    let time: String = started_utc.chars().filter(char::is_ascii_alphanumeric).take(15).collect();
    let parent = out.join(scenario);
    files::make_folder(&parent)?;
    for attempt in 0_u32.. {
        let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
        let path = parent.join(format!("{word}{time}-{}{suffix}", seed.0));
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && attempt < 10_000 => {}
            Err(e) => return Err(files::unwritable(&path, &e)),
        }
    }
    Err(Failure::new(Exit::Unwritable, format!("{}: too many runs began in the same second", parent.display())))
}

impl Keeper for RunFolder {
    fn keep(&mut self, frames: &[u8]) -> std::io::Result<()> {
        self.log.append_frames(frames)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.log.flush()
    }
}

/// Makes every file of a run that has just ended from its log.
pub(crate) fn finish(folder: &Path, report: &Report, printer: Printer) -> Result<RunDocument, Failure> {
    let log_path = folder.join(LOG);
    let header = open_log(&log_path)?.header().clone();
    let scenario: Scenario = serde_json::from_value(header.experiment)
        .map_err(|e| Failure::new(Exit::Usage, format!("{}: its scenario cannot be read by this version: {e}", log_path.display())))?;
    let recorder = match report.stopped_at {
        None => &report.recorder,
        Some(at) => &stopped(&scenario, &log_path, at)?,
    };
    let mut manifest = header.manifest;
    manifest.finished = true;
    manifest.failures.clone_from(&report.examples);
    manifest.endpoint.model_reported.clone_from(&report.identity.model);
    manifest.endpoint.server_header.clone_from(&report.identity.server);
    let summary = recorder.finish(report.wall, report.client, Expectations::of(&scenario));
    let document = RunDocument::new(manifest, scenario, summary);
    write_all(folder, &log_path, &document, recorder, printer)?;
    Ok(document)
}

/// What was measured in a run that was stopped at `at`, over the part that ran.
fn stopped(scenario: &Scenario, log_path: &Path, at: Nanos) -> Result<Recorder, Failure> {
    let start = scenario.load.warmup.nanos();
    let end = at.min(start + scenario.load.measure.nanos()).max(start);
    let mut recorder = Recorder::new(&scenario.slo, (start, end), Nanos::from_secs(1));
    each_record(log_path, |record| recorder.observe(record))?;
    Ok(recorder)
}

/// Makes every file of a run that was cut from its log.
fn recover(folder: &Path, printer: Printer) -> Result<RunDocument, Failure> {
    let log_path = folder.join(LOG);
    // Told with its own words when it is no log at all.
    open_log(&log_path)?;
    let (document, recorder) = recover::recover(|| File::open(&log_path).map(BufReader::new)).map_err(|e| {
        let mut failure = Failure::from_error(Exit::Usage, &e);
        failure.message = format!("{}: {}", log_path.display(), failure.message);
        failure
    })?;
    write_all(folder, &log_path, &document, &recorder, printer)?;
    Ok(document)
}

fn write_all(folder: &Path, log_path: &Path, document: &RunDocument, recorder: &Recorder, printer: Printer) -> Result<(), Failure> {
    files::write(&folder.join("run.json"), document.to_json().as_bytes())?;
    files::write(&folder.join("summary.md"), render::markdown::run(document).as_bytes())?;
    files::write(&folder.join("junit.xml"), render::junit::run(document).as_bytes())?;
    files::write(&folder.join("report.html"), render::html::run_page(document, &repeat(document)).as_bytes())?;
    let started = started_ns(&document.manifest.started_utc);
    files::write_with(&folder.join("latency.hlog"), |out| hlog::write(out, &recorder.histograms(), started, recorder.window()))?;
    let mut reader = open_log(log_path)?;
    let records = std::iter::from_fn(|| reader.next_record().ok().flatten());
    files::write_with(&folder.join("requests.parquet"), |out| table::write_parquet(out, records).map_err(std::io::Error::other))?;
    printer.talk(&format!("report: {}", folder.join("report.html").display()));
    Ok(())
}

/// The command that repeats the run: the resolved scenario stands in run.json, the seed makes the rest.
fn repeat(document: &RunDocument) -> RunExtras {
    let name = &document.manifest.scenario_name;
    RunExtras { repeat: Some(format!("plimsoll run {name}.toml --seed {}", document.manifest.seed.0)) }
}

/// Writes the pages of a document again.
pub(crate) fn render_again(folder: &Path, document: &RunDocument, printer: Printer) -> Result<(), Failure> {
    files::write(&folder.join("summary.md"), render::markdown::run(document).as_bytes())?;
    files::write(&folder.join("report.html"), render::html::run_page(document, &repeat(document)).as_bytes())?;
    printer.talk(&format!("report: {}", folder.join("report.html").display()));
    Ok(())
}

/// Reads the finished document of a run, or recovers it from the log when it was never written.
pub(crate) fn load(folder: &Path, printer: Printer) -> Result<RunDocument, Failure> {
    let path = folder.join("run.json");
    if path.is_file() {
        let bytes = files::read(&path, "run document", 256 << 20)?;
        let text = String::from_utf8_lossy(&bytes);
        return RunDocument::from_json(&text).map_err(|e| Failure::new(Exit::Usage, format!("{}: {e}", path.display())));
    }
    printer.talk(&format!("note: {} was cut; recovering it from its log", folder.display()));
    recover(folder, printer)
}

/// A scenario that a run left behind, as an experiment without a file.
#[must_use]
pub(crate) fn experiment_of(scenario: Scenario, seed: Seed) -> Experiment {
    Experiment { scenario, seed, base_dir: PathBuf::from("."), sha256: String::new() }
}

/// Every record of a run's log, in order of their ends.
pub(crate) fn records(folder: &Path) -> Result<Vec<RequestRecord>, Failure> {
    let mut all = Vec::new();
    each_record(&folder.join(LOG), |r| all.push(r.clone()))?;
    Ok(all)
}

/// Nanoseconds since 1970 of a time as the manifest writes it; 0 if it cannot be read.
fn started_ns(text: &str) -> u64 {
    text.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_nanosecond()).ok()).unwrap_or(0)
}

fn open_log(path: &Path) -> Result<LogReader<BufReader<File>>, Failure> {
    let file = files::open(path, "run log")?;
    LogReader::open(BufReader::new(file)).map_err(|e| {
        let mut failure = Failure::from_error(Exit::Usage, &e);
        failure.message = format!("{}: {}", path.display(), failure.message);
        failure.with_hint("expected a run folder written by `plimsoll run`, `sweep` or `demo`")
    })
}

/// Shows every record of a run's log, in order of their ends.
pub(crate) fn visit_records(folder: &Path, visit: impl FnMut(&RequestRecord)) -> Result<(), Failure> {
    each_record(&folder.join(LOG), visit)
}

fn each_record(path: &Path, mut visit: impl FnMut(&RequestRecord)) -> Result<(), Failure> {
    let mut reader = open_log(path)?;
    loop {
        match reader.next_record() {
            Ok(Some(record)) => visit(&record),
            Ok(None) => return Ok(()),
            Err(e) => return Err(Failure::from_error(Exit::Usage, &e)),
        }
    }
}

/// What is known of this machine without asking anything that names it.
#[must_use]
pub(crate) fn host_facts(cores: u32) -> HostFacts {
    let field = |text: &str, key: &str| -> Option<String> {
        text.lines().find(|l| l.starts_with(key)).and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned())
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = field(&memory, "MemTotal").and_then(|v| v.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    HostFacts {
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        cores,
        cpu_model: field(&cpu, "model name").unwrap_or_default(),
        memory_bytes: kib * 1024,
    }
}
