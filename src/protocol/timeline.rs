//! Fold of an answer's pieces, with their instants, into a `RequestRecord`.
//!
//! Drivers call `head`, `bytes` for every piece, then `end` or `fail`, then `finish`. Instants are those of arrival, taken before anything is
//! parsed. The class of the outcome is decided here, so that every driver decides alike.

mod counted;
mod fold;
mod tally;
mod template;

use super::answer::Answer;
use super::failure::{self, one_line};
use super::openai::Expect;
use super::sse::Splitter;
use crate::base::time::Nanos;
use crate::record::outcome::Outcome;
use crate::record::request::{RequestRecord, TokenSource};
use crate::scenario::target::Task;
pub use counted::remembered;
use fold::{Arriving, Fold};
use http::HeaderMap;
use std::sync::Arc;

/// Counts the tokens of a text.
pub type Counter = Arc<dyn Fn(&str) -> u32 + Send + Sync>;

/// Bytes of one event of a stream, at most; beyond it the answer is malformed.
pub const EVENT_LIMIT: usize = 4 << 20;
/// Bytes of an answer, at most; beyond it the answer is malformed.
pub const BODY_LIMIT: usize = 64 << 20;
/// Bytes of a refusal that are read; the rest is skipped.
const REFUSAL_LIMIT: usize = 64 << 10;
/// Bytes of the buffer for documents that are kept for the next answer.
const KEPT: usize = 8 << 10;

/// Whether the driver should read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appetite {
    /// More may come.
    More,
    /// The answer is complete; the connection is good once its end has been read.
    Complete,
    /// Nothing that follows can matter; the connection is best dropped.
    Enough,
}

/// The fold of one answer; after [`Timeline::restart`], of another.
pub struct Timeline {
    expect: Expect,
    body: Body,
    splitter: Splitter,
    /// The document so far.
    text: Vec<u8>,
    fold: Fold,
    status: u16,
    headers: HeaderMap,
    received: usize,
    first_byte: Option<Nanos>,
    last_byte: Option<Nanos>,
    end: Option<End>,
}

/// How the body is read; decided by the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// No head yet.
    None,
    Events,
    Document,
    /// A document in the place of a stream.
    NotAStream,
    Refusal,
}

struct End {
    at: Nanos,
    outcome: Outcome,
    retry_after: Option<Nanos>,
    message: Option<String>,
}

impl Timeline {
    /// A fold of the answer to a request that asked for `expect`; without `counter`, a content chunk without log probabilities counts as one
    /// token.
    #[must_use]
    pub fn new(expect: Expect, counter: Option<Counter>) -> Self {
        Self {
            expect,
            body: Body::None,
            splitter: Splitter::new(EVENT_LIMIT),
            text: Vec::new(),
            fold: Fold::new(counter),
            status: 0,
            headers: HeaderMap::new(),
            received: 0,
            first_byte: None,
            last_byte: None,
            end: None,
        }
    }

    /// Makes this the fold of another answer: as [`Timeline::new`] with the same counter, without giving up its buffers and what it has learnt
    /// of the look of chunks.
    pub fn restart(&mut self, expect: Expect) {
        self.expect = expect;
        self.body = Body::None;
        self.splitter.restart();
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.fold.restart();
        self.status = 0;
        if !self.headers.is_empty() {
            self.headers = HeaderMap::new();
        }
        self.received = 0;
        self.first_byte = None;
        self.last_byte = None;
        self.end = None;
    }

    /// The head of the answer, whose first byte arrived at `now`.
    pub fn head(&mut self, now: Nanos, status: u16, headers: &HeaderMap) {
        self.first_byte = Some(now);
        self.status = status;
        let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::trim_ascii_start);
        let is_stream = content_type.is_none_or(|kind| kind.get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream")));
        self.body = match status {
            200..=299 if !self.expect.stream => Body::Document,
            200..=299 if is_stream => Body::Events,
            _ => {
                // Only refusals need their head later on.
                self.headers.clone_from(headers);
                if (200..=299).contains(&status) { Body::NotAStream } else { Body::Refusal }
            }
        };
    }

    /// A piece of the body that arrived at `now`.
    pub fn bytes(&mut self, now: Nanos, piece: &[u8]) -> Appetite {
        self.last_byte = Some(now);
        self.received = self.received.saturating_add(piece.len());
        if self.received > BODY_LIMIT {
            self.fold.fault(Outcome::Malformed, || format!("the answer is longer than {} MiB", BODY_LIMIT >> 20));
            return Appetite::Enough;
        }
        match self.body {
            Body::None => {}
            Body::Events => {
                if let Err(overflow) = self.splitter.push_to(piece, &mut Arriving { fold: &mut self.fold, now }) {
                    self.fold.fault(Outcome::Malformed, || overflow.to_string());
                }
                return self.fold.appetite();
            }
            Body::Document => self.text.extend_from_slice(piece),
            Body::NotAStream | Body::Refusal => {
                let room = REFUSAL_LIMIT.saturating_sub(self.text.len());
                self.text.extend_from_slice(&piece[..piece.len().min(room)]);
            }
        }
        Appetite::More
    }

    /// The answer ended in good order at `now`.
    pub fn end(&mut self, now: Nanos) {
        self.close(now, None);
    }

    /// The attempt ended at `now` for another reason than the end of the answer. `outcome` is the class if nothing better is known: a complete
    /// answer stays complete, and a refusal or an error inside the answer says more than the connection that broke after it.
    pub fn fail(&mut self, now: Nanos, outcome: Outcome, message: impl Into<String>) {
        self.close(now, Some((outcome, message.into())));
    }

    /// The first words on what went wrong, on one line; `None` for an answer that is ok, or before its end.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.end.as_ref()?.message.as_deref()
    }

    /// The class, once the answer has ended.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.end.as_ref().map(|end| end.outcome)
    }

    /// The model as the server calls it.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.fold.model()
    }

    fn close(&mut self, now: Nanos, broken: Option<(Outcome, String)>) {
        if self.end.is_some() {
            return;
        }
        let body = std::mem::replace(&mut self.body, Body::None);
        let text = std::mem::take(&mut self.text);
        let (outcome, retry_after, message) = self.verdict(body, &text, broken);
        self.text = text;
        self.end = Some(End { at: now, outcome, retry_after, message });
    }

    fn verdict(&mut self, body: Body, text: &[u8], broken: Option<(Outcome, String)>) -> (Outcome, Option<Nanos>, Option<String>) {
        if body == Body::Refusal {
            let refusal = failure::classify(self.status, &self.headers, text);
            return (refusal.outcome, refusal.retry_after, Some(refusal.message));
        }
        if broken.is_none() {
            match body {
                Body::Document => self.document(text),
                Body::NotAStream => self.not_a_stream(text),
                _ => {}
            }
        }
        if let Some((outcome, message)) = self.fold.take_fault() {
            return (outcome, None, Some(message));
        }
        if let Some((outcome, message)) = broken {
            // After `[DONE]` nothing is missing; after a finish reason, only a cut (not a silence) counts as an end.
            let is_complete = self.fold.is_done || (self.fold.is_finished && outcome == Outcome::Truncated);
            if !is_complete {
                return (outcome, None, Some(message));
            }
        }
        if body == Body::None {
            return (Outcome::Truncated, None, Some("no answer came".to_owned()));
        }
        if self.expect.task == Task::Embeddings {
            return (Outcome::Ok, None, None);
        }
        if self.expect.stream && !self.fold.is_done && !self.fold.is_finished {
            return (Outcome::Truncated, None, Some("the stream ended without [DONE] and without a finish reason".to_owned()));
        }
        if self.fold.first_token.is_none() {
            return (Outcome::Empty, None, Some("a complete answer without a single token".to_owned()));
        }
        (Outcome::Ok, None, None)
    }

    /// A whole answer: it came when its last byte came.
    fn document(&mut self, body: &[u8]) {
        let Some(now) = self.last_byte else {
            self.fold.fault(Outcome::Malformed, || "the answer has no body".to_owned());
            return;
        };
        if self.expect.task == Task::Embeddings {
            self.fold.embeddings(body, self.expect.dimension);
        } else {
            self.fold.document(now, body);
        }
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method itself is not general enough in its lifetimes")]
    fn not_a_stream(&mut self, body: &[u8]) {
        if let Ok(Some(words)) = Answer::read(body, |answer| answer.error()) {
            self.fold.fault(Outcome::InBandError, || one_line(words.as_bytes()));
        }
        let kind = self.headers.get(http::header::CONTENT_TYPE).map_or_else(String::new, |value| one_line(value.as_bytes()));
        self.fold.fault(Outcome::Malformed, || one_line(format!("a stream was asked for, and {kind} came: {}", one_line(body)).as_bytes()));
    }

    /// Writes everything that is known into `record`, once an answer. Without `end` or `fail` before it, the answer counts as cut off at its
    /// last byte. The two change their lists of chunks: the record gets the full one, and its own room serves the next answer.
    pub fn finish(&mut self, record: &mut RequestRecord) {
        if self.end.is_none() {
            let now = self.last_byte.or(self.first_byte).unwrap_or(record.closed);
            self.fail(now, Outcome::Truncated, "the answer was not read to its end");
        }
        let Some(&End { at, outcome, retry_after, .. }) = self.end.as_ref() else { return };
        let fold = &mut self.fold;
        fold.settle();
        record.outcome = outcome;
        record.status = self.status;
        record.retry_after = retry_after;
        record.first_byte = self.first_byte;
        record.first_token = fold.first_token;
        record.first_content = fold.first_content();
        record.last_token = fold.last_token;
        record.closed = at;
        record.usage = fold.usage;
        record.counted_tokens = fold.counted;
        std::mem::swap(&mut record.chunks, &mut fold.chunks);
        record.input_tokens = fold.usage.map(|usage| usage.prompt).filter(|&prompt| prompt > 0).unwrap_or(record.input_asked);
        let reported = fold.usage.map(|usage| usage.completion);
        (record.output_tokens, record.token_source) = match reported {
            Some(tokens) if tokens > 0 || fold.counted == 0 => (tokens, TokenSource::Usage),
            _ if fold.counted == 0 => (0, TokenSource::None),
            _ if fold.counts_by_text => (fold.counted, TokenSource::Tokenizer),
            _ => (fold.counted, TokenSource::Chunks),
        };
        let reasoning_reported = fold.usage.and_then(|usage| usage.reasoning).filter(|&tokens| tokens > 0);
        record.reasoning_tokens = reasoning_reported.unwrap_or(fold.counted_reasoning);
        if outcome == Outcome::Ok {
            let notes = &mut record.notes;
            notes.missing_done = self.expect.stream && !fold.is_done;
            notes.missing_usage = self.expect.usage && fold.usage.is_none();
            notes.length_mismatch = self.expect.output_asked > 0 && record.output_tokens != self.expect.output_asked;
            notes.not_normalised = fold.is_not_normalised;
            notes.missing_logprobs = self.expect.logprobs && !fold.has_logprobs;
        }
    }
}

#[cfg(test)]
mod tests;
