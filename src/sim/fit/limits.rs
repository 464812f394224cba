//! The limits of a chunk: prefill budget, batch cap, key-value cache. Candidates come from what was seen; the replay that fits best decides.

use super::ladder::Budget;
use super::law::PLAIN;
use super::refine::{Bench, Point};
use super::sight::{Held, Sight};
use crate::scenario::endpoint::{EndpointSpec, KvPolicy};

/// A limit counts as measured when the fit without it is worse by this factor.
const CLEARLY: f64 = 1.05;
/// The same for what held requests back. It must explain much: a limit that was never reached explains chance as well as any other number.
const FAR: f64 = 1.3;
/// And by this much at least: an error of 1.4 % on average is chance.
const CHANCE: f64 = 1e-4;
/// A less simple limit is taken instead of a simpler one when the loss falls by this factor.
const FURTHER: f64 = 1.2;
/// Rounds of refinement for each explanation.
const ROUNDS: usize = 2;
/// Turns between limit and law.
const TURNS: usize = 5;
/// Sizes tried first, times the plateau.
const COARSE: [f64; 9] = [0.97, 1.0, 1.05, 1.11, 1.18, 1.26, 1.38, 1.6, 2.0];
/// Budgets that are always tried, tokens.
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

/// What may have held requests back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Batch,
    Reserved,
    Preempted,
}

impl Search<'_> {
    /// The limits that fit best, from `base` (wide enough for all that was seen) and the point found with it. A wrong prefill budget makes requests
    /// wait that nothing holds back, and a wrong limit bends the law until another budget fits: each budget gets the best limit of its own.
    pub(super) fn run(&self, base: &EndpointSpec, point: &Point) -> (EndpointSpec, Point, Shown) {
        // What the ladder shows may be chance: the usual ones are tried as well.
        let mut sizes: Vec<u32> = if self.ladder.is_seen { self.ladder.candidates.clone() } else { vec![base.prefill_budget] };
        let more: Vec<u32> = USUAL.into_iter().filter(|c| !sizes.contains(c)).collect();
        sizes.extend(more);
        let with = |prefill_budget: u32| {
            let base = EndpointSpec { prefill_budget, ..base.clone() };
            let start = self.bench.refine(&base, self.bench.point(&base, point.at), &PLAIN, ROUNDS);
            self.held(&base, start)
        };
        let mut found: Vec<(EndpointSpec, Point, Shown)> = sizes.into_iter().map(with).collect();
        // What the ladder does not show must explain clearly more.
        let is_of_ladder = |budget: u32| self.ladder.is_seen && self.ladder.candidates.contains(&budget);
        let handicap = |spec: &EndpointSpec| if self.ladder.is_seen && !is_of_ladder(spec.prefill_budget) { FURTHER } else { 1.0 };
        found.sort_by(|a, b| (a.1.loss * handicap(&a.0)).total_cmp(&(b.1.loss * handicap(&b.0))));
        let mut found = found.into_iter();
        let Some((spec, point, mut shown)) = found.next() else { return (base.clone(), point.clone(), Shown::default()) };
        let chosen = f64::from(spec.prefill_budget);
        let is_other = |c: f64| c > 1.5 * chosen || c < chosen / 1.5;
        let second = found.find(|(other, ..)| is_other(f64::from(other.prefill_budget)));
        shown.budget = is_of_ladder(spec.prefill_budget) || second.is_none_or(|(_, second, _)| second.loss > point.loss * CLEARLY);
        (spec, point, shown)
    }

    /// What held requests back, if anything: the batch cap, or the key-value cache with either policy. One of them: a second one on top would
    /// nearly always explain chance.
    fn held(&self, base: &EndpointSpec, point: Point) -> (EndpointSpec, Point, Shown) {
        let mut shown = Shown::default();
        let Some(held) = self.sight.held else { return (base.clone(), point, shown) };
        // Every explanation has had the same rounds before they are compared.
        let open = self.bench.refine(base, point.clone(), &PLAIN, ROUNDS);
        let mut best: Option<(Cause, EndpointSpec, Point)> = None;
        // The simplest first; another one must explain clearly more. Where answers are alike, a cache and a cap hold back the same requests.
        for cause in [Cause::Batch, Cause::Reserved, Cause::Preempted] {
            let Some((spec, point)) = self.by_cause(base, &point, held, cause) else { continue };
            if best.as_ref().is_none_or(|b| point.loss * FURTHER < b.2.loss) {
                best = Some((cause, spec, point));
            }
        }
        match best {
            Some((cause, spec, found)) if open.loss > found.loss * FAR + CHANCE => {
                (shown.batch, shown.kv) = (cause == Cause::Batch, cause != Cause::Batch);
                (spec, found, shown)
            }
            _ => (base.clone(), open, shown),
        }
    }

    /// The best size of one limit. What holds requests back shows in the plateau from below: prompts in the works hold places and tokens as well,
    /// and are not streaming.
    fn by_cause(&self, base: &EndpointSpec, from: &Point, held: Held, cause: Cause) -> Option<(EndpointSpec, Point)> {
        let chunks = f64::from(self.chunks);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of requests and of tokens; the casts saturate")]
        let with = |factor: f64| match cause {
            Cause::Batch => EndpointSpec { max_batch: (held.streaming / chunks * factor).round().max(1.0) as u32, ..base.clone() },
            Cause::Reserved => EndpointSpec { kv_tokens: ((held.reserved / chunks * factor) as u64).max(self.longest), ..base.clone() },
            Cause::Preempted => {
                EndpointSpec { kv_tokens: ((held.context / chunks * factor) as u64).max(self.longest), kv_policy: KvPolicy::Preempt, ..base.clone() }
            }
        };
        let loss = |factor: f64| self.bench.point(&with(factor), from.at).loss;
        let mut factor = COARSE.into_iter().map(|f| (f, loss(f))).min_by(|a, b| a.1.total_cmp(&b.1))?.0;
        // One request more or less of a batch; a hundredth of a cache.
        let unit = if cause == Cause::Batch { chunks / held.streaming.max(1.0) } else { 0.012 };
        let mut point = from.clone();
        // The law moves with the limit, and the limit with the law.
        for _ in 0..TURNS {
            let near = (-3..=3).map(|i| factor + f64::from(i) * unit);
            let tried = near.map(|f| (f, self.bench.point(&with(f), point.at)));
            let (best, start) = tried.min_by(|a, b| a.1.loss.total_cmp(&b.1.loss))?;
            point = self.bench.refine(&with(best), start, &PLAIN, ROUNDS);
            let is_settled = (best - factor).abs() < 0.5 * unit;
            factor = best;
            if is_settled {
                break;
            }
        }
        Some((with(factor), point))
    }
}
