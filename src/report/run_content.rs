//! What there is to say of one run, as figures and tables of text: the same in every format.

use super::Figure;
use super::chart::Table;
use super::number::{count, gibibytes, percentile, plural, real, share, span};
use super::verdict::error_share;
use super::words;
use crate::measure::document::RunDocument;
use crate::measure::summary::{Distribution, ObjectiveVerdict, Summary};

/// The main figures, in the order in which they are asked for.
#[must_use]
pub fn figures(s: &Summary) -> Vec<Figure> {
    let (a, t, l) = (&s.accounting, &s.throughput, &s.latency);
    let row = |name: &str, d: &Distribution, which: &[&str]| Figure {
        name: name.to_owned(),
        values: which.iter().map(|p| ((*p).to_owned(), percentile(d, p))).collect(),
        note: format!("n = {}", count(d.n)),
    };
    let pair = |value: f64| format!("{}/s", real(value));
    let errors = a.failed + a.throttled + a.timed_out + a.shed;
    vec![
        Figure {
            name: "Request rate".to_owned(),
            values: vec![
                ("offered".to_owned(), pair(s.offered_rate)),
                ("served".to_owned(), pair(s.served_rate)),
                ("completed in the window".to_owned(), pair(s.completed_rate)),
            ],
            note: format!(
                "{} due; in flight: mean {}, most {}",
                plural(a.due, "request", "requests"),
                real(s.in_flight_mean),
                count(u64::from(s.in_flight_max))
            ),
        },
        Figure::single(
            "Output tokens",
            format!("{} tok/s", real(t.output_tok_s)),
            format!("in the window; whole run {} tok/s", real(t.output_tok_s_wall)),
        ),
        Figure::single(
            "Total tokens (input + output)",
            format!("{} tok/s", real(t.total_tok_s)),
            format!("in the window; whole run {} tok/s", real(t.total_tok_s_wall)),
        ),
        Figure::single("Goodput", share(s.goodput.share), format!("{} of {} good, {}/s", count(s.goodput.good), count(a.due), real(s.goodput.rate))),
        row("TTFT", &l.ttft, &["p50", "p95", "p99"]),
        row("TPOT", &l.tpot, &["p50", "p95"]),
        row("E2E", &l.e2e, &["p50", "p95"]),
        Figure::single("Errors", error_share(s).map_or_else(|| "n/a".to_owned(), share), format!("{} of {} due", count(errors), count(a.due))),
    ]
}

/// What became of every request that was due, as an equation that holds.
#[must_use]
pub fn accounting(s: &Summary) -> String {
    let a = &s.accounting;
    format!(
        "{} due = {} ok + {} failed + {} throttled + {} timed out + {} shed + {} cancelled. Measured window {} (from {} to {}); {} of warm-up left out.",
        count(a.due),
        count(a.ok),
        count(a.failed),
        count(a.throttled),
        count(a.timed_out),
        count(a.shed),
        count(a.cancelled),
        span(s.window.end_s - s.window.start_s),
        span(s.window.start_s),
        span(s.window.end_s),
        plural(a.warmup, "request", "requests")
    )
}

/// Sign and word of an objective's verdict.
#[must_use]
pub fn objective_verdict(verdict: ObjectiveVerdict) -> &'static str {
    match verdict {
        ObjectiveVerdict::Met => "\u{2713}\u{a0}met",
        ObjectiveVerdict::NotMet => "\u{2717}\u{a0}NOT\u{a0}MET",
        ObjectiveVerdict::Undecided => "? undecided",
    }
}

/// Objective, measured value, verdict.
#[must_use]
pub fn objectives(s: &Summary) -> Table {
    let mut table = Table::new(&["Objective", "Measured", "Verdict"]);
    table.rows.extend(s.objectives.iter().map(|o| vec![o.text.clone(), o.measured.clone(), objective_verdict(o.verdict).to_owned()]));
    table
}

/// Why an objective's percentile may differ from the one of the latency table; empty when nothing failed.
#[must_use]
pub fn objective_note(s: &Summary) -> String {
    let bad = s.accounting.due.saturating_sub(s.accounting.ok);
    if bad == 0 || s.objectives.is_empty() {
        return String::new();
    }
    format!(
        "Objectives are judged over all {} due: the {} without a complete answer count as slower than any bound, so that a percentile here can lie above the one over answered requests.",
        plural(s.accounting.due, "request", "requests"),
        count(bad)
    )
}

/// The verdict on the client and the figures that it rests on, in one line.
#[must_use]
pub fn client(s: &Summary) -> String {
    let c = &s.validity.client;
    let sent = percentile_pair(&s.latency.lateness);
    let mut parts = vec![
        format!("sent late {sent}"),
        format!("event loop late {} ms (p99)", real(c.loop_lag_p99_ms)),
        format!("CPU mean {}, busiest second {} of {}", share(c.cpu_share), share(c.cpu_share_max), plural(u64::from(c.cores), "core", "cores")),
    ];
    if c.stops > 0 {
        parts.push(format!("stood still {}", span(c.stopped_s)));
    }
    if let Some(seconds) = c.throttled_s.filter(|s| *s > 0.0) {
        parts.push(format!("held back by its control group {}", span(seconds)));
    }
    format!("{}: {}.", s.validity.word(), parts.join("; "))
}

fn percentile_pair(d: &Distribution) -> String {
    format!("p50 {}, p99 {}", percentile(d, "p50"), percentile(d, "p99"))
}

/// What the client knows of itself, and why it matters.
#[must_use]
pub fn validity(s: &Summary) -> Table {
    let c = &s.validity.client;
    let clipped: u64 = [&s.latency.ttft, &s.latency.tpot, &s.latency.itl, &s.latency.e2e].iter().map(|d| d.clipped).sum();
    let mut table = Table::new(&["Check", "Found", "Why it matters"]);
    let mut row = |check: &str, found: String, why: &str| table.rows.push(vec![check.to_owned(), found, why.to_owned()]);
    let known = |value: Option<u64>| value.map_or_else(|| "unknown".to_owned(), count);
    let share_of = |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), share);
    row("Verdict", s.validity.word().to_owned(), "VALID, SUSPECT (doubts) or INVALID (the client was measured, not the endpoint).");
    row(
        "Wait inside the client (due to socket)",
        percentile_pair(&s.latency.lateness),
        "A late client loads the endpoint with something else than the schedule. It is in every latency.",
    );
    row(
        "Client CPU",
        format!(
            "mean {}, busiest second {} of {}; above 80% in {} of seconds",
            share(c.cpu_share),
            share(c.cpu_share_max),
            plural(u64::from(c.cores), "core", "cores"),
            share(c.cpu_windows_above_80)
        ),
        "A busy client adds its own delay to every latency.",
    );
    let held = c.throttled_s.map_or_else(|| "unknown".to_owned(), |t| if t > 0.0 { span(t) } else { "no".to_owned() });
    row(
        "Held back: waiting for a core, control group, hypervisor",
        format!("{}, {held}, {}", share_of(c.cpu_wait_share), share_of(c.steal_share)),
        "Time in which the client would have run and could not.",
    );
    let stops = if c.stops == 0 { "no".to_owned() } else { format!("{} times, {} in all", count(u64::from(c.stops)), span(c.stopped_s)) };
    row("Stood still", stops, "A stopped or suspended client takes its own pause for the endpoint's.");
    row("Event loop lag, p99", format!("{} ms", real(c.loop_lag_p99_ms)), "How late the client notices a token.");
    row(
        "Disk reads, swap, network drops, resent segments",
        format!("{}, {}, {}, {}", known(c.major_faults), known(c.swapped_in_pages), known(c.net_drops), known(c.retransmits)),
        "Counted on this machine during the load: each is a delay that is not the endpoint's.",
    );
    row("Records waiting for the log, most", format!("{} KiB", count(c.log_backlog_max_bytes >> 10)), "A slow disk must not slow the load.");
    if let Some(wait) = c.stream_wait_p99_ms {
        row("Wait for a free HTTP/2 stream, p99", format!("{} ms", real(wait)), "Inside the client, and in every latency.");
    }
    row("Not sent for lack of a slot", count(s.accounting.shed), "These requests count as misses; the offered load was not reached.");
    row("Latencies above the range", count(clipped), "They are counted at the end of the range, so the largest values are understated.");
    row("Clock drift", format!("{} ppm", real(c.clock_drift_ppm)), "Wall clock against monotonic clock: a jump or a suspended machine shows here.");
    row("Worker threads", count(u64::from(c.workers)), "Of the load engine.");
    let place = if c.embedded_endpoint { "inside this process, CPU shared" } else { "outside this process" };
    row("Endpoint", place.to_owned(), "An embedded endpoint takes CPU from the client.");
    let early = if c.stopped_early { "yes" } else { "no" };
    row("Stopped early", early.to_owned(), "A run that was stopped has a shorter window than planned.");
    table
}

/// Every class of outcome but the good one: count, share, meaning, example.
#[must_use]
pub fn errors(doc: &RunDocument) -> Table {
    let a = &doc.summary.accounting;
    let mut table = Table::new(&["Class", "Requests", "Share of due", "Meaning", "Example"]);
    for (name, n) in a.outcomes.iter().filter(|(name, n)| name.as_str() != "ok" && **n > 0) {
        // Enough to recognise an error by; an endpoint may answer with a whole page.
        let example: String = doc.manifest.failures.get(name).map(|m| m.chars().take(300).collect()).unwrap_or_default();
        table.rows.push(vec![name.clone(), count(*n), share(*n as f64 / a.due.max(1) as f64), words::outcome(name).to_owned(), example]);
    }
    table
}

/// Observations that do not fail a request.
#[must_use]
pub fn notes(s: &Summary) -> Table {
    let mut table = Table::new(&["Note", "Requests", "Meaning"]);
    for (name, n) in s.accounting.notes.iter().filter(|(_, n)| **n > 0) {
        table.rows.push(vec![name.clone(), count(*n), words::note(name).to_owned()]);
    }
    table
}

/// Tokens asked for, reported, counted.
#[must_use]
pub fn tokens(s: &Summary) -> Table {
    let t = &s.tokens;
    let mut table = Table::new(&["Tokens", "asked by the schedule", "reported by the server", "counted here", "per request, asked"]);
    let mean = |sum: u64| if t.requests == 0 { "n/a".to_owned() } else { real(sum as f64 / t.requests as f64) };
    table.rows.push(vec!["Input".to_owned(), count(t.input_asked), count(t.input_usage), "-".to_owned(), mean(t.input_asked)]);
    table.rows.push(vec!["Output".to_owned(), count(t.output_asked), count(t.output_usage), count(t.output_counted), mean(t.output_asked)]);
    table
}

/// What the token table is over, and what differs.
#[must_use]
pub fn token_note(s: &Summary) -> String {
    let t = &s.tokens;
    let sources: Vec<String> = t.sources.iter().filter(|(_, n)| **n > 0).map(|(name, n)| format!("{name} {}", count(*n))).collect();
    format!(
        "Over {} that ended well; {} came with usage. Output tokens by source: {}. {} reasoning tokens, {} cached input tokens, {} not as long as asked.",
        plural(t.requests, "request", "requests"),
        count(t.with_usage),
        if sources.is_empty() { "none".to_owned() } else { sources.join(", ") },
        count(t.reasoning),
        count(t.cached),
        plural(t.length_mismatch, "output", "outputs")
    )
}

/// Who measured what, when and where.
#[must_use]
pub fn environment(doc: &RunDocument) -> Table {
    let (m, e, h) = (&doc.manifest, &doc.manifest.endpoint, &doc.manifest.host);
    let mut table = Table::new(&["Fact", "Value"]);
    let mut row = |name: &str, value: String| table.rows.push(vec![name.to_owned(), value]);
    row("Endpoint", if e.embedded { format!("{} (simulated, embedded)", e.url) } else { e.url.clone() });
    row("API and task", format!("{}, {}", e.api, e.task));
    row("Model asked for", e.model.clone());
    row("Model reported", e.model_reported.clone().unwrap_or_else(|| "not reported".to_owned()));
    if let Some(server) = &e.server_header {
        row("Server header", server.clone());
    }
    row(
        "TLS",
        if e.url.starts_with("https") { if e.tls_verified { "verified".to_owned() } else { "NOT verified".to_owned() } } else { "none".to_owned() },
    );
    row("Seed", m.seed.0.to_string());
    row("Started (UTC)", m.started_utc.clone());
    row("Wall time", span(doc.summary.wall_s));
    row("Vocabulary", m.vocabulary.clone());
    row(
        "Client",
        format!("{} {}, {}, {}, {} of memory", h.os, h.arch, h.cpu_model, plural(u64::from(h.cores), "core", "cores"), gibibytes(h.memory_bytes)),
    );
    row("Tool", format!("plimsoll {}", m.tool_version));
    row("Scenario SHA-256", m.scenario_sha256.clone());
    table
}

/// Whether the run was cut: empty when it was not.
#[must_use]
pub fn interruption(doc: &RunDocument) -> String {
    match (doc.manifest.finished, doc.manifest.recovered) {
        (_, true) => "This run was cut off and rebuilt from its log; the last second may be missing.".to_owned(),
        (false, false) => "This run was stopped before its end.".to_owned(),
        (true, false) => String::new(),
    }
}
