//! `RunDocument`: what `run.json` holds, and its published schema.

use super::summary::Summary;
use crate::record::manifest::{Manifest, SCHEMA_VERSION};
use crate::scenario::model::Scenario;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that is kept of one run: which run it was, what was asked, what came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Plimsoll run")]
pub struct RunDocument {
    /// Version of this format; raised when a reader of the old one would go wrong.
    pub schema_version: u32,
    /// Which run it was.
    pub manifest: Manifest,
    /// What was asked: the scenario with overrides applied and every default filled in.
    pub experiment: Scenario,
    /// What came out.
    pub summary: Summary,
}

/// Why a text is not a run document of this version.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not of this shape.
    #[error("not a run document: {0}; expected run.json as written by plimsoll")]
    Shape(#[from] serde_json::Error),
    /// Written by a version that used another format.
    #[error("run document of version {found}; this tool reads version {SCHEMA_VERSION}")]
    Version {
        /// The version of the text.
        found: u64,
    },
}

impl RunDocument {
    /// A document of the current version.
    #[must_use]
    pub fn new(manifest: Manifest, experiment: Scenario, summary: Summary) -> Self {
        Self { schema_version: SCHEMA_VERSION, manifest, experiment, summary }
    }

    /// Pretty JSON with a final line break.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("every map of the document has text keys, and writing to memory does not fail");
        text.push('\n');
        text
    }

    /// Reads what [`RunDocument::to_json`] wrote.
    ///
    /// # Errors
    /// [`Error::Version`] for a document of another version, [`Error::Shape`] for anything else.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        match value.get("schema_version").and_then(serde_json::Value::as_u64) {
            Some(found) if found != u64::from(SCHEMA_VERSION) => Err(Error::Version { found }),
            _ => Ok(serde_json::from_value(value)?),
        }
    }
}

/// The JSON Schema of [`RunDocument`], published as `docs/run.schema.json`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(RunDocument).to_value()
}
