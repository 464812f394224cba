//! `<think>…</think>` at the start of visible text, found across chunks: what stands inside is reasoning.

const OPEN: &[u8] = b"<think>";
const CLOSE: &[u8] = b"</think>";

/// Follows the content of one answer. Every byte is looked at once; nothing is kept but a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Think {
    /// Only white space so far, then this many bytes of the opening tag.
    Start(usize),
    /// After the opening tag; this many bytes of the closing tag just seen.
    Inside(usize),
    /// After the closing tag; only white space so far.
    After,
    /// Everything that follows is visible.
    #[default]
    Visible,
}

/// A chunk of content, split by channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split<'a> {
    /// Inside the tags, tags included.
    pub reasoning: &'a str,
    /// Outside.
    pub visible: &'a str,
    /// Not known yet: white space or part of an opening tag at the very start.
    pub held: &'a str,
    /// What was held in earlier chunks turned out to be visible.
    pub held_was_visible: bool,
}

impl Think {
    /// At the start of an answer.
    #[must_use]
    pub const fn new() -> Self {
        Self::Start(0)
    }

    /// Takes the next content of the answer.
    pub fn split<'a>(&mut self, text: &'a str) -> Split<'a> {
        match *self {
            Self::Visible => Split { visible: text, ..Split::default() },
            Self::Start(matched) => self.start(text, matched),
            Self::Inside(matched) => self.inside(text, 0, matched),
            Self::After => self.after(text, 0),
        }
    }

    fn start<'a>(&mut self, text: &'a str, mut matched: usize) -> Split<'a> {
        for (i, &byte) in text.as_bytes().iter().enumerate() {
            if matched == 0 && byte.is_ascii_whitespace() {
                continue;
            }
            if byte != OPEN[matched] {
                *self = Self::Visible;
                return Split { visible: text, held_was_visible: true, ..Split::default() };
            }
            matched += 1;
            if matched == OPEN.len() {
                return self.inside(text, i + 1, 0);
            }
        }
        *self = Self::Start(matched);
        Split { held: text, ..Split::default() }
    }

    fn inside<'a>(&mut self, text: &'a str, from: usize, mut matched: usize) -> Split<'a> {
        for (i, &byte) in text.as_bytes().iter().enumerate().skip(from) {
            // `<` stands only at the start of the tag, so a mismatch can only start over at this byte.
            matched = match byte {
                b if b == CLOSE[matched] => matched + 1,
                b'<' => 1,
                _ => 0,
            };
            if matched == CLOSE.len() {
                return self.after(text, i + 1);
            }
        }
        *self = Self::Inside(matched);
        Split { reasoning: text, ..Split::default() }
    }

    /// The text up to `from` is reasoning; white space right after the closing tag is part of neither channel.
    fn after<'a>(&mut self, text: &'a str, from: usize) -> Split<'a> {
        let visible = text[from..].trim_start();
        *self = if visible.is_empty() { Self::After } else { Self::Visible };
        let (reasoning, visible) = text.split_at(text.len() - visible.len());
        Split { reasoning, visible, ..Split::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reasoning and visible text of an answer cut as given; what is still held at the end is visible.
    fn channels(pieces: &[&str]) -> (String, String) {
        let (mut think, mut reasoning, mut visible, mut held) = (Think::new(), String::new(), String::new(), String::new());
        for piece in pieces {
            let split = think.split(piece);
            held.push_str(split.held);
            if split.held_was_visible {
                visible.push_str(&held);
            }
            if think != Think::Start(0) && !matches!(think, Think::Start(_)) {
                held.clear();
            }
            reasoning.push_str(split.reasoning);
            visible.push_str(split.visible);
        }
        (reasoning, visible + &held)
    }

    #[test]
    fn tags_at_the_start_are_reasoning() {
        for (text, visible) in [
            ("<think>hm</think>\n\nyes", "yes"),
            ("\n<think>a < b </thin </think>x<think>y", "x<think>y"),
            ("<think>never closed", ""),
            ("<thing>x", "<thing>x"),
            ("say <think>x</think>", "say <think>x</think>"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(channels(&[text]).1, visible, "{text}");
            let single: Vec<String> = text.chars().map(String::from).collect();
            let single: Vec<&str> = single.iter().map(String::as_str).collect();
            assert_eq!(channels(&single).1, visible, "{text}, letter by letter");
        }
        assert_eq!(channels(&["<thi", "nk>a</", "think>", " b"]), ("nk>a</think> ".to_owned(), "b".to_owned()));
    }

    proptest! {
        /// forall texts, cuts: the visible text does not depend on the cuts, and without the tag everything is visible.
        #[test]
        fn cuts_do_not_matter(text in "(<think>)?[a-z<>/é ]{0,20}(</think>)?[a-z<> ]{0,10}", cut in 0..60_usize) {
            let cut = (0..=cut.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap();
            prop_assert_eq!(channels(&[&text[..cut], &text[cut..]]).1, channels(&[&text]).1);
            if !text.contains("<think>") {
                prop_assert_eq!(channels(&[&text]).1, text);
            }
        }
    }
}
