//! One self-contained HTML page a document: no script, no outside request, the same bytes for the same input.

mod gate;
mod part;
mod plan;
mod probe;
mod run;
mod sweep;
mod verify;

pub use gate::{GateRuns, gate_page};
pub use plan::{PlanExtras, plan_page};
pub use probe::probe_page;
pub use run::{RunExtras, run_page};
pub use sweep::{capacity_page, sweep_page};
pub use verify::verify_page;

/// The page with characters replaced that no document should carry: controls and overrides of the writing direction, which could make a
/// hostile name look like something else.
fn inert(page: &str) -> String {
    page.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}') => '\u{fffd}',
            c => c,
        })
        .collect()
}
