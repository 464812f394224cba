//! The paths that every chunk and every request passes: what each case does in a round, and of how many items.

use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::Rate;
use plimsoll::measure::recorder::Recorder;
use plimsoll::protocol::openai::Expect;
use plimsoll::protocol::sse::Splitter;
use plimsoll::protocol::timeline::{Counter, Timeline, remembered};
use plimsoll::record::log::append_frame;
use plimsoll::record::outcome::Outcome;
use plimsoll::record::request::{ChunkStamp, Phase, RequestRecord, TokenSource};
use plimsoll::scenario::load::{Arrivals, RateFn};
use plimsoll::scenario::slo::Slo;
use plimsoll::scenario::target::Task;
use plimsoll::scenario::workload::{Lengths, Marginal, Workload};
use plimsoll::workload::length::{Clipped, LengthModel, Recordings};
use plimsoll::workload::schedule::{Material, Schedule};
use std::hint::black_box;
use std::sync::Arc;

/// One round of a case; what it gives keeps the work from being left out.
type Round = Box<dyn FnMut() -> u64>;

/// A name, the items of a round, and how to make it.
pub(crate) type Case = (&'static str, usize, fn() -> Round);

/// Tokens of a stream, as in the whole-client cases.
const TOKENS: usize = 512;
const STREAMS: usize = 16;

/// Every case.
pub(crate) const CASES: [Case; 15] = [
    ("split, pieces of 1,400 bytes", TOKENS * STREAMS, || split(1400)),
    ("split, an event a piece", TOKENS * STREAMS, || split(EVENT.len())),
    ("fold, 32 events a piece", TOKENS * STREAMS, || fold(32 * EVENT.len(), false)),
    ("fold, an event a piece", TOKENS * STREAMS, || fold(EVENT.len(), false)),
    ("fold, pieces of 1,400 bytes", TOKENS * STREAMS, || fold(1400, false)),
    ("fold, every chunk parsed", TOKENS * STREAMS, || fold(32 * EVENT.len(), true)),
    ("log, every gap its own", TOKENS * STREAMS, || log(1)),
    ("log, 32 chunks an instant", TOKENS * STREAMS, || log(32)),
    ("log, a request without chunks", 1000, log_of_small),
    ("record, every gap its own", TOKENS * STREAMS, || record(1)),
    ("record, 32 chunks an instant", TOKENS * STREAMS, || record(32)),
    ("record, a request without chunks", 1000, record_of_small),
    ("merge of two recorders", 1, merge),
    ("lengths, lognormal", 10_000, lengths),
    ("schedule, Poisson and lognormal", 10_000, schedule_of_poisson),
];

const EVENT: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n";
const LAST: &str = "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\ndata: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":512}}\n\ndata: [DONE]\n\n";

fn split(size: usize) -> Round {
    let stream = EVENT.repeat(TOKENS * STREAMS);
    Box::new(move || {
        let mut splitter = Splitter::new(1 << 20);
        let mut seen = 0;
        for piece in stream.as_bytes().chunks(size) {
            splitter.push(piece, &mut |event| seen += event.data.len() as u64).unwrap();
        }
        seen
    })
}

/// Streams of 512 tokens, folded by one timeline into one record, with a counter as cheap as a look-up.
fn fold(size: usize, unique: bool) -> Round {
    let event = |i: usize| if unique { EVENT.replace("chatcmpl-1", &format!("chatcmpl-{i}")) } else { EVENT.to_owned() };
    let stream: String = (0..TOKENS).map(event).chain([LAST.to_owned()]).collect();
    let counter = remembered(Arc::new(|text: &str| u32::try_from(text.len() / 4).unwrap_or(1)) as Counter);
    let expect = Expect { task: Task::Chat, stream: true, usage: true, logprobs: false, dimension: None, output_asked: 512 };
    let mut timeline = Timeline::new(expect, Some(counter));
    let mut record = RequestRecord::due(0, Phase::Measure, Nanos::ZERO, 9, 512);
    let head = http::HeaderMap::new();
    Box::new(move || {
        let mut chunks = 0;
        for seq in 0..STREAMS as u64 {
            timeline.restart(expect);
            record.restart(seq, Phase::Measure, Nanos(seq), 9, 512);
            let mut now = Nanos(seq + 1_000_000);
            timeline.head(now, 200, &head);
            for piece in stream.as_bytes().chunks(size) {
                now += Nanos(10_000_000);
                timeline.bytes(now, black_box(piece));
            }
            timeline.end(now);
            timeline.finish(&mut record);
            chunks += record.chunks.len() as u64;
        }
        assert_eq!(chunks, (TOKENS * STREAMS) as u64);
        chunks
    })
}

/// Answers of 512 tokens whose chunks came in groups at about 10 ms.
fn answers(together: usize) -> Vec<RequestRecord> {
    let gap = |seq: u64, i: usize| if i.is_multiple_of(together) { 10_000_000 + (seq * 7_919 + i as u64 * 104_729) % 1_000_000 } else { 0 };
    let answer = |seq: u64| {
        let mut r = RequestRecord::due(seq, Phase::Measure, Nanos::from_millis(seq * 100), 700, 512);
        (r.outcome, r.token_source, r.status, r.output_tokens, r.counted_tokens) = (Outcome::Ok, TokenSource::Usage, 200, 512, 512);
        r.chunks = (0..TOKENS).map(|i| ChunkStamp { gap: if i == 0 { 0 } else { gap(seq, i) }, tokens: 1 }).collect();
        let first = r.intended + Nanos::from_millis(50 + seq % 17);
        let last = first + Nanos(r.chunks.iter().map(|c| c.gap).sum());
        (r.sent, r.first_byte, r.first_token, r.first_content, r.last_token) = (Some(r.intended), Some(first), Some(first), Some(first), Some(last));
        r.closed = last;
        r
    };
    (0..STREAMS as u64).map(answer).collect()
}

/// Embeddings or small replies: an answer without chunks.
fn small() -> Vec<RequestRecord> {
    let mut all: Vec<_> = answers(1).into_iter().cycle().take(1000).collect();
    for r in &mut all {
        r.chunks.clear();
    }
    all
}

fn log_all(records: Vec<RequestRecord>) -> Round {
    let mut frames = Vec::new();
    Box::new(move || {
        frames.clear();
        for record in &records {
            append_frame(&mut frames, black_box(record)).unwrap();
        }
        frames.len() as u64
    })
}

fn log(together: usize) -> Round {
    log_all(answers(together))
}

fn log_of_small() -> Round {
    log_all(small())
}

fn recorder() -> Recorder {
    let slo: Slo = serde_json::from_str(r#"{"ttft": {"p95": "200ms"}, "itl": {"p95": "20ms"}}"#).unwrap();
    Recorder::new(&slo, (Nanos::ZERO, Nanos::from_secs(1000)), Nanos::from_secs(1))
}

fn record_all(records: Vec<RequestRecord>) -> Round {
    let mut recorder = recorder();
    Box::new(move || {
        for record in &records {
            recorder.observe(black_box(record));
        }
        records.len() as u64
    })
}

fn record(together: usize) -> Round {
    record_all(answers(together))
}

fn record_of_small() -> Round {
    record_all(small())
}

fn merge() -> Round {
    let (mut mine, mut theirs) = (recorder(), recorder());
    for record in &answers(1) {
        theirs.observe(record);
    }
    Box::new(move || {
        mine.merge(black_box(&theirs));
        1
    })
}

/// The lengths of a chat workload.
fn workload() -> Workload {
    let lengths =
        Lengths::Independent { input: Marginal::Lognormal { median: 700.0, sigma: 1.0 }, output: Marginal::Lognormal { median: 150.0, sigma: 0.7 } };
    Workload { lengths, max_input: 6000, max_output: 1000, ..Workload::default() }
}

/// Poisson arrivals with those lengths.
pub(crate) fn schedule(rate: f64, period: Nanos) -> Schedule {
    let arrivals = Arrivals::Poisson { rate: RateFn::Constant(Rate(rate)) };
    Schedule::for_demand(&arrivals, &workload(), period, 1.0, &Material::default(), Seed(1)).unwrap()
}

fn lengths() -> Round {
    let model = LengthModel::new(&workload(), Recordings::default(), plimsoll::workload::length::Arrivals::Bare).unwrap();
    let mut clipped = Clipped::default();
    Box::new(move || (0..10_000).map(|i| u64::from(model.draw(Seed(1), i, None, &mut clipped).input)).sum())
}

fn schedule_of_poisson() -> Round {
    Box::new(|| {
        let mut schedule = schedule(1000.0, Nanos::from_secs(100));
        (0..10_000).filter_map(|_| schedule.pop()).map(|arrival| u64::from(arrival.input_tokens)).sum()
    })
}
