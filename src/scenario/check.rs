//! `check`: from the text of a scenario file to an `Experiment`, or to every fault in it at once.

mod rules;
mod salvage;
mod shape;
mod source;
mod suggest;
mod tree;

use super::experiment::Experiment;
use super::schema::json_schema;
use crate::base::diag::Fault;
use crate::base::rng::Seed;
use salvage::{Salvaged, salvage};
use shape::Marked;
use source::{Parsed, Source};
use std::path::Path;
use tree::Mark;

/// The largest scenario file that is read, in bytes. Length tables of any size belong into a trace file.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Faults told of one file, at most; a last one says how many more there are.
const MAX_FAULTS: usize = 200;

/// A value set on the command line over what the file says: `--set load.measure=5s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Dotted path of the key, quoted as in TOML where a part holds a dot.
    pub key: String,
    /// A TOML value, or a bare text (`5s`).
    pub value: String,
}

/// Checks the scenario `text` read from `file` (a name for the places of faults) and makes the experiment of it; relative paths start at `base_dir`.
///
/// # Errors
/// Every fault at once, in order of appearance: what is too large, not UTF-8 or not TOML; unknown, missing and misspelt keys; wrong types and
/// units; values that make no sense or contradict each other. Whether the files it names exist is not looked at.
pub fn check(file: &str, text: &[u8], base_dir: &Path, overrides: &[Override], seed: Seed) -> Result<Experiment, Vec<Fault>> {
    let text = source::decode(file, text).map_err(|fault| vec![fault])?;
    let source = Source::new(file, text, overrides);
    let Parsed { mut tree, mut faults, is_whole } = source.parse();
    if !is_whole {
        return Err(finish(&source, faults));
    }
    let syntax: Vec<Mark> = faults.iter().map(|m| m.mark.clone()).collect();
    faults.extend(source.apply(&mut tree));
    let shape = shape::walk(&tree, &json_schema(), &|mark| source.written(mark));
    // What was not even TOML is told once.
    faults.extend(shape.into_iter().filter(|m| !syntax.contains(&m.mark)));
    if faults.len() > MAX_FAULTS {
        return Err(finish(&source, faults));
    }
    let keys: Vec<&str> = faults.iter().map(|m| m.fault.key.as_str()).collect();
    match salvage(&tree, &keys) {
        Ok(Salvaged { scenario, lost }) => {
            faults.extend(rules::judge(&scenario, &tree, &lost, &|mark| source.written(mark)));
            if faults.is_empty() {
                return Ok(Experiment { scenario, seed, base_dir: base_dir.to_owned() });
            }
        }
        Err(error) if faults.is_empty() => faults.push(Marked { fault: Fault::new("", error.to_string()), mark: tree.mark }),
        Err(_) => {}
    }
    Err(finish(&source, faults))
}

/// Faults with their places, in order of appearance: those of the file first, then those of overrides.
fn finish(source: &Source<'_>, mut faults: Vec<Marked>) -> Vec<Fault> {
    faults.sort_by_key(|m| match &m.mark {
        Mark::File(span) => (0, span.start),
        Mark::Override(index) => (1, *index),
    });
    let more = faults.len().saturating_sub(MAX_FAULTS);
    faults.truncate(MAX_FAULTS);
    let mut told: Vec<Fault> = faults.into_iter().map(|m| source.place(m)).collect();
    if more > 0 {
        told.push(Fault::new("", format!("and at least {more} more faults")));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The least that is a scenario.
    const LEAST: &str = "name = \"t\"\n[load]\narrivals = { poisson = { rate = \"12/s\" } }\n";

    fn run_with(text: &str, overrides: &[(&str, &str)]) -> Result<Experiment, Vec<Fault>> {
        let overrides: Vec<_> = overrides.iter().map(|(k, v)| Override { key: (*k).to_owned(), value: (*v).to_owned() }).collect();
        check("t.toml", text.as_bytes(), Path::new("."), &overrides, Seed(1))
    }

    /// Each fault as `line:column key: message [expected] (hint)`.
    fn faults(text: &str, overrides: &[(&str, &str)]) -> Vec<String> {
        let show = |f: &Fault| {
            let place = f.place.as_ref().map_or("-".to_owned(), |p| format!("{}:{}", p.line, p.column));
            let hint = f.hint.as_ref().map_or(String::new(), |h| format!(" ({h})"));
            format!("{place} {}: {}{hint}", f.key, f.message)
        };
        run_with(text, overrides).err().unwrap_or_default().iter().map(show).collect()
    }

    #[test]
    fn the_least_scenario_passes_and_every_default_is_filled_in() {
        let experiment = run_with(LEAST, &[]).unwrap();
        assert_eq!(experiment.scenario.load.max_in_flight, 1024);
        assert_eq!(experiment.scenario.target.model, "default");
    }

    #[test]
    fn zz() {
        let show = |t: &str, o: &[(&str, &str)]| {
            for f in faults(t, o) {
                println!("{f:?}");
            }
        };
        for t in [
            "",
            "name = 1",
            "nam = \"x\"\n[load]\narivals = { poisson = { rate = \"12/m0\" } }\nrate = \"12/s\"\nwarmup = 5\nmeasure = 5s\n[target]\nurl = \"localhost:80\"\nstream = \"true\"\nauth = \"bearer\"\nheaders = { Authorization = \"x\", \"a.b c\" = \"1\" }\n[slo]\nttft = { p95 = \"1s\", p99.9 = \"0s\", p100 = \"1s\" }\n[workload]\nlengths = \"empirical\"\n[endpoint]\nnoise = nan\nmax_batch = -1\nstep = 5",
            "name = \"t\"\n[load]\narrivals = { poisson = { rate = \"12/s\" }, gamma = { rate = 12, cv = 0.0 } }\n[target]\nmax_in_flight = 4\ntask = \"embedding\"\n[plan]\n",
        ] {
            println!("----");
            show(t, &[]);
        }
        show(
            LEAST,
            &[
                ("load.measure", "5"),
                ("load.mesure", "5s"),
                ("load.arrivals.closed.users", "5"),
                ("load.arrivals.poisson.rate.ramp", "1"),
                ("a b", "1"),
                ("x", "[1"),
                ("workload.lengths", "{ independent = { input = { fixed = 0 }, output = { quantiles = [] } } }"),
            ],
        );
    }
}
