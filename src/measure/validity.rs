//! Is a run to be trusted? Warnings from what the run says of its client, its counts and its steadiness. docs/METHOD.md lists every limit.

mod client;
mod steady;

pub use client::{
    CPU_MEAN, CPU_WAIT_SHARE, CPU_WINDOWS, DRIFT_PPM, LATE_AT_LEAST, LATE_SHARE, LATENESS_DOUBT, LATENESS_NOTE, LATENESS_OF_MEDIAN, LOG_BACKLOG,
    LOOP_LAG_MS, NOT_ACHIEVED, STEAL_SHARE, STOPPED, THROTTLED_SHARE,
};
pub use steady::{BACKLOG_BATCHES, BACKLOG_SHARE, BACKLOG_T, LITTLE_DIFFERENCE, LITTLE_WINDOWS};

use super::histogram::Histogram;
use super::recorder::Expectations;
use super::summary::{Accounting, ClientFacts, Latencies, TokenReconciliation, Validity};
use crate::base::diag::{Severity, Warning};
use crate::base::time::Nanos;
use crate::scenario::slo::{Metric, Percentile, Slo};

/// Share of due requests that were shed, above which a run is invalid; any is a doubt.
pub const SHED_SHARE: f64 = 0.01;
/// Difference of our token count from the server's: note, doubt.
pub const TOKEN_DIFFERENCE: (f64, f64) = (0.02, 0.2);
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
    /// Length of the whole run in seconds.
    pub wall_s: f64,
    /// N: time-average of requests in flight in the window.
    pub in_flight_mean: f64,
    /// X R: requests sent per second of the window times their mean time in flight.
    pub in_system_mean: f64,
    /// Requests in flight at the beginning and at the end of the window.
    pub open: (u64, u64),
    /// Mean requests in flight over [`BACKLOG_BATCHES`] equal parts of the window; empty when it is too short for them.
    pub levels: &'a [f64],
    /// Requests due in the window and sent after its end, or never although a slot was free.
    pub sent_after: u64,
    /// Sent minus intended, nanoseconds.
    pub lateness: &'a Histogram,
    /// Median time of the endpoint to its first token (to the end for answers without), if any request ended well.
    pub service_p50: Option<Nanos>,
}

/// Every reason to doubt the run, the gravest first.
#[must_use]
pub fn judge(e: &Evidence<'_>) -> Validity {
    let mut warnings = Vec::new();
    client::lateness(e, &mut warnings);
    client::own_limits(e, &mut warnings);
    // Told before the outcomes: a client that is held up has its slots taken by its own delay, and the endpoint must not be blamed for it.
    let is_client = warnings.iter().any(|w| w.severity == Severity::Invalid);
    outcome_warnings(e, is_client, &mut warnings);
    token_warnings(e, &mut warnings);
    sample_warnings(e, &mut warnings);
    warnings.extend(steady::little(e));
    warnings.extend(steady::backlog(e, is_client));
    Validity {
        client_wait_p50_ms: e.latency.lateness.at("p50"),
        client_wait_p99_ms: e.latency.lateness.at("p99"),
        ..Validity::of(warnings, e.client)
    }
}

fn warning(severity: Severity, code: &str, message: String, limit: &str, hint: &str) -> Warning {
    Warning { severity, code: code.to_owned(), message, limit: limit.to_owned(), hint: hint.to_owned() }
}

/// Above `limits.1`: invalid; above `limits.0`: a doubt.
fn grade(value: f64, limits: (f64, f64)) -> Option<(Severity, f64)> {
    match value {
        v if v > limits.1 => Some((Severity::Invalid, limits.1)),
        v if v > limits.0 => Some((Severity::Doubt, limits.0)),
        _ => None,
    }
}

fn outcome_warnings(e: &Evidence<'_>, is_client: bool, out: &mut Vec<Warning>) {
    let a = e.accounting;
    if a.due == 0 {
        let hint = "lengthen load.measure or raise the rate";
        out.push(warning(Severity::Invalid, "no-requests", "no request was due in the measured window".to_owned(), "requests >= 1", hint));
    } else if a.ok == 0 {
        let worst = a.outcomes.iter().max_by_key(|&(_, n)| n).map_or("unknown", |(name, _)| name.as_str());
        let message = format!("none of {} requests ended well; most ended as {worst}", a.due);
        let hint = "look at the example messages of the failures; try one request by hand";
        out.push(warning(Severity::Invalid, "all-failed", message, "ok >= 1", hint));
    }
    if a.shed > 0 {
        let share = a.shed as f64 / a.due as f64;
        let severity = if share > SHED_SHARE { Severity::Invalid } else { Severity::Doubt };
        let message =
            format!("{} of {} requests ({:.2}%, limit {:.0}%) were not sent for lack of a slot", a.shed, a.due, share * 100.0, SHED_SHARE * 100.0);
        let limit = format!("share <= {:.0}%", SHED_SHARE * 100.0);
        let hint = if is_client {
            "the client itself was held up, which takes slots too: mend the reasons above first"
        } else {
            "raise load.max_in_flight, or lower the rate: the endpoint does not keep up"
        };
        out.push(warning(severity, "shed", message, &limit, hint));
    }
    if e.client.stopped_early {
        let hint = "the figures are of the part that ran; run it to its end before comparing";
        out.push(warning(Severity::Doubt, "stopped-early", "the run was stopped before its end".to_owned(), "", hint));
    }
}

fn token_warnings(e: &Evidence<'_>, out: &mut Vec<Warning>) {
    let (a, t) = (e.accounting, e.tokens);
    let missing = a.notes.get("missing_usage").copied().unwrap_or(0);
    if e.expect.usage_asked && missing > 0 {
        let severity = if e.expect.tokenizer { Severity::Note } else { Severity::Doubt };
        let message = format!("{missing} of {} answers came without the token usage that was asked for", a.due);
        out.push(warning(severity, "usage-missing", message, "none missing", "output tokens of these answers were counted on this side"));
    }
    let chunks = t.sources.get("chunks").copied().unwrap_or(0);
    if chunks > 0 {
        let message = format!("output tokens of {chunks} of {} answers were guessed, one a chunk", t.requests);
        out.push(warning(
            Severity::Doubt,
            "tokens-guessed",
            message,
            "none guessed",
            "set target.include_usage = true, or name a vocabulary in workload.prompts.tokenizer",
        ));
    }
    if e.expect.tokenizer && e.expect.streaming && t.output_usage > 0 && t.output_counted > 0 {
        let difference = t.output_counted as f64 / t.output_usage as f64 - 1.0;
        if difference.abs() > TOKEN_DIFFERENCE.0 {
            let severity = if difference.abs() > TOKEN_DIFFERENCE.1 { Severity::Doubt } else { Severity::Note };
            let limit = format!("difference <= {:.0}%", TOKEN_DIFFERENCE.0 * 100.0);
            let message =
                format!("we count {:+.1}% output tokens against the server's usage (limit {:.0}%)", difference * 100.0, TOKEN_DIFFERENCE.0 * 100.0);
            out.push(warning(
                severity,
                "token-mismatch",
                message,
                &limit,
                "the vocabulary in workload.prompts.tokenizer is probably not the model's",
            ));
        }
    }
    if t.requests > 0 && t.length_mismatch * 10 > t.requests && t.output_asked > 0 {
        let message = format!("{} of {} answers are not as long as asked", t.length_mismatch, t.requests);
        out.push(warning(Severity::Note, "length-mismatch", message, "share <= 10%", "set target.ignore_eos = true where the server understands it"));
    }
    let streamed_only = [Metric::Ttft, Metric::Tpot, Metric::Itl];
    if !e.expect.streaming && e.slo.terms().any(|term| streamed_only.contains(&term.metric)) {
        let message = "objectives speak of TTFT, TPOT or ITL, which answers that are not streamed do not show".to_owned();
        out.push(warning(Severity::Doubt, "not-streamed", message, "", "set target.stream = true, or set objectives on E2E only"));
    }
}

fn sample_warnings(e: &Evidence<'_>, out: &mut Vec<Warning>) {
    let due = e.accounting.due;
    if (1..FEW_REQUESTS).contains(&due) {
        let message = format!("only {due} requests were due in the window (limit {FEW_REQUESTS})");
        out.push(warning(
            Severity::Doubt,
            "few-requests",
            message,
            &format!("requests >= {FEW_REQUESTS}"),
            "lengthen load.measure or raise the rate",
        ));
    }
    let reach = |p: Percentile| due > 0 && due < p.samples_needed();
    if let Some(p) = e.slo.terms().filter(|t| t.metric != Metric::Itl).map(|t| t.percentile).filter(|&p| reach(p)).max() {
        let message = format!("an objective speaks of {p}, which needs {} requests; {due} were due", p.samples_needed());
        out.push(warning(
            Severity::Doubt,
            "sample-small",
            message,
            &format!("requests >= {}", p.samples_needed()),
            "lengthen load.measure, or ask for a lower percentile",
        ));
    }
    let l = e.latency;
    let clipped: u64 = [&l.ttft, &l.ttfo, &l.tpot, &l.itl, &l.icl, &l.e2e].iter().map(|d| d.clipped).sum();
    if clipped > 0 {
        let message = format!("{clipped} latencies were longer than 1 h and are counted there");
        out.push(warning(Severity::Doubt, "clipped", message, "latency <= 1 h", "lower target.timeouts.total"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::recorder::Recorder;
    use crate::measure::summary::Summary;
    use crate::record::outcome::Outcome;
    use crate::record::request::{Phase, RequestRecord, TokenSource, Usage};

    /// A run of `n` good requests, 10 a second, TTFT 200 ms, E2E 400 ms, changed by `edit`.
    fn run(n: u64, client: &ClientFacts, expect: Expectations, edit: impl Fn(u64, &mut RequestRecord)) -> Summary {
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
        recorder.finish(Nanos::from_millis(n * 100 + 400), *client, expect)
    }

    const EXPECT: Expectations = Expectations { usage_asked: true, streaming: true, tokenizer: true };

    fn found(s: &Summary) -> Vec<(Severity, &str)> {
        s.validity.warnings.iter().map(|w| (w.severity, w.code.as_str())).collect()
    }

    fn with(edit: impl Fn(u64, &mut RequestRecord)) -> Summary {
        run(1000, &ClientFacts::default(), EXPECT, edit)
    }

    fn client(edit: impl Fn(&mut ClientFacts)) -> Summary {
        let mut facts = ClientFacts { cores: 8, ..ClientFacts::default() };
        edit(&mut facts);
        run(1000, &facts, EXPECT, |_, _| {})
    }

    use Severity::{Doubt, Invalid, Note};

    #[test]
    fn a_quiet_run_is_valid_without_a_warning() {
        let s = with(|_, _| {});
        assert_eq!(found(&s), []);
        assert!(s.validity.valid);
        assert_eq!((s.validity.word(), s.validity.client_wait_p50_ms, s.completed_rate), ("VALID", Some(0.0), 9.96));
    }

    /// forall sets of warnings: the gravest one is the verdict; a note costs nothing.
    #[test]
    fn the_gravest_warning_is_the_verdict() {
        let told = |severities: &[Severity]| {
            let all = severities.iter().map(|s| warning(*s, "x", String::new(), "", "")).collect();
            let v = Validity::of(all, ClientFacts::default());
            (v.word(), v.valid)
        };
        assert_eq!(told(&[]), ("VALID", true));
        assert_eq!(told(&[Note]), ("VALID", true));
        assert_eq!(told(&[Note, Doubt]), ("SUSPECT", true));
        assert_eq!(told(&[Doubt, Invalid, Note]), ("INVALID", false));
        let mut v = Validity::of(Vec::new(), ClientFacts::default());
        v.add(warning(Doubt, "x", String::new(), "", ""));
        assert_eq!(v.word(), "SUSPECT");
        v.valid = false;
        assert_eq!(v.word(), "INVALID");
    }

    /// Every warning says what to do; what has a limit says which.
    #[test]
    fn every_warning_of_the_client_has_a_limit_and_a_remedy() {
        let s = client(|c| {
            (c.loop_lag_p99_ms, c.cpu_share, c.clock_drift_ppm, c.stops, c.stopped_s) = (30.0, 0.95, 5e4, 1, 9.0);
            (c.throttled_s, c.cpu_wait_share, c.cpu_wait_s, c.steal_share) = (Some(1.0), Some(0.9), Some(90.0), Some(0.2));
            (c.swapped_in_pages, c.major_faults, c.net_drops, c.retransmits, c.retransmit_share) = (Some(1), Some(1), Some(1), Some(99), Some(0.1));
            (c.log_backlog_max_bytes, c.stream_wait_p99_ms) = (1 << 30, Some(4.0));
        });
        assert_eq!(s.validity.warnings.len(), 12, "{:?}", found(&s));
        for w in &s.validity.warnings {
            assert!(!w.message.is_empty() && !w.limit.is_empty() && !w.hint.is_empty(), "{w:?}");
        }
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
        assert_eq!(found(&late(50, 30)), [(Invalid, "schedule-late")]);
        assert_eq!(found(&late(50, 8)), [(Doubt, "schedule-late")]);
        assert_eq!(found(&late(50, 4)), [(Note, "schedule-late")]);
        assert_eq!(found(&late(50, 1)), []);
        assert_eq!(found(&late(500, 30)), []);
    }

    #[test]
    fn a_client_that_falls_behind_has_not_reached_the_rate() {
        // The last 15 of 1,000 go out after the window has ended, all at once.
        let s = with(|seq, r| {
            if seq >= 985 {
                r.sent = Some(Nanos::from_millis(100_010));
                (r.first_token, r.last_token, r.closed) = (None, None, Nanos::from_millis(100_020));
            }
        });
        assert!(found(&s).contains(&(Invalid, "rate-not-reached")), "{:?}", found(&s));
        // Two of them prove nothing.
        let s = with(|seq, r| {
            if seq >= 998 {
                r.sent = Some(Nanos::from_millis(100_001));
            }
        });
        assert!(!found(&s).iter().any(|w| w.1 == "rate-not-reached"));
    }

    #[test]
    fn the_clients_own_limits_have_two_steps() {
        type Edit = fn(&mut ClientFacts, f64);
        let cases: [(Edit, &str); 4] = [
            (|c, v| c.loop_lag_p99_ms = 10.0 * v, "loop-lag"),
            (|c, v| c.clock_drift_ppm = -5_000.0 * v, "clock-drift"),
            (|c, v| (c.cpu_windows, c.cpu_windows_above_80, c.cpu_windows_above_95) = (60, 0.3 * v, if v > 2.0 { 0.6 } else { 0.0 }), "client-cpu"),
            // The run lasts 100.4 s.
            (|c, v| c.throttled_s = (v >= 1.0).then_some(4.0 * v), "cpu-throttled"),
        ];
        for (edit, code) in cases {
            assert_eq!(found(&client(|c| edit(c, 0.1))), [], "{code}");
            assert_eq!(found(&client(|c| edit(c, 1.0))), [(Doubt, code)]);
            let s = client(|c| edit(c, 2.5));
            assert_eq!(found(&s), [(Invalid, code)]);
            assert!(!s.validity.valid);
        }
    }

    #[test]
    fn mean_use_of_the_cores_is_a_note_above_half_and_invalid_above_nine_tenths() {
        let at = |share| client(|c| c.cpu_share = share);
        assert_eq!(found(&at(0.49)), []);
        assert_eq!(found(&at(0.6)), [(Note, "client-cpu")]);
        assert_eq!(at(0.6).validity.word(), "VALID");
        assert_eq!(found(&at(0.95)), [(Invalid, "client-cpu")]);
    }

    /// The endpoint's own work is in the share then: seconds at the limit do not prove that the client was late, its lateness would.
    #[test]
    fn busy_seconds_with_the_endpoint_inside_are_a_doubt_at_most() {
        let at =
            |embedded| client(|c| (c.embedded_endpoint, c.cpu_windows, c.cpu_windows_above_80, c.cpu_windows_above_95) = (embedded, 9, 0.9, 0.9));
        assert_eq!(found(&at(false)), [(Invalid, "client-cpu")]);
        assert_eq!(found(&at(true)), [(Doubt, "client-cpu")]);
    }

    #[test]
    fn a_client_that_stood_still_is_seen() {
        let stopped = |stops, total, longest| client(|c| (c.stops, c.stopped_s, c.stopped_max_s) = (stops, total, longest));
        assert_eq!(found(&stopped(0, 0.0, 0.0)), []);
        assert_eq!(found(&stopped(1, 0.3, 0.3)), [(Doubt, "client-stopped")]);
        // 1 % of 100.4 s, and one of a second.
        assert_eq!(found(&stopped(5, 1.2, 0.3)), [(Invalid, "client-stopped")]);
        assert_eq!(found(&stopped(1, 1.0, 1.0)), [(Invalid, "client-stopped")]);
    }

    #[test]
    fn what_the_machine_did_to_the_client_is_a_doubt() {
        type Edit = fn(&mut ClientFacts);
        let cases: [(Edit, Edit, Severity, &str); 7] = [
            (
                |c| (c.cpu_wait_share, c.cpu_wait_s) = (Some(0.9), Some(5.0)),
                |c| (c.cpu_wait_share, c.cpu_wait_s) = (Some(0.6), Some(11.0)),
                Doubt,
                "cpu-wait",
            ),
            (|c| c.steal_share = Some(0.04), |c| c.steal_share = Some(0.06), Doubt, "cpu-steal"),
            // Another program was swapped, not this one.
            (
                |c| (c.swapped_in_pages, c.major_faults) = (Some(9), Some(0)),
                |c| (c.swapped_in_pages, c.major_faults) = (Some(9), Some(1)),
                Doubt,
                "swap",
            ),
            (|c| c.net_drops = Some(0), |c| c.net_drops = Some(1), Doubt, "net-drops"),
            (
                |c| (c.retransmits, c.retransmit_share) = (Some(9), Some(0.5)),
                |c| (c.retransmits, c.retransmit_share) = (Some(10), Some(0.002)),
                Note,
                "retransmits",
            ),
            (|c| c.log_backlog_max_bytes = LOG_BACKLOG, |c| c.log_backlog_max_bytes = LOG_BACKLOG + 1, Doubt, "log-backlog"),
            (|c| c.stream_wait_p99_ms = Some(0.9), |c| c.stream_wait_p99_ms = Some(1.1), Doubt, "stream-wait"),
        ];
        for (below, above, severity, code) in cases {
            assert_eq!(found(&client(below)), [], "{code}");
            assert_eq!(found(&client(above)), [(severity, code)]);
        }
    }

    #[test]
    fn what_is_not_known_is_no_reason_to_doubt() {
        assert_eq!(found(&client(|_| {})), []);
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
        assert_eq!(found(&run(0, &ClientFacts::default(), EXPECT, |_, _| {})), [(Severity::Invalid, "no-requests")]);
        assert_eq!(found(&client(|c| c.stopped_early = true)), [(Severity::Doubt, "stopped-early")]);
    }

    /// Slots that a held-up client keeps taken are not the endpoint's fault.
    #[test]
    fn a_shed_request_blames_the_endpoint_only_if_the_client_was_well() {
        let hint = |stopped_s: f64| {
            let facts = ClientFacts { stops: u32::from(stopped_s > 0.0), stopped_s, ..ClientFacts::default() };
            let s = run(1000, &facts, EXPECT, |seq, r| {
                if seq % 50 == 0 {
                    *r = RequestRecord::due(seq, Phase::Measure, r.intended, 100, 20);
                }
            });
            let codes: Vec<String> = s.validity.warnings.iter().map(|w| w.code.clone()).collect();
            (codes, s.validity.warnings.into_iter().find(|w| w.code == "shed").unwrap().hint)
        };
        assert!(hint(0.0).1.contains("the endpoint does not keep up"));
        let (codes, told) = hint(9.0);
        assert_eq!(codes, ["client-stopped", "shed"]);
        assert!(told.contains("the client itself"), "{told}");
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
        let small = |n| run(n, &ClientFacts::default(), EXPECT, |_, _| {});
        assert_eq!(found(&small(19)), [(Severity::Doubt, "few-requests"), (Severity::Doubt, "sample-small")]);
        assert_eq!(found(&small(199)), [(Severity::Doubt, "sample-small")]);
        assert_eq!(found(&small(200)), []);
    }

    #[test]
    fn a_growing_backlog_is_not_steady() {
        // Each request takes 15 ms longer than the one before.
        let s = with(|seq, r| r.closed = r.sent.unwrap() + Nanos::from_millis(400 + 15 * seq));
        assert_eq!(found(&s), [(Severity::Doubt, "not-steady"), (Severity::Doubt, "backlog-growing")]);
    }

    /// An open loop above capacity: 10 a second are due, 8 a second can be served. Every request ends well in the end, so that `served_rate` shows
    /// nothing; `completed_rate` is the capacity.
    #[test]
    fn above_capacity_the_backlog_is_named_and_the_completed_rate_is_the_capacity() {
        let queue = |per_second: u64| {
            with(move |seq, r| {
                let free = Nanos::from_millis(seq * 1000 / per_second.min(10) + 400);
                (r.first_token, r.last_token, r.closed) = (Some(free), Some(free), free);
            })
        };
        let over = queue(8);
        assert!(found(&over).contains(&(Severity::Doubt, "backlog-growing")), "{:?}", found(&over));
        assert_eq!(over.validity.word(), "SUSPECT");
        assert!((over.completed_rate - 8.0).abs() < 0.05 && over.served_rate == 10.0, "{}", over.completed_rate);
        let under = queue(12);
        assert_eq!(found(&under), []);
        assert!((under.completed_rate - 10.0).abs() < 0.05);
    }

    /// A level that jumps about is no trend, whatever the last look finds.
    #[test]
    fn a_burst_at_the_end_is_not_a_growing_backlog() {
        let s = with(|seq, r| {
            if seq >= 940 {
                (r.first_token, r.last_token, r.closed) = (None, None, Nanos::from_millis(100_300));
            }
        });
        assert!(!found(&s).iter().any(|w| w.1 == "backlog-growing"), "{:?}", found(&s));
    }

    #[test]
    fn objectives_on_tokens_need_streaming() {
        let s = run(1000, &ClientFacts::default(), Expectations { streaming: false, ..EXPECT }, |_, _| {});
        assert_eq!(found(&s), [(Severity::Doubt, "not-streamed")]);
    }
}
