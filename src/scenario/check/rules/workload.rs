//! Rules of `[workload]`.

use super::Judge;
use crate::base::diag::Fault;
use crate::scenario::workload::{Component, Lengths, Marginal, QuantilePoint, Tokenizer, Workload};

/// Tokens of one request, at most, in any distribution: far above every context window.
const MOST_TOKENS: f64 = 1e8;

pub(super) fn judge(judge: &mut Judge<'_>, workload: &Workload) {
    match &workload.lengths {
        Lengths::Empirical { trace } => {
            if let Some(trace) = trace {
                super::load::source(judge, "workload.lengths.empirical.trace", trace);
            }
        }
        Lengths::Independent { input, output } => {
            marginal(judge, "workload.lengths.independent.input", input);
            marginal(judge, "workload.lengths.independent.output", output);
        }
        Lengths::Correlated { input, output, spearman } => {
            marginal(judge, "workload.lengths.correlated.input", input);
            marginal(judge, "workload.lengths.correlated.output", output);
            judge.within("workload.lengths.correlated.spearman", *spearman, -0.99, 0.99);
        }
    }
    bounds(judge, workload);
    judge.at_least("workload.prompts.prefix_groups", workload.prompts.prefix_groups.into(), 1);
    if let Tokenizer::File(path) = &workload.prompts.tokenizer {
        judge.expect(!path.as_os_str().is_empty(), "workload.prompts.tokenizer.file", "no path", "the path of a tokenizer.json");
    }
    if let Some(sessions) = &workload.sessions {
        marginal(judge, "workload.sessions.turns", &sessions.turns);
    }
}

fn bounds(judge: &mut Judge<'_>, workload: &Workload) {
    judge.at_least("workload.min_input", workload.min_input.into(), 1);
    for (side, min, max) in [("input", workload.min_input, workload.max_input), ("output", workload.min_output, workload.max_output)] {
        let message = format!("max_{side} = {max} is below min_{side} = {min}");
        judge.expect_with(&[&format!("workload.min_{side}")], max >= min, &format!("workload.max_{side}"), message, &format!("{min} or more"));
    }
}

fn marginal(judge: &mut Judge<'_>, key: &str, marginal: &Marginal) {
    let positive = f64::MIN_POSITIVE;
    match marginal {
        Marginal::Fixed(tokens) => judge.at_least(&format!("{key}.fixed"), (*tokens).into(), 1),
        Marginal::Uniform { min, max } => {
            judge.expect(min <= max, &format!("{key}.uniform.max"), format!("max = {max} is below min = {min}"), &format!("{min} or more"));
        }
        Marginal::Normal { mean, sd } => {
            count(judge, &format!("{key}.normal.mean"), *mean);
            judge.expect((0.0..=MOST_TOKENS).contains(sd), &format!("{key}.normal.sd"), format!("{sd} is out of range"), "0 or more");
        }
        Marginal::Lognormal { median, sigma } => {
            count(judge, &format!("{key}.lognormal.median"), *median);
            judge.within(&format!("{key}.lognormal.sigma"), *sigma, 0.0, 10.0);
        }
        Marginal::Gamma { mean, cv } => {
            count(judge, &format!("{key}.gamma.mean"), *mean);
            judge.within(&format!("{key}.gamma.cv"), *cv, 0.01, 20.0);
        }
        Marginal::Weibull { scale, shape } => {
            count(judge, &format!("{key}.weibull.scale"), *scale);
            judge.within(&format!("{key}.weibull.shape"), *shape, 0.05, 100.0);
        }
        Marginal::Exponential { mean } => count(judge, &format!("{key}.exponential.mean"), *mean),
        Marginal::Quantiles(points) => quantiles(judge, &format!("{key}.quantiles"), points),
        Marginal::Mixture(parts) => {
            judge.at_least(&format!("{key}.mixture"), parts.len() as u64, 1);
            for (i, Component { weight, of }) in parts.iter().enumerate() {
                let inner = format!("{key}.mixture.{i}");
                let holds = (positive..=1e12).contains(weight);
                judge.expect(holds, &format!("{inner}.weight"), format!("{weight} is out of range"), "a weight above 0");
                self::marginal(judge, &format!("{inner}.of"), of);
            }
        }
        Marginal::Column { trace, .. } => super::load::source(judge, &format!("{key}.column.trace"), trace),
    }
}

/// A mean, median or scale.
fn count(judge: &mut Judge<'_>, key: &str, tokens: f64) {
    let holds = tokens > 0.0 && tokens <= MOST_TOKENS;
    judge.expect(holds, key, format!("{tokens} is out of range"), "a number above 0 and at most 1e8");
}

fn quantiles(judge: &mut Judge<'_>, key: &str, points: &[QuantilePoint]) {
    judge.at_least(key, points.len() as u64, 2);
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let end = points.len() - 1;
    judge.expect(
        first.q == 0.0,
        &format!("{key}.0.q"),
        format!("the table starts at q = {}", first.q),
        "a first point at q = 0: the smallest length",
    );
    judge.expect(last.q == 1.0, &format!("{key}.{end}.q"), format!("the table ends at q = {}", last.q), "a last point at q = 1: the largest length");
    for (i, point) in points.iter().enumerate() {
        let holds = (0.0..=MOST_TOKENS).contains(&point.tokens);
        judge.expect(holds, &format!("{key}.{i}.tokens"), format!("{} is out of range", point.tokens), "a number from 0 to 1e8");
    }
    for (i, pair) in points.windows(2).enumerate() {
        let [low, high] = pair else { continue };
        let inner = format!("{key}.{}", i + 1);
        judge.expect(high.q > low.q, &format!("{inner}.q"), format!("q = {} does not rise above {}", high.q, low.q), "points in rising order of q");
        if high.tokens < low.tokens {
            let fault = Fault::new("", format!("{} tokens at q = {} fall below {} at q = {}", high.tokens, high.q, low.tokens, low.q));
            judge.refuse(&format!("{inner}.tokens"), fault.with_expected("tokens that never fall as q rises"));
        }
    }
}
