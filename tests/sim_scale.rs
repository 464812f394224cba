//! Scaling as a whole: the path without requests, a prescribed path, sleep and waking, for every policy.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Share, TimeSpan, TokenRate};
use plimsoll::record::outcome::Outcome;
use plimsoll::record::request::{Phase, RequestRecord};
use plimsoll::scenario::autoscaler::{Autoscaler, Block, Burst, Hpa, Keda, Knative, Lag, Policy, ScaleMetric, Units};
use plimsoll::scenario::endpoint::{EndpointSpec, Routing, StepLaw};
use plimsoll::sim::autoscale::path;
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::{Detail, ScaleEvent};
use plimsoll::sim::virtual_time::{Patience, Source, run};
use plimsoll::workload::schedule::Arrival;
use proptest::prelude::*;
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

fn policies() -> impl Strategy<Value = Policy> {
    let short = TimeSpan::millis;
    prop_oneof![
        2 => Just(Policy::TargetTracking),
        1 => Just(Policy::Knative(Knative::default())),
        1 => Just(Policy::Hpa(Hpa { scale_up_chunks: 1, scale_up_period: short(60), ..Hpa::default() })),
        1 => Just(Policy::Keda(Keda { polling: short(70), cooldown: short(200), ..Keda::default() })),
        1 => Just(Policy::Units(Units { burst: Some(Burst { longest: short(150), rest: short(100) }) })),
    ]
}

/// Small endpoints under every policy, with everything fast enough for many changes within a second.
fn specs() -> impl Strategy<Value = EndpointSpec> {
    let routing = prop_oneof![Just(Routing::LeastLoaded), Just(Routing::Random), Just(Routing::RoundRobin), Just(Routing::PowerOfTwo)];
    (policies(), 1_u32..4, 1_u32..6, routing, any::<bool>(), 0_u64..200, 0_u32..4).prop_map(|(policy, min, more, routing, one, down, floor)| {
        EndpointSpec {
            step: StepLaw {
                base: TimeSpan::millis(2),
                per_sequence: TimeSpan(Nanos::from_micros(50)),
                per_prefill_token: TimeSpan(Nanos::from_micros(5)),
                per_context_token: TimeSpan(Nanos(100)),
                ..StepLaw::default()
            },
            max_batch: 8,
            queue: 6,
            kv_tokens: 3_000,
            chunk: TokenRate(3_000.0),
            error_share: Share(0.05),
            min_chunks: min,
            max_chunks: min + more,
            routing,
            autoscaler: Autoscaler {
                metric: ScaleMetric::Tokens,
                target: Share(0.5),
                window: TimeSpan::millis(100),
                poll: TimeSpan::millis(30),
                lag: Lag::Lognormal { median: TimeSpan::millis(50), p95: TimeSpan::millis(200) },
                scale_down_delay: TimeSpan::millis(down),
                failure: Share(0.2),
                one_change_at_a_time: one,
                schedule: vec![Block { from: TimeSpan::millis(200), to: TimeSpan::millis(400), min_chunks: floor }],
                ..Autoscaler::with_policy(policy)
            },
            ..EndpointSpec::default()
        }
    })
}

/// Arrivals in bursts over a second or so.
fn arrivals() -> impl Strategy<Value = List> {
    prop::collection::vec((prop_oneof![2 => Just(0_u64), 6 => 0_u64..20_000, 1 => 0_u64..300_000], 1_u32..300, 1_u32..60), 1..100).prop_map(|rows| {
        let mut at = Nanos::ZERO;
        list(rows.into_iter().map(|(gap, input, output)| {
            at += Nanos::from_micros(gap);
            (at, input, output)
        }))
    })
}

/// What a request looks like from outside.
type Seen = (u64, Outcome, Option<Nanos>, Nanos);

fn play(list: &List, mut endpoint: Endpoint, patience: Patience) -> (Vec<Seen>, Vec<ScaleEvent>, f64) {
    let mut seen = Vec::new();
    let simulated = run(&mut list.clone(), &mut endpoint, patience, &mut |r: &RequestRecord| seen.push((r.seq, r.outcome, r.first_token, r.closed)));
    (seen, simulated.scale, simulated.chunk_seconds)
}

const PATIENCE: Patience = Patience { total: Nanos::from_millis(600), first_byte: Nanos::from_millis(300) };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// forall policies that look at tokens, arrivals: the path without requests is the path with them; and an endpoint that follows it does
    /// to every request, and bills, what the endpoint does that decides
    #[test]
    fn a_path_needs_no_requests_and_can_be_followed(spec in specs(), list in arrivals()) {
        let (seen, scale, paid) = play(&list, Endpoint::new(&spec, Seed(7), Detail::Requests), PATIENCE);
        let end = seen.iter().map(|s| s.3.0).max().unwrap();
        let mut rows = list.0.iter().peekable();
        let mut total = 0.0;
        let mut load_until = |at: u64| {
            while let Some(arrival) = rows.next_if(|a| a.at.0 < at) {
                total += f64::from(arrival.input_tokens + arrival.output_tokens);
            }
            total
        };
        let without = path(&spec, Seed(7), &mut load_until, end).unwrap();
        prop_assert_eq!(&without, &scale);
        let followed = play(&list, Endpoint::prescribed(&spec, Seed(7), Detail::Requests, &without), PATIENCE);
        prop_assert_eq!(followed, (seen, scale, paid));
    }

    /// forall policies, also those that sleep: chunks stay between min and max, and every request ends once
    #[test]
    fn chunks_stay_within_their_bounds(spec in specs(), list in arrivals(), sleeps in any::<bool>(), by_requests in any::<bool>()) {
        let mut spec = spec;
        if sleeps {
            spec.min_chunks = 0;
        }
        if by_requests {
            spec.autoscaler.metric = ScaleMetric::Concurrency;
        }
        let (seen, scale, _) = play(&list, Endpoint::new(&spec, Seed(7), Detail::Requests), PATIENCE);
        let mut ended: Vec<u64> = seen.iter().map(|s| s.0).collect();
        ended.sort_unstable();
        prop_assert_eq!(ended, (0..list.0.len() as u64).collect::<Vec<_>>());
        for event in scale {
            prop_assert!((spec.min_chunks..=spec.max_chunks).contains(&event.ready), "{:?}", event);
            prop_assert!(event.ready + event.pending <= spec.max_chunks.max(1), "{:?}", event);
        }
    }
}

/// An endpoint that sleeps: one chunk at most, served 10 s after it was asked for, back to sleep when it had nothing to do for 100 s.
fn sleeper(lag: Lag) -> EndpointSpec {
    let autoscaler = Autoscaler { lag, scale_down_delay: TimeSpan::secs(40), ..Autoscaler::default() };
    EndpointSpec { min_chunks: 0, max_chunks: 1, noise: 0.0, network: TimeSpan::millis(0), autoscaler, ..EndpointSpec::default() }
}

#[test]
fn the_first_request_wakes_a_sleeping_endpoint_and_waits_for_the_lag() {
    let spec = sleeper(Lag::Fixed(TimeSpan::secs(10)));
    let patient = Patience { total: Nanos::from_secs(100), first_byte: Nanos::from_secs(100) };
    let list = list([100, 103, 500].into_iter().map(|s| (Nanos::from_secs(s), 200, 5)));
    let (seen, scale, paid) = play(&list, Endpoint::new(&spec, Seed(1), Detail::Requests), patient);
    let path: Vec<(u64, u32, u32)> = scale.iter().map(|e| (e.at.0 / 1_000_000_000, e.ready, e.pending)).collect();
    // The window is empty at the poll of 165 s; 40 s later, at the next poll, the chunk goes.
    assert_eq!(path, [(0, 0, 0), (100, 0, 1), (110, 1, 0), (210, 0, 0), (500, 0, 1), (510, 1, 0)]);
    assert!(seen.iter().all(|s| s.1 == Outcome::Ok));
    // a + c p for the first; both prompts share the iteration.
    let first = 0.012 + 400.0 * 60e-6;
    assert!((seen[0].2.unwrap().as_secs_f64() - 110.0 - first).abs() < 1e-9 && seen[0].2 == seen[1].2, "{seen:?}");
    assert!((paid - (210.0 - 110.0) - (seen[2].3.as_secs_f64() - 510.0)).abs() < 1e-9, "a chunk that sleeps costs nothing: {paid}");
}

#[test]
fn who_has_no_patience_for_the_lag_gives_up_and_a_full_lobby_turns_away() {
    let spec = EndpointSpec { queue: 2, ..sleeper(Lag::Fixed(TimeSpan::secs(10))) };
    let patience = Patience { total: Nanos::from_secs(6), first_byte: Nanos::from_secs(6) };
    let list = list([1, 2, 3, 5].into_iter().map(|s| (Nanos::from_secs(s), 10, 2)));
    let (mut seen, ..) = play(&list, Endpoint::new(&spec, Seed(1), Detail::Requests), patience);
    seen.sort_unstable_by_key(|s| s.0);
    let outcomes: Vec<Outcome> = seen.iter().map(|s| s.1).collect();
    assert_eq!(outcomes, [Outcome::TimeoutFirstByte, Outcome::TimeoutFirstByte, Outcome::ThrottledCapacity, Outcome::ThrottledCapacity]);
    assert_eq!(seen[0].3, Nanos::from_secs(7));
}
