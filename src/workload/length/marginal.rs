//! Marginals: one distribution of token counts, with its draws, distribution function and quantiles.

use super::inverse::Brackets;
use super::special::{gamma_p, normal_cdf};
use crate::base::rng::Stream;
use crate::scenario::workload::{Marginal as Spec, QuantilePoint, Side};
use crate::workload::trace::Rows;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp, Gamma, LogNormal, Normal, Weibull};

/// Why a distribution of token counts cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A parameter out of range.
    #[error("{family}: {parameter} is {found}; expected {expected}")]
    Parameter {
        /// The distribution.
        family: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// Its value.
        found: f64,
        /// What would do.
        expected: &'static str,
    },
    /// A quantile table that is not one.
    #[error("quantile table, point {index}: {fault}; expected rising q from 0 to 1 and tokens that never fall")]
    Quantiles {
        /// The point, from 0.
        index: usize,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A mixture without parts.
    #[error("a mixture without parts; expected at least one")]
    EmptyMixture,
    /// A column of a recording that was not handed over or has no rows.
    #[error("the recording {path:?} has no rows; expected at least one")]
    NoRows {
        /// The recording.
        path: String,
    },
}

/// A distribution of token counts, ready to draw from. Values are real numbers; the caller rounds.
#[derive(Clone, Debug)]
pub struct Marginal {
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    Fixed(f64),
    Uniform { min: u32, values: u64 },
    Normal { mean: f64, sd: f64, draw: Normal<f64> },
    Lognormal { median: f64, sigma: f64, draw: LogNormal<f64> },
    Gamma { shape: f64, scale: f64, draw: Gamma<f64>, brackets: Box<Brackets> },
    Weibull { scale: f64, shape: f64, draw: Weibull<f64> },
    Exponential { mean: f64, draw: Exp<f64> },
    Quantiles(Vec<QuantilePoint>),
    Mixture { parts: Vec<Part>, brackets: Box<Brackets> },
    Column(Vec<u32>),
}

#[derive(Clone, Debug)]
struct Part {
    /// Share of this part and of those before it.
    until: f64,
    share: f64,
    of: Marginal,
}

impl Marginal {
    /// The distribution that `spec` describes; `rows`: the recording that its `column` names.
    pub fn new(spec: &Spec, rows: Option<&Rows>) -> Result<Self, Error> {
        let shape = match spec {
            Spec::Fixed(tokens) => Shape::Fixed(f64::from(*tokens)),
            Spec::Uniform { min, max } => {
                let values = u64::from(*max).checked_sub(u64::from(*min)).ok_or(Error::Parameter {
                    family: "uniform",
                    parameter: "max",
                    found: f64::from(*max),
                    expected: "at least min",
                })?;
                Shape::Uniform { min: *min, values: values + 1 }
            }
            Spec::Normal { mean, sd } => {
                let (mean, sd) = (finite("normal", "mean", *mean)?, positive("normal", "sd", *sd)?);
                let draw = Normal::new(mean, sd).map_err(|_| parameter("normal", "sd", sd))?;
                Shape::Normal { mean, sd, draw }
            }
            Spec::Lognormal { median, sigma } => {
                let (median, sigma) = (positive("lognormal", "median", *median)?, positive("lognormal", "sigma", *sigma)?);
                let draw = LogNormal::new(median.ln(), sigma).map_err(|_| parameter("lognormal", "sigma", sigma))?;
                Shape::Lognormal { median, sigma, draw }
            }
            Spec::Gamma { mean, cv } => gamma(positive("gamma", "mean", *mean)?, positive("gamma", "cv", *cv)?)?,
            Spec::Weibull { scale, shape } => {
                let (scale, shape) = (positive("weibull", "scale", *scale)?, positive("weibull", "shape", *shape)?);
                let draw = Weibull::new(scale, shape).map_err(|_| parameter("weibull", "shape", shape))?;
                Shape::Weibull { scale, shape, draw }
            }
            Spec::Exponential { mean } => {
                let mean = positive("exponential", "mean", *mean)?;
                let draw = Exp::new(1.0 / mean).map_err(|_| parameter("exponential", "mean", mean))?;
                Shape::Exponential { mean, draw }
            }
            Spec::Quantiles(points) => Shape::Quantiles(checked_table(points)?),
            Spec::Mixture(components) => {
                if components.is_empty() {
                    return Err(Error::EmptyMixture);
                }
                let weights: f64 = components.iter().map(|c| c.weight).sum();
                let mut until = 0.0;
                let mut parts = Vec::with_capacity(components.len());
                for component in components {
                    let share = positive("mixture", "weight", component.weight)? / weights;
                    until += share;
                    parts.push(Part { until, share, of: Self::new(&component.of, rows)? });
                }
                let brackets = Box::new(Brackets::new(|x| mixture_cdf(&parts, x), 1.0));
                Shape::Mixture { parts, brackets }
            }
            Spec::Column { trace, side } => {
                Shape::Column(column(rows, *side).ok_or_else(|| Error::NoRows { path: trace.path.display().to_string() })?)
            }
        };
        Ok(Self { shape })
    }

    /// A draw, at least 0.
    pub fn draw(&self, stream: &mut Stream) -> f64 {
        match &self.shape {
            Shape::Fixed(tokens) => *tokens,
            Shape::Uniform { min, values } => f64::from(*min) + below(stream, *values) as f64,
            Shape::Normal { draw, .. } => draw.sample(stream).max(0.0),
            Shape::Lognormal { draw, .. } => draw.sample(stream),
            Shape::Gamma { draw, .. } => draw.sample(stream),
            Shape::Weibull { draw, .. } => draw.sample(stream),
            Shape::Exponential { draw, .. } => draw.sample(stream),
            Shape::Quantiles(points) => interpolate(points, stream.random::<f64>()),
            Shape::Mixture { parts, .. } => {
                let u = stream.random::<f64>();
                let part = parts.iter().find(|p| u < p.until).or(parts.last());
                part.map_or(0.0, |p| p.of.draw(stream))
            }
            Shape::Column(sorted) => f64::from(sorted[index_below(stream, sorted.len())]),
        }
    }

    /// F(x): the probability of a value of at most `x`.
    #[must_use]
    pub fn cdf(&self, x: f64) -> f64 {
        if x < 0.0 {
            return 0.0;
        }
        match &self.shape {
            Shape::Fixed(tokens) => f64::from(u8::from(x >= *tokens)),
            Shape::Uniform { min, values } => ((x - f64::from(*min)).floor() + 1.0).clamp(0.0, *values as f64) / *values as f64,
            Shape::Normal { mean, sd, .. } => normal_cdf((x - mean) / sd),
            Shape::Lognormal { median, sigma, .. } if x > 0.0 => normal_cdf((x / median).ln() / sigma),
            Shape::Lognormal { .. } => 0.0,
            Shape::Gamma { shape, scale, .. } => gamma_p(*shape, x / scale),
            Shape::Weibull { scale, shape, .. } => -(-(x / scale).powf(*shape)).exp_m1(),
            Shape::Exponential { mean, .. } => -(-x / mean).exp_m1(),
            Shape::Quantiles(points) => table_cdf(points, x),
            Shape::Mixture { parts, .. } => mixture_cdf(parts, x),
            Shape::Column(sorted) => sorted.partition_point(|&v| f64::from(v) <= x) as f64 / sorted.len() as f64,
        }
    }

    /// The quantile at probability Φ(`score`), Φ the standard normal distribution function: what a Gaussian copula asks for.
    #[must_use]
    pub fn at_score(&self, score: f64) -> f64 {
        match &self.shape {
            Shape::Fixed(tokens) => *tokens,
            Shape::Uniform { min, values } => f64::from(*min) + (normal_cdf(score) * *values as f64).floor().min((*values - 1) as f64),
            Shape::Normal { mean, sd, .. } => (mean + sd * score).max(0.0),
            Shape::Lognormal { median, sigma, .. } => median * (sigma * score).exp(),
            // Φ(-z) and not 1 - Φ(z): the upper tail keeps its digits.
            Shape::Weibull { scale, shape, .. } => scale * (-normal_cdf(-score).ln()).powf(1.0 / shape),
            Shape::Exponential { mean, .. } => -mean * normal_cdf(-score).ln(),
            Shape::Quantiles(points) => interpolate(points, normal_cdf(score)),
            Shape::Gamma { shape, scale, brackets, .. } => scale * brackets.at_score(|x| gamma_p(*shape, x), score),
            Shape::Mixture { parts, brackets } => brackets.at_score(|x| mixture_cdf(parts, x), score),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a probability times a length, cut to the last index")]
            Shape::Column(sorted) => {
                let index = (normal_cdf(score) * sorted.len() as f64) as usize;
                f64::from(sorted[index.min(sorted.len() - 1)])
            }
        }
    }

    /// Mean of the value after cutting it to `min..=max`: `min` plus the integral of 1 - F from `min` to `max`, by 4,000 steps
    /// spaced by ratio; relative error below 1e-3.
    #[must_use]
    pub fn mean_within(&self, min: u32, max: u32) -> f64 {
        const STEPS: i32 = 4_000;
        let (low, high) = (f64::from(min), f64::from(max));
        if high <= low {
            return low;
        }
        let ratio = ((1.0 + high) / (1.0 + low)).ln() / f64::from(STEPS);
        let mut mean = low;
        let mut x = low;
        for i in 1..=STEPS {
            let next = if i == STEPS { high } else { (1.0 + low) * (ratio * f64::from(i)).exp() - 1.0 };
            mean += (next - x) * (1.0 - self.cdf(f64::midpoint(x, next)));
            x = next;
        }
        mean
    }
}

/// A whole number below `n`, by the high word of a 128-bit product: one multiplication; the bias is n / 2^64.
pub(in crate::workload) fn below(stream: &mut Stream, n: u64) -> u64 {
    let wide = u128::from(stream.next_u64()) * u128::from(n);
    u64::try_from(wide >> 64).expect("the high word of a product of two 64-bit numbers has 64 bits")
}

/// An index into `n` rows.
pub(in crate::workload) fn index_below(stream: &mut Stream, n: usize) -> usize {
    usize::try_from(below(stream, n as u64)).expect("below a usize")
}

fn gamma(mean: f64, cv: f64) -> Result<Shape, Error> {
    let shape = 1.0 / (cv * cv);
    let scale = mean / shape;
    let draw = Gamma::new(shape, scale).map_err(|_| parameter("gamma", "cv", cv))?;
    Ok(Shape::Gamma { shape, scale, draw, brackets: Box::new(Brackets::new(|x| gamma_p(shape, x), shape)) })
}

fn parameter(family: &'static str, parameter: &'static str, found: f64) -> Error {
    Error::Parameter { family, parameter, found, expected: "a finite number above 0" }
}

fn positive(family: &'static str, name: &'static str, found: f64) -> Result<f64, Error> {
    if found.is_finite() && found > 0.0 { Ok(found) } else { Err(parameter(family, name, found)) }
}

fn finite(family: &'static str, name: &'static str, found: f64) -> Result<f64, Error> {
    if found.is_finite() { Ok(found) } else { Err(Error::Parameter { family, parameter: name, found, expected: "a finite number" }) }
}

fn checked_table(points: &[QuantilePoint]) -> Result<Vec<QuantilePoint>, Error> {
    let fault = |index, fault| Err(Error::Quantiles { index, fault });
    if points.first().is_none_or(|p| p.q != 0.0) {
        return fault(0, "the first q is not 0");
    }
    if points.last().is_none_or(|p| p.q != 1.0) {
        return fault(points.len() - 1, "the last q is not 1");
    }
    for (index, point) in points.iter().enumerate() {
        if !(point.tokens.is_finite() && point.tokens >= 0.0) {
            return fault(index, "tokens is not a finite number of at least 0");
        }
    }
    for (index, pair) in points.windows(2).enumerate() {
        if pair[1].q.is_nan() || pair[1].q <= pair[0].q {
            return fault(index + 1, "q does not rise");
        }
        if pair[1].tokens < pair[0].tokens {
            return fault(index + 1, "tokens fall");
        }
    }
    Ok(points.to_vec())
}

/// Straight line between the two points around `u`.
fn interpolate(points: &[QuantilePoint], u: f64) -> f64 {
    let next = points.partition_point(|p| p.q <= u).clamp(1, points.len() - 1);
    let (a, b) = (points[next - 1], points[next]);
    a.tokens + (b.tokens - a.tokens) * ((u - a.q) / (b.q - a.q)).clamp(0.0, 1.0)
}

fn table_cdf(points: &[QuantilePoint], x: f64) -> f64 {
    let next = points.partition_point(|p| p.tokens <= x);
    match (next.checked_sub(1).map(|i| points[i]), points.get(next)) {
        (None, _) => 0.0,
        (Some(_), None) => 1.0,
        (Some(a), Some(b)) => a.q + (b.q - a.q) * (x - a.tokens) / (b.tokens - a.tokens),
    }
}

fn mixture_cdf(parts: &[Part], x: f64) -> f64 {
    parts.iter().map(|p| p.share * p.of.cdf(x)).sum()
}

fn column(rows: Option<&Rows>, side: Side) -> Option<Vec<u32>> {
    let rows = rows.filter(|r| !r.rows.is_empty())?;
    let mut sorted: Vec<u32> = rows
        .rows
        .iter()
        .map(|row| match side {
            Side::Input => row.input_tokens,
            Side::Output => row.output_tokens,
        })
        .collect();
    sorted.sort_unstable();
    Some(sorted)
}
