//! Objectives judged over all requests due, failures as infinite latencies; counted exactly, not read from a histogram.

use super::histogram::{Histogram, rank};
use super::summary::{Goodput, Objective, ObjectiveVerdict};
use crate::base::time::Nanos;
use crate::record::request::RequestRecord;
use crate::scenario::slo::{Metric, Slo, Term};

/// The latencies of one good answer, as far as they are defined for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    /// Intended instant to first token.
    pub ttft: Option<Nanos>,
    /// Time per output token after the first.
    pub tpot: Option<Nanos>,
    /// Mean gap per token over the request's own tokens.
    pub itl_mean: Option<Nanos>,
    /// Intended instant to last token.
    pub e2e: Option<Nanos>,
}

/// Counts, request by request, what the objectives of a [`Slo`] ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Judge {
    slo: Slo,
    terms: Vec<Counted>,
    bounds: [Option<Nanos>; 4],
    reach: [Reach; 4],
    due: u64,
    good: u64,
    errors: u64,
}

/// A latency objective and the values that kept it.
#[derive(Clone, Debug, PartialEq)]
struct Counted {
    term: Term,
    within: u64,
}

/// For one metric: good answers that have a value, and requests that did not end well and would have had one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reach {
    answered: u64,
    missed: u64,
}

pub(super) const METRICS: [Metric; 4] = [Metric::Ttft, Metric::Tpot, Metric::Itl, Metric::E2e];

fn place(metric: Metric) -> usize {
    match metric {
        Metric::Ttft => 0,
        Metric::Tpot => 1,
        Metric::Itl => 2,
        Metric::E2e => 3,
    }
}

impl Judge {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(slo: &Slo) -> Self {
        Self {
            terms: slo.terms().map(|term| Counted { term, within: 0 }).collect(),
            bounds: METRICS.map(|m| slo.request_bound(m).map(crate::base::units::TimeSpan::nanos)),
            reach: [Reach::default(); 4],
            due: 0,
            good: 0,
            errors: 0,
            slo: slo.clone(),
        }
    }

    /// The objectives.
    #[must_use]
    pub fn slo(&self) -> &Slo {
        &self.slo
    }

    /// Counts a request that ended well.
    pub fn ok(&mut self, latency: &Latency) {
        let values = [latency.ttft, latency.tpot, latency.itl_mean, latency.e2e];
        self.due += 1;
        for (reach, value) in self.reach.iter_mut().zip(&values) {
            reach.answered += u64::from(value.is_some());
        }
        for counted in self.terms.iter_mut().filter(|c| c.term.metric != Metric::Itl) {
            let value = values[place(counted.term.metric)];
            counted.within += u64::from(value.is_some_and(|v| v <= counted.term.bound.nanos()));
        }
        // A bound on what a request does not have (the TPOT of a single token) asks nothing of it.
        let kept = |(value, bound): (&Option<Nanos>, &Option<Nanos>)| value.zip(*bound).is_none_or(|(v, b)| v <= b);
        self.good += u64::from(values.iter().zip(&self.bounds).all(kept));
    }

    /// Counts `tokens` gaps of `gap` each, of a request that ended well.
    pub fn gaps(&mut self, gap: Nanos, tokens: u64) {
        for counted in self.terms.iter_mut().filter(|c| c.term.metric == Metric::Itl && gap <= c.term.bound.nanos()) {
            counted.within += tokens;
        }
    }

    /// Counts a request that did not end well; `is_error` unless the run was stopped under it.
    pub fn missed(&mut self, record: &RequestRecord, is_error: bool) {
        self.due += 1;
        self.errors += u64::from(is_error);
        // Latencies that the answer asked for would have had.
        let defined = [record.output_asked >= 1, record.output_asked >= 2, record.output_asked >= 2, true];
        for (reach, defined) in self.reach.iter_mut().zip(defined) {
            reach.missed += u64::from(defined);
        }
    }

    /// Adds what `other` counted for the same objectives.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.terms.iter_mut().zip(&other.terms) {
            mine.within += theirs.within;
        }
        for (mine, theirs) in self.reach.iter_mut().zip(&other.reach) {
            mine.answered += theirs.answered;
            mine.missed += theirs.missed;
        }
        self.due += other.due;
        self.good += other.good;
        self.errors += other.errors;
    }

    /// Good requests of those due in a window of `window_s` seconds.
    #[must_use]
    pub fn goodput(&self, window_s: f64) -> Goodput {
        let per = |whole: f64| if whole > 0.0 { self.good as f64 / whole } else { 0.0 };
        Goodput { good: self.good, share: per(self.due as f64), rate: per(window_s) }
    }

    /// Every objective with its verdict. `histogram` gives that of a metric's values over good answers. Without `streaming` the instant of a token is
    /// not seen, and what speaks of it stays undecided.
    #[must_use]
    pub fn objectives<'a>(&self, streaming: bool, histogram: impl Fn(Metric) -> &'a Histogram) -> Vec<Objective> {
        let latency = self.terms.iter().map(|counted| self.latency_objective(counted, streaming, histogram(counted.term.metric)));
        let errors = self.slo.errors.map(|bound| {
            let share = self.errors as f64 / self.due as f64;
            Objective { allowed: bound.0, missed: self.errors, ..self.share_objective(format!("errors <= {bound}"), self.errors, share <= bound.0) }
        });
        let goodput = self.slo.goodput.map(|bound| {
            let share = self.good as f64 / self.due as f64;
            Objective {
                allowed: rest(bound.0),
                missed: self.due - self.good,
                ..self.share_objective(format!("goodput >= {bound}"), self.good, share >= bound.0)
            }
        });
        latency.chain(errors).chain(goodput).collect()
    }

    fn share_objective(&self, text: String, count: u64, kept: bool) -> Objective {
        if self.due == 0 {
            return Objective { text, measured: "n/a (no requests)".to_owned(), ..Objective::default() };
        }
        let percent = 100.0 * count as f64 / self.due as f64;
        Objective {
            text,
            measured: format!("{percent:.2}% ({count} of {})", self.due),
            verdict: verdict(kept),
            asked: self.due,
            ..Objective::default()
        }
    }

    fn latency_objective(&self, counted: &Counted, streaming: bool, values: &Histogram) -> Objective {
        let Term { metric, percentile, bound } = counted.term;
        let bound = bound.nanos();
        let text = format!("{} {percentile} <= {bound}", metric.label());
        let Reach { answered, missed } = self.reach[place(metric)];
        let blank = Objective { text, allowed: rest(percentile.quantile()), ..Objective::default() };
        if !streaming && metric != Metric::E2e {
            return Objective { measured: "n/a (not streamed)".to_owned(), ..blank };
        }
        let needed = percentile.samples_needed();
        let (population, rank_all) = if metric == Metric::Itl {
            // A request that failed is taken to have had as many gaps as the mean good one, all of them infinite.
            let all = values.n().saturating_add(gaps_missed(values.n(), answered, missed));
            (all, rank(percentile, all))
        } else {
            (answered + missed, rank(percentile, answered + missed))
        };
        if answered == 0 && missed < self.due {
            return Objective { measured: "n/a (no values)".to_owned(), ..blank };
        }
        let counted_out = Objective { missed: population.saturating_sub(counted.within), asked: population, ..blank };
        if population < needed {
            return Objective { measured: format!("n/a (need >= {needed})"), ..counted_out };
        }
        let kept = counted.within >= rank_all;
        let measured = match values.value_at_rank(rank_all) {
            None => format!("infinite ({missed} of {} did not end well)", answered + missed),
            Some(value) => shown(Nanos(value), bound, kept),
        };
        Objective { measured, verdict: verdict(kept), ..counted_out }
    }
}

/// missed / answered * gaps, rounded up: with nothing answered, one gap for each.
fn gaps_missed(gaps: u64, answered: u64, missed: u64) -> u64 {
    if answered == 0 {
        return missed;
    }
    let product = u128::from(gaps) * u128::from(missed);
    u64::try_from(product.div_ceil(u128::from(answered))).unwrap_or(u64::MAX)
}

fn verdict(kept: bool) -> ObjectiveVerdict {
    if kept { ObjectiveVerdict::Met } else { ObjectiveVerdict::NotMet }
}

/// The histogram's value may lie 0.1 % above the exact one, which decided: no text may contradict the verdict beside it.
fn shown(value: Nanos, bound: Nanos, kept: bool) -> String {
    if kept {
        return value.min(bound).to_string();
    }
    let text = value.to_string();
    if text == bound.to_string() { format!("just above {bound}") } else { text }
}

/// What is left of a share, to twelve digits: 5 % of 95 %, and not a little more by the way numbers are kept.
fn rest(share: f64) -> f64 {
    ((1.0 - share) * 1e12).round() / 1e12
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::outcome::Outcome;
    use crate::record::request::Phase;

    fn judge(slo: &str, good: &[Latency], missed: u64) -> (Judge, Histogram) {
        let mut judge = Judge::new(&serde_json::from_str(slo).unwrap());
        let mut values = Histogram::latency();
        for latency in good {
            judge.ok(latency);
            latency.ttft.into_iter().for_each(|v| values.record_nanos(v));
        }
        let mut lost = RequestRecord::due(0, Phase::Measure, Nanos::ZERO, 1, 10);
        lost.outcome = Outcome::ServerError;
        (0..missed).for_each(|_| judge.missed(&lost, true));
        (judge, values)
    }

    fn ttft(ns: u64) -> Latency {
        Latency { ttft: Some(Nanos(ns)), ..Latency::default() }
    }

    /// A histogram reads 800 ms as up to 800.8 ms; the verdict and the text beside it must not.
    #[test]
    fn a_value_on_the_bound_is_within_it_and_one_nanosecond_more_is_not() {
        let bound = 800_000_000;
        let (on, values) = judge(r#"{"ttft": {"p50": "800ms"}}"#, &[ttft(bound); 20], 0);
        let told = &on.objectives(true, |_| &values)[0];
        assert_eq!((told.verdict, told.measured.as_str()), (ObjectiveVerdict::Met, "800 ms"));
        let (over, values) = judge(r#"{"ttft": {"p50": "800ms"}}"#, &[ttft(bound + 1); 20], 0);
        let told = &over.objectives(true, |_| &values)[0];
        assert_eq!((told.verdict, told.measured.as_str()), (ObjectiveVerdict::NotMet, "just above 800 ms"));
    }

    #[test]
    fn without_values_nothing_is_decided() {
        let slo = r#"{"ttft": {"p50": "800ms"}}"#;
        let measured = |good: &[Latency], missed| {
            let (judge, values) = judge(slo, good, missed);
            judge.objectives(true, |_| &values).remove(0).measured
        };
        assert_eq!(measured(&[], 0), "n/a (need >= 20)");
        assert_eq!(measured(&[Latency::default(); 30], 3), "n/a (no values)");
        assert_eq!(measured(&[], 30), "infinite (30 of 30 did not end well)");
    }

    /// The whole answer comes at once: its end says nothing about the first token, neither that it came in time nor that it did not.
    #[test]
    fn without_streaming_only_the_end_of_an_answer_is_judged() {
        for bound in ["1h", "1ms"] {
            let slo =
                format!(r#"{{"ttft": {{"p50": "{bound}"}}, "tpot": {{"p50": "{bound}"}}, "itl": {{"p50": "{bound}"}}, "e2e": {{"p50": "1h"}}}}"#);
            let second = Some(Nanos::from_secs(1));
            let (judge, values) = judge(&slo, &[Latency { ttft: second, tpot: second, itl_mean: second, e2e: second }; 30], 0);
            let told: Vec<_> = judge.objectives(false, |_| &values).into_iter().map(|o| (o.measured, o.verdict)).collect();
            assert!(told[..3].iter().all(|t| *t == ("n/a (not streamed)".to_owned(), ObjectiveVerdict::Undecided)), "{told:?}");
            assert_eq!(told[3].1, ObjectiveVerdict::Met);
        }
    }

    /// Of 4 gaps 3 are within; 1 of 2 requests failed: of 8 gaps 3 are within, so p37.5 is kept and p37.6 is not.
    #[test]
    fn a_failure_stands_for_as_many_gaps_as_the_mean_good_answer() {
        let mut judge = Judge::new(&serde_json::from_str(r#"{"itl": {"p37.5": "10ms", "p37.6": "10ms"}}"#).unwrap());
        let mut values = Histogram::latency();
        let mut lost = RequestRecord::due(0, Phase::Measure, Nanos::ZERO, 1, 10);
        lost.outcome = Outcome::ServerError;
        for _ in 0..100 {
            judge.ok(&Latency { itl_mean: Some(Nanos::from_millis(9)), ..Latency::default() });
            judge.missed(&lost, true);
            for (gap, tokens) in [(5, 3), (11, 1)] {
                judge.gaps(Nanos::from_millis(gap), tokens);
                values.record_n(Nanos::from_millis(gap).0, tokens);
            }
        }
        let verdicts: Vec<_> = judge.objectives(true, |_| &values).into_iter().map(|o| o.verdict).collect();
        assert_eq!(verdicts, [ObjectiveVerdict::Met, ObjectiveVerdict::NotMet]);
    }
}
