//! Chunk-hours to money: the first chunk and the next ones.

use crate::scenario::plan::Price;

/// What a chunk costs per hour; the first one may have its own price.
#[derive(Clone, Debug, PartialEq)]
pub struct Tariff {
    /// First chunk, per hour.
    pub first: f64,
    /// Every further chunk, per hour.
    pub next: f64,
    /// Three letters, ISO 4217.
    pub currency: String,
}

impl Tariff {
    /// The tariff of a plan. Both prices must name the same currency.
    ///
    /// # Errors
    /// The two currencies when they differ.
    pub fn new(price: &Price) -> Result<Self, (String, String)> {
        if price.first.currency != price.next.currency {
            return Err((price.first.currency.clone(), price.next.currency.clone()));
        }
        Ok(Self { first: price.first.amount, next: price.next.amount, currency: price.first.currency.clone() })
    }

    /// Cost per hour of `chunks` chunks held on average. Exact when the first chunk is always held, as it is with `min_chunks >= 1`;
    /// below one chunk in proportion.
    #[must_use]
    pub fn per_hour(&self, chunks: f64) -> f64 {
        self.first * chunks.clamp(0.0, 1.0) + self.next * (chunks - 1.0).max(0.0)
    }

    /// Cost of `more` chunks on top of `chunks`: negative when fewer.
    #[must_use]
    pub fn step(&self, chunks: f64, more: f64) -> f64 {
        self.per_hour(chunks + more) - self.per_hour(chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::plan::Provenance;

    fn price(first: &str, next: &str) -> Price {
        Price { first: first.parse().unwrap(), next: next.parse().unwrap(), source: Provenance::Assumed }
    }

    #[test]
    fn the_first_chunk_has_its_own_price() {
        let tariff = Tariff::new(&price("6 USD/h", "24 USD/h")).unwrap();
        assert_eq!(tariff.per_hour(1.0), 6.0);
        assert_eq!(tariff.per_hour(2.5), 42.0);
        assert_eq!(tariff.per_hour(0.0), 0.0);
        assert_eq!(tariff.step(1.5, 1.0), 24.0);
    }

    #[test]
    fn two_currencies_are_refused() {
        assert_eq!(Tariff::new(&price("6 USD/h", "24 EUR/h")), Err(("USD".to_owned(), "EUR".to_owned())));
    }
}
