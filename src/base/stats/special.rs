//! Special functions: the regularised incomplete gamma function and the normal distribution function.

use super::interval::ln_gamma;

/// P(a, x) = γ(a, x) / Γ(a), the distribution function of a gamma variable of shape `a` > 0 and scale 1; 0 for x <= 0.
///
/// Series below a + 1, Lentz's continued fraction above (Abramowitz and Stegun 6.5.29, 6.5.31).
#[must_use]
pub fn gamma_p(a: f64, x: f64) -> f64 {
    gamma_p_scaled(a, ln_gamma(a), x)
}

/// [`gamma_p`] with `ln_gamma_a` = ln Γ(a) already known.
#[must_use]
pub fn gamma_p_scaled(a: f64, ln_gamma_a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x.is_infinite() {
        return 1.0;
    }
    if a > 1e5 {
        // Wilson and Hilferty 1931: the cube root of a gamma variable is nearly normal; here to 1e-6, where the series would be slow.
        return normal_cdf(3.0 * a.sqrt() * ((x / a).cbrt() - 1.0 + 1.0 / (9.0 * a)));
    }
    let front = (a * x.ln() - x - ln_gamma_a).exp();
    // About 8 steps per root of a are needed, at most 2,600; the bound only stops a NaN.
    let steps = 10_000;
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        for _ in 0..steps {
            n += 1.0;
            term *= x / n;
            sum += term;
            if term < sum * 1e-16 {
                break;
            }
        }
        return (front * sum).min(1.0);
    }
    let tiny = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for i in 1..steps {
        let i = f64::from(i);
        let an = -i * (i - a);
        b += 2.0;
        d = an * d + b;
        d = 1.0 / if d.abs() < tiny { tiny } else { d };
        c = b + an / c;
        c = if c.abs() < tiny { tiny } else { c };
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    (1.0 - front * fraction).clamp(0.0, 1.0)
}

/// Φ(z), the standard normal distribution function, absolute error below 1e-14 (Hart 1968, algorithm 5666;
/// Laplace's continued fraction in the far tails).
#[must_use]
pub fn normal_cdf(z: f64) -> f64 {
    let x = z.abs();
    let tail = if x > 37.0 {
        0.0
    } else if x < 7.071_067_811_865_47 {
        let top = [
            3.526_249_659_989_11e-2,
            0.700_383_064_443_688,
            6.373_962_203_531_65,
            33.912_866_078_383,
            112.079_291_497_871,
            221.213_596_169_931,
            220.206_867_912_376,
        ];
        let bottom = [
            8.838_834_764_831_84e-2,
            1.755_667_163_182_64,
            16.064_177_579_207,
            86.780_732_202_946_1,
            296.564_248_779_674,
            637.333_633_378_831,
            793.826_512_519_948,
            440.413_735_824_752,
        ];
        let horner = |terms: &[f64]| terms.iter().fold(0.0, |sum, term| sum * x + term);
        (-0.5 * x * x).exp() * horner(&top) / horner(&bottom)
    } else {
        // Laplace's continued fraction x + 1/(x + 2/(x + 3/(x + ...))).
        let fraction = (1..=30_u8).rev().fold(x, |rest, k| x + f64::from(k) / rest);
        (-0.5 * x * x).exp() / fraction / std::f64::consts::TAU.sqrt()
    };
    if z > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P(1, x) = 1 - e^-x; P(2, x) = 1 - (1 + x) e^-x; P(1/2, x) = erf(sqrt x), which is a normal probability.
    #[test]
    fn the_incomplete_gamma_function_agrees_with_its_closed_forms() {
        for i in 1..200 {
            let x = f64::from(i) * 0.1;
            assert!((gamma_p(1.0, x) - (1.0 - (-x).exp())).abs() < 1e-14, "{x}");
            assert!((gamma_p(2.0, x) - (1.0 - (1.0 + x) * (-x).exp())).abs() < 1e-14, "{x}");
            let two_sided = 2.0 * normal_cdf((2.0 * x).sqrt()) - 1.0;
            assert!((gamma_p(0.5, x) - two_sided).abs() < 1e-13, "{x}: {} {two_sided}", gamma_p(0.5, x));
        }
    }

    /// forall a: P(a, .) grows from 0 to 1, also where the two expansions meet
    #[test]
    fn the_incomplete_gamma_function_grows_from_zero_to_one() {
        for a in [0.0025, 0.3, 1.0, 7.5, 400.0, 9_000.0] {
            let mut last = 0.0;
            for i in 0..400 {
                let p = gamma_p(a, a * f64::from(i) / 100.0);
                assert!(p >= last - 1e-13 && p <= 1.0, "a = {a}, step {i}: {p} after {last}");
                last = p;
            }
            assert!(gamma_p(a, a + 40.0 * a.sqrt() + 60.0) > 1.0 - 1e-12, "{a}");
        }
    }

    #[test]
    fn the_two_ways_to_a_large_shape_meet() {
        for z in [-4.0, -1.0, 0.0, 0.7, 3.0] {
            let (below, above) = (99_999.0_f64, 100_001.0_f64);
            let (exact, near) = (gamma_p(below, below + z * below.sqrt()), gamma_p(above, above + z * above.sqrt()));
            assert!((exact - near).abs() < 2e-6, "{z}: {exact} and {near}");
        }
    }

    #[test]
    fn the_normal_distribution_has_its_known_quantiles() {
        for (z, p) in [(0.0, 0.5), (1.959_963_984_540_054, 0.975), (-2.326_347_874_040_841, 0.01), (-8.0, 6.220_960_574_271_785e-16)] {
            assert!((normal_cdf(z) - p).abs() < 1e-13 * (1.0 + p) && (normal_cdf(z) / p - 1.0).abs() < 1e-9, "{z}: {}", normal_cdf(z));
        }
    }
}
