//! A capacity sweep made up from the queue of slots of the other fixtures: five loads, and what the search says of them.

use super::fixture;
use plimsoll::measure::document::RunDocument;
use plimsoll::measure::knee::document::SweepDocument;
use plimsoll::measure::knee::{Ask, Kind, Options, Reason, Search, Stage};
use plimsoll::measure::plateau::{Collector, targets};

/// The documents of the steps at `loads`, and the document of the sweep, which ended with `reason`.
pub(crate) fn capacity_sweep(loads: &[f64], reason: Option<Reason>) -> (Vec<RunDocument>, SweepDocument) {
    let slo = fixture::scenario().slo;
    let options = Options {
        kind: Kind::Rate,
        start: loads[0],
        width: 0.02,
        confidence: 0.95,
        shortest_s: 10.0,
        longest_s: 600.0,
        most_requests: 60_000,
        most_seconds: 1e6,
    };
    let mut search = Search::new(options, targets(&slo));
    let mut documents = Vec::new();
    for (i, &load) in loads.iter().enumerate() {
        let window = i as u64;
        let mut collector = Collector::new(&slo);
        for r in fixture::records(load, 610.0, 48, window) {
            collector.observe(&r);
        }
        search.learn(Ask { load, window, warmup_s: 10.0, measure_s: 600.0, stage: Stage::Refinement }, collector.finish(10.0, 610.0, None));
        documents.push(fixture::run(load, 48, window));
    }
    let found = SweepDocument::of(&search, "chat-steady", reason, true);
    (documents, found)
}
