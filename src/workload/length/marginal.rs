//! Marginals: one distribution of token counts, with its draws, distribution function and quantiles.

use super::inverse::Brackets;
use crate::base::rng::Stream;
use crate::base::stats::interval::ln_gamma;
use crate::base::stats::special::{gamma_p_scaled, normal_cdf};
use crate::scenario::load::TraceSource;
use crate::scenario::workload::{Component, Marginal as Spec, QuantilePoint, Side};
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
    /// Columns of more than one recording in one mixture.
    #[error("a mixture of columns of {first:?} and {second:?}; expected one recording")]
    TwoRecordings {
        /// One recording.
        first: String,
        /// Another one.
        second: String,
    },
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
    Gamma { shape: f64, ln_gamma: f64, scale: f64, draw: Gamma<f64>, brackets: Box<Brackets> },
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
                one_recording(components)?;
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
            Shape::Gamma { shape, ln_gamma, scale, .. } => gamma_p_scaled(*shape, *ln_gamma, x / scale),
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
            Shape::Gamma { shape, ln_gamma, scale, brackets, .. } => scale * brackets.at_score(|x| gamma_p_scaled(*shape, *ln_gamma, x), score),
            Shape::Mixture { parts, brackets } => brackets.at_score(|x| mixture_cdf(parts, x), score),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a probability times a length, cut to the last index")]
            Shape::Column(sorted) => {
                let index = (normal_cdf(score) * sorted.len() as f64) as usize;
                f64::from(sorted[index.min(sorted.len() - 1)])
            }
        }
    }

    /// Mean of the value after cutting it to `min..=max`: exact for numbers and columns, else `min` plus the integral of 1 - F from `min` to `max`, by 4,000 steps
    /// spaced by ratio; relative error below 1e-3.
    #[must_use]
    pub fn mean_within(&self, min: u32, max: u32) -> f64 {
        const STEPS: i32 = 4_000;
        let (low, high) = (f64::from(min), f64::from(max));
        if high <= low {
            return low;
        }
        match &self.shape {
            Shape::Fixed(tokens) => return tokens.clamp(low, high),
            Shape::Mixture { parts, .. } => return parts.iter().map(|p| p.share * p.of.mean_within(min, max)).sum(),
            Shape::Column(sorted) => return sorted.iter().map(|&v| f64::from(v).clamp(low, high)).sum::<f64>() / sorted.len() as f64,
            _ => {}
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

/// Only one recording is read for a marginal.
fn one_recording(components: &[Component]) -> Result<(), Error> {
    fn first_of(spec: &Spec) -> Option<&TraceSource> {
        match spec {
            Spec::Column { trace, .. } => Some(trace),
            Spec::Mixture(inner) => inner.iter().find_map(|c| first_of(&c.of)),
            _ => None,
        }
    }
    let mut traces = components.iter().filter_map(|c| first_of(&c.of));
    let Some(first) = traces.next() else { return Ok(()) };
    match traces.find(|t| *t != first) {
        None => Ok(()),
        Some(second) => Err(Error::TwoRecordings { first: first.path.display().to_string(), second: second.path.display().to_string() }),
    }
}

fn gamma(mean: f64, cv: f64) -> Result<Shape, Error> {
    let shape = 1.0 / (cv * cv);
    let scale = mean / shape;
    let draw = Gamma::new(shape, scale).map_err(|_| parameter("gamma", "cv", cv))?;
    let ln_gamma = ln_gamma(shape);
    let brackets = Box::new(Brackets::new(|x| gamma_p_scaled(shape, ln_gamma, x), shape));
    Ok(Shape::Gamma { shape, ln_gamma, scale, draw, brackets })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::workload::trace::Row;

    const N: usize = 20_000;

    fn column_rows() -> Rows {
        let mut stream = Seed(77).stream("rows");
        let rows = (0..3_000)
            .map(|_| Row { input_tokens: u32::try_from(below(&mut stream, 60).pow(2)).unwrap(), output_tokens: 7, ..Row::default() })
            .collect();
        Rows { rows, ..Rows::default() }
    }

    fn column() -> Spec {
        Spec::Column {
            trace: TraceSource { path: "rows.csv".into(), format: crate::scenario::load::TraceFormat::Auto, columns: None },
            side: Side::Input,
        }
    }

    fn every_shape() -> Vec<Spec> {
        let point = |q, tokens| QuantilePoint { q, tokens };
        let azure = vec![
            point(0.0, 3.0),
            point(0.05, 181.0),
            point(0.25, 396.0),
            point(0.5, 1020.0),
            point(0.75, 1189.0),
            point(0.95, 4083.0),
            point(1.0, 7437.0),
        ];
        let two = |a, b| Spec::Mixture(vec![Component { weight: 3.0, of: a }, Component { weight: 1.0, of: b }]);
        vec![
            Spec::Uniform { min: 10, max: 400 },
            Spec::Uniform { min: 3, max: 9 },
            Spec::Normal { mean: 500.0, sd: 120.0 },
            Spec::Normal { mean: 50.0, sd: 60.0 },
            Spec::Lognormal { median: 300.0, sigma: 1.1 },
            Spec::Gamma { mean: 800.0, cv: 0.4 },
            Spec::Gamma { mean: 800.0, cv: 1.9 },
            Spec::Weibull { scale: 300.0, shape: 0.7 },
            Spec::Exponential { mean: 211.0 },
            Spec::Quantiles(azure),
            two(Spec::Gamma { mean: 100.0, cv: 0.3 }, Spec::Normal { mean: 430.0, sd: 20.0 }),
            two(Spec::Fixed(128), Spec::Lognormal { median: 900.0, sigma: 0.6 }),
            two(column(), Spec::Exponential { mean: 5_000.0 }),
            column(),
        ]
    }

    /// Kolmogorov-Smirnov distance of whole-numbered draws to the rounded distribution, whose function at k is F(k + 1/2).
    fn ks_rounded(draws: impl Iterator<Item = f64>, of: &Marginal) -> f64 {
        let mut sorted: Vec<f64> = draws.map(f64::round).collect();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len() as f64;
        sorted
            .chunk_by(|a, b| a == b)
            .fold((0.0_f64, 0.0), |(worst, before), run| {
                let (at, after) = (run[0], before + run.len() as f64 / n);
                // Just under the run, the distribution function is that of the whole number before.
                let under = (of.cdf(at - 0.5 - 1e-9) - before).abs();
                (worst.max(under).max((of.cdf(at + 0.5 - 1e-9) - after).abs()), after)
            })
            .0
    }

    /// forall marginal: KS(20,000 draws, its distribution function) <= 0.02, for direct draws and for quantiles of normal scores alike
    #[test]
    fn draws_and_quantiles_follow_the_distribution_function() {
        let rows = column_rows();
        for spec in every_shape() {
            let marginal = Marginal::new(&spec, Some(&rows)).unwrap();
            let mut stream = Seed(11).stream("lengths");
            let direct = ks_rounded((0..N).map(|_| marginal.draw(&mut stream)), &marginal);
            let normal = Normal::new(0.0, 1.0).unwrap();
            let scored = ks_rounded((0..N).map(|_| marginal.at_score(normal.sample(&mut stream))), &marginal);
            assert!(direct <= 0.0125 && scored <= 0.0125, "{spec:?}: {direct} drawn, {scored} by score");
        }
    }

    /// forall marginal, z: F just below the quantile <= Φ(z) <= F(quantile)
    #[test]
    fn quantiles_invert_the_distribution_function() {
        let rows = column_rows();
        for spec in every_shape() {
            let marginal = Marginal::new(&spec, Some(&rows)).unwrap();
            let mut last = 0.0;
            for i in -320..=320 {
                let z = f64::from(i) / 80.0 + 0.001;
                let (x, p) = (marginal.at_score(z), normal_cdf(z));
                // A hundredth of a token, of values that are rounded to whole ones.
                let slack = 0.01;
                assert!(marginal.cdf(x - slack) <= p + 1e-6 && marginal.cdf(x + slack) >= p - 1e-6, "{spec:?} at {z}: {x}");
                assert!(x >= last - 1e-6 * (1.0 + x), "{spec:?} falls at {z}");
                last = x;
            }
        }
    }

    #[test]
    fn the_mean_within_bounds_is_that_of_cut_draws() {
        let rows = column_rows();
        for spec in every_shape() {
            let marginal = Marginal::new(&spec, Some(&rows)).unwrap();
            let mut stream = Seed(13).stream("lengths");
            let draws: Vec<f64> = (0..200_000).map(|_| marginal.draw(&mut stream).clamp(5.0, 2_000.0)).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let found = marginal.mean_within(5, 2_000);
            assert!((found / mean - 1.0).abs() < 0.01, "{spec:?}: {found} instead of {mean}");
        }
    }

    #[test]
    fn fixed_is_fixed() {
        let marginal = Marginal::new(&Spec::Fixed(256), None).unwrap();
        assert_eq!((marginal.draw(&mut Seed(1).stream("lengths")), marginal.at_score(3.0), marginal.mean_within(1, 9_999)), (256.0, 256.0, 256.0));
    }

    #[test]
    fn a_mixture_reads_one_recording() {
        let of = |path: &str| Component {
            weight: 1.0,
            of: Spec::Column {
                trace: TraceSource { path: path.into(), format: crate::scenario::load::TraceFormat::Auto, columns: None },
                side: Side::Input,
            },
        };
        let rows = column_rows();
        assert!(Marginal::new(&Spec::Mixture(vec![of("a.csv"), of("a.csv")]), Some(&rows)).is_ok());
        let fault = Marginal::new(&Spec::Mixture(vec![of("a.csv"), of("b.csv")]), Some(&rows)).unwrap_err();
        assert_eq!(fault, Error::TwoRecordings { first: "a.csv".into(), second: "b.csv".into() });
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        let point = |q, tokens| QuantilePoint { q, tokens };
        for spec in [
            Spec::Uniform { min: 9, max: 3 },
            Spec::Normal { mean: f64::NAN, sd: 1.0 },
            Spec::Normal { mean: 5.0, sd: 0.0 },
            Spec::Lognormal { median: -4.0, sigma: 1.0 },
            Spec::Gamma { mean: 10.0, cv: 0.0 },
            Spec::Weibull { scale: 10.0, shape: f64::INFINITY },
            Spec::Exponential { mean: 0.0 },
            Spec::Quantiles(vec![]),
            Spec::Quantiles(vec![point(0.0, 5.0)]),
            Spec::Quantiles(vec![point(0.1, 5.0), point(1.0, 6.0)]),
            Spec::Quantiles(vec![point(0.0, 5.0), point(0.5, 4.0), point(1.0, 6.0)]),
            Spec::Quantiles(vec![point(0.0, 5.0), point(f64::NAN, 5.0), point(1.0, 6.0)]),
            Spec::Mixture(vec![]),
            Spec::Mixture(vec![Component { weight: 0.0, of: Spec::Fixed(1) }]),
            column(),
        ] {
            assert!(Marginal::new(&spec, None).is_err(), "{spec:?}");
        }
    }
}
