//! Which columns of a recording are the instant, the input tokens and the output tokens.

use super::stamp::Unit;
use crate::scenario::load::{Columns, TimestampUnit, TraceFormat};

/// Names that each role may have, the first match counts.
#[derive(Clone, Debug)]
pub(super) struct Names {
    time: Vec<(String, Unit)>,
    /// Without an instant the recording is refused, else it is one of lengths only.
    time_needed: bool,
    input: Vec<String>,
    output: Vec<String>,
}

/// The names found in a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picked {
    /// Instant and its unit; `None`: lengths only.
    pub(super) time: Option<(String, Unit)>,
    /// Input tokens.
    pub(super) input: Option<String>,
    /// Output tokens.
    pub(super) output: Option<String>,
}

const MS: Unit = Unit::Stated(TimestampUnit::Milliseconds);
const S: Unit = Unit::Stated(TimestampUnit::Seconds);

/// Names known without being told: public traces, the usage tables of Databricks (`system.serving.endpoint_usage`,
/// `system.ai_gateway.usage`), length tables of simulators, and the usage object of OpenAI-compatible servers.
const TIMES: [(&str, Unit); 9] = [
    ("at_ms", MS),
    ("timestamp_ms", MS),
    ("TIMESTAMP", Unit::BySize),
    ("timestamp", Unit::BySize),
    ("request_time", Unit::BySize),
    ("event_time", Unit::BySize),
    ("start_time", Unit::BySize),
    ("created", Unit::BySize),
    ("arrived_at", S),
];
const INPUTS: [&str; 8] = [
    "input_tokens",
    "ContextTokens",
    "Request tokens",
    "input_token_count",
    "input_length",
    "num_prefill_tokens",
    "prompt_tokens",
    "usage.prompt_tokens",
];
const OUTPUTS: [&str; 8] = [
    "output_tokens",
    "GeneratedTokens",
    "Response tokens",
    "output_token_count",
    "output_length",
    "num_decode_tokens",
    "completion_tokens",
    "usage.completion_tokens",
];

impl Names {
    fn fixed(time: (&str, Unit), input: &str, output: &str) -> Self {
        Self { time: vec![(time.0.to_owned(), time.1)], time_needed: true, input: vec![input.to_owned()], output: vec![output.to_owned()] }
    }

    /// The names that a format has, or that the user stated. `None`: the format needs `columns`.
    pub(super) fn of(format: TraceFormat, columns: Option<&Columns>) -> Option<Self> {
        Some(match (format, columns) {
            (TraceFormat::Azure, _) => Self::fixed(("TIMESTAMP", S), "ContextTokens", "GeneratedTokens"),
            (TraceFormat::Mooncake, _) => Self::fixed(("timestamp", MS), "input_length", "output_length"),
            (TraceFormat::Burstgpt, _) => Self::fixed(("Timestamp", S), "Request tokens", "Response tokens"),
            (TraceFormat::Table, _) => Self { time_needed: false, ..Self::fixed(("at_ms", MS), "input_tokens", "output_tokens") },
            (TraceFormat::Auto | TraceFormat::Csv | TraceFormat::Jsonl, Some(c)) => Self {
                time: c.timestamp.iter().map(|t| (t.clone(), Unit::Stated(c.timestamp_unit))).collect(),
                time_needed: c.timestamp.is_some(),
                input: vec![c.input.clone()],
                output: vec![c.output.clone()],
            },
            (TraceFormat::Auto, None) => Self {
                time: TIMES.iter().map(|&(name, unit)| (name.to_owned(), unit)).collect(),
                time_needed: false,
                input: INPUTS.iter().map(|&n| n.to_owned()).collect(),
                output: OUTPUTS.iter().map(|&n| n.to_owned()).collect(),
            },
            (TraceFormat::Csv | TraceFormat::Jsonl, None) => return None,
        })
    }

    /// The first name of each role that `has` knows.
    pub(super) fn pick(&self, has: impl Fn(&str) -> bool) -> Picked {
        let first = |names: &[String]| names.iter().find(|n| has(n)).cloned();
        Picked { time: self.time.iter().find(|(n, _)| has(n)).cloned(), input: first(&self.input), output: first(&self.output) }
    }

    /// The first role without a column: what it is and the names it may have.
    pub(super) fn missing(&self, picked: &Picked) -> Option<(&'static str, Vec<String>)> {
        if picked.input.is_none() {
            return Some(("input tokens", self.input.clone()));
        }
        if picked.output.is_none() {
            return Some(("output tokens", self.output.clone()));
        }
        (self.time_needed && picked.time.is_none()).then(|| ("the instant", self.time.iter().map(|(n, _)| n.clone()).collect()))
    }
}

impl Picked {
    /// The format that these names belong to, `fallback` for none of the public ones.
    pub(super) fn format(&self, fallback: TraceFormat) -> TraceFormat {
        match self.input.as_deref() {
            Some("ContextTokens") => TraceFormat::Azure,
            Some("Request tokens") => TraceFormat::Burstgpt,
            Some("input_length") if fallback == TraceFormat::Jsonl => TraceFormat::Mooncake,
            Some("input_tokens") if fallback == TraceFormat::Csv && self.time.as_ref().is_none_or(|(name, _)| name == "at_ms") => TraceFormat::Table,
            _ => fallback,
        }
    }
}

/// The name among `existing` that looks most like one of `wanted`, if any shares at least half of its letter pairs (Dice's coefficient).
pub(super) fn nearest<'n>(wanted: &[String], existing: &'n [String]) -> Option<&'n str> {
    let mut best: Option<(f64, &str)> = None;
    for name in existing {
        for want in wanted {
            let likeness = likeness(want, name);
            if likeness >= 0.5 && best.is_none_or(|(b, _)| likeness > b) {
                best = Some((likeness, name));
            }
        }
    }
    best.map(|(_, name)| name)
}

fn likeness(a: &str, b: &str) -> f64 {
    let pairs = |s: &str| -> Vec<(char, char)> {
        let letters: Vec<char> = s.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        letters.windows(2).map(|w| (w[0], w[1])).collect()
    };
    let (a, mut b) = (pairs(a), pairs(b));
    let total = a.len() + b.len();
    let mut common = 0;
    for pair in a {
        if let Some(i) = b.iter().position(|&p| p == pair) {
            b.swap_remove(i);
            common += 1;
        }
    }
    if total == 0 { 0.0 } else { 2.0 * f64::from(common) / total as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        let existing = ["time".to_owned(), "promt_tokens".to_owned(), "model".to_owned()];
        assert_eq!(nearest(&["prompt_tokens".to_owned()], &existing), Some("promt_tokens"));
        assert_eq!(nearest(&["latency".to_owned()], &existing), None);
    }

    #[test]
    fn formats_are_known_by_their_names() {
        let auto = Names::of(TraceFormat::Auto, None).unwrap();
        let of = |header: &[&str], fallback| auto.pick(|n| header.contains(&n)).format(fallback);
        assert_eq!(of(&["TIMESTAMP", "ContextTokens", "GeneratedTokens"], TraceFormat::Csv), TraceFormat::Azure);
        assert_eq!(of(&["at_ms", "input_tokens", "output_tokens"], TraceFormat::Csv), TraceFormat::Table);
        assert_eq!(of(&["event_time", "input_tokens", "output_tokens"], TraceFormat::Csv), TraceFormat::Csv);
        assert_eq!(of(&["timestamp", "input_length", "output_length"], TraceFormat::Jsonl), TraceFormat::Mooncake);
    }
}
