//! What is changed about a demand: growth, launches, longer outputs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Changes of a demand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatIf {
    /// Factor on the rate.
    pub growth: f64,
    /// Things that happen in every period.
    #[serde(default)]
    pub events: Vec<Event>,
    /// Factor on output tokens.
    pub output_scale: f64,
}

impl Default for WhatIf {
    fn default() -> Self {
        Self { growth: 1.0, events: Vec::new(), output_scale: 1.0 }
    }
}

/// Something that multiplies the demand for a while.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// From the beginning of the period to the beginning of the rise, seconds.
    pub at_s: f64,
    /// Factor on the rate at the height of it.
    pub factor: f64,
    /// How long it rises and, at the end, falls, seconds.
    pub rise_s: f64,
    /// From the beginning of the rise to the end of the fall, seconds.
    pub length_s: f64,
}

impl Event {
    /// The factor at a time from the beginning of the period, seconds.
    #[must_use]
    pub fn factor_at(&self, at_s: f64) -> f64 {
        let since = at_s - self.at_s;
        let left = self.length_s - since;
        if since < 0.0 || left < 0.0 {
            return 1.0;
        }
        let rise = self.rise_s.max(1e-9);
        1.0 + (self.factor - 1.0) * (since / rise).min(left / rise).min(1.0)
    }
}

impl WhatIf {
    /// Growth and events together at a time from the beginning of the period, seconds.
    #[must_use]
    pub fn factor_at(&self, at_s: f64) -> f64 {
        self.events.iter().fold(self.growth, |factor, event| factor * event.factor_at(at_s))
    }

    /// Both changes, one after the other.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            growth: self.growth * other.growth,
            events: self.events.iter().chain(&other.events).copied().collect(),
            output_scale: self.output_scale * other.output_scale,
        }
    }
}
