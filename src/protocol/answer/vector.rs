//! An embedding folded while it is read: its length and its norm, without keeping a number.

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

/// What is checked of an embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vector {
    /// How many numbers.
    pub dimension: u32,
    /// Euclidean norm; `None` for base64, which is not decoded.
    pub norm: Option<f64>,
}

impl Vector {
    /// Whether its norm is 1 within a thousandth. A norm that is not known counts as 1.
    #[must_use]
    pub fn is_normalised(&self) -> bool {
        self.norm.is_none_or(|norm| (norm - 1.0).abs() <= 1e-3)
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Folding;
        impl<'de> Visitor<'de> for Folding {
            type Value = Vector;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of numbers or a base64 string")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Vector, A::Error> {
                let (mut dimension, mut squares) = (0_u32, 0.0);
                while let Some(number) = numbers.next_element::<f64>()? {
                    dimension += 1;
                    squares += number * number;
                }
                Ok(Vector { dimension, norm: Some(squares.sqrt()) })
            }
            /// `encoding_format: base64`: little-endian 32-bit floats.
            fn visit_str<E: Error>(self, text: &str) -> Result<Vector, E> {
                let bytes = text.trim_end_matches('=').len() * 3 / 4;
                let dimension = u32::try_from(bytes / 4).map_err(E::custom)?;
                Ok(Vector { dimension, norm: None })
            }
        }
        deserializer.deserialize_any(Folding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_norm_are_folded() {
        let vector: Vector = serde_json::from_str("[0.6, -0.8]").unwrap();
        assert_eq!(vector.dimension, 2);
        assert!(vector.is_normalised());
        assert!(!serde_json::from_str::<Vector>("[3, 4]").unwrap().is_normalised());
        // Three floats are twelve bytes are sixteen characters.
        assert_eq!(serde_json::from_str::<Vector>("\"AACAPwAAAEAAAEBA\"").unwrap(), Vector { dimension: 3, norm: None });
        // Four floats are sixteen bytes are twenty-two characters and two of padding.
        assert_eq!(serde_json::from_str::<Vector>("\"AACAPwAAAEAAAEBAAACAQA==\"").unwrap().dimension, 4);
    }
}
