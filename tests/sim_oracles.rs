//! The simulator against closed forms: the queues of `sim_oracles/`, Little, token conservation, the ramp of a slow autoscaler.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of a test are small and positive")]

#[path = "sim_oracles/batches.rs"]
mod batches;
#[path = "sim_oracles/fluid.rs"]
mod fluid;
#[path = "sim_oracles/lengths.rs"]
mod lengths;
#[path = "sim_oracles/queues.rs"]
mod queues;

use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Share, TimeSpan, TokenRate};
use plimsoll::record::outcome::Outcome;
use plimsoll::record::request::{Phase, RequestRecord};
use plimsoll::scenario::endpoint::{Autoscaler, EndpointSpec, Lag, Routing, StepLaw};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::virtual_time::{Patience, Simulated, Source, run};
use plimsoll::workload::schedule::Arrival;
use queues::Row;
use rand::RngExt;
use std::collections::VecDeque;

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

fn list(items: impl Iterator<Item = (Nanos, u32, u32)>) -> List {
    List(
        items
            .enumerate()
            .map(|(i, (at, input_tokens, output_tokens))| Arrival {
                seq: i as u64,
                at,
                phase: Phase::Measure,
                input_tokens,
                output_tokens,
                shared_tokens: 0,
                prefix_group: 0,
                session: None,
                user: None,
            })
            .collect(),
    )
}

const PATIENT: Patience = Patience { total: Nanos::from_secs(1_000_000), first_byte: Nanos::from_secs(1_000_000) };

fn play(mut source: List, spec: &EndpointSpec) -> (Vec<RequestRecord>, Simulated) {
    let mut records = Vec::new();
    let mut endpoint = Endpoint::new(spec, Seed(1), Detail::Requests);
    let simulated = run(&mut source, &mut endpoint, PATIENT, &mut |r| records.push(r.clone()));
    (records, simulated)
}

fn us(us: u64) -> TimeSpan {
    TimeSpan(Nanos::from_micros(us))
}

/// One chunk without noise, network, queue bound or memory bound.
fn plain(step: StepLaw, max_batch: u32) -> EndpointSpec {
    EndpointSpec {
        step,
        max_batch,
        noise: 0.0,
        network: us(0),
        queue: 10_000_000,
        kv_tokens: u64::MAX / 4,
        prefill_budget: 1_000_000,
        ..EndpointSpec::default()
    }
}

/// Poisson instants at `rate` per second.
fn poisson(rate: f64, n: usize, seed: u64) -> impl Iterator<Item = Nanos> {
    let mut stream = Seed(seed).stream("test-arrivals");
    let mut t = 0.0;
    (0..n).map(move |_| {
        t += -(1.0 - stream.random::<f64>()).ln() / rate;
        Nanos::from_secs_f64(t)
    })
}

/// Geometric on 1, 2, … with this mean.
fn geometric(mean: f64, n: usize, seed: u64) -> impl Iterator<Item = u32> {
    let mut stream = Seed(seed).stream("test-lengths");
    let scale = (1.0 - 1.0 / mean).ln();
    (0..n).map(move |_| ((1.0 - stream.random::<f64>()).ln() / scale).ceil().max(1.0) as u32)
}

/// Requests of the smallest run of a family.
const N: u32 = 4_000;

/// Every row of a family within three standard errors, after what its formula is known to leave out. The same rows with many more requests, and
/// 1 % as the bound, are `cargo bench --bench oracles`.
fn hold(rows: &[Row]) {
    for row in rows {
        let place = format!("{}, {} at {}: {:.2} standard errors off", row.queue, row.quantity, row.load, row.sigmas());
        assert!(row.sigmas() <= 3.0 && row.standard_error < 0.4 * row.closed, "{place}: {row:?}");
    }
}

#[test]
fn batch_one_is_m_g_1() {
    hold(&queues::pollaczek_khinchine(N));
}

#[test]
fn batch_c_and_geometric_lengths_is_m_m_c() {
    hold(&queues::erlang(N));
}

#[test]
fn sharing_is_insensitive_to_the_distribution() {
    hold(&queues::processor_sharing(N));
}

#[test]
fn an_iteration_that_grows_is_state_dependent_sharing() {
    hold(&queues::state_dependent_sharing(N));
}

#[test]
fn without_interference_the_occupancy_is_poisson() {
    hold(&queues::no_interference(N));
}

#[test]
fn tpot_follows_the_mean_field() {
    hold(&queues::mean_field(N));
}

#[test]
fn balancers_follow_their_queues() {
    hold(&queues::balancers(N));
}

#[test]
fn backlogs_of_ramps_and_steps_are_those_of_a_fluid() {
    let rows = [fluid::ramp(), fluid::step()].concat();
    hold(&rows);
    assert!(rows.iter().all(|row| row.relative().abs() < 0.01), "{rows:#?}");
}

/// forall runs: every request gets its tokens, none is lost, and L = lambda T over the whole run.
#[test]
fn tokens_are_conserved_and_little_holds() {
    for routing in [Routing::Random, Routing::RoundRobin, Routing::LeastLoaded, Routing::PowerOfTwo] {
        let spec = EndpointSpec { min_chunks: 3, max_chunks: 3, routing, ..EndpointSpec::default() };
        let n = 5_000;
        let source = list(poisson(12.0, n, 8).zip(geometric(150.0, n, 9)).map(|(at, o)| (at, 300, o)));
        let asked: u64 = source.0.iter().map(|a| u64::from(a.output_tokens)).sum();
        let (records, simulated) = play(source, &spec);
        assert_eq!(simulated.requests, n as u64);
        assert!(records.iter().all(|r| r.outcome == Outcome::Ok && r.output_tokens == r.output_asked));
        assert_eq!(records.iter().map(|r| u64::from(r.output_tokens)).sum::<u64>(), asked);
        // L by counting at every change, T from the records: two ways to one number.
        let mut changes: Vec<(Nanos, i64)> = records.iter().flat_map(|r| [(r.intended, 1), (r.closed, -1)]).collect();
        changes.sort_unstable();
        let (mut area, mut open, mut last) = (0.0, 0, Nanos::ZERO);
        for (at, change) in changes {
            area += open as f64 * at.since(last).as_secs_f64();
            open += change;
            last = at;
        }
        let sojourn: f64 = records.iter().map(|r| r.closed.since(r.intended).as_secs_f64()).sum();
        assert!((area / sojourn - 1.0).abs() < 1e-9 && open == 0);
        assert!((simulated.chunk_seconds / (3.0 * simulated.end.as_secs_f64()) - 1.0).abs() < 1e-12);
    }
}

/// A load that grows by r from below u mu, capacity mu a chunk, delay D_eff = W/2 + T + D: no backlog if (1 - u) mu >= r D_eff, and
/// a backlog of r (t2 - t1)^2 / 2 if it is much less.
#[test]
fn a_slow_autoscaler_needs_the_headroom_of_the_ramp() {
    let (mu, target, window, poll, lag) = (1000.0, 0.5, 20.0, 5.0, 100.0);
    let delay = window / 2.0 + poll + lag;
    // 10 tokens a request (5 in, 5 out), served in 10 ms: 1,000 tok/s.
    let step = StepLaw { base: us(2000), per_sequence: us(0), per_prefill_token: us(0), per_context_token: us(0), ..StepLaw::default() };
    let spec = EndpointSpec {
        chunk: TokenRate(mu),
        min_chunks: 1,
        max_chunks: 2,
        autoscaler: Autoscaler {
            target: Share(target),
            window: TimeSpan::secs(20),
            poll: TimeSpan::secs(5),
            lag: Lag::Fixed(TimeSpan::secs(100)),
            ..Autoscaler::default()
        },
        ..plain(step, 1)
    };
    let worst_wait = |growth: f64| {
        // Tokens so far: 300 t + growth t^2 / 2, up to 1,900 tok/s; a request whenever another 10 are due.
        let end = 1600.0 / growth;
        let total = 300.0 * end + growth * end * end / 2.0;
        let requests = (total / 10.0) as u32;
        let at = |k: u32| (-300.0 + (300.0_f64.powi(2) + 2.0 * growth * 10.0 * f64::from(k)).sqrt()) / growth;
        let (records, simulated) = play(list((0..requests).map(|k| (Nanos::from_secs_f64(at(k)), 5, 5))), &spec);
        let waited = records.iter().map(|r| r.e2e().as_secs_f64() - 0.010).fold(0.0, f64::max);
        let served = simulated.scale.iter().find(|e| e.ready == 2).unwrap().at.as_secs_f64();
        (waited, served)
    };
    let critical = (1.0 - target) * mu / delay;
    let (calm, _) = worst_wait(critical);
    assert!(calm < 0.02, "waited {calm} s although the headroom covers the delay");
    let fast = 2.0 * critical;
    let (late, served) = worst_wait(fast);
    let overload_at = (mu - 300.0) / fast;
    let backlog = fast * (served - overload_at).powi(2) / 2.0;
    // The last of the backlog waits for all before it, at mu.
    assert!((late / (backlog / mu) - 1.0).abs() < 0.15, "waited {late} s, the fluid says {} s", backlog / mu);
}
