//! What a Databricks workspace allows, held against a load before it starts: requests a second, bytes of a request, time of an answer, tokens of an answer.

use crate::scenario::experiment::Experiment;
use crate::scenario::target::{Api, Task};
use crate::workload::schedule::Expected;

/// Bytes of a token of prompt, at the least: what a vocabulary makes of English is longer.
const BYTES_A_TOKEN: f64 = 3.0;

/// The load is more than the workspace allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} of {planned} is more than a workspace allows: {limit}\n  expected a load that the workspace answers, so that its limits are not taken for the endpoint's capacity"
)]
pub struct Beyond {
    /// What is too much.
    pub what: &'static str,
    /// How much it would be.
    pub planned: String,
    /// The limit.
    pub limit: String,
    /// The key below `target.workspace_limits`.
    pub key: &'static str,
}

/// Looks at a load of `expected` totals. Endpoints of other APIs, and the simulated one, have no such limits; the rate of a closed loop is the endpoint's own.
pub fn check(experiment: &Experiment, expected: &Expected) -> Result<(), Beyond> {
    let target = &experiment.scenario.target;
    if target.api != Api::Databricks || target.url.is_none() {
        return Ok(());
    }
    let limits = &target.workspace_limits;
    let rate = expected.requests / experiment.load_span().as_secs_f64().max(1e-9);
    if !expected.is_guess && rate > limits.requests_per_second {
        let (planned, limit) = (format!("{rate:.0} requests/s"), format!("{} requests/s", limits.requests_per_second));
        return Err(Beyond { what: "a rate", planned, limit, key: "requests_per_second" });
    }
    let bytes = BYTES_A_TOKEN * expected.input_tokens / expected.requests.max(1e-9);
    if bytes > limits.payload_bytes as f64 {
        let (planned, limit) = (format!("{bytes:.0} bytes"), format!("{} bytes", limits.payload_bytes));
        return Err(Beyond { what: "a mean prompt", planned, limit, key: "payload_bytes" });
    }
    let output = expected.output_tokens / expected.requests.max(1e-9);
    if let Some(most) = limits.output_tokens.filter(|most| target.task != Task::Embeddings && output > f64::from(*most)) {
        return Err(Beyond { what: "a mean answer", planned: format!("{output:.0} tokens"), limit: format!("{most} tokens"), key: "output_tokens" });
    }
    if target.timeouts.total.nanos() > limits.execution.nanos() {
        let (planned, limit) = (target.timeouts.total.to_string(), limits.execution.to_string());
        return Err(Beyond { what: "a target.timeouts.total", planned, limit, key: "execution" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::base::units::TimeSpan;
    use crate::scenario::check;
    use std::path::Path;

    fn experiment(more: &str) -> Experiment {
        let text = format!(
            "name = \"a\"\nquestion = \"b\"\n[target]\nurl = \"http://127.0.0.1:1\"\napi = \"databricks\"\nendpoint = \"e\"\n{more}[load]\narrivals = {{ poisson = {{ rate = \"2/s\" }} }}\nwarmup = \"0s\"\nmeasure = \"10s\"\n"
        );
        check::check("a.toml", text.as_bytes(), Path::new("."), &[], Seed(1)).unwrap()
    }

    fn key(experiment: &Experiment, requests: f64, input: f64, output: f64, is_guess: bool) -> Option<&'static str> {
        let expected = Expected { requests, input_tokens: requests * input, output_tokens: requests * output, is_guess };
        check(experiment, &expected).err().map(|beyond| beyond.key)
    }

    #[test]
    fn every_limit_is_held_against_the_load() {
        let plain = experiment("");
        assert_eq!(key(&plain, 1999.0, 100.0, 10.0, false), None);
        assert_eq!(key(&plain, 2100.0, 100.0, 10.0, false), Some("requests_per_second"));
        assert_eq!(key(&plain, 2100.0, 100.0, 10.0, true), None);
        assert_eq!(key(&plain, 10.0, 2e6, 10.0, false), Some("payload_bytes"));
        let raised = experiment("workspace_limits = { requests_per_second = 300.0, output_tokens = 8192 }\n");
        assert_eq!(key(&raised, 2100.0, 100.0, 10.0, false), None);
        assert_eq!(key(&raised, 10.0, 100.0, 9000.0, false), Some("output_tokens"));
        let mut patient = plain;
        patient.scenario.target.timeouts.total = TimeSpan::secs(298);
        assert_eq!(key(&patient, 10.0, 100.0, 10.0, false), Some("execution"));
        patient.scenario.target.api = Api::Openai;
        assert_eq!(key(&patient, 1e6, 2e6, 10.0, false), None);
    }
}
