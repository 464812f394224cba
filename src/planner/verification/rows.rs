//! The rows of a verification: differences between what was measured and what repetitions of the model say, with an error that respects dependence.

use super::replay::{Sample, Seen};
use super::{Allowance, POWER, Row, ShareRow, Standing, student_t_cdf};
use crate::base::stats::interval::student_t_quantile;
use crate::base::stats::output::ratio_of_batches;
use crate::base::stats::sample::{mean_variance, quantile_sorted, sort};
use crate::base::units::TimeSpan;
use crate::scenario::slo::{Metric, Percentile, Slo};

const METRICS: [(Metric, &str); 3] = [(Metric::Ttft, "TTFT"), (Metric::Tpot, "TPOT"), (Metric::E2e, "E2E")];
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];
/// A percentile needs this many values beyond it, here as everywhere.
const BEYOND: f64 = 10.0;
/// Sections, at most and at least.
const SECTIONS: (f64, f64) = (10.0, 20.0);

/// The run, and the model's repetitions of it.
pub(super) struct Worlds<'a> {
    pub(super) measured: &'a Sample,
    /// The model itself.
    pub(super) base: &'a [Sample],
    /// The laws that fit as well.
    pub(super) draws: &'a [Sample],
    /// The model slowed down.
    pub(super) slow: &'a [Sample],
    /// The part of what the slowdown does that an error of the law may do.
    pub(super) of_slow: f64,
}

/// Measured against predicted on a logarithmic scale.
pub(super) struct Compared {
    metric: &'static str,
    percentile: &'static str,
    n: usize,
    measured: f64,
    /// Standard error of the logarithm of `measured`, by sections of the run alone.
    measured_error: f64,
    predicted: f64,
    /// Standard deviation of one repetition, draws included.
    predicted_spread: f64,
    allowance: f64,
    /// ln(measured / predicted).
    difference: f64,
    error: f64,
    pub(super) df: f64,
    /// The difference that a slower endpoint makes, and its error there.
    effect: f64,
    slow_error: f64,
}

/// Latency rows that have enough values on both sides.
pub(super) fn latencies(worlds: &Worlds<'_>, allowance: &Allowance) -> Vec<Compared> {
    let factors = [allowance.ttft, allowance.tpot, allowance.e2e];
    let all = METRICS.iter().enumerate().flat_map(|(m, (_, name))| PERCENTILES.iter().map(move |p| (m, *name, *p)));
    all.filter_map(|(m, name, percentile)| latency(worlds, m, name, percentile, factors[m].max(1.0))).collect()
}

fn latency(worlds: &Worlds<'_>, m: usize, metric: &'static str, (percentile, q): (&'static str, f64), allowance: f64) -> Option<Compared> {
    let of = |s: &Seen| s.latency[m];
    let n = worlds.measured.iter().filter_map(of).count();
    if (n as f64) * (1.0 - q) < BEYOND {
        return None;
    }
    let sections = sections(worlds.measured.len(), (n as f64) * (1.0 - q));
    let log = |sample: &[Seen]| quantile(sample, of, q).map(f64::ln);
    let measured = log(worlds.measured)?;
    let pooled = |samples: &[Sample]| samples.iter().map(|s| log(s)).collect::<Option<Vec<f64>>>();
    let (base, slow) = (pooled(worlds.base)?, pooled(worlds.slow)?);
    let (mut own, mut paired) = (Vec::new(), Vec::new());
    for range in &sections {
        let here = log(&worlds.measured[range.clone()])?;
        let there: Option<Vec<f64>> = worlds.base.iter().map(|s| log(&s[range.clone()])).collect();
        own.push((here, 1.0));
        paired.push((here - mean_variance(&there?).0, 1.0));
    }
    let (predicted, within) = mean_variance(&base);
    let (slow_mean, slow_within) = mean_variance(&slow);
    let allowance = allowance.max((worlds.of_slow * (slow_mean - predicted)).exp());
    let among_draws = match pooled(worlds.draws)? {
        draws if draws.len() >= 2 => (mean_variance(&draws).1 - within).max(0.0),
        _ => 0.0,
    };
    let by_sections = ratio_of_batches(&paired).error.powi(2);
    let error = |of_run: f64| (of_run + within / base.len() as f64 + among_draws).sqrt();
    Some(Compared {
        metric,
        percentile,
        n,
        measured,
        measured_error: ratio_of_batches(&own).error,
        predicted,
        predicted_spread: (within + among_draws).sqrt(),
        allowance,
        difference: measured - predicted,
        error: error(by_sections.max(within)),
        df: sections.len() as f64 - 1.0,
        effect: slow_mean - predicted - allowance.ln(),
        slow_error: error(by_sections.max(within).max(slow_within)),
    })
}

impl Compared {
    /// The row, with `critical` the quantile of Student's distribution that all rows share.
    pub(super) fn row(&self, critical: f64) -> Row {
        let (half, bound) = (critical * self.error, self.allowance.ln());
        let standing = match self.difference {
            d if d - half > bound => Standing::Worse,
            d if d + half < -bound => Standing::Better,
            _ => Standing::Agrees,
        };
        let own = student_t_quantile(0.975, self.df);
        let ms = |log_s: f64| 1e3 * log_s.exp();
        let wide = 1.96 * self.predicted_spread + bound;
        Row {
            metric: self.metric.to_owned(),
            percentile: self.percentile.to_owned(),
            n: self.n as u64,
            measured_ms: ms(self.measured),
            measured_low_ms: ms(self.measured - own * self.measured_error),
            measured_high_ms: ms(self.measured + own * self.measured_error),
            predicted_ms: ms(self.predicted),
            predicted_low_ms: ms(self.predicted - wide),
            predicted_high_ms: ms(self.predicted + wide),
            ratio: self.difference.exp(),
            ratio_low: (self.difference - half).exp(),
            ratio_high: (self.difference + half).exp(),
            allowance: self.allowance,
            standing,
            power: student_t_cdf(self.effect / self.slow_error.max(1e-12) - critical, self.df),
        }
    }

    /// Requests of a run in which this row sees the slower endpoint often enough, from one of `requests`: errors shrink with the root of the number.
    pub(super) fn requests_needed(&self, tail: f64, requests: usize) -> Option<u64> {
        let reach = (student_t_quantile(1.0 - tail, self.df) + student_t_quantile(POWER, self.df)) * self.slow_error;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests; the cast saturates")]
        let needed = ((reach / self.effect).powi(2) * requests as f64).ceil() as u64;
        // A factor that is nearly one explains no difference of this size.
        (self.effect > 1e-3).then_some(needed)
    }
}

/// Requests that the percentiles with an objective need, if `measured` has too few for one of them: ten values beyond it.
pub(super) fn values_short_of(measured: &Sample, slo: &Slo) -> Option<u64> {
    let short = slo.terms().filter_map(|term| {
        let m = METRICS.iter().position(|(metric, _)| *metric == term.metric)?;
        let n = measured.iter().filter(|s| s.latency[m].is_some()).count() as u64;
        // Beyond the last percentile that is compared nothing is asked.
        let needed = term.percentile.min(Percentile::P99).samples_needed();
        (n > 0 && n < needed).then_some(needed)
    });
    short.max()
}

/// A share of requests, measured against predicted.
pub(super) struct ComparedShare {
    what: &'static str,
    measured: f64,
    low: Difference,
    high: Difference,
    pub(super) df: f64,
}

/// Predicted share, and the error of measured less predicted.
struct Difference {
    predicted: f64,
    error: f64,
}

/// The share that ended well, and with objectives on latency the share that was good.
pub(super) fn shares(worlds: &Worlds<'_>, allowance: &Allowance, slo: &Slo) -> Vec<ComparedShare> {
    let bounds = METRICS.map(|(metric, _)| slo.request_bound(metric).map(TimeSpan::as_secs_f64));
    let factors = [allowance.ttft, allowance.tpot, allowance.e2e];
    let good = |power: i32| {
        move |s: &Seen| {
            let kept = |m: usize| s.latency[m].zip(bounds[m]).is_none_or(|(v, b)| v * factors[m].powi(power) <= b);
            s.ok && (0..3).all(kept)
        }
    };
    let ended = share(worlds, "ended well", |s: &Seen| s.ok, |s: &Seen| s.ok, |s: &Seen| s.ok);
    let mut all: Vec<ComparedShare> = ended.into_iter().collect();
    if bounds.iter().any(Option::is_some) {
        all.extend(share(worlds, "good", good(0), good(1), good(-1)));
    }
    all
}

fn share(
    worlds: &Worlds<'_>,
    what: &'static str,
    measured: impl Fn(&Seen) -> bool,
    low: impl Fn(&Seen) -> bool,
    high: impl Fn(&Seen) -> bool,
) -> Option<ComparedShare> {
    let n = worlds.measured.len();
    if n < 20 {
        return None;
    }
    let sections = sections(n, f64::INFINITY);
    let part = |sample: &[Seen], is: &dyn Fn(&Seen) -> bool| sample.iter().filter(|s| is(s)).count() as f64 / sample.len().max(1) as f64;
    let against = |is: &dyn Fn(&Seen) -> bool, side: f64| {
        let (predicted, within) = mean_variance(&worlds.base.iter().map(|s| part(s, is)).collect::<Vec<_>>());
        let (_, of_draws) = mean_variance(&worlds.draws.iter().map(|s| part(s, is)).collect::<Vec<_>>());
        let paired: Vec<(f64, f64)> = sections
            .iter()
            .map(|range| {
                let there: Vec<f64> = worlds.base.iter().map(|s| part(&s[range.clone()], is)).collect();
                (part(&worlds.measured[range.clone()], &measured) - mean_variance(&there).0, 1.0)
            })
            .collect();
        let of_run = ratio_of_batches(&paired).error.powi(2).max(within);
        let (slow, _) = mean_variance(&worlds.slow.iter().map(|s| part(s, is)).collect::<Vec<_>>());
        let predicted = predicted + side * worlds.of_slow * (predicted - slow).max(0.0);
        Difference { predicted, error: (of_run + within / worlds.base.len() as f64 + (of_draws - within).max(0.0)).sqrt() }
    };
    Some(ComparedShare {
        what,
        measured: part(worlds.measured, &measured),
        low: against(&low, -1.0),
        high: against(&high, 1.0),
        df: sections.len() as f64 - 1.0,
    })
}

impl ComparedShare {
    /// The row, with `critical` the quantile of Student's distribution that all rows share.
    pub(super) fn row(&self, critical: f64) -> ShareRow {
        let standing = if self.measured + critical * self.low.error < self.low.predicted - 1e-9 {
            Standing::Worse
        } else if self.measured - critical * self.high.error > self.high.predicted + 1e-9 {
            Standing::Better
        } else {
            Standing::Agrees
        };
        ShareRow {
            what: self.what.to_owned(),
            measured: self.measured,
            predicted_low: self.low.predicted,
            predicted_high: self.high.predicted,
            half: critical * self.low.error.max(self.high.error),
            standing,
        }
    }
}

/// Consecutive sections of about as many requests each; as many as there are values `beyond` the quantile, from ten to twenty.
fn sections(n: usize, beyond: f64) -> Vec<std::ops::Range<usize>> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from ten to twenty by the clamp")]
    let count = beyond.clamp(SECTIONS.0, SECTIONS.1) as usize;
    (0..count).map(|j| j * n / count..(j + 1) * n / count).collect()
}

/// Nearest rank over the values that are defined and not zero.
fn quantile(sample: &[Seen], of: impl Fn(&Seen) -> Option<f64>, q: f64) -> Option<f64> {
    let mut values: Vec<f64> = sample.iter().filter_map(of).filter(|v| *v > 0.0).collect();
    sort(&mut values);
    quantile_sorted(&values, q)
}
