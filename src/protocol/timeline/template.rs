//! What the last chunk looked like around its text: the next one that looks the same is read without parsing JSON.
//!
//! Exact by construction. The bytes before and after a JSON string without escapes decide how a document is read, whatever the string says, as
//! long as it needs no escapes either (no quote, no backslash, no control character) and is valid UTF-8. So a document with the same bytes
//! around another such string differs from the one that was parsed in that text alone. Everything else it could carry (a finish reason, usage,
//! an error, log probabilities, a second choice) would stand in the bytes around, and those are learnt only from a document without any.

use crate::protocol::answer::{Answer, Choice, Content, Text};

/// Longest document that is remembered, in bytes: chunks of known servers have some hundred.
const LONGEST: usize = 2 << 10;

/// The bytes around the text of a chunk.
#[derive(Debug, Default)]
pub(super) struct Template {
    /// Up to the opening quote of the text, and the quote.
    prefix: Vec<u8>,
    /// From the closing quote on.
    suffix: Vec<u8>,
    channel: Channel,
    /// Neither part holds a line end, so that the document stands on one line of its event.
    is_one_line: bool,
    /// The model it names.
    model: Option<String>,
}

/// Which text of the chunk it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Channel {
    /// `choices[0].delta.content` or `choices[0].text`.
    #[default]
    Content,
    /// `choices[0].delta.reasoning_content` or `reasoning`.
    Reasoning,
}

impl Template {
    /// Where the text goes.
    pub(super) fn channel(&self) -> Channel {
        self.channel
    }

    /// The model that every chunk of this look names.
    pub(super) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The text of `document`, if it looks like the one that was learnt.
    #[inline]
    pub(super) fn text<'a>(&self, document: &'a [u8]) -> Option<&'a str> {
        let (text, rest) = self.start(document)?;
        (rest == self.suffix).then_some(text)
    }

    /// The text of the event that `stream` starts with, and the event's length, if it is `data: `, a document that looks like the one that was
    /// learnt, and two line ends of one kind.
    #[inline]
    pub(super) fn event<'a>(&self, stream: &'a [u8]) -> Option<(&'a str, usize)> {
        if !self.is_one_line {
            return None;
        }
        let (text, rest) = self.start(stream.strip_prefix(b"data: ")?)?;
        let rest = rest.strip_prefix(&self.suffix[..])?;
        let rest = rest.strip_prefix(b"\n\n").or_else(|| rest.strip_prefix(b"\r\n\r\n"))?;
        Some((text, stream.len() - rest.len()))
    }

    /// The text, and what follows from its closing quote on.
    #[inline]
    fn start<'a>(&self, document: &'a [u8]) -> Option<(&'a str, &'a [u8])> {
        // Nothing learnt yet: an empty prefix would match everything, an empty suffix nothing.
        let rest = document.strip_prefix(&self.prefix[..])?;
        let (text, rest) = rest.split_at(plain(rest));
        // A text that stopped at anything but its closing quote is not plain.
        if rest.first() != Some(&b'"') || self.suffix.is_empty() {
            return None;
        }
        Some((std::str::from_utf8(text).ok()?, rest))
    }

    /// Remembers the look of `document`, which was parsed as `answer`, if it carries one plain text and nothing else of interest.
    pub(super) fn learn(&mut self, document: &[u8], answer: &Answer<'_>) {
        let Some((channel, text)) = only_text(answer) else { return };
        // A text that was borrowed lies inside the document; one with escapes was copied elsewhere.
        let Some(from) = text.as_ptr().addr().checked_sub(document.as_ptr().addr()) else { return };
        let Some((before, after)) = document.split_at_checked(from) else { return };
        if document.len() > LONGEST || !after.starts_with(text.as_bytes()) || !before.ends_with(b"\"") {
            return;
        }
        let after = &after[text.len()..];
        if !after.starts_with(b"\"") {
            return;
        }
        self.prefix.clear();
        self.prefix.extend_from_slice(before);
        self.suffix.clear();
        self.suffix.extend_from_slice(after);
        self.is_one_line = !before.contains(&b'\n') && !after.contains(&b'\n');
        self.channel = channel;
        let model = answer.model.as_ref().map(Text::as_str);
        if self.model.as_deref() != model {
            self.model = model.map(str::to_owned);
        }
    }
}

/// The one text of `answer` that is not empty, if it has one choice and nothing else that counts.
fn only_text<'a>(answer: &'a Answer<'_>) -> Option<(Channel, &'a str)> {
    let [choice] = answer.choices.as_deref()? else { return None };
    let is_last = choice.finish_reason.as_ref().is_some_and(|reason| !reason.as_str().is_empty());
    if is_last || answer.error().is_some() || answer.usage().is_some() || choice.logprob_tokens().is_some() || choice.message.is_some() {
        return None;
    }
    let mut texts = texts(choice)?.into_iter().filter(|(_, text)| !text.is_empty());
    let only = texts.next()?;
    texts.next().is_none().then_some(only)
}

/// The texts of a choice; `None` if it carries anything else.
fn texts<'a>(choice: &'a Choice<'_>) -> Option<[(Channel, &'a str); 4]> {
    let of = |text: &'a Option<Text<'_>>| text.as_ref().map_or("", |text| text.as_str());
    let completion = (Channel::Content, of(&choice.text));
    let Some(delta) = &choice.delta else { return Some([completion, (Channel::Content, ""), (Channel::Reasoning, ""), (Channel::Reasoning, "")]) };
    let content = match &delta.content {
        None => "",
        Some(Content::Text(text)) => text.as_str(),
        Some(Content::Items(_)) => return None,
    };
    if delta.has_tool_call() || !of(&delta.refusal).is_empty() {
        return None;
    }
    let reasoning = [&delta.reasoning_content, &delta.reasoning].map(|text| (Channel::Reasoning, of(text)));
    Some([completion, (Channel::Content, content), reasoning[0], reasoning[1]])
}

/// Bytes of `text` before the first quote, backslash or control character, eight at a time.
#[inline]
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Bit 7 of every byte of `x` below `n`, n <= 128; bits above the lowest such byte may be wrong, so only the lowest counts
    // (S. E. Anderson, Bit Twiddling Hacks, "Determine if a word has a byte less than n").
    let below = |x: u64, n: u64| x.wrapping_sub(ONES * n) & !x & HIGHS;
    let mut words = text.chunks_exact(8);
    let mut at = 0;
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of eight bytes"));
        let hits = below(word, 0x20) | below(word ^ (ONES * u64::from(b'"')), 1) | below(word ^ (ONES * u64::from(b'\\')), 1);
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + words.remainder().iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\').unwrap_or(words.remainder().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// forall bytes: the place found eight at a time is the one found byte by byte.
        #[test]
        fn plain_text_ends_where_it_ends(text in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(0x1F), Just(b' '), any::<u8>(), 0x20..=0xFF_u8], 0..40)) {
            let expected = text.iter().take_while(|&&b| b >= 0x20 && b != b'"' && b != b'\\').count();
            prop_assert_eq!(plain(&text), expected);
        }
    }

    fn learnt(document: &str) -> Template {
        let mut template = Template::default();
        Answer::read(document.as_bytes(), |answer| template.learn(document.as_bytes(), answer)).unwrap();
        template
    }

    #[test]
    fn only_a_chunk_of_one_plain_text_is_learnt() {
        for (document, text) in [
            (r#"{"model":"m","choices":[{"delta":{"content":"a"},"finish_reason":null,"logprobs":null}],"usage":null}"#, Some("a")),
            (r#"{"choices":[{"text":"é","finish_reason":""}]}"#, Some("é")),
            (r#"{"choices":[{"delta":{"reasoning_content":"hm","content":""}}]}"#, Some("hm")),
            (r#"{"choices":[{"delta":{"content":""}}]}"#, None),
            (r#"{"choices":[{"delta":{"content":"a\n"}}]}"#, None),
            (r#"{"choices":[{"delta":{"reasoning_content":"hm","reasoning":"hm"}}]}"#, None),
            (r#"{"choices":[{"delta":{"content":"a","refusal":"no"}}]}"#, None),
            (r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#, None),
            (r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"completion_tokens":1}}"#, None),
            (r#"{"choices":[{"delta":{"content":"a"}}],"error":"x"}"#, None),
            (r#"{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{}]}}]}"#, None),
            (r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}"#, None),
            (r#"{"choices":[{"delta":{"content":"a","tool_calls":[{}]}}]}"#, None),
            (r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"}]}}]}"#, None),
            (r#"{"choices":[]}"#, None),
        ] {
            assert_eq!(learnt(document).text(document.as_bytes()), text, "{document}");
        }
    }

    #[test]
    fn an_event_is_known_only_whole() {
        let template = learnt(r#"{"choices":[{"delta":{"content":"a"}}]}"#);
        let stream = "data: {\"choices\":[{\"delta\":{\"content\":\" b…\"}}]}\n\ndata: x\n\n";
        assert_eq!(template.event(stream.as_bytes()), Some((" b…", stream.len() - 9)));
        let crlf = stream.replace('\n', "\r\n");
        assert_eq!(template.event(crlf.as_bytes()), Some((" b…", crlf.len() - 11)));
        for cut in 0..stream.len() - 9 {
            assert_eq!(template.event(&stream.as_bytes()[..cut]), None, "{cut}");
        }
        assert_eq!(Template::default().event(stream.as_bytes()), None);
        assert_eq!(
            learnt("{\"choices\":\n[{\"delta\":{\"content\":\"a\"}}]}").event(b"data: {\"choices\":\n[{\"delta\":{\"content\":\"a\"}}]}\n\n"),
            None
        );
    }
}
