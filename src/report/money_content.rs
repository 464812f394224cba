//! What there is to say of the money of a plan: prices with their date, and against paying by the token.

use super::chart::Table;
use super::number::{money, real, share};
use super::words;
use crate::planner::recommendation::{BreakEven, Recommendation};

/// The prices in a sentence, with day, place and provenance.
#[must_use]
pub fn prices(plan: &Recommendation) -> String {
    let p = &plan.prices;
    let mut parts = vec![format!(
        "First {} {}/h, every further one {}/h, {}",
        unit_name(plan),
        money(p.first_per_hour, &plan.currency),
        money(p.next_per_hour, &plan.currency),
        words::provenance(p.source)
    )];
    if let (Some(input), Some(output)) = (p.input_per_million, p.output_per_million) {
        parts.push(format!("by the token {} a million in and {} out", money(input, &plan.currency), money(output, &plan.currency)));
    }
    parts.extend(p.sku.as_ref().map(|sku| format!("entry {sku}")));
    parts.extend(p.region.clone());
    parts.push(p.as_of.as_ref().map_or_else(|| "no date given".to_owned(), |day| format!("as of {day}")));
    format!("{}.", parts.join("; "))
}

/// What one unit of capacity is called.
#[must_use]
pub fn unit_name(plan: &Recommendation) -> &str {
    plan.unit.as_ref().map_or("chunk", |u| u.name.as_str())
}

/// Paying by the token against the plan, an hour and a million tokens at a time.
#[must_use]
pub fn break_even(found: &BreakEven, currency: &str) -> Table {
    let mut table = Table::new(&["Way to pay", "This demand, an hour", "A million tokens"]);
    let mut row = |name: &str, hour: String, million: f64| table.rows.push(vec![name.to_owned(), hour, money(million, currency)]);
    row("by the token", money(found.by_token_per_hour, currency), found.mixed_per_million);
    row("the recommended size", money(found.provisioned_per_hour, currency), found.provisioned_per_million);
    row("a further unit, used to the last token", "n/a".to_owned(), found.full_chunk_per_million);
    table
}

/// Which way to pay is cheaper, and why.
#[must_use]
pub fn verdict(found: &BreakEven) -> String {
    super::words::sentence(&found.verdict)
}

/// From which load on provisioned throughput is cheaper.
#[must_use]
pub fn break_even_note(found: &BreakEven) -> String {
    let least = match found.break_even_tok_s {
        Some(at) => format!("Capacity without any head-room breaks even at {} tok/s.", real(at)),
        None => "No load makes capacity cheaper than tokens, not even without head-room.".to_owned(),
    };
    match found.same_size_tok_s {
        Some(at) if found.demand_tok_s > 0.0 => format!(
            "{least} The recommended size would have to carry {} tok/s on average to cost the same; the demand is {} tok/s, {} of that.",
            real(at),
            real(found.demand_tok_s),
            share((found.demand_tok_s / at).min(1.0))
        ),
        _ => least,
    }
}
