//! Periods judged without simulating every request: a fluid screen says where misses can come from, event simulation looks there.
//!
//! The number of chunks over time follows from the tokens offered alone (`sim::autoscale::path`), so a period at a size is a path of chunks and
//! a path of work. Where the load is light for what serves, the share of requests missed is that of steady load, measured once by event
//! simulation ([`super::chart`]); where it is not, the very requests that a full simulation would see are simulated (`window`). docs/METHOD.md says
//! why this is safe and how it is checked.

mod input;
mod judge;
mod profile;
mod screen;
mod window;

pub use input::PeriodInput;
pub use judge::{Depth, judge};
pub use profile::Profile;

use super::binned::Binned;
use super::search::{PeriodOutcome, Seeds, Size};
use super::spread::spread;
use super::world::World;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of demand that are kept from one candidate to the next, about: a thousand days.
const KEPT_BYTES: usize = 256 << 20;

/// Periods with fewer requests are simulated in whole: what a chart takes would not be won back.
const FEW_REQUESTS: f64 = 30_000.0;

/// Judges periods of a world without simulating every request.
#[derive(Debug)]
pub struct Hybrid<'a> {
    world: &'a World<'a>,
    depth: Depth,
    kept: BTreeMap<(Seeds, u32), Arc<Kept>>,
    kept_bytes: usize,
}

/// Whether the periods of a world can be judged without simulating every request.
#[must_use]
pub fn covers(world: &World<'_>) -> bool {
    world.retry().is_none()
        && judge::is_screenable(&world.estimate(Size { min: 1, max: 2 }))
        && world.binned(Seeds::Search, 0).is_some_and(|demand| is_worth_it(&demand))
}

fn is_worth_it(demand: &Binned) -> bool {
    demand.expected_requests() >= FEW_REQUESTS
}

/// The demand of a period, drawn and summed up.
#[derive(Debug)]
struct Kept {
    demand: Binned,
    profile: Profile,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.profile.bytes() + self.demand.bytes()
    }
}

impl<'a> Hybrid<'a> {
    /// For the promise of the world's plan.
    #[must_use]
    pub fn new(world: &'a World<'a>, depth: Depth) -> Self {
        Self { world, depth, kept: BTreeMap::new(), kept_bytes: 0 }
    }

    /// How much is to be found out about each period from now on.
    pub fn set_depth(&mut self, depth: Depth) {
        self.depth = depth;
    }

    /// Draws and sums up the demand of periods, for all candidates that are going to be judged in them; the work is spread over threads.
    pub fn prepare(&mut self, seeds: Seeds, periods: &[u32], threads: usize) {
        let missing: Vec<u32> = periods.iter().copied().filter(|&p| !self.kept.contains_key(&(seeds, p))).collect();
        let made = spread(threads, &missing, &|&period| self.make(seeds, period));
        for (period, made) in missing.into_iter().zip(made) {
            if let Some(made) = made {
                self.keep(seeds, period, Arc::new(made));
            }
        }
    }

    fn make(&self, seeds: Seeds, period: u32) -> Option<Kept> {
        let demand = self.world.binned(seeds, period).filter(is_worth_it)?;
        let profile = Profile::of(&demand, self.world.chart(seeds, period, &demand).rows());
        Some(Kept { demand, profile })
    }

    /// Keeps a period while there is room; those of older rounds of certification make it.
    fn keep(&mut self, seeds: Seeds, period: u32, made: Arc<Kept>) {
        if self.kept_bytes + made.bytes() > KEPT_BYTES {
            self.kept.retain(|(family, _), _| *family == seeds || *family == Seeds::Search);
            self.kept_bytes = self.kept.values().map(|kept| kept.bytes()).sum();
        }
        if self.kept_bytes + made.bytes() <= KEPT_BYTES {
            self.kept_bytes += made.bytes();
            self.kept.insert((seeds, period), made);
        }
    }

    /// The outcome of a period, without its cost, and how many requests were simulated for it. `None` where only a full simulation can tell:
    /// the demand is not drawn bin by bin, or the policy looks at more than the tokens offered.
    #[must_use]
    pub fn judge(&self, size: Size, seeds: Seeds, period: u32) -> Option<(PeriodOutcome, u64)> {
        let world = self.world;
        let draw = world.draw(seeds, period);
        let spec = world.sized(draw, size);
        // Those who come back are load that the demand does not tell.
        if world.retry().is_some() || !judge::is_screenable(&spec) {
            return None;
        }
        let kept = match self.kept.get(&(seeds, period)) {
            Some(kept) => Arc::clone(kept),
            None => Arc::new(self.make(seeds, period)?),
        };
        let (demand, profile) = (&kept.demand, &kept.profile);
        let chart = self.world.chart(seeds, period, demand);
        let input = PeriodInput {
            spec: &spec,
            seed: world.period_seed(seeds, period),
            demand,
            profile,
            bounds: draw.bounds,
            patience: world.patience(),
            promised: world.plan.promise.requests.0,
        };
        judge(&input, self.depth, chart)
    }
}

#[cfg(test)]
mod tests;
