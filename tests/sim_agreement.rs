//! One state machine, three drivers that must agree to the nanosecond: skipping ahead, token by token, and live with late wake-ups.

#![expect(clippy::unwrap_used, reason = "a test stops where its premise fails")]

use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Share, TimeSpan, TokenRate};
use plimsoll::record::request::{Phase, RequestRecord};
use plimsoll::scenario::endpoint::{Autoscaler, EndpointSpec, KvPolicy, Lag, PrefixHit, Routing, ScaleMetric, StepLaw};
use plimsoll::serve::driver::{Command, Live};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::{Admission, Detail, EventKind, Offer, ScaleEvent};
use plimsoll::sim::virtual_time::{Patience, Source, run};
use plimsoll::workload::schedule::Arrival;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::{mpsc, oneshot};

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

fn us(us: u64) -> TimeSpan {
    TimeSpan(Nanos::from_micros(us))
}

/// Small endpoints in which every limit is hit: batch, memory, queue, budget, scaling.
fn specs() -> impl Strategy<Value = EndpointSpec> {
    let law = (0_u64..3_000, 0_u64..300, 0_u64..20, 0_u64..400, 0_u64..20_000, prop_oneof![3 => Just(1.0), 1 => 1.0_f64..8.0]);
    let step = law.prop_map(|(a, b, c, d, e, curvature)| StepLaw {
        base: us(a),
        per_sequence: us(b),
        per_prefill_token: us(c),
        per_context_token: TimeSpan(Nanos(d)),
        prefill_growth: TimeSpan(Nanos(e)),
        curvature,
    });
    let limits = (1_u32..200, 1_u32..12, 60_u64..1_500, 0_u32..6, 0_u64..4_000);
    let features =
        (prop_oneof![Just(KvPolicy::Reserve), Just(KvPolicy::Preempt)], 0.0_f64..0.2, prop_oneof![3 => Just(1_u32), 1 => 2_u32..5], 0.0_f64..1.0);
    let chunks = (1_u32..4, 0_u32..3, prop_oneof![Just(Routing::Random), Just(Routing::RoundRobin), Just(Routing::LeastLoaded)], any::<bool>());
    (step, limits, chunks, features).prop_map(|(step, limits, (min, more, routing, by_tokens), (kv_policy, watermark, tokens_per_step, hits))| {
        let (prefill_budget, max_batch, kv_tokens, queue, network) = limits;
        EndpointSpec {
            step,
            kv_policy,
            kv_watermark: Share(watermark),
            tokens_per_step,
            prefix_hit: PrefixHit { requests: Share(hits), prompt: Share(0.5) },
            prefill_budget,
            max_batch,
            kv_tokens,
            queue,
            network: us(network),
            noise: 0.0,
            error_share: Share(0.05),
            chunk: TokenRate(2_000.0),
            min_chunks: min,
            max_chunks: min + more,
            routing,
            autoscaler: Autoscaler {
                metric: if by_tokens { ScaleMetric::Tokens } else { ScaleMetric::Concurrency },
                target: Share(0.5),
                window: TimeSpan::millis(100),
                poll: TimeSpan::millis(30),
                lag: Lag::Lognormal { median: TimeSpan::millis(50), p95: TimeSpan::millis(200) },
                scale_down_delay: TimeSpan::millis(120),
                failure: Share(0.2),
                ..Autoscaler::default()
            },
            ..EndpointSpec::default()
        }
    })
}

/// Arrivals in bursts: many at one instant, then pauses.
fn arrivals() -> impl Strategy<Value = List> {
    prop::collection::vec((prop_oneof![3 => Just(0_u64), 5 => 0_u64..20_000, 1 => 0_u64..300_000], 0_u32..300, 1_u32..60, 0_u32..100), 1..80)
        .prop_map(|rows| {
            let mut at = Nanos::ZERO;
            let rows = rows.into_iter().enumerate().map(|(i, (gap, input_tokens, output_tokens, shared_tokens))| {
                at += Nanos::from_micros(gap);
                Arrival {
                    seq: i as u64,
                    at,
                    phase: Phase::Measure,
                    input_tokens,
                    output_tokens,
                    shared_tokens: shared_tokens.min(input_tokens),
                    prefix_group: 0,
                    session: None,
                    user: None,
                }
            });
            List(rows.collect())
        })
}

/// What a request looks like from outside.
type Seen = (plimsoll::record::outcome::Outcome, Option<Nanos>, Option<Nanos>, Nanos);

fn play(list: &List, spec: &EndpointSpec, detail: Detail, patience: Patience) -> (Vec<RequestRecord>, Vec<ScaleEvent>, f64) {
    let mut endpoint = Endpoint::new(spec, Seed(7), detail);
    let mut records = Vec::new();
    let simulated = run(&mut list.clone(), &mut endpoint, patience, &mut |r| records.push(r.clone()));
    records.sort_by_key(|r| r.seq);
    (records, simulated.scale, simulated.chunk_seconds)
}

fn seen(records: &[RequestRecord]) -> Vec<Seen> {
    // Without tokens a request that was given up shows its first token only.
    records.iter().map(|r| (r.outcome, r.first_token, if r.is_ok() { r.last_token } else { None }, r.closed)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// forall endpoints, arrivals, patience: skipping ahead and token by token give the same requests, scaling and bill, to the nanosecond
    #[test]
    fn skipping_ahead_equals_exact_stepping(spec in specs(), list in arrivals(), total in 1_u64..400, first in 1_u64..400) {
        let patience = Patience { total: Nanos::from_millis(total), first_byte: Nanos::from_millis(first) };
        let (exact, exact_scale, exact_paid) = play(&list, &spec, Detail::Tokens, patience);
        let (skipped, scale, paid) = play(&list, &spec, Detail::Requests, patience);
        prop_assert_eq!(seen(&exact), seen(&skipped));
        prop_assert_eq!(exact_scale, scale);
        prop_assert_eq!(exact_paid, paid);
        for r in exact.iter().filter(|r| r.is_ok()) {
            prop_assert_eq!(r.chunks.iter().map(|c| c.tokens).sum::<u32>(), r.output_asked);
            let gaps: u64 = r.chunks.iter().map(|c| c.gap).sum();
            prop_assert_eq!(Some(r.first_token.unwrap() + Nanos(gaps)), r.last_token);
        }
    }

    /// forall noise: the duration of an iteration depends on its number, not on the driver
    #[test]
    fn noise_does_not_depend_on_the_detail(spec in specs(), list in arrivals(), noise in 0.01_f64..0.5) {
        let spec = EndpointSpec { noise, ..spec };
        let patience = Patience { total: Nanos::from_secs(60), first_byte: Nanos::from_secs(60) };
        prop_assert_eq!(seen(&play(&list, &spec, Detail::Tokens, patience).0), seen(&play(&list, &spec, Detail::Requests, patience).0));
    }

    /// forall lateness of the wake-ups: the live driver delivers every token with the instant that virtual time gives it
    #[test]
    fn live_driver_equals_virtual_time(spec in specs(), list in arrivals(), lateness in prop::collection::vec(0_u64..30_000, 1..50)) {
        let spec = EndpointSpec { noise: 0.1, ..spec };
        let list = List(list.0.into_iter().map(|a| Arrival { shared_tokens: 0, ..a }).collect());
        let patience = Patience { total: Nanos::from_secs(1_000), first_byte: Nanos::from_secs(1_000) };
        let (expected, ..) = play(&list, &spec, Detail::Tokens, patience);
        let live = play_live(&list, &spec, &lateness);
        for r in &expected {
            let mut at = r.first_token.unwrap_or_default();
            let tokens: Vec<Nanos> = r.chunks.iter().map(|c| { at += Nanos(c.gap); at }).collect();
            prop_assert_eq!(&live[&r.seq], &tokens, "request {}", r.seq);
        }
    }

    /// forall single replicas: the replica equals an iteration-by-iteration account of the same rules written out plainly
    #[test]
    fn a_replica_equals_the_rules_written_plainly(spec in specs(), list in arrivals()) {
        let step = StepLaw { prefill_growth: us(0), curvature: 1.0, ..spec.step };
        let spec = EndpointSpec { step, kv_policy: KvPolicy::Reserve, tokens_per_step: 1, prefix_hit: PrefixHit::default(), ..spec };
        let spec = EndpointSpec { min_chunks: 1, max_chunks: 1, network: us(0), error_share: Share(0.0), queue: 10_000, kv_tokens: 1_500, ..spec };
        let list = List(list.0.into_iter().map(|a| Arrival { shared_tokens: 0, ..a }).collect());
        let patience = Patience { total: Nanos::from_secs(100_000), first_byte: Nanos::from_secs(100_000) };
        let (records, ..) = play(&list, &spec, Detail::Requests, patience);
        let found: Vec<(u64, u64)> = records.iter().map(|r| (r.first_token.unwrap().0, r.last_token.unwrap().0)).collect();
        prop_assert_eq!(found, plainly(&list, &spec));
    }
}

/// Feeds a hand-turned clock: commands at the instants of the arrivals, wake-ups late.
fn play_live(list: &List, spec: &EndpointSpec, lateness: &[u64]) -> BTreeMap<u64, Vec<Nanos>> {
    let mut live = Live::new(Endpoint::new(spec, Seed(7), Detail::Tokens));
    let mut open = Vec::new();
    let mut tokens = BTreeMap::new();
    let mut late = lateness.iter().cycle().map(|us| Nanos::from_micros(*us));
    for arrival in &list.0 {
        while let Some(at) = live.next() {
            let turned = at + late.next().unwrap();
            if turned > arrival.at {
                break;
            }
            live.turn(turned);
        }
        let (to, events) = mpsc::unbounded_channel();
        let (answer, mut admission) = oneshot::channel();
        let offer = Offer { id: arrival.seq, input_tokens: arrival.input_tokens, output_tokens: arrival.output_tokens, cached_tokens: 0 };
        live.apply(arrival.at, Command::Open { offer, choice: 0, to, answer });
        let accepted = admission.try_recv() == Ok(Admission::Accepted);
        tokens.insert(arrival.seq, Vec::new());
        open.extend(accepted.then_some((arrival.seq, events)));
    }
    // Without arrivals the autoscaler turns for ever: stop when nobody is open.
    loop {
        open.retain_mut(|(seq, events)| {
            while let Ok(delivery) = events.try_recv() {
                if delivery.kind == EventKind::Done {
                    return false;
                }
                tokens.get_mut(seq).unwrap().push(delivery.at);
            }
            true
        });
        if open.is_empty() {
            break;
        }
        let at = live.next().expect("open requests have a next instant");
        live.turn(at + late.next().unwrap());
    }
    tokens
}

/// First and last token of each request: one loop turn an iteration, nothing clever.
fn plainly(list: &List, spec: &EndpointSpec) -> Vec<(u64, u64)> {
    struct Job {
        at: u64,
        prompt_left: u64,
        input: u64,
        output: u64,
        made: u64,
        first: u64,
        last: u64,
        admitted: bool,
    }
    let ns = |span: TimeSpan| span.nanos().0;
    let mut jobs: Vec<Job> = list
        .0
        .iter()
        .map(|a| {
            let input = u64::from(a.input_tokens);
            Job { at: a.at.0, prompt_left: input.max(1), input, output: u64::from(a.output_tokens), made: 0, first: 0, last: 0, admitted: false }
        })
        .collect();
    let mut now = 0;
    while jobs.iter().any(|j| j.made < j.output) {
        let mut running = jobs.iter().filter(|j| j.admitted && j.made < j.output).count();
        let mut reserved: u64 = jobs.iter().filter(|j| j.admitted && j.made < j.output).map(|j| j.input + j.output).sum();
        for j in jobs.iter_mut().filter(|j| !j.admitted) {
            if j.at > now || running >= spec.max_batch as usize || reserved + j.input + j.output > spec.kv_tokens {
                break;
            }
            j.admitted = true;
            running += 1;
            reserved += j.input + j.output;
        }
        if running == 0 {
            now = jobs.iter().filter(|j| !j.admitted).map(|j| j.at).min().unwrap();
            continue;
        }
        let decoding: Vec<usize> = (0..jobs.len()).filter(|&i| jobs[i].made > 0 && jobs[i].made < jobs[i].output).collect();
        let batch = decoding.len() as u64;
        let context: u64 = decoding.iter().map(|&i| jobs[i].input + jobs[i].made).sum();
        let mut budget = u64::from(spec.prefill_budget).saturating_sub(batch);
        let mut prefill = 0;
        let mut begun = Vec::new();
        for (i, j) in jobs.iter_mut().enumerate().filter(|(_, j)| j.admitted && j.made == 0) {
            let take = budget.min(j.prompt_left);
            j.prompt_left -= take;
            budget -= take;
            prefill += take;
            if j.prompt_left == 0 && take > 0 {
                begun.push(i);
            }
        }
        let step = spec.step;
        let duration = ns(step.base) + ns(step.per_sequence) * batch + ns(step.per_prefill_token) * prefill + ns(step.per_context_token) * context;
        now += duration.max(1);
        for i in decoding.into_iter().chain(begun) {
            let j = &mut jobs[i];
            j.made += 1;
            j.last = now;
            if j.made == 1 {
                j.first = now;
            }
        }
    }
    jobs.into_iter().map(|j| (j.first, j.last)).collect()
}
