//! How sure one may be: quantiles of the normal, Student's t and beta distributions, and intervals for a share of successes.

/// ln Γ(x) for x > 0, relative error below 1e-14 (Lanczos 1964, g = 7, n = 9); NaN for x <= 0.
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    const G: f64 = 7.0;
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x.is_nan() || x <= 0.0 {
        return f64::NAN;
    }
    if x < 0.5 {
        // Γ(x) = Γ(x + 1) / x keeps the series in its good range.
        return ln_gamma(x + 1.0) - x.ln();
    }
    let x = x - 1.0;
    let mut sum = 0.999_999_999_999_809_9;
    for (i, term) in TERMS.iter().enumerate() {
        sum += term / (x + 1.0 + i as f64);
    }
    let t = x + G + 0.5;
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The regularised incomplete beta function `I_x(a, b)`: the distribution function of Beta(a, b) at `x`.
///
/// `a, b > 0`; `x` is cut to [0, 1]. By Lentz's continued fraction on the side where it converges in `O(sqrt(max(a, b)))` terms
/// (Press et al., Numerical Recipes, 6.4). Returns NaN for arguments out of range.
#[must_use]
pub fn beta_inc(a: f64, b: f64, x: f64) -> f64 {
    if !(a > 0.0 && b > 0.0) || x.is_nan() {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let ln_front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    if x < (a + 1.0) / (a + b + 2.0) { ln_front.exp() * beta_fraction(a, b, x) / a } else { 1.0 - ln_front.exp() * beta_fraction(b, a, 1.0 - x) / b }
}

/// The continued fraction of the incomplete beta function.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const TERMS: u32 = 20_000;
    let away_from_zero = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..=TERMS {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        let factor = d * c;
        h *= factor;
        if (factor - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h
}

/// The `p` quantile of Beta(a, b), by bisection to the last bit that matters (1e-15). `p` in [0, 1], `a, b > 0`; NaN otherwise.
#[must_use]
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    if !((0.0..=1.0).contains(&p) && a > 0.0 && b > 0.0) {
        return f64::NAN;
    }
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    // Each turn halves the bracket: 60 turns reach 1e-18.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if beta_inc(a, b, middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Lower Clopper-Pearson bound on the share of successes after `k` successes in `n` trials: with `confidence` (0 to 1) the true share
/// is at least this. `Beta^-1(1 - confidence; k, n - k + 1)`; zero for `k = 0` or `n = 0`; `k` above `n` counts as `n`.
#[must_use]
pub fn clopper_pearson_lower(k: u64, n: u64, confidence: f64) -> f64 {
    let k = k.min(n);
    if k == 0 {
        return 0.0;
    }
    let delta = (1.0 - confidence).clamp(0.0, 1.0);
    if k == n {
        // All succeeded: delta^(1/n), exactly.
        return delta.powf(1.0 / n as f64);
    }
    beta_quantile(delta, k as f64, (n - k + 1) as f64)
}

/// Upper Clopper-Pearson bound: with `confidence` the true share is at most this. One for `k = n` or `n = 0`.
#[must_use]
pub fn clopper_pearson_upper(k: u64, n: u64, confidence: f64) -> f64 {
    1.0 - clopper_pearson_lower(n.saturating_sub(k), n, confidence)
}

/// The smallest number of trials of which all but `failures` succeed that shows a share of at least `share` with `confidence`.
///
/// Without failures `ceil(ln(1 - confidence) / ln(share))`. `None` if more than `limit` trials were needed (`share = 1`, for example).
#[must_use]
pub fn trials_to_show(share: f64, confidence: f64, failures: u64, limit: u64) -> Option<u64> {
    let shows = |n: u64| clopper_pearson_lower(n - failures, n, confidence) >= share;
    let (mut low, mut high) = (failures, failures + 1);
    // More trials with the same failures only raise the bound: double, then bisect.
    while !shows(high) {
        low = high;
        high = high.saturating_mul(2);
        if low > limit {
            return None;
        }
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if shows(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    (high <= limit).then_some(high)
}

/// Wilson's two-sided interval for a share after `k` successes in `n` trials: for display, not for a promise. (0, 1) for `n = 0`.
#[must_use]
pub fn wilson(k: u64, n: u64, confidence: f64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (n as f64, k.min(n) as f64 / n as f64);
    let z = normal_quantile(f64::midpoint(1.0, confidence));
    let scale = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / scale;
    let half = z / scale * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// The `p` quantile of the standard normal distribution: Wichura's AS 241 (`PPND16`), relative error about 1e-16.
///
/// Minus infinity at 0, infinity at 1, NaN outside [0, 1].
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p == 0.0 || p == 1.0 {
        return if p == 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(&CENTRE, 0.180_625 - q * q);
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let tail = if r <= 5.0 { ratio(&SHOULDER, r - 1.6) } else { ratio(&TAIL, r - 5.0) };
    if q < 0.0 { -tail } else { tail }
}

/// Two polynomials, lowest power first: numerator and denominator of a rational approximation.
type Rational = [[f64; 8]; 2];

fn ratio(of: &Rational, x: f64) -> f64 {
    let [above, below] = of.map(|coefficients| coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c));
    above / below
}

const CENTRE: Rational = [
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ],
];

const SHOULDER: Rational = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];

const TAIL: Rational = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        0.599_832_206_555_887_9,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

/// The `p` quantile of Student's t distribution with `df > 0` degrees of freedom, through the beta distribution. NaN outside [0, 1].
#[must_use]
pub fn student_t_quantile(p: f64, df: f64) -> f64 {
    if !((0.0..=1.0).contains(&p) && df > 0.0) {
        return f64::NAN;
    }
    if p == 0.5 {
        return 0.0;
    }
    // P(|T| > t) = I_x(df/2, 1/2) with x = df / (df + t^2).
    let x = beta_quantile(2.0 * p.min(1.0 - p), df / 2.0, 0.5);
    let t = (df * (1.0 - x) / x).sqrt();
    if p < 0.5 { -t } else { t }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "found {found}, expected {expected}");
    }

    #[test]
    fn ln_gamma_is_the_factorial_and_the_root_of_pi() {
        let mut factorial = 1.0_f64;
        for n in 1..20_u32 {
            assert!((ln_gamma(f64::from(n)) - factorial.ln()).abs() < 1e-12 * factorial.ln().max(1.0), "{n}");
            factorial *= f64::from(n);
        }
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-14);
        assert!((ln_gamma(0.01) - 4.599_479_878_042_021).abs() < 1e-12);
    }

    #[test]
    fn gamma_and_beta_match_known_values() {
        near(ln_gamma(10.0), 362_880.0_f64.ln(), 1e-13);
        near(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln(), 1e-13);
        near(beta_inc(2.0, 3.0, 0.4), 0.5248, 1e-12);
        near(beta_inc(1.0, 1.0, 0.3), 0.3, 1e-14);
        near(beta_inc(0.5, 0.5, 0.5), 0.5, 1e-13);
    }

    /// Source: tables of the normal and t distributions.
    #[test]
    fn quantiles_match_tables() {
        for (p, z) in [(0.975, 1.959_963_984_540_054), (0.5, 0.0), (0.05, -1.644_853_626_951_472_2), (1e-9, -5.997_807_015_008_182)] {
            near(normal_quantile(p), z, 1e-12);
        }
        for (p, df, t) in [(0.975, 1.0, 12.706_204_736_432_1), (0.975, 10.0, 2.228_138_851_964_94), (0.95, 30.0, 1.697_260_886_593_96)] {
            near(student_t_quantile(p, df), t, 1e-9);
            near(student_t_quantile(1.0 - p, df), -t, 1e-9);
        }
        assert!(normal_quantile(1.1).is_nan() && student_t_quantile(0.5, 0.0).is_nan());
    }

    /// 59 of 59 and 299 of 299 are the textbook sizes without failures; with failures the pass marks at 95 % and 95 % are 292 of 300,
    /// 962 of 1,000, 4,776 of 5,000 and 19,051 of 20,000.
    #[test]
    fn clopper_pearson_has_the_textbook_pass_marks() {
        assert!(clopper_pearson_lower(59, 59, 0.95) >= 0.95 && clopper_pearson_lower(58, 58, 0.95) < 0.95);
        assert!(clopper_pearson_lower(299, 299, 0.95) >= 0.99 && clopper_pearson_lower(298, 298, 0.95) < 0.99);
        for (k, n) in [(292, 300), (962, 1000), (4776, 5000), (19_051, 20_000)] {
            assert!(clopper_pearson_lower(k, n, 0.95) >= 0.95, "{k} of {n}");
            assert!(clopper_pearson_lower(k - 1, n, 0.95) < 0.95, "{} of {n}", k - 1);
        }
        near(clopper_pearson_upper(0, 20, 0.95), 1.0 - 0.05_f64.powf(1.0 / 20.0), 1e-12);
        near(clopper_pearson_lower(0, 10, 0.95), 0.0, 0.0);
        near(clopper_pearson_upper(10, 10, 0.95), 1.0, 0.0);
        near(clopper_pearson_upper(0, 0, 0.95), 1.0, 0.0);
    }

    #[test]
    fn trials_needed_without_and_with_failures() {
        assert_eq!(trials_to_show(0.95, 0.95, 0, 1_000), Some(59));
        assert_eq!(trials_to_show(0.99, 0.95, 0, 1_000), Some(299));
        assert_eq!(trials_to_show(0.90, 0.90, 0, 1_000), Some(22));
        assert_eq!(trials_to_show(0.90, 0.90, 1, 1_000), Some(38));
        assert_eq!(trials_to_show(1.0, 0.90, 0, 1_000), None);
    }

    #[test]
    fn wilson_contains_the_share_and_stays_in_range() {
        let (low, high) = wilson(8, 10, 0.95);
        near(low, 0.490_162_47, 1e-6);
        near(high, 0.943_317_8, 1e-6);
        assert_eq!(wilson(0, 0, 0.95), (0.0, 1.0));
    }

    proptest! {
        /// forall p, a, b: I(beta_quantile(p)) == p
        #[test]
        fn beta_quantile_inverts_the_distribution(p in 0.001_f64..0.999, a in 0.3_f64..300.0, b in 0.3_f64..300.0) {
            prop_assert!((beta_inc(a, b, beta_quantile(p, a, b)) - p).abs() < 1e-9);
        }

        /// forall k <= n: lower <= k/n <= upper, and one more success never lowers the bound.
        #[test]
        fn bounds_bracket_the_share(n in 1_u64..2_000, share in 0.0_f64..=1.0, confidence in 0.6_f64..0.999) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of n")]
            let k = ((n as f64) * share) as u64;
            let low = clopper_pearson_lower(k, n, confidence);
            prop_assert!(low <= k as f64 / n as f64 + 1e-12);
            prop_assert!(clopper_pearson_upper(k, n, confidence) + 1e-12 >= k as f64 / n as f64);
            prop_assert!(clopper_pearson_lower(k + 1, n, confidence) >= low);
        }
    }
}
