//! Token lengths of requests: joint rows, independent and rank-correlated pairs, cut to the workload's bounds.

pub mod inverse;
pub mod marginal;

use crate::base::rng::{Seed, Stream};
use crate::base::stats::interval::normal_quantile;
use crate::scenario::workload::{Lengths as Spec, Workload};
use crate::workload::trace::{Row, Rows};
use marginal::{Marginal, index_below};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

/// Why lengths cannot be drawn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A marginal is not one.
    #[error("workload.lengths, {side}: {source}")]
    Marginal {
        /// `input` or `output`.
        side: &'static str,
        /// What is wrong.
        source: marginal::Error,
    },
    /// Rows are wanted and none are there.
    #[error("workload.lengths.empirical: no rows; expected a recording with rows in `trace` or in `load.arrivals.trace`")]
    NoRows,
    /// A rank correlation out of range.
    #[error("workload.lengths.correlated.spearman is {found}; expected -0.99 to 0.99")]
    Spearman {
        /// The value.
        found: f64,
    },
    /// Bounds that leave nothing.
    #[error("workload.min_{side} is {min} and workload.max_{side} is {max}; expected a maximum of at least the minimum")]
    Bounds {
        /// `input` or `output`.
        side: &'static str,
        /// Smallest.
        min: u32,
        /// Largest.
        max: u32,
    },
}

/// Input and output tokens of one request, inside the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Input tokens.
    pub input: u32,
    /// Output tokens.
    pub output: u32,
}

/// How many draws lay outside the bounds and were moved to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clipped {
    /// Input lengths.
    pub input: u64,
    /// Output lengths.
    pub output: u64,
}

/// The lengths of a workload, ready to draw from.
///
/// A draw depends on its key alone, so shards and threads agree without talking.
#[derive(Clone, Debug)]
pub struct LengthModel {
    source: Source,
    input_bounds: (u32, u32),
    output_bounds: (u32, u32),
}

#[derive(Clone, Debug)]
enum Source {
    /// Every arrival brings the row it was recorded with.
    Own,
    /// Rows at random.
    Joint(Vec<Pair>),
    Independent {
        input: Marginal,
        output: Marginal,
    },
    /// `pearson` of the two normal scores.
    Correlated {
        input: Marginal,
        output: Marginal,
        pearson: f64,
    },
}

/// The rows a model may draw from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recordings<'a> {
    /// Of `lengths.empirical.trace`.
    pub lengths: Option<&'a Rows>,
    /// Of the input marginal's `column`.
    pub input: Option<&'a Rows>,
    /// Of the output marginal's `column`.
    pub output: Option<&'a Rows>,
}

impl LengthModel {
    /// The lengths of `workload`, drawn from `recordings` where it names one.
    pub fn new(workload: &Workload, recordings: Recordings<'_>, arrivals: Arrivals) -> Result<Self, Error> {
        let bounds = |side, min, max| if min <= max { Ok((min, max)) } else { Err(Error::Bounds { side, min, max }) };
        let marginal = |side, spec, rows| Marginal::new(spec, rows).map_err(|source| Error::Marginal { side, source });
        let source = match &workload.lengths {
            Spec::Empirical { trace: None } if arrivals == Arrivals::WithRows => Source::Own,
            Spec::Empirical { .. } => {
                let rows = recordings.lengths.filter(|r| !r.rows.is_empty()).ok_or(Error::NoRows)?;
                Source::Joint(rows.rows.iter().map(|r| Pair { input: r.input_tokens, output: r.output_tokens }).collect())
            }
            Spec::Independent { input, output } => {
                Source::Independent { input: marginal("input", input, recordings.input)?, output: marginal("output", output, recordings.output)? }
            }
            Spec::Correlated { input, output, spearman } => {
                if !(-0.99..=0.99).contains(spearman) {
                    return Err(Error::Spearman { found: *spearman });
                }
                Source::Correlated {
                    input: marginal("input", input, recordings.input)?,
                    output: marginal("output", output, recordings.output)?,
                    // Pearson 1907: of a bivariate normal pair, spearman = 6/pi * asin(pearson / 2).
                    pearson: 2.0 * (std::f64::consts::PI * spearman / 6.0).sin(),
                }
            }
        };
        Ok(Self {
            source,
            input_bounds: bounds("input", workload.min_input, workload.max_input)?,
            output_bounds: bounds("output", workload.min_output, workload.max_output)?,
        })
    }

    /// The lengths of request `index` under `seed`: stream `lengths`. `own`: the row that the arrival was recorded with.
    pub fn draw(&self, seed: Seed, index: u64, own: Option<Pair>, clipped: &mut Clipped) -> Pair {
        let raw = match (&self.source, own) {
            (Source::Own, Some(row)) => row,
            (Source::Own, None) => Pair { input: 0, output: 0 },
            (source, _) => source.draw(&mut seed.keyed("lengths", index)),
        };
        let pair = self.cut(raw);
        clipped.input += u64::from(pair.input != raw.input);
        clipped.output += u64::from(pair.output != raw.output);
        pair
    }

    /// Pairs to draw from at random instead of the model: the rows it has, or `most` pairs drawn once. Draws of a marginal are stratified, so
    /// that their mean is that of the marginal to a far smaller error than that of as many independent draws. `None` for own rows.
    #[must_use]
    pub fn table(&self, most: u32, seed: Seed) -> Option<Vec<Pair>> {
        let scores = |name: &str| {
            let mut scores: Vec<f64> = (0..most).map(|i| normal_quantile((f64::from(i) + 0.5) / f64::from(most))).collect();
            scores.shuffle(&mut seed.stream(name));
            scores
        };
        let raw: Vec<Pair> = match &self.source {
            Source::Own => return None,
            Source::Joint(rows) => rows.clone(),
            Source::Independent { input, output } | Source::Correlated { input, output, .. } => {
                let pearson = if let Source::Correlated { pearson, .. } = self.source { pearson } else { 0.0 };
                let other = (1.0 - pearson * pearson).sqrt();
                let tied = |(a, b): (f64, f64)| Pair { input: whole(input.at_score(a)), output: whole(output.at_score(pearson * a + other * b)) };
                scores("table-input").into_iter().zip(scores("table-output")).map(tied).collect()
            }
        };
        Some(raw.into_iter().map(|pair| self.cut(pair)).collect())
    }

    /// Whether arrivals keep their own row.
    #[must_use]
    pub fn is_own_row(&self) -> bool {
        matches!(self.source, Source::Own)
    }

    /// `row` inside the bounds.
    #[must_use]
    pub fn cut(&self, row: Pair) -> Pair {
        let (input, output) = (self.input_bounds, self.output_bounds);
        Pair { input: row.input.clamp(input.0, input.1), output: row.output.clamp(output.0, output.1) }
    }

    /// Input tokens, at most.
    #[must_use]
    pub fn max_input(&self) -> u32 {
        self.input_bounds.1
    }

    /// Expected input and output tokens of a request, after the bounds; of own rows: `None`, the arrivals know them.
    #[must_use]
    pub fn mean(&self) -> Option<(f64, f64)> {
        let (input_bounds, output_bounds) = (self.input_bounds, self.output_bounds);
        match &self.source {
            Source::Own => None,
            Source::Joint(rows) => Some(mean(rows.iter().map(|&row| self.cut(row)))),
            Source::Independent { input, output } | Source::Correlated { input, output, .. } => {
                Some((input.mean_within(input_bounds.0, input_bounds.1), output.mean_within(output_bounds.0, output_bounds.1)))
            }
        }
    }
}

/// What arrivals bring with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// The row each was recorded with.
    WithRows,
    /// An instant only.
    Bare,
}

impl Source {
    fn draw(&self, stream: &mut Stream) -> Pair {
        match self {
            Self::Own => Pair { input: 0, output: 0 },
            Self::Joint(rows) => rows[index_below(stream, rows.len())],
            Self::Independent { input, output } => Pair { input: whole(input.draw(stream)), output: whole(output.draw(stream)) },
            Self::Correlated { input, output, pearson } => {
                let a: f64 = StandardNormal.sample(stream);
                let b: f64 = StandardNormal.sample(stream);
                let tied = pearson * a + (1.0 - pearson * pearson).sqrt() * b;
                Pair { input: whole(input.at_score(a)), output: whole(output.at_score(tied)) }
            }
        }
    }
}

impl From<&Row> for Pair {
    fn from(row: &Row) -> Self {
        Self { input: row.input_tokens, output: row.output_tokens }
    }
}

/// Means of input and output tokens; zeros for no pairs.
pub(super) fn mean(pairs: impl Iterator<Item = Pair>) -> (f64, f64) {
    let (mut n, mut input, mut output) = (0_u64, 0.0, 0.0);
    for pair in pairs {
        n += 1;
        input += f64::from(pair.input);
        output += f64::from(pair.output);
    }
    let n = n.max(1) as f64;
    (input / n, output / n)
}

/// To the nearest whole token.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate, and draws are at least 0")]
pub(super) fn whole(tokens: f64) -> u32 {
    tokens.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::workload::Marginal as MarginalSpec;

    const N: u64 = 20_000;

    /// Ranks from 0; ties share their mean rank.
    fn ranks(values: &[u32]) -> Vec<f64> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by_key(|&i| values[i]);
        let mut ranks = vec![0.0; values.len()];
        let mut start = 0;
        for run in order.chunk_by(|&a, &b| values[a] == values[b]) {
            let rank = start as f64 + (run.len() - 1) as f64 / 2.0;
            for &i in run {
                ranks[i] = rank;
            }
            start += run.len();
        }
        ranks
    }

    /// Spearman's rank correlation.
    fn spearman(pairs: &[Pair]) -> f64 {
        let a = ranks(&pairs.iter().map(|p| p.input).collect::<Vec<_>>());
        let b = ranks(&pairs.iter().map(|p| p.output).collect::<Vec<_>>());
        let mean = (a.len() - 1) as f64 / 2.0;
        let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
        product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
    }

    /// Kolmogorov-Smirnov distance of two samples.
    fn ks(a: impl Iterator<Item = u32>, b: impl Iterator<Item = u32>) -> f64 {
        let (mut a, mut b): (Vec<u32>, Vec<u32>) = (a.collect(), b.collect());
        a.sort_unstable();
        b.sort_unstable();
        let share = |sorted: &[u32], x| sorted.partition_point(|&v| v <= x) as f64 / sorted.len() as f64;
        a.iter().chain(&b).map(|&x| (share(&a, x) - share(&b, x)).abs()).fold(0.0, f64::max)
    }

    fn workload(lengths: Spec) -> Workload {
        Workload { lengths, ..Workload::default() }
    }

    fn draws(model: &LengthModel, seed: u64) -> Vec<Pair> {
        (0..N).map(|i| model.draw(Seed(seed), i, None, &mut Clipped::default())).collect()
    }

    /// Rows whose lengths hang together: a long question gets a short answer, with atoms and ties.
    fn rows() -> Rows {
        let model = Marginal::new(&MarginalSpec::Lognormal { median: 900.0, sigma: 1.0 }, None).unwrap();
        let mut stream = Seed(5).stream("rows");
        let rows = (0..8_000)
            .map(|i| {
                let input = whole(model.draw(&mut stream)).clamp(1, 7_437);
                Row { input_tokens: input, output_tokens: 5 + (40_000 / (input + 50)) * (1 + i % 3), ..Row::default() }
            })
            .collect();
        Rows { rows, ..Rows::default() }
    }

    #[test]
    fn joint_rows_keep_both_marginals_and_their_rank_correlation() {
        let rows = rows();
        let recordings = Recordings { lengths: Some(&rows), ..Recordings::default() };
        let model = LengthModel::new(&workload(Spec::Empirical { trace: None }), recordings, Arrivals::Bare).unwrap();
        let (drawn, source) = (draws(&model, 3), rows.rows.iter().map(Pair::from).collect::<Vec<_>>());
        let (input, output) =
            (ks(drawn.iter().map(|p| p.input), source.iter().map(|p| p.input)), ks(drawn.iter().map(|p| p.output), source.iter().map(|p| p.output)));
        assert!(input <= 0.02 && output <= 0.02, "KS {input}, {output}");
        let (found, wanted) = (spearman(&drawn), spearman(&source));
        assert!(wanted < -0.5 && (found - wanted).abs() <= 0.02, "{found} instead of {wanted}");
        let (mean_input, mean_output) = model.mean().unwrap();
        let (drawn_input, drawn_output) = mean(drawn.iter().copied());
        assert!((mean_input / drawn_input - 1.0).abs() < 0.04 && (mean_output / drawn_output - 1.0).abs() < 0.04);
    }

    /// forall rho: the Spearman correlation of the drawn pair is rho, whatever its two marginals
    #[test]
    fn a_pair_has_the_rank_correlation_that_was_asked_for() {
        let marginals = [
            MarginalSpec::Lognormal { median: 700.0, sigma: 0.9 },
            MarginalSpec::Gamma { mean: 300.0, cv: 0.8 },
            MarginalSpec::Weibull { scale: 400.0, shape: 0.9 },
            MarginalSpec::Uniform { min: 1, max: 900 },
        ];
        for (i, spearman_asked) in [-0.9, -0.3, 0.0, 0.4, 0.95].into_iter().enumerate() {
            let (input, output) = (marginals[i % 4].clone(), marginals[(i + 1) % 4].clone());
            let spec = Spec::Correlated { input: input.clone(), output: output.clone(), spearman: spearman_asked };
            let model = LengthModel::new(&workload(spec), Recordings::default(), Arrivals::Bare).unwrap();
            let drawn = draws(&model, 8);
            let found = spearman(&drawn);
            assert!((found - spearman_asked).abs() <= 0.02, "{found} instead of {spearman_asked}");
            let alone = LengthModel::new(&workload(Spec::Independent { input, output }), Recordings::default(), Arrivals::Bare).unwrap();
            let alone = draws(&alone, 9);
            assert!(ks(drawn.iter().map(|p| p.input), alone.iter().map(|p| p.input)) <= 0.02, "the tie leaves the marginals alone");
            assert!(ks(drawn.iter().map(|p| p.output), alone.iter().map(|p| p.output)) <= 0.02);
            assert!(spearman(&alone).abs() <= 0.02, "{}", spearman(&alone));
        }
    }

    #[test]
    fn a_draw_depends_on_seed_and_index_alone() {
        let spec = Spec::Independent { input: MarginalSpec::Exponential { mean: 900.0 }, output: MarginalSpec::Exponential { mean: 90.0 } };
        let model = LengthModel::new(&workload(spec), Recordings::default(), Arrivals::Bare).unwrap();
        let forward = draws(&model, 1);
        let backward: Vec<Pair> = (0..N).rev().map(|i| model.draw(Seed(1), i, None, &mut Clipped::default())).collect();
        assert!(forward.iter().eq(backward.iter().rev()));
        assert_ne!(forward, draws(&model, 2));
    }

    #[test]
    fn draws_beyond_the_bounds_are_moved_and_counted() {
        let spec = Spec::Independent { input: MarginalSpec::Uniform { min: 1, max: 1_000 }, output: MarginalSpec::Fixed(5) };
        let bounded = Workload { min_input: 101, max_input: 800, min_output: 10, ..workload(spec) };
        let model = LengthModel::new(&bounded, Recordings::default(), Arrivals::Bare).unwrap();
        let mut clipped = Clipped::default();
        for i in 0..N {
            let pair = model.draw(Seed(1), i, None, &mut clipped);
            assert!((101..=800).contains(&pair.input) && pair.output == 10);
        }
        assert_eq!(clipped.output, N);
        assert!((clipped.input as f64 / N as f64 - 0.3).abs() < 0.015, "{clipped:?}");
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let fixed = || MarginalSpec::Fixed(1);
        let fault = |w: &Workload| LengthModel::new(w, Recordings::default(), Arrivals::Bare).unwrap_err();
        assert_eq!(fault(&workload(Spec::Empirical { trace: None })), Error::NoRows);
        for spearman in [1.0, -1.0, f64::NAN] {
            assert!(matches!(fault(&workload(Spec::Correlated { input: fixed(), output: fixed(), spearman })), Error::Spearman { .. }));
        }
        let bounds = Workload { min_input: 10, max_input: 9, ..workload(Spec::Independent { input: fixed(), output: fixed() }) };
        assert_eq!(fault(&bounds), Error::Bounds { side: "input", min: 10, max: 9 });
    }
}
