//! The text of a scenario file and the overrides beside it: decoding, parsing, and the places of faults.

use super::Override;
use super::shape::{self, Marked};
use super::tree::{Mark, Node};
use crate::base::diag::{Fault, Place};
use serde_json::Value as Schema;
use toml::de::{DeTable, DeValue};

/// The text of a file, without what cannot be read as one.
pub(super) fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Box<Fault>> {
    if bytes.len() > super::MAX_BYTES {
        let fault = Fault::new("", format!("the file has {} bytes, too many for a scenario", bytes.len()));
        let fault = fault
            .with_expected(format!("at most {} bytes", super::MAX_BYTES))
            .with_hint("keep tables of requests in a trace file, and name its path");
        return Err(Box::new(at_start(file, fault)));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        let before = &bytes[..offset];
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        let place = Place {
            file: file.to_owned(),
            line: before.split(|&b| b == b'\n').count(),
            column: String::from_utf8_lossy(&before[line_start..]).chars().count() + 1,
            span: offset..offset,
        };
        let fault = Fault::new("", format!("byte {offset} (0x{:02x}) is not UTF-8", bytes[offset]));
        let fault = fault.with_expected("text in UTF-8").with_hint("save the file as UTF-8");
        Box::new(Fault { place: Some(place), ..fault })
    })
}

fn at_start(file: &str, fault: Fault) -> Fault {
    Fault { place: Some(Place { file: file.to_owned(), line: 1, column: 1, span: 0..0 }), ..fault }
}

/// What was written: the file and the overrides.
pub(super) struct Source<'a> {
    file: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
    overrides: &'a [Override],
}

/// A parsed file.
pub(super) struct Parsed {
    /// What could be read.
    pub tree: Node,
    /// Syntax faults.
    pub faults: Vec<Marked>,
    /// Whether the tree has the structure that was meant: every fault concerns a single value or a repeated key.
    pub is_whole: bool,
}

impl<'a> Source<'a> {
    /// The text of `file`, and what is set over it.
    pub(super) fn new(file: &'a str, text: &'a str, overrides: &'a [Override]) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { file, text, line_starts, overrides }
    }

    /// Parses the file; the parser goes on behind a fault, so that all of them are found.
    pub(super) fn parse(&self) -> Parsed {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        let mut is_whole = true;
        let faults = errors
            .iter()
            .map(|error| {
                let span = error.span().unwrap_or(0..0);
                let (message, expected) = error.message().split_once(", expected ").map_or((error.message(), None), |(m, e)| (m, Some(e)));
                is_whole &= matches!(message, "string values must be quoted" | "duplicate key" | "invalid float");
                let found = self.text.get(span.clone()).unwrap_or_default();
                syntax_fault(message, expected, found, span)
            })
            .collect();
        Parsed { tree: Node::from_document(document.get_ref()), faults, is_whole }
    }

    /// Puts the overrides into the tree, in order. A name that reads like a number (`target.http=2`) is a name where `schema` knows it.
    pub(super) fn apply(&self, tree: &mut Node, schema: &Schema) -> Vec<Marked> {
        let mut faults = Vec::new();
        for (index, Override { key, value }) in self.overrides.iter().enumerate() {
            let mut refuse = |fault: Fault| faults.push(Marked { fault, mark: Mark::Override(index) });
            let Some(keys) = split_key(key) else {
                let fault = Fault::new(key, format!("{:?} is not a key", shorten(key))).with_found(shorten(key));
                refuse(fault.with_expected("a dotted key and a value, e.g. --set load.measure=5s"));
                continue;
            };
            let node = match DeValue::parse(value) {
                Ok(parsed) if !shape::is_name(schema, &keys, value) => Node::from_override(parsed.get_ref(), index),
                _ => Node::from_override(&DeValue::String(value.as_str().into()), index),
            };
            if let Err(depth) = tree.insert(&keys, node) {
                let in_the_way = keys[..depth].join(".");
                let fault = Fault::new(key, format!("`{in_the_way}` is no table, it has no `{}`", keys[depth]));
                refuse(fault.with_found(shorten(key)).with_hint(format!("set `{in_the_way}` as a whole")));
            }
        }
        faults
    }

    /// What stands at `mark`, on one line and not too long.
    pub(super) fn written(&self, mark: &Mark) -> String {
        match mark {
            Mark::File(span) => shorten(self.text.get(span.clone()).unwrap_or_default()),
            Mark::Override(index) => self.overrides.get(*index).map_or_else(String::new, |o| shorten(&o.value)),
        }
    }

    /// Gives a fault its place: line and column in the file, or the override that it comes from.
    pub(super) fn place(&self, Marked { fault, mark }: Marked) -> Fault {
        match mark {
            Mark::File(span) => {
                // A byte-order mark takes no column.
                let first = if self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
                let start = self.text.floor_char_boundary(span.start.clamp(first, self.text.len().max(first)));
                let line = self.line_starts.partition_point(|&s| s <= start).max(1);
                let line_start = self.line_starts.get(line - 1).copied().unwrap_or(0).max(first);
                let column = self.text.get(line_start..start).unwrap_or_default().chars().count() + 1;
                Fault { place: Some(Place { file: self.file.to_owned(), line, column, span }), ..fault }
            }
            Mark::Override(index) => {
                let key = self.overrides.get(index).map_or("", |o| o.key.as_str());
                Fault { message: format!("{} (by --set {})", fault.message, shorten(key)), ..fault }
            }
        }
    }
}

/// The parser's words, made plain where a typing error is common.
fn syntax_fault(message: &str, expected: Option<&str>, found: &str, span: std::ops::Range<usize>) -> Marked {
    let mut fault = Fault::new("", message);
    if !found.is_empty() {
        fault = fault.with_found(shorten(found));
    }
    fault = match message {
        "string values must be quoted" if found.trim().is_empty() => Fault::new("", "a value is missing").with_expected("a value behind `=`"),
        "string values must be quoted" => {
            fault.message = format!("{} is not quoted", shorten(found));
            fault.with_expected("texts and quantities in quotes").with_hint(format!("write \"{}\"", shorten(found)))
        }
        "invalid float" => {
            fault.message = format!("{} is neither a number nor a quoted text", shorten(found));
            fault.with_hint(format!("a text is written \"{}\"", shorten(found)))
        }
        "duplicate key" => {
            fault.message = format!("`{}` stands here a second time", shorten(found));
            fault.with_expected("every key and every [table] once")
        }
        _ => match expected {
            Some(expected) => fault.with_expected(expected),
            None => fault,
        },
    };
    Marked { fault, mark: Mark::File(span) }
}

/// The parts of a dotted key; the parser itself reads it, so that quoted parts mean the same as in a file.
fn split_key(key: &str) -> Option<Vec<String>> {
    let text = format!("{key} = 0");
    let document = DeTable::parse(&text).ok()?;
    let mut table = document.get_ref();
    let mut keys = Vec::new();
    loop {
        let mut entries = table.iter();
        let (Some((key, value)), None) = (entries.next(), entries.next()) else { return None };
        keys.push(key.get_ref().clone().into_owned());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            // The zero put there by us, and nothing that came in with the key.
            _ => return (value.span().end == text.len()).then_some(keys),
        }
    }
}

/// At most one line and sixty characters.
fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let cut = line.char_indices().nth(60).map(|(i, _)| i);
    match cut {
        Some(i) => format!("{}…", &line[..i]),
        None if line.len() < text.trim_end().len() => format!("{line}…"),
        None => line.to_owned(),
    }
}
