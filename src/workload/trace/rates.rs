//! Recordings of rates in windows: window beginnings and requests per second or per minute, without lengths.

use super::Error;
use super::fields::{Record, Records};
use super::lines::Lines;
use super::rows::Start;
use std::collections::BTreeMap;

/// Columns of window beginnings and how many seconds their unit has.
const TIMES: [(&str, f64); 5] = [("window_start_s", 1.0), ("start_s", 1.0), ("minute", 60.0), ("hour", 3600.0), ("window_start_ms", 0.001)];
/// Columns of rates and how many requests per second their unit is.
const RATES: [(&str, f64); 7] = [
    ("rate_rps", 1.0),
    ("requests_per_second", 1.0),
    ("rps", 1.0),
    ("rpm_mid", 1.0 / 60.0),
    ("rpm", 1.0 / 60.0),
    ("requests_per_minute", 1.0 / 60.0),
    ("qps", 1.0),
];

/// Rates in windows, in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    /// Beginning of each window in seconds from the origin of the file, and requests per second in it. Rates of several clients are added up.
    pub windows: Vec<(f64, f64)>,
    /// Rows that could not be understood.
    pub skipped: u64,
}

/// Whether a first line is the header of a recording of rates.
pub(super) fn is_header(first: &[u8]) -> bool {
    let text = String::from_utf8_lossy(first).to_ascii_lowercase();
    let fields: Vec<&str> = text.split([',', ';', '\t', '|']).map(|f| f.trim().trim_matches('"')).collect();
    TIMES.iter().any(|(name, _)| fields.contains(name)) && RATES.iter().any(|(name, _)| fields.contains(name))
}

/// Reads them.
pub(super) fn read(start: &Start<'_>, lines: Lines<'_>) -> Result<Rates, Error> {
    let (mut records, header) = Records::new(lines, start.file, start.first.clone(), start.number)?;
    let place =
        |names: &[(&str, f64)]| names.iter().find_map(|&(name, unit)| Some((header.fields.iter().position(|f| f.eq_ignore_ascii_case(name))?, unit)));
    let (time, rate) = (place(&TIMES), place(&RATES));
    let mut sums: BTreeMap<i64, f64> = BTreeMap::new();
    let mut out = Rates::default();
    let mut record = Record { line: 0, fields: Vec::new() };
    while records.next(&mut record)? {
        let value = |column: Option<(usize, f64)>| {
            let (i, unit) = column?;
            Some(record.fields.get(i)?.parse::<f64>().ok().filter(|x| x.is_finite() && *x >= 0.0)? * unit)
        };
        match (value(time), value(rate)) {
            // Half a century of seconds: nothing that anybody recorded.
            (Some(at_s), Some(rate)) if at_s < 1.6e9 => *sums.entry(millis(at_s)).or_insert(0.0) += rate,
            _ => out.skipped += 1,
        }
    }
    out.windows = sums.into_iter().map(|(at_ms, rate)| (at_ms as f64 / 1000.0, rate)).collect();
    if out.windows.len() < 2 {
        return Err(Error::Empty { file: start.file.to_owned(), reason: format!("{} windows of rates", out.windows.len()) });
    }
    Ok(out)
}

#[expect(clippy::cast_possible_truncation, reason = "below 1.6e12 by the check of the caller")]
fn millis(at_s: f64) -> i64 {
    (at_s * 1000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use crate::scenario::load::TraceFormat;
    use crate::workload::trace::{Recording, read_any};

    fn windows(text: &str) -> Vec<(f64, f64)> {
        match read_any(text.as_bytes(), TraceFormat::Auto, None, "t").unwrap() {
            Recording::Rates(rates) => rates.windows,
            Recording::Requests(rows) => panic!("{rows:?}"),
        }
    }

    #[test]
    fn windows_of_seconds_and_minutes_are_read_and_clients_added_up() {
        assert_eq!(windows("window_start_s,rate_rps\n600,2.5\n0,1\n"), [(0.0, 1.0), (600.0, 2.5)]);
        assert_eq!(windows("minute,rpm_low,rpm_high,rpm_mid\r\n7.2,1,9,60\r\n14.4,1,9,120"), [(432.0, 1.0), (864.0, 2.0)]);
        assert_eq!(windows("client,window_start_s,rate_rps\n1,0,2\n2,0,3\n1,600,1\n"), [(0.0, 5.0), (600.0, 1.0)]);
    }

    #[test]
    fn requests_stay_requests_and_rows_without_numbers_are_counted() {
        let requests = read_any(&b"at_ms,input_tokens,output_tokens\n0,1,1\n"[..], TraceFormat::Auto, None, "t").unwrap();
        assert!(matches!(requests, Recording::Requests(_)));
        let Recording::Rates(rates) = read_any(&b"minute,rpm\n1,60\n2,x\n3,-1\n4,60\n"[..], TraceFormat::Auto, None, "t").unwrap() else { panic!() };
        assert_eq!((rates.windows.len(), rates.skipped), (2, 2));
        assert!(read_any(&b"minute,rpm\n1,60\n"[..], TraceFormat::Auto, None, "t").is_err());
    }
}
