//! The page of a probe: the lag, the chunk, and the repeat that shows them.

use super::part::{self, Head};
use super::run;
use crate::measure::probe::document::ProbeDocument;
use crate::report::{chart, probe_content as content};
use askama::Template;

#[derive(Template)]
#[template(path = "probe.html", config = "src/report/html/askama.toml")]
struct ProbePage {
    head: Head,
    class: &'static str,
    word: String,
    sentence: String,
    figure: String,
    repeats: String,
    levels: String,
    note: String,
    toml: String,
}

/// The report of a probe as one HTML file.
#[must_use]
pub fn probe_page(probe: &ProbeDocument) -> String {
    let stamp = format!("Started {}", probe.started_utc);
    let standing = content::standing(probe);
    let page = ProbePage {
        head: Head::new("autoscaler probe", &probe.scenario, "", env!("CARGO_PKG_VERSION"), stamp),
        class: standing.class(),
        word: format!("{} {}", standing.sign(), content::word(probe)),
        sentence: content::sentence(probe),
        figure: chart::probe(probe).as_ref().map(part::chart).unwrap_or_default(),
        repeats: part::numbers(&content::repeats(probe), "Repeats"),
        levels: part::numbers(&content::levels(probe), "Levels of throughput under high load"),
        note: run::paragraph(content::NOTE),
        toml: probe.toml.clone(),
    };
    super::inert(&part::rendered(&page))
}
