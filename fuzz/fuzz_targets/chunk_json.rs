//! Any lines as the chunks of an answer: never a panic, and what is folded without parsing is what parsing gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::base::time::Nanos;
use plimsoll::protocol::openai::Expect;
use plimsoll::protocol::timeline::{Counter, Timeline};
use plimsoll::record::request::{Phase, RequestRecord};
use plimsoll::scenario::target::Task;
use std::sync::Arc;

/// The record of an answer with these documents, an event each, two events an instant.
fn folded(documents: &[Vec<u8>]) -> (RequestRecord, Option<String>) {
    let expect = Expect { task: Task::Chat, stream: true, usage: true, logprobs: false, dimension: None, output_asked: 3 };
    let counter: Counter = Arc::new(|text: &str| u32::try_from(text.chars().count() / 2).unwrap());
    let mut timeline = Timeline::new(expect, Some(counter));
    timeline.head(Nanos(1), 200, &http::HeaderMap::new());
    for (i, pair) in documents.chunks(2).enumerate() {
        let piece: Vec<u8> = pair.iter().flat_map(|document| [b"data: ".as_slice(), document, b"\n\n"].concat()).collect();
        timeline.bytes(Nanos(10 * (i as u64 + 1)), &piece);
    }
    timeline.end(Nanos(1_000_000));
    let model = timeline.model().map(str::to_owned);
    let mut record = RequestRecord::due(0, Phase::Measure, Nanos::ZERO, 1, 3);
    timeline.finish(&mut record);
    (record, model)
}

/// The same document with a member that no other has, so that it looks like no other; one that is no object stays as it is.
fn unique(i: usize, document: &[u8]) -> Vec<u8> {
    let Some(rest) = document.strip_prefix(b"{") else { return document.to_vec() };
    let is_empty = rest.trim_ascii_start().starts_with(b"}");
    let member = format!("{{\"\u{1F5FF}\":{i}{}", if is_empty { "" } else { "," });
    [member.as_bytes(), rest].concat()
}

fuzz_target!(|input: &[u8]| {
    let documents: Vec<Vec<u8>> = input.split(|&b| b == b'\n' || b == b'\r').map(<[u8]>::to_vec).collect();
    let parsed: Vec<Vec<u8>> = documents.iter().enumerate().map(|(i, document)| unique(i, document)).collect();
    assert_eq!(folded(&documents), folded(&parsed));
});
