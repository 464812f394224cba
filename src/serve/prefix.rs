//! `PrefixCache`: how many leading tokens of a prompt were seen before, in whole blocks.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Tokens (words) of a block.
const BLOCK: usize = 16;

/// Blocks remembered at most; then all is forgotten, as if the memory had been needed otherwise.
const MAX_BLOCKS: usize = 1 << 20;

/// Hashes of every chain of blocks seen.
#[derive(Debug, Default)]
pub(super) struct PrefixCache {
    known: Mutex<HashSet<u64>>,
}

impl PrefixCache {
    /// Leading tokens of `text` that earlier texts had in common with it; remembers `text`.
    pub(super) fn visit(&self, text: &str) -> u32 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > MAX_BLOCKS {
            known.clear();
        }
        let (mut chain, mut words, mut hits, mut all_known) = (0xCBF2_9CE4_8422_2325_u64, 0, 0, true);
        for word in text.split_ascii_whitespace() {
            chain = word.bytes().fold(chain.rotate_left(5), |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
            words += 1;
            if words % BLOCK == 0 {
                all_known &= !known.insert(chain);
                hits += u32::from(all_known);
            }
        }
        hits.saturating_mul(16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_blocks_of_a_shared_beginning_are_found() {
        let cache = PrefixCache::default();
        let words = |from: u32, to: u32| (from..to).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ");
        assert_eq!(cache.visit(&words(0, 100)), 0);
        assert_eq!(cache.visit(&words(0, 100)), 96);
        assert_eq!(cache.visit(&format!("{} {}", words(0, 40), words(500, 600))), 32);
        assert_eq!(cache.visit(&words(1, 100)), 0, "a chain starts at the beginning");
    }
}
