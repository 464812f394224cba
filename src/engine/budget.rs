//! What a run will cost before it starts: requests, tokens, time; refused when it exceeds the scenario's limits.

use crate::base::time::Nanos;
use crate::scenario::experiment::Experiment;
use crate::workload::schedule::Expected;
use std::fmt;

/// The expected size of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Expected requests and tokens, by the schedule.
    pub expected: Expected,
    /// Longest wall time: warm-up, measured window and drain.
    pub longest: Nanos,
}

/// The run is larger than the scenario allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {planned} exceeds limits.{key} = {limit}")]
pub struct Exceeded {
    /// What is too large.
    pub what: &'static str,
    /// How large it would be.
    pub planned: String,
    /// The key under `[limits]`.
    pub key: &'static str,
    /// Its value.
    pub limit: String,
}

impl Budget {
    /// The budget of one run of `experiment`.
    #[must_use]
    pub fn of(experiment: &Experiment, expected: Expected) -> Self {
        Self { expected, longest: experiment.load_span() + experiment.scenario.load.drain.nanos() }
    }

    /// This budget and another one after it.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        let (a, b) = (self.expected, next.expected);
        let expected = Expected {
            requests: a.requests + b.requests,
            input_tokens: a.input_tokens + b.input_tokens,
            output_tokens: a.output_tokens + b.output_tokens,
            is_guess: a.is_guess || b.is_guess,
        };
        Self { expected, longest: self.longest + next.longest }
    }

    /// Refuses a run beyond `[limits]`.
    pub fn check(&self, experiment: &Experiment) -> Result<(), Exceeded> {
        let limits = &experiment.scenario.limits;
        let requests = self.expected.requests;
        if requests > limits.requests as f64 {
            return Err(Exceeded {
                what: "the expected number of requests,",
                planned: format!("{requests:.0},"),
                key: "requests",
                limit: limits.requests.to_string(),
            });
        }
        let tokens = self.expected.input_tokens + self.expected.output_tokens;
        if tokens > limits.tokens as f64 {
            return Err(Exceeded {
                what: "the expected number of tokens,",
                planned: format!("{tokens:.0},"),
                key: "tokens",
                limit: limits.tokens.to_string(),
            });
        }
        if self.longest > limits.duration.nanos() {
            return Err(Exceeded {
                what: "the longest wall time,",
                planned: format!("{},", self.longest),
                key: "duration",
                limit: limits.duration.to_string(),
            });
        }
        Ok(())
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Expected { requests, input_tokens, output_tokens, is_guess } = self.expected;
        let about = if is_guess { "very roughly" } else { "about" };
        write!(f, "{about} {requests:.0} requests, {input_tokens:.0} input and {output_tokens:.0} output tokens, at most {}", self.longest)
    }
}
