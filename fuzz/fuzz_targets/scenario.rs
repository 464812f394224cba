//! Any text as a scenario: an experiment or faults that can be drawn, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::base::rng::Seed;
use std::path::Path;

fuzz_target!(|input: &[u8]| {
    if let Err(faults) = plimsoll::scenario::check::check("fuzz.toml", input, Path::new("."), &[], Seed(1)) {
        assert!(!faults.is_empty());
    }
});
