//! `Plateau`: what one window of steady load says: where its warm-up ends, whether it was steady, and each objective with its standard error.

use super::slo::METRICS;
use crate::base::stats::output::{Ratio, Trend, controlled_ratio, memory, mser5, ratio_of_batches, trend};
use crate::base::stats::sample::{mean_variance, quantile_sorted, sort};
use crate::base::time::Nanos;
use crate::record::request::RequestRecord;
use crate::scenario::slo::{Metric, Slo, Term};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Instants at which the series of a window are looked at.
const CELLS: usize = 600;
/// Batches of a plateau: at least, at most (Schmeiser 1982: more than 30 gain nothing), and the memories that one should hold.
const BATCHES: (f64, f64, f64) = (6.0, 30.0, 4.0);
/// Batches of the test for drift: at least, at most, and the memories that one should hold.
const TREND_BATCHES: (f64, f64, f64) = (4.0, 10.0, 5.0);
/// A plateau shorter than this many relaxation times says too little of its own steadiness.
const MEMORIES_NEEDED: f64 = 8.0;
/// In-flight that grows by more than this share of the arrivals is a load that is not carried.
const GROWTH: f64 = 0.03;
/// A drift of less than this share of the mean in flight does no harm.
const DRIFT: f64 = 0.3;
/// A rise of more than this share of the arrivals (and of [`DRIFT`] of the mean) is not steady although noise may hide how sure it is.
const LARGE: f64 = 0.1;
/// Little's law may be off by this share, and by the edges of the window.
const LITTLE: f64 = 0.05;

/// Whether the endpoint had settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Steadiness {
    /// Requests in flight stay about the same.
    Steady,
    /// Requests in flight drift, or the window is too short beside the relaxation time to tell.
    Unsteady,
    /// Requests in flight grow with time: more arrives than is served. Not carried.
    Overloaded,
}

/// An objective as a share of misses that is allowed: TTFT p95 <= 800 ms allows 5 % of the requests to take longer.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// As a person says it.
    pub text: String,
    /// Share of misses allowed, 0 to 1.
    pub allowed: f64,
    rule: Rule,
}

/// What a miss is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Latency(Term),
    Errors,
    Goodput,
}

/// The objectives of `slo` as targets, in the order of [`super::slo::Judge::objectives`].
#[must_use]
pub fn targets(slo: &Slo) -> Vec<Target> {
    let latency = slo.terms().map(|term| Target {
        text: format!("{} {} <= {}", term.metric.label(), term.percentile, term.bound.nanos()),
        allowed: 1.0 - term.percentile.quantile(),
        rule: Rule::Latency(term),
    });
    let errors = slo.errors.map(|bound| Target { text: format!("errors <= {bound}"), allowed: bound.0, rule: Rule::Errors });
    let goodput = slo.goodput.map(|bound| Target { text: format!("goodput >= {bound}"), allowed: 1.0 - bound.0, rule: Rule::Goodput });
    latency.chain(errors).chain(goodput).collect()
}

/// The misses of one objective over a plateau.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Misses {
    /// Requests (ITL: tokens) that missed it, corrected for the lengths and the number of requests that chance brought.
    pub missed: f64,
    /// Requests (ITL: tokens) that it speaks of.
    pub asked: f64,
    /// Standard error of `missed / asked`, by batch means; infinite values are written as 1.
    pub error: f64,
    /// The same without control variates.
    pub plain_error: f64,
    /// Degrees of freedom of the standard error.
    pub df: f64,
}

/// A percentile of a plateau with its standard error, milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantile {
    /// `ttft p95`.
    pub name: String,
    /// Over the whole plateau.
    pub value_ms: f64,
    /// By the spread of the same percentile over batches; 0 when there are too few values.
    pub error_ms: f64,
}

/// What one window of steady load says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plateau {
    /// Where it begins, seconds from load start: behind the warm-up.
    pub start_s: f64,
    /// Where it ends: before the answers that came under a load that was already falling.
    pub end_s: f64,
    /// Requests due in it.
    pub requests: u64,
    /// Requests sent by the whole load, warm-up included.
    pub spent: u64,
    /// Relaxation time in seconds: integrated autocorrelation time of the requests in flight and of the time to first token, at least half of the
    /// mean time that a request takes.
    pub relaxation_s: f64,
    /// N: time-average of requests in flight.
    pub in_flight: f64,
    /// X: requests sent per second.
    pub rate: f64,
    /// R: mean time from sending to the end, seconds.
    pub residence_s: f64,
    /// N / (X R): 1 by Little's law, up to the edges of the window.
    pub little: f64,
    /// Whether `little` is as near to 1 as the edges allow.
    pub little_holds: bool,
    /// Growth of the requests in flight over the plateau.
    pub rise: f64,
    /// Whether the endpoint had settled.
    pub steadiness: Steadiness,
    /// Output tokens of the requests sent in it, per second.
    pub output_tok_s: f64,
    /// Input and output tokens of the requests sent in it, per second.
    pub total_tok_s: f64,
    /// Each objective.
    pub misses: Vec<Misses>,
    /// Percentiles for the curve.
    pub quantiles: Vec<Quantile>,
}

/// A percentile of the curve: its name, the quantile, and of what.
type Shown = (&'static str, f64, fn(&Seen) -> f64);

/// What is kept of a request.
#[derive(Clone, Copy, Debug)]
struct Seen {
    due: f64,
    sent: f64,
    closed: f64,
    was_sent: bool,
    ttft: f64,
    e2e: f64,
    input: u32,
    output: u32,
    input_asked: u32,
    output_asked: u32,
}

/// What the schedule offers, known before the first request: the control variates of the misses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer {
    /// Requests per second of an open loop; `None` for closed loops, whose rate the endpoint decides.
    pub rate: Option<f64>,
    /// Mean input tokens of a request.
    pub input: f64,
    /// Mean output tokens of a request.
    pub output: f64,
}

/// Takes the records of one load, in any order, and makes a [`Plateau`] of them.
#[derive(Clone, Debug)]
pub struct Collector {
    targets: Vec<Target>,
    bounds: [Option<Nanos>; 4],
    seen: Vec<Seen>,
    /// Missed and asked, `targets.len()` a request.
    marks: Vec<(f32, f32)>,
}

impl Collector {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(slo: &Slo) -> Self {
        let bounds = METRICS.map(|m| slo.request_bound(m).map(crate::base::units::TimeSpan::nanos));
        Self { targets: targets(slo), bounds, seen: Vec::new(), marks: Vec::new() }
    }

    /// Takes one record.
    pub fn observe(&mut self, r: &RequestRecord) {
        let ok = r.is_ok();
        let sent = r.sent.unwrap_or(r.intended);
        self.seen.push(Seen {
            due: r.intended.as_secs_f64(),
            sent: sent.as_secs_f64(),
            closed: r.closed.max(sent).as_secs_f64(),
            was_sent: r.sent.is_some(),
            ttft: r.ttft().filter(|_| ok).map_or(f64::INFINITY, Nanos::as_secs_f64),
            e2e: if ok { r.e2e().as_secs_f64() } else { f64::INFINITY },
            input: r.input_tokens,
            output: r.output_tokens,
            input_asked: r.input_asked,
            output_asked: r.output_asked,
        });
        for target in &self.targets {
            self.marks.push(mark(target.rule, &self.bounds, r));
        }
    }

    /// The plateau of a load of `span_s` seconds whose warm-up takes at least `warmup_s`. `None` when less than twenty requests were due in it.
    #[must_use]
    pub fn finish(&self, warmup_s: f64, span_s: f64, offer: Option<Offer>) -> Option<Plateau> {
        let needs_answers = self.targets.iter().any(|t| !matches!(t.rule, Rule::Latency(Term { metric: Metric::Ttft, .. })));
        let (mean_stay, _) = mean_variance(&self.seen.iter().filter(|s| s.was_sent && s.due < span_s).map(|s| s.closed - s.sent).collect::<Vec<_>>());
        // What is asked last is answered while nothing new arrives any more: its tokens come faster than under load.
        let tail = if needs_answers { mean_stay.min(0.25 * span_s) } else { 0.0 };
        let end = span_s - tail;
        let cell = end / CELLS as f64;
        let flight = self.in_flight(cell);
        let wait = self.waits(cell);
        let begun = index(warmup_s / cell);
        let start = (warmup_s.max(settled(&flight, begun).max(settled(&wait, begun)) as f64 * cell)).min(0.6 * end);
        let first = index(start / cell);
        let inside: Vec<usize> = (0..self.seen.len()).filter(|&i| (start..end).contains(&self.seen[i].due)).collect();
        if inside.len() < 20 {
            return None;
        }
        let span = end - start;
        let flight = &flight[first..];
        let (in_flight, _) = mean_variance(flight);
        let remembered = |series: &[f64]| memory(&level(series)).unwrap_or(0.5) * cell;
        // A short window sees little of a long memory; but nothing is forgotten sooner than requests end.
        let relaxation_s = remembered(flight).max(remembered(&wait[first..])).max(0.5 * mean_stay.min(span));
        let (least, most, memories) = TREND_BATCHES;
        let trend = trend(&means(flight, index((span / (memories * relaxation_s)).clamp(least, most))));
        let sent: Vec<&Seen> = inside.iter().map(|&i| &self.seen[i]).filter(|s| s.was_sent).collect();
        let rate = sent.len() as f64 / span;
        let (residence_s, _) = mean_variance(&sent.iter().map(|s| s.closed - s.sent).collect::<Vec<_>>());
        let little = if rate * residence_s > 0.0 { in_flight / (rate * residence_s) } else { 1.0 };
        let tokens = |count: fn(&Seen) -> u32| sent.iter().map(|s| f64::from(count(s))).sum::<f64>() / span;
        let batches = batches(span, relaxation_s);
        Some(Plateau {
            start_s: start,
            end_s: end,
            requests: inside.len() as u64,
            spent: self.seen.iter().filter(|s| s.was_sent).count() as u64,
            relaxation_s,
            in_flight,
            rate,
            residence_s,
            little,
            little_holds: (little - 1.0).abs() <= LITTLE + 2.0 * residence_s / span + trend.rise.abs() / in_flight.max(1.0),
            rise: trend.rise,
            steadiness: steadiness(&trend, in_flight, rate * span, span / relaxation_s),
            output_tok_s: tokens(|s| s.output),
            total_tok_s: tokens(|s| s.output) + tokens(|s| s.input),
            misses: (0..self.targets.len()).map(|t| self.misses(t, &inside, (start, span), batches, offer)).collect(),
            quantiles: self.quantiles(&inside, (start, span)),
        })
    }

    /// Time-average of requests in flight, by cell.
    fn in_flight(&self, cell: f64) -> Vec<f64> {
        // Differences of the integral of in-flight: a request adds its overlap to its first and last cell and one to those between.
        let mut partial = vec![0.0; CELLS + 1];
        let mut whole = vec![0.0; CELLS + 2];
        for s in self.seen.iter().filter(|s| s.was_sent) {
            let (from, to) = (s.sent / cell, s.closed / cell);
            let (a, b) = (index(from).min(CELLS), index(to).min(CELLS));
            if a == b {
                partial[a] += to.min((a + 1) as f64) - from;
            } else {
                partial[a] += (a + 1) as f64 - from;
                partial[b] += (to - b as f64).min(1.0);
                whole[a + 1] += 1.0;
                whole[b] -= 1.0;
            }
        }
        let mut level = 0.0;
        (0..CELLS)
            .map(|i| {
                level += whole[i];
                level + partial[i]
            })
            .collect()
    }

    /// Mean time to first token of the requests due in each cell, no more than a hundred times the median; an empty cell repeats the one before.
    fn waits(&self, cell: f64) -> Vec<f64> {
        let mut all: Vec<f64> = self.seen.iter().map(|s| s.ttft).collect();
        sort(&mut all);
        let cap = quantile_sorted(&all, 0.5).filter(|m| m.is_finite()).map_or(1.0, |m| 100.0 * m);
        let mut sums = vec![(0.0, 0.0); CELLS];
        for s in &self.seen {
            if let Some(slot) = sums.get_mut(index(s.due / cell)) {
                *slot = (slot.0 + s.ttft.min(cap), slot.1 + 1.0);
            }
        }
        let mut last = sums.iter().find(|s| s.1 > 0.0).map_or(0.0, |s| s.0 / s.1);
        sums.into_iter()
            .map(|(sum, n)| {
                if n > 0.0 {
                    last = sum / n;
                }
                last
            })
            .collect()
    }

    fn misses(&self, target: usize, inside: &[usize], (start, span): (f64, f64), batches: usize, offer: Option<Offer>) -> Misses {
        let mut sums = vec![(0.0, 0.0); batches];
        let known = |o: Offer| o.rate.map_or([0.0; 2], |rate| [o.input, o.output].map(|mean| -mean * rate * span / batches as f64));
        let mut controls = vec![offer.map_or([0.0; 2], known); if offer.is_some() { batches } else { 0 }];
        for &i in inside {
            let (missed, asked) = self.marks[i * self.targets.len() + target];
            let batch = index((self.seen[i].due - start) / span * batches as f64).min(batches - 1);
            sums[batch].0 += f64::from(missed);
            sums[batch].1 += f64::from(asked);
            if let (Some(o), Some(control)) = (offer, controls.get_mut(batch)) {
                // Open loops: tokens beyond what the rate would bring; closed loops: beyond what so many requests would.
                let expected = if o.rate.is_some() { [0.0; 2] } else { [o.input, o.output] };
                control[0] += f64::from(self.seen[i].input_asked) - expected[0];
                control[1] += f64::from(self.seen[i].output_asked) - expected[1];
            }
        }
        let asked = sums.iter().map(|s| s.1).sum();
        let plain = ratio_of_batches(&sums).error;
        let Ratio { value, error, df } = controlled_ratio(&sums, &controls);
        Misses { missed: value * asked, asked, error: error.min(1.0), plain_error: plain.min(1.0), df }
    }

    fn quantiles(&self, inside: &[usize], (start, span): (f64, f64)) -> Vec<Quantile> {
        const SECTIONS: usize = 8;
        let kinds: [Shown; 3] = [("ttft p50", 0.5, |s| s.ttft), ("ttft p95", 0.95, |s| s.ttft), ("e2e p95", 0.95, |s| s.e2e)];
        let one = |(name, q, of): Shown| {
            let mut all: Vec<f64> = inside.iter().map(|&i| of(&self.seen[i])).collect();
            let mut parts = vec![Vec::new(); SECTIONS];
            for &i in inside {
                parts[index((self.seen[i].due - start) / span * SECTIONS as f64).min(SECTIONS - 1)].push(of(&self.seen[i]));
            }
            sort(&mut all);
            let value = quantile_sorted(&all, q).filter(|v| v.is_finite())?;
            let each: Vec<f64> = parts
                .iter_mut()
                .filter(|p| p.len() as f64 * (1.0 - q) >= 1.0)
                .filter_map(|p| {
                    sort(p);
                    quantile_sorted(p, q).filter(|v| v.is_finite())
                })
                .collect();
            let error = if each.len() < 4 { 0.0 } else { (mean_variance(&each).1 / each.len() as f64).sqrt() };
            Some(Quantile { name: name.to_owned(), value_ms: value * 1e3, error_ms: error * 1e3 })
        };
        kinds.into_iter().filter_map(one).collect()
    }
}

/// Where a series that began at nothing has come to its plateau, not before `begun`: MSER-5's cut, if what it cuts off lies surely below the rest.
///
/// The bare cut would also take off the excursions that chance puts at the beginning, and every plateau would look better than it is.
fn settled(series: &[f64], begun: usize) -> usize {
    let tail = &series[begun.min(series.len())..];
    let cut = mser5(tail);
    let (before, after) = tail.split_at(cut);
    let ((low, _), (high, _)) = (mean_variance(before), mean_variance(after));
    let batches: Vec<(f64, f64)> = after.chunks((after.len() / 10).max(1)).map(|c| (c.iter().sum(), c.len() as f64)).collect();
    let error = ratio_of_batches(&batches).error * (1.0 + 0.1 * after.len() as f64 / before.len().max(1) as f64).sqrt();
    if cut > 0 && low < high - 3.0 * error { begun + cut } else { begun }
}

/// What one request adds to (missed, asked), as [`super::slo::Judge`] counts it.
fn mark(rule: Rule, bounds: &[Option<Nanos>; 4], r: &RequestRecord) -> (f32, f32) {
    let ok = r.is_ok();
    let tpot = || r.tpot_s().map(Nanos::from_secs_f64);
    let value = |metric: Metric| match metric {
        Metric::Ttft => r.ttft(),
        Metric::Tpot | Metric::Itl => tpot(),
        Metric::E2e => Some(r.e2e()),
    };
    let asked_for = |metric: Metric| match metric {
        Metric::Ttft => r.output_asked >= 1,
        Metric::Tpot | Metric::Itl => r.output_asked >= 2,
        Metric::E2e => true,
    };
    let bit = |b: bool| if b { 1.0 } else { 0.0 };
    match rule {
        Rule::Errors => (bit(!ok), 1.0),
        Rule::Goodput => {
            let kept = METRICS.iter().zip(bounds).all(|(&m, bound)| value(m).zip(*bound).is_none_or(|(v, b)| v <= b));
            (bit(!(ok && kept)), 1.0)
        }
        Rule::Latency(Term { metric: Metric::Itl, bound, .. }) if ok => r.chunks.iter().skip(1).fold((0.0, 0.0), |(missed, asked), c| {
            let tokens = c.tokens.max(1);
            let n = tokens as f32;
            (missed + n * bit(c.gap / u64::from(tokens) > bound.nanos().0), asked + n)
        }),
        Rule::Latency(Term { metric, bound, .. }) if ok => value(metric).map_or((0.0, 0.0), |v| (bit(v > bound.nanos()), 1.0)),
        Rule::Latency(Term { metric, .. }) => (bit(asked_for(metric)), bit(asked_for(metric))),
    }
}

fn steadiness(trend: &Trend, in_flight: f64, arrivals: f64, memories: f64) -> Steadiness {
    if trend.drifts && trend.rise > GROWTH * arrivals {
        Steadiness::Overloaded
    } else if ((trend.drifts || trend.rise > LARGE * arrivals) && trend.rise.abs() > DRIFT * in_flight.max(1.0)) || memories < MEMORIES_NEEDED {
        Steadiness::Unsteady
    } else {
        Steadiness::Steady
    }
}

/// The series less its straight line: what a ramp remembers is not a relaxation.
fn level(series: &[f64]) -> Vec<f64> {
    let n = series.len() as f64;
    let (mean, _) = mean_variance(series);
    let at = |i: usize| i as f64 - (n - 1.0) / 2.0;
    let spread: f64 = (0..series.len()).map(|i| at(i) * at(i)).sum();
    let slope = if spread > 0.0 { series.iter().enumerate().map(|(i, y)| at(i) * (y - mean)).sum::<f64>() / spread } else { 0.0 };
    series.iter().enumerate().map(|(i, y)| y - slope * at(i)).collect()
}

fn means(series: &[f64], batches: usize) -> Vec<f64> {
    let long = (series.len() / batches).max(1);
    series.chunks_exact(long).map(|c| c.iter().sum::<f64>() / long as f64).collect()
}

fn batches(span: f64, relaxation: f64) -> usize {
    let (least, most, memories) = BATCHES;
    index((span / (memories * relaxation)).clamp(least, most))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, and a negative instant belongs to the first cell")]
fn index(x: f64) -> usize {
    x.floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::record::outcome::Outcome;
    use crate::record::request::Phase;
    use proptest::prelude::*;
    use rand::RngExt;

    fn slo() -> Slo {
        serde_json::from_str(r#"{"ttft": {"p95": "1s"}}"#).unwrap()
    }

    fn served(seq: u64, due: f64, begun: f64, closed: f64) -> RequestRecord {
        let mut r = RequestRecord::due(seq, Phase::Measure, Nanos::from_secs_f64(due), 100, 10);
        r.sent = Some(Nanos::from_secs_f64(due));
        r.first_token = Some(Nanos::from_secs_f64(begun));
        r.closed = Nanos::from_secs_f64(closed);
        r.outcome = Outcome::Ok;
        r.output_tokens = 10;
        r
    }

    /// M/M/c with unit mean service time, first come first served: the first token comes when service begins.
    fn queue(servers: usize, rate: impl Fn(f64) -> f64, span_s: f64, seed: u64) -> Vec<RequestRecord> {
        let mut stream = Seed(seed).stream("queue");
        let mut exponential = |mean: f64| -mean * (1.0 - stream.random::<f64>()).ln();
        let mut free = vec![0.0_f64; servers];
        let (mut t, mut out) = (0.0, Vec::new());
        loop {
            t += exponential(1.0 / rate(t));
            if t >= span_s {
                return out;
            }
            let first = (0..servers).min_by(|&a, &b| free[a].total_cmp(&free[b])).unwrap();
            let begun = t.max(free[first]);
            free[first] = begun + exponential(1.0);
            out.push(served(out.len() as u64, t, begun, free[first]));
        }
    }

    fn plateau(records: &[RequestRecord], warmup_s: f64, span_s: f64) -> Plateau {
        let mut collector = Collector::new(&slo());
        for r in records {
            collector.observe(r);
        }
        collector.finish(warmup_s, span_s, None).unwrap()
    }

    /// Erlang's C: share of arrivals that wait, of `load` offered to `servers`.
    fn erlang_c(servers: usize, load: f64) -> f64 {
        let blocked = (1..=servers).fold(1.0, |b, k| load * b / (k as f64 + load * b));
        blocked / (1.0 - load / servers as f64 * (1.0 - blocked))
    }

    /// M/M/10 at 75 %: N, R, Little's law and the share that waits longer than 1 s are those of the closed form.
    #[test]
    fn a_steady_queue_is_the_one_of_the_closed_form() {
        let (servers, load) = (10, 7.5);
        let p = plateau(&queue(servers, |_| load, 6000.0, 1), 50.0, 6000.0);
        let waits = erlang_c(servers, load);
        let stay = 1.0 + waits / (servers as f64 - load);
        let missed = waits * (-(servers as f64 - load)).exp();
        assert_eq!(p.steadiness, Steadiness::Steady);
        assert!(p.little_holds && (p.little - 1.0).abs() < 0.01, "{}", p.little);
        assert!((p.residence_s / stay - 1.0).abs() < 0.03, "{} instead of {stay}", p.residence_s);
        assert!((p.in_flight / (load * stay) - 1.0).abs() < 0.03, "{}", p.in_flight);
        let m = &p.misses[0];
        assert!((m.missed / m.asked - missed).abs() < 4.0 * m.error, "{} ± {} instead of {missed}", m.missed / m.asked, m.error);
        // The longest memory of M/M/c at 75 % is a few service times.
        assert!((0.5..20.0).contains(&p.relaxation_s), "{}", p.relaxation_s);
    }

    /// Of 60 seeds of a queue at 70 %, 57 or more are steady; of as many at 130 %, whose requests in flight grow by a quarter of the arrivals, none is,
    /// and most are surely overloaded.
    #[test]
    fn more_than_can_be_served_is_overloaded_and_less_is_steady() {
        let state = |rate: f64, seed: u64| plateau(&queue(10, |_| rate, 400.0, seed), 20.0, 400.0).steadiness;
        let steady = (0..60).filter(|&s| state(7.0, s) == Steadiness::Steady).count();
        assert!(steady >= 57, "{steady} of 60");
        let beyond: Vec<Steadiness> = (0..60).map(|s| state(13.0, s)).collect();
        assert!(beyond.iter().all(|s| *s != Steadiness::Steady));
        let overloaded = beyond.iter().filter(|s| **s == Steadiness::Overloaded).count();
        assert!(overloaded >= 45, "{overloaded} of 60");
    }

    /// Requests in flight that follow a slowly rising rate which the servers can still carry: not overloaded, and not steady.
    #[test]
    fn rising_requests_in_flight_are_not_steady() {
        let records = queue(400, |t| 20.0 + 200.0 * t / 2000.0, 2000.0, 1);
        let p = plateau(&records, 20.0, 2000.0);
        assert!(p.rise > 40.0, "{}", p.rise);
        assert_eq!(p.steadiness, Steadiness::Unsteady);
    }

    /// A window of a few relaxation times says nothing of its own steadiness.
    #[test]
    fn a_window_too_short_beside_its_memory_is_not_steady() {
        let p = plateau(&queue(100, |_| 60.0, 3.0, 1), 0.0, 3.0);
        assert_eq!(p.steadiness, Steadiness::Unsteady);
        let mut few = Collector::new(&slo());
        for r in queue(10, |_| 5.0, 3.0, 1).iter().take(19) {
            few.observe(r);
        }
        assert_eq!(few.finish(0.0, 3.0, None), None);
    }

    /// Requests that begin at nothing: the ramp is cut off although the warm-up asked for is zero.
    #[test]
    fn a_ramp_at_the_beginning_is_cut_off() {
        // Fixed stays of 20 s: requests in flight rise for 20 s and then stay.
        let records: Vec<RequestRecord> = (0..4000_u32).map(|i| (i, f64::from(i) * 0.1)).map(|(i, t)| served(u64::from(i), t, t, t + 20.0)).collect();
        let p = plateau(&records, 0.0, 400.0);
        assert!((10.0..60.0).contains(&p.start_s), "{}", p.start_s);
        assert!((p.in_flight - 200.0).abs() < 4.0, "{}", p.in_flight);
        assert_eq!(p.steadiness, Steadiness::Steady);
    }

    proptest! {
        /// forall loads below saturation and seeds: Little's law holds, and no share of misses lies outside 0 to 1
        #[test]
        fn littles_law_holds_on_every_steady_queue(load in 1.0_f64..9.0, seed in 0_u64..1000) {
            let p = plateau(&queue(10, |_| load, 500.0, seed), 20.0, 500.0);
            prop_assert!(p.little_holds, "{}", p.little);
            prop_assert!(p.misses.iter().all(|m| (0.0..=m.asked).contains(&m.missed) && m.error >= 0.0));
        }
    }
}
