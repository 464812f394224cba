//! Tokens asked for, reported by the server and counted here, beside each other.

use super::histogram::Histogram;
use super::summary::TokenReconciliation;
use crate::record::request::RequestRecord;
use std::collections::BTreeMap;

/// Sums and distributions of tokens over the requests that ended well.
#[derive(Clone, Debug)]
pub struct Tokens {
    sums: TokenReconciliation,
    input_asked: Histogram,
    input_observed: Histogram,
    output_asked: Histogram,
    output_observed: Histogram,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            sums: TokenReconciliation::default(),
            input_asked: Histogram::tokens(),
            input_observed: Histogram::tokens(),
            output_asked: Histogram::tokens(),
            output_observed: Histogram::tokens(),
        }
    }
}

impl Tokens {
    /// Adds a request that ended well.
    pub fn observe(&mut self, r: &RequestRecord) {
        let sums = &mut self.sums;
        sums.requests += 1;
        sums.input_asked += u64::from(r.input_asked);
        sums.output_asked += u64::from(r.output_asked);
        sums.reasoning += u64::from(r.reasoning_tokens);
        sums.length_mismatch += u64::from(r.notes.length_mismatch);
        if let Some(usage) = r.usage {
            sums.with_usage += 1;
            sums.input_usage += u64::from(usage.prompt);
            sums.output_usage += u64::from(usage.completion);
            sums.output_counted += u64::from(r.counted_tokens);
            sums.cached += u64::from(usage.cached.unwrap_or(0));
        }
        add(&mut sums.sources, r.token_source.name(), 1);
        self.input_asked.record(u64::from(r.input_asked));
        self.input_observed.record(u64::from(r.input_tokens));
        self.output_asked.record(u64::from(r.output_asked));
        self.output_observed.record(u64::from(r.output_tokens));
    }

    /// Adds what `other` saw.
    pub fn merge(&mut self, other: &Self) {
        let (mine, theirs) = (&mut self.sums, &other.sums);
        mine.requests += theirs.requests;
        mine.input_asked += theirs.input_asked;
        mine.input_usage += theirs.input_usage;
        mine.output_asked += theirs.output_asked;
        mine.output_usage += theirs.output_usage;
        mine.output_counted += theirs.output_counted;
        mine.reasoning += theirs.reasoning;
        mine.cached += theirs.cached;
        mine.with_usage += theirs.with_usage;
        mine.length_mismatch += theirs.length_mismatch;
        merge_counts(&mut mine.sources, &theirs.sources);
        self.input_asked.merge(&other.input_asked);
        self.input_observed.merge(&other.input_observed);
        self.output_asked.merge(&other.output_asked);
        self.output_observed.merge(&other.output_observed);
    }

    /// The table, with the distributions asked for and observed in the same bins.
    #[must_use]
    pub fn reconciliation(&self) -> TokenReconciliation {
        let (input_asked_bins, input_observed_bins) = self.input_asked.shared_bins(&self.input_observed);
        let (output_asked_bins, output_observed_bins) = self.output_asked.shared_bins(&self.output_observed);
        TokenReconciliation { input_asked_bins, input_observed_bins, output_asked_bins, output_observed_bins, ..self.sums.clone() }
    }
}

/// Adds `n` to the count called `name`.
pub(super) fn add(counts: &mut BTreeMap<String, u64>, name: &str, n: u64) {
    if let Some(count) = counts.get_mut(name) {
        *count += n;
    } else {
        counts.insert(name.to_owned(), n);
    }
}

/// Adds every count of `other`.
pub(super) fn merge_counts(counts: &mut BTreeMap<String, u64>, other: &BTreeMap<String, u64>) {
    for (name, &n) in other {
        add(counts, name, n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Nanos;
    use crate::record::request::{Phase, TokenSource, Usage};

    #[test]
    fn sums_are_over_requests_that_have_the_figure() {
        let mut with = RequestRecord::due(0, Phase::Measure, Nanos::ZERO, 100, 20);
        with.usage = Some(Usage { prompt: 112, completion: 20, cached: Some(64), reasoning: None });
        (with.output_tokens, with.counted_tokens, with.token_source) = (20, 19, TokenSource::Usage);
        let mut without = RequestRecord::due(1, Phase::Measure, Nanos::ZERO, 100, 20);
        (without.output_tokens, without.counted_tokens, without.token_source) = (18, 18, TokenSource::Tokenizer);
        without.notes.length_mismatch = true;
        let mut tokens = Tokens::default();
        tokens.observe(&with);
        tokens.observe(&without);
        let t = tokens.reconciliation();
        assert_eq!((t.requests, t.with_usage, t.input_asked, t.input_usage), (2, 1, 200, 112));
        assert_eq!((t.output_asked, t.output_usage, t.output_counted, t.cached, t.length_mismatch), (40, 20, 19, 64, 1));
        assert_eq!(t.sources, BTreeMap::from([("tokenizer".to_owned(), 1), ("usage".to_owned(), 1)]));
        assert_eq!(t.output_asked_bins.iter().map(|b| b.count).sum::<u64>(), 2);
        assert_eq!(t.output_asked_bins.len(), t.output_observed_bins.len());
    }
}
