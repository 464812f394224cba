//! `Rules`: what a gate compares, by how much, and how often it may be wrong.

use super::metric::{Better, Metric, Scale};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a gate compares, by how much, and how often it may be wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rules {
    /// The metrics, in the order of the report; each at most once.
    pub terms: Vec<Term>,
    /// How often a FAIL may be wrong, over all metrics and looks together; 0 to 1.
    pub alpha_fail: f64,
    /// How often a PASS may be wrong for a change that is exactly as bad as a margin; 0 to 1.
    pub alpha_pass: f64,
    /// Numbers of pairs after which the gate looks, growing, each 2 or more.
    pub looks: Vec<u32>,
    /// Requests of a run below which it says nothing.
    pub min_requests: u64,
    /// Share of requests that must end well on each side, over all its runs, before latencies are compared; 0 to 1.
    pub min_success: f64,
    /// How often an invalid round may be done again.
    pub redo: u32,
}

/// One metric of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Term {
    /// Which.
    pub metric: Metric,
    /// How much worse is too much: a share of the base for ratios (0.05 is 5 %), a difference of shares otherwise (0.005 is half a point).
    pub margin: f64,
    /// How much worse in its own unit it must be as well before it fails; 0 for none.
    pub floor: f64,
    /// What it is for.
    pub role: Role,
}

/// What a metric is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Decides; without data the gate is INVALID.
    Gated,
    /// Decides if any run has it; left out if none has.
    IfPresent,
    /// Shown, never decides.
    Informational,
}

impl Term {
    /// A metric with its default margin and floor.
    #[must_use]
    pub fn new(metric: Metric, role: Role) -> Self {
        Self { metric, margin: metric.default_margin(), floor: metric.default_floor(), role }
    }
}

impl Default for Rules {
    /// TTFT p50 and p95, TPOT p50, E2E p95, output tok/s and error rate decide; goodput, memory and cost if they were measured; TTFT p99 is shown.
    fn default() -> Self {
        let role = |metric| match metric {
            Metric::TtftP99 => Role::Informational,
            Metric::Goodput | Metric::PeakMemory | Metric::Cost => Role::IfPresent,
            _ => Role::Gated,
        };
        Self {
            terms: Metric::ALL.into_iter().map(|metric| Term::new(metric, role(metric))).collect(),
            alpha_fail: 0.01,
            alpha_pass: 0.05,
            looks: vec![4, 6, 8, 10],
            min_requests: 200,
            min_success: 0.99,
            redo: 2,
        }
    }
}

impl Rules {
    /// The term of a metric.
    #[must_use]
    pub fn term(&self, metric: Metric) -> Option<&Term> {
        self.terms.iter().find(|t| t.metric == metric)
    }

    /// What is wrong with the rules, in words; `None` if nothing is.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let is_share = |x: f64| x > 0.0 && x < 1.0;
        if self.terms.iter().all(|t| t.role == Role::Informational) {
            return Some("no metric decides; give one the role gated".to_owned());
        }
        if let Some(t) = self.terms.iter().find(|t| !(t.margin.is_finite() && t.margin > 0.0 && t.floor.is_finite() && t.floor >= 0.0)) {
            return Some(format!("the margin of {} must be above 0 and its floor 0 or more; found {} and {}", t.metric, t.margin, t.floor));
        }
        if let Some(t) = self.terms.iter().find(|t| (t.metric.better() == Better::Higher || t.metric.scale() == Scale::Difference) && t.margin >= 1.0)
        {
            return Some(format!("the margin of {} must be below 1; found {}", t.metric, t.margin));
        }
        if let Some((i, t)) = self.terms.iter().enumerate().find(|(i, t)| self.terms[..*i].iter().any(|u| u.metric == t.metric)) {
            return Some(format!("{} stands twice, the second time in place {}", t.metric, i + 1));
        }
        if !(is_share(self.alpha_fail) && is_share(self.alpha_pass) && is_share(self.min_success)) {
            return Some("alpha_fail, alpha_pass and min_success must lie between 0 and 1".to_owned());
        }
        if self.looks.is_empty() || self.looks[0] < 2 || self.looks.windows(2).any(|w| w[0] >= w[1]) {
            return Some(format!("looks must grow and begin at 2 pairs or more, [4, 6, 8, 10] for example; found {:?}", self.looks));
        }
        None
    }

    /// Number of looks, at least 1: each has its part of the error rates.
    #[must_use]
    pub fn looks_count(&self) -> f64 {
        self.looks.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_fault_and_each_fault_is_named() {
        assert_eq!(Rules::default().fault(), None);
        let faulty = |change: fn(&mut Rules)| {
            let mut rules = Rules::default();
            change(&mut rules);
            rules.fault().unwrap()
        };
        assert!(faulty(|r| r.looks = vec![1]).contains("looks"));
        assert!(faulty(|r| r.looks = vec![6, 4]).contains("looks"));
        assert!(faulty(|r| r.looks.clear()).contains("looks"));
        assert!(faulty(|r| r.alpha_fail = f64::NAN).contains("alpha_fail"));
        assert!(faulty(|r| r.terms[0].margin = 0.0).contains("TTFT p50"));
        assert!(faulty(|r| r.terms.push(r.terms[1])).contains("twice"));
        assert!(faulty(|r| r.terms.clear()).contains("no metric decides"));
    }
}
