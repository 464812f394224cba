//! A run document from the log alone: what remains of a run that was cut before it could write its own.

use super::document::RunDocument;
use super::recorder::{Expectations, Recorder};
use super::summary::ClientFacts;
use crate::base::diag::{Severity, Warning};
use crate::base::time::Nanos;
use crate::record::log::{self, LogReader};
use crate::scenario::model::Scenario;
use std::io::Read;

/// Interval of the time series.
const STEP: Nanos = Nanos::from_secs(1);

/// Why nothing could be recovered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The header's experiment is not one of this version.
    #[error("the run log holds a scenario that this version does not read")]
    Scenario(#[from] serde_json::Error),
}

/// Rebuilds the document of a cut run, and gives the histograms behind it. The log is read twice, so `open` is called twice: once to find where it ends, once to fold it.
///
/// The window ends with the log if it was cut inside. Requests that were in flight then are not in the log, and so in no figure: a warning says so.
/// What the client knew of itself is lost.
///
/// # Errors
/// [`Error::Log`] when the log cannot be read (damage at its end is no error), [`Error::Scenario`] for a scenario of another version.
pub fn recover<R: Read>(open: impl Fn() -> Result<R, std::io::Error>) -> Result<(RunDocument, Recorder), Error> {
    let mut reader = LogReader::open(open().map_err(log::Error::Io)?)?;
    let mut last = Nanos::ZERO;
    let mut records = 0_u64;
    while let Some(record) = reader.next_record()? {
        last = last.max(record.closed);
        records += 1;
    }
    let torn = reader.is_torn();

    let mut reader = LogReader::open(open().map_err(log::Error::Io)?)?;
    let mut manifest = reader.header().manifest.clone();
    let scenario: Scenario = serde_json::from_value(reader.header().experiment.clone())?;
    let start = scenario.load.warmup.nanos();
    let end = start + scenario.load.measure.nanos();
    let mut recorder = Recorder::new(&scenario.slo, (start, end.min(last).max(start)), STEP);
    // No further than the first pass came: the log may still be growing.
    for _ in 0..records {
        let Some(record) = reader.next_record()? else { break };
        recorder.observe(&record);
    }
    let client = ClientFacts { cores: manifest.host.cores, stopped_early: last < end, ..ClientFacts::default() };
    let mut summary = recorder.finish(last, client, Expectations::of(&scenario));
    let tail = if torn { "; a damaged tail was cut off" } else { "" };
    summary.validity.add(Warning {
        severity: Severity::Doubt,
        code: "recovered".to_owned(),
        message: format!("rebuilt from the log of a run that was cut: {records} requests until {last}{tail}"),
        limit: String::new(),
        hint: "requests in flight at the cut and the client's own load are not known; run again before deciding on it".to_owned(),
    });
    (manifest.finished, manifest.recovered) = (false, true);
    Ok((RunDocument::new(manifest, scenario, summary), recorder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::record::log::{Header, LogWriter};
    use crate::record::manifest::{EndpointIdentity, HostFacts, Manifest, SCHEMA_VERSION};
    use crate::record::outcome::Outcome;
    use crate::record::request::{Phase, RequestRecord};

    /// Warm-up 5 s, window 60 s, ten requests a second that take 100 ms.
    fn log(seconds: u64) -> Vec<u8> {
        let experiment = serde_json::json!({ "name": "smoke", "load": { "arrivals": { "poisson": { "rate": "10/s" } } } });
        let manifest = Manifest::begun("smoke", Seed(7), "2026-01-02T03:04:05Z", HostFacts::default(), EndpointIdentity::default());
        let mut log = LogWriter::create(Vec::new(), &Header { schema_version: SCHEMA_VERSION, manifest, experiment }).unwrap();
        for seq in 0..seconds * 10 {
            let at = Nanos::from_millis(seq * 100);
            let mut r = RequestRecord::due(seq, if seq < 50 { Phase::Warmup } else { Phase::Measure }, at, 10, 1);
            (r.outcome, r.output_tokens, r.sent) = (Outcome::Ok, 1, Some(at));
            r.closed = at + Nanos::from_millis(100);
            (r.first_token, r.last_token) = (Some(r.closed), Some(r.closed));
            log.append(&r).unwrap();
        }
        log.into_inner().unwrap()
    }

    #[test]
    fn a_cut_run_keeps_what_was_recorded_and_ends_its_window_there() {
        let mut bytes = log(25);
        bytes.truncate(bytes.len() - 3);
        let document = recover(|| Ok(bytes.as_slice())).unwrap().0;
        let s = &document.summary;
        assert!(document.manifest.recovered && !document.manifest.finished);
        assert_eq!((s.accounting.due, s.accounting.warmup, s.accounting.ok), (199, 50, 199));
        assert_eq!((s.window.start_s, s.window.end_s), (5.0, 24.9));
        assert_eq!((s.offered_rate, s.latency.ttft.mean_ms), (10.0, 100.0));
        let codes: Vec<_> = s.validity.warnings.iter().map(|w| w.code.as_str()).collect();
        assert!(codes.contains(&"recovered") && codes.contains(&"stopped-early"), "{codes:?}");
        assert!(s.validity.warnings.iter().any(|w| w.message.contains("damaged tail")));
    }

    #[test]
    fn a_run_cut_in_its_warm_up_has_no_figures_and_is_invalid() {
        let bytes = log(3);
        let s = recover(|| Ok(bytes.as_slice())).unwrap().0.summary;
        assert_eq!((s.accounting.due, s.accounting.warmup, s.offered_rate), (0, 30, 0.0));
        assert!(!s.validity.valid);
        let empty = log(0);
        assert!(!recover(|| Ok(empty.as_slice())).unwrap().0.summary.validity.valid);
    }

    #[test]
    fn a_run_that_only_lacks_its_document_keeps_its_window() {
        let bytes = log(66);
        let s = recover(|| Ok(bytes.as_slice())).unwrap().0.summary;
        assert_eq!((s.window.end_s, s.accounting.due), (65.0, 600));
        assert!(!s.validity.client.stopped_early);
    }
}
