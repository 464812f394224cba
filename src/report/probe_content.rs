//! What a probe found, as sentences and tables: the same words in every format.

use super::chart::Table;
use super::number::{count, plural, real, share, span};
use super::verdict::Standing;
use crate::measure::probe::document::ProbeDocument;
use crate::measure::probe::{Instant, NoLag, Repeat, Sign};
use std::fmt::Write as _;

/// How a probe stands: good when it saw a lag.
#[must_use]
pub fn standing(probe: &ProbeDocument) -> Standing {
    if probe.lag.is_some() { Standing::Good } else { Standing::Undecided }
}

/// In a few words.
#[must_use]
pub fn word(probe: &ProbeDocument) -> &'static str {
    if probe.lag.is_some() { "LAG MEASURED" } else { "NO LAG SEEN" }
}

/// The finding in sentences.
#[must_use]
pub fn sentence(probe: &ProbeDocument) -> String {
    let mut text = match &probe.lag {
        Some(lag) => {
            let seen: Vec<Instant> = probe.repeats.iter().filter_map(|r| r.lag).collect();
            let mut text = format!("From the step of load to the first new chunk: {}", span(lag.median_s));
            if let [one] = seen.as_slice() {
                let _ = write!(text, " (95% interval {} to {})", span(one.low_s), span(one.high_s));
            } else {
                let (least, most) = (seen.iter().map(|i| i.at_s).fold(f64::INFINITY, f64::min), seen.iter().map(|i| i.at_s).fold(0.0, f64::max));
                let _ =
                    write!(text, " in the median of {}, between {} and {}", plural(seen.len() as u64, "repeat", "repeats"), span(least), span(most));
            }
            text.push('.');
            match lag.decision_s {
                Some(d) => {
                    let _ = write!(text, " Less {} that the assumed policy takes to decide.", span(d));
                }
                None => text.push_str(" The autoscaler's decision (window and poll) is part of it: from outside the two cannot be told apart."),
            }
            text
        }
        None => none(probe),
    };
    text.push_str(&chunk(probe));
    text
}

fn none(probe: &ProbeDocument) -> String {
    let held = probe.repeats.iter().map(|r| r.held_s).fold(0.0, f64::max);
    let load = probe.shape.high_rate / probe.shape.low_rate.max(1e-9);
    match probe.repeats.first().and_then(|r| r.no_lag) {
        Some(NoLag::NoScaleUp) => format!("No scale-up was seen within {} of a load {} times the one before.", span(held), real(load)),
        Some(NoLag::NotSaturated) => format!(
            "No scale-up was seen within {}: the endpoint served all of the load, so that a new chunk could only show in the latency, and did not. Step higher with --step.",
            span(held)
        ),
        Some(NoLag::Invalid) => {
            "The run is INVALID: what it shows may be this client and not the endpoint. The notes and the run's own page say why; probe again on a quieter machine.".to_owned()
        }
        Some(NoLag::TooLittle) | None => "Too little was recorded under high load to see a scale-up.".to_owned(),
    }
}

/// What a chunk serves; empty when it was never saturated.
fn chunk(probe: &ProbeDocument) -> String {
    let Some(c) = &probe.chunk else { return String::new() };
    let half = c.half_tok_s.map(|h| format!(" \u{b1} {}", real(h))).unwrap_or_default();
    let mut text = format!(
        " A saturated chunk served {}{half} tok/s, {} of the {} it is advertised for.",
        real(c.tok_s),
        share_of(c.tok_s, c.advertised_tok_s),
        real(c.advertised_tok_s)
    );
    if let (Some(after), Some(n), Some(added)) = (c.after_tok_s, c.chunks_after, c.added_tok_s) {
        let _ = write!(text, " After the scale-up {} tok/s were served, by the ratio {n} chunks; each one added {} tok/s.", real(after), real(added));
    }
    text
}

fn share_of(part: f64, whole: f64) -> String {
    if part <= whole { share(part / whole.max(1e-9)) } else { format!("{:.0}%", 100.0 * part / whole.max(1e-9)) }
}

fn instant(i: Option<Instant>) -> String {
    i.map_or_else(|| "not seen".to_owned(), |i| format!("{} ({} to {})", span(i.at_s), span(i.low_s), span(i.high_s)))
}

/// One row a repeat; times count from the step, for the scale-down from the step back.
#[must_use]
pub fn repeats(probe: &ProbeDocument) -> Table {
    let head = ["Repeat", "lag (95% interval)", "seen in", "in flight turn", "TTFT recovers", "scale-down shows", "requests", "429", "lost"];
    let mut table = Table::new(&head);
    for (i, r) in probe.repeats.iter().enumerate() {
        let sign = match (r.sign, r.no_lag) {
            (Some(Sign::Throughput), _) => "tok/s, saturated",
            (Some(Sign::InFlight), _) => "requests in flight",
            (Some(Sign::TimePerToken), _) => "time per token",
            (None, Some(NoLag::NoScaleUp)) => "no scale-up",
            (None, Some(NoLag::NotSaturated)) => "not saturated",
            (None, Some(NoLag::Invalid)) => "INVALID run",
            (None, _) => "too little",
        };
        table.rows.push(vec![
            (i + 1).to_string(),
            instant(r.lag),
            sign.to_owned(),
            r.turn.map_or_else(|| "not seen".to_owned(), |t| span(t.at_s)),
            r.recovered_s.map_or_else(|| "not seen".to_owned(), span),
            instant(r.scale_down),
            count(r.requests),
            count(r.throttled),
            count(r.lost),
        ]);
    }
    table
}

/// One row a level of the hold.
#[must_use]
pub fn levels(probe: &ProbeDocument) -> Table {
    let mut table = Table::new(&["Level", "from", "to", "tok/s", "offered tok/s", "in flight", "saturated"]);
    for (i, r) in probe.repeats.iter().enumerate() {
        for (k, l) in r.levels.iter().enumerate() {
            let half = l.half_tok_s.map(|h| format!(" \u{b1} {}", real(h))).unwrap_or_default();
            table.rows.push(vec![
                format!("{}.{}", i + 1, k + 1),
                span(l.from_s),
                span(l.to_s),
                format!("{}{half}", real(l.tok_s)),
                real(l.offered_tok_s),
                real(l.in_flight),
                if l.saturated { "yes" } else { "no" }.to_owned(),
            ]);
        }
    }
    table
}

/// The repeat that is drawn: the first one with a lag, or the first.
#[must_use]
pub fn shown(probe: &ProbeDocument) -> Option<(usize, &Repeat)> {
    let all = || probe.repeats.iter().enumerate();
    all().find(|(_, r)| r.lag.is_some()).or_else(|| all().next())
}

/// How to read it.
pub const NOTE: &str = "Steps in the tokens received are found by least squares; their 95% intervals allow for neighbouring bins that are alike. A chunk that comes shows as more tokens per second while a backlog waits; when the backlog has gone, the throughput falls back to what is offered. Time to first token recovers only when the backlog has gone: later than the chunk.";
