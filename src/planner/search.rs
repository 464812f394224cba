//! The cheapest candidate that keeps the promise: staircase over (min, max), neighbours checked, certified on fresh seeds.
