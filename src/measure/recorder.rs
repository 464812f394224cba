//! `Recorder`: folds records into a [`Summary`], one pass, constant memory. docs/METHOD.md says every definition as a formula.

use super::histogram::Histogram;
use super::received::{self, UNITS_PER_TOKEN};
use super::series::{Count, Intervals};
use super::slo::{Judge, Latency};
use super::summary::{Accounting, ClientFacts, Latencies, Summary, Throughput, Window};
use super::tokens::{Tokens, add, merge_counts};
use super::validity::{self, Evidence};
use crate::base::time::Nanos;
use crate::record::outcome::{Group, Outcome};
use crate::record::request::{Phase, RequestRecord};
use crate::scenario::model::Scenario;
use crate::scenario::slo::{Metric, Percentile, Slo};
use crate::scenario::target::Task;

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

impl Expectations {
    /// What a scenario lets expect: text is counted with its vocabulary.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let target = &scenario.target;
        let text = target.task != Task::Embeddings;
        // Answers that are not streamed carry their usage without being asked.
        Self { usage_asked: target.include_usage || !target.stream, streaming: target.stream && text, tokenizer: text }
    }
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
    edges: Edges,
}

/// What crosses the ends of the window: the difference between what was due in it and what happened in it.
#[derive(Clone, Copy, Debug, Default)]
struct Edges {
    /// In flight at its beginning.
    open_at_start: u64,
    /// In flight at its end.
    open_at_end: u64,
    /// Ended well inside it, whenever due.
    completed: u64,
    /// Due in it and sent after its end, or never although a slot was free.
    sent_after: u64,
}

impl Edges {
    fn observe(&mut self, r: &RequestRecord, (start, end): (Nanos, Nanos)) {
        let is_open = |at: Nanos| r.sent.is_some_and(|sent| sent < at && r.closed >= at);
        self.open_at_start += u64::from(is_open(start));
        self.open_at_end += u64::from(is_open(end));
        self.completed += u64::from(r.is_ok() && start <= r.closed && r.closed < end);
        let is_due = r.phase != Phase::Warmup && start <= r.intended && r.intended < end;
        // What was still waiting to be sent at the end of the drain was not sent in time either.
        let is_late = r.sent.map_or(r.outcome == Outcome::Unfinished, |sent| sent >= end);
        self.sent_after += u64::from(is_due && is_late);
    }

    fn add(&mut self, other: Self) {
        self.open_at_start += other.open_at_start;
        self.open_at_end += other.open_at_end;
        self.completed += other.completed;
        self.sent_after += other.sent_after;
    }
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
            edges: Edges::default(),
        }
    }

    /// Counts one request, of any phase and outcome.
    pub fn observe(&mut self, r: &RequestRecord) {
        self.observe_series(r);
        self.observe_tokens(r);
        self.edges.observe(r, self.window);
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
        self.edges.add(other.edges);
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
        let levels = self.series.in_flight_levels(self.window, validity::BACKLOG_BATCHES);
        let validity = validity::judge(&Evidence {
            accounting: a,
            latency: &latency,
            tokens: &tokens,
            slo: self.judge.slo(),
            expect,
            client,
            window_s,
            wall_s: wall.as_secs_f64(),
            in_flight_mean,
            in_system_mean: per_second(self.in_system as f64 / 1e9, window_s),
            open: (self.edges.open_at_start, self.edges.open_at_end),
            levels: &levels,
            sent_after: self.edges.sent_after,
            lateness: &self.latency.lateness,
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
            completed_rate: per_second(self.edges.completed as f64, window_s),
            in_flight_mean,
            in_flight_max: self.series.in_flight_max().max(in_flight_floor),
            throughput: self.received.throughput(window_s, wall.as_secs_f64()),
            latency,
            goodput: self.judge.goodput(window_s),
            objectives: self.judge.objectives(expect.streaming, |metric| self.latency.of(metric)),
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
        let (mut raw, mut shared) = (Run::default(), Run::default());
        for chunk in r.chunks.iter().skip(1) {
            raw.add(chunk.gap, 1, |gap, n| self.latency.icl.record_n(gap, n));
            // A chunk without a whole token (half a character) hands its wait on to the next one.
            waited = waited.saturating_add(chunk.gap);
            if chunk.tokens > 0 {
                let k = u64::from(chunk.tokens);
                let gap = if k == 1 { waited } else { waited / k };
                shared.add(gap, k, |gap, n| self.observe_itl(gap, n));
                sum = sum.saturating_add(waited);
                tokens += k;
                waited = 0;
            }
        }
        self.latency.icl.record_n(raw.value, raw.n);
        self.observe_itl(shared.value, shared.n);
        (tokens > 0).then(|| Nanos(sum / tokens))
    }

    fn observe_itl(&mut self, gap: u64, n: u64) {
        self.latency.itl.record_n(gap, n);
        self.judge.gaps(Nanos(gap), n);
    }
}

/// A value that came `n` times in a row. The events of one read share their instant, so that gaps of zero come in runs.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    value: u64,
    n: u64,
}

impl Run {
    /// Adds a value `n` times; a run that this ends goes to `ended`.
    #[inline]
    fn add(&mut self, value: u64, n: u64, ended: impl FnOnce(u64, u64)) {
        if value == self.value {
            self.n += n;
            return;
        }
        ended(self.value, self.n);
        *self = Self { value, n };
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
            lateness: h,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::request::{ChunkStamp, TokenSource};
    use crate::scenario::slo::Percentile;
    use proptest::prelude::*;

    const WINDOW: (Nanos, Nanos) = (Nanos::from_secs(10), Nanos::from_secs(20));
    const SECOND: Nanos = Nanos::from_secs(1);
    const OUTCOMES: [Outcome; 20] = [
        Outcome::Ok,
        Outcome::ThrottledCapacity,
        Outcome::ThrottledLimit,
        Outcome::TimeoutConnect,
        Outcome::TimeoutFirstByte,
        Outcome::TimeoutIdle,
        Outcome::TimeoutTotal,
        Outcome::Shed,
        Outcome::Cancelled,
        Outcome::Unreachable,
        Outcome::Tls,
        Outcome::Unauthorized,
        Outcome::NotFound,
        Outcome::BadRequest,
        Outcome::ServerError,
        Outcome::InBandError,
        Outcome::Truncated,
        Outcome::Malformed,
        Outcome::Empty,
        Outcome::Redirect,
    ];

    fn ms(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    /// A good answer: due at `due` ms, sent 1 ms later, first token at `first` ms, then chunks of (gap in ms, tokens).
    fn answer(due: u64, first: u64, chunks: &[(u64, u32)]) -> RequestRecord {
        let mut r = RequestRecord::due(0, if ms(due) < WINDOW.0 { Phase::Warmup } else { Phase::Measure }, ms(due), 100, 0);
        r.outcome = Outcome::Ok;
        r.sent = Some(ms(due + 1));
        r.first_token = Some(ms(first));
        r.first_content = Some(ms(first));
        r.chunks = std::iter::once(ChunkStamp { gap: 0, tokens: 1 })
            .chain(chunks.iter().map(|&(gap, tokens)| ChunkStamp { gap: gap * 1_000_000, tokens }))
            .collect();
        r.last_token = Some(ms(first + chunks.iter().map(|c| c.0).sum::<u64>()));
        r.closed = r.last_token.unwrap();
        r.output_tokens = r.chunks.iter().map(|c| c.tokens).sum();
        (r.output_asked, r.counted_tokens, r.token_source) = (r.output_tokens, r.output_tokens, TokenSource::Usage);
        r
    }

    fn lost(due: u64, outcome: Outcome) -> RequestRecord {
        let mut r = RequestRecord::due(0, Phase::Measure, ms(due), 100, 10);
        r.outcome = outcome;
        r
    }

    fn fold<'a>(slo: &Slo, records: impl IntoIterator<Item = &'a RequestRecord>) -> Recorder {
        let mut recorder = Recorder::new(slo, WINDOW, SECOND);
        records.into_iter().for_each(|r| recorder.observe(r));
        recorder
    }

    fn summary(slo: &Slo, records: &[RequestRecord]) -> Summary {
        fold(slo, records).finish(Nanos::from_secs(25), ClientFacts::default(), Expectations { streaming: true, ..Expectations::default() })
    }

    /// Objectives in JSON: `{"ttft": {"p50": "80ms"}}`.
    fn slo(text: &str) -> Slo {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn each_metric_has_its_definition() {
        // Due at 10,000 ms; first token 200 ms later; then 1 token after 20 ms and 4 tokens after 40 ms.
        let s = summary(&Slo::default(), &[answer(10_000, 10_200, &[(20, 1), (40, 4)])]);
        let l = &s.latency;
        assert_eq!((l.ttft.mean_ms, l.ttft_service.mean_ms, l.ttfo.mean_ms, l.lateness.mean_ms), (200.0, 199.0, 200.0, 1.0));
        assert_eq!((l.e2e.mean_ms, l.e2e_service.mean_ms), (260.0, 259.0));
        // TPOT: 60 ms over the 5 tokens after the first chunk. ITL: 20 once, 40 / 4 four times. ICL: 20 and 40.
        assert_eq!((l.tpot.n, l.tpot.mean_ms), (1, 12.0));
        assert_eq!((l.itl.n, l.itl.mean_ms, l.itl.min_ms, l.itl.max_ms), (5, 12.0, 10.0, 20.0));
        assert_eq!((l.icl.n, l.icl.mean_ms), (2, 30.0));
        assert_eq!((s.offered_rate, s.served_rate, s.in_flight_mean), (0.1, 0.1, 0.0259));
        assert_eq!((s.throughput.output_tok_s, s.throughput.total_tok_s), (0.6, 10.6));
        assert_eq!((s.throughput.output_tok_s_wall, s.throughput.total_tok_s_wall), (6.0 / 25.0, 106.0 / 25.0));
    }

    #[test]
    fn tokens_count_where_they_are_received_and_requests_where_they_are_due() {
        // Due in warm-up, two of four tokens inside; due inside, two of three tokens after the end; due inside and answered after the end.
        let records = [answer(9_000, 9_500, &[(400, 1), (600, 1), (100, 1)]), answer(19_900, 19_950, &[(100, 2)]), answer(19_990, 20_500, &[])];
        let s = summary(&Slo::default(), &records);
        assert_eq!((s.accounting.due, s.accounting.warmup), (2, 1));
        assert!((s.throughput.output_tok_s - 0.3).abs() < 1e-5, "{}", s.throughput.output_tok_s);
        assert!((s.throughput.total_tok_s - (3.0 + 100.0) / 10.0).abs() < 1e-5);
        assert_eq!(s.latency.ttft.n, 2);
    }

    #[test]
    fn a_chunk_without_a_token_hands_its_wait_on() {
        let s = summary(&Slo::default(), &[answer(10_000, 10_100, &[(10, 0), (20, 3), (5, 0)])]);
        assert_eq!((s.latency.itl.n, s.latency.itl.mean_ms, s.latency.icl.n), (3, 10.0, 3));
    }

    #[test]
    fn what_is_not_defined_is_left_out_and_never_zero() {
        // One token: no TPOT, no ITL. An embedding: no token at all, E2E to the close.
        let mut embedding = RequestRecord::due(1, Phase::Measure, ms(11_000), 100, 0);
        (embedding.outcome, embedding.sent, embedding.closed) = (Outcome::Ok, Some(ms(11_000)), ms(11_040));
        let s = summary(&slo(r#"{"tpot": {"p50": "1ms"}, "ttft": {"p50": "200ms"}}"#), &[answer(10_000, 10_100, &[]), embedding]);
        let l = &s.latency;
        assert_eq!((l.ttft.n, l.tpot.n, l.itl.n, l.icl.n, l.e2e.n), (1, 0, 0, 0, 2));
        assert_eq!((l.e2e.min_ms, l.e2e.max_ms), (40.0, 100.0));
        assert_eq!((s.goodput.good, s.goodput.share), (2, 1.0));
        assert_eq!(s.throughput.total_tok_s, (100.0 + 1.0 + 100.0) / 10.0);
    }

    #[test]
    fn failures_stay_out_of_latency_and_miss_every_objective() {
        let mut records: Vec<_> = (0..30).map(|i| answer(10_000 + i * 100, 10_050 + i * 100, &[(10, 1)])).collect();
        records.extend((0..10).map(|i| lost(15_000 + i, if i < 5 { Outcome::ServerError } else { Outcome::Cancelled })));
        let objectives = slo(
            r#"{"ttft": {"p50": "50ms", "p75": "50ms", "p76": "1h"}, "itl": {"p50": "10ms"}, "e2e": {"p50": "59ms"}, "errors": "12.5%", "goodput": "75.1%"}"#,
        );
        let s = summary(&objectives, &records);
        assert_eq!(s.latency.ttft.n, 30);
        let told: Vec<String> = s.objectives.iter().map(|o| format!("{}: {} {:?}", o.text, o.measured, o.verdict)).collect();
        assert_eq!(
            told,
            [
                "TTFT p50 <= 50.0 ms: 50.0 ms Met",
                "TTFT p75 <= 50.0 ms: 50.0 ms Met",
                "TTFT p76 <= 60.0 min: n/a (need >= 42) Undecided",
                "ITL p50 <= 10.0 ms: 10.0 ms Met",
                "E2E p50 <= 59.0 ms: 60.0 ms NotMet",
                "errors <= 12.5%: 12.50% (5 of 40) Met",
                "goodput >= 75.1%: 0.00% (0 of 40) NotMet",
            ]
        );
    }

    #[test]
    fn a_percentile_among_the_failures_is_infinite() {
        let mut records: Vec<_> = (0..30).map(|i| answer(10_000 + i * 100, 10_050 + i * 100, &[])).collect();
        records.extend((0..20).map(|i| lost(15_000 + i, Outcome::Shed)));
        let s = summary(&slo(r#"{"ttft": {"p60": "50ms", "p62": "1h"}}"#), &records);
        assert_eq!(s.objectives[0].verdict, super::super::summary::ObjectiveVerdict::Met);
        assert_eq!(s.objectives[1].measured, "infinite (20 of 50 did not end well)");
        assert_eq!(s.objectives[1].verdict, super::super::summary::ObjectiveVerdict::NotMet);
    }

    #[test]
    fn good_is_what_meets_the_loosest_bound_of_every_metric() {
        let objectives = slo(r#"{"ttft": {"p50": "50ms", "p90": "100ms"}, "e2e": {"p90": "150ms"}}"#);
        let records =
            [answer(10_000, 10_080, &[(70, 1)]), answer(10_000, 10_080, &[(71, 1)]), answer(10_000, 10_101, &[]), lost(10_000, Outcome::Shed)];
        let s = summary(&objectives, &records);
        assert_eq!((s.goodput.good, s.goodput.share, s.goodput.rate), (1, 0.25, 0.1));
    }

    #[test]
    fn requests_in_flight_are_averaged_over_the_window() {
        // 5 s inside of a request of the warm-up, 4 s of one that ends after the window; 1 s together.
        let records = [answer(8_999, 9_500, &[(5_500, 1)]), answer(15_999, 21_000, &[])];
        let s = summary(&Slo::default(), &records);
        assert_eq!(s.in_flight_mean, 0.9);
        assert_eq!(s.in_flight_max, 1);
        let s = summary(&Slo::default(), &[answer(10_000, 12_000, &[]), answer(11_000, 14_000, &[]), answer(13_000, 15_000, &[])]);
        assert_eq!(s.in_flight_max, 2);
    }

    /// Any record that an engine could make.
    fn any_record() -> impl Strategy<Value = RequestRecord> {
        let chunk = (0_u64..300, 0_u32..5);
        (0_u64..25_000, 0_u64..3_000, proptest::collection::vec(chunk, 0..12), 0_usize..60, 0_u32..40, any::<[bool; 3]>()).prop_map(
            |(due, ttft, chunks, outcome, usage, flags)| {
                let mut r = answer(due, due + 1 + ttft, &chunks);
                r.outcome = OUTCOMES.get(outcome).copied().unwrap_or(Outcome::Ok);
                if flags[0] {
                    r.output_tokens = usage;
                }
                if flags[1] {
                    r.chunks.clear();
                }
                if r.outcome == Outcome::Shed {
                    let shed = lost(due, Outcome::Shed);
                    return RequestRecord { phase: r.phase, ..shed };
                }
                r.notes.missing_usage = flags[2];
                r
            },
        )
    }

    /// The value of rank ceil(p n) in a sorted sample, milliseconds, if the sample is large enough.
    fn exact(mut values: Vec<u64>, p: Percentile) -> Option<f64> {
        values.sort_unstable();
        let n = values.len() as u64;
        let rank = usize::try_from(super::super::histogram::rank(p, n)).unwrap();
        (n >= p.samples_needed()).then(|| values[rank - 1] as f64 / 1e6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// forall records, split: merge(fold(a), fold(b)) == fold(a and b), every figure, bit by bit.
        #[test]
        fn merging_equals_one_recorder(records in proptest::collection::vec(any_record(), 0..80), split in 0_usize..80) {
            let objectives = slo(r#"{"ttft": {"p50": "900ms"}, "tpot": {"p50": "90ms"}, "itl": {"p90": "80ms"}, "e2e": {"p90": "3s"}, "goodput": "50%"}"#);
            let (a, b) = records.split_at(split.min(records.len()));
            let mut merged = fold(&objectives, a);
            merged.merge(&fold(&objectives, b));
            let finish = |r: &Recorder| r.finish(Nanos::from_secs(30), ClientFacts::default(), Expectations::default());
            prop_assert_eq!(finish(&merged), finish(&fold(&objectives, &records)));
        }

        /// forall records: every due request is in exactly one group and one outcome, and every record is due, of the warm-up, or after the window.
        #[test]
        fn the_accounting_identity_holds(records in proptest::collection::vec(any_record(), 0..120)) {
            let s = summary(&Slo::default(), &records);
            let a = &s.accounting;
            prop_assert_eq!(a.due, a.ok + a.failed + a.throttled + a.timed_out + a.shed + a.cancelled);
            prop_assert_eq!(a.due, a.outcomes.values().sum::<u64>());
            let after = records.iter().filter(|r| r.intended >= WINDOW.1).count() as u64;
            prop_assert_eq!(a.due + a.warmup + after, records.len() as u64);
            prop_assert_eq!(s.latency.e2e.n, a.ok);
        }

        /// forall records: percentiles are within 0.1 % of those of the sorted values, and exactly as often absent.
        #[test]
        fn percentiles_agree_with_sorting(records in proptest::collection::vec(any_record(), 0..300)) {
            let s = summary(&Slo::default(), &records);
            let ok: Vec<_> = records.iter().filter(|r| r.is_ok() && WINDOW.0 <= r.intended && r.intended < WINDOW.1).collect();
            let mut itl = Vec::new();
            for r in &ok {
                let mut waited = 0;
                for c in r.chunks.iter().skip(1) {
                    waited += c.gap;
                    if c.tokens > 0 {
                        itl.extend(std::iter::repeat_n(waited / u64::from(c.tokens), c.tokens as usize));
                        waited = 0;
                    }
                }
            }
            let values = [
                (&s.latency.ttft, ok.iter().filter_map(|r| r.ttft()).map(|v| v.0).collect()),
                (&s.latency.e2e, ok.iter().map(|r| r.e2e().0).collect()),
                (&s.latency.tpot, ok.iter().filter_map(|r| r.tpot_s()).map(|v| Nanos::from_secs_f64(v).0).collect::<Vec<_>>()),
                (&s.latency.icl, ok.iter().flat_map(|r| r.chunks.iter().skip(1).map(|c| c.gap)).collect()),
                (&s.latency.itl, itl),
            ];
            for (read, exact_values) in values {
                prop_assert_eq!(read.n, exact_values.len() as u64);
                for p in [Percentile::P50, Percentile::P90, Percentile::P95, Percentile::P99] {
                    match (read.at(&p.to_string()), exact(exact_values.clone(), p)) {
                        (None, None) => {}
                        (Some(read), Some(exact)) => prop_assert!(read >= exact && read <= exact * 1.001 + 1e-6, "{read} for {exact}"),
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
            }
        }

        /// forall records: all tokens of the run are in the series, and those of the window in the throughput.
        #[test]
        fn no_token_is_lost(records in proptest::collection::vec(any_record(), 0..100)) {
            let s = summary(&Slo::default(), &records);
            let output: u64 = records.iter().map(|r| u64::from(r.output_tokens)).sum();
            let in_series: f64 = s.series.points.iter().map(|p| p.output_tok_s * s.series.step_s).sum();
            prop_assert!((in_series - output as f64).abs() < 1e-3, "{in_series} of {output}");
            let in_window: f64 = s.series.points.iter().skip(10).take(10).map(|p| p.output_tok_s).sum();
            prop_assert!((in_window - s.throughput.output_tok_s * 10.0).abs() < 1e-3);
            prop_assert!((s.throughput.output_tok_s_wall * 25.0 - output as f64).abs() < 1e-6);
        }
    }
}
