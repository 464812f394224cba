//! Instants as recordings write them: numbers in a stated unit, or texts of ISO 8601 with or without a zone.

use crate::scenario::load::TimestampUnit;

/// The unit of a numeric timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// As stated by the format or by the user.
    Stated(TimestampUnit),
    /// By its size: what is too large for seconds since 1970 is taken for milliseconds, and so on.
    BySize,
}

/// Nanoseconds from an origin that all timestamps of a file share: 1970 for texts. A text without a zone is UTC.
///
/// `None`: not a timestamp, or more than 292 years from the origin.
pub(super) fn instant(text: &str, unit: Unit) -> Option<i64> {
    let text = text.trim();
    number(text, unit).or_else(|| date(text))
}

/// A decimal number, exact to the nanosecond (a binary fraction would lose the last digits of seconds since 1970).
fn number(text: &str, unit: Unit) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return exponent(text, unit);
    }
    let whole: i128 = whole.parse().ok()?;
    let decimals = digits_of_unit(unit, whole);
    let kept = &fraction[..fraction.len().min(decimals)];
    let part: i128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    let scale = |power: usize| 10_i128.pow(u32::try_from(power).unwrap_or(0));
    let ns = whole.checked_mul(scale(decimals))? + part * scale(decimals - kept.len());
    i64::try_from(if negative { -ns } else { ns }).ok()
}

/// How many decimal digits of the unit are nanoseconds: 9 for seconds, 0 for nanoseconds.
fn digits_of_unit(unit: Unit, whole: i128) -> usize {
    match unit {
        Unit::Stated(TimestampUnit::Seconds) => 9,
        Unit::Stated(TimestampUnit::Milliseconds) => 6,
        Unit::Stated(TimestampUnit::Microseconds) => 3,
        Unit::Stated(TimestampUnit::Nanoseconds) => 0,
        // The year 5138 in seconds is 1e11; the same number of milliseconds is 1973.
        Unit::BySize => match whole {
            0..100_000_000_000 => 9,
            100_000_000_000..100_000_000_000_000 => 6,
            100_000_000_000_000..100_000_000_000_000_000 => 3,
            _ => 0,
        },
    }
}

/// A number such as `1.2e3`, which spreadsheets write.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked one line above")]
fn exponent(text: &str, unit: Unit) -> Option<i64> {
    if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    let power = i32::try_from(digits_of_unit(unit, if value.abs() < 1e30 { value as i128 } else { i128::MAX })).ok()?;
    let ns = value * 10_f64.powi(power);
    (ns.is_finite() && ns.abs() < 9.2e18).then(|| ns.round() as i64)
}

fn date(text: &str) -> Option<i64> {
    // `2024-05-10 00:00:00 UTC` and `... +0000` are what databases print; the parser wants the zone at the seconds.
    let mut text = text.to_owned();
    for suffix in [" UTC", " utc", " GMT"] {
        if text.ends_with(suffix) {
            text.truncate(text.len() - suffix.len());
            text.push('Z');
        }
    }
    let joined = text.replace(" +", "+").replace(" -", "-");
    let ns = match joined.parse::<jiff::Timestamp>() {
        Ok(instant) => instant.as_nanosecond(),
        Err(_) => joined.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_nanosecond(),
    };
    i64::try_from(ns).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: Unit = Unit::Stated(TimestampUnit::Seconds);

    #[test]
    fn texts_with_and_without_zone_and_up_to_nine_digits() {
        let base = 1_700_158_546_000_000_000;
        for (text, ns) in [
            ("2023-11-16 18:15:46", 0),
            ("2023-11-16 18:15:46.6805900", 680_590_000),
            ("2023-11-16T18:15:46.123456789", 123_456_789),
            ("2023-11-16T18:15:46Z", 0),
            ("2023-11-16T18:15:46.5+00:00", 500_000_000),
            ("2023-11-16 20:15:46 +0200", 0),
            ("2023-11-16 18:15:46.25 UTC", 250_000_000),
            ("2023-11-16T13:15:46-05:00", 0),
        ] {
            assert_eq!(instant(text, S), Some(base + ns), "{text}");
        }
    }

    #[test]
    fn numbers_are_exact_in_every_unit() {
        use TimestampUnit::{Microseconds, Milliseconds, Nanoseconds};
        assert_eq!(instant("1700158546.680590001", S), Some(1_700_158_546_680_590_001));
        assert_eq!(instant(" 27000 ", Unit::Stated(Milliseconds)), Some(27_000_000_000));
        assert_eq!(instant("1.5", Unit::Stated(Microseconds)), Some(1500));
        assert_eq!(instant("7.9", Unit::Stated(Nanoseconds)), Some(7));
        assert_eq!(instant("-2", S), Some(-2_000_000_000));
        assert_eq!(instant("1.5e1", S), Some(15_000_000_000));
    }

    #[test]
    fn the_size_tells_the_unit_when_nobody_does() {
        for text in ["1700158546", "1700158546000", "1700158546000000", "1700158546000000000"] {
            assert_eq!(instant(text, Unit::BySize), Some(1_700_158_546_000_000_000), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in ["", "-", "NaN", "inf", "yesterday", "2023-13-01 00:00:00", "2023-11-16 25:00:00", "99999999999999999999", "1e99", "."] {
            assert_eq!(instant(text, S), None, "{text}");
        }
    }

    proptest! {
        /// forall text: no panic
        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = instant(&text, S);
            let _ = instant(&text, Unit::BySize);
        }
    }
}
