//! Any bytes as an event stream, in any pieces: the same events as whole, and nothing held beyond the bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::protocol::sse::{Event, Splitter};

const LIMIT: usize = 64;

/// The first byte says where to cut; the same cut again and again.
fn events(stream: &[u8], size: usize, limit: usize) -> (Vec<(Vec<u8>, Vec<u8>)>, bool) {
    let mut splitter = Splitter::new(limit);
    let mut out = Vec::new();
    let mut is_whole = true;
    for piece in stream.chunks(size.max(1)) {
        is_whole &= splitter.push(piece, &mut |event: Event<'_>| out.push((event.name.to_vec(), event.data.to_vec()))).is_ok();
    }
    (out, is_whole)
}

fuzz_target!(|input: &[u8]| {
    let Some((&first, stream)) = input.split_first() else { return };
    let whole = events(stream, stream.len(), 1 << 20);
    assert!(whole.1);
    assert_eq!(events(stream, usize::from(first), 1 << 20), whole);
    let (bounded, _) = events(stream, usize::from(first), LIMIT);
    assert!(bounded.iter().all(|(name, data)| name.len() + data.len() <= LIMIT));
    assert!(whole.0.starts_with(&bounded));
});
