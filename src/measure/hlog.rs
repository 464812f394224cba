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

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn every_histogram_comes_back_with_its_tag_and_time() {
        let (mut ttft, mut itl) = (Histogram::latency(), Histogram::latency());
        (1..=1000).for_each(|i| ttft.record(i * 1_000_000));
        itl.record_n(20_000_000, 7);
        let empty = Histogram::latency();
        let mut bytes = Vec::new();
        let window = (Nanos::from_secs(5), Nanos::from_secs(65));
        write(&mut bytes, &[("ttft", &ttft), ("tpot", &empty), ("itl", &itl)], 1_700_000_000_000_000_000, window).unwrap();

        let mut read = Vec::new();
        for entry in IntervalLogIterator::new(&bytes) {
            match entry.unwrap() {
                LogEntry::BaseTime(t) | LogEntry::StartTime(t) => assert_eq!(t.as_secs(), 1_700_000_000),
                LogEntry::Interval(line) => {
                    assert_eq!((line.start_timestamp().as_secs(), line.duration().as_secs()), (5, 60));
                    let counts = decode(line.encoded_histogram());
                    read.push((line.tag().unwrap().as_str().to_owned(), counts.len(), counts.value_at_quantile(0.5)));
                }
            }
        }
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].0.as_str(), read[0].1), ("ttft", 1000));
        assert!((500_000_000..500_500_000).contains(&read[0].2), "{}", read[0].2);
        assert_eq!((read[1].0.as_str(), read[1].1), ("itl", 7));
        assert!(String::from_utf8(bytes).unwrap().starts_with("#[Histogram log format version 1.3]\n"));
    }

    fn decode(base64: &str) -> hdrhistogram::Histogram<u64> {
        let mut bits = 0_u32;
        let mut held = 0;
        let mut bytes = Vec::new();
        for c in base64.bytes().filter(|&c| c != b'=') {
            let digit = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|&d| d == c).unwrap();
            bits = (bits << 6) | u32::try_from(digit).unwrap();
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push(u8::try_from((bits >> held) & 255).unwrap());
            }
        }
        Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap()
    }
}
