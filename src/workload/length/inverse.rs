//! Numerical quantiles: a table of brackets over normal scores, then a root search inside the bracket.

use crate::base::stats::special::normal_cdf;

/// Normal scores of the table: -SPAN to SPAN. Φ(-8.25) = 8e-17, below the resolution of a drawn number.
const SPAN: f64 = 8.25;
/// Distance of two scores of the table.
const STEP: f64 = 0.0625;
/// Bracket width at which a quantile is exact enough, relative to 1 + x: far below the rounding to whole tokens.
const TOLERANCE: f64 = 1e-7;

/// Quantiles of a distribution that is known by its distribution function only.
#[derive(Clone, Debug, PartialEq)]
pub struct Brackets {
    /// At i: the quantile at probability Φ(-SPAN + i * STEP). Neither coordinate falls.
    nodes: Vec<Point>,
}

/// A point of a distribution function.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    x: f64,
    p: f64,
}

impl Brackets {
    /// The table of the distribution function `cdf` on `x >= 0`. `guess`: any positive point of the distribution's own scale.
    pub fn new(cdf: impl Fn(f64) -> f64, guess: f64) -> Self {
        let point = |x| Point { x, p: cdf(x) };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive constant")]
        let count = (2.0 * SPAN / STEP) as usize + 1;
        let mut nodes = Vec::with_capacity(count);
        let mut low = point(0.0);
        for i in 0..count {
            let p = normal_cdf(i as f64 * STEP - SPAN);
            // The quantile before is a lower bound; double the distance until it is passed. 2^200 scales cover every f64 of use.
            let mut width = guess.max(low.x * 0.01);
            let mut high = point(low.x + width);
            for _ in 0..200 {
                if high.p >= p {
                    break;
                }
                width *= 2.0;
                (low, high) = (high, point(high.x + width));
            }
            low = search(&cdf, p, low, high);
            nodes.push(low);
        }
        Self { nodes }
    }

    /// The quantile at probability Φ(`score`); scores beyond ±8.25 give the quantile there.
    pub fn at_score(&self, cdf: impl Fn(f64) -> f64, score: f64) -> f64 {
        let score = score.clamp(-SPAN, SPAN);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the table")]
        let node = (((score + SPAN) / STEP) as usize).min(self.nodes.len() - 2);
        search(&cdf, normal_cdf(score), self.nodes[node], self.nodes[node + 1]).x
    }
}

/// The smallest x between `low` and `high` with `cdf(x) >= p`, from above: false position (Illinois), and a halving whenever three
/// steps have not halved the bracket, so that jumps are found too.
fn search(cdf: &impl Fn(f64) -> f64, p: f64, mut low: Point, mut high: Point) -> Point {
    if low.p >= p {
        return low;
    }
    let (mut below, mut above) = (low.p - p, high.p - p);
    let (mut width, mut steps) = (high.x - low.x, 0);
    for _ in 0..200 {
        let bracket = high.x - low.x;
        if bracket <= TOLERANCE * (1.0 + high.x) {
            break;
        }
        steps += 1;
        let halve = steps % 3 == 0 && bracket > 0.5 * std::mem::replace(&mut width, bracket);
        // A hair beyond the secant, so that the bracket closes from both sides.
        let nudge = 0.25 * TOLERANCE * (1.0 + high.x);
        let secant = low.x - below * bracket / (above - below);
        let secant = if -below < above { secant + nudge } else { secant - nudge };
        let x = if halve || !(secant > low.x && secant < high.x) { f64::midpoint(low.x, high.x) } else { secant };
        let point = Point { x, p: cdf(x) };
        let excess = point.p - p;
        if excess >= 0.0 {
            (high, above) = (point, excess);
            below *= 0.5;
        } else {
            (low, below) = (point, excess);
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
            assert!((found - exact).abs() < 3e-7 * (1.0 + exact), "{z}: {found} instead of {exact}");
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
