//! What a timeline makes of the answers of known servers and of broken ones.

mod known;

use super::*;
use crate::record::request::{ChunkStamp, Phase, Usage};
use http::HeaderValue;
use proptest::prelude::*;

fn expect(task: Task, stream: bool) -> Expect {
    Expect { task, stream, usage: true, logprobs: false, dimension: None, output_asked: 3 }
}

fn head(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

fn ms(n: u64) -> Nanos {
    Nanos::from_millis(n)
}

/// A stream whose head comes at 10 ms and whose n-th piece comes at 20 ms, 30 ms and so on; then it ends.
fn streamed(expect: Expect, pieces: &[&str]) -> (RequestRecord, Option<String>) {
    let mut timeline = Timeline::new(expect, None);
    timeline.head(ms(10), 200, &head("text/event-stream; charset=utf-8"));
    let mut now = ms(10);
    for piece in pieces {
        now += ms(10);
        if timeline.bytes(now, piece.as_bytes()) == Appetite::Enough {
            break;
        }
    }
    timeline.end(now + ms(1));
    finished(timeline)
}

fn finished(mut timeline: Timeline) -> (RequestRecord, Option<String>) {
    let mut record = RequestRecord::due(0, Phase::Measure, Nanos::ZERO, 7, 3);
    let message = timeline.message().map(str::to_owned);
    timeline.finish(&mut record);
    (record, message)
}

fn whole(expect: Expect, body: &str) -> RequestRecord {
    let mut timeline = Timeline::new(expect, None);
    timeline.head(ms(10), 200, &head("application/json"));
    let (a, b) = body.split_at(body.len() / 2);
    timeline.bytes(ms(20), a.as_bytes());
    timeline.bytes(ms(30), b.as_bytes());
    timeline.end(ms(31));
    finished(timeline).0
}

const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n";
const A: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
const B: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n";
const THINK: &str = "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

const CHAT: fn() -> Expect = || expect(Task::Chat, true);

#[test]
fn a_chat_with_reasoning_is_stamped_by_channel() {
    let (record, message) = streamed(CHAT(), &[ROLE, THINK, A, B, STOP, USAGE, DONE]);
    assert_eq!((record.outcome, message), (Outcome::Ok, None));
    assert_eq!(record.first_byte, Some(ms(10)));
    assert_eq!(record.first_token, Some(ms(30)), "the role is no token");
    assert_eq!(record.first_content, Some(ms(40)));
    assert_eq!(record.last_token, Some(ms(50)));
    assert_eq!(record.closed, ms(81));
    let gap = ms(10).0;
    assert_eq!(record.chunks, [(0, 1), (gap, 1), (gap, 1)].map(|(gap, tokens)| ChunkStamp { gap, tokens }));
    assert_eq!((record.input_tokens, record.output_tokens, record.token_source), (9, 3, TokenSource::Usage));
    assert_eq!((record.counted_tokens, record.reasoning_tokens), (3, 1));
    assert_eq!(record.notes, crate::record::request::Notes::default());
}

#[test]
fn events_of_one_piece_share_its_instant() {
    let all = [ROLE, A, B, STOP, DONE].concat();
    let (record, _) = streamed(CHAT(), &[&all]);
    assert_eq!((record.first_token, record.last_token), (Some(ms(20)), Some(ms(20))));
    assert_eq!(record.chunks.len(), 2);
}

#[test]
fn what_is_missing_is_noted() {
    let (record, _) = streamed(CHAT(), &[A, STOP]);
    assert_eq!(record.outcome, Outcome::Ok);
    assert!(record.notes.missing_done && record.notes.missing_usage && record.notes.length_mismatch);
    assert_eq!((record.input_tokens, record.output_tokens, record.token_source), (7, 1, TokenSource::Chunks));
    let (record, _) = streamed(Expect { logprobs: true, usage: false, output_asked: 1, ..CHAT() }, &[A, DONE]);
    assert!(record.notes.missing_logprobs && !record.notes.missing_usage && !record.notes.missing_done && !record.notes.length_mismatch);
}

#[test]
fn logprobs_count_exactly_and_the_tokenizer_comes_next() {
    let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"a b c\"},\"logprobs\":{\"content\":[{},{},{}]}}]}\n\n";
    let (record, _) = streamed(Expect { logprobs: true, ..CHAT() }, &[chunk, A, STOP]);
    assert_eq!((record.counted_tokens, record.chunks[0].tokens), (4, 3));
    assert!(!record.notes.missing_logprobs);
    let counter: Counter = Arc::new(|text: &str| u32::try_from(text.len()).unwrap());
    let mut timeline = Timeline::new(CHAT(), Some(counter));
    timeline.head(ms(1), 200, &HeaderMap::new());
    timeline.bytes(ms(2), [THINK, B, A, STOP].concat().as_bytes());
    timeline.end(ms(3));
    let (record, _) = finished(timeline);
    assert_eq!((record.output_tokens, record.token_source, record.reasoning_tokens), (4, TokenSource::Tokenizer, 2));
}

#[test]
fn reasoning_is_found_in_every_form() {
    let item = |items: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":[{items}]}}}}]}}\n\n");
    let content = |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let items = item(r#"{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]}"#);
    let text = item(r#"{"type":"text","text":"yes"}"#);
    let reasoning = THINK.replace("reasoning_content", "reasoning");
    for pieces in [
        vec![items.as_str(), &text, STOP],
        vec![THINK, A, STOP],
        vec![&reasoning, A, STOP],
        vec![&content("<think>hm"), &content("</think>yes"), STOP],
    ] {
        let (record, _) = streamed(CHAT(), &pieces);
        assert_eq!(record.outcome, Outcome::Ok);
        assert_eq!((record.first_token, record.first_content), (Some(ms(20)), Some(ms(30))), "{pieces:?}");
    }
    let (record, _) = streamed(CHAT(), &[&content("<thi"), &content("ng>"), STOP]);
    assert_eq!((record.first_content, record.reasoning_tokens), (Some(ms(20)), 0), "held back, then visible: its own instant");
}

#[test]
fn tool_calls_are_tokens_without_visible_content() {
    let tool = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\"}}]}}]}\n\n";
    let (record, _) = streamed(CHAT(), &[ROLE, tool, tool, STOP, DONE]);
    assert_eq!((record.outcome, record.first_token, record.first_content), (Outcome::Ok, Some(ms(30)), None));
    assert_eq!(record.counted_tokens, 2);
}

#[test]
fn broken_streams_have_their_classes() {
    let error = "data: {\"error\":{\"message\":\"out of memory\"}}\n\n";
    for (pieces, class) in [
        (vec![A, error, DONE], Outcome::InBandError),
        (vec![error, A, STOP, DONE], Outcome::InBandError),
        (vec!["event: error\ndata: {\"message\":\"x\"}\n\n", DONE], Outcome::InBandError),
        (vec![A, B], Outcome::Truncated),
        (vec![], Outcome::Truncated),
        (vec![ROLE, STOP, DONE], Outcome::Empty),
        (vec![DONE], Outcome::Empty),
        (vec!["data: {\"choices\":[\n\n"], Outcome::Malformed),
        (vec!["data: hello\n\n", DONE], Outcome::Malformed),
        (vec![A, DONE, "data: nonsense\n\n"], Outcome::Ok),
        (vec!["data: \n\n", A, DONE], Outcome::Ok),
    ] {
        let (record, message) = streamed(CHAT(), &pieces);
        assert_eq!(record.outcome, class, "{pieces:?}");
        assert_eq!(message.is_none(), class == Outcome::Ok);
    }
    let (_, message) = streamed(CHAT(), &[A, error]);
    assert_eq!(message.as_deref(), Some("out of memory"));
}

#[test]
fn a_connection_that_drops_is_judged_by_what_came() {
    let dropped = |pieces: &[&str], outcome| {
        let mut timeline = Timeline::new(CHAT(), None);
        timeline.head(ms(10), 200, &head("text/event-stream"));
        for piece in pieces {
            timeline.bytes(ms(20), piece.as_bytes());
        }
        timeline.fail(ms(30), outcome, "dropped");
        finished(timeline).0
    };
    assert_eq!(dropped(&[A], Outcome::Truncated).outcome, Outcome::Truncated);
    assert_eq!(dropped(&[A], Outcome::Truncated).counted_tokens, 1, "what came is kept");
    assert_eq!(dropped(&[A, STOP], Outcome::Truncated).outcome, Outcome::Ok);
    assert_eq!(dropped(&[A, STOP], Outcome::TimeoutIdle).outcome, Outcome::TimeoutIdle);
    assert_eq!(dropped(&[A, DONE], Outcome::TimeoutIdle).outcome, Outcome::Ok);
    assert_eq!(dropped(&[A], Outcome::Cancelled).outcome, Outcome::Cancelled);
}

#[test]
fn whole_answers_arrive_with_their_last_byte() {
    let chat = r#"{"model":"m-1","choices":[{"message":{"role":"assistant","content":"yes"},"finish_reason":"length"}],"usage":{"prompt_tokens":9,"completion_tokens":3}}"#;
    let record = whole(expect(Task::Chat, false), chat);
    assert_eq!(record.outcome, Outcome::Ok);
    assert_eq!((record.first_token, record.first_content, record.last_token), (Some(ms(30)), Some(ms(30)), Some(ms(30))));
    assert_eq!((record.output_tokens, record.notes.missing_done), (3, false));
    let completion = r#"{"choices":[{"text":"yes","finish_reason":"stop"}]}"#;
    let record = whole(expect(Task::Completions, false), completion);
    assert_eq!((record.outcome, record.notes.missing_usage), (Outcome::Ok, true));
    for (body, class) in [
        (r#"{"error":{"message":"no"}}"#, Outcome::InBandError),
        (r#"{"hello":1}"#, Outcome::Malformed),
        ("<html>", Outcome::Malformed),
        (r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#, Outcome::Empty),
        (r#"{"choices":[]}"#, Outcome::Empty),
    ] {
        assert_eq!(whole(expect(Task::Chat, false), body).outcome, class, "{body}");
    }
}

#[test]
fn embeddings_are_checked_for_dimension_and_norm() {
    let asked = Expect { dimension: Some(2), output_asked: 0, ..expect(Task::Embeddings, false) };
    let record = whole(asked, r#"{"data":[{"embedding":[0.6,0.8],"index":0}],"usage":{"prompt_tokens":5,"total_tokens":5}}"#);
    assert_eq!((record.outcome, record.output_tokens, record.first_token), (Outcome::Ok, 0, None));
    assert_eq!(record.usage, Some(Usage { prompt: 5, ..Usage::default() }));
    assert_eq!(record.notes, crate::record::request::Notes::default());
    let record = whole(asked, r#"{"data":[{"embedding":[6,8]}]}"#);
    assert!(record.is_ok() && record.notes.not_normalised && record.notes.missing_usage);
    for body in [r#"{"data":[{"embedding":[0.6,0.8,0]}]}"#, r#"{"data":[]}"#, r#"{"data":[{"embedding":[]}]}"#, r#"{"data":[{}]}"#] {
        assert_eq!(whole(asked, body).outcome, Outcome::Malformed, "{body}");
    }
}

#[test]
fn a_document_in_the_place_of_a_stream_is_malformed_unless_it_is_an_error() {
    let answer = |body: &str| {
        let mut timeline = Timeline::new(CHAT(), None);
        timeline.head(ms(10), 200, &head("application/json"));
        timeline.bytes(ms(20), body.as_bytes());
        timeline.end(ms(21));
        finished(timeline)
    };
    let (record, message) = answer(r#"{"choices":[]}"#);
    assert_eq!(record.outcome, Outcome::Malformed);
    assert!(message.unwrap().contains("application/json"));
    assert_eq!(answer(r#"{"error":"no"}"#).0.outcome, Outcome::InBandError);
}

#[test]
fn a_refusal_keeps_its_class_whatever_follows() {
    let mut timeline = Timeline::new(CHAT(), None);
    let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from_static("2"))]);
    timeline.head(ms(10), 429, &headers);
    timeline.bytes(ms(20), &vec![b'x'; 1 << 20]);
    timeline.fail(ms(30), Outcome::TimeoutIdle, "silence");
    let (record, message) = finished(timeline);
    assert_eq!((record.outcome, record.status, record.retry_after), (Outcome::ThrottledCapacity, 429, Some(Nanos::from_secs(2))));
    assert_eq!(message.unwrap().len(), failure::MESSAGE_CHARS);
}

#[test]
fn an_event_or_a_body_without_end_is_malformed() {
    let mut timeline = Timeline::new(CHAT(), None);
    timeline.head(ms(10), 200, &head("text/event-stream"));
    let piece = vec![b'x'; 1 << 20];
    assert!((0..6).any(|_| timeline.bytes(ms(20), &piece) == Appetite::Enough));
    timeline.end(ms(21));
    assert_eq!(finished(timeline).0.outcome, Outcome::Malformed);
    let mut timeline = Timeline::new(expect(Task::Chat, false), None);
    timeline.head(ms(10), 200, &head("application/json"));
    assert!((0..66).any(|_| timeline.bytes(ms(20), &piece) == Appetite::Enough));
    timeline.end(ms(21));
    assert_eq!(finished(timeline).0.outcome, Outcome::Malformed);
}

proptest! {
    /// forall cuts of a good stream: the same tokens, chunks and class as whole.
    #[test]
    fn cuts_do_not_change_what_is_counted(size in 1..300_usize) {
        let all = [ROLE, THINK, A, B, STOP, USAGE, DONE].concat();
        let pieces: Vec<&str> = all.as_bytes().chunks(size).map(|piece| std::str::from_utf8(piece).unwrap()).collect();
        let (cut, _) = streamed(CHAT(), &pieces);
        let (whole, _) = streamed(CHAT(), &[&all]);
        let facts = |r: &RequestRecord| (r.outcome, r.counted_tokens, r.chunks.len(), r.reasoning_tokens, r.usage, r.notes);
        prop_assert_eq!(facts(&cut), facts(&whole));
    }

    /// forall bytes and heads: a class, never a panic, and instants in order.
    #[test]
    fn any_bytes_have_a_class(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..5), status in 100..600_u16, stream in any::<bool>()) {
        let mut timeline = Timeline::new(expect(Task::Chat, stream), None);
        timeline.head(ms(1), status, &HeaderMap::new());
        for (i, piece) in pieces.iter().enumerate() {
            timeline.bytes(ms(2 + i as u64), piece);
        }
        timeline.end(ms(9));
        let (record, message) = finished(timeline);
        prop_assert_eq!(record.is_ok(), message.is_none());
        prop_assert!(record.first_token <= record.last_token && record.last_token.is_none_or(|at| at <= record.closed));
    }
}

/// A vocabulary that is not the model's counts four tokens in two chunks of one token each: the server's usage decides.
#[test]
fn a_foreign_vocabulary_gives_way_to_one_token_a_chunk() {
    let counter: Counter = Arc::new(|_: &str| 2);
    let with = |usage: u32| {
        let usage = format!("data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{usage}}}}}\n\n");
        let mut timeline = Timeline::new(CHAT(), Some(Arc::clone(&counter)));
        timeline.head(ms(1), 200, &HeaderMap::new());
        timeline.bytes(ms(2), [A, B, STOP, &usage, DONE].concat().as_bytes());
        timeline.end(ms(3));
        finished(timeline).0
    };
    let settled = with(2);
    assert_eq!((settled.counted_tokens, settled.chunks[0].tokens, settled.output_tokens), (2, 1, 2));
    let several_a_chunk = with(4);
    assert_eq!((several_a_chunk.counted_tokens, several_a_chunk.chunks[0].tokens), (4, 2));
}
