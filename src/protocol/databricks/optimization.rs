//! `get-model-optimization-info`: whether a model can be had with provisioned throughput, and what one chunk of it is.

use super::{Product, lenient};
use serde::{Deserialize, Serialize};

/// The answer. Which chunk is there tells which product the model belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptimizationInfo {
    /// Whether the model can be served with provisioned throughput; absent means no.
    #[serde(default)]
    pub optimizable: bool,
    /// Family of the model, for example `llama` or `gte`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_type: Option<String>,
    /// Tokens per second of one chunk.
    #[serde(default, deserialize_with = "lenient::maybe_whole", skip_serializing_if = "Option::is_none")]
    pub throughput_chunk_size: Option<u64>,
    /// Model units of one chunk, for models that are sold by units.
    #[serde(default, deserialize_with = "lenient::maybe_whole", skip_serializing_if = "Option::is_none")]
    pub model_unit_chunk_size: Option<u64>,
    /// Class of the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Why it is not optimizable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One chunk of a model: capacity is bought in whole multiples of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// What it is counted in.
    pub product: Product,
    /// How much of that one chunk is, at least 1.
    pub size: u64,
}

impl OptimizationInfo {
    /// One chunk, if the model is eligible and the answer says what it is. Model units win where both are told: they are the newer product.
    #[must_use]
    pub fn chunk(&self) -> Option<Chunk> {
        if !self.optimizable {
            return None;
        }
        let units = self.model_unit_chunk_size.map(|size| Chunk { product: Product::ModelUnits, size });
        let bands = self.throughput_chunk_size.map(|size| Chunk { product: Product::TokenBands, size });
        units.or(bands).filter(|chunk| chunk.size > 0)
    }
}

impl Chunk {
    /// Whether `amount` is a whole number of chunks.
    #[must_use]
    pub const fn divides(&self, amount: u64) -> bool {
        amount.is_multiple_of(self.size)
    }

    /// The multiples next to `amount`: not above it and not below it.
    #[must_use]
    pub const fn around(&self, amount: u64) -> (u64, u64) {
        let below = amount - amount % self.size;
        (below, if below == amount { amount } else { below.saturating_add(self.size) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> OptimizationInfo {
        serde_json::from_str(text).unwrap()
    }

    /// The documented answers, and those seen in public.
    #[test]
    fn answers_of_both_products_are_read() {
        let llama = read(r#"{"optimizable":true,"model_type":"llama","throughput_chunk_size":1580}"#);
        assert_eq!(llama.chunk(), Some(Chunk { product: Product::TokenBands, size: 1580 }));
        let gte = read(r#"{"optimizable":true,"model_type":"gte","throughput_chunk_size":980,"new":[1]}"#);
        assert_eq!((gte.chunk().unwrap().size, gte.model_type.as_deref()), (980, Some("gte")));
        let units = read(r#"{"optimizable":true,"model_unit_chunk_size":50}"#);
        assert_eq!(units.chunk(), Some(Chunk { product: Product::ModelUnits, size: 50 }));
        let refused = read(r#"{"error_code":"INVALID_PARAMETER_VALUE","message":"not supported"}"#);
        assert_eq!((refused.optimizable, refused.chunk(), refused.message.as_deref()), (false, None, Some("not supported")));
        assert_eq!(read(r#"{"optimizable":false,"throughput_chunk_size":980}"#).chunk(), None);
        assert_eq!(read(r#"{"optimizable":true,"throughput_chunk_size":0}"#).chunk(), None);
    }

    proptest! {
        /// forall amounts: both neighbours are multiples, they hold the amount between them, and are less than a chunk apart from it.
        #[test]
        fn neighbours_are_multiples(size in 1u64..100_000, amount in 0u64..1_000_000_000) {
            let chunk = Chunk { product: Product::TokenBands, size };
            let (below, above) = chunk.around(amount);
            prop_assert!(chunk.divides(below) && chunk.divides(above));
            prop_assert!(below <= amount && amount <= above && above - below <= size);
            prop_assert_eq!(chunk.divides(amount), below == above);
        }
    }
}
