//! Is a run to be trusted? Warnings from what the run says of its client, its counts and its steadiness. docs/METHOD.md lists every limit.

use super::histogram::Histogram;
use super::recorder::Expectations;
use super::summary::{Accounting, ClientFacts, Latencies, TokenReconciliation, Validity};
use crate::base::diag::{Severity, Warning};
use crate::base::time::Nanos;
use crate::scenario::slo::{Metric, Percentile, Slo};

/// Requests sent later than this, at the 99th percentile, are worth a doubt.
pub const LATENESS_DOUBT: Nanos = Nanos::from_millis(5);
/// A request is badly late beyond this share of the endpoint's median time to its first token (and beyond [`LATENESS_DOUBT`]).
pub const LATENESS_OF_MEDIAN: f64 = 0.05;
/// More badly late requests than this share of those sent, and at least [`LATE_AT_LEAST`] requests, make a run invalid.
pub const LATE_SHARE: f64 = 0.01;
/// Two hiccups prove nothing about a small run.
pub const LATE_AT_LEAST: u64 = 3;
/// Delay of the client's event loop, 99th percentile in milliseconds: doubt, invalid.
pub const LOOP_LAG_MS: (f64, f64) = (5.0, 20.0);
/// Mean share of the client's cores in use: doubt, invalid.
pub const CPU_SHARE: (f64, f64) = (0.5, 0.9);
/// Share of due requests that were shed, above which a run is invalid; any is a doubt.
pub const SHED_SHARE: f64 = 0.01;
/// Wall clock against monotonic clock, parts per million: doubt, invalid.
pub const DRIFT_PPM: (f64, f64) = (1_000.0, 10_000.0);
/// Difference of our token count from the server's: note, doubt.
pub const TOKEN_DIFFERENCE: (f64, f64) = (0.02, 0.2);
/// Little's law: relative difference of N and X R that is worth a doubt.
pub const LITTLE_DIFFERENCE: f64 = 0.1;
/// A window of fewer mean times in system than this says nothing about Little's law: what straddles its ends weighs too much.
pub const LITTLE_WINDOWS: f64 = 10.0;
/// Requests due below which no figure says much.
pub const FEW_REQUESTS: u64 = 20;

/// What a verdict on a run rests on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What became of the requests.
    pub accounting: &'a Accounting,
    /// Latency distributions.
    pub latency: &'a Latencies,
    /// Token counts.
    pub tokens: &'a TokenReconciliation,
    /// Objectives: which latencies matter.
    pub slo: &'a Slo,
    /// What was to be expected of the answers.
    pub expect: Expectations,
    /// What the client knows of itself.
    pub client: ClientFacts,
    /// Length of the window in seconds.
    pub window_s: f64,
    /// N: time-average of requests in flight in the window.
    pub in_flight_mean: f64,
    /// X R: requests sent per second of the window times their mean time in flight.
    pub in_system_mean: f64,
    /// Sent minus intended, nanoseconds.
    pub lateness: &'a Histogram,
    /// Median time of the endpoint to its first token (to the end for answers without), if any request ended well.
    pub service_p50: Option<Nanos>,
}

/// Every reason to doubt the run, the gravest first.
#[must_use]
pub fn judge(e: &Evidence<'_>) -> Validity {
    let mut warnings = Vec::new();
    outcome_warnings(e, &mut warnings);
    lateness_warnings(e, &mut warnings);
    client_warnings(&e.client, &mut warnings);
    token_warnings(e, &mut warnings);
    sample_warnings(e, &mut warnings);
    warnings.extend(little(e));
    warnings.sort_by_key(|w| std::cmp::Reverse(w.severity));
    Validity { valid: warnings.iter().all(|w| w.severity < Severity::Invalid), warnings, client: e.client }
}

fn warning(severity: Severity, code: &str, message: String, hint: &str) -> Warning {
    Warning { severity, code: code.to_owned(), message, hint: hint.to_owned() }
}

/// Above `limits.1`: invalid; above `limits.0`: a doubt.
fn grade(value: f64, limits: (f64, f64)) -> Option<(Severity, f64)> {
    match value {
        v if v > limits.1 => Some((Severity::Invalid, limits.1)),
        v if v > limits.0 => Some((Severity::Doubt, limits.0)),
        _ => None,
    }
}

fn outcome_warnings(e: &Evidence<'_>, out: &mut Vec<Warning>) {
    let a = e.accounting;
    if a.due == 0 {
        let hint = "lengthen load.measure or raise the rate";
        out.push(warning(Severity::Invalid, "no-requests", "no request was due in the measured window".to_owned(), hint));
    } else if a.ok == 0 {
        let worst = a.outcomes.iter().max_by_key(|&(_, n)| n).map_or("unknown", |(name, _)| name.as_str());
        let message = format!("none of {} requests ended well; most ended as {worst}", a.due);
        out.push(warning(Severity::Invalid, "all-failed", message, "look at the example messages of the failures; try one request by hand"));
    }
    if a.shed > 0 {
        let share = a.shed as f64 / a.due as f64;
        let severity = if share > SHED_SHARE { Severity::Invalid } else { Severity::Doubt };
        let message =
            format!("{} of {} requests ({:.2}%, limit {:.0}%) were not sent for lack of a slot", a.shed, a.due, share * 100.0, SHED_SHARE * 100.0);
        out.push(warning(severity, "shed", message, "raise load.max_in_flight, or lower the rate: the endpoint does not keep up"));
    }
    if e.client.stopped_early {
        let hint = "the figures are of the part that ran; run it to its end before comparing";
        out.push(warning(Severity::Doubt, "stopped-early", "the run was stopped before its end".to_owned(), hint));
    }
}

fn lateness_warnings(e: &Evidence<'_>, out: &mut Vec<Warning>) {
    let lag = e.lateness;
    let Some(p99) = lag.value_at(Percentile::P99).map(Nanos) else { return };
    let of_median = e.service_p50.map_or(Nanos::ZERO, |p50| Nanos::from_secs_f64(p50.as_secs_f64() * LATENESS_OF_MEDIAN));
    let limit = LATENESS_DOUBT.max(of_median);
    let late = lag.count_above(limit.0);
    let hint = "this machine cannot send so fast: lower the rate, free its cores, or split the load over several machines";
    if late >= LATE_AT_LEAST && late as f64 > LATE_SHARE * lag.n() as f64 {
        let share = 100.0 * late as f64 / lag.n() as f64;
        let message = format!("{share:.1}% of requests (limit {:.0}%) were sent more than {limit} late", LATE_SHARE * 100.0);
        out.push(warning(Severity::Invalid, "schedule-late", message, hint));
    } else if p99 > LATENESS_DOUBT {
        let message = format!("the latest hundredth of the requests was sent {p99} late or more (limit {LATENESS_DOUBT})");
        out.push(warning(Severity::Doubt, "schedule-late", message, hint));
    }
}

fn client_warnings(c: &ClientFacts, out: &mut Vec<Warning>) {
    let own = if c.embedded_endpoint {
        "the simulated endpoint shares this process: run `plimsoll serve` apart, or lower the rate"
    } else if c.cores <= 2 {
        "this machine has few cores: lower the rate or load from a larger machine"
    } else {
        "close what else runs on this machine, lower the rate, or split the load over several machines"
    };
    if let Some((severity, limit)) = grade(c.loop_lag_p99_ms, LOOP_LAG_MS) {
        let message = format!("the client's event loop was {:.1} ms late (p99, limit {limit:.0} ms); that is in every latency", c.loop_lag_p99_ms);
        out.push(warning(severity, "loop-lag", message, own));
    }
    if let Some((severity, limit)) = grade(c.cpu_share, CPU_SHARE) {
        let message = format!("the client used {:.0}% of its {} cores (limit {:.0}%)", c.cpu_share * 100.0, c.cores, limit * 100.0);
        out.push(warning(severity, "client-cpu", message, own));
    }
    if let Some((severity, limit)) = grade(c.clock_drift_ppm.abs(), DRIFT_PPM) {
        let message = format!("wall clock and monotonic clock differ by {:.0} ppm (limit {limit:.0} ppm)", c.clock_drift_ppm);
        out.push(warning(severity, "clock-drift", message, "the machine slept, or its clock was set during the run: run again"));
    }
}

fn token_warnings(e: &Evidence<'_>, out: &mut Vec<Warning>) {
    let (a, t) = (e.accounting, e.tokens);
    let missing = a.notes.get("missing_usage").copied().unwrap_or(0);
    if e.expect.usage_asked && missing > 0 {
        let severity = if e.expect.tokenizer { Severity::Note } else { Severity::Doubt };
        let message = format!("{missing} of {} answers came without the token usage that was asked for", a.due);
        out.push(warning(severity, "usage-missing", message, "output tokens of these answers were counted on this side"));
    }
    let chunks = t.sources.get("chunks").copied().unwrap_or(0);
    if chunks > 0 {
        let message = format!("output tokens of {chunks} of {} answers were guessed, one a chunk", t.requests);
        out.push(warning(
            Severity::Doubt,
            "tokens-guessed",
            message,
            "set target.include_usage = true, or name a vocabulary in workload.prompts.tokenizer",
        ));
    }
    if e.expect.tokenizer && e.expect.streaming && t.output_usage > 0 && t.output_counted > 0 {
        let difference = t.output_counted as f64 / t.output_usage as f64 - 1.0;
        if difference.abs() > TOKEN_DIFFERENCE.0 {
            let severity = if difference.abs() > TOKEN_DIFFERENCE.1 { Severity::Doubt } else { Severity::Note };
            let message =
                format!("we count {:+.1}% output tokens against the server's usage (limit {:.0}%)", difference * 100.0, TOKEN_DIFFERENCE.0 * 100.0);
            out.push(warning(severity, "token-mismatch", message, "the vocabulary in workload.prompts.tokenizer is probably not the model's"));
        }
    }
    if t.requests > 0 && t.length_mismatch * 10 > t.requests && t.output_asked > 0 {
        let message = format!("{} of {} answers are not as long as asked", t.length_mismatch, t.requests);
        out.push(warning(Severity::Note, "length-mismatch", message, "set target.ignore_eos = true where the server understands it"));
    }
    let streamed_only = [Metric::Ttft, Metric::Tpot, Metric::Itl];
    if !e.expect.streaming && e.slo.terms().any(|term| streamed_only.contains(&term.metric)) {
        let message = "objectives speak of TTFT, TPOT or ITL, which answers that are not streamed do not show".to_owned();
        out.push(warning(Severity::Doubt, "not-streamed", message, "set target.stream = true, or set objectives on E2E only"));
    }
}

fn sample_warnings(e: &Evidence<'_>, out: &mut Vec<Warning>) {
    let due = e.accounting.due;
    if (1..FEW_REQUESTS).contains(&due) {
        let message = format!("only {due} requests were due in the window (limit {FEW_REQUESTS})");
        out.push(warning(Severity::Doubt, "few-requests", message, "lengthen load.measure or raise the rate"));
    }
    let reach = |p: Percentile| due > 0 && due < p.samples_needed();
    if let Some(p) = e.slo.terms().filter(|t| t.metric != Metric::Itl).map(|t| t.percentile).filter(|&p| reach(p)).max() {
        let message = format!("an objective speaks of {p}, which needs {} requests; {due} were due", p.samples_needed());
        out.push(warning(Severity::Doubt, "sample-small", message, "lengthen load.measure, or ask for a lower percentile"));
    }
    let l = e.latency;
    let clipped: u64 = [&l.ttft, &l.ttfo, &l.tpot, &l.itl, &l.icl, &l.e2e].iter().map(|d| d.clipped).sum();
    if clipped > 0 {
        let message = format!("{clipped} latencies were longer than 1 h and are counted there");
        out.push(warning(Severity::Doubt, "clipped", message, "lower target.timeouts.total"));
    }
}

/// Little's law: in a steady window N = X R. A difference means that the window began or ended with a backlog.
fn little(e: &Evidence<'_>) -> Option<Warning> {
    let (n, xr) = (e.in_flight_mean, e.in_system_mean);
    let mean_s = xr * e.window_s / e.accounting.due.max(1) as f64;
    if e.accounting.due < 100 || n <= 0.0 || e.window_s < LITTLE_WINDOWS * mean_s || (xr / n - 1.0).abs() <= LITTLE_DIFFERENCE {
        return None;
    }
    let message =
        format!("{n:.2} requests were in flight on average, and rate times time in flight gives {xr:.2} (limit {:.0}%)", LITTLE_DIFFERENCE * 100.0);
    let hint = "the window is not in a steady state: lengthen load.warmup, or the load is above what the endpoint sustains";
    Some(warning(Severity::Doubt, "not-steady", message, hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::recorder::Recorder;
    use crate::measure::summary::Summary;
    use crate::record::outcome::Outcome;
    use crate::record::request::{Phase, RequestRecord, TokenSource, Usage};

    /// A run of `n` good requests, 10 a second, TTFT 200 ms, E2E 400 ms, changed by `edit`.
    fn run(n: u64, client: ClientFacts, expect: Expectations, edit: impl Fn(u64, &mut RequestRecord)) -> Summary {
        let slo = serde_json::from_str(r#"{"ttft": {"p95": "1s"}}"#).unwrap();
        let mut recorder = Recorder::new(&slo, (Nanos::ZERO, Nanos::from_millis(n.max(1) * 100)), Nanos::from_secs(1));
        for seq in 0..n {
            let due = Nanos::from_millis(seq * 100);
            let mut r = RequestRecord::due(seq, Phase::Measure, due, 100, 20);
            let after = |ms| due + Nanos::from_millis(ms);
            (r.sent, r.first_token, r.last_token, r.closed) = (Some(due), Some(after(200)), Some(after(400)), after(400));
            (r.outcome, r.output_tokens, r.counted_tokens, r.token_source) = (Outcome::Ok, 20, 20, TokenSource::Usage);
            r.usage = Some(Usage { prompt: 100, completion: 20, cached: None, reasoning: None });
            edit(seq, &mut r);
            recorder.observe(&r);
        }
        recorder.finish(Nanos::from_millis(n * 100 + 400), client, expect)
    }

    const EXPECT: Expectations = Expectations { usage_asked: true, streaming: true, tokenizer: true };

    fn found(s: &Summary) -> Vec<(Severity, &str)> {
        s.validity.warnings.iter().map(|w| (w.severity, w.code.as_str())).collect()
    }

    fn with(edit: impl Fn(u64, &mut RequestRecord)) -> Summary {
        run(1000, ClientFacts::default(), EXPECT, edit)
    }

    fn client(edit: impl Fn(&mut ClientFacts)) -> Summary {
        let mut facts = ClientFacts { cores: 8, ..ClientFacts::default() };
        edit(&mut facts);
        run(1000, facts, EXPECT, |_, _| {})
    }

    #[test]
    fn a_quiet_run_is_valid_without_a_warning() {
        let s = with(|_, _| {});
        assert_eq!(found(&s), []);
        assert!(s.validity.valid);
    }

    #[test]
    fn lateness_is_judged_against_the_endpoints_own_time() {
        let late = |every: u64, ms: u64| {
            with(move |seq, r| {
                if seq % every == 0 {
                    r.sent = Some(r.intended + Nanos::from_millis(ms));
                }
            })
        };
        // 5 % of a median of 200 ms is 10 ms.
        assert_eq!(found(&late(50, 30)), [(Severity::Invalid, "schedule-late")]);
        assert_eq!(found(&late(50, 8)), [(Severity::Doubt, "schedule-late")]);
        assert_eq!(found(&late(50, 4)), []);
        assert_eq!(found(&late(500, 30)), []);
    }

    #[test]
    fn the_clients_own_limits_have_two_steps() {
        for (edit, code) in [
            ((|c: &mut ClientFacts, v| c.loop_lag_p99_ms = 10.0 * v) as fn(&mut ClientFacts, f64), "loop-lag"),
            (|c, v| c.cpu_share = 0.6 * v, "client-cpu"),
            (|c, v| c.clock_drift_ppm = -5_000.0 * v, "clock-drift"),
        ] {
            assert_eq!(found(&client(|c| edit(c, 0.1))), [], "{code}");
            assert_eq!(found(&client(|c| edit(c, 1.0))), [(Severity::Doubt, code)]);
            let s = client(|c| edit(c, 2.5));
            assert_eq!(found(&s), [(Severity::Invalid, code)]);
            assert!(!s.validity.valid);
        }
    }

    #[test]
    fn an_endpoint_in_the_same_process_changes_the_hint() {
        let hint = |embedded| client(|c| (c.cpu_share, c.embedded_endpoint) = (0.95, embedded)).validity.warnings[0].hint.clone();
        assert!(hint(true).contains("plimsoll serve") && !hint(false).contains("plimsoll serve"));
    }

    #[test]
    fn requests_that_were_not_sent_or_did_not_end_well_are_seen() {
        let shed = |every: u64| {
            with(move |seq, r| {
                if seq % every == 0 {
                    *r = RequestRecord::due(seq, Phase::Measure, r.intended, 100, 20);
                }
            })
        };
        assert_eq!(found(&shed(200)), [(Severity::Doubt, "shed")]);
        assert_eq!(found(&shed(50)), [(Severity::Invalid, "shed")]);
        let s = with(|_, r| r.outcome = Outcome::Unreachable);
        assert_eq!(found(&s)[0], (Severity::Invalid, "all-failed"));
        assert!(s.validity.warnings[0].message.contains("unreachable"));
        assert_eq!(found(&run(0, ClientFacts::default(), EXPECT, |_, _| {})), [(Severity::Invalid, "no-requests")]);
        assert_eq!(found(&client(|c| c.stopped_early = true)), [(Severity::Doubt, "stopped-early")]);
    }

    #[test]
    fn doubtful_token_counts_are_named() {
        let s = with(|_, r| {
            (r.usage, r.token_source, r.notes.missing_usage) = (None, TokenSource::Chunks, true);
        });
        assert_eq!(found(&s), [(Severity::Doubt, "tokens-guessed"), (Severity::Note, "usage-missing")]);
        assert_eq!(found(&with(|_, r| r.counted_tokens = 21)), [(Severity::Note, "token-mismatch")]);
        assert_eq!(found(&with(|_, r| r.counted_tokens = 10)), [(Severity::Doubt, "token-mismatch")]);
        assert_eq!(found(&with(|_, r| (r.output_asked, r.notes.length_mismatch) = (64, true))), [(Severity::Note, "length-mismatch")]);
    }

    #[test]
    fn small_samples_are_named() {
        let small = |n| run(n, ClientFacts::default(), EXPECT, |_, _| {});
        assert_eq!(found(&small(19)), [(Severity::Doubt, "few-requests"), (Severity::Doubt, "sample-small")]);
        assert_eq!(found(&small(199)), [(Severity::Doubt, "sample-small")]);
        assert_eq!(found(&small(200)), []);
    }

    #[test]
    fn a_growing_backlog_is_not_steady() {
        // Each request takes 15 ms longer than the one before.
        let s = with(|seq, r| r.closed = r.sent.unwrap() + Nanos::from_millis(400 + 15 * seq));
        assert_eq!(found(&s), [(Severity::Doubt, "not-steady")]);
    }

    #[test]
    fn objectives_on_tokens_need_streaming() {
        let s = run(1000, ClientFacts::default(), Expectations { streaming: false, ..EXPECT }, |_, _| {});
        assert_eq!(found(&s), [(Severity::Doubt, "not-streamed")]);
    }
}
