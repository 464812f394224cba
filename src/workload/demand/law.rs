//! The law of a demand: what is drawn anew for each day, and with which parameters.

use super::{DAY_S, Error};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests per second at `t`: `exp(level + profile(weekday, t) + day + g t + residual(t)) * (1 + sum of shots(t))`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Law {
    /// Logarithm of requests per second on a median day at the end of the recording.
    pub level: f64,
    /// Which profile each weekday has; weekday 0 is Monday where the weekdays are known.
    pub classes: [u8; 7],
    /// For each class, the logarithm of the factor in equal parts of the day; between their middles it runs straight.
    pub profiles: Vec<Vec<f64>>,
    /// Growth of the logarithm a day.
    pub growth_per_day: f64,
    /// Standard deviation of the day factor's logarithm.
    pub day_sigma: f64,
    /// What varies within a day.
    pub residual: Residual,
    /// Bursts.
    pub shots: Shots,
}

/// A stationary Gaussian process with exponential memory (Ornstein and Uhlenbeck; as a sequence: AR(1)) on the logarithm of the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// Standard deviation.
    pub sigma: f64,
    /// Time after which the correlation has fallen to 1/e, seconds.
    pub memory_s: f64,
}

/// Ramps at random instants: a rise of 1 to 10 minutes, a plateau, a fall as long as the rise; heights add up, relative to the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shots {
    /// How many begin in a day on average.
    pub per_day: f64,
    /// Mean height, as a share of the rate at the time; generalised Pareto with shape [`Shots::TAIL`].
    pub height: f64,
    /// Mean length of the plateau, exponential, seconds.
    pub hold_s: f64,
}

impl Shots {
    /// Shape of the heights' generalised Pareto distribution: its variance is finite, its third moment is not.
    pub const TAIL: f64 = 0.35;
    /// Shortest rise, seconds.
    pub const RISE_LOW_S: f64 = 60.0;
    /// Longest rise, seconds.
    pub const RISE_HIGH_S: f64 = 600.0;
    /// No height is above this many times the mean.
    pub const HIGHEST: f64 = 30.0;

    /// Mean of the sum of all shots (Campbell's theorem: rate times the integral of the mean shape; rise and fall count half each).
    #[must_use]
    pub fn mean(&self) -> f64 {
        let rise_s = 0.5 * (Self::RISE_LOW_S + Self::RISE_HIGH_S);
        self.per_day / DAY_S * self.height * (self.hold_s + rise_s)
    }

    /// Whether there are any.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.per_day <= 0.0 || self.height <= 0.0
    }
}

impl Law {
    /// The profile of a weekday at a time of day (seconds, taken modulo a day), logarithm.
    #[must_use]
    pub fn profile_at(&self, weekday: usize, second: f64) -> f64 {
        let profile = &self.profiles[usize::from(self.classes[weekday % 7])];
        let place = second.rem_euclid(DAY_S) / DAY_S * profile.len() as f64 - 0.5;
        let low = place.floor();
        let share = place - low;
        let at = |i: f64| profile[index(i.rem_euclid(profile.len() as f64)).min(profile.len() - 1)];
        at(low) * (1.0 - share) + at(low + 1.0) * share
    }

    /// Requests per second on average over a week at the end of the recording.
    #[must_use]
    pub fn mean_rate(&self) -> f64 {
        let of_class = |class: u8| {
            let profile = &self.profiles[usize::from(class)];
            profile.iter().map(|x| x.exp()).sum::<f64>() / profile.len() as f64
        };
        let shape = self.classes.iter().map(|&c| of_class(c)).sum::<f64>() / 7.0;
        self.level.exp() * shape * self.mean_of_noise()
    }

    /// Mean of everything random in a rate: the lognormal day factor and residual, and the shots.
    #[must_use]
    pub fn mean_of_noise(&self) -> f64 {
        let variance = self.day_sigma * self.day_sigma + self.residual.sigma * self.residual.sigma;
        (variance / 2.0).exp() * (1.0 + self.shots.mean())
    }

    /// Figures cut to six decimals, those of profiles to four: more is not known, and the file stays small and is read back as it was written.
    #[must_use]
    pub fn rounded(mut self) -> Self {
        let cut = |x: &mut f64| *x = (*x * 1e6).round() / 1e6;
        let (residual, shots) = (&mut self.residual, &mut self.shots);
        let figures = [&mut self.level, &mut self.growth_per_day, &mut self.day_sigma, &mut residual.sigma, &mut residual.memory_s];
        figures.into_iter().chain([&mut shots.per_day, &mut shots.height, &mut shots.hold_s]).for_each(cut);
        self.profiles.iter_mut().flatten().for_each(|x| *x = (*x * 1e4).round() / 1e4);
        self
    }

    /// Refuses figures that no demand has.
    ///
    /// # Errors
    /// The first figure out of range.
    pub fn check(&self) -> Result<(), Error> {
        let range = |what, holds: bool, found: String, expected| if holds { Ok(()) } else { Err(Error::Range { what, found, expected }) };
        let finite = |x: f64| x.is_finite() && x.abs() < 50.0;
        range("level", finite(self.level), self.level.to_string(), "a logarithm of requests per second")?;
        range("profiles", !self.profiles.is_empty(), "an empty list".to_owned(), "one profile at least")?;
        for profile in &self.profiles {
            range("a profile", !profile.is_empty() && profile.iter().all(|x| finite(*x)), format!("{profile:?}"), "finite logarithms")?;
        }
        let classes = self.classes.iter().all(|&c| usize::from(c) < self.profiles.len());
        range("classes", classes, format!("{:?}", self.classes), "numbers of profiles")?;
        let spread = |x: f64| (0.0..=3.0).contains(&x);
        range("day_sigma", spread(self.day_sigma), self.day_sigma.to_string(), "from 0 to 3")?;
        range("residual.sigma", spread(self.residual.sigma), self.residual.sigma.to_string(), "from 0 to 3")?;
        range("residual.memory_s", self.residual.memory_s >= 0.0, self.residual.memory_s.to_string(), "0 or more")?;
        range("growth_per_day", self.growth_per_day.abs() <= 1.0, self.growth_per_day.to_string(), "from -1 to 1")?;
        let Shots { per_day, height, hold_s } = self.shots;
        range("shots.per_day", (0.0..=1000.0).contains(&per_day), per_day.to_string(), "from 0 to 1000")?;
        range("shots.height", (0.0..=20.0).contains(&height), height.to_string(), "from 0 to 20")?;
        range("shots.hold_s", (0.0..=DAY_S).contains(&hold_s), hold_s.to_string(), "from 0 to a day")
    }
}

/// `value` rounded down.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate; places are not negative")]
pub(super) fn index(value: f64) -> usize {
    value as usize
}
