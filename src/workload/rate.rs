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

/// A rate function made ready: Λ(t) and Λ⁻¹(x) in closed form (sine: Newton's method, to 0.1 ns).
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

#[derive(Clone, Copy, Debug, PartialEq)]
struct Sine {
    mean: f64,
    amplitude: f64,
    period: f64,
    shift: f64,
}

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
                Shape::Sine(Sine { mean: scaled(mean.0, factor)?, amplitude: amplitude.0.clamp(0.0, 1.0), period, shift: shift.as_secs_f64() })
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
        let swing = self.amplitude * self.period / TAU;
        let angle = |t: f64| TAU * ((t + self.shift) / self.period).fract();
        self.mean * (t + swing * (angle(0.0).cos() - angle(t).cos()))
    }

    fn inverse(&self, x: f64) -> Option<f64> {
        if self.mean <= 0.0 {
            return None;
        }
        // Λ grows by the same amount each period, so one period is searched and the result stays exact after many.
        let turns = (x / (self.mean * self.period)).floor();
        let rest = x - turns * self.mean * self.period;
        let (mut low, mut high) = (0.0, self.period);
        let mut t = rest / self.mean;
        // Newton's method held inside a bracket: where the rate is near zero, the step falls back to halving.
        for _ in 0..80 {
            let excess = self.cumulative(t) - rest;
            if excess > 0.0 {
                high = t;
            } else {
                low = t;
            }
            let rate = self.mean * (1.0 + self.amplitude * (TAU * (t + self.shift) / self.period).sin());
            let newton = t - excess / rate;
            let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
            let moved = (next - t).abs();
            t = next;
            if moved < 1e-10 {
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
