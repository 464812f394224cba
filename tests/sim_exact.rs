//! The simulator against an account of the same law that steps through every iteration: 1,000 random endpoints and loads, every feature.
//!
//! The account is written from `docs/METHOD.md`, in floating-point nanoseconds. Coefficients and instants are whole nanoseconds and all sums
//! stay below 2^53, so both sides are exact; a duration under curvature is rounded to whole nanoseconds by both, as the law says.

#![expect(clippy::unwrap_used, reason = "a test stops where its premise fails")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers below 2^53 in floating point")]

#[path = "sim_exact/account.rs"]
mod account;

use account::Account;
use plimsoll::base::rng::{Seed, Stream};
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Share, TimeSpan};
use plimsoll::record::outcome::Outcome;
use plimsoll::record::request::Phase;
use plimsoll::scenario::endpoint::{EndpointSpec, KvPolicy, PrefixHit, Routing, StepLaw};
use plimsoll::sim::bulk::{self, Ended, How, Job};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::{Detail, Retry};
use plimsoll::sim::virtual_time::{self, Patience, Source};
use plimsoll::workload::schedule::Arrival;
use rand::RngExt;
use std::collections::VecDeque;

/// One random case.
#[derive(Debug)]
struct Case {
    spec: EndpointSpec,
    jobs: Vec<Job>,
    patience: Patience,
    retry: Option<Retry>,
}

fn pick<T: Copy>(stream: &mut Stream, of: &[T]) -> T {
    of[stream.random_range(0..of.len())]
}

/// Small endpoints in which every limit is hit; times of seconds, so that a nanosecond is 1e-9 of them.
fn case(seed: u64) -> Case {
    let s = &mut Seed(seed).stream("case");
    let us = |n: u64| TimeSpan(Nanos::from_micros(n));
    let step = StepLaw {
        base: us(s.random_range(1..60_000)),
        per_sequence: us(s.random_range(0..3_000)),
        per_prefill_token: us(s.random_range(0..200)),
        per_context_token: TimeSpan(Nanos(s.random_range(0..10_000))),
        prefill_growth: if s.random() { us(s.random_range(0..2_000)) } else { us(0) },
        curvature: pick(s, &[1.0, 1.0, 1.3, 2.0, 6.5]),
    };
    let max_batch = s.random_range(1..12);
    let replicas = s.random_range(1..5);
    let longest = pick(s, &[40, 300]);
    let spec = EndpointSpec {
        step,
        max_batch,
        prefill_budget: max_batch + s.random_range(1..200),
        kv_tokens: s.random_range(100..1_500),
        kv_policy: pick(s, &[KvPolicy::Reserve, KvPolicy::Preempt]),
        kv_watermark: Share(pick(s, &[0.0, 0.01, 0.2])),
        prefix_hit: pick(s, &[PrefixHit::default(), PrefixHit { requests: Share(1.0), prompt: Share(0.4) }]),
        tokens_per_step: pick(s, &[1, 1, 2, 5]),
        queue: pick(s, &[0, 2, 6, 1_000]),
        network: us(s.random_range(0..4_000)),
        noise: 0.0,
        routing: pick(s, &[Routing::RoundRobin, Routing::LeastLoaded]),
        min_chunks: replicas,
        max_chunks: replicas,
        ..EndpointSpec::default()
    };
    let mean_gap = s.random_range(1_000_000_u64..400_000_000);
    let mut at = 0;
    let jobs = (0..s.random_range(1..60)).map(|_| {
        at += if s.random_range(0..4) == 0 { 0 } else { s.random_range(0..2 * mean_gap) };
        let input = s.random_range(0..longest);
        Job { at, input, output: s.random_range(0..90), cached: if s.random() { s.random_range(0..=input) / 16 * 16 } else { 0 } }
    });
    let jobs = jobs.collect();
    let seconds = |s: &mut Stream| Nanos(pick(s, &[500_000_000, 3_000_000_000, 20_000_000_000, 100_000_000_000_000]));
    let patience = Patience { total: seconds(s), first_byte: seconds(s) };
    let retry = Retry { attempts: s.random_range(1..4), backoff: Nanos(s.random_range(1..2_000_000_000)), factor: pick(s, &[1.0, 2.0]) };
    Case { spec, jobs, patience, retry: pick(s, &[None, Some(retry)]) }
}

fn bulk_ends(case: &Case) -> (Vec<Ended>, Endpoint) {
    let mut endpoint = Endpoint::new(&case.spec, Seed(3), Detail::Requests);
    let mut ends = Vec::new();
    let told = bulk::run(case.jobs.iter().copied(), &mut endpoint, case.patience, case.retry, &mut |e| {
        ends.push(*e);
        true
    });
    assert_eq!(told, ends.len() as u64);
    ends.sort_unstable_by_key(|e| e.job);
    (ends, endpoint)
}

/// A power rounded the other way is one nanosecond.
fn close(a: u64, b: u64) -> bool {
    a.abs_diff(b) as f64 <= 1e-9 * a.max(b) as f64
}

/// forall endpoints, loads, patience, retries: first token, last token and outcome of every request are those of the plain account, to 1e-9;
/// requests, places and time are conserved
#[test]
fn skipping_ahead_equals_the_plain_account() {
    let (mut preempted, mut kinds) = (0, [0_u32; 4]);
    for seed in 0..1_000 {
        let case = case(seed);
        let (found, endpoint) = bulk_ends(&case);
        let mut account = Account::new(&case.spec, case.patience, case.retry, &case.jobs);
        let expected = account.run();
        preempted += account.preempted;
        assert_eq!(found.len(), case.jobs.len(), "seed {seed}: every job ends once");
        for (f, e) in found.iter().zip(&expected) {
            let curved = case.spec.step.curvature > 1.0;
            let near = |a, b| if curved { close(a, b) } else { a == b };
            let same = f.job == e.job && f.at == e.at && f.how == e.how && near(f.first, e.first) && near(f.last, e.last);
            assert!(same, "seed {seed}: {f:?}, by the account {e:?}; {case:?}");
            kinds[f.how as usize] += 1;
        }
        let state = endpoint.state();
        assert_eq!((state.running, state.waiting), (0, 0), "seed {seed}: every place is free in the end");
        assert_little(&found, seed);
    }
    assert!(kinds.iter().all(|n| *n > 300) && preempted > 300, "cases of every kind: {kinds:?}, {preempted} preemptions");
}

/// Little's law as an identity: requests in the system, integrated over time, are the sum of their times in it.
fn assert_little(ends: &[Ended], seed: u64) {
    let mut changes: Vec<(u64, i64)> = ends.iter().flat_map(|e| [(e.at, 1), (e.last, -1)]).collect();
    changes.sort_unstable();
    let (mut inside, mut last, mut area) = (0_i64, 0, 0_i128);
    for (at, change) in changes {
        area += i128::from(inside) * i128::from(at - last);
        (inside, last) = (inside + change, at);
    }
    let spent: i128 = ends.iter().map(|e| i128::from(e.last - e.at)).sum();
    assert_eq!((inside, area), (0, spent), "seed {seed}");
}

/// Arrivals known beforehand.
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

/// forall endpoints, loads, patience, retries, noise, random errors, routing, scaling: the lean driver and virtual time agree to the nanosecond, and so does the bill
#[test]
fn bulk_equals_virtual_time() {
    for seed in 0..400 {
        let mut case = case(seed);
        let s = &mut Seed(seed).stream("more");
        case.jobs.iter_mut().for_each(|job| job.cached = 0);
        case.spec.noise = pick(s, &[0.0, 0.1]);
        case.spec.error_share = Share(pick(s, &[0.0, 0.1]));
        case.spec.routing = pick(s, &[Routing::RoundRobin, Routing::Random, Routing::LeastLoaded, Routing::PowerOfTwo]);
        case.spec.prefix_hit = PrefixHit { requests: Share(0.5), prompt: Share(0.7) };
        case.spec.max_chunks += pick(s, &[0, 3]);
        case.spec.autoscaler.poll = TimeSpan::millis(900);
        case.spec.autoscaler.window = TimeSpan::secs(3);
        case.spec.autoscaler.scale_down_delay = TimeSpan::secs(5);
        case.spec.autoscaler.lag = plimsoll::scenario::autoscaler::Lag::Fixed(TimeSpan::secs(2));
        case.spec.chunk = plimsoll::base::units::TokenRate(s.random_range(5.0..2_000.0));
        let (found, lean) = bulk_ends(&case);
        let arrival = |(job, seq): (&Job, u64)| Arrival {
            seq,
            at: Nanos(job.at),
            phase: Phase::Measure,
            input_tokens: job.input,
            output_tokens: job.output,
            shared_tokens: 0,
            prefix_group: 0,
            session: None,
            user: None,
        };
        let mut list = List(case.jobs.iter().zip(0..).map(arrival).collect());
        let mut endpoint = Endpoint::new(&case.spec, Seed(3), Detail::Requests);
        let mut expected = Vec::new();
        let simulated = virtual_time::run_with_retries(&mut list, &mut endpoint, case.patience, case.retry, &mut |r| {
            let how = match r.outcome {
                Outcome::Ok => How::Ok,
                Outcome::ThrottledCapacity => How::Throttled,
                Outcome::ServerError => How::Failed,
                _ => How::TimedOut,
            };
            let first = r.first_token.unwrap_or(r.closed).0;
            expected.push(Ended { job: r.seq as u32, at: r.intended.0, first, last: r.closed.0, how });
        });
        expected.sort_unstable_by_key(|e| e.job);
        assert_eq!(found, expected, "seed {seed}");
        assert_eq!(lean.scale_log(), &simulated.scale[..], "seed {seed}");
        assert_eq!(lean.chunk_seconds(simulated.end), simulated.chunk_seconds, "seed {seed}");
    }
}

/// `false` stops at once.
#[test]
fn bulk_stops_when_told_to() {
    let case = case(5);
    let mut endpoint = Endpoint::new(&case.spec, Seed(3), Detail::Requests);
    let mut left = 3;
    let told = bulk::run(case.jobs.iter().copied(), &mut endpoint, case.patience, case.retry, &mut |_| {
        left -= 1;
        left > 0
    });
    assert_eq!((told, left), (3, 0));
}
