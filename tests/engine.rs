//! The engine against servers of known behaviour: no arrival is lost, moved or hidden by a slow answer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "server/answering.rs"]
mod answering;

use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::engine::live::Live;
use plimsoll::engine::run::{Keeper, Parts, Report, run};
use plimsoll::record::log;
use plimsoll::record::outcome::{Group, Outcome};
use plimsoll::record::request::RequestRecord;
use plimsoll::scenario::check::check;
use plimsoll::scenario::experiment::Experiment;
use plimsoll::serve;
use plimsoll::workload::prompt::PromptBook;
use plimsoll::workload::schedule::{Material, Schedule};
use plimsoll::workload::tokenizer::Vocabulary;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Default)]
struct Memory {
    records: Vec<RequestRecord>,
    flushes: u32,
    fail_after: Option<usize>,
}

impl Keeper for Memory {
    fn keep(&mut self, frames: &[u8]) -> std::io::Result<()> {
        if self.fail_after.is_some_and(|n| self.records.len() >= n) {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        log::each_record(frames, |record| self.records.push(record)).map_err(std::io::Error::other)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.flushes += 1;
        Ok(())
    }
}

fn experiment(body: &str) -> Experiment {
    check("test.toml", body.as_bytes(), Path::new("."), &[], Seed(17)).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn load(url: &str, arrivals: &str, more: &str) -> Experiment {
    experiment(&format!(
        "name = \"t\"\n[target]\nurl = \"{url}\"\n{more}\n[load]\narrivals = {arrivals}\nwarmup = \"0s\"\nmeasure = \"1s\"\ndrain = \"10s\"\nmax_in_flight = 40\n\
         [workload]\nlengths = {{ independent = {{ input = {{ fixed = 20 }}, output = {{ fixed = 8 }} }} }}\n\
         [endpoint]\nstep = {{ base = \"1ms\", per_sequence = \"10us\", per_prefill_token = \"1us\", per_context_token = \"1ns\" }}\n"
    ))
}

fn go(experiment: &Experiment, keeper: &mut Memory, workers: u32) -> Result<Report, plimsoll::engine::run::Error> {
    go_with(experiment, keeper, workers, &Arc::new(Live::default()))
}

fn go_with(experiment: &Experiment, keeper: &mut Memory, workers: u32, live: &Arc<Live>) -> Result<Report, plimsoll::engine::run::Error> {
    let prompts = &experiment.scenario.workload.prompts;
    let vocabulary = Arc::new(Vocabulary::embedded(&prompts.tokenizer).unwrap());
    let parts = Parts {
        schedule: Schedule::new(experiment, &Material::default()).unwrap(),
        book: PromptBook::new(vocabulary, prompts, experiment.seed),
        counter: None,
        token: None,
        login: None,
        workers,
        cores: 2,
        embedded: true,
        live: Arc::clone(live),
    };
    run(experiment, parts, keeper)
}

/// Every arrival of the drawn schedule, as (seq, at).
fn drawn(experiment: &Experiment) -> BTreeSet<(u64, Nanos)> {
    let mut schedule = Schedule::new(experiment, &Material::default()).unwrap();
    std::iter::from_fn(|| schedule.pop()).map(|a| (a.seq, a.at)).collect()
}

fn recorded(memory: &Memory) -> BTreeSet<(u64, Nanos)> {
    let set: BTreeSet<(u64, Nanos)> = memory.records.iter().map(|r| (r.seq, r.intended)).collect();
    assert_eq!(set.len(), memory.records.len(), "a request was recorded twice");
    set
}

/// A server that answers one whole JSON document after `pause`, or never when `pause` is `None`; counts what it was sent.
#[expect(clippy::disallowed_methods, reason = "the server is slow on purpose")]
fn server(pause: Option<Duration>) -> (String, Arc<Mutex<u32>>) {
    let body = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"length"}],"usage":{"prompt_tokens":20,"completion_tokens":8}}"#;
    let answer = answering::ok("application/json", body);
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    let url = answering::answering(move || {
        *count.lock().unwrap() += 1;
        std::thread::sleep(pause.unwrap_or(Duration::from_mins(10)));
        answer.clone()
    });
    (url, seen)
}

/// forall arrivals drawn: each is recorded once, at its own instant, and the endpoint's token counts come back.
#[test]
fn every_arrival_of_the_schedule_is_sent_and_recorded() {
    let simple = load("http://127.0.0.1:9", "{ constant = { rate = \"1/s\" } }", "");
    let endpoint = serve::spawn_in_thread(simple.scenario.endpoint.clone(), "m".to_owned(), Seed(1)).unwrap();
    for workers in [1, 3] {
        let experiment = load(&endpoint.url(), "{ poisson = { rate = \"120/s\" } }", "");
        let mut memory = Memory::default();
        let report = go(&experiment, &mut memory, workers).unwrap();
        assert_eq!(recorded(&memory), drawn(&experiment));
        assert!(memory.records.iter().all(|r| r.outcome == Outcome::Ok && r.output_tokens == 8), "{:?}", report.examples);
        assert!(memory.records.iter().all(|r| r.sent.is_some_and(|s| s >= r.intended)), "nothing goes out before its instant");
        assert!(report.stopped_at.is_none() && memory.flushes > 0);
    }
}

/// A slow endpoint must not slow the schedule: the same requests reach it, and the wait shows in the latency (no coordinated omission).
#[test]
fn a_slow_endpoint_raises_latency_and_not_the_gaps_between_arrivals() {
    let (url, seen) = server(Some(Duration::from_millis(300)));
    let experiment = load(&url, "{ constant = { rate = \"40/s\" } }", "stream = false");
    let mut memory = Memory::default();
    go(&experiment, &mut memory, 1).unwrap();
    assert_eq!(recorded(&memory), drawn(&experiment));
    assert_eq!(*seen.lock().unwrap() as usize, memory.records.len());
    assert!(memory.records.iter().all(|r| r.is_ok() && r.e2e() >= Nanos::from_millis(300)));
}

/// What is due beyond `max_in_flight` is recorded as shed; what never answers is unfinished at the end of the drain.
#[test]
fn beyond_the_slots_requests_are_shed_and_after_the_drain_unfinished() {
    let (url, _) = server(None);
    let mut experiment = load(&url, "{ constant = { rate = \"100/s\" } }", "");
    experiment.scenario.load.drain = "300ms".parse().unwrap();
    let mut memory = Memory::default();
    let report = go(&experiment, &mut memory, 1).unwrap();
    assert_eq!(recorded(&memory), drawn(&experiment));
    let count = |group| memory.records.iter().filter(|r| r.outcome.group() == group).count();
    assert_eq!((count(Group::TimedOut), count(Group::Shed)), (40, 60));
    assert!(memory.records.iter().all(|r| matches!(r.outcome, Outcome::Unfinished | Outcome::Shed)));
    assert!(report.stopped_at.is_none(), "the end of the drain is not an early stop");
}

/// N users: never more than N requests open, and the next one only after the answer.
#[test]
fn a_closed_loop_never_has_more_open_than_users() {
    let (url, _) = server(Some(Duration::from_millis(20)));
    let experiment = load(&url, "{ closed = { users = 5 } }", "stream = false");
    let mut memory = Memory::default();
    go(&experiment, &mut memory, 2).unwrap();
    assert!(memory.records.len() > 50, "{}", memory.records.len());
    let mut turns: Vec<(Nanos, i32)> = memory.records.iter().flat_map(|r| [(r.sent.unwrap(), 1), (r.closed, -1)]).collect();
    turns.sort_unstable();
    let (mut open, mut most) = (0, 0);
    for (_, change) in turns {
        open += change;
        most = most.max(open);
    }
    assert_eq!(most, 5);
}

#[test]
fn a_log_that_cannot_be_written_stops_the_load() {
    let (url, _) = server(Some(Duration::from_millis(5)));
    let experiment = load(&url, "{ constant = { rate = \"100/s\" } }", "stream = false");
    let mut memory = Memory { fail_after: Some(10), ..Memory::default() };
    let error = go(&experiment, &mut memory, 1).unwrap_err();
    assert!(matches!(error, plimsoll::engine::run::Error::Log { .. }), "{error}");
    assert!(memory.records.len() >= 10 && memory.records.len() < drawn(&experiment).len(), "{}", memory.records.len());
}

#[test]
fn a_stop_ends_the_load_early_and_an_abort_cancels_what_is_open() {
    let (url, _) = server(None);
    let mut experiment = load(&url, "{ constant = { rate = \"20/s\" } }", "");
    experiment.scenario.load.measure = "60s".parse().unwrap();
    let live = Arc::new(Live::default());
    let watcher = Arc::clone(&live);
    let stopper = std::thread::spawn(move || {
        while watcher.progress().sent < 5 {
            std::thread::yield_now();
        }
        watcher.abort();
    });
    let mut memory = Memory::default();
    let report = go_with(&experiment, &mut memory, 1, &live).unwrap();
    stopper.join().unwrap();
    assert!(report.stopped_at.is_some());
    assert!(memory.records.len() >= 5 && memory.records.iter().all(|r| r.outcome == Outcome::Cancelled));
}

/// The answers that are open when a load is stopped end after arrivals that will not be sent any more: the run must end all the same.
#[test]
fn a_stop_ends_the_load_although_answers_come_late() {
    for (arrivals, workers) in [("{ constant = { rate = \"20/s\" } }", 1), ("{ closed = { users = 4 } }", 1), ("{ closed = { users = 4 } }", 3)] {
        let (url, _) = server(Some(Duration::from_millis(900)));
        let mut experiment = load(&url, arrivals, "stream = false");
        experiment.scenario.load.measure = "60s".parse().unwrap();
        let live = Arc::new(Live::default());
        let watcher = Arc::clone(&live);
        let stopper = std::thread::spawn(move || {
            while watcher.progress().sent < 4 {
                std::thread::yield_now();
            }
            watcher.stop();
        });
        let mut memory = Memory::default();
        let report = go_with(&experiment, &mut memory, workers, &live).unwrap();
        stopper.join().unwrap();
        assert!(report.stopped_at.is_some() && report.wall < Nanos::from_secs(30));
        assert!(memory.records.iter().filter(|r| r.sent.is_some()).all(RequestRecord::is_ok), "what was open had time to end");
    }
}

/// A rate that no client reaches: what was due and could not be sent is recorded, never skipped.
#[test]
fn what_the_client_cannot_send_is_recorded() {
    let (url, _) = server(Some(Duration::from_millis(5)));
    let mut experiment = load(&url, "{ constant = { rate = \"30000/s\" } }", "stream = false");
    experiment.scenario.load.drain = "200ms".parse().unwrap();
    experiment.scenario.workload.lengths = serde_json::from_value(serde_json::json!({
        "independent": { "input": { "fixed": 2000 }, "output": { "fixed": 8 } }
    }))
    .unwrap();
    let mut memory = Memory::default();
    go(&experiment, &mut memory, 1).unwrap();
    assert_eq!(recorded(&memory), drawn(&experiment));
}
