//! What can be wrong, as values: a `Fault` in the input (where, value, expectation, hint) and a `Warning` (a reason to doubt a result).

use std::fmt;

/// A place in a text file; line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Byte range in the file, for drawing.
    pub span: std::ops::Range<usize>,
}

/// One fault in what the user gave us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Dotted key path, for example `load.arrivals.poisson.rate`.
    pub key: String,
    /// Where it stands, when it stands in a file.
    pub place: Option<Place>,
    /// The value found, as written.
    pub found: Option<String>,
    /// What was expected, with an example.
    pub expected: Option<String>,
    /// One thing to try.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault at a key path; the other parts are added with the `with_` methods.
    #[must_use]
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { message: message.into(), key: key.into(), place: None, found: None, expected: None, hint: None }
    }

    /// Adds the value that was found.
    #[must_use]
    pub fn with_found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    /// Adds what was expected.
    #[must_use]
    pub fn with_expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(p) = &self.place {
            write!(f, "{}:{}:{}: ", p.file, p.line, p.column)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(expected) = &self.expected {
            write!(f, "\n  expected {expected}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// How much a warning costs the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; the numbers stand.
    Note,
    /// The numbers may be off; say so beside them.
    Doubt,
    /// The run measured something else than the endpoint: INVALID.
    Invalid,
}

/// A reason to doubt a result. A value in the report, never only a log line.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Warning {
    /// How much it costs the result.
    pub severity: Severity,
    /// Stable kebab-case name, for machines: `schedule-late`, `client-cpu`, `usage-missing`.
    pub code: String,
    /// What was seen, with its number and limit, in one sentence.
    pub message: String,
    /// The limit alone, `p99 <= 5 ms` for example; empty where there is none to keep.
    #[serde(default)]
    pub limit: String,
    /// The remedy: what the user can do about it.
    pub hint: String,
}
