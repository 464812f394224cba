//! Chunks over time: target tracking with window, poll, scale-up lag, failure, scale-down delay.
