//! Prompts with an exact token count: unique by default, with a shared prefix on request.

mod pool;

use super::schedule::Arrival;
use super::tokenizer::Vocabulary;
use crate::base::rng::Seed;
use crate::scenario::workload::Prompts;
use pool::{Draw, Kind, Pool};
use rand::Rng;
use std::sync::Arc;

/// Writes the text of prompts. Shared between threads; the text of an arrival depends on the seed and the arrival alone.
///
/// Prompts of one run differ from their first words on (two words tell a million requests apart), so that no prefix cache helps; a run
/// repeated with the same seed sends the same texts. With `shared_tokens` that many tokens come from the stream of the arrival's
/// `prefix_group`, and the unique part follows. The turns of a session grow: the text of a turn begins with the text of the turn before,
/// and nothing is shared between sessions.
///
/// The count is exact for the embedded vocabularies, and for a tokenizer of one's own in which words are tokens. Where words are not,
/// texts are built by counting, which is slower, and the growth of a session is then exact only up to its last words.
pub struct PromptBook {
    vocabulary: Arc<Vocabulary>,
    pool: Pool,
    groups: u32,
    seed: Seed,
    /// Turns consecutive numbers into well-spread first words that differ from those of another seed.
    key: u64,
}

impl PromptBook {
    /// Prepares the pool of words: at once for embedded vocabularies, by counting some ten thousand tokens for others.
    #[must_use]
    pub fn new(vocabulary: Arc<Vocabulary>, prompts: &Prompts, seed: Seed) -> Self {
        let pool = Pool::new(&vocabulary);
        let seed = seed.child("prompts", 0);
        Self { vocabulary, pool, groups: prompts.prefix_groups.max(1), seed, key: seed.stream("first words").next_u64() }
    }

    /// The prompt of `arrival`: exactly `arrival.input_tokens` tokens.
    #[must_use]
    pub fn text(&self, arrival: &Arrival) -> String {
        let n = arrival.input_tokens;
        let mut plan = match arrival.session {
            Some((session, _)) => Plan { shared: 0, group: None, own: self.draw("session", session) },
            None => Plan {
                shared: arrival.shared_tokens.min(n),
                group: (arrival.shared_tokens > 0).then(|| self.draw("prefix", u64::from(arrival.prefix_group % self.groups))),
                own: self.draw("request", arrival.seq),
            },
        };
        match self.pool.kind() {
            Kind::Additive => self.additive(&mut plan, n),
            Kind::Counted => self.counted(&mut plan, n),
        }
    }

    /// Whether every text has exactly the tokens asked for, without counting.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.pool.kind() == Kind::Additive
    }

    fn draw(&self, kind: &str, number: u64) -> Draw {
        // An odd factor is a bijection of every low digit: consecutive numbers have different first words until the pool is used up.
        Draw::new(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.key, self.seed.keyed(kind, number))
    }

    fn additive(&self, plan: &mut Plan, n: u32) -> String {
        let mut text = String::with_capacity((n as usize + 8) * self.pool.mean_bytes() + self.pool.longest());
        if let Some(group) = &mut plan.group {
            self.pool.write(&mut text, group, 0, plan.shared);
        }
        self.pool.write(&mut text, &mut plan.own, plan.shared, n);
        text
    }

    /// Builds by counting: words while they fit, then single letters and signs until the count is met. Best effort: some vocabularies
    /// cannot express every count.
    fn counted(&self, plan: &mut Plan, n: u32) -> String {
        const FILLERS: [&str; 12] = [" a", " I", ".", ",", " 1", "!", "?", "1", "a", " x", "x", "-"];
        let mut text = String::new();
        let mut ends = vec![0];
        if let Some(group) = &mut plan.group {
            self.grow(&mut text, &mut ends, group, plan.shared);
        }
        self.grow(&mut text, &mut ends, &mut plan.own, n);
        let mut have = self.vocabulary.count(&text);
        while have < n {
            let tried = FILLERS.iter().map(|filler| format!("{text}{filler}")).map(|longer| (self.vocabulary.count(&longer), longer));
            // The fullest text that does not overshoot.
            match tried.filter(|&(count, _)| count > have && count <= n).max_by_key(|&(count, _)| count) {
                Some((count, longer)) => (have, text) = (count, longer),
                None => break,
            }
        }
        text
    }

    /// Appends words until one more would exceed `n` tokens. `ends` are the lengths of the text after each word.
    fn grow(&self, text: &mut String, ends: &mut Vec<usize>, draw: &mut Draw, n: u32) {
        loop {
            let have = self.vocabulary.count(text);
            if have > n {
                // Too many: take back as few words as may do, one at least, and be done when they were single ones.
                let words = (ends.len() - 1).max(1);
                let per_word = (have as usize / words).max(1);
                let back = ((have - n) as usize / (2 * per_word)).max(1).min(words);
                ends.truncate(ends.len() - back);
                text.truncate(*ends.last().unwrap_or(&0));
                if self.vocabulary.count(text) <= n {
                    return;
                }
                continue;
            }
            if have == n {
                return;
            }
            // One word has at least one token: a batch of half of what is missing seldom overshoots, and the count of calls stays small.
            let batch = ((n - have) / 4).max(1);
            for _ in 0..batch {
                self.pool.push_word(text, draw);
                ends.push(text.len());
            }
        }
    }
}

/// Where the tokens of a prompt come from.
struct Plan {
    shared: u32,
    group: Option<Draw>,
    own: Draw,
}

const _: () = {
    const fn shared_between_threads<T: Send + Sync + 'static>() {}
    shared_between_threads::<PromptBook>();
    shared_between_threads::<Vocabulary>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Nanos;
    use crate::record::request::Phase;
    use crate::scenario::workload::Tokenizer;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::sync::LazyLock;

    const ALL: [Tokenizer; 4] = [Tokenizer::Llama3, Tokenizer::O200k, Tokenizer::Cl100k, Tokenizer::Qwen2];
    const SMALL: &[u8] = include_bytes!("../../tests/data/tokenizer_small.json");

    fn arrival(seq: u64, input_tokens: u32) -> Arrival {
        Arrival {
            seq,
            at: Nanos::ZERO,
            phase: Phase::Measure,
            input_tokens,
            output_tokens: 1,
            shared_tokens: 0,
            prefix_group: 0,
            session: None,
            user: None,
        }
    }

    fn book(vocabulary: Vocabulary, seed: u64) -> PromptBook {
        PromptBook::new(Arc::new(vocabulary), &Prompts { prefix_groups: 3, ..Prompts::default() }, Seed(seed))
    }

    static BOOKS: LazyLock<Vec<PromptBook>> = LazyLock::new(|| {
        let embedded = ALL.iter().map(|t| Vocabulary::embedded(t).unwrap());
        embedded.chain([Vocabulary::from_json(SMALL).unwrap()]).map(|v| book(v, 7)).collect()
    });

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// forall vocabulary, seq, n, shared: count(text) == n
        #[test]
        fn the_count_is_exact(seq in any::<u64>(), n in 1_u32..5000, share in 0_u32..=100, group in 0_u32..9, session in prop::option::of((any::<u64>(), 0_u32..5))) {
            for book in BOOKS.iter() {
                let shared_tokens = n * share / 100;
                let text = book.text(&Arrival { shared_tokens, prefix_group: group, session, ..arrival(seq, n) });
                prop_assert_eq!(book.vocabulary.count(&text), n);
                prop_assert_eq!(text.trim(), text.as_str());
            }
        }

        /// forall session, n < m: the text of a later turn begins with the text of an earlier one
        #[test]
        fn sessions_grow(session in any::<u64>(), n in 1_u32..2000, more in 1_u32..2000) {
            for book in BOOKS.iter() {
                let first = book.text(&Arrival { session: Some((session, 0)), ..arrival(1, n) });
                let second = book.text(&Arrival { session: Some((session, 1)), shared_tokens: n, ..arrival(9, n + more) });
                prop_assert!(second.starts_with(&first));
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let make = |seed| book(Vocabulary::embedded(&Tokenizer::Llama3).unwrap(), seed).text(&arrival(3, 50));
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn prompts_differ_from_their_first_words_on() {
        let book = &BOOKS[0];
        let first_word: HashSet<String> = (0..1024).map(|seq| book.text(&arrival(seq, 1))).collect();
        assert_eq!(first_word.len(), 1024);
        let two_words: HashSet<String> = (0..20_000).map(|seq| book.text(&arrival(seq, 2))).collect();
        assert_eq!(two_words.len(), 20_000);
    }

    #[test]
    fn a_shared_prefix_is_shared_within_its_group_only_and_exactly_as_long_as_asked() {
        let book = &BOOKS[0];
        let text = |seq, group| book.text(&Arrival { shared_tokens: 100, prefix_group: group, ..arrival(seq, 160) });
        let prefix = book.text(&Arrival { shared_tokens: 100, ..arrival(0, 100) });
        assert_eq!(book.vocabulary.count(&prefix), 100);
        assert!(text(1, 0).starts_with(&prefix) && text(2, 0).starts_with(&prefix) && !text(1, 1).starts_with(&prefix));
        assert_ne!(text(1, 0)[prefix.len()..], text(2, 0)[prefix.len()..]);
    }

    /// A vocabulary of single letters: words are many tokens, and counting has to find the length.
    #[test]
    fn vocabularies_without_words_are_met_by_counting() {
        let mut json: serde_json::Value = serde_json::from_slice(SMALL).unwrap();
        json["model"]["merges"] = serde_json::json!([]);
        let vocab = json["model"]["vocab"].as_object_mut().unwrap();
        vocab.retain(|token, _| token.chars().count() == 1);
        let book = book(Vocabulary::from_json(json.to_string().as_bytes()).unwrap(), 1);
        assert!(!book.is_exact());
        for n in [1, 2, 3, 10, 57, 333, 2000] {
            for shared_tokens in [0, n / 2] {
                let text = book.text(&Arrival { shared_tokens, ..arrival(u64::from(n), n) });
                assert_eq!(book.vocabulary.count(&text), n, "{text}");
            }
        }
    }

    #[test]
    fn zero_tokens_are_an_empty_text() {
        assert_eq!(BOOKS[0].text(&arrival(0, 0)), "");
    }
}
