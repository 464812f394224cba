//! What a scenario of the right shape may still not say: numbers out of range, and sections that contradict each other.

mod autoscaler;
mod endpoint;
mod gate;
mod load;
mod plan;
mod target;
mod workload;
mod workspace;

use super::shape::Marked;
use super::tree::{Mark, Node};
use crate::base::diag::Fault;
use crate::base::time::Nanos;
use crate::base::units::{Rate, TimeSpan};
use crate::scenario::load::Arrivals;
use crate::scenario::model::Scenario;
use crate::scenario::workload::Lengths;

/// Collects what the rules find, each at the place of its key.
struct Judge<'a> {
    tree: &'a Node,
    lost: &'a [String],
    written: &'a dyn Fn(&Mark) -> String,
    faults: Vec<Marked>,
}

/// Every rule that `scenario` breaks; `written` gives back the text at a mark. The keys in `lost` hold defaults: a rule is
/// asked only about what is as written.
pub(super) fn judge(scenario: &Scenario, tree: &Node, lost: &[String], written: &dyn Fn(&Mark) -> String) -> Vec<Marked> {
    let mut judge = Judge { tree, lost, written, faults: Vec::new() };
    judge.name(&scenario.name);
    target::judge(&mut judge, &scenario.target);
    load::judge(&mut judge, &scenario.load);
    load::judge_sweep(&mut judge, &scenario.sweep);
    workload::judge(&mut judge, &scenario.workload);
    plan::judge_slo(&mut judge, &scenario.slo);
    endpoint::judge(&mut judge, &scenario.endpoint);
    workspace::judge(&mut judge, &scenario.endpoint.workspace);
    if let Some(plan) = &scenario.plan {
        plan::judge(&mut judge, plan);
    }
    gate::judge(&mut judge, &scenario.gate);
    judge.limits(scenario);
    judge.across(scenario);
    judge.faults
}

impl Judge<'_> {
    /// A fault at `key`.
    fn refuse(&mut self, key: &str, fault: Fault) {
        if !self.intact(&[key]) {
            return;
        }
        let (mark, is_exact) = self.tree.nearest(key);
        let found = fault.found.or_else(|| is_exact.then(|| (self.written)(mark)));
        self.faults.push(Marked { fault: Fault { key: key.to_owned(), found, ..fault }, mark: mark.clone() });
    }

    /// A fault at `key` unless `holds`.
    fn expect(&mut self, holds: bool, key: &str, message: impl Into<String>, expected: &str) {
        if !holds {
            self.refuse(key, Fault::new(key, message).with_expected(expected));
        }
    }

    /// Refuses a duration of zero.
    fn positive_span(&mut self, key: &str, span: TimeSpan) {
        self.expect(span.nanos() > Nanos::ZERO, key, "no time at all", "a duration above zero, e.g. \"5s\"");
    }

    /// Refuses a rate of zero.
    fn positive_rate(&mut self, key: &str, rate: Rate) {
        self.expect(rate.0 > 0.0, key, "no requests at all", "a rate above zero, e.g. \"12/s\"");
    }

    /// Refuses a number outside `low..=high`.
    fn within(&mut self, key: &str, value: f64, low: f64, high: f64) {
        self.expect((low..=high).contains(&value), key, format!("{value} is out of range"), &format!("a number from {low} to {high}"));
    }

    /// Refuses a count below `least`.
    fn at_least(&mut self, key: &str, value: u64, least: u64) {
        self.expect(value >= least, key, format!("{value} is too few"), &format!("{least} or more"));
    }

    fn name(&mut self, name: &str) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let holds = !name.is_empty() && name.len() <= 64 && name.chars().all(is_plain);
        self.expect(holds, "name", format!("{name:?} cannot name a folder"), "1 to 64 letters, digits, `-` and `_`, e.g. \"chat-peak\"");
    }

    fn limits(&mut self, scenario: &Scenario) {
        self.at_least("limits.requests", scenario.limits.requests, 1);
        self.at_least("limits.tokens", scenario.limits.tokens, 1);
        self.positive_span("limits.duration", scenario.limits.duration);
    }

    /// Whether all of `keys` are as written: none is lost, nor part of one that is lost, nor lacks a part.
    fn intact(&self, keys: &[&str]) -> bool {
        let covers = |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        !keys.iter().any(|key| self.lost.iter().any(|lost| covers(lost, key) || covers(key, lost)))
    }

    /// A fault at `key` unless `holds`; the rule compares it with the keys `others`, and is asked only if they are as written.
    fn expect_with(&mut self, others: &[&str], holds: bool, key: &str, message: impl Into<String>, expected: &str) {
        if self.intact(others) {
            self.expect(holds, key, message, expected);
        }
    }

    /// Rules over two sections.
    fn across(&mut self, scenario: &Scenario) {
        if self.intact(&["load.arrivals", "sweep"]) {
            load::judge_sweep_against_load(self, &scenario.sweep, &scenario.load);
        }
        if self.intact(&["load.arrivals", "workload.lengths", "workload.sessions"]) {
            let needs_rows = matches!(scenario.workload.lengths, Lengths::Empirical { trace: None });
            let has_rows = matches!(scenario.load.arrivals, Arrivals::Trace { .. });
            if needs_rows && !has_rows {
                let fault = Fault::new("", "there is no recording to take lengths from").with_expected("`trace` here, or `load.arrivals.trace`");
                let fault = fault.with_hint("lengths = { empirical = { trace = { path = \"traces/mine.csv\" } } }");
                self.refuse("workload.lengths.empirical", fault);
            }
            if scenario.workload.sessions.is_some() && has_rows {
                let fault = Fault::new("", "the arrivals of a recording are single requests, not sessions").with_expected("another arrival process");
                self.refuse("workload.sessions", fault.with_hint("start sessions with load.arrivals = { poisson = { rate = \"1/s\" } }"));
            }
        }
        if self.intact(&["workload.sessions", "plan.demand_model"]) {
            let is_learnt = scenario.plan.as_ref().is_some_and(|p| p.demand_model.is_some());
            if scenario.workload.sessions.is_some() && is_learnt {
                let fault = Fault::new("", "a demand model draws single requests, not sessions").with_expected("`plan.demand` for sessions");
                self.refuse("plan.demand_model", fault.with_hint("leave [workload.sessions] out: the model's rows hold later turns as they were"));
            }
        }
    }
}
