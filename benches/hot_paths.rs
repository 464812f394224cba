//! The hot paths, one thread each: events split and folded, records logged and folded, arrivals and lengths drawn, prompts written, requests
//! simulated. `cargo bench --bench hot_paths` prints items a second; `docs/BENCHMARKS.md` holds figures with the machine they were taken on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "hot_paths/cases.rs"]
mod cases;

use cases::schedule;
use divan::Bencher;
use divan::counter::ItemsCount;
use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::scenario::endpoint::EndpointSpec;
use plimsoll::scenario::workload::{Prompts, Tokenizer};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::virtual_time::{self, Patience};
use plimsoll::workload::prompt::PromptBook;
use plimsoll::workload::tokenizer::Vocabulary;
use std::sync::Arc;

fn main() {
    divan::main();
}

#[divan::bench(args = cases::CASES.map(|(name, _, _)| name))]
fn case(bencher: Bencher<'_, '_>, name: &str) {
    let &(_, items, make) = cases::CASES.iter().find(|(n, _, _)| *n == name).unwrap();
    bencher.counter(ItemsCount::new(items)).bench_local(make());
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
