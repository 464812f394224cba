//! Axes: value to place, and where the labels stand. Every scale is turned into a straight line here, so that drawing knows one kind only.

use crate::report::number;

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By the decimal logarithm.
    Log,
    /// A quantile by its number of nines, `-log10(1 - q)`: p90, p99, p99.9 stand at equal distances.
    Nines,
}

/// One axis with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What is on it, with its unit.
    pub label: String,
    /// How values are spread.
    pub scale: Scale,
    /// First value, in the unit of the label.
    pub min: f64,
    /// Last value.
    pub max: f64,
    /// Values that are labelled, with their labels.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero to a little above `max`, about `count` labels.
    #[must_use]
    pub fn linear(label: &str, max: f64, count: u32) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let step = nice_step(max / f64::from(count.max(1)));
        let top = (max / step).ceil() * step;
        Self { label: label.to_owned(), scale: Scale::Linear, min: 0.0, max: top, ticks: multiples(step, top, 1.0, "") }
    }

    /// From as far below zero to as far above it, labelled with its sign, about `count` labels on either side.
    #[must_use]
    pub fn around(label: &str, reach: f64, count: u32) -> Self {
        let half = Self::linear(label, reach, count);
        let below = half.ticks.iter().rev().filter(|t| t.0 > 0.0).map(|(value, text)| (-value, format!("-{text}")));
        let above = half.ticks.iter().map(|(value, text)| (*value, if *value > 0.0 { format!("+{text}") } else { text.clone() }));
        Self { min: -half.max, ticks: below.chain(above).collect(), ..half }
    }

    /// Logarithmic from the decade or half decade below `min` to the one above `max`, labelled at 1, 2 and 5 (at decades only, if there are many).
    #[must_use]
    pub fn log(label: &str, min: f64, max: f64) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let min = if min.is_finite() && min > 0.0 && min < max { min } else { max / 10.0 };
        let decades = (max / min).log10();
        let steps: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        #[expect(clippy::cast_possible_truncation, reason = "decimal exponents of finite numbers fit")]
        let (first, last) = (min.log10().floor() as i32, max.log10().ceil() as i32);
        let candidates: Vec<f64> = (first..=last).flat_map(|e| steps.iter().map(move |s| s * 10_f64.powi(e))).collect();
        let low = candidates.iter().copied().filter(|v| *v <= min * 1.000_001).fold(f64::NAN, f64::max);
        let high = candidates.iter().copied().filter(|v| *v >= max * 0.999_999).fold(f64::NAN, f64::min);
        let (low, high) = (if low.is_nan() { min } else { low }, if high.is_nan() { max } else { high });
        let ticks = candidates.into_iter().filter(|v| *v >= low * 0.999 && *v <= high * 1.001).map(|v| (v, tick_text(v))).collect();
        Self { label: label.to_owned(), scale: Scale::Log, min: low, max: high, ticks }
    }

    /// Quantiles from p0 to `q_max`, and to p99 at least.
    #[must_use]
    pub fn nines(label: &str, q_max: f64) -> Self {
        let marks = [(0.0, "p0"), (0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"), (0.99999, "p99.999")];
        let last = q_max.clamp(0.99, 0.999_99);
        let ticks = marks.iter().filter(|m| m.0 <= last).map(|m| (m.0, m.1.to_owned())).collect();
        Self { label: label.to_owned(), scale: Scale::Nines, min: 0.0, max: last, ticks }
    }

    /// Shares of a whole by their nines, from nothing to `most`, and to 99% at least.
    #[must_use]
    pub fn shares(label: &str, most: f64) -> Self {
        let percent = |q: f64| format!("{}%", tick_text(q * 100.0));
        let axis = Self::nines(label, most);
        let ticks = axis.ticks.iter().filter(|t| t.0 != 0.5).map(|t| (t.0, percent(t.0))).collect();
        Self { ticks, ..axis }
    }

    /// Seconds from zero to `end_s`, labelled in the unit that suits the span.
    #[must_use]
    pub fn time(end_s: f64) -> Self {
        let end_s = if end_s.is_finite() && end_s > 0.0 { end_s } else { 1.0 };
        let (unit, name, steps): (f64, &str, &[f64]) = match end_s {
            s if s <= 300.0 => (1.0, "s", &[1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0]),
            s if s <= 14_400.0 => (60.0, "min", &[1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0]),
            s if s <= 259_200.0 => (3600.0, "h", &[1.0, 2.0, 3.0, 4.0, 6.0, 12.0, 24.0]),
            _ => (86_400.0, "d", &[1.0, 2.0, 5.0, 7.0, 14.0, 28.0, 56.0]),
        };
        let span = end_s / unit;
        let step = steps.iter().copied().find(|s| span / s <= 8.0).unwrap_or_else(|| nice_step(span / 8.0));
        let ticks = multiples(step * unit, end_s, unit, &format!(" {name}"));
        Self { label: "time since load start".to_owned(), scale: Scale::Linear, min: 0.0, max: end_s, ticks }
    }

    /// The place of a value: evenly spread, cut to the ends of the axis.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        let raw = |v: f64| match self.scale {
            Scale::Linear => v,
            Scale::Log => v.max(f64::MIN_POSITIVE).log10(),
            Scale::Nines => -(1.0 - v.clamp(0.0, 0.999_999_9)).log10(),
        };
        raw(value).clamp(raw(self.min), raw(self.max))
    }
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn nice_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let lead = step / power;
    power * [1.0, 2.0, 5.0].into_iter().find(|s| *s >= lead - 1e-9).unwrap_or(10.0)
}

fn multiples(step: f64, top: f64, unit: f64, suffix: &str) -> Vec<(f64, String)> {
    let mut ticks = Vec::new();
    let mut k = 0_u32;
    while f64::from(k) * step <= top * 1.000_001 && k < 100 {
        let value = f64::from(k) * step;
        ticks.push((value, format!("{}{suffix}", tick_text(value / unit))));
        k += 1;
    }
    ticks
}

/// A label without needless zeros: `0`, `0.5`, `20`, `1,500`.
fn tick_text(value: f64) -> String {
    // Three digits are enough for a label, but not for nines.
    let text = if value > 99.0 && value < 100.0 { value.to_string() } else { number::real(value) };
    if text.contains('.') && !text.contains('e') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|t| t.1.as_str()).collect()
    }

    #[test]
    fn labels_are_round_numbers() {
        assert_eq!(labels(&Axis::linear("", 17.0, 4)), ["0", "5", "10", "15", "20"]);
        assert_eq!(labels(&Axis::around("", 9.0, 2)), ["-10", "-5", "0", "+5", "+10"]);
        assert_eq!(labels(&Axis::log("", 30.0, 900.0)), ["20", "50", "100", "200", "500", "1,000"]);
        assert_eq!(labels(&Axis::nines("", 0.9997)), ["p0", "p50", "p90", "p99", "p99.9"]);
        assert_eq!(labels(&Axis::shares("", 0.9997)), ["0%", "90%", "99%", "99.9%"]);
        assert_eq!(labels(&Axis::time(86_400.0)), ["0 h", "3 h", "6 h", "9 h", "12 h", "15 h", "18 h", "21 h", "24 h"]);
    }

    proptest! {
        /// forall bounds and values: places are finite and inside the axis
        #[test]
        fn places_are_inside(min in -1.0_f64..1e4, max in -1.0_f64..1e6, v in -1e3_f64..1e9) {
            for axis in [Axis::linear("", max, 5), Axis::log("", min, max), Axis::time(max), Axis::around("", max, 4), Axis::nines("", max)] {
                let place = axis.place(v);
                prop_assert!(place.is_finite() && place >= axis.place(axis.min) && place <= axis.place(axis.max));
                prop_assert!(axis.ticks.len() >= 2, "{axis:?}");
            }
        }
    }
}
