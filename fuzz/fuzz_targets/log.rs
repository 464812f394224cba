//! Any bytes as a run log: records up to the damage, never a panic; a record that is read can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::record::log::{LogReader, append_frame};

fuzz_target!(|input: &[u8]| {
    let Ok(mut reader) = LogReader::open(input) else { return };
    while let Ok(Some(record)) = reader.next_record() {
        let mut frame = Vec::new();
        append_frame(&mut frame, &record).expect("it was as long as a frame may be");
    }
});
