//! A step of load against an autoscaling endpoint: from client-visible records to the lag, the throughput of a chunk, and the delay of scale-down.
//!
//! The load is low, steps up at a known instant, holds, and steps down. A chunk that begins to serve shows as a step in the tokens received per second
//! as long as the load is more than the chunks before it could serve (the endpoint is saturated), and otherwise as a step in the time per output token.
//! From outside the decision of the autoscaler (its window and poll) and the start of the chunk cannot be told apart: their sum is the effective lag.

pub mod document;

use super::received::{Portion, UNITS_PER_TOKEN, portions};
use super::step_change::{self, Step};
use crate::base::stats::interval::student_t_quantile;
use crate::base::stats::output::ratio_of_batches;
use crate::base::stats::sample::{mean_variance, quantile_sorted, sort};
use crate::base::time::Nanos;
use crate::record::outcome::Group;
use crate::record::request::RequestRecord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bins of the hold, about: enough for a sharp step, few enough for many tokens in each.
const BINS: f64 = 150.0;
/// Requests that a bin of the hold has at least, so that a prompt that counts when its first token comes is no step by itself.
const REQUESTS_PER_BIN: f64 = 3.0;
/// How clear a rise of the time per token must be after the step down, as a squared standard score: few requests come then, and no backlog confirms it.
const CLEAR: f64 = 30.0;
/// Confidence of every interval.
pub const CONFIDENCE: f64 = 0.95;
/// Steps looked for in the hold: the filling, chunks that arrive, and the end of the backlog.
const MOST_STEPS: usize = 5;
/// A level lasts this many bins at least.
const LEAST_BINS: usize = 5;
/// A new chunk adds at least this share of a chunk's throughput; smaller steps are drift (batches that fill, a mix that changes).
const LEAST_SHARE: f64 = 0.3;
/// The time per token rises and falls by at least this factor when a chunk goes or comes; less is the fluctuation of a busy endpoint.
const LEAST_RATIO: f64 = 1.15;
/// Served and offered differ by more than this share when a backlog grows or shrinks.
const BALANCED: f64 = 0.04;

/// What was asked of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shape {
    /// Seconds of low load before the step.
    pub before_s: f64,
    /// Seconds of high load.
    pub hold_s: f64,
    /// Seconds of low load behind it.
    pub after_s: f64,
    /// Requests per second before and behind.
    pub low_rate: f64,
    /// Requests per second of the hold.
    pub high_rate: f64,
    /// Chunks that serve before the step.
    pub chunks: u32,
    /// Tokens per second of one chunk as advertised.
    pub chunk_tok_s: f64,
}

impl Shape {
    /// Width of a bin, seconds.
    #[must_use]
    pub fn bin_s(&self) -> f64 {
        (self.hold_s / BINS).max(REQUESTS_PER_BIN / self.high_rate.max(1e-9)).min(self.hold_s.max(1e-3))
    }

    /// Seconds of load.
    #[must_use]
    pub fn span_s(&self) -> f64 {
        self.before_s + self.hold_s + self.after_s
    }
}

/// An instant with its interval, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Instant {
    /// Where it was found.
    pub at_s: f64,
    /// Between here, with 95 % confidence ...
    pub low_s: f64,
    /// ... and here.
    pub high_s: f64,
}

/// A time of about constant throughput within the hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    /// From here, seconds since the step ...
    pub from_s: f64,
    /// ... to here.
    pub to_s: f64,
    /// Input and output tokens received, per second.
    pub tok_s: f64,
    /// Half of the 95 % interval of it, by batch means; absent when the level is too short to tell.
    pub half_tok_s: Option<f64>,
    /// Tokens asked for by the requests due in it, per second.
    pub offered_tok_s: f64,
    /// Requests in flight, mean.
    pub in_flight: f64,
    /// Whether the endpoint gave all it could: a backlog grew or shrank.
    pub saturated: bool,
}

/// How the lag was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// Tokens received per second rose while the endpoint was saturated.
    Throughput,
    /// The requests in flight stopped to grow and fell; the rise of the throughput was too short to stand out.
    InFlight,
    /// The time per output token fell; the endpoint was not saturated.
    TimePerToken,
}

/// Why no lag was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoLag {
    /// The load held until its end without a rise.
    NoScaleUp,
    /// The endpoint served the whole load at once: more chunks than said, or larger ones.
    NotSaturated,
    /// Too little came back to judge.
    TooLittle,
    /// The run was not valid: what it shows may be this client and not the endpoint.
    Invalid,
}

/// One repeat of the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Repeat {
    /// Effective lag: from the step to the first chunk that serves.
    pub lag: Option<Instant>,
    /// What showed it.
    pub sign: Option<Sign>,
    /// Why there is none.
    pub no_lag: Option<NoLag>,
    /// Every rise of the throughput by a chunk or more, the first being the lag.
    pub rises: Vec<Instant>,
    /// From the step to the turn of the requests in flight, where they turned.
    pub turn: Option<Instant>,
    /// From the step until the time to first token had fallen half-way back, seconds.
    pub recovered_s: Option<f64>,
    /// The levels of the hold.
    pub levels: Vec<Level>,
    /// From the step down to the chunk's end, where it shows in the time per output token.
    pub scale_down: Option<Instant>,
    /// Seconds of high load that were recorded: all, unless it was stopped.
    pub held_s: f64,
    /// Requests due.
    pub requests: u64,
    /// Of them answered 429.
    pub throttled: u64,
    /// Of them given up or failed.
    pub lost: u64,
    /// The whole repeat, bin by bin.
    pub bins: Vec<Bin>,
}

impl Repeat {
    /// The same repeat when its run was not valid: what was sent and received stays, what it would say of the endpoint does not.
    #[must_use]
    pub fn invalid(self) -> Self {
        Self {
            lag: None,
            sign: None,
            no_lag: Some(NoLag::Invalid),
            rises: Vec::new(),
            turn: None,
            recovered_s: None,
            levels: Vec::new(),
            scale_down: None,
            ..self
        }
    }
}

/// A stretch of time; seconds count from load start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bin {
    /// Where it begins.
    pub from_s: f64,
    /// Input and output tokens received, per second.
    pub tok_s: f64,
    /// Tokens asked for by the requests due, per second.
    pub offered_tok_s: f64,
    /// Requests in flight at its end.
    pub in_flight: u32,
    /// Median time to first token of the requests sent in it.
    pub ttft_ms: Option<f64>,
    /// Mean time per output token of the answers that came in during it: seconds of streaming over tokens received.
    pub gap_ms: Option<f64>,
}

/// Collects the records of one repeat.
#[derive(Clone, Debug)]
pub struct Collector {
    shape: Shape,
    received: Vec<f64>,
    offered: Vec<f64>,
    change: Vec<i64>,
    ttft: Vec<Vec<f64>>,
    /// Seconds of streaming, and output tokens.
    streamed: Vec<(f64, f64)>,
    /// Answers, and how long they came in for, all together.
    answers: (u64, f64),
    requests: u64,
    throttled: u64,
    lost: u64,
}

impl Collector {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a repeat has some hundred bins; the cast saturates")]
        let bins = ((shape.span_s() / shape.bin_s()).ceil() as usize).clamp(1, 1_000_000);
        Self {
            shape,
            received: vec![0.0; bins],
            offered: vec![0.0; bins],
            change: vec![0; bins],
            ttft: vec![Vec::new(); bins],
            streamed: vec![(0.0, 0.0); bins],
            answers: (0, 0.0),
            requests: 0,
            throttled: 0,
            lost: 0,
        }
    }

    fn bin(&self, at: Nanos) -> Option<usize> {
        // Bins are counted from the step, so that one of them begins there.
        let (width, before) = (self.shape.bin_s(), self.shape.before_s);
        let first = (before / width).ceil();
        let place = ((at.as_secs_f64() - before) / width + 1e-9).floor() + first;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked against the number of bins")]
        (place >= 0.0 && place < self.received.len() as f64).then_some(place as usize)
    }

    /// Seconds since load start at which bin `i` begins.
    fn start(&self, i: usize) -> f64 {
        let (width, before) = (self.shape.bin_s(), self.shape.before_s);
        before + (i as f64 - (before / width).ceil()) * width
    }

    /// The first bin of the hold.
    fn step(&self) -> usize {
        self.bin(Nanos::from_secs_f64(self.shape.before_s)).unwrap_or(0)
    }

    /// Sees a record, in any order.
    pub fn observe(&mut self, r: &RequestRecord) {
        self.requests += 1;
        match r.outcome.group() {
            Group::Ok => {}
            Group::Throttled => self.throttled += 1,
            Group::Failed | Group::TimedOut | Group::Shed | Group::Cancelled => self.lost += 1,
        }
        if let Some(i) = self.bin(r.intended) {
            self.offered[i] += f64::from(r.input_asked) + f64::from(r.output_asked);
        }
        if let Some(sent) = r.sent {
            let (from, to) = (self.bin(sent), self.bin(r.closed));
            if let Some(i) = from {
                self.change[i] += 1;
                self.ttft[i].extend(r.ttft_service().map(Nanos::as_millis_f64));
            }
            if let Some(i) = to {
                self.change[i] -= 1;
            }
        }
        if let Some(i) = r.first_token.and_then(|at| self.bin(at)) {
            self.received[i] += f64::from(r.input_tokens);
        }
        if let (Some(first), Some(last)) = (r.first_token, r.last_token) {
            self.answers = (self.answers.0 + 1, self.answers.1 + last.since(first).as_secs_f64());
            self.stream(first, last);
        }
        let mut parts: Vec<Portion> = Vec::new();
        portions(r, |p| parts.push(p));
        for p in parts {
            self.receive(&p);
        }
    }

    /// An answer came in from `first` to `last`.
    fn stream(&mut self, first: Nanos, last: Nanos) {
        let Some(from) = self.bin(first) else { return };
        let to = self.bin(last).unwrap_or(self.received.len() - 1);
        for i in from..=to {
            let (start, end) = (self.start(i).max(first.as_secs_f64()), self.start(i + 1).min(last.as_secs_f64()));
            self.streamed[i].0 += (end - start).max(0.0);
        }
    }

    fn receive(&mut self, portion: &Portion) {
        let (Some(from), to) = (self.bin(portion.from), self.bin(portion.to)) else { return };
        let to = to.unwrap_or(self.received.len() - 1);
        let at_once = from == to || portion.from == portion.to;
        for i in from..=if at_once { from } else { to } {
            let (start, end) = (Nanos::from_secs_f64(self.start(i)), Nanos::from_secs_f64(self.start(i + 1)));
            let units =
                if at_once { portion.units } else { portion.within(start.max(portion.from), if i == to { portion.to + Nanos(1) } else { end }) };
            let tokens = units as f64 / UNITS_PER_TOKEN as f64;
            self.received[i] += tokens;
            self.streamed[i].1 += tokens;
        }
    }

    /// What the repeat shows, when the load was recorded until `end` (load start plus the whole span, unless it was stopped).
    #[must_use]
    pub fn finish(mut self, end: Nanos) -> Repeat {
        let end_s = end.as_secs_f64().min(self.shape.span_s());
        let bins = self.bins(end_s);
        let held_s = (end_s - self.shape.before_s).clamp(0.0, self.shape.hold_s);
        let (requests, throttled, lost) = (self.requests, self.throttled, self.lost);
        let step = self.step().min(bins.len());
        let hold_end = bins.iter().position(|b| b.from_s + 1e-6 >= self.shape.before_s + held_s).unwrap_or(bins.len());
        let answer_s = self.answers.1 / (self.answers.0.max(1) as f64);
        let hold = Hold { shape: &self.shape, bins: &bins[step..hold_end.max(step)], answer_s };
        let found = hold.read();
        let scale_down = scale_down(&self.shape, &bins[..step], &bins[hold_end.max(step)..]);
        Repeat {
            lag: found.lag,
            sign: found.sign,
            no_lag: found.no_lag,
            turn: hold.turn(),
            recovered_s: found.lag.and_then(|lag| hold.recovered(&lag)),
            rises: found.rises,
            levels: found.levels,
            scale_down,
            held_s,
            requests,
            throttled,
            lost,
            bins,
        }
    }

    fn bins(&mut self, end_s: f64) -> Vec<Bin> {
        let width = self.shape.bin_s();
        let mut in_flight = 0_i64;
        let mut bins = Vec::new();
        for i in 0..self.received.len() {
            in_flight += self.change[i];
            if self.start(i + 1) > end_s + 1e-6 {
                break;
            }
            sort(&mut self.ttft[i]);
            bins.push(Bin {
                from_s: self.start(i),
                tok_s: self.received[i] / width,
                offered_tok_s: self.offered[i] / width,
                in_flight: u32::try_from(in_flight.max(0)).unwrap_or(u32::MAX),
                ttft_ms: quantile_sorted(&self.ttft[i], 0.5),
                gap_ms: (self.streamed[i].1 > 0.0 && self.streamed[i].0 > 0.0).then(|| 1e3 * self.streamed[i].0 / self.streamed[i].1),
            });
        }
        bins
    }
}

/// The bins of the high load; seconds count from the step.
struct Hold<'a> {
    shape: &'a Shape,
    bins: &'a [Bin],
    /// Mean time that an answer comes in for.
    answer_s: f64,
}

/// What the throughput of the hold says.
#[derive(Default)]
struct Found {
    lag: Option<Instant>,
    sign: Option<Sign>,
    no_lag: Option<NoLag>,
    rises: Vec<Instant>,
    levels: Vec<Level>,
}

impl Hold<'_> {
    fn read(&self) -> Found {
        if self.bins.len() < 4 * LEAST_BINS {
            return Found { no_lag: Some(NoLag::TooLittle), ..Found::default() };
        }
        let tok_s: Vec<f64> = self.bins.iter().map(|b| b.tok_s).collect();
        let steps = step_change::steps(&tok_s, LEAST_BINS, MOST_STEPS, CONFIDENCE);
        let levels = self.levels(&steps);
        // What the chunks before the step can give is the lowest level with a growing backlog; a level before it is the filling of their batches.
        let growing = |l: &&Level| l.saturated && l.tok_s < l.offered_tok_s;
        let Some(lowest) = levels.iter().filter(growing).map(|l| l.tok_s).reduce(f64::min) else {
            return self.without_level(levels);
        };
        let one = lowest / f64::from(self.shape.chunks.max(1));
        let is_rise = |pair: &[Level]| pair[0].saturated && pair[1].tok_s - pair[0].tok_s >= LEAST_SHARE * one;
        let rises: Vec<Instant> = steps.iter().zip(levels.windows(2)).filter(|(_, pair)| is_rise(pair)).map(|(s, _)| self.instant(s)).collect();
        let lag = rises.first().copied();
        let no_lag = lag.is_none().then_some(NoLag::NoScaleUp);
        Found { sign: lag.map(|_| Sign::Throughput), lag, no_lag, rises, levels }
    }

    fn instant(&self, step: &Step) -> Instant {
        let width = self.shape.bin_s();
        Instant { at_s: step.at as f64 * width, low_s: step.low * width, high_s: step.high * width }
    }

    fn levels(&self, steps: &[Step]) -> Vec<Level> {
        let width = self.shape.bin_s();
        let mut from = 0;
        let ends = steps.iter().map(|s| s.at).chain([self.bins.len()]);
        ends.map(|to| {
            let part = &self.bins[from..to];
            let n = part.len() as f64;
            let batches: Vec<(f64, f64)> = part.chunks(part.len().div_ceil(20)).map(|c| (c.iter().map(|b| b.tok_s).sum(), c.len() as f64)).collect();
            let mean = ratio_of_batches(&batches);
            let offered_tok_s = part.iter().map(|b| b.offered_tok_s).sum::<f64>() / n;
            let half_tok_s = (batches.len() >= 4).then(|| student_t_quantile(0.5 + 0.5 * CONFIDENCE, mean.df) * mean.error);
            let (grown, served) = (offered_tok_s - mean.value, mean.value.max(1e-9));
            let level = Level {
                from_s: from as f64 * width,
                to_s: to as f64 * width,
                tok_s: mean.value,
                half_tok_s,
                offered_tok_s,
                in_flight: part.iter().map(|b| f64::from(b.in_flight)).sum::<f64>() / n,
                saturated: grown.abs() > BALANCED * served && grown.abs() > half_tok_s.unwrap_or(f64::INFINITY),
            };
            from = to;
            level
        })
        .collect()
    }

    /// No level stood out as saturated. Where a backlog grew all the same, its turn shows the chunk; where none did, the time per output token: it falls.
    fn without_level(&self, levels: Vec<Level>) -> Found {
        if let Some(turn) = self.turn().filter(|turn| self.backlog_share(turn.at_s) > BALANCED) {
            // A chunk that comes takes what waits at once; the requests in flight fall when its first answers end.
            let lag = Instant { low_s: (turn.low_s - 2.0 * self.answer_s).max(0.0), ..turn };
            return Found { lag: Some(lag), sign: Some(Sign::InFlight), no_lag: None, rises: vec![lag], levels };
        }
        let (places, values) = logarithms(self.bins);
        let steps = step_change::steps(&values, LEAST_BINS, 3, CONFIDENCE);
        let falls = steps.iter().filter(|s| s.before - s.after >= LEAST_RATIO.ln());
        let fall = falls.max_by(|a, b| (a.before - a.after).total_cmp(&(b.before - b.after)));
        let lag = fall.and_then(|s| instant_of(s, &places, self.bins, self.shape.before_s, self.shape.bin_s()));
        let no_lag = lag.is_none().then_some(NoLag::NotSaturated);
        Found { sign: lag.map(|_| Sign::TimePerToken), lag, no_lag, rises: lag.into_iter().collect(), levels }
    }

    /// What was asked for until `until_s` and not received, as a share of what was asked for.
    fn backlog_share(&self, until_s: f64) -> f64 {
        let until = self.bins.iter().take_while(|b| b.from_s < self.shape.before_s + until_s);
        let (asked, received) = until.fold((0.0, 0.0), |(a, r), b| (a + b.offered_tok_s, r + b.tok_s));
        if asked > 0.0 { 1.0 - received / asked } else { 0.0 }
    }

    /// Where the requests in flight stop to grow and begin to fall: a step in their change from bin to bin.
    fn turn(&self) -> Option<Instant> {
        let grown: Vec<f64> = self.bins.windows(2).map(|w| f64::from(w[1].in_flight) - f64::from(w[0].in_flight)).collect();
        let steps = step_change::steps(&grown, LEAST_BINS, 3, CONFIDENCE);
        steps.iter().find(|s| s.after < 0.0 && s.before > s.after).map(|s| self.instant(s))
    }

    /// The first bin from which the median time to first token stays below the geometric middle of its largest value and its smallest one behind that.
    fn recovered(&self, lag: &Instant) -> Option<f64> {
        let width = self.shape.bin_s();
        let peak = self.bins.iter().enumerate().filter_map(|(i, b)| Some((i, b.ttft_ms?))).max_by(|a, b| a.1.total_cmp(&b.1))?;
        let least = self.bins[peak.0..].iter().filter_map(|b| b.ttft_ms).fold(f64::INFINITY, f64::min);
        let middle = (peak.1 * least).sqrt();
        let last_slow = self.bins.iter().rposition(|b| b.ttft_ms.is_some_and(|t| t > middle))?;
        let at = (last_slow + 1) as f64 * width;
        (last_slow + 1 < self.bins.len() && peak.1 > 1.5 * least && at >= lag.low_s - width).then_some(at)
    }
}

/// Logarithms of the time per output token, with the bins that have one.
fn logarithms(bins: &[Bin]) -> (Vec<usize>, Vec<f64>) {
    bins.iter().enumerate().filter_map(|(i, b)| Some((i, b.gap_ms?.max(1e-6).ln()))).unzip()
}

/// A step among `places` as an instant, in seconds since `origin_s`.
fn instant_of(step: &Step, places: &[usize], bins: &[Bin], origin_s: f64, width: f64) -> Option<Instant> {
    let at = bins.get(*places.get(step.at)?)?.from_s - origin_s;
    Some(Instant { at_s: at, low_s: at - (step.at as f64 - step.low) * width, high_s: at + (step.high - step.at as f64) * width })
}

/// After the step down: when the time per output token rises again to what it was before the step, the chunk has gone. Seconds since the step down.
fn scale_down(shape: &Shape, before: &[Bin], after: &[Bin]) -> Option<Instant> {
    let (places, values) = logarithms(after);
    // The backlog comes first: its end is a fall, not a rise.
    let steps = step_change::steps(&values, LEAST_BINS, 4, CONFIDENCE);
    let rise = steps.last().filter(|s| s.after - s.before >= LEAST_RATIO.ln() && s.strength >= CLEAR)?;
    // The same load on the same chunks: a rise to any other level is chance. The first bins before the step are the start of the load.
    let (_, earlier) = logarithms(&before[before.len() / 4..]);
    let (level, _) = mean_variance(&earlier);
    let is_back = earlier.len() >= LEAST_BINS && (rise.after - level).abs() <= 0.4 * (rise.after - rise.before);
    is_back.then(|| instant_of(rise, &places, after, shape.before_s + shape.hold_s, shape.bin_s())).flatten()
}
