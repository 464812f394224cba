//! `Recorder`: folds records into a [`Summary`], one pass, constant memory. docs/METHOD.md says every definition as a formula.

use super::histogram::Histogram;
use super::received::{self, UNITS_PER_TOKEN};
use super::series::{Count, Intervals};
use super::slo::{Judge, Latency};
use super::summary::{Accounting, ClientFacts, Latencies, Summary, Throughput, Window};
use super::tokens::{Tokens, add, merge_counts};
use super::validity::{self, Evidence};
use crate::base::time::Nanos;
use crate::record::outcome::Group;
use crate::record::request::{Phase, RequestRecord};
use crate::scenario::slo::{Metric, Percentile, Slo};

/// What was to be expected of the answers; decides which absences are worth a warning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    /// The server was asked for its token usage.
    pub usage_asked: bool,
    /// Answers were streamed; without it there is no TTFT, TPOT or ITL.
    pub streaming: bool,
    /// Text received was counted with a vocabulary; otherwise one token a chunk.
    pub tokenizer: bool,
}

/// Folds records into a [`Summary`].
///
/// Requests **due** in the window (phase `Measure`, intended in [start, end)) are counted; tokens **received** in it make throughput,
/// whenever their request was due. Order of records does not matter, and merging is exact.
#[derive(Clone, Debug)]
pub struct Recorder {
    window: (Nanos, Nanos),
    accounting: Accounting,
    latency: Histograms,
    judge: Judge,
    tokens: Tokens,
    received: Received,
    series: Intervals,
    /// Sum over all requests of their time in flight inside the window, nanoseconds.
    in_flight: u128,
    /// Sum over requests due in the window of their time in flight, nanoseconds.
    in_system: u128,
}

#[derive(Clone, Debug)]
struct Histograms {
    ttft: Histogram,
    ttft_service: Histogram,
    ttfo: Histogram,
    tpot: Histogram,
    itl: Histogram,
    icl: Histogram,
    e2e: Histogram,
    e2e_service: Histogram,
    lateness: Histogram,
    /// Lateness without connection set-up: the schedule's own.
    schedule_lag: Histogram,
}

/// Tokens by where they count.
#[derive(Clone, Copy, Debug, Default)]
struct Received {
    output_units_in_window: u64,
    input_in_window: u64,
    output_in_run: u64,
    input_in_run: u64,
}

impl Recorder {
    /// An empty recorder for the window [start, end), with intervals of `step` for the series (longer ones if the run outgrows 4096 of them).
    #[must_use]
    pub fn new(slo: &Slo, window: (Nanos, Nanos), step: Nanos) -> Self {
        Self {
            window,
            accounting: Accounting::default(),
            latency: Histograms::new(),
            judge: Judge::new(slo),
            tokens: Tokens::default(),
            received: Received::default(),
            series: Intervals::new(step),
            in_flight: 0,
            in_system: 0,
        }
    }

    /// Counts one request, of any phase and outcome.
    pub fn observe(&mut self, r: &RequestRecord) {
        self.observe_series(r);
        self.observe_tokens(r);
        if let Some(sent) = r.sent {
            self.in_flight += u128::from(r.closed.min(self.window.1).since(sent.max(self.window.0)).0);
        }
        if r.phase == Phase::Warmup || r.intended < self.window.0 {
            self.accounting.warmup += 1;
        } else if r.intended < self.window.1 {
            self.observe_due(r);
        }
    }

    /// Adds what `other` saw: the result equals that of one recorder that saw all records.
    ///
    /// # Panics
    /// When the two were made with different objectives or windows: their sum would mean nothing.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.window, other.window, "recorders of one run have the same window");
        assert_eq!(self.judge.slo(), other.judge.slo(), "recorders of one run have the same objectives");
        let (mine, theirs) = (&mut self.accounting, &other.accounting);
        mine.due += theirs.due;
        mine.ok += theirs.ok;
        mine.failed += theirs.failed;
        mine.throttled += theirs.throttled;
        mine.timed_out += theirs.timed_out;
        mine.shed += theirs.shed;
        mine.cancelled += theirs.cancelled;
        mine.warmup += theirs.warmup;
        merge_counts(&mut mine.outcomes, &theirs.outcomes);
        merge_counts(&mut mine.notes, &theirs.notes);
        self.latency.merge(&other.latency);
        self.judge.merge(&other.judge);
        self.tokens.merge(&other.tokens);
        self.received.output_units_in_window += other.received.output_units_in_window;
        self.received.input_in_window += other.received.input_in_window;
        self.received.output_in_run += other.received.output_in_run;
        self.received.input_in_run += other.received.input_in_run;
        self.series.merge(&other.series);
        self.in_flight += other.in_flight;
        self.in_system += other.in_system;
    }

    /// The figures. `wall`: the whole run, from load start to the end of the drain.
    ///
    /// # Panics
    /// When the accounting identity does not hold: then no figure may be believed.
    #[must_use]
    pub fn finish(&self, wall: Nanos, client: ClientFacts, expect: Expectations) -> Summary {
        let a = &self.accounting;
        // Invariant: due == ok + failed + throttled + timed out + shed + cancelled.
        assert_eq!(a.due, a.ok + a.failed + a.throttled + a.timed_out + a.shed + a.cancelled, "the accounting identity is broken: {a:?}");
        assert_eq!(a.due, a.outcomes.values().sum::<u64>(), "the accounting identity is broken: {a:?}");
        let window_s = self.window.1.since(self.window.0).as_secs_f64();
        let in_flight_mean = per_second(self.in_flight as f64 / 1e9, window_s);
        let latency = self.latency.distributions(&self.percentiles());
        let tokens = self.tokens.reconciliation();
        let validity = validity::judge(&Evidence {
            accounting: a,
            latency: &latency,
            tokens: &tokens,
            slo: self.judge.slo(),
            expect,
            client,
            window_s,
            in_flight_mean,
            in_system_mean: per_second(self.in_system as f64 / 1e9, window_s),
            schedule_lag: &self.latency.schedule_lag,
            service_p50: self.latency.service_median(),
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean number of requests; the cast saturates")]
        let in_flight_floor = in_flight_mean.ceil() as u32;
        Summary {
            window: Window { start_s: self.window.0.as_secs_f64(), end_s: self.window.1.as_secs_f64() },
            wall_s: wall.as_secs_f64(),
            accounting: a.clone(),
            offered_rate: per_second(a.due as f64, window_s),
            served_rate: per_second(a.ok as f64, window_s),
            in_flight_mean,
            in_flight_max: self.series.in_flight_max().max(in_flight_floor),
            throughput: self.received.throughput(window_s, wall.as_secs_f64()),
            latency,
            goodput: self.judge.goodput(window_s),
            objectives: self.judge.objectives(|metric| self.latency.of(metric)),
            tokens,
            series: self.series.series(),
            validity,
        }
    }

    /// Every latency histogram of the window by its stable name, for the interval log.
    #[must_use]
    pub fn histograms(&self) -> [(&'static str, &Histogram); 9] {
        let h = &self.latency;
        [
            ("ttft", &h.ttft),
            ("ttft_service", &h.ttft_service),
            ("ttfo", &h.ttfo),
            ("tpot", &h.tpot),
            ("itl", &h.itl),
            ("icl", &h.icl),
            ("e2e", &h.e2e),
            ("e2e_service", &h.e2e_service),
            ("lateness", &h.lateness),
        ]
    }

    /// The measured window.
    #[must_use]
    pub fn window(&self) -> (Nanos, Nanos) {
        self.window
    }

    /// p50, p90, p95, p99, p99.9 and those that objectives name.
    fn percentiles(&self) -> Vec<Percentile> {
        let mut all = vec![Percentile::P50, Percentile::P90, Percentile::P95, Percentile::P99, Percentile::P999];
        all.extend(self.judge.slo().terms().map(|t| t.percentile));
        all.sort_unstable();
        all.dedup();
        all
    }

    fn observe_series(&mut self, r: &RequestRecord) {
        self.series.count(Count::Offered, r.intended);
        self.series.count(if r.is_ok() { Count::Completed } else { Count::Error }, r.closed);
        if let Some(sent) = r.sent {
            self.series.count(Count::Sent, sent);
            self.series.in_flight(sent, r.closed);
        }
        match (r.first_token, r.ttft()) {
            (Some(at), Some(ttft)) => self.series.first_token(at, ttft, r.input_tokens),
            _ if r.is_ok() => self.series.answer(r.closed, r.input_tokens),
            _ => {}
        }
    }

    fn observe_tokens(&mut self, r: &RequestRecord) {
        let (start, end) = self.window;
        let answered = r.first_token.or(r.is_ok().then_some(r.closed));
        if let Some(at) = answered {
            self.received.input_in_run += u64::from(r.input_tokens);
            if start <= at && at < end {
                self.received.input_in_window += u64::from(r.input_tokens);
            }
        }
        self.received.output_in_run += u64::from(r.output_tokens);
        let (received, series) = (&mut self.received, &mut self.series);
        received::portions(r, |portion| {
            received.output_units_in_window += portion.within(start, end);
            series.output(&portion);
        });
    }

    fn observe_due(&mut self, r: &RequestRecord) {
        let a = &mut self.accounting;
        a.due += 1;
        match r.outcome.group() {
            Group::Ok => a.ok += 1,
            Group::Failed => a.failed += 1,
            Group::Throttled => a.throttled += 1,
            Group::TimedOut => a.timed_out += 1,
            Group::Shed => a.shed += 1,
            Group::Cancelled => a.cancelled += 1,
        }
        add(&mut a.outcomes, r.outcome.name(), 1);
        for (name, seen) in [
            ("missing_done", r.notes.missing_done),
            ("missing_usage", r.notes.missing_usage),
            ("length_mismatch", r.notes.length_mismatch),
            ("not_normalised", r.notes.not_normalised),
            ("missing_logprobs", r.notes.missing_logprobs),
        ] {
            if seen {
                add(&mut a.notes, name, 1);
            }
        }
        if let Some(lateness) = r.lateness() {
            self.latency.lateness.record_nanos(lateness);
            self.latency.schedule_lag.record_nanos(lateness - r.connect - r.tls);
        }
        if let Some(sent) = r.sent {
            self.in_system += u128::from(r.closed.since(sent).0);
        }
        if r.is_ok() {
            let latency = self.observe_latency(r);
            self.judge.ok(&latency);
            self.tokens.observe(r);
        } else {
            self.judge.missed(r, r.outcome.group() != Group::Cancelled);
        }
    }

    /// Latencies of a request that ended well: failures have none in these histograms.
    fn observe_latency(&mut self, r: &RequestRecord) -> Latency {
        let h = &mut self.latency;
        let mut keep = |histogram: fn(&mut Histograms) -> &mut Histogram, value: Option<Nanos>| value.inspect(|&v| histogram(h).record_nanos(v));
        let ttft = keep(|h| &mut h.ttft, r.ttft());
        let tpot = keep(|h| &mut h.tpot, r.tpot_s().map(Nanos::from_secs_f64));
        let e2e = keep(|h| &mut h.e2e, Some(r.e2e()));
        keep(|h| &mut h.ttft_service, r.ttft_service());
        keep(|h| &mut h.ttfo, r.ttfo());
        keep(|h| &mut h.e2e_service, r.e2e_service());
        Latency { ttft, tpot, itl_mean: self.observe_gaps(r), e2e }
    }

    /// Gaps after the first chunk: raw for ICL; divided by the chunk's tokens, once for each, for ITL. Gives the request's mean ITL.
    fn observe_gaps(&mut self, r: &RequestRecord) -> Option<Nanos> {
        let (mut waited, mut sum, mut tokens) = (0_u64, 0_u64, 0_u64);
        for chunk in r.chunks.iter().skip(1) {
            self.latency.icl.record(chunk.gap);
            // A chunk without a whole token (half a character) hands its wait on to the next one.
            waited = waited.saturating_add(chunk.gap);
            if chunk.tokens > 0 {
                let k = u64::from(chunk.tokens);
                let gap = waited / k;
                self.latency.itl.record_n(gap, k);
                self.judge.gaps(Nanos(gap), k);
                sum = sum.saturating_add(waited);
                tokens += k;
                waited = 0;
            }
        }
        (tokens > 0).then(|| Nanos(sum / tokens))
    }
}

impl Histograms {
    fn new() -> Self {
        let h = Histogram::latency();
        Self {
            ttft: h.clone(),
            ttft_service: h.clone(),
            ttfo: h.clone(),
            tpot: h.clone(),
            itl: h.clone(),
            icl: h.clone(),
            e2e: h.clone(),
            e2e_service: h.clone(),
            lateness: h.clone(),
            schedule_lag: h,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.ttft.merge(&other.ttft);
        self.ttft_service.merge(&other.ttft_service);
        self.ttfo.merge(&other.ttfo);
        self.tpot.merge(&other.tpot);
        self.itl.merge(&other.itl);
        self.icl.merge(&other.icl);
        self.e2e.merge(&other.e2e);
        self.e2e_service.merge(&other.e2e_service);
        self.lateness.merge(&other.lateness);
        self.schedule_lag.merge(&other.schedule_lag);
    }

    fn of(&self, metric: Metric) -> &Histogram {
        match metric {
            Metric::Ttft => &self.ttft,
            Metric::Tpot => &self.tpot,
            Metric::Itl => &self.itl,
            Metric::E2e => &self.e2e,
        }
    }

    /// Median of the time that the server took to its first sign of an answer: what the client's own lateness is measured against.
    fn service_median(&self) -> Option<Nanos> {
        self.ttft_service.value_at(Percentile::P50).or_else(|| self.e2e_service.value_at(Percentile::P50)).map(Nanos)
    }

    fn distributions(&self, percentiles: &[Percentile]) -> Latencies {
        Latencies {
            ttft: self.ttft.distribution(percentiles),
            ttft_service: self.ttft_service.distribution(percentiles),
            ttfo: self.ttfo.distribution(percentiles),
            tpot: self.tpot.distribution(percentiles),
            itl: self.itl.distribution(percentiles),
            icl: self.icl.distribution(percentiles),
            e2e: self.e2e.distribution(percentiles),
            e2e_service: self.e2e_service.distribution(percentiles),
            lateness: self.lateness.distribution(percentiles),
        }
    }
}

impl Received {
    fn throughput(&self, window_s: f64, wall_s: f64) -> Throughput {
        let output = self.output_units_in_window as f64 / UNITS_PER_TOKEN as f64;
        Throughput {
            output_tok_s: per_second(output, window_s),
            total_tok_s: per_second(output + self.input_in_window as f64, window_s),
            output_tok_s_wall: per_second(self.output_in_run as f64, wall_s),
            total_tok_s_wall: per_second((self.output_in_run + self.input_in_run) as f64, wall_s),
        }
    }
}

/// `amount / seconds`; 0 for an empty span.
fn per_second(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { amount / seconds } else { 0.0 }
}
