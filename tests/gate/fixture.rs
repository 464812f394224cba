//! Gates made of figures: every verdict, and one in which every text is hostile.
use plimsoll::gate::{Fingerprint, Metric, Mode, Order, Pair, Promise, Report, Rules, Run, Verdict, paired};

/// What an attacker would call his model.
pub(crate) const HOSTILE: &str = "</script><script>alert(1)</script> <img onerror=x src=//e.x> ]]> \"q' \u{1b}[31mred\u{202e}abc\u{0}\n::error::owned\r\n%0A `|*@all 大型语言模型 &amp; =cmd()";

fn run(name: &str, seed: u64, slower: f64, wobble: f64, failed: u64) -> Run {
    let mut run = Run {
        name: name.to_owned(),
        seed,
        started_utc: "2026-01-02T03:04:05Z".to_owned(),
        valid: true,
        due: 1200,
        ok: 1200 - failed,
        ..Run::default()
    };
    let f = slower * wobble;
    for (metric, value) in [
        (Metric::TtftP50, 80.0 * f),
        (Metric::TtftP95, 210.0 * f),
        (Metric::TtftP99, 380.0 * f),
        (Metric::TpotP50, 22.0 * f),
        (Metric::E2eP95, 2900.0 * f),
        (Metric::OutputTokS, 1800.0 / f),
        (Metric::ErrorRate, failed as f64 / 1200.0),
        (Metric::Goodput, 0.97),
    ] {
        run.insert(metric, value, 1200);
    }
    let mut fingerprint = Fingerprint::default();
    fingerprint.fix("model", "llama-3.1-8b");
    fingerprint.note("tool", "0.1.0");
    run.fingerprint = fingerprint;
    run
}

/// Pairs in which the head is slower by a factor; the noise is an even wobble of 1 %.
pub(crate) fn pairs(n: u32, slower: f64) -> Vec<Pair> {
    (1..=n)
        .map(|round| {
            let r = f64::from(round);
            let wobble = |phase: f64| 1.0 + 0.01 * (r * 2.399 + phase).sin();
            let seed = 1000 + u64::from(round);
            let order = if round % 2 == 0 { Order::HeadFirst } else { Order::BaseFirst };
            let base = run(&format!("r{round:02}-base"), seed, 1.0, wobble(0.0), 0);
            Pair { round, order, base, head: run(&format!("r{round:02}-head"), seed, slower, wobble(1.3), 0) }
        })
        .collect()
}

fn named(mut report: Report) -> Report {
    "chat-peak".clone_into(&mut report.scenario);
    report
}

/// One of each verdict, with its name.
pub(crate) fn all() -> Vec<(&'static str, Report)> {
    let rules = Rules::default();
    let mut other = pairs(4, 1.0);
    for pair in &mut other {
        pair.head.fingerprint.fix("model", "llama-3.3-70b");
    }
    let mut invalid = pairs(1, 1.0);
    for attempt in 0..3 {
        let mut again = invalid[0].clone();
        again.head.valid = false;
        again.head.reason = format!("the client was too slow, try {attempt}");
        invalid.push(again);
    }
    invalid.remove(0);
    vec![
        ("pass", named(paired::look(&rules, &pairs(4, 1.0)))),
        ("fail", named(paired::look(&rules, &pairs(6, 1.2)))),
        ("inconclusive", named(paired::look(&rules, &pairs(10, 1.05)))),
        ("invalid", named(paired::look(&rules, &invalid))),
        ("not-comparable", named(paired::look(&rules, &other))),
    ]
}

/// Every text that comes from outside is hostile.
pub(crate) fn hostile() -> Report {
    let mut pairs = pairs(6, 1.2);
    for pair in &mut pairs {
        HOSTILE.clone_into(&mut pair.base.name);
        HOSTILE.clone_into(&mut pair.head.name);
        pair.base.fingerprint.note(HOSTILE, HOSTILE);
        pair.head.fingerprint.note(HOSTILE, format!("{HOSTILE}2"));
    }
    let mut report = paired::look(&Rules::default(), &pairs);
    for text in [&mut report.scenario, &mut report.sentence, &mut report.tool_version] {
        HOSTILE.clone_into(text);
    }
    report.reasons = vec![HOSTILE.to_owned()];
    report.would_change = vec![HOSTILE.to_owned()];
    for row in &mut report.rows {
        HOSTILE.clone_into(&mut row.reason);
    }
    for round in &mut report.rounds {
        round.counted = false;
        HOSTILE.clone_into(&mut round.reason);
    }
    report.promises.push(promise(HOSTILE));
    report
}

/// A promise that is not met.
pub(crate) fn promise(text: &str) -> Promise {
    Promise {
        text: text.to_owned(),
        allowed: 0.05,
        missed: vec![0.08, 0.09],
        mean: 0.085,
        low: 0.06,
        high: 0.11,
        verdict: Verdict::Fail,
        further_runs: None,
        high_if_independent: 0.09,
        reason: text.to_owned(),
    }
}

/// A gate of mode `slo`.
pub(crate) fn slo() -> Report {
    let mut report = named(Report::invalid(Mode::Slo, "made up"));
    report.verdict = Verdict::Fail;
    "the promise is not met".clone_into(&mut report.sentence);
    report.promises.push(promise("TTFT p95 <= 800 ms"));
    report
}
