//! Exit codes: the only place that knows them. Ten and above, so that neither clap's 2 nor a panic's 101 is mistaken for a verdict.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; every objective met.
    Good,
    /// Wrong usage, or faults in a scenario or trace.
    Usage,
    /// A gate showed that the head is worse than a margin allows.
    Regression,
    /// An objective was not met, no size keeps the promise, or a promise is broken.
    SloNotMet,
    /// Too few samples to say.
    Inconclusive,
    /// The run does not measure the endpoint: the client was the bottleneck, or nothing came back.
    Invalid,
    /// A gate has nothing to compare with: the baseline is missing, or the two sides are not the same experiment.
    NotComparable,
    /// Refused for safety or budget.
    Refused,
    /// The endpoint cannot be reached.
    Unreachable,
    /// Results could not be written (disk full, permission).
    Unwritable,
    /// The control plane refused, a model is not eligible, or a deployment failed or took too long.
    NotDeployed,
    /// Stopped by Ctrl-C; everything recorded was written.
    Interrupted,
    /// Stopped by SIGTERM; everything recorded was written.
    Terminated,
}

impl Exit {
    /// Every code with its meaning, for the documentation.
    pub const ALL: [(Self, &'static str); 13] = [
        (Self::Good, "done; every objective met"),
        (Self::Usage, "wrong usage, or faults in a scenario or trace"),
        (Self::Regression, "regression: worse than a margin of the gate allows"),
        (Self::SloNotMet, "an objective was not met, no size keeps the promise, or a promise is broken"),
        (Self::Inconclusive, "too few samples, or too noisy, to say"),
        (Self::Invalid, "invalid run: it does not measure the endpoint"),
        (Self::NotComparable, "baseline missing, or base and head not comparable"),
        (Self::Refused, "refused for safety or budget"),
        (Self::Unreachable, "the endpoint cannot be reached"),
        (Self::Unwritable, "results cannot be written (disk full, permission)"),
        (Self::NotDeployed, "the control plane refuses, a model is not eligible, or a deployment fails or takes too long"),
        (Self::Interrupted, "stopped by Ctrl-C; what was recorded was written"),
        (Self::Terminated, "stopped by SIGTERM; what was recorded was written"),
    ];

    /// The number the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Usage => 2,
            Self::Regression => 10,
            Self::SloNotMet => 11,
            Self::Inconclusive => 12,
            Self::Invalid => 13,
            Self::NotComparable => 14,
            Self::Refused => 15,
            Self::Unreachable => 20,
            Self::Unwritable => 21,
            Self::NotDeployed => 22,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error of a command: what to print on stderr, and how to end.
#[derive(Debug)]
pub struct Failure {
    /// How to end.
    pub exit: Exit,
    /// What happened, where; the first line of the message.
    pub message: String,
    /// What was expected, and one thing to try.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// With a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// From an error with its sources, joined by colons.
    #[must_use]
    pub fn from_error(exit: Exit, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.ends_with(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Self::new(exit, message)
    }
}

/// What a command returns.
pub type Outcome = Result<Exit, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_as_documented_and_distinct() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 2, 10, 11, 12, 13, 14, 15, 20, 21, 22, 130, 143]);
    }
}
