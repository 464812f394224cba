//! The hot paths, one thread each: events split, arrivals drawn, prompts written, records folded, requests simulated.
//! `cargo bench` prints time per item; `docs/BENCHMARKS.md` holds figures with the machine they were taken on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::Rate;
use plimsoll::measure::recorder::Recorder;
use plimsoll::protocol::sse::Splitter;
use plimsoll::record::request::RequestRecord;
use plimsoll::scenario::endpoint::EndpointSpec;
use plimsoll::scenario::load::{Arrivals, RateFn};
use plimsoll::scenario::slo::Slo;
use plimsoll::scenario::workload::{Lengths, Marginal, Prompts, Tokenizer, Workload};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::virtual_time::{self, Patience};
use plimsoll::workload::prompt::PromptBook;
use plimsoll::workload::schedule::{Material, Schedule};
use plimsoll::workload::tokenizer::Vocabulary;
use std::sync::Arc;

fn main() {
    divan::main();
}

const EVENT: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n";

#[divan::bench]
fn sse_events_in_pieces_of_1400_bytes(bencher: Bencher<'_, '_>) {
    let stream = EVENT.repeat(10_000);
    bencher.counter(ItemsCount::new(10_000_usize)).counter(BytesCount::new(stream.len())).bench(|| {
        let mut splitter = Splitter::new(1 << 20);
        let mut seen = 0_usize;
        for piece in stream.as_bytes().chunks(1400) {
            splitter.push(piece, &mut |event| seen += event.data.len()).unwrap();
        }
        seen
    });
}

fn workload() -> Workload {
    let lengths =
        Lengths::Independent { input: Marginal::Lognormal { median: 700.0, sigma: 1.0 }, output: Marginal::Lognormal { median: 150.0, sigma: 0.7 } };
    Workload { lengths, max_input: 6000, max_output: 1000, ..Workload::default() }
}

fn schedule(rate: f64, period: Nanos) -> Schedule {
    let arrivals = Arrivals::Poisson { rate: RateFn::Constant(Rate(rate)) };
    Schedule::for_demand(&arrivals, &workload(), period, 1.0, &Material::default(), Seed(1)).unwrap()
}

#[divan::bench]
fn arrivals_poisson_lognormal(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(100_000_usize)).with_inputs(|| schedule(1000.0, Nanos::from_secs(1000))).bench_values(|mut schedule| {
        let mut tokens = 0_u64;
        for _ in 0..100_000 {
            tokens += u64::from(schedule.pop().unwrap().input_tokens);
        }
        tokens
    });
}

#[divan::bench]
fn prompts_of_2000_tokens(bencher: Bencher<'_, '_>) {
    let vocabulary = Arc::new(Vocabulary::embedded(&Tokenizer::Llama3).unwrap());
    let book = PromptBook::new(vocabulary, &Prompts::default(), Seed(1));
    let mut arrival = schedule(1.0, Nanos::from_secs(100)).pop().unwrap();
    arrival.input_tokens = 2000;
    bencher.counter(ItemsCount::new(1_usize)).bench_local(move || {
        arrival.seq += 1;
        book.text(&arrival).len()
    });
}

#[divan::bench(args = [1, 8], sample_count = 10)]
fn requests_simulated(bencher: Bencher<'_, '_>, replicas: u32) {
    let spec = EndpointSpec { min_chunks: replicas, max_chunks: replicas, noise: 0.0, ..EndpointSpec::default() };
    let rate = 1.2 * f64::from(replicas);
    bencher.counter(ItemsCount::new(20_000_usize)).with_inputs(|| schedule(rate, Nanos::from_secs_f64(20_000.0 / rate))).bench_values(
        |mut schedule| {
            let mut endpoint = Endpoint::new(&spec, Seed(1), Detail::Requests);
            let patience = Patience { total: Nanos::from_secs(300), first_byte: Nanos::from_secs(300) };
            let mut ok = 0_u64;
            virtual_time::run(&mut schedule, &mut endpoint, patience, &mut |record| ok += u64::from(record.is_ok()));
            ok
        },
    );
}

fn records() -> Vec<RequestRecord> {
    let spec = EndpointSpec { noise: 0.0, ..EndpointSpec::default() };
    let mut endpoint = Endpoint::new(&spec, Seed(1), Detail::Tokens);
    let patience = Patience { total: Nanos::from_secs(300), first_byte: Nanos::from_secs(300) };
    let mut all = Vec::new();
    virtual_time::run(&mut schedule(1.0, Nanos::from_secs(1000)), &mut endpoint, patience, &mut |record| all.push(record.clone()));
    all
}

#[divan::bench]
fn records_folded_with_every_token_gap(bencher: Bencher<'_, '_>) {
    let records = records();
    let tokens: usize = records.iter().map(|r| r.output_tokens as usize).sum();
    bencher.counter(ItemsCount::new(tokens)).bench(|| {
        let mut recorder = Recorder::new(&Slo::default(), (Nanos::ZERO, Nanos::from_secs(1000)), Nanos::from_secs(1));
        for record in &records {
            recorder.observe(record);
        }
        recorder
    });
}
