//! A gate as OpenMetrics text, for `artifacts:reports:metrics` of GitLab: compared there as texts, so that every number has the same decimals.

use crate::gate::{Metric, Report, Scale, Verdict};
use std::fmt::Write as _;

/// The figures of base and head, the changes, and the verdict: 1 for the one that holds.
#[must_use]
pub fn gate(report: &Report) -> String {
    let scenario = label(&report.scenario);
    let mut out = String::new();
    let verdicts = [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Invalid, Verdict::NotComparable];
    head(&mut out, "plimsoll_gate_verdict", "1 for the verdict of the gate, 0 for the others.");
    for verdict in verdicts {
        let holds = u8::from(verdict == report.verdict);
        let _ = writeln!(out, "plimsoll_gate_verdict{{scenario=\"{scenario}\",verdict=\"{}\"}} {holds}", verdict.word());
    }
    head(&mut out, "plimsoll_gate_pairs", "Pairs of runs (or runs of the head) that count.");
    let _ = writeln!(out, "plimsoll_gate_pairs{{scenario=\"{scenario}\"}} {}", report.pairs);
    for row in &report.rows {
        let family = format!("plimsoll_gate_{}", name(row.metric));
        head(&mut out, &family, &format!("{} of base and head.", row.metric.label()));
        for (side, value) in [("base", row.base), ("head", row.head)] {
            if let Some(value) = value.filter(|v| v.is_finite()) {
                let _ = writeln!(out, "{family}{{scenario=\"{scenario}\",side=\"{side}\"}} {value:.4}");
            }
        }
    }
    head(&mut out, "plimsoll_gate_change", "Change from base to head in the metric's own direction: a share of the base, or a difference of shares.");
    for row in &report.rows {
        if let Some(change) = row.change.filter(|v| v.is_finite()) {
            let scale = if row.scale == Scale::LogRatio { "ratio" } else { "difference" };
            let key = row.metric.key();
            let _ = writeln!(out, "plimsoll_gate_change{{scenario=\"{scenario}\",metric=\"{key}\",scale=\"{scale}\"}} {change:.4}");
        }
    }
    head(&mut out, "plimsoll_gate_missed", "Share of requests that missed a promise.");
    for promise in report.promises.iter().filter(|p| p.mean.is_finite()) {
        let _ = writeln!(out, "plimsoll_gate_missed{{scenario=\"{scenario}\",promise=\"{}\"}} {:.6}", label(&promise.text), promise.mean);
    }
    out.push_str("# EOF\n");
    out
}

/// Name of a metric with its unit, as the format wants it.
fn name(metric: Metric) -> String {
    match metric.unit() {
        "ms" => format!("{}_milliseconds", metric.key()),
        "MiB" => format!("{}_mebibytes", metric.key()),
        _ => metric.key().to_owned(),
    }
}

fn head(out: &mut String, family: &str, help: &str) {
    let _ = writeln!(out, "# TYPE {family} gauge\n# HELP {family} {help}");
}

/// The value of a label: what would end it is escaped, controls are replaced.
fn label(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
