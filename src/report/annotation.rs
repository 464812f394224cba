//! A gate as a workflow command of GitHub: one line that shows beside the check, at most one a scenario.

use super::gate_content as content;
use crate::gate::{Mode, Report, Verdict};

/// Longest message, in bytes before escaping: a note beside a check, not a report.
const MOST: usize = 1_000;

/// The annotation of a gate; `None` for PASS. What does not fail the job is a warning.
#[must_use]
pub fn github(report: &Report, inconclusive_fails: bool) -> Option<String> {
    let kind = match report.verdict {
        Verdict::Pass => return None,
        Verdict::Inconclusive if !inconclusive_fails => "warning",
        Verdict::Fail | Verdict::Inconclusive | Verdict::Invalid | Verdict::NotComparable => "error",
    };
    let name = if report.scenario.is_empty() { "gate" } else { &report.scenario };
    let subject = if report.mode == Mode::Slo { "promise" } else { "gate" };
    let title = property(&format!("plimsoll {subject} {name}: {}", content::word(report)));
    Some(format!("::{kind} title={title}::{}", message(&cut(&report.sentence))))
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// The text of a command: what would end it or begin another one is encoded, controls and overrides of the writing direction are replaced.
fn message(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => out.push_str("%25"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The value of a property, in which colons and commas divide as well.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_begin_another_command() {
        let hostile = "a\n::error::b\r% \u{1b}[31m\u{202e}";
        assert_eq!(message(hostile), "a%0A::error::b%0D%25 \u{fffd}[31m\u{fffd}");
        assert_eq!(property("a: b, c"), "a%3A b%2C c");
        assert_eq!(cut(&"\u{e9}".repeat(MOST)).len(), MOST);
        assert_eq!(cut(&format!("a{}", "\u{e9}".repeat(MOST))).len(), MOST - 1);
    }
}
