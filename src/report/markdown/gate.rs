//! The summary of a gate: for a step summary and one sticky comment. Verdict in the first line, a hidden marker in the second, at most 32 KiB.

use super::{code, table, text};
use crate::gate::{MetricVerdict, Report};
use crate::report::chart::Table;
use crate::report::gate_content as content;
use std::fmt::Write as _;

/// Bytes of a summary, at most: half of what a comment on GitHub may have.
pub const GATE_BUDGET: usize = 32 * 1024;

/// The hidden line by which a comment of the same gate is found again and edited in place.
#[must_use]
pub fn gate_marker(scenario: &str) -> String {
    let plain: String = scenario.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(64).collect();
    format!("<!-- plimsoll-gate:{plain} -->")
}

/// The summary of a gate; `repeat` is the command that repeats it, or empty.
#[must_use]
pub fn gate(report: &Report, repeat: &str) -> String {
    let standing = content::standing(report);
    let mut out = format!(
        "**{} {}** `{}`: {}\n{}\n",
        standing.sign(),
        content::word(report),
        code(&report.scenario),
        text(&report.sentence),
        gate_marker(&report.scenario)
    );
    for part in [content::rows, content::promises, content::changes, content::drifts, content::calibration, content::differences] {
        let made = part(report);
        if !made.rows.is_empty() {
            table(&mut out, &made);
        }
    }
    let is_decided = |r: &&crate::gate::Row| matches!(r.verdict, MetricVerdict::Fail | MetricVerdict::Invalid | MetricVerdict::Inconclusive);
    list(&mut out, "", report.rows.iter().filter(is_decided).map(|r| format!("{}: {}", r.metric.label(), r.reason)));
    list(&mut out, "Why", report.reasons.iter().cloned());
    list(&mut out, "What would change the verdict", report.would_change.iter().cloned());
    let unit = content::unit(report);
    let _ = write!(out, "\n{} {unit} count: {}. {}\n", report.pairs, text(content::mode(report)), text(&content::certainty(report)));
    let end = if repeat.is_empty() { String::new() } else { format!("\nAgain: `{}`\n", code(repeat)) };
    let short = fitted(out, GATE_BUDGET - end.len().min(GATE_BUDGET / 2));
    let mut whole = short.clone();
    folded(&mut whole, "Rounds", &content::rounds(report));
    folded(&mut whole, "Noise, and what it lets one see", &content::noise(report));
    folded(&mut whole, "What was compared", &content::fingerprint(report));
    let kept = if whole.len() + end.len() <= GATE_BUDGET { whole } else { short };
    fitted(kept + &end, GATE_BUDGET)
}

/// A sentence and a table.
#[must_use]
pub fn titled(sentence: &str, content: &Table) -> String {
    let mut out = format!("{}\n", text(sentence));
    table(&mut out, content);
    out
}

fn list(out: &mut String, heading: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return;
    }
    if !heading.is_empty() {
        let _ = write!(out, "\n**{heading}**\n");
    }
    out.push('\n');
    for line in lines {
        let _ = writeln!(out, "- {}", text(&line));
    }
}

fn folded(out: &mut String, heading: &str, content: &Table) {
    if content.rows.is_empty() {
        return;
    }
    let _ = write!(out, "\n<details><summary>{heading}</summary>\n");
    table(out, content);
    out.push_str("\n</details>\n");
}

/// The text, cut at a line if it is longer than `most` bytes, and saying so.
fn fitted(text: String, most: usize) -> String {
    const CUT: &str = "\n(cut; the whole is in report.html and result.json)\n";
    if text.len() <= most {
        return text;
    }
    let mut kept = String::new();
    for line in text.split_inclusive('\n') {
        if kept.len() + line.len() + CUT.len() > most {
            break;
        }
        kept.push_str(line);
    }
    if kept.is_empty() {
        // A first line that is longer than everything else may be: as much of it as fits.
        kept = text
            .chars()
            .scan(0, |n, c| {
                *n += c.len_utf8();
                Some((*n, c))
            })
            .take_while(|(n, _)| *n + CUT.len() <= most)
            .map(|(_, c)| c)
            .collect();
    }
    kept + CUT
}
