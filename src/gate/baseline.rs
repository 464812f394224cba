//! `Baseline`: accepted runs in one committed file, with what must be equal, who accepted them and when.

use super::document::{Report, Verdict};
use super::fingerprint::Fingerprint;
use super::run::Run;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of [`Baseline`]; raised when a reader of the old one would go wrong.
pub const BASELINE_VERSION: u32 = 1;

/// The largest baseline that is written, in bytes; the oldest entries go first.
pub const BASELINE_BYTES: usize = 50 * 1024;

/// Accepted runs of one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Plimsoll baseline")]
pub struct Baseline {
    /// The word `plimsoll baseline`, so that no other file is taken for one.
    pub kind: String,
    /// [`BASELINE_VERSION`] of the writer.
    pub schema_version: u32,
    /// Version of the tool that wrote it last.
    pub tool_version: String,
    /// Name of the scenario.
    pub scenario: String,
    /// What was accepted, the oldest first. Runs that have gone for want of room are not counted.
    pub entries: Vec<Entry>,
}

/// What was accepted at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Who accepted it.
    pub accepted_by: String,
    /// When, RFC 3339, UTC.
    pub accepted_utc: String,
    /// Why, or which commit; empty if nothing was said.
    pub note: String,
    /// A release that later runs are measured against, however far the others move; it is never dropped.
    pub pinned: bool,
    /// What must be equal in runs compared with these.
    pub fingerprint: Fingerprint,
    /// The runs, without their fingerprints.
    pub runs: Vec<Run>,
}

/// Why a text is no baseline, or why something was not accepted into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineError {
    /// What, in a sentence without a full stop.
    pub message: String,
    /// One thing to try.
    pub hint: String,
}

impl fmt::Display for BaselineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nhint: {}", self.message, self.hint)
    }
}

impl std::error::Error for BaselineError {}

/// Comparable runs that a gate against history wants.
pub const RUNS_NEEDED: usize = 8;

const KIND: &str = "plimsoll baseline";

impl Baseline {
    /// A baseline without runs.
    #[must_use]
    pub fn new(scenario: &str) -> Self {
        Self {
            kind: KIND.to_owned(),
            schema_version: BASELINE_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: scenario.to_owned(),
            entries: Vec::new(),
        }
    }

    /// Reads what [`Baseline::to_json`] wrote.
    ///
    /// # Errors
    /// A text of another kind, of another version, cut off or damaged: never a baseline with holes.
    pub fn from_json(text: &str) -> Result<Self, BaselineError> {
        let again = "accept it anew with `plimsoll gate accept`, from runs that passed";
        let refuse = |message: String, hint: &str| Err(BaselineError { message, hint: hint.to_owned() });
        let value: serde_json::Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return refuse(format!("the baseline is not JSON: {error}; expected a file written by plimsoll gate accept"), again),
        };
        let kind = value.get("kind").and_then(serde_json::Value::as_str);
        if kind != Some(KIND) {
            let found = kind.map_or("none".to_owned(), |k| format!("{k:?}"));
            return refuse(format!("this is no baseline: its kind is {found}, expected {KIND:?}"), "give the file that plimsoll gate accept wrote");
        }
        match value.get("schema_version").and_then(serde_json::Value::as_u64) {
            Some(found) if found == u64::from(BASELINE_VERSION) => {}
            Some(found) => return refuse(format!("the baseline has version {found}; this tool reads version {BASELINE_VERSION}"), again),
            None => return refuse("the baseline has no schema_version".to_owned(), again),
        }
        match serde_json::from_value(value) {
            Ok(baseline) => Ok(baseline),
            Err(error) => refuse(format!("the baseline is damaged: {error}"), again),
        }
    }

    /// JSON of at most [`BASELINE_BYTES`] with a final line break, one line a run: the oldest entries that are not pinned are left out until it fits.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut kept = self.clone();
        loop {
            let text = kept.write();
            let oldest = kept.entries.iter().position(|e| !e.pinned).filter(|&i| i + 1 < kept.entries.len());
            match oldest {
                Some(i) if text.len() > BASELINE_BYTES => drop(kept.entries.remove(i)),
                _ if text.len() > BASELINE_BYTES => {
                    // One entry alone is too large: its oldest runs go.
                    let Some(longest) = kept.entries.iter_mut().max_by_key(|e| e.runs.len()).filter(|e| e.runs.len() > 1) else { return text };
                    longest.runs.remove(0);
                }
                _ => return text,
            }
        }
    }

    /// Diffs of a committed file are read by people: a line a run, a line a field elsewhere.
    fn write(&self) -> String {
        let mut text = format!(
            "{{\n  \"kind\": {},\n  \"schema_version\": {},\n  \"tool_version\": {},\n  \"scenario\": {},\n  \"entries\": [",
            line(&self.kind),
            self.schema_version,
            line(&self.tool_version),
            line(&self.scenario)
        );
        for (i, entry) in self.entries.iter().enumerate() {
            text.push_str(if i == 0 { "\n" } else { ",\n" });
            text.push_str(&entry.write());
        }
        text.push_str(if self.entries.is_empty() { "]\n}\n" } else { "\n  ]\n}\n" });
        text
    }

    /// Takes runs into the baseline: those that a gate passed (`report`); without a report only as long as there are fewer than [`RUNS_NEEDED`] comparable
    /// runs to judge them by.
    ///
    /// # Errors
    /// A report that is not a PASS, or none where there could be one; no runs, invalid ones, or ones of different experiments; a baseline of another
    /// scenario.
    pub fn accept(&mut self, report: Option<&Report>, runs: &[Run], mut entry: Entry) -> Result<(), BaselineError> {
        let refuse = |message: String, hint: &str| Err(BaselineError { message, hint: hint.to_owned() });
        if let Some(report) = report.filter(|r| r.verdict != Verdict::Pass) {
            let hint = "a baseline grows from runs that passed; find the cause, or accept on purpose by removing the file and beginning anew";
            return refuse(format!("the gate says {}, so that nothing is accepted: {}", report.verdict.word(), report.sentence), hint);
        }
        if let Some(report) = report.filter(|r| !r.scenario.is_empty() && r.scenario != self.scenario) {
            return refuse(format!("the baseline is of scenario {:?}, the gate of {:?}", self.scenario, report.scenario), "one file a scenario");
        }
        let Some(first) = runs.first() else { return refuse("there are no runs to accept".to_owned(), "give the runs of the head") };
        if let Some(bad) = runs.iter().find(|r| !r.valid || r.due == 0 || r.ok == 0) {
            let why = if bad.reason.is_empty() { "no request ended well" } else { bad.reason.as_str() };
            return refuse(format!("run {} is not accepted: {why}", bad.name), "accept runs that measured the endpoint");
        }
        if let Some(d) = runs.iter().flat_map(|r| first.fingerprint.differences(&r.fingerprint)).find(|d| d.fixed) {
            return refuse(format!("the runs differ in {:?}: {:?} and {:?}", d.key, d.base, d.head), "accept runs of one experiment");
        }
        let held = |run: &&Run| self.entries.iter().flat_map(|e| &e.runs).any(|h| h.values == short(run).values && h.seed == run.seed);
        if let Some(again) = runs.iter().find(held) {
            return refuse(format!("run {} is in the baseline already", again.name), "accept each run once");
        }
        if report.is_none() && self.comparable(&first.fingerprint).count() >= RUNS_NEEDED {
            return refuse(
                format!("the baseline holds {RUNS_NEEDED} comparable runs or more, so that new ones must pass a gate first"),
                "run plimsoll gate history, or a paired gate, and accept what passes",
            );
        }
        entry.fingerprint = first.fingerprint.clone();
        entry.runs = runs.iter().map(|run| Run { fingerprint: Fingerprint::default(), ..short(run) }).collect();
        env!("CARGO_PKG_VERSION").clone_into(&mut self.tool_version);
        self.entries.push(entry);
        Ok(())
    }

    /// Every run whose entry has no fixed fact that differs from `head`, the oldest first, with its entry's fingerprint.
    pub fn comparable<'a>(&'a self, head: &'a Fingerprint) -> impl Iterator<Item = &'a Run> {
        self.entries.iter().filter(|e| e.is_comparable(head)).flat_map(|e| &e.runs)
    }

    /// The pinned entry that was accepted last, if it is comparable.
    #[must_use]
    pub fn anchor(&self, head: &Fingerprint) -> Option<&Entry> {
        self.entries.iter().rfind(|e| e.pinned && e.is_comparable(head))
    }
}

impl Entry {
    /// An entry without runs, for [`Baseline::accept`].
    #[must_use]
    pub fn by(accepted_by: &str, accepted_utc: &str, note: &str, pinned: bool) -> Self {
        Self {
            accepted_by: accepted_by.to_owned(),
            accepted_utc: accepted_utc.to_owned(),
            note: note.to_owned(),
            pinned,
            fingerprint: Fingerprint::default(),
            runs: Vec::new(),
        }
    }

    fn is_comparable(&self, head: &Fingerprint) -> bool {
        !self.fingerprint.differences(head).iter().any(|d| d.fixed)
    }

    fn write(&self) -> String {
        let runs: Vec<String> = self.runs.iter().map(|run| format!("        {}", line(run))).collect();
        format!(
            "    {{\n      \"accepted_by\": {},\n      \"accepted_utc\": {},\n      \"note\": {},\n      \"pinned\": {},\n      \"fingerprint\": {},\n      \"runs\": [\n{}\n      ]\n    }}",
            line(&self.accepted_by),
            line(&self.accepted_utc),
            line(&self.note),
            self.pinned,
            line(&self.fingerprint),
            runs.join(",\n")
        )
    }
}

/// The run with figures of nine digits: more than any clock has, and no more than any reader of JSON keeps.
fn short(run: &Run) -> Run {
    let mut run = run.clone();
    for value in run.values.values_mut() {
        value.value = format!("{:.8e}", value.value).parse().unwrap_or(value.value);
    }
    run
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("every map of a baseline has text keys, and writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Metric;
    use crate::gate::document::Mode;

    fn run(seed: u64) -> Run {
        let mut run = Run { name: format!("run {seed}"), seed, valid: true, due: 600, ok: 600, ..Run::default() };
        for (metric, i) in Metric::ALL.into_iter().zip(1_u32..) {
            run.insert(metric, 1.0 / (f64::from(i) + 0.123_456_789 * seed as f64), 600);
        }
        run.fingerprint.fix("model", "llama");
        run
    }

    fn report(verdict: Verdict) -> Report {
        let mut report = Report::invalid(Mode::History, "no data");
        report.verdict = verdict;
        report
    }

    fn accepted(entries: u64) -> Baseline {
        let mut baseline = Baseline::new("chat");
        for i in 0..entries {
            let entry = Entry::by("Ada", "2026-01-02T03:04:05Z", &format!("merge {i}"), i == 1);
            baseline.accept(Some(&report(Verdict::Pass)), &[run(2 * i), run(2 * i + 1)], entry).unwrap();
        }
        baseline
    }

    #[test]
    fn a_baseline_survives_json_a_line_a_run() {
        for entries in [0, 1, 5] {
            let baseline = accepted(entries);
            let text = baseline.to_json();
            assert_eq!(Baseline::from_json(&text).unwrap(), baseline);
            assert_eq!(text.lines().filter(|l| l.contains("\"seed\":")).count() as u64, 2 * entries);
        }
    }

    #[test]
    fn it_keeps_within_its_size_and_never_drops_what_is_pinned() {
        let text = accepted(200).to_json();
        assert!(text.len() <= BASELINE_BYTES, "{}", text.len());
        let kept = Baseline::from_json(&text).unwrap();
        assert!(kept.entries[0].pinned && kept.entries[0].note == "merge 1");
        assert_eq!(kept.entries.last().unwrap().note, "merge 199");
        assert!(kept.entries.len() > 10);
        let mut one = Baseline::new("chat");
        let many: Vec<Run> = (0..200).map(run).collect();
        one.accept(None, &many, Entry::by("Ada", "", "", false)).unwrap();
        let text = one.to_json();
        assert!(text.len() <= BASELINE_BYTES && Baseline::from_json(&text).unwrap().entries[0].runs.len() > 20);
    }

    #[test]
    fn nothing_but_a_pass_is_accepted() {
        let mut baseline = accepted(2);
        let before = baseline.clone();
        let entry = || Entry::by("Ada", "", "", false);
        for verdict in [Verdict::Fail, Verdict::Inconclusive, Verdict::Invalid, Verdict::NotComparable] {
            assert!(baseline.accept(Some(&report(verdict)), &[run(9)], entry()).unwrap_err().message.contains(verdict.word()));
        }
        assert!(baseline.accept(None, &[], entry()).is_err());
        assert!(baseline.accept(None, &[Run { valid: false, ..run(9) }], entry()).is_err());
        assert!(baseline.accept(None, &[Run { ok: 0, ..run(9) }], entry()).is_err());
        let mut foreign = run(9);
        foreign.fingerprint.fix("model", "mistral");
        assert!(baseline.accept(None, &[run(8), foreign], entry()).unwrap_err().message.contains("model"));
        let other = Report { scenario: "batch".to_owned(), ..report(Verdict::Pass) };
        assert!(baseline.accept(Some(&other), &[run(9)], entry()).unwrap_err().message.contains("batch"));
        assert_eq!(baseline, before);
        baseline.accept(None, &[run(9)], entry()).unwrap();
        assert!(baseline.accept(None, &[run(9)], entry()).unwrap_err().message.contains("already"));
        let mut full = accepted(4);
        assert!(full.accept(None, &[run(9)], entry()).unwrap_err().hint.contains("history"));
        full.accept(Some(&report(Verdict::Pass)), &[run(9)], entry()).unwrap();
    }

    /// forall damage: an error with a hint, never a baseline
    #[test]
    fn damage_is_refused() {
        let text = accepted(2).to_json();
        for cut in (0..text.trim_end().len()).step_by(37) {
            let error = Baseline::from_json(&text[..cut]).unwrap_err();
            assert!(!error.hint.is_empty(), "{error}");
        }
        for (from, to) in [
            ("plimsoll baseline", "another"),
            ("\"schema_version\": 1", "\"schema_version\": 99"),
            ("\"seed\":", "\"sead\":"),
            ("\"entries\"", "\"entires\""),
        ] {
            assert!(Baseline::from_json(&text.replace(from, to)).is_err(), "{from}");
        }
        assert!(Baseline::from_json("[]").is_err() && Baseline::from_json("null").is_err() && Baseline::from_json("PAR1").is_err());
    }
}
