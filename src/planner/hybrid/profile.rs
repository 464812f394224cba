//! What a period's demand is to any candidate: requests, tokens and work of each bin, summed once.

use crate::planner::binned::{BIN_NS, Binned, Request};
use crate::planner::chart::RowFacts;

/// Sums over the bins of a lead-in and its period. Work and misses are by the law of one draw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Requests in each bin.
    pub counts: Vec<u32>,
    /// Of these, such as miss an objective even on an idle chunk.
    pub hopeless: Vec<u32>,
    /// Chunk-seconds of work that come in each bin.
    pub work_s: Vec<f32>,
    /// Tokens offered before the beginning of each bin, and in all.
    tokens_before: Vec<f64>,
}

impl Profile {
    /// Goes through every request of `demand` once; `facts` has an entry for each of its rows.
    #[must_use]
    pub fn of(demand: &Binned, facts: &[RowFacts]) -> Self {
        let bins = demand.bins();
        let mut profile = Self {
            counts: Vec::with_capacity(bins),
            hopeless: Vec::with_capacity(bins),
            work_s: Vec::with_capacity(bins),
            tokens_before: Vec::with_capacity(bins + 1),
        };
        let mut tokens = 0_u64;
        for bin in 0..bins {
            profile.tokens_before.push(tokens as f64);
            let (mut count, mut hopeless, mut work_us) = (0, 0, 0_u64);
            demand.each_row(bin, &mut |row| {
                let fact = facts[row];
                count += 1;
                hopeless += u32::from(fact.hopeless);
                work_us += u64::from(fact.work_us);
                tokens += u64::from(fact.tokens);
            });
            profile.counts.push(count);
            profile.hopeless.push(hopeless);
            #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough for a screen")]
            profile.work_s.push((work_us as f64 / 1e6) as f32);
        }
        profile.tokens_before.push(tokens as f64);
        profile
    }

    /// Tokens offered before the instant `at`, for rising instants; exact.
    #[must_use]
    pub fn tokens_until(&self, demand: &Binned, facts: &[RowFacts], at: u64) -> f64 {
        let bin = usize::try_from(at / BIN_NS).unwrap_or(usize::MAX);
        let last = self.tokens_before.len() - 1;
        if bin >= last {
            return self.tokens_before[last];
        }
        let before = self.tokens_before[bin];
        if at.is_multiple_of(BIN_NS) {
            return before;
        }
        let mut requests: Vec<Request> = Vec::new();
        demand.draw(bin, &mut requests);
        before + requests.iter().take_while(|r| r.at < at).map(|r| f64::from(facts[r.row].tokens)).sum::<f64>()
    }

    /// Bytes it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.counts.len() * (2 * size_of::<u32>() + size_of::<f32>() + size_of::<f64>())
    }
}
