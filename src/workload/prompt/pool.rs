//! The pool of words that prompts are made of, and the proof that its words add up token by token.

use crate::base::rng::Seed;
use crate::workload::tokenizer::Vocabulary;
use rand::Rng;

/// Common English words, each exactly one token in every embedded vocabulary, alone and behind a space (a test proves it).
/// Without words that content filters look for.
const WORDS: &str = include_str!("words.txt");

/// How many words a pool has at most: ten bits a draw.
pub(super) const LARGEST: usize = 1024;
/// A pool below this size repeats itself too much to be called words.
const SMALLEST: usize = 8;
/// Token numbers that are asked for words when the common ones are not in a vocabulary.
const NUMBERS: u32 = 300_000;

/// Words, each kept with a space before it.
pub(super) struct Pool {
    words: Vec<Box<str>>,
    bits: u32,
    kind: Kind,
    stop: bool,
}

/// How many tokens a text of words has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One a word, wherever it stands.
    Additive,
    /// To be counted: words have several tokens, or merge with their neighbours.
    Counted,
}

impl Pool {
    /// The pool of `vocabulary`. Embedded ones need no counting: the words are known to fit. Others are asked.
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let common = WORDS.split_whitespace();
        if matches!(vocabulary, Vocabulary::Embedded(_)) {
            return Self::of(common.map(str::to_owned).collect(), Kind::Additive, true);
        }
        let single = |word: &str| vocabulary.count(word) == 1 && vocabulary.count(&format!("{word} {word}")) == 2;
        let mut words: Vec<String> = common.clone().filter(|w| single(w)).map(str::to_owned).collect();
        if words.len() < LARGEST / 4 {
            for word in own_words(vocabulary) {
                if words.len() < LARGEST && single(&word) && !words.contains(&word) {
                    words.push(word);
                }
            }
        }
        if words.len() >= SMALLEST {
            for stop in [true, false] {
                let pool = Self::of(words.clone(), Kind::Additive, stop);
                if pool.adds_up(vocabulary) {
                    return pool;
                }
            }
        }
        Self::of(common.map(str::to_owned).collect(), Kind::Counted, false)
    }

    /// The first 2^k of `words`, so that a draw is k bits.
    fn of(words: Vec<String>, kind: Kind, stop: bool) -> Self {
        let bits = words.len().clamp(1, LARGEST).ilog2();
        let words = words.into_iter().take(1 << bits).map(|w| format!(" {w}").into_boxed_str()).collect();
        Self { words, bits, kind, stop }
    }

    /// Counts random texts of the pool: every word stands beside many others in them.
    fn adds_up(&self, vocabulary: &Vocabulary) -> bool {
        (0..16_u32).all(|i| {
            let n = 480 + i;
            let mut text = String::new();
            let mut draw = Draw::new(u64::from(i), Seed(0).keyed("prompt pool", u64::from(i)));
            self.write(&mut text, &mut draw, 0, n);
            vocabulary.count(&text) == n
        })
    }

    /// Appends tokens `from..to` of a prompt; every thirteenth is a full stop.
    pub(super) fn write(&self, text: &mut String, draw: &mut Draw, from: u32, to: u32) {
        for i in from..to {
            if self.stop && i % SENTENCE == SENTENCE - 1 {
                text.push('.');
            } else {
                self.push_word(text, draw);
            }
        }
    }

    /// Appends a word; the first one of a text without its space, so that a chat template that trims changes nothing.
    pub(super) fn push_word(&self, text: &mut String, draw: &mut Draw) {
        let word = &self.words[draw.index(self.bits)];
        text.push_str(if text.is_empty() { &word[1..] } else { word });
    }

    /// How the tokens of its texts are known.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Bytes of the longest word with its space.
    pub(super) fn longest(&self) -> usize {
        self.words.iter().map(|w| w.len()).max().unwrap_or(1)
    }

    /// Mean bytes of a word with its space, rounded up: the capacity that a text needs.
    pub(super) fn mean_bytes(&self) -> usize {
        self.words.iter().map(|w| w.len()).sum::<usize>().div_ceil(self.words.len().max(1))
    }
}

/// Tokens of a sentence, its full stop included.
const SENTENCE: u32 = 13;

/// Words that a vocabulary has as tokens of its own: lower case letters, with or without a space before them.
fn own_words(vocabulary: &Vocabulary) -> impl Iterator<Item = String> + '_ {
    (0..NUMBERS).filter_map(|number| {
        let text = vocabulary.decode(&[number])?;
        let word = text.trim_start_matches([' ', '\u{2581}']);
        ((2..=12).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase())).then(|| word.to_owned())
    })
}

/// Draws of word numbers: the digits of `number` first, so that different numbers begin differently, then the stream.
pub(super) struct Draw {
    word: u64,
    left: u32,
    stream: crate::base::rng::Stream,
}

impl Draw {
    /// `number` tells this text from others of its kind; the stream goes on behind its digits.
    pub(super) fn new(number: u64, stream: crate::base::rng::Stream) -> Self {
        Self { word: number, left: u64::BITS, stream }
    }

    /// The next number of `bits` bits.
    fn index(&mut self, bits: u32) -> usize {
        if self.left < bits {
            self.word = self.stream.next_u64();
            self.left = u64::BITS;
        }
        let low = self.word & ((1 << bits) - 1);
        self.word >>= bits;
        self.left -= bits;
        // At most LARGEST - 1 by the mask.
        usize::try_from(low).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::workload::Tokenizer;

    #[test]
    fn every_word_is_one_token_in_every_embedded_vocabulary_alone_and_behind_a_space() {
        let words: Vec<&str> = WORDS.split_whitespace().collect();
        assert_eq!(words.len(), LARGEST);
        assert_eq!(words.iter().collect::<std::collections::BTreeSet<_>>().len(), LARGEST);
        for tokenizer in [Tokenizer::Llama3, Tokenizer::O200k, Tokenizer::Cl100k, Tokenizer::Qwen2] {
            let v = Vocabulary::embedded(&tokenizer).unwrap();
            for word in &words {
                assert_eq!((v.count(word), v.count(&format!(" {word}"))), (1, 1), "{tokenizer:?} {word}");
            }
            assert!(Pool::new(&v).adds_up(&v), "{tokenizer:?}");
        }
    }
}
