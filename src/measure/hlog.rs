//! `latency.hlog`: the window's histograms as an HdrHistogram V2 interval log, which the usual plotters read. Values in nanoseconds.

use super::histogram::Histogram;
use crate::base::time::Nanos;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError, Tag};
use std::io::{self, Write};
use std::time::UNIX_EPOCH;

/// Writes one tagged line a histogram: `Tag=ttft,<start>,<length>,<max in ms>,<histogram>`. Times in seconds from `started_ns`, the wall time of the
/// load's start in nanoseconds since 1970. Empty histograms are left out.
///
/// # Errors
/// When `w` fails.
pub fn write<W: Write>(mut w: W, histograms: &[(&str, &Histogram)], started_ns: u64, window: (Nanos, Nanos)) -> io::Result<()> {
    let started = UNIX_EPOCH + Nanos(started_ns).to_std();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(concat!("plimsoll ", env!("CARGO_PKG_VERSION"), "; values in nanoseconds, maxima in milliseconds"))
        .with_start_time(started)
        .with_base_time(started)
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut w, &mut serializer)?;
    for (name, histogram) in histograms.iter().filter(|(_, h)| h.n() > 0) {
        let (start, length) = (window.0.to_std(), window.1.since(window.0).to_std());
        log.write_histogram(histogram.raw(), start, length, Tag::new(name)).map_err(|e| match e {
            IntervalLogWriterError::IoError(e) => e,
            IntervalLogWriterError::SerializeError(e) => io::Error::other(e),
        })?;
    }
    Ok(())
}
