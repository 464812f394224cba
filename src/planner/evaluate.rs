//! One candidate over simulated periods: attainment, cost, timeline. Periods share their randomness between candidates.
