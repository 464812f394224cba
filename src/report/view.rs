//! What the reports read of a run: its summary, its scenario, and the facts of who measured what, when and where.

use crate::measure::summary::Summary;
use crate::scenario::model::Scenario;
use std::collections::BTreeMap;

/// One run, as the reports see it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunView<'a> {
    /// What was asked.
    pub scenario: &'a Scenario,
    /// What was found.
    pub summary: &'a Summary,
    /// Who, when, where.
    pub facts: RunFacts,
}

/// The facts around a run. Every one is text that others may have written: it is escaped wherever it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// Version of the tool.
    pub tool_version: String,
    /// The seed.
    pub seed: u64,
    /// When load started, ISO 8601 in UTC.
    pub started_utc: String,
    /// The run came to its end.
    pub finished: bool,
    /// The run was cut, and rebuilt from its log.
    pub recovered: bool,
    /// The model, as asked for and as the endpoint calls itself.
    pub model: String,
    /// Where the load went.
    pub url: String,
    /// The endpoint was the simulated one.
    pub embedded: bool,
    /// Name and value of everything else that is worth a line: host, vocabulary, checksum.
    pub rows: Vec<(String, String)>,
    /// An example message of each class of failure.
    pub failure_examples: BTreeMap<String, String>,
}
