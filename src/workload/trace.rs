//! Recordings of requests as rows: Azure, Mooncake, BurstGPT, tables, CSV and JSON lines by column.

use crate::base::time::Nanos;
use crate::scenario::load::{Arrivals, Columns, TraceFormat, TraceSource};
use crate::scenario::model::Scenario;
use crate::scenario::workload::{Lengths, Marginal};
use std::io::Read;

/// One recorded request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it came, from the first row; `None` in recordings of lengths only.
    pub at: Option<Nanos>,
    /// Input tokens, at least 1.
    pub input_tokens: u32,
    /// Output tokens, at least 1.
    pub output_tokens: u32,
    /// Leading input tokens that an earlier row had too (Mooncake's 512-token blocks); 0 if the recording does not say.
    pub blocks: u32,
}

/// A recording, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The requests, sorted by `at`; rows of one instant keep the order of the file.
    pub rows: Vec<Row>,
    /// Rows left out because they could not be understood or had no tokens.
    pub skipped: u64,
    /// Rows that stood behind a later one in the file.
    pub unsorted: u64,
    /// Why rows were left out: the first few reasons, each with its line.
    pub problems: Vec<String>,
    /// How the file was read; never `Auto` after [`read`].
    pub format: TraceFormat,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No row is left.
    #[error("{file}: no request in it; {reason}")]
    Empty {
        /// The recording as the user named it.
        file: String,
        /// Why.
        reason: String,
    },
}

/// Reads a recording to its end.
pub fn read(source: impl Read, format: TraceFormat, columns: Option<&Columns>, name: &str) -> Result<Rows, Error> {
    let _ = (source, format, columns);
    Err(Error::Empty { file: name.to_owned(), reason: String::new() })
}

/// Every recording that the scenario names, each once, in the order in which the scenario is read: arrivals, lengths, session turns, plan.
#[must_use]
pub fn sources(scenario: &Scenario) -> Vec<TraceSource> {
    let mut found = Vec::new();
    of_arrivals(&scenario.load.arrivals, &mut found);
    match &scenario.workload.lengths {
        Lengths::Empirical { trace } => found.extend(trace.clone()),
        Lengths::Independent { input, output } | Lengths::Correlated { input, output, .. } => {
            of_marginal(input, &mut found);
            of_marginal(output, &mut found);
        }
    }
    if let Some(sessions) = &scenario.workload.sessions {
        of_marginal(&sessions.turns, &mut found);
    }
    if let Some(plan) = &scenario.plan {
        of_arrivals(&plan.demand, &mut found);
    }
    let mut unique: Vec<TraceSource> = Vec::new();
    for source in found {
        if !unique.contains(&source) {
            unique.push(source);
        }
    }
    unique
}

fn of_arrivals(arrivals: &Arrivals, found: &mut Vec<TraceSource>) {
    if let Arrivals::Trace { trace, .. } = arrivals {
        found.push(trace.clone());
    }
}

fn of_marginal(marginal: &Marginal, found: &mut Vec<TraceSource>) {
    match marginal {
        Marginal::Column { trace, .. } => found.push(trace.clone()),
        Marginal::Mixture(parts) => parts.iter().for_each(|part| of_marginal(&part.of, found)),
        _ => {}
    }
}
