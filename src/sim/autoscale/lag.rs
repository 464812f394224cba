//! Scale-up delays: one draw.

use crate::base::rng::Stream;
use crate::base::time::Nanos;
use crate::scenario::autoscaler::Lag;
use rand::Rng;
use rand::distr::Distribution;
use rand_distr::StandardNormal;

/// One scale-up delay.
pub(super) fn draw(lag: &Lag, stream: &mut Stream) -> Nanos {
    match lag {
        Lag::Fixed(span) => span.nanos(),
        Lag::Lognormal { median, p95 } => {
            // The 95 % quantile of the standard normal is 1.6449.
            let sigma = (p95.as_secs_f64() / median.as_secs_f64().max(1e-9)).max(1.0).ln() / 1.644_853_626_951_472_7;
            let z: f64 = StandardNormal.sample(stream);
            Nanos::from_secs_f64(median.as_secs_f64() * (sigma * z).exp())
        }
        Lag::Empirical(spans) => {
            let word = u128::from(stream.next_u64());
            usize::try_from((word * spans.len() as u128) >> 64).ok().and_then(|i| spans.get(i)).map_or(Nanos::ZERO, |s| s.nanos())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::base::units::TimeSpan;

    /// Half of the lags are below the median and one in twenty above the p95; 10,000 draws, four standard errors.
    #[test]
    fn lognormal_lags_have_the_quantiles_asked_for() {
        let lag = Lag::Lognormal { median: TimeSpan::secs(300), p95: TimeSpan::secs(900) };
        let draws: Vec<Nanos> = (0..10_000).map(|i| draw(&lag, &mut Seed(5).keyed("lag", i))).collect();
        let above = |s| draws.iter().filter(|d| **d > Nanos::from_secs(s)).count() as f64 / 1e4;
        assert!((above(300) - 0.5).abs() < 0.02 && (above(900) - 0.05).abs() < 0.009, "{} {}", above(300), above(900));
    }
}
