//! Values to text: HTML, SVG, terminal, Markdown, JUnit, what CI systems read. Writes nothing itself.

pub mod annotation;
pub mod artifact;
pub mod capacity_content;
pub mod chart;
pub mod fit_content;
pub mod gate_content;
pub mod html;
pub mod junit;
pub mod load_performance;
pub mod markdown;
pub mod money_content;
pub mod number;
pub mod openmetrics;
pub mod plan_content;
pub mod probe_content;
pub mod run_content;
pub mod sensitivity_content;
pub mod terminal;
pub mod verdict;
pub mod verify_content;
pub mod words;

/// A measured figure beside the one that the fitted model predicts.
#[derive(Clone, Debug, PartialEq)]
pub struct FitRow {
    /// The load step, as a person names it: `12 requests/s`.
    pub step: String,
    /// `TTFT`, `TPOT`, `E2E`.
    pub metric: String,
    /// `p50`, `p95`.
    pub percentile: String,
    /// Measured, milliseconds.
    pub measured_ms: f64,
    /// Predicted, milliseconds.
    pub predicted_ms: f64,
}

/// A main figure: a name, one or more values, and what they are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its name.
    pub name: String,
    /// Qualifier (`p95`, or empty) and value with unit.
    pub values: Vec<(String, String)>,
    /// Sample size or what it is over.
    pub note: String,
}

impl Figure {
    /// A figure with one value.
    #[must_use]
    pub fn single(name: &str, value: String, note: String) -> Self {
        Self { name: name.to_owned(), values: vec![(String::new(), value)], note }
    }
}
