//! Chunk-hours to money: the first chunk and the next ones; how old the price is; and what the same demand costs by the token.

use super::explain::grouped;
use super::recommendation::{BreakEven, PriceFacts};
use crate::base::diag::{Severity, Warning};
use crate::scenario::plan::Provenance;
use crate::scenario::price::{Price, TokenPrices, day_number};

/// Days after which a price is doubted.
pub const STALE_DAYS: i64 = 180;

/// Why a price cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two currencies.
    #[error("plan.price: the first chunk is in {first} and the next ones in {next}; expected one currency")]
    Currencies {
        /// Of the first chunk.
        first: String,
        /// Of another price.
        next: String,
    },
    /// A price file that nobody read, or no price at all.
    #[error("plan.price: there is no price; expected `first`, `next` and `source`, or `file` and `sku` of a price file")]
    NoPrice,
}

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
    /// The tariff of a plan. All prices must name the same currency.
    ///
    /// # Errors
    /// Without a price, and when currencies differ.
    pub fn new(price: &Price) -> Result<Self, Error> {
        let (Some(first), Some(next)) = (&price.first, &price.next) else { return Err(Error::NoPrice) };
        let tokens = price.pay_per_token.iter().flat_map(|t| [&t.input.currency, &t.output.currency]);
        if let Some(other) = std::iter::once(&next.currency).chain(tokens).find(|c| **c != first.currency) {
            return Err(Error::Currencies { first: first.currency.clone(), next: other.clone() });
        }
        Ok(Self { first: first.amount, next: next.amount, currency: first.currency.clone() })
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

/// The price as the report shows it.
#[must_use]
pub fn facts(price: &Price) -> PriceFacts {
    PriceFacts {
        first_per_hour: price.first.as_ref().map_or(0.0, |p| p.amount),
        next_per_hour: price.next.as_ref().map_or(0.0, |p| p.amount),
        source: price.source.unwrap_or(Provenance::Assumed),
        as_of: price.as_of.clone(),
        region: price.region.clone(),
        sku: price.sku.clone(),
        input_per_million: price.pay_per_token.as_ref().map(|t| t.input.per_million),
        output_per_million: price.pay_per_token.as_ref().map(|t| t.output.per_million),
    }
}

/// A doubt when the price is older than [`STALE_DAYS`] on the day `today` (`YYYY-MM-DD`, more may follow), or of no date.
#[must_use]
pub fn age_warning(price: &PriceFacts, today: &str) -> Option<Warning> {
    let warn = |severity, code: &str, message: String| {
        let hint = "copy the price file, correct it, and set its as_of".to_owned();
        Some(Warning { severity, code: code.to_owned(), message, limit: format!("{STALE_DAYS} days"), hint })
    };
    let Some(as_of) = &price.as_of else {
        return warn(Severity::Note, "price-undated", "the price has no date; nobody can tell whether it still holds".to_owned());
    };
    let age = day_number(today)? - day_number(as_of)?;
    if age <= STALE_DAYS {
        return None;
    }
    warn(Severity::Doubt, "price-old", format!("the price is of {as_of}, {age} days old"))
}

/// The demand and the answer to it, as far as money is concerned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bill {
    /// Mean input tokens per second.
    pub input_tok_s: f64,
    /// Mean output tokens per second.
    pub output_tok_s: f64,
    /// Tokens per second that a chunk serves within the objectives, input and output together.
    pub effective_tok_s: f64,
    /// Cost per hour of the chosen size.
    pub cost_per_hour: f64,
}

/// Provisioned throughput against paying by the token. `None` without tokens or without a chunk that serves any.
///
/// By the token an hour costs `3600 (x_in p_in + x_out p_out)`. Capacity that follows demand without any head-room and is used to the last token
/// costs `first + (n - 1) next` for a load of at most `n` effective chunks: the lowest load at which that is not dearer is the break-even.
#[must_use]
pub fn break_even(tariff: &Tariff, tokens: &TokenPrices, bill: &Bill) -> Option<BreakEven> {
    let load = bill.input_tok_s + bill.output_tok_s;
    if load <= 0.0 || bill.effective_tok_s <= 0.0 {
        return None;
    }
    let by_token = 3600e-6 * (bill.input_tok_s * tokens.input.per_million + bill.output_tok_s * tokens.output.per_million);
    // A million tokens of this mix.
    let mixed = by_token / (load * 3600e-6);
    let full_chunk = tariff.next / (bill.effective_tok_s * 3600e-6);
    let least = |chunks: u32| tariff.per_hour(f64::from(chunks)) / (mixed * 3600e-6);
    let break_even_tok_s = (1..=10_000_u32).map(|n| (n, least(n))).find(|(n, at)| *at <= f64::from(*n) * bill.effective_tok_s).map(|(_, at)| at);
    let same_size = if mixed > 0.0 { bill.cost_per_hour / (mixed * 3600e-6) } else { f64::INFINITY };
    let mut found = BreakEven {
        by_token_per_hour: by_token,
        provisioned_per_hour: bill.cost_per_hour,
        mixed_per_million: mixed,
        provisioned_per_million: bill.cost_per_hour / (load * 3600e-6),
        full_chunk_per_million: full_chunk,
        demand_tok_s: load,
        break_even_tok_s,
        same_size_tok_s: same_size.is_finite().then_some(same_size),
        is_provisioned_cheaper: bill.cost_per_hour <= by_token,
        verdict: String::new(),
    };
    found.verdict = verdict(&found, &tariff.currency);
    Some(found)
}

fn verdict(found: &BreakEven, currency: &str) -> String {
    let paid = format!(
        "by the token this demand would cost {:.2} {currency} an hour, provisioned {:.2}",
        found.by_token_per_hour, found.provisioned_per_hour
    );
    if found.is_provisioned_cheaper {
        return format!("{paid}: provisioned throughput is cheaper for this demand");
    }
    let why = match found.break_even_tok_s {
        Some(at) => {
            format!("capacity without any head-room would break even from {} tokens/s on; the demand is {}", grouped(at), grouped(found.demand_tok_s))
        }
        None => format!(
            "even a further chunk that is used to the last token costs {:.2} {currency} a million tokens, against {:.2} by the token: it is bought for latency and isolation, not for its price",
            found.full_chunk_per_million, found.mixed_per_million
        ),
    };
    format!("{paid}: paying by the token is cheaper; {why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn price(first: &str, next: &str) -> Price {
        Price { first: Some(first.parse().unwrap()), next: Some(next.parse().unwrap()), source: Some(Provenance::Assumed), ..Price::default() }
    }

    fn tokens(input: f64, output: f64) -> TokenPrices {
        TokenPrices { input: format!("{input} USD/Mtok").parse().unwrap(), output: format!("{output} USD/Mtok").parse().unwrap() }
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
    fn two_currencies_and_no_price_are_refused() {
        let differ = Err(Error::Currencies { first: "USD".to_owned(), next: "EUR".to_owned() });
        assert_eq!(Tariff::new(&price("6 USD/h", "24 EUR/h")), differ);
        let by_token = TokenPrices { output: "1 EUR/Mtok".parse().unwrap(), ..tokens(1.0, 1.0) };
        assert_eq!(Tariff::new(&Price { pay_per_token: Some(by_token), ..price("6 USD/h", "24 USD/h") }), differ);
        assert_eq!(Tariff::new(&Price::default()), Err(Error::NoPrice));
    }

    #[test]
    fn an_old_price_is_doubted_and_an_undated_one_noted() {
        let of = |as_of: Option<&str>| facts(&Price { as_of: as_of.map(str::to_owned), ..price("6 USD/h", "24 USD/h") });
        let code = |as_of, today| age_warning(&of(as_of), today).map(|w| w.code);
        assert_eq!(code(Some("2026-04-10"), "2026-10-07T09:00:00Z"), None);
        assert_eq!(code(Some("2026-04-10"), "2026-10-08"), Some("price-old".to_owned()));
        assert_eq!(code(None, "2026-10-08"), Some("price-undated".to_owned()));
        assert_eq!(code(Some("2026-04-10"), "never"), None);
    }

    /// 70B list prices: a full chunk of 1,580 tokens/s costs 24 / 5.688 = 4.22 USD a million, the tokens of 2,048 in and 256 out 0.61.
    #[test]
    fn a_dear_chunk_never_breaks_even_and_a_cheap_one_does_where_the_lines_cross() {
        let tariff = Tariff::new(&price("6 USD/h", "24 USD/h")).unwrap();
        let bill = Bill { input_tok_s: 2048.0, output_tok_s: 256.0, effective_tok_s: 1580.0, cost_per_hour: 30.0 };
        let found = break_even(&tariff, &tokens(0.5, 1.5), &bill).unwrap();
        assert!((found.mixed_per_million - 0.6111).abs() < 1e-4 && (found.full_chunk_per_million - 4.219).abs() < 1e-3, "{found:?}");
        assert!(found.break_even_tok_s.is_none() && !found.is_provisioned_cheaper);
        assert!(found.verdict.contains("latency and isolation"), "{}", found.verdict);
        let cheap =
            break_even(&Tariff { first: 2.0, next: 2.0, currency: "USD".to_owned() }, &tokens(0.5, 1.5), &Bill { cost_per_hour: 4.0, ..bill })
                .unwrap();
        // 2 USD an hour buy 2 / 0.6111 million tokens an hour: 909 a second, less than one chunk serves.
        assert!((cheap.break_even_tok_s.unwrap() - 2.0 / 0.611_111 / 3600e-6).abs() < 0.1, "{cheap:?}");
        assert!(cheap.is_provisioned_cheaper);
    }

    proptest! {
        /// forall prices and loads: at the break-even both ways cost the same, and below it capacity without head-room is dearer
        #[test]
        fn at_the_break_even_both_cost_the_same(first in 0.1_f64..50.0, next in 0.1_f64..50.0, p in 0.05_f64..20.0, s in 100.0_f64..20_000.0) {
            let tariff = Tariff { first, next, currency: "USD".to_owned() };
            let bill = Bill { input_tok_s: 100.0, output_tok_s: 100.0, effective_tok_s: s, cost_per_hour: first };
            let found = break_even(&tariff, &tokens(p, p), &bill).unwrap();
            if let Some(at) = found.break_even_tok_s {
                let chunks = (at / s * (1.0 - 1e-12)).ceil().max(1.0);
                prop_assert!((tariff.per_hour(chunks) - p * at * 3600e-6).abs() < 1e-6 * tariff.per_hour(chunks), "{found:?}");
                let below = at * 0.999;
                prop_assert!(tariff.per_hour((below / s).ceil().max(1.0)) > p * below * 3600e-6 * (1.0 - 1e-9));
            } else {
                prop_assert!(tariff.per_hour(10_000.0) > p * 10_000.0 * s * 3600e-6 * (1.0 - 1e-9));
            }
        }
    }
}
