//! The screen of a gate.

use super::{Paint, Screen};
use crate::gate::{Report, Verdict};
use crate::report::chart::Table;
use crate::report::gate_content as content;

/// Lines of a list on the screen, at most.
const LINES: usize = 4;

/// The screen of a gate.
#[must_use]
pub fn gate(report: &Report, paint: Paint) -> String {
    let mut screen = Screen::new(paint);
    screen.headline(content::standing(report), content::word(report), &report.scenario);
    screen.line(&report.sentence);
    let mut section = |heading: &str, table: &Table| {
        if !table.rows.is_empty() {
            screen.heading(heading);
            screen.table(table);
        }
    };
    section("Base against head", &content::rows(report));
    section("Promises", &content::promises(report));
    section("Changes of level", &content::changes(report));
    section("Drift from the anchor", &content::drifts(report));
    section("Noise", &content::calibration(report));
    section("Facts that differ", &content::differences(report));
    // A PASS is said by its first line and its table; the page says the rest.
    if report.verdict != Verdict::Pass {
        for (heading, lines) in [("Why", &report.reasons), ("What would change the verdict", &report.would_change)] {
            if !lines.is_empty() {
                screen.heading(heading);
            }
            for line in lines.iter().take(LINES) {
                screen.line(&format!("   {line}"));
            }
            if lines.len() > LINES {
                screen.line(&format!("   ({} more in report.html)", lines.len() - LINES));
            }
        }
    }
    screen.blank();
    let unit = content::unit(report);
    screen.line(format!("{} {unit} count: {}. {}", report.pairs, content::mode(report), content::certainty(report)).trim_end());
    screen.text
}

/// A sentence and a table.
#[must_use]
pub fn titled(sentence: &str, table: &Table, paint: Paint) -> String {
    let mut screen = Screen::new(paint);
    screen.line(sentence);
    screen.table(table);
    screen.text
}
