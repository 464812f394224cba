//! The splitter of event streams against the rules of the WHATWG HTML standard, section 9.2: vectors, every split of a corpus, two other parsers,
//! linear time, bounded memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plimsoll::protocol::sse::{Event, Splitter};
use proptest::prelude::*;

/// Events as (name, data); invalid UTF-8 replaced.
type Events = Vec<(String, String)>;

/// A stream and the data of its events.
type Vector = (&'static str, &'static [&'static str]);

/// The rules, one by one. The first nine are the examples of the standard.
const RULES: [Vector; 44] = [
    (
        "data: This is the first message.\n\ndata: This is the second message, it\ndata: has two lines.\n\ndata: This is the third message.\n\n",
        &["This is the first message.", "This is the second message, it\nhas two lines.", "This is the third message."],
    ),
    ("event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n", &["73857293", "2153", "113411"]),
    ("data: YHOO\ndata: +2\ndata: 10\n\n", &["YHOO\n+2\n10"]),
    (
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        &["first event", "second event", " third event"],
    ),
    ("data\n\ndata\ndata\n\ndata:", &["", "\n"]),
    ("data:test\n\ndata: test\n\n", &["test", "test"]),
    ("", &[]),
    ("\n", &[]),
    ("data: x", &[]),
    // Ends of lines.
    ("data: x\n\n", &["x"]),
    ("data: x\r\n\r\n", &["x"]),
    ("data: x\r\r", &["x"]),
    ("data: x\n\r\n", &["x"]),
    ("data: x\r\n\n", &["x"]),
    ("data: x\r\ndata: y\rdata: z\n\n", &["x\ny\nz"]),
    ("\r\n\r\r\n\ndata: x\n\n\n\r\r\n", &["x"]),
    ("data: x\n", &[]),
    ("data: x\n\ndata: y\n", &["x"]),
    ("data: a\u{85}b\u{2028}c\u{b}d\u{c}e\n\n", &["a\u{85}b\u{2028}c\u{b}d\u{c}e"]),
    // The byte order mark.
    ("\u{feff}data: x\n\n", &["x"]),
    ("\u{feff}\u{feff}data: x\n\n", &[]),
    ("data: \u{feff}x\n\n", &["\u{feff}x"]),
    ("\n\u{feff}data: x\n\n", &[]),
    ("\u{feff}\n\ndata: x\n\n", &["x"]),
    // Colons and spaces.
    ("data:x\n\n", &["x"]),
    ("data:  x \n\n", &[" x "]),
    ("data:\tx\n\n", &["\tx"]),
    ("data:\n\n", &[""]),
    ("data: \n\n", &[""]),
    ("data::x\n\n", &[":x"]),
    ("data: x: y\n\n", &["x: y"]),
    (":data: x\n\n", &[]),
    (": \n:\n::\n: x\ndata: y\n:z\n\n", &["y"]),
    // Names of fields are compared as they stand.
    ("DATA: x\nData: x\n\n", &[]),
    ("data : x\n data: x\n\tdata: x\n\n", &[]),
    ("datas: x\ndat: x\n: data: x\n\n", &[]),
    ("xyz\nxyz: 1\ndata: x\nfoo: bar\n\n", &["x"]),
    ("da\0ta: x\ndata\0: x\n\n", &[]),
    // An event without data is none; one with empty data is one.
    ("event: e\n\ndata: x\n\n", &["x"]),
    ("id: 1\nretry: 5\n\n", &[]),
    ("data\n\n", &[""]),
    ("data\ndata: x\ndata\n\n", &["\nx\n"]),
    ("data: x\0y\n\n", &["x\0y"]),
    ("data: … é 日本 🙂\n\n", &["… é 日本 🙂"]),
];

/// What browsers are tried with: the subjects of the platform tests `eventsource/format-*`, each as a stream of its own.
const SUBJECTS: [Vector; 18] = [
    // bom: one is skipped, a second belongs to the name of the field.
    ("\u{feff}data: 1\n\n\u{feff}data: 2\n\ndata: 3\n\n", &["1", "3"]),
    ("\u{feff}\u{feff}data: 1\n\ndata: 2\n\ndata: 3\n\n", &["2", "3"]),
    // comments: any number, of any length, even with what looks like a field behind NUL or CR.
    ("data: 1\r:\0\n:\r\ndata: 2\n:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\rdata: 3\n:data: no\r:\rdata: 4\n\n", &["1\n2\n3\n4"]),
    // data before the final empty line.
    ("retry: 1000\ndata: 1\n\nid: x\ndata: 2", &["1"]),
    // field data
    ("data:\n\ndata\ndata\n\ndata: 1\n\n", &["", "\n", "1"]),
    // field event, field event empty
    ("event: a\ndata: x\n\ndata: x\n\n", &["x", "x"]),
    ("event: a\nevent:\ndata: x\n\n", &["x"]),
    // field id, id empty, id null
    ("data: 1\nid: …\n\ndata: 2\n\n", &["1", "2"]),
    ("id: 1\ndata: 1\n\nid:\ndata: 2\n\nid\ndata: 3\n\n", &["1", "2", "3"]),
    ("id: 1\0 2\ndata: 1\n\n", &["1"]),
    // field parsing
    ("data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n", &["\0\n 2\n1\n3\n\n4"]),
    // field retry, retry bogus, retry empty
    ("retry: 03000\ndata: 1\n\n", &["1"]),
    ("retry: 3000\nretry: 1000x\nretry\nretry:\ndata: 1\n\n", &["1"]),
    // field unknown
    ("data: 1\n data: 2\ntest: 3\nfoobar: 4\nxxxxxxxxx\ndata: 5\n\n", &["1\n5"]),
    // leading space
    ("data:\t1\rdata: \ndata: 2\n\n", &["\t1\n\n2"]),
    // newlines
    ("data: 1\r\ndata: 2\ndata: 3\n\n", &["1\n2\n3"]),
    // null character
    ("data: \0\n\n\n\n", &["\0"]),
    // utf-8
    ("data: ok…\n\n", &["ok…"]),
];

/// Streams of known servers, short.
const SERVERS: [&str; 5] = [
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\" é\"}}]}\n\ndata: [DONE]\n\n",
    ": keep-alive\r\n\r\ndata: {\"choices\":[{\"text\":\"x\"}]}\r\n\r\n: keep-alive\r\n\r\ndata: [DONE]\r\n\r\n",
    "event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n",
    "id: 7\nretry: 3000\nevent: error\ndata: {\"error\":\ndata: {\"message\":\"no\"}}\n\n",
    "data:{\"a\":1}\n\ndata:{\"a\":2}\n\ndata: [DONE]",
];

fn vectors() -> impl Iterator<Item = &'static Vector> {
    RULES.iter().chain(&SUBJECTS)
}

/// Every vector and server, and every two neighbours joined, with every end of line: at least 100 different streams.
fn corpus() -> Vec<Vec<u8>> {
    let single: Vec<String> = vectors().map(|(stream, _)| *stream).chain(SERVERS).map(str::to_owned).collect();
    let joined: Vec<String> = single.windows(2).map(<[String]>::concat).collect();
    let plain = [single, joined, vec![SERVERS.concat()]].concat();
    let mut all: Vec<Vec<u8>> = ["\n", "\r\n", "\r"].iter().flat_map(|end| plain.iter().map(move |s| s.replace('\n', end).into_bytes())).collect();
    all.push(b"data: a\xFFb\xC3\n\ndata: \xE2\x80\n\n".to_vec());
    all.sort();
    all.dedup();
    all
}

fn owned(event: Event<'_>) -> (String, String) {
    (String::from_utf8_lossy(event.name).into_owned(), String::from_utf8_lossy(event.data).into_owned())
}

fn events(pieces: &[&[u8]]) -> Events {
    let mut splitter = Splitter::new(1 << 20);
    let mut out = Vec::new();
    for piece in pieces {
        splitter.push(piece, &mut |event: Event<'_>| out.push(owned(event))).unwrap();
    }
    out
}

/// The standard read line by line over the whole text, with no thought of speed.
fn by_the_book(stream: &[u8]) -> Events {
    let mut text = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let mut lines = Vec::new();
    // What no end of line closes is not a line.
    while let Some(at) = text.iter().position(|&b| b == b'\n' || b == b'\r') {
        lines.push(&text[..at]);
        text = text[at..].strip_prefix(b"\r\n").unwrap_or(&text[at + 1..]);
    }
    let (mut out, mut name, mut data) = (Events::new(), Vec::new(), Vec::new());
    for line in lines {
        let colon = line.iter().position(|&b| b == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"" if line.is_empty() => {
                if !data.is_empty() {
                    data.pop();
                    out.push(owned(Event { name: &name, data: &data }));
                }
                name.clear();
                data.clear();
            }
            b"event" => name = value.to_vec(),
            b"data" => {
                data.extend_from_slice(value);
                data.push(b'\n');
            }
            _ => {}
        }
    }
    out
}

/// The parser of the crate `sse-parse`. It names an event without a name "message".
fn by_another(stream: &[u8], size: usize) -> Events {
    let mut parser = sse_parse::SseParser::new();
    let mut out = Events::new();
    for piece in stream.chunks(size) {
        parser.feed(piece);
        while let Some(event) = parser.next_event() {
            out.push((event.event, event.data));
        }
    }
    out
}

fn named_as_another(events: Events) -> Events {
    events.into_iter().map(|(name, data)| (if name.is_empty() { "message".to_owned() } else { name }, data)).collect()
}

#[test]
fn the_rules_of_the_standard() {
    for (stream, expected) in vectors() {
        let found = events(&[stream.as_bytes()]);
        let data: Vec<&str> = found.iter().map(|(_, data)| data.as_str()).collect();
        assert_eq!(data, *expected, "{stream:?}");
        assert_eq!(found, by_the_book(stream.as_bytes()), "{stream:?}");
    }
    let names = |stream: &str| events(&[stream.as_bytes()]).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(SUBJECTS[5].0), ["a", ""]);
    assert_eq!(names(SUBJECTS[6].0), [""]);
}

#[test]
fn ids_and_retries_are_the_last_valid_ones() {
    let last = |stream: &str| {
        let mut splitter = Splitter::new(1000);
        splitter.push(stream.as_bytes(), &mut |_: Event<'_>| ()).unwrap();
        (String::from_utf8_lossy(splitter.last_id()).into_owned(), splitter.retry_ms())
    };
    for (stream, id, retry) in [
        (SUBJECTS[7].0, "…", None),
        (SUBJECTS[8].0, "", None),
        (SUBJECTS[9].0, "", None),
        (SUBJECTS[11].0, "", Some(3000)),
        (SUBJECTS[12].0, "", Some(3000)),
        ("id: 1\nid: 2\0\nretry: -1\nretry: 1.5\nretry: 12\n", "1", Some(12)),
    ] {
        assert_eq!(last(stream), (id.to_owned(), retry), "{stream:?}");
    }
}

/// forall streams of the corpus, cuts into two and three: the same events as whole. Every cut with optimisation, every seventh pair without.
#[test]
fn every_split_gives_the_same_events() {
    let step = if cfg!(debug_assertions) { 7 } else { 1 };
    let corpus = corpus();
    assert!(corpus.len() >= 100, "{}", corpus.len());
    let mut cases = 0_u64;
    for stream in &corpus {
        let whole = events(&[stream]);
        assert_eq!(whole, by_the_book(stream), "{:?}", String::from_utf8_lossy(stream));
        for a in 0..=stream.len() {
            assert_eq!(events(&[&stream[..a], &stream[a..]]), whole, "{a} of {:?}", String::from_utf8_lossy(stream));
            for b in (a..=stream.len()).step_by(step) {
                assert_eq!(events(&[&stream[..a], &stream[a..b], &stream[b..]]), whole, "{a}, {b} of {:?}", String::from_utf8_lossy(stream));
                cases += 1;
            }
        }
        assert_eq!(events(&stream.chunks(1).collect::<Vec<_>>()), whole);
    }
    assert!(cases >= 1_000_000 / step as u64 - 1, "{cases}");
}

/// The other parser agrees on the whole corpus.
#[test]
fn another_parser_agrees() {
    for stream in corpus() {
        let found = named_as_another(events(&[&stream]));
        for size in [1, 3, 1000] {
            assert_eq!(by_another(&stream, size), found, "{:?}", String::from_utf8_lossy(&stream));
        }
    }
}

/// Text that is likely to mean something to a parser of events.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        8 => prop::sample::select(vec!["data", "event", "id", "retry", ":", " ", "\n", "\r", "\r\n", "\n\n", "data: ", "\u{feff}", "\0", "x", "é", "12"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 2_000 } else { 100_000 }))]

    /// forall streams, cuts: the events of the standard read line by line, and of another parser.
    #[test]
    fn three_parsers_agree(stream in stream(), size in 1..40_usize) {
        let found = events(&stream.chunks(size).collect::<Vec<_>>());
        prop_assert_eq!(&found, &by_the_book(&stream));
        prop_assert_eq!(named_as_another(found), by_another(&stream, size));
    }
}

/// Every byte is looked at once and copied once, so that 1 MiB in pieces of 64 bytes is little work (quadratic, it would be 8 GiB of copies),
/// and no more than the event is held. The bound on the work is the test's own end.
#[test]
fn an_event_of_a_mebibyte_in_small_pieces_comes_whole() {
    let data = "0123456789abcdef".repeat(1 << 16);
    let stream = format!("data: {data}\n\ndata: x\n\n");
    let mut splitter = Splitter::new((1 << 20) + 6);
    let mut lengths = Vec::new();
    for _ in 0..20 {
        for piece in stream.as_bytes().chunks(64) {
            splitter.push(piece, &mut |event: Event<'_>| lengths.push(event.data.len())).unwrap();
        }
    }
    assert_eq!(lengths, [1 << 20, 1].repeat(20));
}

/// forall streams of one endless line, of endless data lines, of endless names: refused at the bound.
#[test]
fn nothing_grows_beyond_the_bound() {
    for piece in ["x", "data: xxxxxxx\n", "data\n", "event: xx", ":"] {
        let mut splitter = Splitter::new(10_000);
        let pushed = (0..20_000).take_while(|_| splitter.push(piece.as_bytes(), &mut |_: Event<'_>| ()).is_ok()).count();
        assert!(pushed <= 10_001, "{piece:?}: {pushed}");
    }
}
