//! Rate functions: their integral Λ(t), the expected number of arrivals by `t`, and its exact inverse.

use crate::scenario::load::{RateFn, RatePoint, RateStep, VaryingRate};
use std::f64::consts::TAU;

/// Why a rate function cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A rate that is not a finite number of at least zero.
    #[error("a rate of {found} per second; expected a finite number of at least 0")]
    Rate {
        /// The rate, per second.
        found: f64,
    },
    /// A list without entries.
    #[error("{what} is empty; expected at least one entry")]
    Empty {
        /// Which list.
        what: &'static str,
    },
    /// Points out of order.
    #[error("piecewise point {index} is at {at_s} s, before its predecessor at {before_s} s; expected points in order of time")]
    Order {
        /// The point, from 0.
        index: usize,
        /// Its instant, seconds.
        at_s: f64,
        /// The instant before it, seconds.
        before_s: f64,
    },
    /// A period that ends before the last point, or lasts no time.
    #[error("a period of {period_s} s; expected more than 0 s and at least the last point's {last_s} s")]
    Period {
        /// The period, seconds.
        period_s: f64,
        /// The last point, seconds.
        last_s: f64,
    },
}

/// A rate function made ready: Λ(t) and Λ⁻¹(x) in closed form (sine: the inverse by Newton's method, to 0.1 ns where the rate is not near zero).
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Lines { pieces: Vec<Piece>, after: After },
    Sine(Sine),
}

/// What follows the last piece.
#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    /// One rate for ever.
    Hold { rate: f64 },
    /// The pieces again.
    Repeat { period: f64 },
}

/// A straight line of rate over time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    start: f64,
    length: f64,
    rate: f64,
    slope: f64,
    mass_before: f64,
    mass_after: f64,
}

impl Piece {
    fn mass_until(&self, elapsed: f64) -> f64 {
        self.mass_before + elapsed * (self.rate + 0.5 * self.slope * elapsed)
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Sine {
    mean: f64,
    amplitude: f64,
    period: f64,
    shift: f64,
    /// Λ / mean at the ends of the [`SLICES`] equal parts of a period: where a search begins.
    slices: Vec<f64>,
}

/// Parts of a period of a sine in its table.
const SLICES: u32 = 256;

impl Curve {
    /// `rate` times `factor`, ready for use.
    pub fn new(rate: &RateFn, factor: f64) -> Result<Self, Error> {
        let shape = match rate {
            RateFn::Constant(rate) => lines(&[], After::Hold { rate: scaled(rate.0, factor)? }),
            RateFn::Varying(VaryingRate::Ramp { from, to, over }) => {
                let (from, to) = (scaled(from.0, factor)?, scaled(to.0, factor)?);
                lines(&[(0.0, from), (over.as_secs_f64(), to)], After::Hold { rate: to })
            }
            RateFn::Varying(VaryingRate::Steps(steps)) => stairs(steps, factor)?,
            RateFn::Varying(VaryingRate::Piecewise { points, repeat }) => {
                let points = checked(points, factor)?;
                match repeat {
                    None => open_ended(points),
                    Some(period) => periodic(&points, period.as_secs_f64())?,
                }
            }
            RateFn::Varying(VaryingRate::Sine { mean, amplitude, period, shift }) => {
                let period = period.as_secs_f64();
                if period <= 0.0 {
                    return Err(Error::Period { period_s: period, last_s: 0.0 });
                }
                let amplitude = amplitude.0.clamp(0.0, 1.0);
                let mut sine = Sine { mean: scaled(mean.0, factor)?, amplitude, period, shift: shift.as_secs_f64(), slices: Vec::new() };
                sine.slices = (0..=SLICES).map(|i| sine.stretched(period * f64::from(i) / f64::from(SLICES))).collect();
                Shape::Sine(sine)
            }
        };
        Ok(Self { shape })
    }

    /// Arrivals per second at `t` seconds; at a jump, the rate after it.
    #[must_use]
    pub fn rate_at(&self, t: f64) -> f64 {
        match &self.shape {
            Shape::Sine(sine) => sine.mean * (1.0 + sine.amplitude * (TAU * (t + sine.shift) / sine.period).sin()),
            Shape::Lines { pieces, after } => {
                let t = match after {
                    After::Repeat { period } => t.rem_euclid(*period),
                    After::Hold { .. } => t,
                };
                match (piece_at(pieces, t), after) {
                    (Some(piece), _) => piece.rate + piece.slope * (t - piece.start),
                    (None, After::Hold { rate }) => *rate,
                    (None, After::Repeat { .. }) => pieces.last().map_or(0.0, |p| p.rate + p.slope * p.length),
                }
            }
        }
    }

    /// Λ(t): arrivals expected in `[0, t]`, `t` in seconds; 0 before the start.
    #[must_use]
    pub fn cumulative(&self, t: f64) -> f64 {
        if t <= 0.0 {
            return 0.0;
        }
        match &self.shape {
            Shape::Sine(sine) => sine.cumulative(t),
            Shape::Lines { pieces, after } => {
                let mass = pieces.last().map_or(0.0, |p| p.mass_after);
                let end = pieces.last().map_or(0.0, |p| p.start + p.length);
                match *after {
                    After::Hold { rate } if t >= end => mass + rate * (t - end),
                    After::Hold { .. } => within(pieces, t),
                    After::Repeat { period } => {
                        let turns = (t / period).floor();
                        turns * mass + within(pieces, t - turns * period)
                    }
                }
            }
        }
    }

    /// Λ⁻¹(x): the earliest `t` (seconds) with Λ(t) >= x; `None` if the rate ends at zero before that many arrivals.
    #[must_use]
    pub fn inverse(&self, x: f64) -> Option<f64> {
        if x <= 0.0 {
            return Some(0.0);
        }
        match &self.shape {
            Shape::Sine(sine) => sine.inverse(x),
            Shape::Lines { pieces, after } => {
                let mass = pieces.last().map_or(0.0, |p| p.mass_after);
                match *after {
                    After::Hold { .. } if x <= mass => Some(inverse_within(pieces, x)),
                    After::Hold { rate } => {
                        let end = pieces.last().map_or(0.0, |p| p.start + p.length);
                        (rate > 0.0).then(|| end + (x - mass) / rate)
                    }
                    After::Repeat { period } => (mass > 0.0).then(|| {
                        let turns = (x / mass).floor();
                        turns * period + inverse_within(pieces, x - turns * mass)
                    }),
                }
            }
        }
    }
}

impl Sine {
    /// Integral of `mean * (1 + amplitude * sin(2 pi (t + shift) / period))`.
    fn cumulative(&self, t: f64) -> f64 {
        self.mean * self.stretched(t)
    }

    /// Λ(t) / mean: the time after which the mean rate alone has sent as many.
    fn stretched(&self, t: f64) -> f64 {
        t + self.swing() * (self.angle(0.0).cos() - self.angle(t).cos())
    }

    fn swing(&self) -> f64 {
        self.amplitude * self.period / TAU
    }

    fn angle(&self, t: f64) -> f64 {
        TAU * ((t + self.shift) / self.period).fract()
    }

    fn inverse(&self, x: f64) -> Option<f64> {
        if self.mean <= 0.0 {
            return None;
        }
        // Λ grows by the same amount each period, so one period is searched and the result stays exact after many.
        let turns = (x / (self.mean * self.period)).floor();
        let rest = x / self.mean - turns * self.period;
        let wanted = rest - self.swing() * self.angle(0.0).cos();
        let slice = self.slices.partition_point(|&s| s <= rest).clamp(1, self.slices.len() - 1);
        let width = self.period / f64::from(SLICES);
        let (mut low, mut high) = (width * (slice - 1) as f64, width * slice as f64);
        let (before, after) = (self.slices[slice - 1], self.slices[slice]);
        let mut t = if after > before { low + width * ((rest - before) / (after - before)).clamp(0.0, 1.0) } else { low };
        // Newton's method held inside a bracket: where the rate is near zero, the step falls back to halving.
        for _ in 0..80 {
            let (sin, cos) = self.angle(t).sin_cos();
            let excess = t - self.swing() * cos - wanted;
            if excess == 0.0 {
                break;
            }
            if excess > 0.0 {
                high = t;
            } else {
                low = t;
            }
            let slope = 1.0 + self.amplitude * sin;
            let newton = t - excess / slope;
            let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
            let moved = next - t;
            t = next;
            // What is left after a Newton step is its square times the curvature over twice the slope.
            if moved.abs() < 1e-10 || (next == newton && moved * moved * TAU < 1e-10 * slope * self.period) {
                break;
            }
        }
        Some(turns * self.period + t)
    }
}

fn scaled(rate: f64, factor: f64) -> Result<f64, Error> {
    let found = rate * factor;
    if found.is_finite() && found >= 0.0 { Ok(found) } else { Err(Error::Rate { found }) }
}

/// Straight lines through `points` (seconds, rate per second), in order of time; equal times make a jump.
fn lines(points: &[(f64, f64)], after: After) -> Shape {
    let mut pieces = Vec::with_capacity(points.len());
    let mut mass = 0.0;
    for pair in points.windows(2) {
        let ((start, rate), (end, to)) = (pair[0], pair[1]);
        let length = end - start;
        if length > 0.0 {
            let before = mass;
            mass += length * f64::midpoint(rate, to);
            pieces.push(Piece { start, length, rate, slope: (to - rate) / length, mass_before: before, mass_after: mass });
        }
    }
    Shape::Lines { pieces, after }
}

fn stairs(steps: &[RateStep], factor: f64) -> Result<Shape, Error> {
    let last = steps.last().ok_or(Error::Empty { what: "steps" })?;
    let mut points = Vec::with_capacity(2 * steps.len());
    let mut t = 0.0;
    for step in steps {
        let rate = scaled(step.rate.0, factor)?;
        points.push((t, rate));
        t += step.hold.as_secs_f64();
        points.push((t, rate));
    }
    Ok(lines(&points, After::Hold { rate: scaled(last.rate.0, factor)? }))
}

fn checked(points: &[RatePoint], factor: f64) -> Result<Vec<(f64, f64)>, Error> {
    if points.is_empty() {
        return Err(Error::Empty { what: "piecewise points" });
    }
    for (index, pair) in points.windows(2).enumerate() {
        if pair[1].at < pair[0].at {
            return Err(Error::Order { index: index + 1, at_s: pair[1].at.as_secs_f64(), before_s: pair[0].at.as_secs_f64() });
        }
    }
    points.iter().map(|p| Ok((p.at.as_secs_f64(), scaled(p.rate.0, factor)?))).collect()
}

/// Constant before the first point and after the last one.
fn open_ended(mut points: Vec<(f64, f64)>) -> Shape {
    let (first, last) = (points[0].1, points[points.len() - 1].1);
    points.insert(0, (0.0, first));
    lines(&points, After::Hold { rate: last })
}

/// The points again every `period`; the last one is joined to the first one of the next round by a straight line.
fn periodic(points: &[(f64, f64)], period: f64) -> Result<Shape, Error> {
    let (first, last) = (points[0], points[points.len() - 1]);
    if period <= 0.0 || last.0 > period {
        return Err(Error::Period { period_s: period, last_s: last.0 });
    }
    let joint = first.0 + period - last.0;
    // The rate at the seam, on the line from the last point to the first point of the next round.
    let seam = if joint > 0.0 { last.1 + (first.1 - last.1) * (period - last.0) / joint } else { first.1 };
    let mut round = Vec::with_capacity(points.len() + 2);
    round.push((0.0, seam));
    round.extend_from_slice(points);
    if last.0 < period {
        round.push((period, seam));
    }
    Ok(lines(&round, After::Repeat { period }))
}

fn piece_at(pieces: &[Piece], t: f64) -> Option<&Piece> {
    pieces.get(pieces.partition_point(|p| p.start + p.length <= t))
}

fn within(pieces: &[Piece], t: f64) -> f64 {
    match piece_at(pieces, t) {
        Some(piece) => piece.mass_until(t - piece.start),
        None => pieces.last().map_or(0.0, |p| p.mass_after),
    }
}

/// The earliest instant at which `x <= total mass` is reached.
fn inverse_within(pieces: &[Piece], x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let Some(piece) = pieces.get(pieces.partition_point(|p| p.mass_after < x)).or(pieces.last()) else { return 0.0 };
    let wanted = x - piece.mass_before;
    // Root of rate*d + slope*d^2/2 = wanted, in the form that loses no digits for a small slope or a falling rate.
    let root = (piece.rate * piece.rate + 2.0 * piece.slope * wanted).max(0.0).sqrt();
    let elapsed = if piece.rate + root > 0.0 { 2.0 * wanted / (piece.rate + root) } else { 0.0 };
    piece.start + elapsed.min(piece.length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::{Rate, Share, TimeSpan};
    use proptest::prelude::*;

    fn points(list: &[(u64, f64)]) -> Vec<RatePoint> {
        list.iter().map(|&(ms, rate)| RatePoint { at: TimeSpan::millis(ms), rate: Rate(rate) }).collect()
    }

    fn any_rate() -> impl Strategy<Value = RateFn> {
        let rate = prop_oneof![1 => Just(0.0), 4 => 0.01_f64..500.0];
        let list = prop::collection::vec((0_u64..5_000, rate.clone()), 1..8);
        prop_oneof![
            rate.clone().prop_map(|r| RateFn::Constant(Rate(r))),
            (rate.clone(), rate.clone(), 0_u64..20_000).prop_map(|(from, to, ms)| RateFn::Varying(VaryingRate::Ramp {
                from: Rate(from),
                to: Rate(to),
                over: TimeSpan::millis(ms)
            })),
            list.clone().prop_map(|steps| RateFn::Varying(VaryingRate::Steps(
                steps.iter().map(|&(ms, rate)| RateStep { rate: Rate(rate), hold: TimeSpan::millis(ms) }).collect()
            ))),
            (list, prop::option::of(0_u64..3_000)).prop_map(|(gaps, tail)| {
                let mut at = 0;
                let list: Vec<(u64, f64)> = gaps
                    .iter()
                    .map(|&(ms, rate)| {
                        at += ms;
                        (at, rate)
                    })
                    .collect();
                let repeat = tail.map(|ms| TimeSpan::millis(at + ms + 1));
                RateFn::Varying(VaryingRate::Piecewise { points: points(&list), repeat })
            }),
            (0.01_f64..500.0, 0.0_f64..=1.0, 1_u64..100_000, 0_u64..100_000).prop_map(|(mean, swing, period, shift)| {
                RateFn::Varying(VaryingRate::Sine {
                    mean: Rate(mean),
                    amplitude: Share(swing),
                    period: TimeSpan::millis(period),
                    shift: TimeSpan::millis(shift),
                })
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// forall rate, x: Λ(Λ⁻¹(x)) == x, and no earlier instant reaches x
        #[test]
        fn the_inverse_inverts(rate in any_rate(), x in 1e-3_f64..20_000.0) {
            let curve = Curve::new(&rate, 1.0).unwrap();
            if let Some(t) = curve.inverse(x) {
                let back = curve.cumulative(t);
                // What Λ gains in a nanosecond, and the rounding of sums.
                let slack = 1e-9 * curve.rate_at(t).max(1.0) + 1e-11 * x + 1e-9;
                prop_assert!((back - x).abs() <= slack, "t = {t}: {back} instead of {x}");
                prop_assert!(curve.cumulative(t - 1e-3) <= x + slack);
            } else {
                prop_assert!(curve.cumulative(1e12) < x);
            }
        }

        /// forall rate, t: Λ(t) is the integral of the rate (trapezia of 0.1 ms over 20 ms), and never falls
        #[test]
        fn the_integral_is_that_of_the_rate(rate in any_rate(), t in 0.0_f64..60.0) {
            let curve = Curve::new(&rate, 1.0).unwrap();
            let (step, steps) = (1e-4, 200);
            let sum: f64 = (0..steps).map(|i| curve.rate_at(t + (f64::from(i) + 0.5) * step) * step).sum();
            let mass = curve.cumulative(t + step * f64::from(steps)) - curve.cumulative(t);
            // Jumps of up to 500/s cost one trapezium each; short periods have many.
            prop_assert!(mass >= -1e-9);
            prop_assert!((mass - sum).abs() <= 0.05 * 9.0 + 0.1 * sum, "{mass} instead of {sum}");
        }

        /// forall rate: instants of rising x never fall
        #[test]
        fn the_inverse_never_falls(rate in any_rate(), x in 0.0_f64..5_000.0, more in 0.0_f64..50.0) {
            let curve = Curve::new(&rate, 1.0).unwrap();
            if let (Some(a), Some(b)) = (curve.inverse(x), curve.inverse(x + more)) {
                prop_assert!(b >= a - 2e-10);
            }
        }
    }

    #[test]
    fn a_ramp_sends_its_mean_rate() {
        let ramp = VaryingRate::Ramp { from: Rate(0.0), to: Rate(10.0), over: TimeSpan::secs(10) };
        let curve = Curve::new(&RateFn::Varying(ramp), 1.0).unwrap();
        assert_eq!(curve.cumulative(10.0), 50.0);
        assert_eq!(curve.cumulative(12.0), 70.0);
        assert_eq!(curve.inverse(0.5), Some(1.0), "t^2 / 2 = 0.5");
        assert_eq!(curve.rate_at(5.0), 5.0);
    }

    #[test]
    fn steps_with_a_silent_one_jump_over_it() {
        let step = |rate, s| RateStep { rate: Rate(rate), hold: TimeSpan::secs(s) };
        let curve = Curve::new(&RateFn::Varying(VaryingRate::Steps(vec![step(2.0, 5), step(0.0, 10), step(4.0, 1)])), 1.0).unwrap();
        assert_eq!(curve.inverse(10.0), Some(5.0), "the tenth arrival ends the first step");
        assert!((curve.inverse(10.4).unwrap() - 15.1).abs() < 1e-12, "the next one waits for the third");
        assert_eq!(curve.inverse(18.0), Some(17.0), "the last rate stays");
    }

    #[test]
    fn a_rate_that_ends_at_zero_sends_no_more() {
        let ramp = VaryingRate::Ramp { from: Rate(10.0), to: Rate(0.0), over: TimeSpan::secs(10) };
        let curve = Curve::new(&RateFn::Varying(ramp), 1.0).unwrap();
        assert!(curve.inverse(50.0).is_some_and(|t| (t - 10.0).abs() < 1e-6));
        assert_eq!(curve.inverse(50.001), None);
    }

    #[test]
    fn a_repeated_shape_joins_its_last_point_to_its_first() {
        let piecewise = VaryingRate::Piecewise { points: points(&[(2_000, 4.0), (6_000, 8.0)]), repeat: Some(TimeSpan::secs(10)) };
        let curve = Curve::new(&RateFn::Varying(piecewise), 1.0).unwrap();
        for (t, rate) in
            [(2.0, 4.0), (6.0, 8.0), (8.0, 7.0 - 4.0 / 6.0 + 1.0 / 3.0), (12.0, 4.0), (0.0, 8.0 - 4.0 * 4.0 / 6.0), (10.0, 8.0 - 4.0 * 4.0 / 6.0)]
        {
            assert!((curve.rate_at(t) - rate).abs() < 1e-9, "{t}: {}", curve.rate_at(t));
        }
        assert!((curve.cumulative(1_000.0) - 6_000.0).abs() < 1e-9, "mean rate 6");
    }

    #[test]
    fn the_factor_multiplies_the_rate() {
        let curve = Curve::new(&RateFn::Constant(Rate(3.0)), 2.0).unwrap();
        assert_eq!(curve.cumulative(10.0), 60.0);
    }

    #[test]
    fn what_is_no_rate_function_is_refused() {
        let fault = |rate| Curve::new(&RateFn::Varying(rate), 1.0).unwrap_err();
        assert_eq!(fault(VaryingRate::Steps(vec![])), Error::Empty { what: "steps" });
        assert!(matches!(
            fault(VaryingRate::Piecewise { points: points(&[(2_000, 1.0), (1_000, 1.0)]), repeat: None }),
            Error::Order { index: 1, .. }
        ));
        let early = VaryingRate::Piecewise { points: points(&[(0, 1.0), (2_000, 1.0)]), repeat: Some(TimeSpan::secs(1)) };
        assert!(matches!(fault(early), Error::Period { .. }));
        assert!(matches!(Curve::new(&RateFn::Constant(Rate(f64::NAN)), 1.0), Err(Error::Rate { .. })));
        assert!(matches!(Curve::new(&RateFn::Constant(Rate(1.0)), -1.0), Err(Error::Rate { .. })));
    }
}
