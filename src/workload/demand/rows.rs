//! Token lengths of a demand: joint rows, in strata by the hour of the day where hours differ.

use super::DAY_S;
use super::law::index;
use crate::workload::trace::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// Rows of lengths in strata, shared by all copies of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LengthTable {
    /// Stratum of each hour of the day; empty: one stratum for all.
    #[serde(default)]
    of_hour: Vec<u16>,
    /// Rows of each stratum: input tokens, output tokens, leading input tokens seen before.
    #[serde(default)]
    #[schemars(with = "Vec<Vec<[u32; 3]>>")]
    strata: Triples,
}

/// Rows as lists of three numbers in the file.
#[derive(Clone, Debug, Default, PartialEq)]
struct Triples(Arc<Vec<Vec<Row>>>);

impl Serialize for Triples {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let triple = |r: &Row| [r.input_tokens, r.output_tokens, r.blocks];
        serializer.collect_seq(self.0.iter().map(|rows| rows.iter().map(triple).collect::<Vec<_>>()))
    }
}

impl<'de> Deserialize<'de> for Triples {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read: Vec<Vec<[u32; 3]>> = Vec::deserialize(deserializer)?;
        let row = |[input_tokens, output_tokens, blocks]: [u32; 3]| Row {
            at: None,
            input_tokens: input_tokens.max(1),
            output_tokens: output_tokens.max(1),
            blocks: blocks.min(input_tokens),
        };
        Ok(Self(Arc::new(read.into_iter().map(|rows| rows.into_iter().map(row).collect()).collect())))
    }
}

impl LengthTable {
    /// One stratum for the whole day.
    #[must_use]
    pub fn pooled(rows: Vec<Row>) -> Self {
        Self { of_hour: Vec::new(), strata: Triples(Arc::new(vec![rows])) }
    }

    /// Strata by the hour: `of_hour` has 24 numbers of `strata`.
    #[must_use]
    pub fn by_hour(of_hour: Vec<u16>, strata: Vec<Vec<Row>>) -> Self {
        Self { of_hour, strata: Triples(Arc::new(strata)) }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.strata.0.iter().all(Vec::is_empty)
    }

    /// How many strata there are.
    #[must_use]
    pub fn strata_count(&self) -> usize {
        self.strata.0.len()
    }

    /// Rows of a stratum; those of stratum 0 where it has none.
    #[must_use]
    pub fn rows(&self, stratum: u16) -> &[Row] {
        let of = |i: usize| self.strata.0.get(i).map(Vec::as_slice).filter(|rows| !rows.is_empty());
        of(usize::from(stratum)).or_else(|| of(0)).unwrap_or(&[])
    }

    /// Every row, stratum after stratum.
    pub fn all(&self) -> impl Iterator<Item = &Row> {
        self.strata.0.iter().flatten()
    }

    /// The stratum of a time, in seconds from the beginning of weekday 0.
    #[must_use]
    pub fn stratum_at(&self, second: f64) -> u16 {
        let hour = index(second.rem_euclid(DAY_S) / 3600.0);
        self.of_hour.get(hour).copied().unwrap_or(0)
    }

    /// Each row as `change` makes it.
    #[must_use]
    pub fn map(&self, change: impl Fn(&Row) -> Row) -> Self {
        let strata = self.strata.0.iter().map(|rows| rows.iter().map(&change).collect()).collect();
        Self { of_hour: self.of_hour.clone(), strata: Triples(Arc::new(strata)) }
    }

    /// Every output `scale` times as long, a whole token at least.
    #[must_use]
    pub fn with_output_scale(&self, scale: f64) -> Self {
        if (scale - 1.0).abs() < 1e-12 {
            return self.clone();
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate; tokens are not negative")]
        self.map(|row| Row { output_tokens: ((f64::from(row.output_tokens) * scale).round() as u32).max(1), ..*row })
    }
}
