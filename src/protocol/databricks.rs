//! The wire of the Databricks control plane: what is sent, what comes back, and where to. Reading is tolerant, writing is explicit.
//!
//! Members that are not known are ignored or kept, an absent number is 0, a number may come as a text. What is written always says the minimum, also when it is 0: an endpoint
//! without one starts cold, and nobody should have to guess whether that was meant.

pub mod check;
pub mod endpoint;
pub mod entity;
pub mod gateway;
pub mod lenient;
pub mod metrics;
pub mod optimization;
pub mod path;
pub mod refusal;
pub mod version;

/// What capacity of a serving endpoint is bought in. A model belongs to one of the two, and only its optimization info tells which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// Minimum and maximum in tokens per second, in multiples of `throughput_chunk_size`; the endpoint scales in between.
    TokenBands,
    /// A fixed number of model units, in multiples of `model_unit_chunk_size`, with bursts beyond it or without.
    ModelUnits,
}

impl Product {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::TokenBands => "tokens per second",
            Self::ModelUnits => "model units",
        }
    }
}
