//! Figures as a person reads them: thousands separators, three significant digits, always a unit. The only place that rounds.

use crate::measure::summary::Distribution;

/// Whole numbers with separators: `1,234,567`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits, whole digits never cut: `0.0123`, `1.23`, `12.3`, `123`, `1,234`. What is not a number prints `n/a`.
#[must_use]
pub fn real(x: f64) -> String {
    if !x.is_finite() {
        return "n/a".to_owned();
    }
    let size = x.abs();
    if size >= 99.95 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; the cast saturates")]
        let whole = count(size.round() as u64);
        return if x < 0.0 { format!("-{whole}") } else { whole };
    }
    let decimals = match size {
        0.0 => return "0".to_owned(),
        s if s >= 9.995 => 1,
        s if s >= 0.9995 => 2,
        s if s >= 0.099_95 => 3,
        s if s >= 0.009_995 => 4,
        s if s >= 0.000_999_5 => 5,
        _ => return format!("{x:.2e}"),
    };
    format!("{x:.decimals$}")
}

/// Milliseconds; from ten seconds on in seconds: `0.812 ms`, `45.6 ms`, `1,240 ms`, `12.4 s`.
#[must_use]
pub fn millis(ms: f64) -> String {
    if ms >= 9_999.5 { format!("{} s", real(ms / 1000.0)) } else { format!("{} ms", real(ms)) }
}

/// Seconds as a span: `450 ms`, `45 s`, `5 min`, `1.5 h`, `14 d`; trailing zeros are dropped.
#[must_use]
pub fn span(s: f64) -> String {
    let (value, unit) = match s {
        s if !s.is_finite() => return "n/a".to_owned(),
        s if s < 1.0 && s > 0.0 => (s * 1000.0, "ms"),
        s if s < 300.0 => (s, "s"),
        s if s < 7_200.0 => (s / 60.0, "min"),
        s if s < 172_800.0 => (s / 3600.0, "h"),
        s => (s / 86_400.0, "d"),
    };
    format!("{} {unit}", trimmed(&real(value)))
}

/// A share from 0 to 1 as a percentage: `99.2%`. Only all is 100% and only nothing is 0%.
#[must_use]
pub fn share(x: f64) -> String {
    if !x.is_finite() {
        return "n/a".to_owned();
    }
    let p = x * 100.0;
    // More digits near 100, where the last nine is what matters, and cut there, not rounded: "almost all" must not become "all".
    match p {
        p if p <= 0.0 => "0%".to_owned(),
        p if p < 1.0 => format!("{}%", trimmed(&real(p))),
        p if p < 10.0 => format!("{}%", trimmed(&format!("{p:.2}"))),
        p if p < 99.0 => format!("{}%", trimmed(&format!("{p:.1}"))),
        p if p < 99.999 => format!("{}%", trimmed(&format!("{:.3}", (p * 1000.0 + 1e-6).floor() / 1000.0))),
        p if p < 100.0 => "> 99.999%".to_owned(),
        _ => "100%".to_owned(),
    }
}

/// An amount of money: with two decimals below a thousand, whole from there on: `71.40 USD`, `51,408 USD`.
#[must_use]
pub fn money(amount: f64, currency: &str) -> String {
    if !amount.is_finite() {
        return "n/a".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; the cast saturates")]
    let cents = (amount.abs() * 100.0).round() as u64;
    let sign = if amount < 0.0 && cents > 0 { "-" } else { "" };
    if cents >= 100_000 {
        return format!("{sign}{} {currency}", count((cents + 50) / 100));
    }
    format!("{sign}{}.{:02} {currency}", count(cents / 100), cents % 100)
}

/// Bytes of memory in GiB.
#[must_use]
pub fn gibibytes(bytes: u64) -> String {
    format!("{} GiB", real(bytes as f64 / 1_073_741_824.0))
}

/// A percentile in milliseconds, or how many values it would take: `n/a (need >= 1,000)`.
#[must_use]
pub fn percentile(distribution: &Distribution, name: &str) -> String {
    match distribution.percentiles.iter().find(|p| p.name == name) {
        Some(p) => p.value_ms.map_or_else(|| format!("n/a (need >= {})", count(p.needed)), millis),
        None => "n/a".to_owned(),
    }
}

/// `1 request`, `2 requests`.
#[must_use]
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Drops trailing zeros after a decimal point.
fn trimmed(text: &str) -> String {
    if text.contains('.') && !text.contains('e') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_have_separators_three_digits_and_units() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), text);
        }
        for (x, text) in [
            (0.0, "0"),
            (0.012_34, "0.0123"),
            (1.0, "1.00"),
            (9.996, "10.0"),
            (99.96, "100"),
            (1234.4, "1,234"),
            (-1234.0, "-1,234"),
            (f64::NAN, "n/a"),
        ] {
            assert_eq!(real(x), text);
        }
        for (ms, text) in [(0.812, "0.812 ms"), (812.3, "812 ms"), (1240.0, "1,240 ms"), (12_400.0, "12.4 s")] {
            assert_eq!(millis(ms), text);
        }
        for (s, text) in
            [(0.0, "0 s"), (0.45, "450 ms"), (45.0, "45 s"), (300.0, "5 min"), (5_400.0, "90 min"), (86_400.0, "24 h"), (1_209_600.0, "14 d")]
        {
            assert_eq!(span(s), text);
        }
        assert_eq!(money(71.4, "USD"), "71.40 USD");
        assert_eq!(money(1234.5, "USD"), "1,235 USD");
        assert_eq!(money(-0.001, "USD"), "0.00 USD");
    }

    #[test]
    fn almost_all_is_not_all() {
        for (x, text) in
            [(1.0, "100%"), (0.9999, "99.99%"), (0.999_999_9, "> 99.999%"), (0.992, "99.2%"), (0.5, "50%"), (0.0, "0%"), (0.00012, "0.012%")]
        {
            assert_eq!(share(x), text);
        }
    }

    proptest! {
        /// forall x: what is printed, read back, is x to three digits
        #[test]
        fn rounding_keeps_three_digits(x in 1e-3_f64..1e9) {
            let back: f64 = real(x).replace(',', "").parse().unwrap();
            prop_assert!((back - x).abs() <= x * 0.0051, "{x} printed as {}", real(x));
        }

        /// forall x < 1: the share is never printed as 100%
        #[test]
        fn only_all_is_a_hundred_percent(x in 0.0_f64..1.0) {
            prop_assert_ne!(share(x), "100%");
        }
    }
}
