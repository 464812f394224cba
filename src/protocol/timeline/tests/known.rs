//! Chunks that are read without parsing give what parsing gives: every stream is folded twice, once with a unique member in every document, so
//! that no document looks like the one before and each is parsed.

use super::*;

/// Texts as they stand between quotes in JSON: plain, escaped, with quotes, with what may follow a text, with tags, half tags, not ASCII.
const TEXTS: [&str; 18] = [
    "a",
    " word",
    "",
    "é",
    "日本",
    "\\n",
    "\\u00e9",
    "say \\\"x\\\"",
    "\\\"}}]}",
    "}}]}",
    "\\\\",
    "<think>",
    "</think>",
    "<thi",
    "nk>",
    "  ",
    "\u{7f}",
    "[DONE]",
];

/// Shapes of documents; `@` stands for the text, `#` for a number that changes.
const SHAPES: [&str; 20] = [
    r#"{"choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"id":"c-1","model":"m","choices":[{"index":0,"delta":{"content":"@"},"finish_reason":null,"logprobs":null}],"usage":null}"#,
    r#"{"id":"c-#","model":"m-#","choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"choices":[{"text":"@","finish_reason":""}]}"#,
    r#"{"choices":[{"delta":{"reasoning_content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"reasoning":"@","content":""}}]}"#,
    r#"{"choices":[{"delta":{"reasoning_content":"@","reasoning":"@"}}]}"#,
    r#"{"choices":[{"delta":{"refusal":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"}},{"delta":{"content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@","tool_calls":[{"index":0}]}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"},"logprobs":{"content":[{},{}]}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":3,"completion_tokens":#}}"#,
    r#"{"choices":[{"delta":{"content":"@"},"finish_reason":"stop"}]}"#,
    r#"{"choices":[{"delta":{"content":[{"type":"text","text":"@"}]}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"error":{"message":"@"}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":#}}"#,
    r#"{"choices":[{"delta":{"role":"assistant","content":"@"}}]}"#,
    "{\"choices\":\r\n[{\"delta\":{\"content\":\"@\"}}]}",
];

/// How an event is written; `@` stands for the document.
const FRAMES: [&str; 7] =
    ["data: @\n\n", "data: @\n\n", "data: @\r\n\r\n", "data:@\n\n", "event: x\ndata: @\n\n", "event: error\ndata: @\n\n", ": ping\n\ndata: @\r\r"];

/// One event: its frame, its document, and another number for every document.
#[derive(Clone, Debug)]
struct Said {
    frame: usize,
    shape: usize,
    text: usize,
    number: u8,
}

fn said() -> impl Strategy<Value = Said> {
    // Two kinds in three are those that can be learnt, so that runs of known chunks come up.
    let shape = prop_oneof![2 => 0..3_usize, 1 => 0..SHAPES.len()];
    let frame = prop_oneof![5 => 0..3_usize, 1 => 0..FRAMES.len()];
    (frame, shape, 0..TEXTS.len(), 0..3_u8).prop_map(|(frame, shape, text, number)| Said { frame, shape, text, number })
}

impl Said {
    fn document(&self) -> String {
        SHAPES[self.shape].replace('@', TEXTS[self.text]).replace('#', &self.number.to_string())
    }

    fn event(&self, document: &str) -> String {
        // A line end inside a document goes over two data lines.
        let lines: Vec<&str> = document.split("\r\n").collect();
        FRAMES[self.frame].replace('@', &lines.join("\ndata: "))
    }
}

/// The facts of a stream whose n-th group of pieces arrives at n ms.
fn facts(timeline: &mut Timeline, groups: &[Vec<Vec<u8>>]) -> (RequestRecord, Option<String>) {
    timeline.head(ms(0), 200, &HeaderMap::new());
    for (i, group) in groups.iter().enumerate() {
        for piece in group {
            timeline.bytes(ms(1 + i as u64), piece);
        }
    }
    timeline.end(ms(1_000));
    let mut record = RequestRecord::due(0, Phase::Measure, Nanos::ZERO, 7, 3);
    let model = timeline.model().map(str::to_owned);
    timeline.finish(&mut record);
    (record, model)
}

fn length_of(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// forall streams, groups, cuts, counters: fold(known chunks) == fold(parsed chunks), every field; used again or new.
    #[test]
    fn known_chunks_count_like_parsed_ones(
        streams in prop::collection::vec(prop::collection::vec((prop::collection::vec(said(), 1..6), 1..400_usize), 0..8), 1..3),
        with_counter in any::<bool>(),
    ) {
        let counter = with_counter.then(|| Arc::new(length_of) as Counter);
        let mut reused = Timeline::new(CHAT(), counter.clone());
        let mut unique = 0;
        for stream in streams {
            reused.restart(CHAT());
            let fast: Vec<Vec<Vec<u8>>> = stream
                .iter()
                .map(|(events, cut)| events.iter().map(|said| said.event(&said.document())).collect::<String>().into_bytes().chunks(*cut).map(<[u8]>::to_vec).collect())
                .collect();
            let parsed: Vec<Vec<Vec<u8>>> = stream
                .iter()
                .map(|(events, _)| {
                    let marked = |said: &Said| {
                        unique += 1;
                        said.event(&said.document().replacen('{', &format!("{{\"unique\":{unique},"), 1)).into_bytes()
                    };
                    events.iter().map(marked).collect()
                })
                .collect();
            let expected = facts(&mut Timeline::new(CHAT(), counter.clone()), &parsed);
            prop_assert_eq!(&facts(&mut Timeline::new(CHAT(), counter.clone()), &fast), &expected);
            prop_assert_eq!(&facts(&mut reused, &fast), &expected);
        }
    }
}

/// The way that is meant to be short is taken: of a thousand chunks of one look, texts are counted and stamped, whatever the cuts.
#[test]
fn a_long_stream_in_odd_pieces_is_counted_whole() {
    let chunk = "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\" word\"}}]}\n\n";
    let stream = [&chunk.repeat(1_000), STOP, DONE].concat();
    for size in [1, 7, 64, 1_400, stream.len()] {
        let (record, model) = facts(&mut Timeline::new(CHAT(), None), &[stream.as_bytes().chunks(size).map(<[u8]>::to_vec).collect()]);
        assert_eq!((record.counted_tokens, record.chunks.len(), record.outcome, model.as_deref()), (1_000, 1_000, Outcome::Ok, Some("m")));
    }
}

/// A bad byte in the text of a known chunk is replaced, as in a parsed one.
#[test]
fn a_known_chunk_with_invalid_utf8_is_parsed() {
    let bad = [b"data: {\"choices\":[{\"delta\":{\"content\":\"".as_slice(), &[0xFF], b"\"}}]}\n\n"].concat();
    let (record, _) = facts(&mut Timeline::new(CHAT(), Some(Arc::new(length_of))), &[vec![A.as_bytes().to_vec(), bad, DONE.as_bytes().to_vec()]]);
    assert_eq!((record.counted_tokens, record.outcome), (2, Outcome::Ok));
}
