//! `[gate]` of a scenario as the rules of a gate.

use crate::base::units::{Share, TimeSpan, TokenRate};
use crate::gate::{Metric, Role, Rules, Term};
use crate::scenario::gate::{Gate, GateLatency, GateRole, GateShare};

/// The rules that a scenario sets: its own words where it has any, the defaults of the gate elsewhere.
#[must_use]
pub(super) fn of(gate: &Gate) -> Rules {
    let defaults = Rules::default();
    Rules {
        terms: defaults.terms.iter().map(|term| of_term(*term, gate)).collect(),
        alpha_fail: gate.alpha_fail.0,
        alpha_pass: gate.alpha_pass.0,
        looks: gate.looks.clone(),
        min_requests: gate.min_requests,
        min_success: gate.min_success.0,
        redo: gate.redo,
    }
}

fn of_term(term: Term, gate: &Gate) -> Term {
    let m = &gate.metrics;
    let latency = |l: &GateLatency| (l.margin, l.floor.map(milliseconds), l.role);
    let share = |s: &GateShare| (s.margin, None, s.role);
    let (margin, floor, role) = match term.metric {
        Metric::TtftP50 => latency(&m.ttft_p50),
        Metric::TtftP95 => latency(&m.ttft_p95),
        Metric::TtftP99 => latency(&m.ttft_p99),
        Metric::TpotP50 => latency(&m.tpot_p50),
        Metric::E2eP95 => latency(&m.e2e_p95),
        Metric::OutputTokS => (m.output_tok_s.margin, m.output_tok_s.floor.map(|TokenRate(r)| r), m.output_tok_s.role),
        Metric::Goodput => share(&m.goodput),
        Metric::ErrorRate => share(&m.error_rate),
        Metric::PeakMemory => share(&m.peak_memory),
        Metric::Cost => share(&m.cost),
    };
    Term {
        metric: term.metric,
        margin: margin.map_or(term.margin, |Share(s)| s),
        floor: floor.unwrap_or(term.floor),
        role: role.map_or(term.role, of_role),
    }
}

fn of_role(role: GateRole) -> Role {
    match role {
        GateRole::Gated => Role::Gated,
        GateRole::IfPresent => Role::IfPresent,
        GateRole::Informational => Role::Informational,
    }
}

fn milliseconds(span: TimeSpan) -> f64 {
    span.nanos().as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_that_says_nothing_has_the_default_rules() {
        assert_eq!(of(&Gate::default()), Rules::default());
    }

    #[test]
    fn what_a_scenario_says_arrives_in_the_units_of_the_metric() {
        let mut gate = Gate { looks: vec![3, 5], ..Gate::default() };
        gate.metrics.ttft_p95 = GateLatency { margin: Some(Share(0.4)), floor: Some(TimeSpan::millis(7)), role: Some(GateRole::Informational) };
        gate.metrics.error_rate.margin = Some(Share(0.01));
        let rules = of(&gate);
        assert_eq!(rules.looks, [3, 5]);
        assert_eq!(rules.term(Metric::TtftP95).unwrap(), &Term { metric: Metric::TtftP95, margin: 0.4, floor: 7.0, role: Role::Informational });
        assert_eq!(rules.term(Metric::ErrorRate).unwrap().margin, 0.01);
        assert_eq!(rules.fault(), None);
    }
}
