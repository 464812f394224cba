//! Quantities as a user writes them, number and unit in one text: `800ms`, `12/s`, `1580 tok/s`, `95%`, `24 USD/h`.

use super::time::Nanos;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Why a text is not the quantity that was expected. Says what would have been one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {what}; expected {expected}")]
pub struct UnitError {
    /// The text as found.
    pub found: String,
    /// The quantity, with its article: `a duration`.
    pub what: &'static str,
    /// What to write, with examples.
    pub expected: &'static str,
}

/// A quantity written as text. Its schema carries `format`, by which `check` finds the parser.
pub trait Quantity: Sized + FromStr<Err = UnitError> + fmt::Display {
    /// The JSON Schema `format`.
    const FORMAT: &'static str;
    /// The quantity with its article.
    const WHAT: &'static str;
    /// What to write, with examples.
    const EXPECTED: &'static str;
    /// A regular expression that every valid text matches.
    const PATTERN: &'static str;

    /// The error for `found`.
    fn refuse(found: &str) -> UnitError {
        UnitError { found: found.to_owned(), what: Self::WHAT, expected: Self::EXPECTED }
    }
}

/// Splits `text` into a finite, non-negative number and the unit behind it.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .char_indices()
        .find(|&(i, c)| {
            !(c.is_ascii_digit() || c == '.' || c == '_' || (matches!(c, 'e' | 'E') && text[i + 1..].starts_with(|d: char| d.is_ascii_digit())))
        })
        .map_or(text.len(), |(i, _)| i);
    let number: f64 = text[..end].replace('_', "").parse().ok()?;
    (number.is_finite() && number >= 0.0).then(|| (number, text[end..].trim()))
}

macro_rules! quantity_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": <$name as Quantity>::FORMAT, "pattern": <$name as Quantity>::PATTERN })
            }
        }
    };
}

/// A duration as text: `250us`, `800ms`, `5s`, `10min`, `2h`, `1d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub Nanos);

impl TimeSpan {
    /// The duration in nanoseconds.
    #[must_use]
    pub const fn nanos(self) -> Nanos {
        self.0
    }
    /// Whole seconds.
    #[must_use]
    pub const fn secs(s: u64) -> Self {
        Self(Nanos::from_secs(s))
    }
    /// Whole milliseconds.
    #[must_use]
    pub const fn millis(ms: u64) -> Self {
        Self(Nanos::from_millis(ms))
    }
    /// Seconds as a real number.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }
}

/// Unit names with their length in nanoseconds: whole numbers, so that what is written comes back exactly.
const TIME_UNITS: [(&str, f64); 9] =
    [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("min", 6e10), ("h", 3.6e12), ("d", 8.64e13), ("m", 6e10), ("day", 8.64e13)];

impl Quantity for TimeSpan {
    const FORMAT: &'static str = "plimsoll-duration";
    const WHAT: &'static str = "a duration";
    const EXPECTED: &'static str = "a number with a unit of time, e.g. \"800ms\", \"5s\", \"10min\", \"2h\" or \"1d\"";
    const PATTERN: &'static str = r"^\s*[0-9][0-9_.eE]*\s*(ns|us|ms|s|min|m|h|d|day)\s*$";
}

impl FromStr for TimeSpan {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = number_and_unit(text).ok_or_else(|| Self::refuse(text))?;
        let (_, scale) = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| Self::refuse(text))?;
        // Range: a scenario that names more than 100 years has a typing error.
        let ns = (number * scale).round();
        if ns > 100.0 * 366.0 * 8.64e13 {
            return Err(Self::refuse(text));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 3.2e18 by the checks above")]
        Ok(Self(Nanos(ns as u64)))
    }
}

impl fmt::Display for TimeSpan {
    /// The largest unit in which the duration is a whole number, so that parsing gives the same value back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.0;
        for (unit, len) in
            [("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("min", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)]
        {
            if ns > 0 && ns.is_multiple_of(len) {
                return write!(f, "{}{unit}", ns / len);
            }
        }
        if ns == 0 { f.write_str("0s") } else { write!(f, "{ns}ns") }
    }
}
quantity_as_text!(TimeSpan);

/// A rate of requests as text: `12/s`, `30/min`, `500/h`. Held per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

impl Quantity for Rate {
    const FORMAT: &'static str = "plimsoll-rate";
    const WHAT: &'static str = "a rate";
    const EXPECTED: &'static str = "a number per unit of time, e.g. \"12/s\", \"30/min\" or \"500/h\"";
    const PATTERN: &'static str = r"^\s*[0-9][0-9_.eE]*\s*(/\s*(s|min|h)|rps|qps)\s*$";
}

impl FromStr for Rate {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = number_and_unit(text).ok_or_else(|| Self::refuse(text))?;
        let per = match unit {
            "rps" | "qps" => 1.0,
            _ => match unit.strip_prefix('/').map(str::trim) {
                Some("s") => 1.0,
                Some("min") => 60.0,
                Some("h") => 3600.0,
                _ => return Err(Self::refuse(text)),
            },
        };
        if number > 1e9 { Err(Self::refuse(text)) } else { Ok(Self(number / per)) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}
quantity_as_text!(Rate);

/// A rate of tokens as text: `1580 tok/s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct TokenRate(pub f64);

impl Quantity for TokenRate {
    const FORMAT: &'static str = "plimsoll-token-rate";
    const WHAT: &'static str = "a rate of tokens";
    const EXPECTED: &'static str = "tokens per unit of time, e.g. \"1580 tok/s\" or \"90000 tok/min\"";
    const PATTERN: &'static str = r"^\s*[0-9][0-9_.eE]*\s*(tok|tokens)\s*/\s*(s|min)\s*$";
}

impl FromStr for TokenRate {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = number_and_unit(text).ok_or_else(|| Self::refuse(text))?;
        let compact: String = unit.chars().filter(|c| !c.is_whitespace()).collect();
        match compact.as_str() {
            "tok/s" | "tokens/s" => Ok(Self(number)),
            "tok/min" | "tokens/min" => Ok(Self(number / 60.0)),
            _ => Err(Self::refuse(text)),
        }
    }
}

impl fmt::Display for TokenRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tok/s", self.0)
    }
}
quantity_as_text!(TokenRate);

/// A share of a whole as text: `95%`, `0.5%`. Held from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl Quantity for Share {
    const FORMAT: &'static str = "plimsoll-share";
    const WHAT: &'static str = "a share";
    const EXPECTED: &'static str = "a percentage from 0% to 100%, e.g. \"95%\" or \"0.5%\"";
    const PATTERN: &'static str = r"^\s*[0-9][0-9_.eE]*\s*%\s*$";
}

impl FromStr for Share {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        match number_and_unit(text) {
            Some((number, "%")) if number <= 100.0 => Ok(Self(number / 100.0)),
            _ => Err(Self::refuse(text)),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Twelve digits are enough to give the same share back and hide the binary tail of x * 100.
        let percent = format!("{:.10}", self.0 * 100.0);
        write!(f, "{}%", percent.trim_end_matches('0').trim_end_matches('.'))
    }
}
quantity_as_text!(Share);

/// A price per hour as text: `24 USD/h`.
#[derive(Clone, Debug, PartialEq)]
pub struct HourlyPrice {
    /// Amount in the currency.
    pub amount: f64,
    /// Three letters, ISO 4217.
    pub currency: String,
}

impl Quantity for HourlyPrice {
    const FORMAT: &'static str = "plimsoll-hourly-price";
    const WHAT: &'static str = "a price per hour";
    const EXPECTED: &'static str = "an amount, a currency and \"/h\", e.g. \"24 USD/h\"";
    const PATTERN: &'static str = r"^\s*[0-9][0-9_.eE]*\s*[A-Z]{3}\s*/\s*h\s*$";
}

impl FromStr for HourlyPrice {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (amount, unit) = number_and_unit(text).ok_or_else(|| Self::refuse(text))?;
        let (currency, per) = unit.split_once('/').ok_or_else(|| Self::refuse(text))?;
        let currency = currency.trim();
        let iso = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
        if iso && per.trim() == "h" { Ok(Self { amount, currency: currency.to_owned() }) } else { Err(Self::refuse(text)) }
    }
}

impl fmt::Display for HourlyPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/h", self.amount, self.currency)
    }
}
quantity_as_text!(HourlyPrice);

/// A price of tokens as text: `0.50 USD/Mtok`, an amount for a million tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenPrice {
    /// Amount for a million tokens, in the currency.
    pub per_million: f64,
    /// Three letters, ISO 4217.
    pub currency: String,
}

impl Quantity for TokenPrice {
    const FORMAT: &'static str = "plimsoll-token-price";
    const WHAT: &'static str = "a price of tokens";
    const EXPECTED: &'static str = "an amount, a currency and \"/Mtok\" (a million tokens), e.g. \"0.50 USD/Mtok\"";
    const PATTERN: &'static str = r"^\s*[0-9][0-9_.eE]*\s*[A-Z]{3}\s*/\s*Mtok\s*$";
}

impl FromStr for TokenPrice {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (per_million, unit) = number_and_unit(text).ok_or_else(|| Self::refuse(text))?;
        let (currency, per) = unit.split_once('/').ok_or_else(|| Self::refuse(text))?;
        let currency = currency.trim();
        let iso = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
        if iso && per.trim() == "Mtok" { Ok(Self { per_million, currency: currency.to_owned() }) } else { Err(Self::refuse(text)) }
    }
}

impl fmt::Display for TokenPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/Mtok", self.per_million, self.currency)
    }
}
quantity_as_text!(TokenPrice);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// forall d: parse(show(d)) == d
        #[test]
        fn durations_survive_a_round_trip(ns in 0_u64..3_000_000_000_000_000) {
            let span = TimeSpan(Nanos(ns));
            prop_assert_eq!(span.to_string().parse::<TimeSpan>().unwrap(), span);
        }

        /// forall r: parse(show(r)) == r
        #[test]
        fn rates_survive_a_round_trip(r in 0.0_f64..1e6) {
            prop_assert_eq!(Rate(r).to_string().parse::<Rate>().unwrap(), Rate(r));
        }

        /// forall s in [0, 1]: parse(show(s)) is s to 1e-11
        #[test]
        fn shares_survive_a_round_trip(s in 0.0_f64..=1.0) {
            let back = Share(s).to_string().parse::<Share>().unwrap();
            prop_assert!((back.0 - s).abs() < 1e-11);
        }

        /// forall text: no parser panics
        #[test]
        fn no_text_panics(text in "\\PC{0,20}") {
            let _ = text.parse::<TimeSpan>().is_ok() | text.parse::<Rate>().is_ok() | text.parse::<Share>().is_ok() | text.parse::<TokenRate>().is_ok() | text.parse::<HourlyPrice>().is_ok();
        }
    }

    #[test]
    fn units_are_read() {
        assert_eq!("1.5s".parse::<TimeSpan>().unwrap().0, Nanos::from_millis(1500));
        assert_eq!("10 min".parse::<TimeSpan>().unwrap().0, Nanos::from_secs(600));
        assert_eq!("30/min".parse::<Rate>().unwrap(), Rate(0.5));
        assert_eq!("1_580 tok/s".parse::<TokenRate>().unwrap(), TokenRate(1580.0));
        assert_eq!("24 USD/h".parse::<HourlyPrice>().unwrap().amount, 24.0);
        assert_eq!("0.5 USD/Mtok".parse::<TokenPrice>().unwrap().to_string(), "0.5 USD/Mtok");
        assert!("0.5 USD/tok".parse::<TokenPrice>().is_err());
    }

    #[test]
    fn what_is_not_a_quantity_is_refused() {
        for text in ["", "12", "12/m0", "-1s", "nans", "NaN s", "inf s", "1e999s", "5 parsecs", "12 /", "101%"] {
            assert!(text.parse::<TimeSpan>().is_err() && text.parse::<Rate>().is_err() && text.parse::<Share>().is_err(), "{text}");
        }
    }
}
