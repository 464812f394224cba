//! What capacity costs: written in the scenario, or taken from a dated price file.

use super::plan::Provenance;
use crate::base::units::{HourlyPrice, TokenPrice};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Price of capacity: `first`, `next` and `source` here, or `file` and `sku`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Price {
    /// The first chunk.
    pub first: Option<HourlyPrice>,
    /// Every further chunk.
    pub next: Option<HourlyPrice>,
    /// Where the price comes from.
    pub source: Option<Provenance>,
    /// What the same model costs by the token, to compare with.
    pub pay_per_token: Option<TokenPrices>,
    /// The day on which the price was right, `2026-04-10`.
    pub as_of: Option<String>,
    /// Where it holds, for example a cloud region.
    pub region: Option<String>,
    /// A price file, `scenarios/prices/*.toml`.
    pub file: Option<PathBuf>,
    /// Which of its entries.
    pub sku: Option<String>,
}

/// Prices by the token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenPrices {
    /// Input tokens.
    pub input: TokenPrice,
    /// Output tokens.
    pub output: TokenPrice,
}

/// A price file: one list of prices, of one day and one region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceList {
    /// What it lists.
    pub name: String,
    /// The day on which the prices were right, `2026-04-10`.
    pub as_of: String,
    /// Where they hold.
    pub region: String,
    /// How they are known.
    pub source: Provenance,
    /// Document or page they were taken from.
    pub reference: String,
    /// What a reader should know about them.
    #[serde(default)]
    pub note: String,
    /// The entries by name.
    pub sku: BTreeMap<String, Sku>,
}

/// An entry of a price file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sku {
    /// The first chunk.
    pub first: HourlyPrice,
    /// Every further chunk.
    pub next: HourlyPrice,
    /// What the same model costs by the token.
    #[serde(default)]
    pub pay_per_token: Option<TokenPrices>,
}

/// Why a price file does not give a price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such entry.
    #[error("plan.price.sku: there is no {wanted:?}; expected one of {known}")]
    NoSku {
        /// What was asked for.
        wanted: String,
        /// The entries.
        known: String,
    },
    /// Not a day.
    #[error("as_of: {0:?} is not a day; expected year, month and day, e.g. \"2026-04-10\"")]
    Date(String),
}

impl Price {
    /// The price filled in from `list`; `file` and `sku` stay as they are.
    ///
    /// # Errors
    /// When the list has no such entry or no proper date.
    pub fn taken_from(&self, list: &PriceList) -> Result<Self, Error> {
        let wanted = self.sku.clone().unwrap_or_default();
        let sku = list
            .sku
            .get(&wanted)
            .ok_or_else(|| Error::NoSku { wanted, known: list.sku.keys().map(String::as_str).collect::<Vec<_>>().join(", ") })?;
        day_number(&list.as_of).ok_or_else(|| Error::Date(list.as_of.clone()))?;
        Ok(Self {
            first: Some(sku.first.clone()),
            next: Some(sku.next.clone()),
            source: Some(list.source),
            pay_per_token: sku.pay_per_token.clone(),
            as_of: Some(list.as_of.clone()),
            region: Some(list.region.clone()),
            ..self.clone()
        })
    }
}

/// Days from 1970-01-01 to a day written `YYYY-MM-DD` (proleptic Gregorian calendar; what follows the day is not looked at). `None`: not a day.
#[must_use]
pub fn day_number(text: &str) -> Option<i64> {
    let mut parts = text.get(..10)?.split('-');
    let mut number = |width: usize| parts.next().filter(|p| p.len() == width && p.bytes().all(|b| b.is_ascii_digit()))?.parse::<i64>().ok();
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Months count from March, so that the leap day is the last of a year: 153 days in five months.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(before + (153 * month + 2) / 5 + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        for (text, day) in [("1970-01-01", 0), ("1970-03-01", 59), ("2000-02-29", 11_016), ("2026-11-25", 20_782), ("1969-12-31", -1)] {
            assert_eq!(day_number(text), Some(day), "{text}");
        }
        assert_eq!(day_number("2026-11-25T08:00:00Z"), Some(20_782));
        for text in ["", "2026", "2026-13-01", "2026-00-10", "26-01-01-x", "2026/01/01", "2026-1-011"] {
            assert_eq!(day_number(text), None, "{text}");
        }
    }

    #[test]
    fn a_price_is_filled_in_from_its_entry_or_names_the_entries() {
        let sku = Sku { first: "6 USD/h".parse().unwrap(), next: "24 USD/h".parse().unwrap(), pay_per_token: None };
        let list = PriceList {
            name: "a".to_owned(),
            as_of: "2026-04-10".to_owned(),
            region: "us".to_owned(),
            source: Provenance::Documented,
            reference: "a page".to_owned(),
            note: String::new(),
            sku: [("m".to_owned(), sku)].into(),
        };
        let asked = |name: &str| Price { sku: Some(name.to_owned()), ..Price::default() };
        let price = asked("m").taken_from(&list).unwrap();
        assert_eq!((price.next.unwrap().amount, price.as_of.as_deref(), price.source), (24.0, Some("2026-04-10"), Some(Provenance::Documented)));
        assert!(asked("x").taken_from(&list).unwrap_err().to_string().contains("expected one of m"));
        assert!(asked("m").taken_from(&PriceList { as_of: "soon".to_owned(), ..list }).is_err());
    }
}
