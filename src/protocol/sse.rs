//! Incremental splitter of server-sent events on bytes, by the WHATWG rules.
//!
//! Lines end with CR, LF or CRLF, wherever a read cuts them; a byte order mark at the very start is skipped; `data` lines of one event are joined
//! by LF; an event without a `data` line, and one that no blank line closes, is dropped. Every byte is looked at once. An event whose only data
//! line lies in one piece is handed on from that piece: no copy, no allocation; a line that pieces cut is copied once.

use std::ops::Range;

/// One event, borrowed from the splitter or from the piece just pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event` field; empty if there was none.
    pub name: &'a [u8],
    /// The `data` lines joined by LF.
    pub data: &'a [u8],
}

/// Who takes the events of a stream.
pub trait Sink {
    /// The next event.
    fn event(&mut self, event: Event<'_>);

    /// `text` starts where an event starts. A sink that knows what stands there may take any number of whole events itself, blank lines
    /// included, and says how many bytes they have. What it takes must have no longer event than the splitter's bound, and no `id` or `retry`.
    fn known(&mut self, text: &[u8]) -> usize {
        let _ = text;
        0
    }
}

/// A sink that is a function.
struct Each<F>(F);

impl<F: FnMut(Event<'_>)> Sink for Each<F> {
    fn event(&mut self, event: Event<'_>) {
        (self.0)(event);
    }
}

/// An event grew beyond the bound; the stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {limit} bytes")]
pub struct Overflow {
    /// The bound, in bytes.
    pub limit: usize,
}

/// The splitter of one stream.
#[derive(Debug)]
pub struct Splitter {
    limit: usize,
    start: Start,
    skip_lf: bool,
    /// The beginning of a line that the pieces so far did not end.
    line: Vec<u8>,
    event: Pending,
    id: Vec<u8>,
    retry_ms: Option<u64>,
    is_over: bool,
}

/// The event that is being put together.
#[derive(Debug, Default)]
struct Pending {
    name: Vec<u8>,
    data: Data,
    /// Data of earlier lines or pieces, from `from` on. Keeps its capacity.
    text: Vec<u8>,
    from: usize,
}

/// Where the data of the event is.
#[derive(Debug, Default, PartialEq, Eq)]
enum Data {
    /// No data line yet.
    #[default]
    None,
    /// One data line, in the piece at hand.
    Inside(Range<usize>),
    /// In `text`.
    Copied,
}

/// How much of a byte order mark has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Mark(usize),
    Over,
}

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
/// Bytes of each buffer that are kept for the next stream.
const KEPT: usize = 4 << 10;

impl Splitter {
    /// A splitter for one stream; an event (its names and data, and any single line) may have at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            start: Start::Mark(0),
            skip_lf: false,
            line: Vec::new(),
            event: Pending::default(),
            id: Vec::new(),
            retry_ms: None,
            is_over: false,
        }
    }

    /// Makes this a splitter of another stream: as new, without giving up its (small) buffers.
    pub fn restart(&mut self) {
        self.start = Start::Mark(0);
        self.skip_lf = false;
        self.event.data = Data::None;
        self.event.from = 0;
        for buffer in [&mut self.line, &mut self.event.text, &mut self.event.name, &mut self.id] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
        self.retry_ms = None;
        self.is_over = false;
    }

    /// Takes the next piece of the stream and hands every event that it completes to `sink`, in order.
    ///
    /// After an [`Overflow`] every further call fails the same way.
    pub fn push(&mut self, piece: &[u8], sink: &mut impl FnMut(Event<'_>)) -> Result<(), Overflow> {
        self.push_to(piece, &mut Each(sink))
    }

    /// As [`Splitter::push`], to a sink that may know events when it sees them.
    pub fn push_to(&mut self, piece: &[u8], sink: &mut impl Sink) -> Result<(), Overflow> {
        if self.is_over {
            return Err(Overflow { limit: self.limit });
        }
        let mut at = self.skip_mark(piece);
        while at < piece.len() {
            if self.skip_lf {
                self.skip_lf = false;
                if piece[at] == b'\n' {
                    at += 1;
                    continue;
                }
            }
            if self.is_between_events() {
                let known = sink.known(&piece[at..]);
                at += known;
                if known > 0 {
                    continue;
                }
            }
            let Some(length) = line_end(&piece[at..]) else {
                self.line.extend_from_slice(&piece[at..]);
                break;
            };
            self.skip_lf = piece[at + length] == b'\r';
            if self.line.is_empty() {
                self.line_inside(piece, at..at + length, sink)?;
            } else {
                self.line.extend_from_slice(&piece[at..at + length]);
                self.line_carried(piece, sink)?;
            }
            at += length + 1;
        }
        self.event.keep(piece);
        self.check(self.line.len())
    }

    /// The last `id` field; ids with a NUL are ignored.
    #[must_use]
    pub fn last_id(&self) -> &[u8] {
        &self.id
    }

    /// The last valid `retry` field, in milliseconds.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Nothing of an event has been seen, so that what follows starts one (or is a blank line, or a comment).
    fn is_between_events(&self) -> bool {
        self.line.is_empty() && self.event.data == Data::None && self.event.name.is_empty()
    }

    /// Skips the byte order mark; returns where the text starts in `piece`.
    fn skip_mark(&mut self, piece: &[u8]) -> usize {
        let Start::Mark(seen) = self.start else { return 0 };
        let same = piece.iter().zip(&BYTE_ORDER_MARK[seen..]).take_while(|(a, b)| a == b).count();
        if seen + same == BYTE_ORDER_MARK.len() {
            self.start = Start::Over;
        } else if same == piece.len() {
            self.start = Start::Mark(seen + same);
        } else {
            // Not a mark after all: what looked like one in earlier pieces is text.
            self.start = Start::Over;
            self.line.extend_from_slice(&BYTE_ORDER_MARK[..seen]);
            return 0;
        }
        same
    }

    /// A line that lies whole in `piece`.
    fn line_inside(&mut self, piece: &[u8], range: Range<usize>, sink: &mut impl Sink) -> Result<(), Overflow> {
        let line = &piece[range.clone()];
        if line.is_empty() {
            self.event.dispatch(piece, sink);
            return Ok(());
        }
        let (name, value) = field(line);
        self.check(line.len())?;
        if name == b"data" {
            self.event.add_inside(piece, range.end - value.len()..range.end);
        } else {
            self.other_field(name.len(), line.len() - value.len(), line);
        }
        Ok(())
    }

    /// A line that began in an earlier piece; it stands in `line`.
    fn line_carried(&mut self, piece: &[u8], sink: &mut impl Sink) -> Result<(), Overflow> {
        self.check(self.line.len())?;
        let mut line = std::mem::take(&mut self.line);
        let (name, value) = field(&line);
        if name == b"data" && self.event.data == Data::None {
            // The line's own buffer becomes the data: no second copy.
            self.event.from = line.len() - value.len();
            self.event.data = Data::Copied;
            std::mem::swap(&mut line, &mut self.event.text);
        } else if name == b"data" {
            self.event.add_copied(piece, value);
        } else if line.is_empty() {
            self.event.dispatch(piece, sink);
        } else {
            self.other_field(name.len(), line.len() - value.len(), &line);
        }
        self.line = line;
        self.line.clear();
        Ok(())
    }

    fn other_field(&mut self, name_end: usize, value_start: usize, line: &[u8]) {
        let value = &line[value_start..];
        match &line[..name_end] {
            b"event" => {
                self.event.name.clear();
                self.event.name.extend_from_slice(value);
            }
            b"id" if !value.contains(&0) => {
                self.id.clear();
                self.id.extend_from_slice(value);
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry_ms = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            }
            // Comments have an empty name; unknown fields are ignored.
            _ => {}
        }
    }

    /// Refuses to hold more than the bound: what is kept of the event plus `more`.
    fn check(&mut self, more: usize) -> Result<(), Overflow> {
        if self.event.len() + more > self.limit {
            self.is_over = true;
            self.line = Vec::new();
            self.event = Pending::default();
            return Err(Overflow { limit: self.limit });
        }
        Ok(())
    }
}

impl Pending {
    fn len(&self) -> usize {
        let data = if let Data::Inside(range) = &self.data { range.len() } else { self.text.len() - self.from };
        data + self.name.len()
    }

    fn add_inside(&mut self, piece: &[u8], value: Range<usize>) {
        if self.data == Data::None {
            self.data = Data::Inside(value);
        } else {
            self.add_copied(piece, &piece[value]);
        }
    }

    fn add_copied(&mut self, piece: &[u8], value: &[u8]) {
        self.keep(piece);
        if self.data == Data::Copied {
            self.text.push(b'\n');
        }
        self.data = Data::Copied;
        self.text.extend_from_slice(value);
    }

    /// Copies what is borrowed from `piece`, which is about to go.
    fn keep(&mut self, piece: &[u8]) {
        if let Data::Inside(range) = &self.data {
            self.text.extend_from_slice(&piece[range.clone()]);
            self.data = Data::Copied;
        }
    }

    fn dispatch(&mut self, piece: &[u8], sink: &mut impl Sink) {
        match std::mem::take(&mut self.data) {
            Data::None => {}
            Data::Inside(range) => sink.event(Event { name: &self.name, data: &piece[range] }),
            Data::Copied => sink.event(Event { name: &self.name, data: &self.text[self.from..] }),
        }
        self.name.clear();
        self.text.clear();
        self.from = 0;
    }
}

/// Name and value of a line: split at the first colon, one space after it dropped; without a colon the whole line is the name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    // The usual line first: no search for the colon.
    if let Some(value) = line.strip_prefix(b"data: ") {
        return (b"data", value);
    }
    let Some(colon) = line.iter().position(|&b| b == b':') else { return (line, &line[line.len()..]) };
    let value = &line[colon + 1..];
    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
}

/// The place of the first CR or LF, eight bytes at a time.
fn line_end(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Bit 7 of every byte of `x` that is zero; bits above the lowest such byte may be wrong, so only the lowest counts
    // (H. S. Warren, Hacker's Delight, section 6-1).
    let zeros = |x: u64| x.wrapping_sub(ONES) & !x & HIGHS;
    let mut words = text.chunks_exact(8);
    let mut at = 0;
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of eight bytes"));
        let hits = zeros(word ^ (ONES * 0x0A)) | zeros(word ^ (ONES * 0x0D));
        if hits != 0 {
            return Some(at + (hits.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    words.remainder().iter().position(|b| matches!(b, b'\n' | b'\r')).map(|i| at + i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = (String, String);

    fn events(pieces: &[&[u8]]) -> Vec<Owned> {
        let mut splitter = Splitter::new(1 << 20);
        let mut out = Vec::new();
        for piece in pieces {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            splitter.push(piece, &mut |e: Event<'_>| out.push((text(e.name), text(e.data)))).unwrap();
        }
        out
    }

    fn data(stream: &str) -> Vec<String> {
        events(&[stream.as_bytes()]).into_iter().map(|(_, data)| data).collect()
    }

    /// The examples and the parsing rules of the WHATWG HTML standard, section 9.2.
    #[test]
    fn whatwg_vectors() {
        for (stream, expected) in [
            ("data: YHOO\ndata: +2\ndata: 10\n\n", vec!["YHOO\n+2\n10"]),
            (
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                vec!["first event", "second event", " third event"],
            ),
            ("data\n\ndata\ndata\n\ndata:", vec!["", "\n"]),
            ("data:test\n\ndata: test\n\n", vec!["test", "test"]),
            ("data: a\r\rdata: b\r\n\r\ndata: c\n\n", vec!["a", "b", "c"]),
            ("data: a\r\n\rdata: b\n\r\n", vec!["a", "b"]),
            ("\u{feff}data: a\n\n", vec!["a"]),
            ("\u{feff}\u{feff}data: a\n\n", vec![]),
            ("\n\u{feff}data: a\n\n", vec![]),
            ("data: no blank line at the end", vec![]),
            ("data: no blank line at the end\n", vec![]),
            ("event: only a name\n\ndata: x\n\n", vec!["x"]),
            ("Data: x\ndata : y\n data: z\ndatas: w\n\n", vec![]),
            ("data: a:b: c\n\n", vec!["a:b: c"]),
            (":\n:\ndata: x\n: ping\n\n", vec!["x"]),
            ("\n\n\n\r\r\ndata: x\n\n\n\n", vec!["x"]),
            ("data:\tx\n\n", vec!["\tx"]),
            ("data: \0\n\n", vec!["\0"]),
            ("data: ok…\n\ndata: 日本\n\n", vec!["ok…", "日本"]),
            ("", vec![]),
        ] {
            assert_eq!(data(stream), expected, "{stream:?}");
        }
    }

    #[test]
    fn names_ids_and_retries_follow_the_rules() {
        assert_eq!(events(&[b"event: a\nevent: b\ndata: x\n\ndata: y\n\n"]), [("b".into(), "x".into()), (String::new(), "y".into())]);
        let mut splitter = Splitter::new(100);
        splitter.push(b"id: 7\nretry: 1500\nid: a\0b\nretry: 12x\nretry:\n", &mut |_| ()).unwrap();
        assert_eq!((splitter.last_id(), splitter.retry_ms()), (&b"7"[..], Some(1500)));
        splitter.push(b"id\n", &mut |_| ()).unwrap();
        assert_eq!(splitter.last_id(), b"");
    }

    const CORPUS: [&str; 5] = [
        "\u{feff}data: {\"a\":1}\n\ndata: {\"b\":2}\r\n\r\ndata: [DONE]\n\n",
        "event: x\r\ndata: é日\r\ndata\r\n: c\r\n\r\nid: 4\ndata:z\r\r",
        "\r\n\n\rdata: a\rdata: b\r\n\ndata:\n\n",
        "\u{feff}\u{feff}data: x\n\ndata: y\n\n",
        "retry: 5\n\ndata: long long long long long line\nevent: e\n\ndata: tail",
    ];

    /// forall streams of the corpus, cuts into two pieces: the same events as whole.
    #[test]
    fn every_cut_in_two_gives_the_same_events() {
        for stream in CORPUS.map(str::as_bytes) {
            let whole = events(&[stream]);
            assert!(!whole.is_empty());
            for cut in 0..=stream.len() {
                assert_eq!(events(&[&stream[..cut], &stream[cut..]]), whole, "{cut}");
            }
            let single: Vec<&[u8]> = stream.chunks(1).collect();
            assert_eq!(events(&single), whole);
        }
    }

    #[test]
    fn an_event_beyond_the_bound_is_refused_for_good() {
        let mut splitter = Splitter::new(64);
        let mut seen = 0;
        for _ in 0..1000 {
            splitter.push(b"data: 0123456789\n\n", &mut |_| seen += 1).unwrap();
        }
        assert_eq!(seen, 1000, "the bound is per event");
        let refused = (0..10).map(|_| splitter.push(b"data: 0123456789\n", &mut |_| ())).find(Result::is_err);
        assert_eq!(refused, Some(Err(Overflow { limit: 64 })));
        assert!(splitter.push(b"\n\n", &mut |_| ()).is_err());
        let mut line = Splitter::new(64);
        assert!((0..70).map(|_| line.push(b"x", &mut |_| ())).any(|r| r.is_err()), "a line without end");
        assert!(Splitter::new(64).push(format!("data: {}\n\n", "y".repeat(65)).as_bytes(), &mut |_| ()).is_err(), "in one piece");
    }

    #[test]
    fn line_ends_are_found_at_every_offset() {
        for length in 0..40 {
            for at in 0..length {
                for end in [b'\n', b'\r'] {
                    let mut text = vec![0x8B; length];
                    text[at] = end;
                    assert_eq!(line_end(&text), Some(at));
                }
            }
            assert_eq!(line_end(&vec![0x0B; length]), None);
            assert_eq!(line_end(&vec![0x0C; length]), None);
        }
    }

    proptest! {
        /// forall streams of the corpus, cuts into three pieces: the same events as whole.
        #[test]
        fn cuts_in_three_give_the_same_events(which in 0..CORPUS.len(), a in 0..200_usize, b in 0..200_usize) {
            let stream = CORPUS[which].as_bytes();
            let (a, b) = (a % (stream.len() + 1), b % (stream.len() + 1));
            let (a, b) = (a.min(b), a.max(b));
            prop_assert_eq!(events(&[&stream[..a], &stream[a..b], &stream[b..]]), events(&[stream]));
        }

        /// forall bytes, cuts: no panic, and the same events as whole.
        #[test]
        fn any_bytes_any_cuts(stream in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'd'), any::<u8>()], 0..200), size in 1..20_usize) {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            prop_assert_eq!(events(&pieces), events(&[&stream]));
        }

        /// forall lists of texts without line ends: written as events, they come back.
        #[test]
        fn what_is_written_comes_back(texts in prop::collection::vec("[^\r\n]{0,30}", 0..20), size in 1..50_usize) {
            let stream = texts.iter().fold(String::new(), |all, text| all + "data: " + text + "\n\n");
            let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            let found: Vec<String> = events(&pieces).into_iter().map(|(_, d)| d).collect();
            prop_assert_eq!(found, texts);
        }
    }
}
