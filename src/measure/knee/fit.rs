//! Capacity from steps: a logistic curve of the share of misses over the logarithm of the load, and where it crosses what is allowed.

use crate::base::stats::interval::student_t_quantile;

/// One window as the curve sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Logarithm of the load.
    pub x: f64,
    /// Requests that missed.
    pub missed: f64,
    /// Requests that the objective speaks of.
    pub asked: f64,
    /// Standard error of `missed / asked`.
    pub error: f64,
    /// Degrees of freedom of `error`.
    pub df: f64,
    /// Windows that share this window's random numbers count as one: their weight is divided by how many there are.
    pub shared: f64,
}

/// Where the curve crosses what is allowed. All in logarithms of the load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crossing {
    /// Best estimate.
    pub x: f64,
    /// Lower end of the interval; minus infinity if the slope is not sure.
    pub low: f64,
    /// Upper end; infinity if the slope is not sure.
    pub high: f64,
    /// Slope of the log-odds of a miss over the logarithm of the load.
    pub slope: f64,
}

/// The straight line of log-odds over centred x, with its covariance.
#[derive(Clone, Copy, Debug)]
struct Line {
    centre: f64,
    a: f64,
    b: f64,
    vaa: f64,
    vab: f64,
    vbb: f64,
}

/// Turns of the reweighting; it converges quadratically.
const TURNS: u32 = 60;
/// Degrees of freedom beyond which t is normal.
const MOST_DF: f64 = 200.0;
/// Degrees of freedom that one window is worth, at most.
const WINDOW_DF: f64 = 4.0;
/// Degrees of freedom that the batch means are worth beside the spread between windows.
const TRUST: f64 = 8.0;

/// The interval is this much wider than t alone makes it: a search that ends when its interval looks narrow ends sooner when chance made it so.
/// Calibrated in virtual time on the 400 seeds from 2000 of the open-loop cases of `benches/knee.rs`, not on those that are reported.
const WIDER: f64 = 1.1;

/// Fits `points` (those within `reach` of `near` in x) and crosses `allowed` (0 to 1). `None` with less than two different loads in reach, or
/// when misses do not grow with the load.
///
/// Quasi-binomial logistic regression (McCullagh and Nelder 1989, 4.5) by iteratively reweighted least squares: the effective number of requests
/// of a window is `p (1 - p) / error^2`, pooled over windows as one factor of overdispersion, which is that of autocorrelation. The interval is
/// Fieller's for the x at which `a + b x` equals the allowed log-odds.
#[must_use]
pub fn crossing(points: &[Point], allowed: f64, near: f64, reach: f64, confidence: f64) -> Option<Crossing> {
    let local: Vec<(Point, f64)> =
        points.iter().filter(|p| p.asked > 0.0).map(|p| (*p, kernel((p.x - near) / reach))).filter(|(_, k)| *k > 0.0).collect();
    let first = local.first()?.0.x;
    if local.iter().all(|(p, _)| (p.x - first).abs() < 1e-9) {
        return None;
    }
    let dispersion = overdispersion(&local, allowed);
    let weigh = |(p, k): &(Point, f64)| p.asked * k / (dispersion * p.shared);
    let line = fit(&local, weigh, allowed)?;
    if line.b <= 0.0 {
        return None;
    }
    let spread = lack_of_fit(&local, weigh, &line, allowed);
    // Misses come in runs: a window's batches are worth a few independent ones, however many they are.
    let df = local.iter().map(|(p, k)| p.df.min(WINDOW_DF) * k / p.shared).sum::<f64>().clamp(3.0, MOST_DF);
    Some(fieller(&line, logit(allowed), spread, WIDER * student_t_quantile(0.5 + confidence / 2.0, df)))
}

/// The share of misses that `points` predict at `x`; a sanity check for callers and tests.
#[must_use]
pub fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

/// Tricube (Cleveland 1979).
fn kernel(u: f64) -> f64 {
    if u.abs() >= 1.0 { 0.0 } else { (1.0 - u.abs().powi(3)).powi(3) }
}

/// A touch of prior, so that a window without a miss is not infinitely good: one request that missed as often as is allowed.
fn share(p: &Point, allowed: f64) -> f64 {
    (p.missed + allowed) / (p.asked + 1.0)
}

/// Variance of the share of misses over the one of independent requests, pooled over the windows that have misses; at least 1.
fn overdispersion(local: &[(Point, f64)], allowed: f64) -> f64 {
    let (mut own, mut independent) = (0.0, 0.0);
    for (p, k) in local.iter().filter(|(p, _)| p.missed >= 2.0 && p.error < 1.0) {
        let q = share(p, allowed);
        // Near the crossing counts most: far beyond it misses come in one long run.
        let near = k * (-(logit(q) - logit(allowed)).powi(2) / 4.0).exp();
        own += near * p.asked * p.error * p.error;
        independent += near * q * (1.0 - q);
    }
    if independent > 0.0 { (own / independent).max(1.0) } else { 1.0 }
}

fn fit(local: &[(Point, f64)], weigh: impl Fn(&(Point, f64)) -> f64, allowed: f64) -> Option<Line> {
    let total: f64 = local.iter().map(&weigh).sum();
    let centre = local.iter().map(|l| weigh(l) * l.0.x).sum::<f64>() / total;
    let (mut a, mut b) = (logit(allowed), 0.0);
    for turn in 0..TURNS {
        let (mut s0, mut s1, mut s2, mut r0, mut r1) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for l in local {
            let x = l.0.x - centre;
            let q = 1.0 / (1.0 + (-(a + b * x).clamp(-30.0, 30.0)).exp());
            let n = weigh(l);
            let w = (n * q * (1.0 - q)).max(1e-9);
            let rest = n * (share(&l.0, allowed) - q);
            s0 += w;
            s1 += w * x;
            s2 += w * x * x;
            r0 += rest;
            r1 += rest * x;
        }
        let det = s0 * s2 - s1 * s1;
        if !(det > 0.0 && det.is_finite()) {
            return None;
        }
        // A step of Newton's, no longer than the curve may be trusted.
        let (da, db) = ((s2 * r0 - s1 * r1) / det, (s0 * r1 - s1 * r0) / det);
        let reach = local.iter().map(|l| (da + db * (l.0.x - centre)).abs()).fold(0.0, f64::max);
        let damp = (2.0 / reach).min(1.0);
        (a, b) = (a + damp * da, b + damp * db);
        if reach < 1e-9 || turn + 1 == TURNS {
            return (a.is_finite() && b.is_finite()).then_some(Line { centre, a, b, vaa: s2 / det, vab: -s1 / det, vbb: s0 / det });
        }
    }
    None
}

/// Spread of the windows around the curve beside what their batches promise, shrunk towards 1 while windows are few; at least 1.
fn lack_of_fit(local: &[(Point, f64)], weigh: impl Fn(&(Point, f64)) -> f64, line: &Line, allowed: f64) -> f64 {
    let mut chi = 0.0;
    for l in local {
        let q = 1.0 / (1.0 + (-(line.a + line.b * (l.0.x - line.centre)).clamp(-30.0, 30.0)).exp());
        chi += (weigh(l) * (share(&l.0, allowed) - q).powi(2) / (q * (1.0 - q)).max(1e-9)).min(25.0);
    }
    let df = (local.len() as f64 - 2.0).max(0.0);
    ((TRUST + chi) / (TRUST + df)).max(1.0)
}

fn fieller(line: &Line, level: f64, spread: f64, t: f64) -> Crossing {
    let at = (level - line.a) / line.b;
    // (a + b x - level)^2 <= t^2 Var(a + b x), a quadratic in x.
    let s = t * t * spread;
    let c2 = line.b * line.b - s * line.vbb;
    let c1 = 2.0 * (line.b * (line.a - level) - s * line.vab);
    let c0 = (line.a - level).powi(2) - s * line.vaa;
    let root = c1 * c1 - 4.0 * c2 * c0;
    let (low, high) = if c2 > 0.0 && root >= 0.0 {
        ((-c1 - root.sqrt()) / (2.0 * c2), (-c1 + root.sqrt()) / (2.0 * c2))
    } else {
        (f64::NEG_INFINITY, f64::INFINITY)
    };
    Crossing { x: line.centre + at, low: line.centre + low, high: line.centre + high, slope: line.b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(x: f64, crossing: f64, slope: f64, allowed: f64, asked: f64) -> Point {
        let p = 1.0 / (1.0 + (-(logit(allowed) + slope * (x - crossing))).exp());
        Point { x, missed: p * asked, asked, error: (p * (1.0 - p) / asked).sqrt(), df: 15.0, shared: 1.0 }
    }

    proptest! {
        /// forall slopes and crossings: points on a logistic curve give the crossing back, and the interval holds it
        #[test]
        fn a_noiseless_curve_gives_its_crossing(at in -2.0_f64..5.0, slope in 8.0_f64..60.0, allowed in 0.01_f64..0.3) {
            let points: Vec<Point> = [-0.08, -0.03, 0.01, 0.05].iter().map(|d| exact(at + d, at, slope, allowed, 20_000.0)).collect();
            let found = crossing(&points, allowed, at, 0.3, 0.95).unwrap();
            prop_assert!((found.x - at).abs() < 0.002, "{found:?}");
            prop_assert!(found.low <= at + 0.001 && at - 0.001 <= found.high);
            prop_assert!((found.slope / slope - 1.0).abs() < 0.1);
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_not() {
        let one = exact(0.0, 0.0, 20.0, 0.05, 100.0);
        assert_eq!(crossing(&[one, one], 0.05, 0.0, 0.3, 0.95), None);
        let falling = [Point { missed: 50.0, ..exact(-0.1, 0.0, 20.0, 0.05, 100.0) }, Point { missed: 0.0, ..exact(0.1, 0.0, 20.0, 0.05, 100.0) }];
        assert_eq!(crossing(&falling, 0.05, 0.0, 0.3, 0.95), None);
        assert_eq!(crossing(&[], 0.05, 0.0, 0.3, 0.95), None);
    }
}
