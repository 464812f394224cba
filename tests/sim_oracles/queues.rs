//! Stationary queues with a closed form, and the simulator in their place: one row a quantity, with the standard error of the simulation.

use super::batches::{Batches, Estimate};
use super::lengths::Lengths;
use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::TimeSpan;
use plimsoll::scenario::endpoint::{EndpointSpec, Routing, StepLaw};
use plimsoll::sim::bulk::{self, Ended, Job};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::virtual_time::Patience;
use rand::RngExt;

/// A closed form beside its simulation.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The queue.
    pub(crate) queue: String,
    /// What is compared.
    pub(crate) quantity: &'static str,
    /// Utilisation, or offered load in servers where there is no bound.
    pub(crate) load: f64,
    /// By the formula.
    pub(crate) closed: f64,
    /// By the simulator.
    pub(crate) simulated: f64,
    /// Of the simulation, by the means of batches.
    pub(crate) standard_error: f64,
    /// What the formula leaves out, relative to it: zero where it is exact for the simulator's rules.
    pub(crate) remainder: f64,
}

impl Row {
    /// Difference in standard errors, after the remainder.
    pub(crate) fn sigmas(&self) -> f64 {
        let beyond = ((self.simulated - self.closed).abs() - self.remainder * self.closed).max(0.0);
        if beyond == 0.0 { 0.0 } else { beyond / self.standard_error }
    }

    /// Difference relative to the closed form.
    pub(crate) fn relative(&self) -> f64 {
        self.simulated / self.closed - 1.0
    }
}

/// The three utilisations, and how many times as many requests each needs for a like relative error.
const LOADS: [(f64, u32); 3] = [(0.5, 4), (0.7, 6), (0.9, 15)];

const FOREVER: Patience = Patience { total: Nanos(u64::MAX / 4), first_byte: Nanos(u64::MAX / 4) };

/// One chunk without noise, network, bounds of queue and memory; coefficients in nanoseconds.
fn chunk(base: u64, per_sequence: u64, per_prefill_token: u64, max_batch: u32) -> EndpointSpec {
    let ns = |n| TimeSpan(Nanos(n));
    EndpointSpec {
        step: StepLaw {
            base: ns(base),
            per_sequence: ns(per_sequence),
            per_prefill_token: ns(per_prefill_token),
            per_context_token: ns(0),
            ..StepLaw::default()
        },
        max_batch,
        noise: 0.0,
        network: ns(0),
        queue: 8_000_000,
        kv_tokens: u64::MAX / 4,
        prefill_budget: 1_000_000_000,
        ..EndpointSpec::default()
    }
}

/// Runs `n` Poisson arrivals at `rate` per second with prompts of `input` tokens; the first twentieth is left out. Each request gives
/// `values` of (end, output tokens); the answer is mean and standard error of each.
fn play<const V: usize>(
    spec: &EndpointSpec,
    (rate, input, lengths): (f64, u32, Lengths),
    (n, seed): (u32, u64),
    values: impl Fn(&Ended, u32) -> [f64; V],
) -> [Estimate; V] {
    let mut gaps = Seed(seed).stream("gaps");
    let mut draws = Seed(seed).stream("lengths");
    let mut at = 0.0;
    let outputs: Vec<u32> = (0..n).map(|_| lengths.draw(&mut draws)).collect();
    let jobs = outputs.iter().map(|output| {
        at -= (1.0 - gaps.random::<f64>()).ln() / rate;
        Job { at: Nanos::from_secs_f64(at).0, input, output: *output, cached: 0 }
    });
    let skipped = n / 20;
    let mut batches = Batches::new(n - skipped);
    bulk::run(jobs, &mut Endpoint::new(spec, Seed(seed), Detail::Requests), FOREVER, None, &mut |ended| {
        if let Some(place) = ended.job.checked_sub(skipped) {
            let output = outputs[ended.job as usize];
            batches.add(place, ended.at, output, values(ended, output));
        }
        true
    });
    batches.estimates(1.0 / rate, lengths.moments())
}

fn seconds(from: u64, to: u64) -> f64 {
    (to - from) as f64 / 1e9
}

/// Batch 1 and b = c = d = 0: a request is served for a times its tokens, from the instant it comes or the one before it ends. Pollaczek and
/// Khinchine: W = lambda E[S^2] / (2 (1 - rho)). Exact, for M/D/1 as for the others.
pub(crate) fn pollaczek_khinchine(n: u32) -> Vec<Row> {
    let a = 10_000;
    let mut rows = Vec::new();
    for (name, lengths) in Lengths::SHAPES {
        for ((load, times), seed) in LOADS.into_iter().zip(11..) {
            let (mean, square) = lengths.moments();
            let service = a as f64 * 1e-9;
            let rate = load / (mean * service);
            let [(simulated, standard_error)] =
                play(&chunk(a, 0, 0, 1), (rate, 1, lengths), (n * times, seed), |e, output| [seconds(e.at, e.last) - service * f64::from(output)]);
            let closed = rate * square * service * service / (2.0 * (1.0 - load));
            let queue = format!("M/G/1, {name}");
            rows.push(Row { queue, quantity: "mean wait, s", load, closed, simulated, standard_error, remainder: 0.0 });
        }
    }
    rows
}

/// Erlang's probability of waiting for c servers and `erlangs` offered.
fn erlang_c(c: u32, erlangs: f64) -> f64 {
    let blocking = (1..=c).fold(1.0, |b, k| erlangs * b / (f64::from(k) + erlangs * b));
    blocking / (1.0 - erlangs / f64::from(c) * (1.0 - blocking))
}

/// Batch c, b = c = d = 0, geometric outputs of mean m: M/M/c, up to the boundaries of iterations. Who comes while 0 < N < c sequences run
/// waits for the boundary, which is uniform over the iteration: a / 2 on average with probability 1 - C - P(0), which is taken off. Such a
/// place is kept for a / 2 longer than it is used, so that rho is larger by 1 / (2 m) at most, and W, which goes as 1 / (1 - rho), by
/// 1 / (2 m (1 - rho)); a geometric length is an exponential one to 1 / m. Both are in the remainder.
pub(crate) fn erlang(n: u32) -> Vec<Row> {
    let (a, m, c) = (1_000_u64, 20_000.0, 8_u32);
    let lengths = Lengths::Geometric(m);
    let mut rows = Vec::new();
    for ((load, times), seed) in LOADS.into_iter().zip(21..) {
        let iteration = a as f64 * 1e-9;
        let mu = 1.0 / (iteration * m);
        let rate = load * f64::from(c) * mu;
        let erlangs = rate / mu;
        let waits = erlang_c(c, erlangs);
        let spare = f64::from(c) * mu - rate;
        // P(0) of M/M/c: the sum of a^k / k! below c, and the geometric rest.
        let terms: Vec<f64> = (0..=c)
            .scan(1.0, |term, k| {
                let now = *term;
                *term *= erlangs / f64::from(k + 1);
                Some(now)
            })
            .collect();
        let idle = 1.0 / (terms[..c as usize].iter().sum::<f64>() + terms[c as usize] / (1.0 - load));
        let aligned = iteration / 2.0 * (1.0 - waits - idle);
        let long = 1.0 / spare;
        let [(mean, mean_error), (share, share_error)] = play(&chunk(a, 0, 0, c), (rate, 1, lengths), (n * times, seed), |e, _| {
            let wait = seconds(e.at, e.first) - iteration;
            [wait - aligned, f64::from(u8::from(wait > long))]
        });
        let remainder = (1.0 / m + 1.0 / (2.0 * m)) / (1.0 - load);
        let row = |quantity, closed, simulated, standard_error| Row {
            queue: "M/M/8".to_owned(),
            quantity,
            load,
            closed,
            simulated,
            standard_error,
            remainder,
        };
        rows.push(row("mean wait, s", waits / spare, mean, mean_error));
        rows.push(row("P(wait > 1 / (c mu - lambda))", waits * (-spare * long).exp(), share, share_error));
    }
    rows
}

/// Law of an iteration with k requests in it: a + b k, with c p = b for prompts of one token, so that a prompt counts like a sequence. Every
/// request is in as many iterations as it has tokens.
///
/// pi(k) ~ prod over i <= k of lambda E[o] (a + b i) / i, whatever the distribution of o (Kelly: a symmetric queue); with a = 0 that is
/// M/G/1-PS, with b = 0 M/G/infinity. By Little T = L / lambda, and who comes while k > 0 waits for the boundary first, (a + b k) / 2 on
/// average. Whole iterations in place of a fluid change the rest by 1 / E[o] relative.
struct Sharing {
    a: u64,
    b: u64,
    mean_tokens: f64,
    rate: f64,
    /// pi(k).
    occupancy: Vec<f64>,
}

impl Sharing {
    fn new(a: u64, b: u64, mean_tokens: f64, rate: f64) -> Self {
        let tokens = rate * mean_tokens * 1e-9;
        // Relative to the largest term, so that nothing overflows.
        let mut log = vec![0.0_f64];
        for i in 1..200_000_u32 {
            let next = log[i as usize - 1] + (tokens * (a as f64 + b as f64 * f64::from(i)) / f64::from(i)).ln();
            log.push(next);
            if next < log.iter().copied().fold(f64::MIN, f64::max) - 60.0 {
                break;
            }
        }
        let top = log.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = log.iter().map(|l| (l - top).exp()).sum();
        Self { a, b, mean_tokens, rate, occupancy: log.iter().map(|l| (l - top).exp() / sum).collect() }
    }

    fn mean(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.occupancy.iter().zip(0_u32..).map(|(p, k)| p * of(f64::from(k))).sum()
    }

    fn sojourn_s(&self) -> f64 {
        let iteration = |k: f64| (self.a as f64 + self.b as f64 * k) * 1e-9;
        self.mean(|k| k) / self.rate + self.mean(|k| if k > 0.0 { iteration(k) / 2.0 } else { 0.0 })
    }

    fn row(&self, (queue, load): (String, f64), lengths: Lengths, (n, seed): (u32, u64)) -> Row {
        let spec = chunk(self.a, self.b, self.b, 4_000_000);
        let [(simulated, standard_error)] = play(&spec, (self.rate, 1, lengths), (n, seed), |e, _| [seconds(e.at, e.last)]);
        Row {
            queue,
            quantity: "mean time in system, s",
            load,
            closed: self.sojourn_s(),
            simulated,
            standard_error,
            remainder: 1.0 / self.mean_tokens,
        }
    }
}

/// a = 0: each of k shares the chunk. E[T] = E[x] / (1 - rho), the same for four distributions.
pub(crate) fn processor_sharing(n: u32) -> Vec<Row> {
    let b = 1_000;
    let mut rows = Vec::new();
    for (name, lengths) in Lengths::SHAPES {
        for ((load, times), seed) in LOADS.into_iter().zip(31..) {
            let (mean, _) = lengths.moments();
            let rate = load / (mean * b as f64 * 1e-9);
            rows.push(Sharing::new(0, b, mean, rate).row((format!("M/G/1-PS, {name}"), load), lengths, (n * times, seed)));
        }
    }
    rows
}

/// a > 0 and b > 0: an iteration of ten sequences takes twice as long as an empty one.
pub(crate) fn state_dependent_sharing(n: u32) -> Vec<Row> {
    let (a, b) = (10_000, 1_000);
    let mut rows = Vec::new();
    for (name, lengths) in Lengths::SHAPES {
        for ((load, times), seed) in LOADS.into_iter().zip(41..) {
            let (mean, _) = lengths.moments();
            let rate = load / (mean * b as f64 * 1e-9);
            rows.push(Sharing::new(a, b, mean, rate).row((format!("state-dependent PS, {name}"), load), lengths, (n * times, seed)));
        }
    }
    rows
}

/// b = 0: nobody slows anybody. The number found by arrivals is Poisson(lambda E[S]) whatever the distribution, with S the time in the system.
pub(crate) fn no_interference(n: u32) -> Vec<Row> {
    let a = 10_000;
    let mut rows = Vec::new();
    for (name, lengths) in Lengths::SHAPES {
        for (load, seed) in [2.0, 8.0, 30.0].into_iter().zip(51..) {
            let (mean, _) = lengths.moments();
            let rate = load / (mean * a as f64 * 1e-9);
            let sharing = Sharing::new(a, 0, mean, rate);
            rows.push(sharing.row((format!("M/G/inf, {name}"), load), lengths, (n, seed)));
        }
    }
    for (load, seed) in [2, 8, 30].into_iter().zip(61..) {
        rows.extend(occupancy(a, load, (5 * n, seed)));
    }
    rows
}

/// Mean, and the share of arrivals that find fewer than the offered load in the system, against Poisson(load).
fn occupancy(a: u64, servers: u32, (n, seed): (u32, u64)) -> [Row; 2] {
    let load = f64::from(servers);
    let lengths = Lengths::SHAPES[2].1;
    let (mean, _) = lengths.moments();
    let rate = load / (mean * a as f64 * 1e-9);
    let mut spans = vec![(0, 0, 0); n as usize];
    let mut gaps = Seed(seed).stream("gaps");
    let mut draws = Seed(seed).stream("lengths");
    let mut at = 0.0;
    let outputs: Vec<u32> = (0..n).map(|_| lengths.draw(&mut draws)).collect();
    let jobs = outputs.iter().map(|output| {
        at -= (1.0 - gaps.random::<f64>()).ln() / rate;
        Job { at: Nanos::from_secs_f64(at).0, input: 1, output: *output, cached: 0 }
    });
    bulk::run(jobs, &mut Endpoint::new(&chunk(a, 0, 0, 4_000_000), Seed(seed), Detail::Requests), FOREVER, None, &mut |e| {
        spans[e.job as usize] = (e.at, e.last, outputs[e.job as usize]);
        true
    });
    let mut ends: Vec<u64> = spans.iter().map(|s| s.1).collect();
    ends.sort_unstable();
    let skipped = n / 20;
    let (mut batches, mut over) = (Batches::new(n - skipped), 0);
    for ((begin, _, output), i) in spans.into_iter().zip(0_u32..) {
        while ends[over] <= begin {
            over += 1;
        }
        if let Some(place) = i.checked_sub(skipped) {
            let found = f64::from(i) - over as f64;
            batches.add(place, begin, output, [found, f64::from(u8::from(found < load))]);
        }
    }
    let [mean_found, below] = batches.estimates(1.0 / rate, lengths.moments());
    let poisson_below: f64 = (0..servers)
        .scan((-load).exp(), |p, k| {
            let now = *p;
            *p *= load / f64::from(k + 1);
            Some(now)
        })
        .sum();
    // The wait for the boundary lengthens a stay by 1 / (2 E[o]); the share below the mean falls by about sqrt(load / 2 pi) / (2 E[o]).
    let row = |quantity, closed, (simulated, standard_error)| Row {
        queue: "M/G/inf, bimodal".to_owned(),
        quantity,
        load,
        closed,
        simulated,
        standard_error,
        remainder: (1.0 + load.sqrt()) / (2.0 * mean),
    };
    [row("mean number found", load, mean_found), row("P(number found < load)", poisson_below, below)]
}

/// Large a: many sequences at once. An iteration takes a + work, and as much work goes out as comes in, so that over iterations the mean is
/// t = a / (1 - rho) exactly, rho = lambda (b E[o] + c p + d E[o p + o^2 / 2]). A request sees the mean over tokens, in which iterations with
/// more sequences count more: with c = d = 0 that is (a + b) / (1 - rho) (the mean of pi), b / a more. The remainder is twice that, with the
/// work of a token in place of b.
pub(crate) fn mean_field(n: u32) -> Vec<Row> {
    let (a, b, c, d) = (2_000_000_u64, 2_000_u64, 1_000_u64, 5_u64);
    let (p, o) = (500_u32, 200_u32);
    let (pf, of) = (f64::from(p), f64::from(o));
    let work = (b as f64 * of + c as f64 * pf + d as f64 * (of * pf + of * of / 2.0)) * 1e-9;
    let mut spec = chunk(a, b, c, 4_000_000);
    spec.step.per_context_token = TimeSpan(Nanos(d));
    let mut rows = Vec::new();
    // Hundreds of requests are in the system, and it forgets within as many over (1 - rho): the warm-up needs that many.
    for ((load, times), seed) in [(0.3, 8), (0.5, 16), (0.7, 48)].into_iter().zip(71..) {
        let [(simulated, standard_error)] =
            play(&spec, (load / work, p, Lengths::Fixed(o)), (n * times, seed), |e, output| [seconds(e.first, e.last) / f64::from(output - 1)]);
        let closed = a as f64 * 1e-9 / (1.0 - load);
        let remainder = 2.0 * work / of / (a as f64 * 1e-9);
        rows.push(Row { queue: "mean field".to_owned(), quantity: "mean TPOT, s", load, closed, simulated, standard_error, remainder });
    }
    rows
}

/// Replicas of batch 1 behind each balancer, geometric outputs: random is M/M/1 a replica; round robin gives each every k-th arrival, E_k/M/1
/// with the root s of s = (lambda / (lambda + mu (1 - s)))^k, lambda the whole rate; the better of two has, for many replicas,
/// E[T] = (1 / mu) sum over i >= 1 of rho^(2^i - 2) (Mitzenmacher; Vvedenskaya et al.), with a remainder of the order of 1 / replicas.
pub(crate) fn balancers(n: u32) -> Vec<Row> {
    let (a, m) = (10_000_u64, 2000.0);
    let service = a as f64 * 1e-9 * m;
    let mut rows = Vec::new();
    for ((load, times), seed) in LOADS.into_iter().zip(81..) {
        let round_robin = |k: i32| {
            let mut s = load;
            (0..10_000).for_each(|_| s = (f64::from(k) * load / (f64::from(k) * load + 1.0 - s)).powi(k));
            service / (1.0 - s)
        };
        let two: f64 = (1..12).map(|i| load.powi((1 << i) - 2)).sum::<f64>() * service;
        for (name, routing, replicas, closed, remainder) in [
            ("random, 4 replicas", Routing::Random, 4_u32, service / (1.0 - load), 1.0 / m),
            ("round robin, 4 replicas", Routing::RoundRobin, 4, round_robin(4), 2.0 / m / (1.0 - load)),
            ("power of two, 400 replicas", Routing::PowerOfTwo, 400, two, 1.0 / 400.0 / (1.0 - load)),
        ] {
            let spec = EndpointSpec { routing, min_chunks: replicas, max_chunks: replicas, ..chunk(a, 0, 0, 1) };
            let rate = load * f64::from(replicas) / service;
            let [(simulated, standard_error)] = play(&spec, (rate, 1, Lengths::Geometric(m)), (n * times, seed), |e, _| [seconds(e.at, e.last)]);
            rows.push(Row { queue: name.to_owned(), quantity: "mean time in system, s", load, closed, simulated, standard_error, remainder });
        }
    }
    rows
}
