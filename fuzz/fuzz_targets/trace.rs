//! Any bytes as a recorded trace of any format: rows or an error, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::scenario::load::TraceFormat;

fuzz_target!(|input: &[u8]| {
    for format in [TraceFormat::Auto, TraceFormat::Azure, TraceFormat::Mooncake, TraceFormat::Burstgpt, TraceFormat::Table] {
        let _ = plimsoll::workload::trace::read(input, format, None, "fuzz");
    }
});
