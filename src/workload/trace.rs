//! Recordings of requests as rows: Azure, Mooncake, BurstGPT, tables, CSV and JSON lines by column.

mod fields;
mod json;
mod lines;
mod rates;
mod rows;
mod shape;
mod stamp;

pub use rates::Rates;

use crate::base::time::Nanos;
use crate::scenario::load::{Arrivals, Columns, TraceFormat, TraceSource};
use crate::scenario::model::Scenario;
use crate::scenario::workload::{Lengths, Marginal};
use std::io::Read;

/// One recorded request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// When it came, from the first row; `None` in recordings of lengths only.
    pub at: Option<Nanos>,
    /// Input tokens, at least 1.
    pub input_tokens: u32,
    /// Output tokens, at least 1.
    pub output_tokens: u32,
    /// Leading input tokens that an earlier row had too (Mooncake's 512-token blocks); 0 if the recording does not say.
    pub blocks: u32,
}

/// A recording, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The requests, sorted by `at`; rows of one instant keep the order of the file.
    pub rows: Vec<Row>,
    /// Rows left out because they could not be understood or had no tokens.
    pub skipped: u64,
    /// Rows that stood behind a later one in the file.
    pub unsorted: u64,
    /// Why rows were left out: the first few reasons, each with its line.
    pub problems: Vec<String>,
    /// How the file was read; never `Auto` after [`read`].
    pub format: TraceFormat,
    /// When the first row came, nanoseconds since 1970; `None` where the timestamps do not say (they begin near zero) or are missing.
    pub origin_ns: Option<i64>,
    /// Requests refused with 429, from the first row: they have no tokens, but they were demanded. Empty without a column of status codes.
    pub throttled: Vec<Nanos>,
}

/// Why a recording cannot be read. What is wrong with single rows is no error: they are left out and counted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream broke off, or its gzip frame is damaged.
    #[error("{file}:{line}: cannot be read: {source}")]
    Io {
        /// The recording as the user named it.
        file: String,
        /// Line from 1.
        line: u64,
        /// What the stream says.
        source: std::io::Error,
    },
    /// Another kind of file.
    #[error("{file}: this is {found}; expected CSV or JSON lines, plain or gzip\nhint: {hint}")]
    Foreign {
        /// The recording.
        file: String,
        /// What it is, with its article.
        found: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A line longer than any request needs.
    #[error("{file}:{line}: line or quoted field longer than {mib} MiB; expected one request a line")]
    LongLine {
        /// The recording.
        file: String,
        /// Line from 1.
        line: u64,
        /// The bound.
        mib: usize,
    },
    /// A quote that nothing closes.
    #[error("{file}:{line}: a quoted field that begins here never ends; expected a closing \"")]
    OpenQuote {
        /// The recording.
        file: String,
        /// Line from 1 of the record.
        line: u64,
    },
    /// `csv` and `jsonl` say nothing about columns by themselves.
    #[error(
        "{file}:{line}: the format needs column names; there are: {existing}\nhint: add columns = {{ timestamp = \"…\", input = \"…\", output = \"…\" }} to the trace"
    )]
    ColumnsNotNamed {
        /// The recording.
        file: String,
        /// Line of the header or of the first object.
        line: u64,
        /// The columns there are.
        existing: String,
    },
    /// A column that is needed does not exist.
    #[error("{file}:{line}: no column for {role}: expected {expected}; there are: {existing}{hint}")]
    NoColumn {
        /// The recording.
        file: String,
        /// Line of the header or of the first object.
        line: u64,
        /// What the column is for.
        role: &'static str,
        /// Names it may have.
        expected: String,
        /// The columns there are.
        existing: String,
        /// The most similar column, as a second line; empty if there is none.
        hint: String,
    },
    /// The first line is not what the format begins with.
    #[error("{file}:{line}: {found} is not {expected}\nhint: {hint}")]
    Start {
        /// The recording.
        file: String,
        /// Line from 1.
        line: u64,
        /// The beginning of the line.
        found: String,
        /// What was expected.
        expected: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The instants are further apart than any recording of requests.
    #[error("{file}: the rows span {years:.0} years; expected at most {most}\nhint: is `timestamp_unit` right, and does every row have a timestamp?")]
    Span {
        /// The recording.
        file: String,
        /// From the first to the last row.
        years: f64,
        /// The bound in years.
        most: u32,
    },
    /// No row is left.
    #[error("{file}: no request in it: {reason}; expected rows with an instant, input tokens and output tokens")]
    Empty {
        /// The recording.
        file: String,
        /// Why.
        reason: String,
    },
}

/// Reads a recording to its end: plain or gzip (by its first bytes), row by row, so that memory grows by the rows kept and not by the text.
///
/// Rows without an instant (where the recording has instants) or without 1 to 10,000,000 tokens on both sides are left out and counted.
/// `name` is how the user called the file, for errors; `columns` counts for the formats `auto`, `csv` and `jsonl`.
///
/// # Errors
/// The stream breaks, the file is of another kind, a column is missing, or no row is left: see [`Error`].
pub fn read(source: impl Read, format: TraceFormat, columns: Option<&Columns>, name: &str) -> Result<Rows, Error> {
    let mut lines = lines::Lines::open(source, name)?;
    let mut first = Vec::new();
    let Some(number) = lines.next(&mut first)? else {
        return Err(Error::Empty { file: name.to_owned(), reason: "the file is empty".to_owned() });
    };
    let start = rows::Start { file: name, format, columns, first, number };
    if start.is_json() { rows::read_json(start, lines) } else { rows::read_csv(&start, lines) }
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Recording {
    /// Single requests.
    Requests(Rows),
    /// Rates in windows, without lengths.
    Rates(Rates),
}

/// Reads a recording that may be one of requests or one of rates: CSV with a column of window beginnings and one of rates, such as
/// `window_start_s,rate_rps` (ServeGen; several clients are added up) or `minute,rpm_mid` (Azure 2024).
///
/// # Errors
/// As [`read`].
pub fn read_any(source: impl Read, format: TraceFormat, columns: Option<&Columns>, name: &str) -> Result<Recording, Error> {
    let mut lines = lines::Lines::open(source, name)?;
    let mut first = Vec::new();
    let Some(number) = lines.next(&mut first)? else {
        return Err(Error::Empty { file: name.to_owned(), reason: "the file is empty".to_owned() });
    };
    let start = rows::Start { file: name, format, columns, first, number };
    if start.is_json() {
        return rows::read_json(start, lines).map(Recording::Requests);
    }
    if format == TraceFormat::Auto && columns.is_none() && rates::is_header(&start.first) {
        return rates::read(&start, lines).map(Recording::Rates);
    }
    rows::read_csv(&start, lines).map(Recording::Requests)
}

/// Every recording that the scenario names, each once, in the order in which the scenario is read: arrivals, lengths, session turns, plan.
#[must_use]
pub fn sources(scenario: &Scenario) -> Vec<TraceSource> {
    let mut found = Vec::new();
    of_arrivals(&scenario.load.arrivals, &mut found);
    match &scenario.workload.lengths {
        Lengths::Empirical { trace } => found.extend(trace.clone()),
        Lengths::Independent { input, output } | Lengths::Correlated { input, output, .. } => {
            of_marginal(input, &mut found);
            of_marginal(output, &mut found);
        }
    }
    if let Some(sessions) = &scenario.workload.sessions {
        of_marginal(&sessions.turns, &mut found);
    }
    if let Some(plan) = &scenario.plan {
        plan.demand.iter().for_each(|demand| of_arrivals(demand, &mut found));
    }
    once(found)
}

fn once(found: Vec<TraceSource>) -> Vec<TraceSource> {
    let mut unique: Vec<TraceSource> = Vec::new();
    for source in found {
        if !unique.contains(&source) {
            unique.push(source);
        }
    }
    unique
}

fn of_arrivals(arrivals: &Arrivals, found: &mut Vec<TraceSource>) {
    if let Arrivals::Trace { trace, .. } = arrivals {
        found.push(trace.clone());
    }
}

fn of_marginal(marginal: &Marginal, found: &mut Vec<TraceSource>) {
    match marginal {
        Marginal::Column { trace, .. } => found.push(trace.clone()),
        Marginal::Mixture(parts) => parts.iter().for_each(|part| of_marginal(&part.of, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load::TimestampUnit;
    use proptest::prelude::*;

    fn auto(text: &str) -> Rows {
        read(text.as_bytes(), TraceFormat::Auto, None, "t.csv").unwrap()
    }

    fn fault(text: &str, format: TraceFormat, columns: Option<&Columns>) -> String {
        read(text.as_bytes(), format, columns, "t.csv").unwrap_err().to_string()
    }

    fn row(ms: u64, input_tokens: u32, output_tokens: u32) -> Row {
        Row { at: Some(Nanos::from_millis(ms)), input_tokens, output_tokens, blocks: 0 }
    }

    #[test]
    fn azure_with_carriage_returns_seven_digits_and_no_last_newline() {
        let rows = auto("TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,396,109");
        assert_eq!(rows.format, TraceFormat::Azure);
        assert_eq!(rows.rows[0], row(0, 374, 44));
        assert_eq!(rows.rows[1].at, Some(Nanos(4_314_579_000)));
        assert_eq!((rows.skipped, rows.unsorted), (0, 0));
    }

    #[test]
    fn mooncake_counts_leading_blocks_seen_before() {
        let text = r#"{"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [1, 2, 3]}
{"timestamp": 3000, "input_length": 1500, "output_length": 7, "hash_ids": [1, 2, 9]}
{"timestamp": 3000, "input_length": 900, "output_length": 7, "hash_ids": [9, 1]}
{"timestamp": 6000, "input_length": 600, "output_length": 7, "hash_ids": [1, 2]}"#;
        let rows = auto(text);
        assert_eq!(rows.format, TraceFormat::Mooncake);
        assert_eq!(rows.rows.iter().map(|r| r.blocks).collect::<Vec<_>>(), [0, 1024, 900, 600]);
        assert_eq!(rows.rows[1].at, Some(Nanos::from_secs(3)));
    }

    #[test]
    fn burstgpt_leaves_out_failed_requests() {
        let rows = auto(
            "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,0,1087,Conversation log\n118.5,GPT-4,417,276,693,API log\n",
        );
        assert_eq!(rows.format, TraceFormat::Burstgpt);
        assert_eq!(rows.rows, [row(0, 472, 18), row(113_500, 417, 276)]);
        assert_eq!(rows.skipped, 1);
        assert!(rows.problems[0].contains("line 3") && rows.problems[0].contains("output tokens"), "{:?}", rows.problems);
    }

    #[test]
    fn tables_with_and_without_instants() {
        let with = auto("at_ms,input_tokens,output_tokens\n100,10,20\n250.5,11,21\n");
        assert_eq!((with.format, with.rows[1].at), (TraceFormat::Table, Some(Nanos(150_500_000))));
        let without = read(&b"input_tokens,output_tokens\n10,20\n"[..], TraceFormat::Table, None, "t").unwrap();
        assert_eq!(without.rows, [Row { at: None, input_tokens: 10, output_tokens: 20, blocks: 0 }]);
    }

    #[test]
    fn own_columns_in_csv_and_nested_json() {
        let columns =
            Columns { timestamp: Some("when".into()), timestamp_unit: TimestampUnit::Microseconds, input: "In".into(), output: "Out".into() };
        let text = "x;when;\"in\";out\n\"a;\nb\";1000;\"5\";6\n;2000;7;8.0\n";
        let rows = read(text.as_bytes(), TraceFormat::Csv, Some(&columns), "t").unwrap();
        assert_eq!(rows.rows, [row(0, 5, 6), row(1, 7, 8)]);
        let columns = Columns {
            timestamp: Some("request_time".into()),
            timestamp_unit: TimestampUnit::default(),
            input: "usage.prompt_tokens".into(),
            output: "usage.completion_tokens".into(),
        };
        let text = r#"{"request_time":"2024-05-10T00:00:00Z","usage":{"prompt_tokens":5,"completion_tokens":"6"}}
{"request_time":"2024-05-10T02:00:01+02:00","usage":{"prompt_tokens":7,"completion_tokens":8}}
{"request_time":"2024-05-10T00:00:02Z","usage":null}"#;
        let rows = read(text.as_bytes(), TraceFormat::Jsonl, Some(&columns), "t").unwrap();
        assert_eq!(rows.rows, [row(0, 5, 6), row(1000, 7, 8)]);
        assert_eq!(rows.skipped, 1);
    }

    #[test]
    fn the_usage_tables_of_databricks_are_known() {
        let rows = auto(
            "request_time,status_code,input_token_count,output_token_count\n2024-05-10T00:00:00.000+00:00,200,5,6\n2024-05-10T00:00:01.000+00:00,429,,\n",
        );
        assert_eq!((rows.rows.len(), rows.skipped), (1, 1));
    }

    #[test]
    fn unsorted_rows_are_sorted_stably_and_counted() {
        let rows = auto("at_ms,input_tokens,output_tokens\n10,1,1\n30,2,1\n20,3,1\n30,4,1\n5,5,1\n");
        assert_eq!(rows.rows.iter().map(|r| r.input_tokens).collect::<Vec<_>>(), [5, 1, 3, 2, 4]);
        assert_eq!(rows.unsorted, 2);
        assert_eq!(rows.rows[0].at, Some(Nanos::ZERO));
    }

    #[test]
    fn rows_without_a_usable_number_are_left_out_with_a_reason() {
        let mut text = "at_ms,input_tokens,output_tokens\n0,1,1\n".to_owned();
        let bad = [
            "1,,1",
            "1,0,1",
            "1,-5,1",
            "1,NaN,1",
            "1,1e99,1",
            "1,99999999999999999999,1",
            "1,1.5,1",
            "1,10000001,1",
            "x,1,1",
            ",1,1",
            "1,1",
            "1,a,1",
        ];
        for line in bad {
            text.push_str(line);
            text.push('\n');
        }
        let rows = auto(&text);
        assert_eq!((rows.rows.len(), rows.skipped), (1, bad.len() as u64));
        assert!(rows.problems.len() < bad.len() && rows.problems[0].starts_with("line 3: input tokens"), "{:?}", rows.problems);
    }

    #[test]
    fn a_missing_column_says_which_exist_and_which_is_like_it() {
        let text = fault("at_ms,inputtoken,output_tokens\n1,2,3\n", TraceFormat::Table, None);
        for part in ["t.csv:1", "input tokens", "\"input_tokens\"", "at_ms, inputtoken, output_tokens", "did you mean \"inputtoken\""] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(fault("a,b\n1,2\n", TraceFormat::Csv, None).contains("there are: a, b"));
        let columns = Columns { timestamp: None, timestamp_unit: TimestampUnit::default(), input: "usage.prompt".into(), output: "c".into() };
        assert!(fault("{\"usage\":{\"prompt_tokens\":1},\"c\":2}", TraceFormat::Jsonl, Some(&columns)).contains("usage.prompt_tokens"));
    }

    #[test]
    fn files_without_requests_say_why() {
        assert!(fault("", TraceFormat::Auto, None).contains("empty"));
        assert!(fault("at_ms,input_tokens,output_tokens\n", TraceFormat::Auto, None).contains("no row"));
        assert!(fault("at_ms,input_tokens,output_tokens\n1,0,0\n", TraceFormat::Auto, None).contains("line 2"));
        assert!(fault("[{\"a\":1}]", TraceFormat::Auto, None).contains("jq -c"));
        assert!(fault("at_ms,input_tokens\n", TraceFormat::Jsonl, None).contains("JSON object"));
        assert!(fault("{\"a\":1}", TraceFormat::Azure, None).contains("header"));
    }

    #[test]
    fn instants_in_the_wrong_unit_are_noticed() {
        let columns = Columns { timestamp: Some("t".into()), timestamp_unit: TimestampUnit::default(), input: "i".into(), output: "o".into() };
        let text = fault("t,i,o\n0,1,1\n1700158546,1,1\n", TraceFormat::Csv, Some(&columns));
        assert!(text.contains("54 years") && text.contains("timestamp_unit"), "{text}");
    }

    #[test]
    fn every_trace_of_a_scenario_is_named_once() {
        let source = |name: &str| TraceSource { path: name.into(), format: TraceFormat::Auto, columns: None };
        let column = |name: &str| Marginal::Column { trace: source(name), side: crate::scenario::workload::Side::Input };
        let mixture = Marginal::Mixture(vec![crate::scenario::workload::Component { weight: 1.0, of: column("b") }]);
        let mut found = Vec::new();
        of_arrivals(&Arrivals::Trace { trace: source("a"), time_scale: 1.0, rate_scale: 1.0 }, &mut found);
        of_marginal(&mixture, &mut found);
        of_marginal(&column("a"), &mut found);
        assert_eq!(once(found), [source("a"), source("b")]);
    }

    proptest! {
        /// forall bytes: reading ends in rows or in an error, never in a panic
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), with_header in any::<bool>()) {
            let mut text = if with_header { b"at_ms,input_tokens,output_tokens\n".to_vec() } else { Vec::new() };
            text.extend(bytes);
            let _ = read(&text[..], TraceFormat::Auto, None, "t").is_ok();
        }

        /// forall rows: written as a table and read again they are the same, sorted and from zero
        #[test]
        fn tables_survive_a_round_trip(mut rows in prop::collection::vec((0_u64..1_000_000, 1_u32..10_000, 1_u32..10_000), 1..50)) {
            let text = rows.iter().fold("at_ms,input_tokens,output_tokens".to_owned(), |t, (at, i, o)| format!("{t}\r\n{at},{i},{o}"));
            let read = auto(&text);
            rows.sort_by_key(|r| r.0);
            let first = rows[0].0;
            let expected: Vec<Row> = rows.iter().map(|&(at, i, o)| row(at - first, i, o)).collect();
            prop_assert_eq!(read.rows, expected);
        }
    }
}
