//! Recordings of requests as rows: Azure, Mooncake, BurstGPT, tables, CSV and JSON lines by column.

use crate::base::time::Nanos;

/// One recorded request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Time since the first row; `None`: the recording has no instants.
    pub at: Option<Nanos>,
    /// Input tokens.
    pub input_tokens: u32,
    /// Output tokens.
    pub output_tokens: u32,
    /// Leading input tokens shared with an earlier row; 0 if unknown.
    pub blocks: u32,
}

/// The rows of a recording, sorted by instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Row>,
    /// Lines that were not rows.
    pub skipped: u64,
    /// Rows that came earlier than the row before them.
    pub unsorted: u64,
}
