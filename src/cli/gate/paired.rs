//! Both sides are there: rounds of two runs with the same workload, in an order by coin, until a look decides.

use super::side::{Given, Side};
use super::{Found, rules, tell};
use crate::base::clock::Clock;
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::base::units::TimeSpan;
use crate::cli::args::{GateLoadArgs, GateOptions, GateSidesArgs};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::load::now_utc;
use crate::cli::printer::Printer;
use crate::cli::signals::Signals;
use crate::cli::{results, scenario, sweep};
use crate::engine::live::Live;
use crate::gate::{Metric, Mode, Order, Pair, Report, Rules, Verdict, paired};
use crate::report::gate_content as content;
use crate::report::html::GateRuns;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Pause between two runs when both sides are on this machine, and otherwise.
const LOCAL_PAUSE: TimeSpan = TimeSpan(Nanos::from_millis(250));
const REMOTE_PAUSE: TimeSpan = TimeSpan(Nanos::from_secs(5));

/// How often a pause looks for a signal.
const LOOK: Duration = Duration::from_millis(50);

/// Makes the rounds and tells the verdict.
pub(super) fn run(load: &GateLoadArgs, sides: &GateSidesArgs, options: &GateOptions, printer: Printer) -> Outcome {
    let seed = scenario::seed_of_load(load.seed);
    let signals = Signals::watch();
    let base = Given { name: "base", url: sides.base.as_ref(), set: &sides.base_set, facts: &sides.base_fact };
    let head = Given { name: "head", url: sides.head.as_ref(), set: &sides.head_set, facts: &sides.head_fact };
    let base = Side::new(&base, load, seed, &signals, printer)?;
    let head = Side::new(&head, load, seed, &signals, printer)?;
    let rules = rules::of(&head.experiment.scenario.gate);
    let folder = gate_folder(&options.out, &head, seed)?;
    if let Some(reason) = different_load(&base, &head).or_else(|| different_facts(&base.facts, &head.facts)) {
        let mut report = Report::not_comparable(Mode::Paired, reason);
        report.scenario.clone_from(&head.experiment.scenario.name);
        let found = Found { report, runs: GateRuns::default(), repeat: repeat(load, sides, seed) };
        return tell(&folder, &found, options, printer);
    }
    let maker = Maker::new(base, head, seed, folder.clone(), load, &signals, printer)?;
    let most = rules.looks.last().copied().unwrap_or(1);
    maker.check(most)?;
    let mut kept = GateRuns::default();
    let mut report = maker.until_decided(&rules, &mut kept)?;
    advise(&mut report, signals.stopped().is_some());
    report.scenario.clone_from(&maker.head.experiment.scenario.name);
    let found = Found { report, runs: kept, repeat: repeat(load, sides, seed) };
    let exit = tell(&folder, &found, options, printer)?;
    Ok(signals.stopped().unwrap_or(exit))
}

/// What the maker of the rounds knows and the judge does not: that they were stopped, and what makes rounds count.
fn advise(report: &mut Report, was_stopped: bool) {
    if was_stopped && report.looks.is_empty() {
        report.rows.clear();
        report.would_change.clear();
        report.reasons = vec!["stopped by a signal before the first look".to_owned()];
        report.sentence = format!("{}: stopped by a signal after {} pairs, before the first look.", report.verdict.word(), report.pairs);
    } else if report.verdict == Verdict::Invalid {
        report.would_change = vec![
            "longer runs at a lower rate (load.measure, load.arrivals): fewer moments in which the client is late, more requests".to_owned(),
            "a machine that does nothing else meanwhile, or more tries of a round (gate.redo)".to_owned(),
        ];
    }
}

/// `out/<scenario>/gate-<time>-<seed>`, made.
pub(super) fn gate_folder(out: &Path, side: &Side<'_>, seed: Seed) -> Result<PathBuf, Failure> {
    results::new_named_folder(out, &side.experiment.scenario.name, "gate-", seed, &now_utc())
}

/// Why the two sides would not get the same load.
fn different_load(base: &Side<'_>, head: &Side<'_>) -> Option<String> {
    let (b, h) = (&base.experiment.scenario, &head.experiment.scenario);
    let part = if b.load != h.load {
        "load"
    } else if b.workload != h.workload {
        "workload"
    } else if b.slo != h.slo {
        "slo"
    } else {
        return None;
    };
    Some(format!("--base-set and --head-set give the two sides a different [{part}]: what is compared must be the endpoints, and nothing else"))
}

/// Why what the user states of the two sides makes them different things; told before anything is loaded.
fn different_facts(base: &[(String, String)], head: &[(String, String)]) -> Option<String> {
    let of_head = |key: &str| head.iter().find(|(k, _)| k == key).map(|(_, value)| value);
    let differs = |(key, value): &&(String, String)| of_head(key).is_some_and(|other| other != value);
    let (key, value) = base.iter().find(differs)?;
    let other = of_head(key)?;
    Some(format!("{key} is {value} of the base and {other} of the head (--base-fact, --head-fact): what must be equal differs"))
}

/// The command that makes this gate again.
fn repeat(load: &GateLoadArgs, sides: &GateSidesArgs, seed: Seed) -> String {
    let mut words = vec!["plimsoll gate".to_owned(), load.scenario.display().to_string()];
    let mut each = |option: &str, values: &mut dyn Iterator<Item = &String>| words.extend(values.map(|v| format!("{option} {}", quoted(v))));
    each("--base", &mut sides.base.iter());
    each("--head", &mut sides.head.iter());
    each("--set", &mut load.set.iter());
    each("--base-set", &mut sides.base_set.iter());
    each("--head-set", &mut sides.head_set.iter());
    each("--base-fact", &mut sides.base_fact.iter());
    each("--head-fact", &mut sides.head_fact.iter());
    each("--pause", &mut load.pause.iter());
    each("--confirm-host", &mut load.confirm_host.iter());
    words.push(format!("--seed {}", seed.0));
    words.join(" ")
}

/// As a shell reads it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Makes rounds.
pub(super) struct Maker<'a> {
    base: Side<'a>,
    /// The side that is judged.
    pub(super) head: Side<'a>,
    seed: Seed,
    pause: Option<TimeSpan>,
    folder: PathBuf,
    signals: &'a Signals,
    printer: Printer,
}

impl<'a> Maker<'a> {
    /// With the pause of the command line, or of the scenario.
    pub(super) fn new(
        base: Side<'a>,
        head: Side<'a>,
        seed: Seed,
        folder: PathBuf,
        args: &GateLoadArgs,
        signals: &'a Signals,
        printer: Printer,
    ) -> Result<Self, Failure> {
        let pause = match &args.pause {
            Some(_) => Some(sweep::span("--pause", args.pause.as_ref(), LOCAL_PAUSE)?),
            None => head.experiment.scenario.gate.pause,
        };
        Ok(Self { base, head, seed, pause, folder, signals, printer })
    }

    /// Refuses the gate as a whole, before its first run, if all its runs exceed `[limits]` or this host.
    pub(super) fn check(&self, pairs: u32) -> Result<(), Failure> {
        let steps: Vec<_> = (0..pairs).flat_map(|_| [self.base.experiment.clone(), self.head.experiment.clone()]).collect();
        self.base.check_total(&steps, self.printer)
    }

    /// Rounds until a look decides, a round has failed too often, or a signal came.
    fn until_decided(&self, rules: &Rules, kept: &mut GateRuns) -> Result<Report, Failure> {
        let most = rules.looks.last().copied().unwrap_or(1);
        let mut pairs = Vec::new();
        let (mut round, mut attempt, mut looked) = (1, 0, 0);
        loop {
            let Some(pair) = self.round(round, attempt, most, kept)? else {
                self.printer.talk("stopped: the rounds made so far are judged; the verdict is not final");
                return Ok(paired::look(rules, &pairs));
            };
            let unusable = paired::unusable(rules, &pair);
            pairs.push(pair);
            let report = paired::look(rules, &pairs);
            if report.looks.len() > looked {
                looked = report.looks.len();
                self.printer.talk(&format!("look at {} pairs: {}", report.pairs, report.sentence));
            }
            if report.another_look.is_none() || self.signals.stopped().is_some() {
                return Ok(report);
            }
            if let Some(why) = unusable {
                attempt += 1;
                kept.drop_last();
                self.printer.talk(&format!("    round {round} does not count and is made again: {why}"));
            } else {
                (round, attempt) = (round + 1, 0);
            }
        }
    }

    /// As many rounds as asked for, each made again as often as the rules allow; fewer if a signal came.
    pub(super) fn rounds(&self, rules: &Rules, wanted: u32, kept: &mut GateRuns) -> Result<Vec<Pair>, Failure> {
        let mut pairs = Vec::new();
        for round in 1..=wanted {
            for attempt in 0..=rules.redo {
                let Some(pair) = self.round(round, attempt, wanted, kept)? else { return Ok(pairs) };
                let unusable = paired::unusable(rules, &pair);
                pairs.push(pair);
                let Some(why) = unusable else { break };
                kept.drop_last();
                self.printer.talk(&format!("    round {round} does not count: {why}"));
            }
        }
        Ok(pairs)
    }

    /// One round: both sides with the same workload, in an order by coin, with prompts of their own. `None` if a signal came before it was whole.
    pub(super) fn round(&self, round: u32, attempt: u32, most: u32, kept: &mut GateRuns) -> Result<Option<Pair>, Failure> {
        let seed = self.seed.child("gate round", u64::from(round));
        let head_first = is_head_first(self.seed, round);
        let order = if head_first { Order::HeadFirst } else { Order::BaseFirst };
        let sides = if head_first { [&self.head, &self.base] } else { [&self.base, &self.head] };
        let mut made = Vec::new();
        for side in sides {
            if !(round == 1 && attempt == 0 && made.is_empty()) {
                self.rest();
            }
            if self.signals.stopped().is_some() {
                return Ok(None);
            }
            let again = if attempt == 0 { String::new() } else { format!("-again{attempt}") };
            let place = self.folder.join(format!("r{round:02}{again}-{}", side.name));
            let words = seed.child(side.name, u64::from(attempt));
            made.push(side.load(&place, seed, words, &format!("round {round} of at most {most}, {}", side.name))?);
        }
        if self.signals.stopped().is_some() {
            return Ok(None);
        }
        if head_first {
            made.swap(0, 1);
        }
        let mut made = made.into_iter();
        let (Some((base_document, base)), Some((head_document, head))) = (made.next(), made.next()) else { return Ok(None) };
        let pair = Pair { round, order, base, head };
        self.printer.talk(&told(&pair, most));
        kept.push(base_document, head_document);
        Ok(Some(pair))
    }

    /// Waits between two runs; a signal ends the wait.
    fn rest(&self) {
        let is_local = self.base.is_local() && self.head.is_local();
        let pause = self.pause.unwrap_or(if is_local { LOCAL_PAUSE } else { REMOTE_PAUSE }).nanos();
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
        // A signal in a pause stops the gate, not the program: what was measured is judged and written.
        self.signals.loading(&Arc::new(Live::default()));
        let clock = Clock::start();
        runtime.block_on(async {
            while clock.now() < pause && self.signals.stopped().is_none() {
                tokio::time::sleep(LOOK.min(Duration::from_nanos(pause.0.saturating_sub(clock.now().0)))).await;
            }
        });
    }
}

/// Which side runs first: of rounds 1 and 2, of rounds 3 and 4 … one begins with each side, which one is a seeded coin. So whatever the second run of a
/// round meets (a warm cache, a busier host) meets both sides equally often, and nobody knows the order beforehand.
fn is_head_first(seed: Seed, round: u32) -> bool {
    let (block, place) = (round.saturating_sub(1) / 2, round.saturating_sub(1) % 2);
    let coin = seed.child("gate order", u64::from(block)).0 & 1 == 1;
    coin == (place == 0)
}

/// A round in a line.
fn told(pair: &Pair, most: u32) -> String {
    let first = if pair.order == Order::HeadFirst { "head" } else { "base" };
    let figure = |metric: Metric| {
        let (base, head) = (pair.base.value(metric)?, pair.head.value(metric)?);
        Some(format!("{} {} -> {}", metric.label(), content::value(metric, base), content::value(metric, head)))
    };
    let figures: Vec<String> = [Metric::TtftP95, Metric::TpotP50, Metric::E2eP95, Metric::OutputTokS].into_iter().filter_map(figure).collect();
    let figures = if figures.is_empty() { "no figures".to_owned() } else { figures.join("; ") };
    format!("round {} of at most {most}, {first} first: {figures}", pair.round)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// forall seeds: of every two rounds one begins with each side, and which one is a fair coin
    #[test]
    fn the_order_is_balanced_and_a_coin() {
        let mut first = 0;
        for seed in 0..1000 {
            for block in 0..5 {
                assert_ne!(is_head_first(Seed(seed), 2 * block + 1), is_head_first(Seed(seed), 2 * block + 2));
                first += u32::from(is_head_first(Seed(seed), 2 * block + 1));
            }
        }
        // 5,000 throws: within five standard deviations of one half.
        assert!((2_323..=2_677).contains(&first), "{first}");
    }

    #[test]
    fn a_command_that_repeats_the_gate_survives_a_shell() {
        assert_eq!(quoted("a/b-1.toml"), "a/b-1.toml");
        assert_eq!(quoted("load.arrivals={x}"), "'load.arrivals={x}'");
        assert_eq!(quoted("it's; rm"), "'it'\\''s; rm'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn facts_that_both_sides_state_must_be_equal() {
        let facts = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        let (a, b) = (facts(&[("gpu", "x"), ("region", "a")]), facts(&[("region", "b")]));
        assert!(different_facts(&a, &b).is_some_and(|why| why.contains("region is a of the base and b of the head")));
        assert_eq!(different_facts(&a, &a), None);
        assert_eq!(different_facts(&a, &facts(&[("zone", "1")])), None, "what one side alone states is compared by its runs");
    }
}
