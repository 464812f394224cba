//! `gate calibrate`: one system against itself, for the noise, and for what a gate can see through it.

use super::paired::Maker;
use super::side::{Given, Side};
use super::{Found, paired, rules, tell};
use crate::cli::args::{GateCalibrateArgs, GateOptions};
use crate::cli::exit::Outcome;
use crate::cli::files;
use crate::cli::printer::Printer;
use crate::cli::scenario;
use crate::cli::signals::Signals;
use crate::gate::{Role, Rules, calibrate};
use crate::report::html::GateRuns;
use std::fmt::Write as _;

/// Makes the rounds, tells the noise and writes the lines of a scenario that go with it.
pub(super) fn run(args: &GateCalibrateArgs, options: &GateOptions, printer: Printer) -> Outcome {
    let seed = scenario::seed_of_load(args.load.seed);
    let signals = Signals::watch();
    let given = |name| Given { name, url: args.url.as_ref(), set: &[], facts: &[] };
    let base = Side::new(&given("base"), &args.load, seed, &signals, printer)?;
    let head = Side::new(&given("head"), &args.load, seed, &signals, printer)?;
    let rules = rules::of(&head.experiment.scenario.gate);
    let folder = paired::gate_folder(&options.out, &head, seed)?;
    let maker = Maker::new(base, head, seed, folder.clone(), &args.load, &signals, printer)?;
    maker.check(args.pairs)?;
    let mut kept = GateRuns::default();
    let pairs = maker.rounds(&rules, args.pairs, &mut kept)?;
    let mut report = calibrate::judge(&rules, &pairs);
    report.scenario.clone_from(&maker.head.experiment.scenario.name);
    let lines = suggested(&rules, &calibrate::suggest(&rules, &report));
    files::write(&folder.join("suggested.toml"), lines.as_bytes())?;
    let repeat = format!("plimsoll gate calibrate {} --pairs {} --seed {}", args.load.scenario.display(), args.pairs, seed.0);
    let exit = tell(&folder, &Found { report, runs: kept, repeat }, options, printer)?;
    printer.talk(&format!("for the scenario: {}", folder.join("suggested.toml").display()));
    Ok(signals.stopped().unwrap_or(exit))
}

/// The section that makes informational what the noise does not let a gate decide.
fn suggested(rules: &Rules, with: &Rules) -> String {
    let mut lines = String::from("# Made by `plimsoll gate calibrate`: what the noise does not let a gate decide is shown and never decides.\n");
    let demoted: Vec<&str> = rules
        .terms
        .iter()
        .zip(&with.terms)
        .filter(|(before, after)| before.role != after.role && after.role == Role::Informational)
        .map(|(_, after)| after.metric.key())
        .collect();
    if demoted.is_empty() {
        lines.push_str("# Nothing: every metric of these rules can be decided here.\n");
        return lines;
    }
    lines.push_str("[gate.metrics]\n");
    for key in demoted {
        let _ = writeln!(lines, "{key} = {{ role = \"informational\" }}");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::gate::Metric;
    use crate::scenario::check::check;
    use std::path::Path;

    #[test]
    fn the_suggestion_is_a_section_that_a_scenario_takes() {
        let rules = Rules::default();
        let mut with = rules.clone();
        for term in with.terms.iter_mut().filter(|t| t.metric == Metric::TtftP95) {
            term.role = Role::Informational;
        }
        let lines = suggested(&rules, &with);
        let text = format!("name = \"t\"\n[load]\narrivals = {{ poisson = {{ rate = \"1/s\" }} }}\n{lines}");
        let scenario = check("t.toml", text.as_bytes(), Path::new("."), &[], Seed(1)).unwrap().scenario;
        assert_eq!(super::super::rules::of(&scenario.gate), with);
        assert!(suggested(&rules, &rules).contains("every metric"));
    }
}
