//! `PeriodInput`: everything that the judgement of a period at a size depends on.

use super::profile::Profile;
use crate::base::rng::Seed;
use crate::planner::binned::Binned;
use crate::planner::bounds::Bounds;
use crate::planner::search::PARTS;
use crate::scenario::endpoint::EndpointSpec;
use crate::sim::virtual_time::Patience;

/// Everything about a period and a size that a judgement depends on.
#[derive(Clone, Copy, Debug)]
pub struct PeriodInput<'a> {
    /// The endpoint of the period's draw at the size.
    pub spec: &'a EndpointSpec,
    /// Of the period: scale-up delays and routing.
    pub seed: Seed,
    /// Its requests.
    pub demand: &'a Binned,
    /// Its sums.
    pub profile: &'a Profile,
    /// What a good request is.
    pub bounds: Bounds,
    /// When the client gives up.
    pub patience: Patience,
    /// Share of requests that must be good.
    pub promised: f64,
}

impl PeriodInput<'_> {
    /// The part of the period in which an instant of the common time axis lies.
    #[must_use]
    pub fn part(&self, at: u64) -> usize {
        let length = self.demand.end() - self.demand.begin();
        let part = u128::from(at.saturating_sub(self.demand.begin())) * PARTS as u128 / u128::from(length.max(1));
        usize::try_from(part).unwrap_or(usize::MAX).min(PARTS - 1)
    }

    /// Requests that may be missed.
    pub(super) fn allowance(&self, total: u64) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
        let mut allowed = (total as f64 * (1.0 - self.promised)) as u64;
        // The very comparison that the promise makes, whatever rounding did above.
        while allowed < total && (total - allowed - 1) as f64 >= self.promised * total as f64 {
            allowed += 1;
        }
        while allowed > 0 && ((total - allowed) as f64) < self.promised * total as f64 {
            allowed -= 1;
        }
        allowed
    }
}
