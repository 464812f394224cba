//! Periods judged without simulating every request: a fluid screen says where misses can come from, event simulation looks there.
//!
//! The number of chunks over time follows from the tokens offered alone (`sim::autoscale::path`), so a period at a size is a path of chunks and
//! a path of work. Where the load is light for what serves, the share of requests missed is that of steady load, measured once by event
//! simulation ([`chart`]); where it is not, the very requests that a full simulation would see are simulated ([`window`]). docs/METHOD.md says
//! why this is safe and how it is checked.

pub mod chart;
mod judge;
mod profile;
mod screen;
mod window;

pub use judge::{Depth, PeriodInput, judge};
pub use profile::Profile;

use super::binned::Binned;
use super::search::{PeriodOutcome, Seeds, Size};
use super::spread::spread;
use super::world::World;
use chart::Chart;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Bytes of profiles that are kept from one candidate to the next, about.
const KEPT_BYTES: usize = 192 << 20;

/// Periods with fewer requests are simulated in whole: what a chart takes would not be won back.
const FEW_REQUESTS: f64 = 30_000.0;

/// Judges periods of a world without simulating every request.
#[derive(Debug)]
pub struct Hybrid<'a> {
    world: &'a World<'a>,
    depth: Depth,
    /// One a draw of the world, made when first needed.
    charts: Vec<OnceLock<Chart>>,
    profiles: BTreeMap<(Seeds, u32), Arc<Profile>>,
    kept_bytes: usize,
}

/// Whether the periods of a world can be judged without simulating every request.
#[must_use]
pub fn covers(world: &World<'_>) -> bool {
    judge::is_screenable(&world.estimate(Size { min: 1, max: 2 })) && world.binned(Seeds::Search, 0).is_some()
}

impl<'a> Hybrid<'a> {
    /// For the promise of the world's plan.
    #[must_use]
    pub fn new(world: &'a World<'a>, depth: Depth) -> Self {
        let charts = (0..world.draw_count()).map(|_| OnceLock::new()).collect();
        Self { world, depth, charts, profiles: BTreeMap::new(), kept_bytes: 0 }
    }

    /// How much is to be found out about each period from now on.
    pub fn set_depth(&mut self, depth: Depth) {
        self.depth = depth;
    }

    /// Sums up the demand of periods, for all candidates that are going to be judged in them; the work is spread over threads.
    pub fn prepare(&mut self, seeds: Seeds, periods: &[u32], threads: usize) {
        let missing: Vec<u32> = periods.iter().copied().filter(|&p| !self.profiles.contains_key(&(seeds, p))).collect();
        let made = spread(threads, &missing, &|&period| {
            let demand = self.demand(seeds, period)?;
            Some(Arc::new(Profile::of(&demand, self.chart(seeds, period, &demand).rows())))
        });
        for (period, profile) in missing.into_iter().zip(made) {
            if let Some(profile) = profile {
                self.keep(seeds, period, profile);
            }
        }
    }

    fn demand(&self, seeds: Seeds, period: u32) -> Option<Binned> {
        self.world.binned(seeds, period).filter(|demand| demand.expected_requests() >= FEW_REQUESTS)
    }

    /// Keeps a profile while there is room; those of older rounds of certification make it.
    fn keep(&mut self, seeds: Seeds, period: u32, profile: Arc<Profile>) {
        if self.kept_bytes + profile.bytes() > KEPT_BYTES {
            self.profiles.retain(|(family, _), _| *family == seeds || *family == Seeds::Search);
            self.kept_bytes = self.profiles.values().map(|p| p.bytes()).sum();
        }
        if self.kept_bytes + profile.bytes() <= KEPT_BYTES {
            self.kept_bytes += profile.bytes();
            self.profiles.insert((seeds, period), profile);
        }
    }

    fn chart(&self, seeds: Seeds, period: u32, demand: &Binned) -> &Chart {
        let place = self.world.draw_place(seeds, period);
        self.charts[place].get_or_init(|| {
            let draw = self.world.draw(seeds, period);
            Chart::new(&draw.endpoint, draw.bounds, self.world.patience(), demand, self.world.seed.child("plan-chart", place as u64))
        })
    }

    /// The outcome of a period, without its cost, and how many requests were simulated for it. `None` where only a full simulation can tell:
    /// the demand is not drawn bin by bin, or the policy looks at more than the tokens offered.
    #[must_use]
    pub fn judge(&self, size: Size, seeds: Seeds, period: u32) -> Option<(PeriodOutcome, u64)> {
        let world = self.world;
        let draw = world.draw(seeds, period);
        let spec = world.sized(draw, size);
        if !judge::is_screenable(&spec) {
            return None;
        }
        let demand = self.demand(seeds, period)?;
        let chart = self.chart(seeds, period, &demand);
        let kept = self.profiles.get(&(seeds, period)).cloned();
        let profile = kept.unwrap_or_else(|| Arc::new(Profile::of(&demand, chart.rows())));
        let input = PeriodInput {
            spec: &spec,
            seed: world.period_seed(seeds, period),
            demand: &demand,
            profile: &profile,
            bounds: draw.bounds,
            patience: world.patience(),
            retry: None,
            promised: world.plan.promise.requests.0,
        };
        judge(&input, self.depth, chart)
    }
}

#[cfg(test)]
mod tests;
