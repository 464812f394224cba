//! Clients that come back: both drivers agree, and retries keep an overload alive that would have passed without them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Share, TimeSpan};
use plimsoll::record::outcome::Outcome;
use plimsoll::record::request::{Phase, RequestRecord};
use plimsoll::scenario::endpoint::{EndpointSpec, StepLaw};
use plimsoll::sim::bulk::{self, Ended, How, Job};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::{Detail, Retry};
use plimsoll::sim::virtual_time::{Patience, Simulated, Source, run_with_retries};
use plimsoll::workload::schedule::Arrival;
use proptest::prelude::*;
use rand::RngExt;
use std::collections::VecDeque;

/// Arrivals known beforehand.
#[derive(Clone, Debug)]
struct List(VecDeque<Arrival>);

impl Source for List {
    fn peek_at(&self) -> Option<Nanos> {
        self.0.front().map(|a| a.at)
    }
    fn pop(&mut self) -> Option<Arrival> {
        self.0.pop_front()
    }
    fn completed(&mut self, _: &Arrival, _: Nanos, _: bool) {}
}

fn list(rows: impl Iterator<Item = (Nanos, u32, u32)>) -> List {
    let arrival = |(seq, (at, input_tokens, output_tokens))| Arrival {
        seq,
        at,
        phase: Phase::Measure,
        input_tokens,
        output_tokens,
        shared_tokens: 0,
        prefix_group: 0,
        session: None,
        user: None,
    };
    List((0_u64..).zip(rows).map(arrival).collect())
}

fn play(list: &List, spec: &EndpointSpec, patience: Patience, retry: Option<Retry>) -> (Vec<RequestRecord>, Simulated) {
    let mut records = Vec::new();
    let mut endpoint = Endpoint::new(spec, Seed(3), Detail::Requests);
    let simulated = run_with_retries(&mut list.clone(), &mut endpoint, patience, retry, &mut |r| records.push(r.clone()));
    records.sort_by_key(|r| r.seq);
    (records, simulated)
}

fn us(us: u64) -> TimeSpan {
    TimeSpan(Nanos::from_micros(us))
}

/// One chunk of 1 ms an iteration and 1 ms a sequence, without a limit that is hit; 20 requests/s of 50 tokens are all it can do.
fn chunk() -> EndpointSpec {
    EndpointSpec {
        step: StepLaw { base: us(1000), per_sequence: us(1000), per_prefill_token: us(0), per_context_token: us(0), ..StepLaw::default() },
        max_batch: 10_000,
        prefill_budget: 20_000,
        kv_tokens: u64::MAX / 4,
        noise: 0.0,
        network: us(0),
        ..EndpointSpec::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// forall arrivals, patience, retries: the lean driver tells the ends that the records tell
    #[test]
    fn both_drivers_come_back_alike(
        rows in prop::collection::vec((0_u64..40_000, 1_u32..100, 1_u32..60), 1..80),
        (total, first) in (10_u64..300, 10_u64..300),
        (attempts, backoff_us, factor) in (0_u32..4, 0_u64..50_000, 1.0_f64..3.0),
        (queue, max_batch, network) in (0_u32..5, 1_u32..6, 0_u64..3_000),
    ) {
        let mut at = Nanos::ZERO;
        let list = list(rows.into_iter().map(|(gap, input, output)| {
            at += Nanos::from_micros(gap);
            (at, input, output)
        }));
        let spec = EndpointSpec { queue, max_batch, network: us(network), error_share: Share(0.05), ..chunk() };
        let patience = Patience { total: Nanos::from_millis(total), first_byte: Nanos::from_millis(first) };
        let retry = Some(Retry { attempts, backoff: Nanos::from_micros(backoff_us), factor });
        let (records, simulated) = play(&list, &spec, patience, retry);
        prop_assert_eq!(records.len(), list.0.len());
        prop_assert!(simulated.retries <= u64::from(attempts) * simulated.requests);
        let mut ends: Vec<Ended> = Vec::new();
        let jobs = list.0.iter().map(|a| Job { at: a.at.0, input: a.input_tokens, output: a.output_tokens, cached: 0 });
        bulk::run(jobs, &mut Endpoint::new(&spec, Seed(3), Detail::Requests), patience, retry, &mut |ended| {
            ends.push(*ended);
            true
        });
        ends.sort_by_key(|e| e.job);
        for (record, end) in records.iter().zip(&ends) {
            let how = match record.outcome {
                Outcome::Ok => How::Ok,
                Outcome::ThrottledCapacity => How::Throttled,
                Outcome::ServerError => How::Failed,
                _ => How::TimedOut,
            };
            prop_assert_eq!((how, record.intended.0, record.closed.0), (end.how, end.at, end.last));
            if how == How::Ok {
                prop_assert_eq!(record.first_token.unwrap().0, end.first);
            }
        }
    }
}

#[test]
fn latency_counts_from_the_first_try_and_waits_grow_by_the_factor() {
    // The first request holds the only place until 52 ms; the second is turned away at 1, 11 and 31 ms and comes in at 71 ms.
    let spec = EndpointSpec { queue: 0, max_batch: 1, ..chunk() };
    let rows = [(0, 1, 26), (1, 1, 1)].map(|(ms, input, output)| (Nanos::from_millis(ms), input, output));
    let patient = Patience { total: Nanos::from_secs(10), first_byte: Nanos::from_secs(10) };
    let retry = |attempts| Some(Retry { attempts, backoff: Nanos::from_millis(10), factor: 2.0 });
    let (records, simulated) = play(&list(rows.into_iter()), &spec, patient, retry(3));
    assert_eq!((records[1].outcome, records[1].sent, simulated.retries), (Outcome::Ok, Some(Nanos::from_millis(71)), 3));
    assert_eq!(records[1].e2e(), Nanos::from_millis(71), "an iteration of 1 ms after 70 ms of waiting");
    let (records, simulated) = play(&list(rows.into_iter()), &spec, patient, retry(2));
    assert_eq!((records[1].outcome, records[1].closed, simulated.retries), (Outcome::ThrottledCapacity, Nanos::from_millis(31), 2));
}

/// 14 requests/s of 50 tokens on a chunk that can do 20, patience 2 s: with B sequences a request takes 50 (1 + B) ms, so that 39 at once is
/// the most that anybody lives through. Left alone B is about 3. When all give up there are 14 * 2 = 28 of them, and the load is served
/// again; when all give up and come back three times there are 4 * 28 = 112, for ever. The burst that leads there lasts 10 s.
#[test]
fn retries_keep_an_overload_alive_that_passes_without_them() {
    let mut stream = Seed(21).stream("arrivals");
    let mut at = 0.0;
    let mut with_burst = Vec::new();
    while at < 300.0 {
        let rate = if (60.0..70.0).contains(&at) { 100.0 } else { 14.0 };
        at -= (1.0 - stream.random::<f64>()).ln() / rate;
        with_burst.push((Nanos::from_secs_f64(at), 1, 50));
    }
    let calm: Vec<_> = with_burst.iter().copied().filter(|(at, ..)| !(Nanos::from_secs(60)..Nanos::from_secs(70)).contains(at)).collect();
    let patience = Patience { total: Nanos::from_secs(2), first_byte: Nanos::from_secs(2) };
    let retry = Some(Retry { attempts: 3, backoff: Nanos::from_millis(500), factor: 1.0 });
    // Share of the requests due from 200 s to 280 s that ended well: after 300 s no new ones come, and the last tries end well again.
    let good = |rows: &[(Nanos, u32, u32)], retry| {
        let (records, simulated) = play(&list(rows.iter().copied()), &chunk(), patience, retry);
        let late: Vec<_> = records.iter().filter(|r| (Nanos::from_secs(200)..Nanos::from_secs(280)).contains(&r.intended)).collect();
        (late.iter().filter(|r| r.is_ok()).count() as f64 / late.len() as f64, simulated.retries)
    };
    let (alone, none) = good(&with_burst, None);
    let (undisturbed, few) = good(&calm, retry);
    let (stuck, many) = good(&with_burst, retry);
    assert!(alone > 0.999 && none == 0, "without retries the burst is over: {alone}");
    assert!(undisturbed > 0.999 && few == 0, "with retries but without the burst nothing happens: {undisturbed}, {few} retries");
    assert!(stuck < 0.01 && many > 5_000, "with both the overload feeds itself: {stuck}, {many} retries");
}
