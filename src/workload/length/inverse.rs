//! Numerical quantiles: a table of brackets over normal scores, then a root search inside the bracket.

use super::special::normal_cdf;

/// Normal scores of the table: -SPAN to SPAN. Φ(-8.25) = 8e-17, below the resolution of a drawn number.
const SPAN: f64 = 8.25;
/// Distance of two scores of the table.
const STEP: f64 = 0.125;
/// Bracket width at which a quantile is exact enough, relative to 1 + x: far below the rounding to whole tokens.
const TOLERANCE: f64 = 1e-9;

/// Quantiles of a distribution that is known by its distribution function only.
#[derive(Clone, Debug, PartialEq)]
pub struct Brackets {
    /// Quantile at probability Φ(-SPAN + i * STEP); never falls.
    quantiles: Vec<f64>,
}

impl Brackets {
    /// The table of the distribution function `cdf` on `x >= 0`. `guess`: any positive point of the distribution's own scale.
    pub fn new(cdf: impl Fn(f64) -> f64, guess: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive constant")]
        let nodes = (2.0 * SPAN / STEP) as usize + 1;
        let mut quantiles = Vec::with_capacity(nodes);
        let mut low = 0.0;
        for i in 0..nodes {
            let p = normal_cdf(i as f64 * STEP - SPAN);
            // The quantile before is a lower bound; double the distance until it is passed. 2^200 scales cover every f64 of use.
            let mut width = guess.max(low * 0.01);
            let mut high = low + width;
            for _ in 0..200 {
                if cdf(high) >= p {
                    break;
                }
                low = high;
                width *= 2.0;
                high += width;
            }
            low = search(&cdf, p, low, high);
            quantiles.push(low);
        }
        Self { quantiles }
    }

    /// The quantile at probability Φ(`score`); scores beyond ±8.25 give the quantile there.
    pub fn at_score(&self, cdf: impl Fn(f64) -> f64, score: f64) -> f64 {
        let score = score.clamp(-SPAN, SPAN);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the table")]
        let node = (((score + SPAN) / STEP) as usize).min(self.quantiles.len() - 2);
        let (low, high) = (self.quantiles[node], self.quantiles[node + 1]);
        search(&cdf, normal_cdf(score), low, high)
    }
}

/// The smallest x in `[low, high]` with `cdf(x) >= p`: false position (Illinois), every third step a halving, so that jumps are found too.
fn search(cdf: &impl Fn(f64) -> f64, p: f64, mut low: f64, mut high: f64) -> f64 {
    let (mut below, mut above) = (cdf(low) - p, cdf(high) - p);
    if below >= 0.0 {
        return low;
    }
    for step in 0..200 {
        if high - low <= TOLERANCE * (1.0 + high) {
            break;
        }
        let secant = low - below * (high - low) / (above - below);
        let x = if step % 3 == 2 || !(secant > low && secant < high) { f64::midpoint(low, high) } else { secant };
        let excess = cdf(x) - p;
        if excess >= 0.0 {
            if excess == 0.0 {
                return x;
            }
            (high, above) = (x, excess);
            below *= 0.5;
        } else {
            (low, below) = (x, excess);
            above *= 0.5;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    /// forall z: F(quantile(z)) == Φ(z), here for the exponential distribution, whose quantile is known
    #[test]
    fn quantiles_of_a_known_distribution_are_found() {
        let cdf = |x: f64| -(-x / 300.0).exp_m1();
        let table = Brackets::new(cdf, 1.0);
        for i in -60..=60 {
            let z = f64::from(i) / 10.0 + 0.013;
            let exact = -300.0 * normal_cdf(-z).ln();
            let found = table.at_score(cdf, z);
            assert!((found - exact).abs() < 1e-6 * (1.0 + exact), "{z}: {found} instead of {exact}");
        }
    }

    #[test]
    fn a_jump_gives_the_place_of_the_jump() {
        let cdf = |x: f64| {
            if x < 10.0 {
                0.0
            } else if x < 500.0 {
                0.7
            } else {
                1.0
            }
        };
        let table = Brackets::new(cdf, 10.0);
        for (z, x) in [(-3.0, 10.0), (0.0, 10.0), (0.5, 10.0), (0.53, 500.0), (4.0, 500.0)] {
            assert!((table.at_score(cdf, z) - x).abs() < 1e-5, "{z}: {}", table.at_score(cdf, z));
        }
    }
}
