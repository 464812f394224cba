//! The first screen after a command: verdict first, then the same figures as the page, aligned. Colour only when asked, and never alone.

mod gate;

use super::chart::Table;
use super::number::count;
use super::verdict::{self, Standing};
use super::{
    Figure, FitRow, capacity_content, fit_content, money_content, plan_content, probe_content, run_content, sensitivity_content, verify_content,
    words,
};
use crate::base::diag::Warning;
use crate::measure::document::RunDocument;
use crate::measure::knee::document::SweepDocument;
use crate::measure::probe::document::ProbeDocument;
use crate::measure::summary::{Distribution, Summary};
use crate::planner::recommendation::Recommendation;
use crate::planner::verification::Verification;
use crate::sim::fit::Fitted;

pub use gate::{gate, titled};

/// Whether escape sequences for colour may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Plain text.
    Plain,
    /// With colour.
    Color,
}

/// The screen of a run.
#[must_use]
pub fn run(doc: &RunDocument, paint: Paint) -> String {
    let s = &doc.summary;
    let verdict = verdict::of_run(s);
    let mut screen = Screen::new(paint);
    screen.headline(verdict.standing, verdict.standing.word(), &doc.manifest.scenario_name);
    screen.line(&verdict.sentence);
    screen.line(&run_content::interruption(doc));
    screen.figures(&run_content::figures(s));
    screen.heading("Latency");
    screen.table(&latencies(s));
    if !s.objectives.is_empty() {
        screen.heading("Objectives");
        screen.table(&run_content::objectives(s));
        screen.line(&run_content::objective_note(s));
    }
    let errors = run_content::errors(doc);
    if !errors.rows.is_empty() {
        screen.heading("Errors");
        screen.table(&errors);
    }
    let notes = run_content::notes(s);
    if !notes.rows.is_empty() {
        screen.heading("Notes");
        screen.table(&notes);
    }
    screen.heading("Is it the client?");
    screen.line(&run_content::client(s));
    screen.warnings(&s.validity.warnings);
    screen.blank();
    screen.line(&run_content::accounting(s));
    screen.line(&format!("Seed {}, plimsoll {}.", doc.manifest.seed.0, doc.manifest.tool_version));
    screen.text
}

/// The screen of a sweep, and of the fit if there is one.
#[must_use]
pub fn sweep(steps: &[RunDocument], fit: &[FitRow], paint: Paint) -> String {
    let summaries: Vec<&Summary> = steps.iter().map(|d| &d.summary).collect();
    let mut screen = Screen::new(paint);
    let Some(first) = steps.first() else {
        return screen.text;
    };
    let found = verdict::knee(&summaries).is_some();
    let standing = if found { Standing::Good } else { Standing::Undecided };
    screen.headline(standing, if found { "KNEE FOUND" } else { "NO KNEE" }, &first.manifest.scenario_name);
    screen.line(&verdict::of_sweep(&summaries));
    screen.heading("Load steps");
    screen.table(&super::chart::steps(&summaries));
    if !fit.is_empty() {
        screen.heading("Fit");
        screen.table(&plan_content::fit(fit));
        screen.line(&plan_content::fit_note(fit));
    }
    for (i, doc) in steps.iter().enumerate().filter(|(_, d)| !d.summary.validity.warnings.is_empty()) {
        screen.heading(&format!("Step {}", i + 1));
        screen.warnings(&doc.summary.validity.warnings);
    }
    screen.text
}

/// The screen of a fit; `labels` name its steps.
#[must_use]
pub fn fit(fitted: &Fitted, labels: &[String], paint: Paint) -> String {
    let mut screen = Screen::new(paint);
    screen.line(&fit_content::sentence(fitted));
    screen.heading("The model");
    screen.table(&fit_content::parameters(fitted));
    screen.heading("How sure it is");
    for line in fit_content::uncertainty(fitted) {
        screen.line(&line);
    }
    let assumed = fit_content::assumed(fitted);
    if !assumed.rows.is_empty() {
        screen.heading("What is missing");
        screen.table(&assumed);
    }
    for (heading, figures) in
        [("Measured against predicted", &fitted.quality.rows), ("The same, each part unseen by the law", &fitted.quality.held_out)]
    {
        if !figures.is_empty() {
            screen.heading(heading);
            screen.table(&plan_content::fit(&fit_content::rows(figures, labels)));
        }
    }
    for warning in &fitted.quality.warnings {
        screen.line(&format!("note: {warning}"));
    }
    screen.text
}

/// What a sweep found: the SLO capacity, and one row a window.
#[must_use]
pub fn capacity(found: &SweepDocument, paint: Paint) -> String {
    let mut screen = Screen::new(paint);
    screen.heading("SLO capacity");
    screen.line(&capacity_content::sentence(found));
    screen.table(&capacity_content::windows(found));
    screen.text
}

/// The screen of a probe, with the lines for the scenario.
#[must_use]
pub fn probe(found: &ProbeDocument, paint: Paint) -> String {
    let mut screen = Screen::new(paint);
    screen.headline(probe_content::standing(found), probe_content::word(found), &found.scenario);
    screen.line(&probe_content::sentence(found));
    screen.heading("Repeats");
    screen.table(&probe_content::repeats(found));
    screen.heading("Throughput under high load");
    screen.table(&probe_content::levels(found));
    screen.line(probe_content::NOTE);
    if !found.toml.is_empty() {
        screen.heading("For the scenario");
        for line in found.toml.lines() {
            screen.line(if line.is_empty() { " " } else { line });
        }
    }
    screen.text
}

/// The screen of a plan.
#[must_use]
pub fn plan(plan: &Recommendation, paint: Paint) -> String {
    let verdict = verdict::of_plan(plan);
    let mut screen = Screen::new(paint);
    screen.headline(verdict.standing, &plan_content::buy(plan), &plan.scenario);
    screen.line(&plan_content::reason(plan));
    if plan.chosen.is_some() {
        screen.line(&verdict.sentence);
    }
    screen.line(&verdict::promise(plan));
    screen.line(&plan_content::certificate(plan));
    screen.line(&plan_content::limits(plan));
    screen.figures(&plan_content::figures(plan));
    screen.heading("Where the money goes");
    screen.table(&plan_content::headroom(plan));
    screen.heading("Why not less, and what rules of thumb say");
    screen.line(&words::sentence(&plan.binding));
    screen.table(&plan_content::alternatives(plan));
    screen.heading("Prices, and paying by the token instead");
    screen.line(&money_content::prices(plan));
    if let Some(found) = &plan.break_even {
        screen.line(&money_content::verdict(found));
        screen.line(&money_content::break_even_note(found));
        screen.table(&money_content::break_even(found, &plan.currency));
    }
    if let Some(found) = &plan.sensitivity {
        screen.heading("What if");
        screen.line(&sensitivity_content::note(found));
        screen.table(&sensitivity_content::inputs(found, &plan.currency));
        screen.table(&sensitivity_content::lags(found, &plan.currency));
        screen.table(&sensitivity_content::chunk_more(found, &plan.currency));
    }
    screen.heading("What it rests on");
    screen.table(&plan_content::assumptions(plan));
    screen.warnings(&plan.warnings);
    screen.blank();
    screen.line(&plan_content::effort(plan));
    screen.text
}

/// The verification of a plan: measured beside predicted, and beside what was promised.
#[must_use]
pub fn verification(plan: &Recommendation, run: &RunDocument, found: Option<&Verification>, paint: Paint) -> String {
    let mut screen = Screen::new(paint);
    if let Some(found) = found {
        screen.headline(verify_content::standing(run, found), &verify_content::word(run, found), &plan.scenario);
        screen.line(&verify_content::sentence(run, found));
        screen.line(&verify_content::advice(run, found));
        screen.heading("Measured against predicted");
        screen.table(&verify_content::rows(found));
        screen.line(&verify_content::note(found));
        screen.heading("What the plan took for granted");
        screen.table(&verify_content::checks(found));
    }
    let verdict = verdict::of_run(&run.summary);
    screen.heading("The objectives under this load");
    screen.headline(verdict.standing, &format!("VERIFICATION: {}", verdict.standing.word()), &plan.scenario);
    screen.line(&verdict.sentence);
    screen.table(&plan_content::verification(plan, run));
    screen.warnings(&run.summary.validity.warnings);
    screen.text
}

/// Every latency by percentile; one that has no values is left out.
fn latencies(s: &Summary) -> Table {
    let l = &s.latency;
    let mut table = Table::new(&["", "n", "p50", "p90", "p95", "p99", "p99.9", "max"]);
    let rows: [(&str, &Distribution); 6] =
        [("TTFT", &l.ttft), ("TTFT from send", &l.ttft_service), ("TPOT", &l.tpot), ("ITL", &l.itl), ("E2E", &l.e2e), ("lateness", &l.lateness)];
    for (name, d) in rows.into_iter().filter(|(_, d)| d.n > 0) {
        let mut row = vec![name.to_owned(), count(d.n)];
        row.extend(["p50", "p90", "p95", "p99", "p99.9"].map(|p| super::number::percentile(d, p)));
        row.push(super::number::millis(d.max_ms));
        table.rows.push(row);
    }
    table
}

/// Lines of text under construction.
struct Screen {
    text: String,
    paint: Paint,
}

impl Screen {
    fn new(paint: Paint) -> Self {
        Self { text: String::new(), paint }
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    /// One line; nothing for an empty text.
    fn line(&mut self, text: &str) {
        if !text.is_empty() {
            self.text.push_str(&inert(text));
            self.blank();
        }
    }

    fn colored(&self, code: &str, text: &str) -> String {
        match self.paint {
            Paint::Plain => inert(text),
            Paint::Color => format!("\u{1b}[{code}m{}\u{1b}[0m", inert(text)),
        }
    }

    fn headline(&mut self, standing: Standing, word: &str, name: &str) {
        let code = match standing {
            Standing::Good => "1;32",
            Standing::NoObjectives => "1",
            Standing::Undecided => "1;33",
            Standing::Missed | Standing::Invalid => "1;31",
        };
        let verdict = self.colored(code, &format!("{} {word}", standing.sign()));
        self.text.push_str(&verdict);
        self.text.push_str("  ");
        self.line(if name.is_empty() { " " } else { name });
    }

    fn heading(&mut self, text: &str) {
        let heading = self.colored("1", text);
        self.blank();
        self.text.push_str(&heading);
        self.blank();
    }

    fn figures(&mut self, figures: &[Figure]) {
        self.blank();
        let mut table = Table::default();
        for f in figures {
            let said = |(label, value): &(String, String)| if label.is_empty() { value.clone() } else { format!("{label} {value}") };
            table.rows.push(vec![f.name.clone(), f.values.iter().map(said).collect::<Vec<_>>().join("  "), f.note.clone()]);
        }
        self.rows(&table, Side::Left);
    }

    /// A table with its head; columns after the first stand to the right unless they hold sentences.
    fn table(&mut self, table: &Table) {
        self.rows(table, Side::Right);
    }

    fn rows(&mut self, table: &Table, side: Side) {
        let columns = table.rows.iter().map(Vec::len).chain([table.head.len()]).max().unwrap_or(0);
        let all: Vec<Vec<String>> =
            std::iter::once(&table.head).filter(|h| !h.is_empty()).chain(&table.rows).map(|r| r.iter().map(|c| inert(c)).collect()).collect();
        let widths: Vec<usize> = (0..columns).map(|i| all.iter().filter_map(|r| r.get(i)).map(|c| width(c)).max().unwrap_or(0)).collect();
        // A column of sentences reads from the left; one of figures is compared from the right.
        let words: Vec<bool> =
            (0..columns).map(|i| i == 0 || side == Side::Left || table.rows.iter().filter_map(|r| r.get(i)).any(|c| width(c) > 24)).collect();
        for row in &all {
            let mut line = String::from(" ");
            for (i, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[i].saturating_sub(width(cell)));
                line.push_str("  ");
                let (first, second) = if words[i] { (cell, &pad) } else { (&pad, cell) };
                line.push_str(first);
                line.push_str(second);
            }
            self.text.push_str(line.trim_end());
            self.blank();
        }
    }

    fn warnings(&mut self, warnings: &[Warning]) {
        if warnings.is_empty() {
            return;
        }
        self.heading("Reasons to doubt");
        for w in warnings {
            self.line(&format!("   {}: {} [{}]", words::severity(w.severity), w.message, w.code));
            if !w.hint.is_empty() {
                self.line(&format!("      hint: {}", w.hint));
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// On one line, and without control characters: a hostile name must not move the cursor or paint.
fn inert(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') { '\u{fffd}' } else { c }).collect()
}

/// Columns on a terminal: two for the wide characters of East Asia.
fn width(text: &str) -> usize {
    let wide = |c: char| matches!(u32::from(c), 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE4F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD);
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}
