//! Distributions of output lengths whose moments are known exactly, for oracles.

use plimsoll::base::rng::Stream;
use rand::RngExt;

/// A distribution on 1, 2, 3, ...
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lengths {
    /// Always the same.
    Fixed(u32),
    /// Geometric with this mean.
    Geometric(f64),
    /// The first with this probability, else the second.
    Either(f64, u32, u32),
    /// Pareto with this index between the two bounds, rounded up.
    Pareto(f64, f64, f64),
}

impl Lengths {
    /// The four shapes with a mean near 2,000: squared coefficients of variation of 0, 1, 2.6 and 2.4.
    pub(crate) const SHAPES: [(&'static str, Self); 4] = [
        ("deterministic", Self::Fixed(2000)),
        ("geometric", Self::Geometric(2000.0)),
        ("bimodal", Self::Either(0.9, 400, 16_400)),
        ("Pareto 1.8", Self::Pareto(1.8, 950.0, 100_000.0)),
    ];

    /// One draw.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths of a test are small and positive")]
    pub(crate) fn draw(self, stream: &mut Stream) -> u32 {
        let u = 1.0 - stream.random::<f64>();
        match self {
            Self::Fixed(n) => n,
            Self::Geometric(mean) => (u.ln() / (1.0 - 1.0 / mean).ln()).ceil().max(1.0) as u32,
            Self::Either(p, one, other) => {
                if u <= p {
                    one
                } else {
                    other
                }
            }
            Self::Pareto(index, low, high) => {
                let kept = (low / high).powf(index);
                (low * (kept + u * (1.0 - kept)).powf(-1.0 / index)).ceil() as u32
            }
        }
    }

    /// The mean and the mean square, exact.
    pub(crate) fn moments(self) -> (f64, f64) {
        match self {
            Self::Fixed(n) => (f64::from(n), f64::from(n).powi(2)),
            Self::Geometric(mean) => (mean, mean * (2.0 * mean - 1.0)),
            Self::Either(p, one, other) => {
                let of = |power| p * f64::from(one).powi(power) + (1.0 - p) * f64::from(other).powi(power);
                (of(1), of(2))
            }
            Self::Pareto(index, low, high) => {
                // E[N] = sum over k >= 1 of P(N >= k), E[N^2] = sum of (2 k - 1) P(N >= k); N >= k when the Pareto is above k - 1.
                let kept = (low / high).powf(index);
                let above = |x: f64| if x < low { 1.0 } else { (((low / x).powf(index) - kept) / (1.0 - kept)).max(0.0) };
                let (mut mean, mut square, mut k) = (0.0, 0.0, 1.0);
                while k <= high.ceil() {
                    let p = above(k - 1.0);
                    mean += p;
                    square += (2.0 * k - 1.0) * p;
                    k += 1.0;
                }
                (mean, square)
            }
        }
    }
}
