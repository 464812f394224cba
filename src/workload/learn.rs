//! From a recording to a workload: moments, quantiles, correlation, dispersion, and how far each family is off.

pub mod demand;
pub mod family;
mod offer;
mod text;

pub use offer::{compact_table, scenario_toml};

use super::trace::Rows;
use crate::base::stats::sample::{Moments, ks_critical_5pct, pearson, quantile_sorted, sort, spearman};
use crate::base::time::Nanos;
use crate::scenario::load::TraceFormat;
use demand::{Dispersion, Growth, PerSide, Requests};
use family::{Fit, fits};
use serde::Serialize;

/// Quantiles that are told of every distribution.
pub const QUANTILES: [f64; 10] = [0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 0.999];

/// What a recording says about its workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Learnt {
    /// Requests.
    pub requests: usize,
    /// Rows that were left out.
    pub skipped: u64,
    /// Rows that stood behind a later one.
    pub unsorted: u64,
    /// How the file was read.
    pub format: TraceFormat,
    /// Input tokens.
    pub input: Distribution,
    /// Output tokens.
    pub output: Distribution,
    /// Pearson's correlation of input and output tokens; `None` without spread.
    pub pearson: Option<f64>,
    /// Spearman's rank correlation of input and output tokens; `None` without spread.
    pub spearman: Option<f64>,
    /// Share of input tokens in leading blocks that an earlier request had too; 0 if the recording does not say.
    pub shared_prefix: f64,
    /// When requests come; `None` for recordings of lengths only, or of a single instant.
    pub arrivals: Option<Arrivals>,
}

/// One column of a recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// Values.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
    /// Coefficient of variation.
    pub cv: f64,
    /// Skewness.
    pub skewness: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// The quantiles [`QUANTILES`], by nearest rank; empty for an empty sample.
    pub quantiles: Vec<Quantile>,
    /// The value that occurs most often. A large share is an atom that no smooth family can follow.
    pub commonest: Atom,
    /// Families fitted to it.
    pub fits: Vec<Fit>,
    /// A distance above this one rejects a family at the 5 % level.
    pub ks_critical: f64,
}

/// A value of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantile {
    /// Cumulative probability.
    pub q: f64,
    /// Value.
    pub value: f64,
}

/// A value and how often it occurs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Atom {
    /// The value.
    pub value: f64,
    /// Its share of the sample, 0 to 1.
    pub share: f64,
}

/// When requests come.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Arrivals {
    /// From the first to the last request, seconds.
    pub span_s: f64,
    /// Requests per second: gaps over span.
    pub rate: f64,
    /// Gaps of zero, as a share: requests that were recorded at the same instant.
    pub zero_gaps: f64,
    /// Coefficient of variation of all gaps; 1 for independent arrivals.
    pub gap_cv: f64,
    /// Gaps above zero, in seconds: families are fitted to these.
    pub gaps: Distribution,
    /// Index of dispersion of request counts.
    pub dispersion: Vec<Dispersion>,
    /// The fullest minute over the mean minute.
    pub peak_to_mean: PerSide<Option<f64>>,
    /// How demand grows.
    pub growth: Vec<Growth>,
}

/// What demand is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Requests,
    Input,
    Output,
}

/// Studies a recording. Linear in its rows but for the sorting; never fails: what a recording cannot say is `None` or empty.
#[must_use]
pub fn learn(rows: &Rows) -> Learnt {
    let input: Vec<f64> = rows.rows.iter().map(|r| f64::from(r.input_tokens)).collect();
    let output: Vec<f64> = rows.rows.iter().map(|r| f64::from(r.output_tokens)).collect();
    let shared: f64 = rows.rows.iter().map(|r| f64::from(r.blocks)).sum();
    let all: f64 = input.iter().sum();
    let at_s: Vec<f64> = rows.rows.iter().filter_map(|r| r.at).map(Nanos::as_secs_f64).collect();
    Learnt {
        requests: rows.rows.len(),
        skipped: rows.skipped,
        unsorted: rows.unsorted,
        format: rows.format,
        input: Distribution::of(input.clone()),
        output: Distribution::of(output.clone()),
        pearson: pearson(&input, &output),
        spearman: spearman(&input, &output),
        shared_prefix: if all > 0.0 { shared / all } else { 0.0 },
        arrivals: if at_s.len() == input.len() { arrivals(&at_s, &input, &output) } else { None },
    }
}

fn arrivals(at_s: &[f64], input: &[f64], output: &[f64]) -> Option<Arrivals> {
    let span_s = at_s.last()? - at_s.first()?;
    if span_s <= 0.0 {
        return None;
    }
    let gaps: Vec<f64> = at_s.windows(2).map(|w| w[1] - w[0]).collect();
    let positive: Vec<f64> = gaps.iter().copied().filter(|&g| g > 0.0).collect();
    let requests = Requests { at_s, input, output, span_s };
    Some(Arrivals {
        span_s,
        rate: gaps.len() as f64 / span_s,
        zero_gaps: 1.0 - positive.len() as f64 / gaps.len() as f64,
        gap_cv: Moments::of(&gaps).cv(),
        gaps: Distribution::of(positive),
        dispersion: requests.dispersion(),
        peak_to_mean: requests.peak_to_mean(),
        growth: requests.growth(),
    })
}

impl Distribution {
    fn of(mut values: Vec<f64>) -> Self {
        let moments = Moments::of(&values);
        sort(&mut values);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else { return Self::default() };
        let quantile = |&q: &f64| quantile_sorted(&values, q).map(|value| Quantile { q, value });
        let commonest = values.chunk_by(|a, b| a == b).max_by_key(|chunk| chunk.len());
        Self {
            n: moments.n,
            mean: moments.mean,
            sd: moments.sd(),
            cv: moments.cv(),
            skewness: moments.skewness,
            min,
            max,
            quantiles: QUANTILES.iter().filter_map(quantile).collect(),
            commonest: commonest.map_or(Atom::default(), |c| Atom { value: c[0], share: c.len() as f64 / values.len() as f64 }),
            fits: fits(&values),
            ks_critical: ks_critical_5pct(values.len()),
        }
    }

    /// The family nearest to the sample.
    #[must_use]
    pub fn best_fit(&self) -> Option<&Fit> {
        self.fits.iter().min_by(|a, b| a.ks.total_cmp(&b.ks))
    }

    /// Whether any family is within the critical distance.
    #[must_use]
    pub fn is_fitted(&self) -> bool {
        self.best_fit().is_some_and(|f| f.ks <= self.ks_critical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::workload::trace::Row;
    use rand_distr::{Distribution as _, Exp, LogNormal};

    /// Independent arrivals with lognormal lengths: everything that is learnt is known beforehand.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths of a few thousand tokens")]
    pub(super) fn poisson(n: usize) -> Rows {
        let (mut gaps, mut lengths) = (Seed(3).stream("gaps"), Seed(3).stream("lengths"));
        let (gap, length) = (Exp::new(4.0).unwrap(), LogNormal::new(6.0, 0.5).unwrap());
        let mut at = 0.0;
        let mut draw = || (length.sample(&mut lengths) as u32).max(1);
        let rows = (0..n).map(|_| {
            let row = Row { at: Some(Nanos::from_secs_f64(at)), input_tokens: draw(), output_tokens: draw(), blocks: 0 };
            at += gap.sample(&mut gaps);
            row
        });
        Rows { rows: rows.collect(), ..Rows::default() }
    }

    #[test]
    fn a_poisson_recording_is_seen_as_one() {
        let learnt = learn(&poisson(20_000));
        let arrivals = learnt.arrivals.as_ref().unwrap();
        assert!((arrivals.rate - 4.0).abs() < 0.1 && (arrivals.gap_cv - 1.0).abs() < 0.03, "{arrivals:?}");
        assert!(arrivals.gaps.is_fitted() && arrivals.zero_gaps == 0.0);
        for d in &arrivals.dispersion {
            assert!((d.index.unwrap() - 1.0).abs() < 0.35, "{d:?}");
        }
        assert!(learnt.spearman.unwrap().abs() < 0.03 && learnt.pearson.unwrap().abs() < 0.03);
        assert_eq!(learnt.input.best_fit().unwrap().family, family::Family::Lognormal);
        assert!((learnt.input.quantiles[4].value / 6.0_f64.exp() - 1.0).abs() < 0.03);
    }

    #[test]
    fn lengths_without_instants_have_no_arrivals_and_an_atom_is_found() {
        let rows = (1..=10).map(|i| Row { at: None, input_tokens: if i < 5 { 7 } else { i * 100 }, output_tokens: i, blocks: 0 });
        let learnt = learn(&Rows { rows: rows.collect(), ..Rows::default() });
        assert_eq!(learnt.arrivals, None);
        assert_eq!(learnt.input.commonest, Atom { value: 7.0, share: 0.4 });
    }

    #[test]
    fn an_empty_and_a_single_row_give_figures_and_no_nonsense() {
        for n in 0..3 {
            let learnt = learn(&poisson(n));
            let json = serde_json::to_string(&learnt).unwrap();
            assert!(!json.contains("NaN") && !learnt.text().is_empty(), "{json}");
            assert_eq!(learnt.arrivals.is_some(), n == 2);
        }
    }
}
