//! Rules of `[gate]`.

use super::Judge;
use crate::base::diag::Fault;
use crate::base::units::Share;
use crate::scenario::gate::{Gate, GateRole};

/// Pairs of one gate, at most: more would be a load test of days.
const MOST_PAIRS: u32 = 1_000;

pub(super) fn judge(judge: &mut Judge<'_>, gate: &Gate) {
    looks(judge, &gate.looks);
    for (key, share) in [("alpha_fail", gate.alpha_fail), ("alpha_pass", gate.alpha_pass)] {
        let holds = share.0 > 0.0 && share.0 <= 0.5;
        judge.expect(holds, &format!("gate.{key}"), format!("{share} is not how often a verdict may be wrong"), "above 0%, at most 50%");
    }
    judge.expect(gate.min_success.0 > 0.0 && gate.min_success.0 < 1.0, "gate.min_success", "out of range", "above 0%, below 100%, e.g. \"99%\"");
    judge.at_least("gate.min_requests", gate.min_requests, 1);
    judge.expect(gate.redo <= 10, "gate.redo", format!("{} is too many", gate.redo), "10 at most");
    let m = &gate.metrics;
    let margins = [
        ("ttft_p50", m.ttft_p50.margin),
        ("ttft_p95", m.ttft_p95.margin),
        ("ttft_p99", m.ttft_p99.margin),
        ("tpot_p50", m.tpot_p50.margin),
        ("e2e_p95", m.e2e_p95.margin),
        ("output_tok_s", m.output_tok_s.margin),
        ("goodput", m.goodput.margin),
        ("error_rate", m.error_rate.margin),
        ("peak_memory", m.peak_memory.margin),
        ("cost", m.cost.margin),
    ];
    for (name, margin) in margins {
        let holds = margin.is_none_or(|Share(x)| x > 0.0);
        judge.expect(holds, &format!("gate.metrics.{name}.margin"), "a margin of nothing calls every noise worse", "above 0%, e.g. \"5%\"");
    }
    roles(judge, gate);
}

fn looks(judge: &mut Judge<'_>, looks: &[u32]) {
    let grows = looks.windows(2).all(|w| w[0] < w[1]);
    let in_range = looks.first().is_some_and(|&n| n >= 2) && looks.last().is_some_and(|&n| n <= MOST_PAIRS);
    if !(grows && in_range) {
        let fault = Fault::new("", format!("{looks:?} cannot be looked at in turn")).with_expected("numbers of pairs that grow, from 2 to 1000");
        judge.refuse("gate.looks", fault.with_hint("[4, 6, 8, 10] finds 10 % in nine of ten gates where runs differ by 2 %"));
    }
}

/// Something must decide.
fn roles(judge: &mut Judge<'_>, gate: &Gate) {
    let m = &gate.metrics;
    // Those that decide unless the scenario says otherwise.
    let decide = [m.ttft_p50.role, m.ttft_p95.role, m.tpot_p50.role, m.e2e_p95.role, m.output_tok_s.role, m.goodput.role, m.error_rate.role];
    let optional = [m.ttft_p99.role, m.peak_memory.role, m.cost.role];
    let any = decide.iter().any(|r| *r != Some(GateRole::Informational)) || optional.contains(&Some(GateRole::Gated));
    judge.expect(any, "gate.metrics", "no metric decides: the gate could never fail", "at least one with role = \"gated\"");
}

#[cfg(test)]
mod tests {
    use crate::base::rng::Seed;
    use crate::scenario::check::check;
    use std::path::Path;

    fn faults(gate: &str) -> Vec<String> {
        let text = format!("name = \"t\"\n[load]\narrivals = {{ poisson = {{ rate = \"1/s\" }} }}\n{gate}");
        match check("t.toml", text.as_bytes(), Path::new("."), &[], Seed(1)) {
            Ok(_) => Vec::new(),
            Err(found) => found.iter().map(|f| format!("{}: {}", f.key, f.message)).collect(),
        }
    }

    #[test]
    fn a_scenario_without_the_section_means_the_same_and_its_defaults_have_no_fault() {
        assert_eq!(faults(""), Vec::<String>::new());
        assert_eq!(faults("[gate]\nlooks = [2]\n[gate.metrics]\nttft_p95 = { margin = \"30%\", floor = \"2ms\" }\n"), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_told_at_its_key() {
        for (gate, key) in [
            ("[gate]\nlooks = []\n", "gate.looks"),
            ("[gate]\nlooks = [1]\n", "gate.looks"),
            ("[gate]\nlooks = [6, 4]\n", "gate.looks"),
            ("[gate]\nlooks = [4, 2000]\n", "gate.looks"),
            ("[gate]\nalpha_fail = \"0%\"\n", "gate.alpha_fail"),
            ("[gate]\nalpha_pass = \"90%\"\n", "gate.alpha_pass"),
            ("[gate]\nmin_success = \"100%\"\n", "gate.min_success"),
            ("[gate]\nmin_requests = 0\n", "gate.min_requests"),
            ("[gate]\nredo = 99\n", "gate.redo"),
            ("[gate.metrics]\nerror_rate = { margin = \"0%\" }\n", "gate.metrics.error_rate.margin"),
        ] {
            let found = faults(gate);
            assert!(found.len() == 1 && found[0].starts_with(key), "{gate}: {found:?}");
        }
    }

    #[test]
    fn a_gate_in_which_nothing_decides_is_refused() {
        let names = ["ttft_p50", "ttft_p95", "tpot_p50", "e2e_p95", "output_tok_s", "goodput", "error_rate"];
        let all = names.map(|m| format!("{m} = {{ role = \"informational\" }}\n")).concat();
        assert!(faults(&format!("[gate.metrics]\n{all}"))[0].contains("never fail"));
        assert_eq!(faults(&format!("[gate.metrics]\n{all}ttft_p99 = {{ role = \"gated\" }}\n")), Vec::<String>::new());
    }

    #[test]
    fn a_misspelt_metric_is_told_with_the_one_that_was_meant() {
        let text = "name = \"t\"\n[load]\narrivals = { poisson = { rate = \"1/s\" } }\n[gate.metrics]\nttft_p59 = { margin = \"5%\" }\n";
        let found = check("t.toml", text.as_bytes(), Path::new("."), &[], Seed(1)).unwrap_err();
        assert!(format!("{found:?}").contains("ttft_p50"), "{found:?}");
    }
}
