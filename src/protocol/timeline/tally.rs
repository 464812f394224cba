//! The texts of an answer, kept until its end: they are counted only if the server's usage does not settle how many tokens each chunk has.
//!
//! A server that sends a chunk for every token says so by a usage equal to the number of chunks. Then each chunk is one token, whatever our vocabulary
//! would make of its text, and nothing is counted: most answers cost a copy of their text and no more, and a vocabulary that is not needed is never loaded.

use super::Counter;

/// Where a text belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Visible content.
    Visible,
    /// Reasoning.
    Reasoning,
    /// Held back until it is known what it is.
    Other,
}

/// A text and the share that it belongs to.
#[derive(Clone, Copy, Debug)]
struct Part {
    length: u32,
    kind: Kind,
}

/// What one choice said in one chunk: its last parts.
#[derive(Clone, Copy, Debug)]
struct Share {
    chunk: u32,
    parts: u32,
}

/// Tokens of a share by channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) visible: u32,
    pub(super) reasoning: u32,
    pub(super) other: u32,
}

/// The texts of one answer. Keeps its buffers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    text: String,
    parts: Vec<Part>,
    shares: Vec<Share>,
    /// Parts that belong to no share yet.
    open: u32,
    /// Some share is not one part in the chunk of its own number: only then are shares kept.
    has_shares: bool,
}

impl Tally {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.parts.clear();
        self.shares.clear();
        self.open = 0;
        self.has_shares = false;
    }

    /// The one text of chunk number `chunk`, visible and not empty: the usual chunk.
    #[inline]
    pub(super) fn add_visible(&mut self, text: &str, chunk: u32) {
        self.add(text, Kind::Visible);
        self.close(chunk);
    }

    /// A text that is not empty.
    pub(super) fn add(&mut self, text: &str, kind: Kind) {
        // A text of 4 GiB cannot come: an answer is bounded far below.
        let Ok(length) = u32::try_from(text.len()) else { return };
        self.text.push_str(text);
        self.parts.push(Part { length, kind });
        self.open += 1;
    }

    /// What was added since the last call was said in chunk number `chunk`, to be counted later.
    pub(super) fn close(&mut self, chunk: u32) {
        if self.open == 0 {
            return;
        }
        let is_plain = self.open == 1 && self.parts.len() == chunk as usize + 1;
        if !is_plain && !self.has_shares {
            self.keep_shares();
        }
        if self.has_shares {
            self.shares.push(Share { chunk, parts: self.open });
        }
        self.open = 0;
    }

    /// From now on shares are kept; those before were one part each.
    #[cold]
    fn keep_shares(&mut self) {
        let closed = self.parts.len() - self.open as usize;
        self.shares.extend((0..).take(closed).map(|chunk| Share { chunk, parts: 1 }));
        self.has_shares = true;
    }

    /// What was added since the last `close`, counted now and forgotten.
    pub(super) fn count_open(&mut self, count: &Counter) -> Counts {
        let first = self.parts.len() - self.open as usize;
        let length: usize = self.parts[first..].iter().map(|part| part.length as usize).sum();
        let mut text = &self.text[self.text.len() - length..];
        let counts = count_parts(&self.parts[first..], &mut text, count);
        self.text.truncate(self.text.len() - length);
        self.parts.truncate(first);
        self.open = 0;
        counts
    }

    /// Counts every share, and hands its chunk and its counts to `take`, in order.
    pub(super) fn count(&self, count: &Counter, mut take: impl FnMut(usize, Counts)) {
        let mut text = self.text.as_str();
        let mut parts = self.parts.as_slice();
        if !self.has_shares {
            for (chunk, part) in parts.iter().enumerate() {
                take(chunk, count_parts(std::slice::from_ref(part), &mut text, count));
            }
            return;
        }
        for share in &self.shares {
            let (own, rest) = parts.split_at(share.parts as usize);
            parts = rest;
            take(share.chunk as usize, count_parts(own, &mut text, count));
        }
    }
}

/// Every visible text and every text of reasoning has a token at least; what is held back may be half of one.
fn count_parts(parts: &[Part], text: &mut &str, count: &Counter) -> Counts {
    let mut counts = Counts::default();
    for part in parts {
        let (own, rest) = text.split_at(part.length as usize);
        *text = rest;
        let tokens = count(own);
        match part.kind {
            Kind::Visible => counts.visible += tokens.max(1),
            Kind::Reasoning => counts.reasoning += tokens.max(1),
            Kind::Other => counts.other += tokens,
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Nanos;
    use crate::protocol::openai::Expect;
    use crate::protocol::timeline::Timeline;
    use crate::record::request::{Phase, RequestRecord};
    use crate::scenario::target::Task;
    use http::HeaderMap;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// One token for every two bytes begun.
    fn by_bytes(text: &str) -> u32 {
        u32::try_from(text.len().div_ceil(2)).unwrap()
    }

    /// What is known of the chunks of a stream (text, whether it is reasoning) and its usage: (tokens of each chunk, counted, reasoning).
    fn streamed(chunks: &[(String, bool)], usage: Option<u32>, calls: &Arc<AtomicU32>) -> (Vec<u32>, u32, u32) {
        let seen = Arc::clone(calls);
        let counter: Counter = Arc::new(move |text: &str| {
            seen.fetch_add(1, Ordering::Relaxed);
            by_bytes(text)
        });
        let expect = Expect { task: Task::Chat, stream: true, usage: true, logprobs: false, dimension: None, output_asked: 0 };
        let mut timeline = Timeline::new(expect, Some(counter));
        timeline.head(Nanos(1), 200, &HeaderMap::new());
        for (i, (text, reasoning)) in chunks.iter().enumerate() {
            let name = if *reasoning { "reasoning_content" } else { "content" };
            let event = format!("data: {{\"choices\":[{{\"delta\":{{\"{name}\":{}}}}}]}}\n\n", serde_json::to_string(text).unwrap());
            timeline.bytes(Nanos(10 + i as u64), event.as_bytes());
        }
        if let Some(n) = usage {
            timeline.bytes(Nanos(1000), format!("data: {{\"choices\":[],\"usage\":{{\"completion_tokens\":{n}}}}}\n\n").as_bytes());
        }
        timeline.bytes(Nanos(1001), b"data: [DONE]\n\n");
        timeline.end(Nanos(1002));
        let mut record = RequestRecord::due(0, Phase::Measure, Nanos::ZERO, 1, 1);
        timeline.finish(&mut record);
        (record.chunks.iter().map(|c| c.tokens).collect(), record.counted_tokens, record.reasoning_tokens)
    }

    /// The same, counting every text when it comes.
    fn at_once(chunks: &[(String, bool)], usage: Option<u32>) -> (Vec<u32>, u32, u32) {
        let mut tokens: Vec<u32> = chunks.iter().map(|(text, _)| by_bytes(text).max(1)).collect();
        let reasoning = chunks.iter().zip(&tokens).filter(|((_, reasoning), _)| *reasoning).map(|(_, n)| n).sum();
        let (n, mut counted) = (u32::try_from(tokens.len()).unwrap(), tokens.iter().sum::<u32>());
        if usage.is_some_and(|usage| usage > 0 && n > 1 && n.abs_diff(usage) < counted.abs_diff(usage)) {
            tokens.fill(1);
            counted = n;
        }
        (tokens, counted, reasoning)
    }

    proptest! {
        /// forall streams, usages: counting at the end gives what counting at once gives.
        #[test]
        fn counting_later_changes_nothing(
            texts in prop::collection::vec(("[a-z]{1,7}", any::<bool>()), 1..9),
            usage in prop::option::of(0_u32..20),
        ) {
            let (tokens, counted, reasoning) = streamed(&texts, usage, &Arc::default());
            let (tokens_now, counted_now, reasoning_now) = at_once(&texts, usage);
            prop_assert_eq!((&tokens, counted), (&tokens_now, counted_now));
            if texts.len() > 1 && usage.is_some_and(|usage| usage as usize == texts.len()) {
                prop_assert_eq!(reasoning as usize, texts.iter().filter(|(_, r)| *r).count(), "one token a chunk of reasoning");
            } else {
                prop_assert_eq!(reasoning, reasoning_now);
            }
        }
    }

    /// forall shapes: chunks of several shares, shares of several parts and chunks without a text find their counts again.
    #[test]
    fn shares_find_their_chunks() {
        let count: Counter = Arc::new(by_bytes);
        let mut tally = Tally::default();
        tally.add_visible("aa", 0);
        tally.add_visible("bbbb", 1);
        // Chunk 2 has no text; chunk 3 has two shares, the second one of two parts.
        tally.close(2);
        tally.add_visible("cccccc", 3);
        tally.add("d", Kind::Reasoning);
        tally.add("eee", Kind::Visible);
        tally.close(3);
        // A share that is counted at once leaves nothing behind.
        tally.add("ffff", Kind::Visible);
        assert_eq!(tally.count_open(&count), Counts { visible: 2, ..Counts::default() });
        tally.add_visible("g", 5);
        let mut seen = Vec::new();
        tally.count(&count, |chunk, counts| seen.push((chunk, counts.visible, counts.reasoning)));
        assert_eq!(seen, [(0, 1, 0), (1, 2, 0), (3, 3, 0), (3, 2, 1), (5, 1, 0)]);
        tally.clear();
        tally.add_visible("hh", 0);
        tally.count(&count, |chunk, counts| seen.push((chunk, counts.visible, 0)));
        assert_eq!(seen.last(), Some(&(0, 1, 0)));
        assert_eq!(seen.len(), 6);
    }

    #[test]
    fn nothing_is_counted_when_the_usage_says_one_token_a_chunk() {
        let calls = Arc::default();
        let chunks: Vec<(String, bool)> = ["one", "two", "three"].map(|text| (text.to_owned(), false)).to_vec();
        assert_eq!(streamed(&chunks, Some(3), &calls), (vec![1, 1, 1], 3, 0));
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        assert_eq!(streamed(&chunks, Some(8), &calls), (vec![2, 2, 3], 7, 0));
        assert_eq!(calls.load(Ordering::Relaxed), 3);
    }
}
