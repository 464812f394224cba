//! The limits of a chunk: prefill budget, batch cap, key-value cache. Candidates come from what was seen; the replay that fits best decides.

use super::ladder::Budget;
use super::law::PLAIN;
use super::refine::{Bench, Point};
use super::sight::Sight;
use crate::scenario::endpoint::EndpointSpec;

/// A limit counts as measured when the fit without it is worse by this factor.
const CLEARLY: f64 = 1.05;
/// Rounds of refinement for each candidate.
const ROUNDS: usize = 1;
/// Budgets tried when the ladder shows none, tokens.
const USUAL: [u32; 6] = [256, 512, 1024, 2048, 4096, 8192];

/// Which limits the measurements show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// Prefill budget.
    pub(super) budget: bool,
    /// Batch cap.
    pub(super) batch: bool,
    /// Size of the key-value cache.
    pub(super) kv: bool,
    /// Length of the queue.
    pub(super) queue: bool,
}

/// The search for limits.
pub(super) struct Search<'a> {
    pub(super) bench: &'a Bench,
    pub(super) sight: &'a Sight,
    pub(super) ladder: &'a Budget,
    /// Chunks that shared the load.
    pub(super) chunks: u32,
    /// Longest prompt and answer together, tokens: no cache is smaller.
    pub(super) longest: u64,
}

impl Search<'_> {
    /// The limits that fit best, from `base` (wide enough for all that was seen) and the point found with it.
    pub(super) fn run(&self, base: &EndpointSpec, point: Point) -> (EndpointSpec, Point, Shown) {
        let mut shown = Shown::default();
        let (base, point) = self.batch(base, point, &mut shown);
        let (base, point) = if shown.batch { (base, point) } else { self.kv(&base, point, &mut shown) };
        let (base, point) = self.budget(&base, point, &mut shown);
        (base, point, shown)
    }

    fn best(&self, from: &Point, candidates: Vec<EndpointSpec>) -> Option<(EndpointSpec, Point)> {
        let tried = candidates.into_iter().map(|base| {
            let start = self.bench.point(&base, from.at);
            let point = self.bench.refine(&base, start, &PLAIN, ROUNDS);
            (base, point)
        });
        tried.min_by(|a, b| a.1.loss.total_cmp(&b.1.loss))
    }

    fn batch(&self, base: &EndpointSpec, point: Point, shown: &mut Shown) -> (EndpointSpec, Point) {
        let Some(held) = self.sight.held else { return (base.clone(), point) };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests")]
        let plateau = (held.streaming / f64::from(self.chunks)).round() as u32;
        // With prompts in the works the plateau stays just below the cap.
        let caps = (plateau.saturating_sub(1).max(1)..=plateau + 3).map(|max_batch| EndpointSpec { max_batch, ..base.clone() });
        let Some((capped, found)) = self.best(&point, caps.collect()) else { return (base.clone(), point) };
        if point.loss > found.loss * CLEARLY {
            shown.batch = true;
            return (capped, found);
        }
        (base.clone(), point)
    }

    fn kv(&self, base: &EndpointSpec, point: Point, shown: &mut Shown) -> (EndpointSpec, Point) {
        let Some(held) = self.sight.held else { return (base.clone(), point) };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of tokens")]
        let sizes = [1.0, 1.04, 1.1, 1.2].map(|factor| ((held.reserved / f64::from(self.chunks) * factor) as u64).max(self.longest));
        let Some((capped, found)) = self.best(&point, sizes.map(|kv_tokens| EndpointSpec { kv_tokens, ..base.clone() }).into()) else {
            return (base.clone(), point);
        };
        if point.loss > found.loss * CLEARLY {
            shown.kv = true;
            return (capped, found);
        }
        (base.clone(), point)
    }

    fn budget(&self, base: &EndpointSpec, point: Point, shown: &mut Shown) -> (EndpointSpec, Point) {
        let sizes: Vec<u32> = if self.ladder.is_seen { self.ladder.candidates.clone() } else { USUAL.to_vec() };
        let with = |prefill_budget: u32| EndpointSpec { prefill_budget, ..base.clone() };
        let Some((best, found)) = self.best(&point, sizes.iter().map(|&c| with(c)).collect()) else { return (base.clone(), point) };
        let chosen = f64::from(best.prefill_budget);
        let other = sizes.iter().copied().filter(|&c| f64::from(c) > 1.5 * chosen || f64::from(c) < chosen / 1.5);
        let others = self.best(&point, other.map(with).collect());
        let is_clear = others.is_none_or(|(_, second)| second.loss > found.loss * CLEARLY);
        shown.budget = self.ladder.is_seen || is_clear;
        if found.loss < point.loss || self.ladder.is_seen { (best, found) } else { (base.clone(), point) }
    }
}
