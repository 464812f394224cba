//! The part of a timeline that reads answers: tokens by channel with their instants, usage, the first fault.

use super::tally::{Counts, Kind, Tally};
use super::template::{Channel, Template};
use super::{Appetite, Counter, EVENT_LIMIT};
use crate::base::time::Nanos;
use crate::protocol::answer::think::Think;
use crate::protocol::answer::{Answer, Choice, Content, Malformed, Message, Text};
use crate::protocol::failure::one_line;
use crate::protocol::sse::{Event, Sink};
use crate::record::outcome::Outcome;
use crate::record::request::{ChunkStamp, Usage};

/// What the chunks so far add up to.
#[derive(Default)]
pub(super) struct Fold {
    counter: Option<Counter>,
    pub(super) counts_by_text: bool,
    think: Think,
    /// Content that may become visible text or the start of an opening tag arrived then.
    held_since: Option<Nanos>,
    pub(super) first_token: Option<Nanos>,
    first_visible: Option<Nanos>,
    pub(super) last_token: Option<Nanos>,
    pub(super) chunks: Vec<ChunkStamp>,
    pub(super) counted: u32,
    pub(super) counted_reasoning: u32,
    pub(super) usage: Option<Usage>,
    pub(super) has_logprobs: bool,
    pub(super) is_finished: bool,
    pub(super) is_done: bool,
    pub(super) is_not_normalised: bool,
    model: String,
    has_model: bool,
    fault: Option<(Outcome, String)>,
    template: Template,
    /// Texts that may have to be counted.
    tally: Tally,
    /// A chunk has more than one token for certain, or its channels share it: then texts are counted.
    is_mixed: bool,
}

/// The fold with the instant at which the events that come next arrived.
pub(super) struct Arriving<'a> {
    pub(super) fold: &'a mut Fold,
    pub(super) now: Nanos,
}

impl Sink for Arriving<'_> {
    fn event(&mut self, event: Event<'_>) {
        self.fold.event(self.now, event);
    }

    fn known(&mut self, text: &[u8]) -> usize {
        self.fold.known(self.now, text)
    }
}

/// What one choice of one chunk carries.
#[derive(Clone, Copy, Default)]
struct Share {
    has_visible: bool,
    has_reasoning: bool,
    /// A token without text on a channel: part of a tool call, or held back by `Think`.
    has_other: bool,
    /// Tokens by the counter; none until the texts are counted.
    counts: Counts,
}

impl Fold {
    pub(super) fn new(counter: Option<Counter>) -> Self {
        Self { counts_by_text: counter.is_some(), counter, think: Think::new(), ..Self::default() }
    }

    /// As new, without giving up buffers and what was learnt of the look of chunks.
    pub(super) fn restart(&mut self) {
        let mut last = std::mem::take(self);
        last.chunks.clear();
        last.model.clear();
        last.tally.clear();
        *self = Self { chunks: last.chunks, model: last.model, template: last.template, tally: last.tally, ..Self::new(last.counter) };
    }

    /// The model as the first chunk that named one called it.
    pub(super) fn model(&self) -> Option<&str> {
        self.has_model.then_some(self.model.as_str())
    }

    /// Keeps the first fault: what follows it is its consequence.
    pub(super) fn fault(&mut self, outcome: Outcome, message: impl FnOnce() -> String) {
        if self.fault.is_none() {
            self.fault = Some((outcome, message()));
        }
    }

    pub(super) fn take_fault(&mut self) -> Option<(Outcome, String)> {
        self.fault.take()
    }

    pub(super) fn appetite(&self) -> Appetite {
        match &self.fault {
            Some((Outcome::Malformed, _)) => Appetite::Enough,
            _ if self.is_done => Appetite::Complete,
            _ => Appetite::More,
        }
    }

    /// First visible content. White space held back until the end was content after all.
    pub(super) fn first_content(&self) -> Option<Nanos> {
        self.first_visible.or(self.held_since)
    }

    pub(super) fn event(&mut self, now: Nanos, event: Event<'_>) {
        let data = event.data.trim_ascii();
        // Some servers keep the line open with empty data.
        if self.is_done || data.is_empty() {
            return;
        }
        if data == b"[DONE]" {
            self.is_done = true;
            return;
        }
        if event.name != b"error"
            && let Some(text) = self.template.text(data)
        {
            self.said(now, text);
            return;
        }
        let read = Answer::read(data, |answer| {
            self.answer(now, answer);
            self.template.learn(data, answer);
        });
        if event.name == b"error" {
            self.fault(Outcome::InBandError, || one_line(data));
        }
        self.refuse(read, data);
    }

    /// Takes the events at the start of `stream` that look like the last chunk; says how many bytes they have.
    fn known(&mut self, now: Nanos, stream: &[u8]) -> usize {
        let mut at = 0;
        while !self.is_done
            && let Some((text, length)) = self.template.event(&stream[at..])
            && length <= EVENT_LIMIT
        {
            self.said(now, text);
            at += length;
        }
        at
    }

    /// A chunk that looks like the one learnt, with this text: what `answer` makes of it.
    fn said(&mut self, now: Nanos, text: &str) {
        if !self.has_model
            && let Some(model) = self.template.model()
        {
            self.model.push_str(model);
            self.has_model = true;
        }
        if self.template.channel() == Channel::Content && self.think == Think::Visible && !text.is_empty() {
            // The usual chunk: no tag can follow, nothing is held back, all of it is visible.
            if self.counts_by_text {
                self.tally.add_visible(text, self.chunk());
            }
            return self.stamp(now, 1, true);
        }
        let mut share = Share::default();
        match self.template.channel() {
            Channel::Content => self.content(now, text, &mut share),
            Channel::Reasoning => self.add(text, Kind::Reasoning, &mut share),
        }
        let tokens = self.settle_share(&mut share, None);
        self.stamp(now, tokens, share.has_visible);
    }

    /// A whole answer of chat or completions.
    pub(super) fn document(&mut self, now: Nanos, body: &[u8]) {
        let read = Answer::read(body, |answer| {
            self.answer(now, answer);
            if answer.choices.is_none() {
                self.fault(Outcome::Malformed, || format!("an answer without choices: {}", one_line(body)));
            }
        });
        self.refuse(read, body);
    }

    /// A whole answer of embeddings.
    pub(super) fn embeddings(&mut self, body: &[u8], dimension: Option<u32>) {
        let read = Answer::read(body, |answer| {
            self.common(answer);
            let vectors = answer.data.as_deref().unwrap_or_default();
            if vectors.is_empty() {
                self.fault(Outcome::Malformed, || format!("an answer without embeddings: {}", one_line(body)));
            }
            for vector in vectors.iter().map(|entry| entry.embedding) {
                let expected = dimension.unwrap_or(vector.dimension);
                if vector.dimension != expected || vector.dimension == 0 {
                    self.fault(Outcome::Malformed, || format!("an embedding of dimension {}, expected {expected}", vector.dimension));
                }
                self.is_not_normalised |= !vector.is_normalised();
            }
        });
        self.refuse(read, body);
    }

    fn refuse(&mut self, read: Result<(), Malformed>, text: &[u8]) {
        if let Err(malformed) = read {
            self.fault(Outcome::Malformed, || one_line(format!("{malformed}; received: {}", one_line(text)).as_bytes()));
        }
    }

    fn common(&mut self, answer: &Answer<'_>) {
        if let Some(words) = answer.error() {
            self.fault(Outcome::InBandError, || one_line(words.as_bytes()));
        }
        // Some servers send a running total in every chunk: the last one counts.
        self.usage = answer.usage().or(self.usage);
        if !self.has_model
            && let Some(model) = &answer.model
        {
            self.model.push_str(model.as_str());
            self.has_model = true;
        }
    }

    fn answer(&mut self, now: Nanos, answer: &Answer<'_>) {
        self.common(answer);
        let (mut tokens, mut is_visible) = (0, false);
        for choice in answer.choices.as_deref().unwrap_or_default() {
            self.is_finished |= choice.finish_reason.as_ref().is_some_and(|reason| !reason.as_str().is_empty());
            let mut share = self.share(now, choice);
            let by_logprobs = choice.logprob_tokens();
            self.has_logprobs |= by_logprobs.is_some();
            tokens += self.settle_share(&mut share, by_logprobs);
            is_visible |= share.has_visible;
        }
        self.stamp(now, tokens, is_visible);
    }

    /// Tokens of a share: exact by log probabilities; otherwise one, until its texts are counted.
    fn settle_share(&mut self, share: &mut Share, by_logprobs: Option<u32>) -> u32 {
        let is_split = share.has_visible && share.has_reasoning;
        if let Some(counter) = self.counter.as_ref().filter(|_| by_logprobs.is_some() || is_split) {
            share.counts = self.tally.count_open(counter);
        } else {
            self.tally.close(self.chunk());
        }
        let tokens = share.tokens(by_logprobs);
        self.is_mixed |= is_split || tokens > 1;
        self.counted_reasoning = self.counted_reasoning.saturating_add(share.reasoning_of(tokens));
        tokens
    }

    /// Number of the chunk that comes next.
    fn chunk(&self) -> u32 {
        u32::try_from(self.chunks.len()).unwrap_or(u32::MAX)
    }

    /// A text on a channel.
    fn add(&mut self, text: &str, kind: Kind, share: &mut Share) {
        if text.is_empty() {
            return;
        }
        match kind {
            Kind::Visible => share.has_visible = true,
            Kind::Reasoning => share.has_reasoning = true,
            Kind::Other => share.has_other = true,
        }
        if self.counts_by_text {
            self.tally.add(text, kind);
        }
    }

    /// A chunk with `tokens` tokens came.
    fn stamp(&mut self, now: Nanos, tokens: u32, is_visible: bool) {
        if tokens == 0 {
            return;
        }
        let gap = now.since(self.last_token.unwrap_or(now));
        self.chunks.push(ChunkStamp { gap: gap.0, tokens });
        self.counted = self.counted.saturating_add(tokens);
        self.first_token.get_or_insert(now);
        self.last_token = Some(now);
        if is_visible {
            self.first_visible.get_or_insert(now);
        }
    }

    fn share(&mut self, now: Nanos, choice: &Choice<'_>) -> Share {
        let mut share = Share::default();
        if let Some(text) = &choice.text {
            self.content(now, text.as_str(), &mut share);
        }
        let Some(message) = choice.delta.as_ref().or(choice.message.as_ref()) else { return share };
        if let Some(text) = reasoning(message) {
            self.add(text, Kind::Reasoning, &mut share);
        }
        match &message.content {
            Some(Content::Text(text)) => self.content(now, text.as_str(), &mut share),
            Some(Content::Items(items)) => {
                for item in items {
                    for text in item.texts() {
                        if item.is_reasoning() {
                            self.add(text, Kind::Reasoning, &mut share);
                        } else {
                            self.content(now, text, &mut share);
                        }
                    }
                }
            }
            None => {}
        }
        if let Some(refusal) = &message.refusal {
            self.add(refusal.as_str(), Kind::Visible, &mut share);
        }
        share.has_other |= message.has_tool_call();
        share
    }

    fn content(&mut self, now: Nanos, text: &str, share: &mut Share) {
        if text.is_empty() {
            return;
        }
        let split = self.think.split(text);
        if !split.held.is_empty() {
            self.held_since.get_or_insert(now);
            self.add(split.held, Kind::Other, share);
        } else if let Some(since) = self.held_since.take()
            && split.held_was_visible
        {
            self.first_visible.get_or_insert(since);
        }
        self.add(split.reasoning, Kind::Reasoning, share);
        self.add(split.visible, Kind::Visible, share);
    }

    /// Counts the texts, unless the server's usage equals the number of chunks: then each chunk is one token. Counts one token a chunk also when
    /// that comes nearer to the usage than our own count: a vocabulary that is not the model's cuts the text at other places, while most servers
    /// send a chunk for each token.
    pub(super) fn settle(&mut self) {
        let chunks = self.chunk();
        let usage = self.usage.map(|usage| usage.completion).filter(|&n| n > 0);
        if chunks > 1 && usage == Some(chunks) && !self.is_mixed {
            return;
        }
        self.count();
        let Some(usage) = usage else { return };
        if chunks > 1 && chunks.abs_diff(usage) < self.counted.abs_diff(usage) {
            for chunk in &mut self.chunks {
                chunk.tokens = 1;
            }
            self.counted = chunks;
        }
    }

    /// Counts what was said, where a share stood for one token.
    fn count(&mut self) {
        let Some(counter) = &self.counter else { return };
        let (chunks, counted, reasoning) = (&mut self.chunks, &mut self.counted, &mut self.counted_reasoning);
        self.tally.count(counter, |chunk, counts| {
            let is_reasoning = counts.reasoning > 0;
            let more = (counts.visible + counts.reasoning + counts.other).max(1) - 1;
            if let Some(chunk) = chunks.get_mut(chunk) {
                chunk.tokens = chunk.tokens.saturating_add(more);
            }
            *counted = counted.saturating_add(more);
            *reasoning = reasoning.saturating_add(if is_reasoning { more } else { 0 });
        });
    }
}

/// Some servers send the same text under both names during a change of name: one of them counts.
fn reasoning<'a>(message: &'a Message<'_>) -> Option<&'a str> {
    [&message.reasoning_content, &message.reasoning].into_iter().flatten().map(Text::as_str).find(|text| !text.is_empty())
}

impl Share {
    /// Log probabilities are exact, the counter nearly so; without either, a chunk with anything in it is one token.
    fn tokens(&self, by_logprobs: Option<u32>) -> u32 {
        let has_any = self.has_visible || self.has_reasoning || self.has_other;
        match by_logprobs {
            Some(exact) if exact > 0 => exact,
            _ => (self.counts.visible + self.counts.reasoning + self.counts.other).max(u32::from(has_any)),
        }
    }

    /// Which of `tokens` are reasoning: all of a chunk that holds nothing else, otherwise as counted, otherwise half.
    fn reasoning_of(&self, tokens: u32) -> u32 {
        match (self.has_reasoning, self.has_visible) {
            (false, _) => 0,
            (true, false) => tokens,
            (true, true) if self.counts.reasoning + self.counts.visible > 0 => self.counts.reasoning.min(tokens),
            (true, true) => tokens / 2,
        }
    }
}
