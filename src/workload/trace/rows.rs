//! Records to rows: numbers checked, rows without a usable one left out and counted, the rest sorted by time.

use super::fields::{Record, Records};
use super::json::{Blocks, member_names, pick, scalar};
use super::lines::Lines;
use super::shape::{Names, Picked, nearest};
use super::stamp::{Unit, instant};
use super::{Error, Row, Rows};
use crate::base::time::Nanos;
use crate::scenario::load::{Columns, TraceFormat};
use serde_json::Value;

/// Most tokens of one side that are believed; the longest context windows are this long.
const MOST_TOKENS: u32 = 10_000_000;
/// How many reasons for leaving out a row are kept.
const REASONS: usize = 5;
/// Longest span of a recording, in years.
const MOST_YEARS: u32 = 50;
/// Columns of HTTP status codes.
const STATUSES: [&str; 3] = ["status_code", "http_status", "status"];
/// Timestamps after this one, 2000-01-01 in nanoseconds, count from 1970; smaller ones from the beginning of the recording.
const DATED_NS: i64 = 946_684_800_000_000_000;
/// How many columns an error lists.
const LISTED: usize = 40;

/// What is known before the first row: the request of the caller and the first line.
pub(super) struct Start<'a> {
    pub(super) file: &'a str,
    pub(super) format: TraceFormat,
    pub(super) columns: Option<&'a Columns>,
    pub(super) first: Vec<u8>,
    pub(super) number: u64,
}

impl Start<'_> {
    /// Whether the recording is to be read as JSON lines.
    pub(super) fn is_json(&self) -> bool {
        match self.format {
            TraceFormat::Mooncake | TraceFormat::Jsonl => true,
            TraceFormat::Auto => matches!(self.first.trim_ascii().first(), Some(b'{' | b'[')),
            _ => false,
        }
    }

    fn refuse(&self, expected: &'static str, hint: &'static str) -> Error {
        Error::Start { file: self.file.to_owned(), line: self.number, found: shown(&String::from_utf8_lossy(&self.first)), expected, hint }
    }

    /// The names of the roles and the format that they show.
    fn shape(&self, existing: &[String], pick: impl Fn(&Names) -> Picked, plain: TraceFormat) -> Result<(Picked, TraceFormat), Error> {
        let listed = || {
            let more = if existing.len() > LISTED { ", …" } else { "" };
            existing.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ") + more
        };
        let Some(mut names) = Names::of(self.format, self.columns) else {
            return Err(Error::ColumnsNotNamed { file: self.file.to_owned(), line: self.number, existing: listed() });
        };
        let mut picked = pick(&names);
        let mut format = self.format;
        if format == TraceFormat::Auto {
            format = if self.columns.is_some() { plain } else { picked.format(plain) };
            if let (true, Some(known)) = (format != plain, Names::of(format, None)) {
                names = known;
                picked = pick(&names);
            }
        }
        if let Some((role, expected)) = names.missing(&picked) {
            return Err(Error::NoColumn {
                file: self.file.to_owned(),
                line: self.number,
                role,
                existing: listed(),
                hint: nearest(&expected, existing).map_or(String::new(), |n| format!("\nhint: did you mean {n:?}?")),
                expected: expected.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(" or "),
            });
        }
        Ok((picked, format))
    }
}

/// Reads CSV; the first line is the header.
pub(super) fn read_csv(start: &Start<'_>, lines: Lines<'_>) -> Result<Rows, Error> {
    if start.first.trim_ascii_start().starts_with(b"{") {
        return Err(start.refuse("a CSV header", "JSON lines are read with format = \"jsonl\" or without `format`"));
    }
    let (mut records, header) = Records::new(lines, start.file, start.first.clone(), start.number)?;
    let index_of = |name: &str| {
        let exact = header.fields.iter().position(|f| f == name);
        exact.or_else(|| header.fields.iter().position(|f| f.eq_ignore_ascii_case(name)))
    };
    let (picked, format) = start.shape(&header.fields, |names| names.pick(|n| index_of(n).is_some()), TraceFormat::Csv)?;
    let index = |name: &Option<String>| name.as_deref().and_then(index_of);
    let (input, output) = (index(&picked.input), index(&picked.output));
    let time = picked.time.as_ref().and_then(|(name, unit)| Some((index_of(name)?, *unit)));
    let status = STATUSES.iter().find_map(|name| index_of(name));
    let mut draft = Draft::new(format);
    let mut record = Record { line: 0, fields: Vec::new() };
    while records.next(&mut record)? {
        let field = |i: Option<usize>| i.and_then(|i| record.fields.get(i)).map_or("", String::as_str);
        let at = time.map(|(i, unit)| (field(Some(i)), unit));
        if draft.is_throttled(at, field(status)) {
            continue;
        }
        draft.add(record.line, at, field(input), field(output), |_| 0);
    }
    draft.finish(start.file)
}

/// Reads JSON lines; the members of the first object decide where the numbers are.
pub(super) fn read_json(start: Start<'_>, mut lines: Lines<'_>) -> Result<Rows, Error> {
    const ONE_A_LINE: &str = "a JSON object on one line";
    if start.first.trim_ascii_start().starts_with(b"[") {
        return Err(start.refuse(ONE_A_LINE, "`jq -c '.[]' FILE` turns an array into JSON lines"));
    }
    let first: Value = match serde_json::from_slice(&start.first) {
        Ok(Value::Object(members)) => Value::Object(members),
        _ => return Err(start.refuse(ONE_A_LINE, "`jq -c . FILE` puts each object on one line; CSV is read without `format`")),
    };
    let (picked, format) = start.shape(&member_names(&first), |names| pick(names, &first), TraceFormat::Jsonl)?;
    let mut draft = Draft::new(format);
    let mut blocks = Blocks::default();
    let mut line = start.first;
    let mut next = Some(start.number);
    while let Some(number) = next {
        match serde_json::from_slice::<Value>(&line) {
            Ok(object) => {
                let text = |name: &Option<String>| name.as_deref().and_then(|n| scalar(&object, n)).unwrap_or_default();
                let at = picked.time.as_ref().map(|(name, unit)| (scalar(&object, name).unwrap_or_default(), *unit));
                let at = at.as_ref().map(|(text, unit)| (text.as_str(), *unit));
                let status = STATUSES.iter().find_map(|name| scalar(&object, name)).unwrap_or_default();
                if draft.is_throttled(at, &status) {
                    next = lines.next(&mut line)?;
                    continue;
                }
                draft.add(number, at, &text(&picked.input), &text(&picked.output), |input| blocks.shared(&object, input));
            }
            Err(error) => draft.skip(number, &format!("not JSON: {error}")),
        }
        next = lines.next(&mut line)?;
    }
    draft.finish(start.file)
}

/// Rows as they come, before they are sorted.
struct Draft {
    rows: Vec<(i64, Row)>,
    latest: i64,
    throttled: Vec<i64>,
    out: Rows,
}

impl Draft {
    fn new(format: TraceFormat) -> Self {
        Self { rows: Vec::new(), latest: i64::MIN, throttled: Vec::new(), out: Rows { format, ..Rows::default() } }
    }

    fn skip(&mut self, line: u64, reason: &str) {
        self.out.skipped += 1;
        if self.out.problems.len() < REASONS {
            self.out.problems.push(format!("line {line}: {reason}"));
        }
    }

    /// Takes the instant of a request that was refused with 429. It has no tokens, so it is left out of the rows and counted like others.
    fn is_throttled(&mut self, at: Option<(&str, Unit)>, status: &str) -> bool {
        if status.trim() != "429" {
            return false;
        }
        self.out.skipped += 1;
        self.throttled.extend(at.and_then(|(text, unit)| instant(text, unit)));
        true
    }

    /// Takes a row, or leaves it out. `shared` tells the shared prefix, given the input tokens.
    fn add(&mut self, line: u64, at: Option<(&str, Unit)>, input: &str, output: &str, shared: impl FnOnce(u32) -> u32) {
        let parsed = (|| {
            let at = match at {
                Some((text, unit)) => Some(instant(text, unit).ok_or_else(|| format!("instant: {} is not a timestamp", shown(text)))?),
                None => None,
            };
            Ok((at, tokens("input", input)?, tokens("output", output)?))
        })();
        match parsed {
            Ok((at, input_tokens, output_tokens)) => {
                let instant = at.unwrap_or(0);
                self.out.unsorted += u64::from(instant < self.latest);
                self.latest = self.latest.max(instant);
                let row = Row { at: at.map(|_| Nanos::ZERO), input_tokens, output_tokens, blocks: shared(input_tokens) };
                self.rows.push((instant, row));
            }
            Err(reason) => {
                let reason: String = reason;
                self.skip(line, &reason);
            }
        }
    }

    fn finish(mut self, file: &str) -> Result<Rows, Error> {
        if self.out.unsorted > 0 {
            self.rows.sort_by_key(|r| r.0);
        }
        let (Some(&(first, _)), Some(&(last, _))) = (self.rows.first(), self.rows.last()) else {
            let reason = match self.out.problems.first() {
                Some(problem) => format!("all {} rows were left out; {problem}", self.out.skipped),
                None => "there is no row behind the header".to_owned(),
            };
            return Err(Error::Empty { file: file.to_owned(), reason });
        };
        let span = u64::try_from(i128::from(last) - i128::from(first)).unwrap_or(u64::MAX);
        let years = Nanos(span).as_secs_f64() / (365.25 * 86_400.0);
        if years > f64::from(MOST_YEARS) {
            return Err(Error::Span { file: file.to_owned(), years, most: MOST_YEARS });
        }
        let is_timed = self.rows.iter().all(|(_, row)| row.at.is_some());
        self.out.origin_ns = Some(first).filter(|at| is_timed && *at > DATED_NS);
        self.throttled.sort_unstable();
        // One that came before the first answered request counts with it; one long after the last is no part of the recording.
        self.out.throttled =
            self.throttled.iter().filter(|at| **at <= last).map(|at| Nanos(u64::try_from(at.saturating_sub(first)).unwrap_or(0))).collect();
        self.out.rows = self
            .rows
            .into_iter()
            // Sorted and at most 50 years apart: the difference is neither negative nor too large.
            .map(|(at, row)| Row { at: row.at.map(|_| Nanos(at.abs_diff(first))), ..row })
            .collect();
        Ok(self.out)
    }
}

/// A number of tokens from 1 to [`MOST_TOKENS`]; `12.0`, as data frames write it, counts as 12.
fn tokens(side: &str, text: &str) -> Result<u32, String> {
    let text = text.trim();
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !whole.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    };
    match whole.parse::<u32>() {
        Ok(n) if (1..=MOST_TOKENS).contains(&n) => Ok(n),
        _ if text.is_empty() => Err(format!("{side} tokens: nothing there")),
        _ => Err(format!("{side} tokens: {} is not a whole number from 1 to {MOST_TOKENS}", shown(text))),
    }
}

/// A value in quotes, cut to what fits a line.
fn shown(text: &str) -> String {
    const WIDTH: usize = 40;
    let short: String = text.chars().take(WIDTH).collect();
    if short.len() < text.len() { format!("{:?}", short + "…") } else { format!("{short:?}") }
}
