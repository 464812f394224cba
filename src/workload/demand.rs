//! `DemandModel`: demand as a random process that can be drawn day after day: level, profile of the week, day factor, bursts, lengths.

mod arrivals;
mod check;
mod draw;
mod law;
mod learn;
mod matching;
mod moments;
mod profile;
mod recording;
mod rows;
mod series;
mod shape;
mod text;
mod what_if;

pub use arrivals::{Due, arrivals, count, rows_of};
pub use check::{Check, CheckRow};
pub use draw::BIN_S;
pub use law::{Law, Residual, Shots};
pub use learn::{About, TooShort, learn};
pub use recording::{Said, of_rates, of_requests};
pub use rows::LengthTable;
pub use series::Series;
pub use shape::model as of_shape;
pub use what_if::{Event, WhatIf};

use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::scenario::workload::{Lengths, Workload};
use crate::workload::length::{self, LengthModel};
use crate::workload::schedule::Material;
use crate::workload::trace::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the file that a model is saved in.
pub const VERSION: u32 = 1;

/// Rows of a table of lengths, at most.
pub const ROWS: u64 = 20_000;

/// A day's seconds.
pub(crate) const DAY_S: f64 = 86_400.0;

/// Demand that can be drawn: learnt from a recording, or one of the named shapes. Saved as `NAME.demand.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DemandModel {
    /// Version of this file's form: [`VERSION`].
    pub version: u32,
    /// What it was learnt from, in words: file names, or the shape.
    pub name: String,
    /// What the recording held.
    pub recorded: Recorded,
    /// The estimate.
    pub law: Law,
    /// The estimate under other draws of the recording: what the days that were not recorded may have changed. May be empty.
    #[serde(default)]
    pub draws: Vec<Law>,
    /// How days are made.
    #[serde(default)]
    pub generator: Generator,
    /// Level of each recorded day against the profile and growth, a factor.
    #[serde(default)]
    pub day_factors: Vec<f64>,
    /// How days that were held out compare with days drawn from the law; none where too few were recorded.
    #[serde(default)]
    pub check: Option<Check>,
    /// Variance factor of the gamma modulation of the counts in [`BIN_S`] seconds; 0: Poisson.
    #[serde(default)]
    pub dispersion: f64,
    /// Token lengths; empty when the recording has none: the scenario's `[workload]` says them.
    #[serde(default)]
    pub lengths: LengthTable,
    /// What is changed about the demand that was recorded.
    #[serde(default)]
    pub what_if: WhatIf,
    /// What a reader must know: what was left out, assumed, or could not be learnt.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What a recording held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Days of which at least half was recorded; 0 for a shape.
    pub days: u32,
    /// Requests, or their expectation where only rates are known.
    pub requests: f64,
    /// Seconds from the beginning to the end, gaps included.
    pub span_s: f64,
    /// Seconds between two values of the rate that the residual was learnt at.
    pub step_s: f64,
    /// The time zone that "minute of the day" is counted in, for example `UTC` or `of the source`.
    pub time_zone: String,
    /// Whether the weekdays are known; otherwise weekday 0 is the first recorded day.
    pub is_dated: bool,
    /// How the recorded rates grow within delays.
    #[serde(default)]
    pub growth: Vec<RecordedGrowth>,
}

/// Growth `G(D)`: the highest rate within the delay after an instant over the rate at it, over all instants of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordedGrowth {
    /// D, seconds.
    pub delay_s: f64,
    /// 19 instants of 20 grow less.
    pub p95: f64,
    /// 99 instants of 100 grow less.
    pub p99: f64,
    /// None grows more.
    pub highest: f64,
}

/// How days are made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Generator {
    /// By the law: profile, day factor, residual and shots.
    #[default]
    Law,
    /// Recorded days again, in random order: the law did not stand the held-out check.
    Days(RecordedDays),
}

/// Recorded days as factors on the level: what the block bootstrap draws from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordedDays {
    /// Seconds between two values.
    pub step_s: f64,
    /// One list a day: its weekday (0 to 6) and requests per second in each step, gaps filled from the profile.
    pub days: Vec<RecordedDay>,
}

/// One recorded day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordedDay {
    /// 0 to 6; 0 is Monday where the weekdays are known.
    pub weekday: u8,
    /// Requests per second in each step.
    pub rates: Vec<f64>,
}

/// One drawn period of demand.
#[derive(Clone, Debug, PartialEq)]
pub struct Day {
    /// Width of a bin, seconds: [`BIN_S`].
    pub bin_s: f64,
    /// Requests per second expected in each bin.
    pub rates: Vec<f64>,
    /// Variance factor of the gamma modulation of each bin's count: `Var N = m + dispersion m^2`; 0: Poisson.
    pub dispersion: f64,
    /// Length stratum of each bin.
    pub strata: Vec<u16>,
    /// The seed of its requests: see [`arrivals()`].
    pub seed: Seed,
}

impl Day {
    /// Requests expected in the whole period.
    #[must_use]
    pub fn expected(&self) -> f64 {
        self.rates.iter().sum::<f64>() * self.bin_s
    }
}

impl DemandModel {
    /// Period `index` under `seed`. A period of a week or more begins on weekday 0; a shorter one at a random place of the week that is a whole
    /// number of periods (below a day) or of days from its beginning. The same key gives the same period; two keys are independent.
    #[must_use]
    pub fn day(&self, seed: Seed, index: u32, period: Nanos) -> Day {
        draw::day(self, seed, index, (period, period))
    }

    /// The first `span` of [`DemandModel::day`] with requests of its own: the same rates, other instants and lengths. For lead-ins.
    #[must_use]
    pub fn lead(&self, seed: Seed, index: u32, period: Nanos, span: Nanos) -> Day {
        let day = draw::day(self, seed, index, (period, span.min(period)));
        Day { seed: day.seed.child("lead", 0), ..day }
    }

    /// Rows that requests of a stratum draw their lengths from, alike in probability. Empty when the recording has no lengths.
    #[must_use]
    pub fn lengths(&self, stratum: u16) -> &[Row] {
        self.lengths.rows(stratum)
    }

    /// Whether the model knows token lengths.
    #[must_use]
    pub fn has_lengths(&self) -> bool {
        !self.lengths.is_empty()
    }

    /// The model under outer draw `draw`: what could have been learnt from other days of the same service. Without recorded draws: itself.
    #[must_use]
    pub fn resampled(&self, draw: u64) -> Self {
        let count = self.draws.len() as u64;
        let Some(law) = usize::try_from(draw.checked_rem(count).unwrap_or(0)).ok().and_then(|i| self.draws.get(i)) else { return self.clone() };
        let generator = match &self.generator {
            Generator::Law => Generator::Law,
            Generator::Days(days) => Generator::Days(days.drawn_again(draw % count)),
        };
        Self { law: law.clone(), generator, draws: Vec::new(), ..self.clone() }
    }

    /// How many different outer draws there are.
    #[must_use]
    pub fn draw_count(&self) -> usize {
        self.draws.len()
    }

    /// The model with another growth, events, longer outputs: on top of those it has.
    #[must_use]
    pub fn scaled(&self, change: &WhatIf) -> Self {
        Self { what_if: self.what_if.and(change), lengths: self.lengths.with_output_scale(change.output_scale), ..self.clone() }
    }

    /// Requests per second on average over a week, bursts and day factors included, events not.
    #[must_use]
    pub fn mean_rate(&self) -> f64 {
        let mean = match &self.generator {
            Generator::Law => self.law.mean_rate(),
            Generator::Days(days) => days.mean_rate(),
        };
        mean * self.what_if.growth
    }

    /// The model with lengths drawn from `workload` where it has none of its own; all of them inside the workload's bounds.
    ///
    /// # Errors
    /// When the workload's lengths cannot be drawn.
    pub fn completed(self, workload: &Workload, material: &Material, seed: Seed) -> Result<Self, length::Error> {
        let recordings = length::Recordings { lengths: material.lengths.as_ref(), input: material.input.as_ref(), output: material.output.as_ref() };
        let lengths = if self.has_lengths() {
            let own = Workload { lengths: Lengths::Empirical { trace: None }, ..workload.clone() };
            let bounds = LengthModel::new(&own, recordings, length::Arrivals::WithRows)?;
            self.lengths.map(|row| with_pair(row, bounds.cut(row.into())))
        } else {
            let drawn = LengthModel::new(workload, recordings, length::Arrivals::Bare)?;
            let mut clipped = length::Clipped::default();
            let pair = |i: u64| drawn.draw(seed, i, None, &mut clipped);
            LengthTable::pooled((0..ROWS).map(pair).map(|pair| with_pair(&Row::default(), pair)).collect())
        };
        Ok(Self { lengths, ..self })
    }

    /// From the text of a file.
    ///
    /// # Errors
    /// When it is no such file, or of another version.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        let model: Self = serde_json::from_slice(text)?;
        if model.version != VERSION {
            return Err(Error::Version { found: model.version });
        }
        model.law.check()?;
        for law in &model.draws {
            law.check()?;
        }
        Ok(model)
    }

    /// As the text of a file, figures cut to six digits.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a model has no maps with keys that are not texts")
    }
}

fn with_pair(row: &Row, pair: length::Pair) -> Row {
    Row { at: None, input_tokens: pair.input, output_tokens: pair.output, blocks: row.blocks.min(pair.input) }
}

impl RecordedDays {
    /// As many days drawn with replacement: the bootstrap of the recording.
    fn drawn_again(&self, draw: u64) -> Self {
        let mut stream = Seed(23).keyed("days", draw);
        let days = self.days.iter().map(|_| self.days[length::marginal::index_below(&mut stream, self.days.len())].clone()).collect();
        Self { step_s: self.step_s, days }
    }

    fn mean_rate(&self) -> f64 {
        let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len().max(1) as f64;
        self.days.iter().map(|d| mean(&d.rates)).sum::<f64>() / self.days.len().max(1) as f64
    }
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such file.
    #[error("no demand model: {0}; expected a file written by `plimsoll learn`")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("a demand model of version {found}; expected {VERSION}: learn it again from the recording")]
    Version {
        /// The version found.
        found: u32,
    },
    /// A figure out of range.
    #[error("{what} is {found}; expected {expected}")]
    Range {
        /// Which figure.
        what: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
}

#[cfg(test)]
mod learn_tests;
#[cfg(test)]
mod tests;
