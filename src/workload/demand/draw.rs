//! Drawing a period: where in the week it lies, day factors, residual, shots, events; one rate a bin.

use super::law::{Law, Shots, index};
use super::{DAY_S, Day, DemandModel, Generator, RecordedDays};
use crate::base::rng::{Seed, Stream};
use crate::base::time::Nanos;
use rand::RngExt;
use rand_distr::{Distribution, Exp1, StandardNormal};

/// Width of the bins of a drawn day, seconds: the usual poll of an autoscaler, and a divisor of a minute.
pub const BIN_S: f64 = 15.0;
/// Day factors and weekday profiles pass into each other over this time around midnight, seconds: no jump that no user makes.
const MIDNIGHT_S: f64 = 7200.0;
/// Knots of the residual are this far apart at most, seconds.
const KNOT_S: f64 = 60.0;

/// The first `spans.1` of the period `index` of length `spans.0`. Whatever `spans.1` is, the rates are the same as far as they go.
pub(super) fn day(model: &DemandModel, seed: Seed, number: u32, spans: (Nanos, Nanos)) -> Day {
    let seed = seed.child("demand", u64::from(number));
    let (period_s, span_s) = (spans.0.as_secs_f64(), spans.1.as_secs_f64());
    let start_s = start(seed, period_s);
    let bins = index((span_s / BIN_S).ceil()).max(1);
    let mut rates = match &model.generator {
        Generator::Law => by_law(&model.law, seed, start_s, bins),
        Generator::Days(days) => by_days(days, &model.law, seed, start_s, bins),
    };
    for (bin, rate) in rates.iter_mut().enumerate() {
        *rate *= model.what_if.factor_at((bin as f64 + 0.5) * BIN_S);
    }
    let strata = (0..bins).map(|bin| model.lengths.stratum_at(start_s + (bin as f64 + 0.5) * BIN_S)).collect();
    Day { bin_s: BIN_S, rates, dispersion: model.dispersion, strata, seed: seed.child("requests", 0) }
}

/// Where in the week a period begins, seconds from the beginning of weekday 0.
fn start(seed: Seed, period_s: f64) -> f64 {
    let week_s = 7.0 * DAY_S;
    if period_s >= week_s {
        return 0.0;
    }
    let part_s = if period_s >= DAY_S { DAY_S } else { period_s.max(BIN_S) };
    let parts = (week_s / part_s).floor();
    (seed.stream("start").random::<f64>() * parts).floor() * part_s
}

pub(super) fn by_law(law: &Law, seed: Seed, start_s: f64, bins: usize) -> Vec<f64> {
    let days = DayFactors::new(law, seed, start_s, bins);
    let mut residual = ResidualWalk::new(law, seed);
    let log_rates: Vec<f64> = (0..bins)
        .map(|bin| {
            let at_s = (bin as f64 + 0.5) * BIN_S;
            law.level + days.at(law, start_s + at_s) + law.growth_per_day * at_s / DAY_S + residual.at(at_s)
        })
        .collect();
    let mut factors = vec![1.0; bins];
    add_shots(&law.shots, &mut seed.stream("shots"), BIN_S, &mut factors);
    log_rates.iter().zip(&factors).map(|(log, factor)| log.exp() * factor).collect()
}

/// Profile and factor of each day, passing into each other around midnight.
struct DayFactors {
    /// The day before the first one of the period, counted from weekday 0.
    before: f64,
    /// Logarithm of the factor of each day, from `before` on.
    factors: Vec<f64>,
}

impl DayFactors {
    fn new(law: &Law, seed: Seed, start_s: f64, bins: usize) -> Self {
        let seed = seed.child("days", 0);
        let first = (start_s / DAY_S).floor();
        let count = index(bins as f64 * BIN_S / DAY_S) + 3;
        let factor = |i: usize| {
            // Numbered from a week before weekday 0, so that the day before the first has a number.
            let z: f64 = StandardNormal.sample(&mut seed.keyed("factor", (index(first) + 6 + i) as u64));
            law.day_sigma * z
        };
        Self { before: first - 1.0, factors: (0..=count).map(factor).collect() }
    }

    fn of(&self, law: &Law, day: f64, second: f64) -> f64 {
        self.factors[index(day - self.before)] + law.profile_at(index(day + 7.0), second)
    }

    fn at(&self, law: &Law, second: f64) -> f64 {
        let day = (second / DAY_S).floor();
        let since = second - day * DAY_S;
        let half = MIDNIGHT_S / 2.0;
        let own = self.of(law, day, since);
        if since < half {
            let share = 0.5 - 0.5 * since / half;
            own * (1.0 - share) + self.of(law, day - 1.0, since) * share
        } else if since > DAY_S - half {
            let share = 0.5 - 0.5 * (DAY_S - since) / half;
            own * (1.0 - share) + self.of(law, day + 1.0, since) * share
        } else {
            own
        }
    }
}

/// The residual between knots, drawn as time goes on.
pub(super) struct ResidualWalk {
    stream: Stream,
    sigma: f64,
    /// Correlation from one knot to the next.
    phi: f64,
    knot: usize,
    value: f64,
    next: f64,
}

impl ResidualWalk {
    pub(super) fn new(law: &Law, seed: Seed) -> Self {
        let mut stream = seed.stream("residual");
        let residual = law.residual;
        let phi = if residual.memory_s > 0.0 { (-KNOT_S / residual.memory_s).exp() } else { 0.0 };
        let z: f64 = StandardNormal.sample(&mut stream);
        let mut walk = Self { stream, sigma: residual.sigma, phi, knot: 0, value: residual.sigma * z, next: 0.0 };
        walk.next = walk.following();
        walk
    }

    fn following(&mut self) -> f64 {
        let z: f64 = StandardNormal.sample(&mut self.stream);
        let before = if self.knot == 0 { self.value } else { self.next };
        self.phi * before + self.sigma * (1.0 - self.phi * self.phi).sqrt() * z
    }

    /// Value at a time that never goes back.
    pub(super) fn at(&mut self, at_s: f64) -> f64 {
        if self.sigma <= 0.0 {
            return 0.0;
        }
        let place = at_s / KNOT_S;
        while index(place) > self.knot {
            self.knot += 1;
            let following = self.following();
            self.value = std::mem::replace(&mut self.next, following);
        }
        let share = place - self.knot as f64;
        self.value * (1.0 - share) + self.next * share
    }
}

/// Adds the shots of a period to `factors`, one a bin of `bin_s`. The stationary process: shots that began before count too.
pub(super) fn add_shots(shots: &Shots, stream: &mut Stream, bin_s: f64, factors: &mut [f64]) {
    if shots.is_none() {
        return;
    }
    let end_s = factors.len() as f64 * bin_s;
    // Long before the period: nine mean plateaus and both ramps.
    let mut at_s = -(9.0 * shots.hold_s + 2.0 * Shots::RISE_HIGH_S);
    loop {
        let gap: f64 = Exp1.sample(stream);
        at_s += gap * DAY_S / shots.per_day;
        if at_s >= end_s {
            return;
        }
        let rise_s = stream.random_range(Shots::RISE_LOW_S..Shots::RISE_HIGH_S);
        let hold: f64 = Exp1.sample(stream);
        let shot = Shot { at_s, rise_s, hold_s: hold * shots.hold_s, height: shots.height * unit_height(stream) };
        shot.add(bin_s, factors);
    }
}

/// A height of mean one: generalised Pareto by inversion (Pickands 1975).
fn unit_height(stream: &mut Stream) -> f64 {
    let u: f64 = 1.0 - stream.random::<f64>();
    let tail = Shots::TAIL;
    ((1.0 - tail) / tail * (u.powf(-tail) - 1.0)).min(Shots::HIGHEST)
}

struct Shot {
    at_s: f64,
    rise_s: f64,
    hold_s: f64,
    height: f64,
}

impl Shot {
    fn add(&self, bin_s: f64, factors: &mut [f64]) {
        let end_s = self.at_s + 2.0 * self.rise_s + self.hold_s;
        let first = index((self.at_s / bin_s).max(0.0));
        let last = index((end_s / bin_s).max(0.0)).min(factors.len() - 1);
        if end_s < 0.0 {
            return;
        }
        for (bin, factor) in factors.iter_mut().enumerate().take(last + 1).skip(first) {
            let since = (bin as f64 + 0.5) * bin_s - self.at_s;
            let left = end_s - self.at_s - since;
            *factor += self.height * (since / self.rise_s).min(left / self.rise_s).clamp(0.0, 1.0);
        }
    }
}

/// Recorded days in random order, of the weekday's class where there is one.
fn by_days(days: &RecordedDays, law: &Law, seed: Seed, start_s: f64, bins: usize) -> Vec<f64> {
    let seed = seed.child("days", 0);
    let pick = |number: usize| {
        let class = law.classes[number % 7];
        let same: Vec<usize> = (0..days.days.len()).filter(|&i| law.classes[usize::from(days.days[i].weekday % 7)] == class).collect();
        let u: f64 = seed.keyed("recorded", number as u64).random();
        if same.is_empty() { index(u * days.days.len() as f64) } else { same[index(u * same.len() as f64).min(same.len() - 1)] }
    };
    // Index of the recorded day of each calendar day, from the one before the first.
    let first = index(start_s / DAY_S);
    let count = index(bins as f64 * BIN_S / DAY_S) + 3;
    let picked: Vec<usize> = (0..count).map(|i| pick(first + 6 + i)).collect();
    let log_rate = |i: usize, second: f64| interpolated(&days.days[picked[i]].rates, second / days.step_s).max(1e-9).ln();
    (0..bins)
        .map(|bin| {
            let second = start_s + (bin as f64 + 0.5) * BIN_S - first as f64 * DAY_S;
            let day = index(second / DAY_S);
            let since = second - day as f64 * DAY_S;
            // Two recorded days that were no neighbours pass into each other around midnight.
            let (share, other, edge_s) = if since < MIDNIGHT_S / 2.0 {
                (0.5 - since / MIDNIGHT_S, day, DAY_S)
            } else {
                ((0.5 - (DAY_S - since) / MIDNIGHT_S).max(0.0), day + 2, 0.0)
            };
            let own = log_rate(day + 1, since);
            if share > 0.0 { (own * (1.0 - share) + log_rate(other, edge_s) * share).exp() } else { own.exp() }
        })
        .collect()
}

/// The rate at a place counted in steps: straight between the middles of the steps.
fn interpolated(rates: &[f64], place: f64) -> f64 {
    let last = rates.len() - 1;
    let place = (place - 0.5).clamp(0.0, last as f64);
    let low = index(place);
    let share = place - low as f64;
    rates[low] * (1.0 - share) + rates[(low + 1).min(last)] * share
}
