//! Units of capacity: what a request takes of them, and the meter that lets requests in, makes them wait, or answers 429.
//!
//! A meter is a leaky bucket a pool (Turner 1986): use drains at the rate of the units that were bought, and a request pours in its load in
//! unit-seconds. Where requests wait, the bucket is the work before them and the wait is that work over the units (Lindley 1952). Where they are
//! answered 429, the bucket holds what the units carry in one window, and a request that finds it full is refused.

use crate::scenario::unit::{LoadRule, Overflow, SurfacePoint, UnitProfile, Weights};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Tokens of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Input tokens, cached ones included.
    pub input: u32,
    /// Of these, tokens that a prefix cache holds.
    pub cached: u32,
    /// Output tokens.
    pub output: u32,
}

/// What a request takes of each pool, in seconds of one unit. Units with one pool leave the second at zero.
pub type Load = [f64; 2];

/// The load of a request by the rule of a unit.
#[must_use]
pub fn load(rule: &LoadRule, tokens: Tokens) -> Load {
    let (input, output) = (f64::from(tokens.input), f64::from(tokens.output));
    match rule {
        LoadRule::Tokens(rate) => [(input + output) / rate.0, 0.0],
        LoadRule::Weighted(weights) => [weighted(weights, tokens) / weights.rate.0, 0.0],
        LoadRule::Pools { input: input_rate, output: output_rate } => [input / input_rate.0, output / output_rate.0],
        LoadRule::Surface(points) => [(input + output) * seconds_per_token(points, output / (input + output).max(1.0)), 0.0],
    }
}

/// Weighted tokens of a request.
fn weighted(weights: &Weights, tokens: Tokens) -> f64 {
    let cached = f64::from(tokens.cached.min(tokens.input));
    let fresh = f64::from(tokens.input) - cached;
    let (per_input, per_output) = match &weights.long {
        Some(long) if tokens.input > long.above => (long.input, long.output),
        _ => (weights.input, weights.output),
    };
    per_input * fresh + weights.cached * cached + per_output * f64::from(tokens.output)
}

/// Seconds of a unit for one token where output has this share: a straight line between neighbouring points, flat beyond the outermost. Exact
/// where the work of a request is a sum over its input and output tokens, because the mean work of a token is then linear in the share.
fn seconds_per_token(points: &[SurfacePoint], share: f64) -> f64 {
    let cost = |p: &SurfacePoint| 1.0 / p.rate.0.max(1e-9);
    let below = points.iter().filter(|p| p.output_share.0 <= share).max_by(|a, b| a.output_share.0.total_cmp(&b.output_share.0));
    let above = points.iter().filter(|p| p.output_share.0 >= share).min_by(|a, b| a.output_share.0.total_cmp(&b.output_share.0));
    match (below, above) {
        (Some(low), Some(high)) if high.output_share.0 > low.output_share.0 => {
            let at = (share - low.output_share.0) / (high.output_share.0 - low.output_share.0);
            cost(low) + at * (cost(high) - cost(low))
        }
        (Some(only), _) | (None, Some(only)) => cost(only),
        (None, None) => f64::INFINITY,
    }
}

/// What the meter says to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Admission {
    /// It is served after this many seconds.
    After(f64),
    /// 429.
    Throttled,
}

/// A correction that is due when a request ends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Refund {
    at: f64,
    load: Load,
}

impl Eq for Refund {}

impl Ord for Refund {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.total_cmp(&other.at).then(self.load[0].total_cmp(&other.load[0]))
    }
}

impl PartialOrd for Refund {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The meter of `units` units.
#[derive(Clone, Debug)]
pub struct Meter<'a> {
    profile: &'a UnitProfile,
    units: f64,
    at: f64,
    level: Load,
    refunds: BinaryHeap<Reverse<Refund>>,
}

impl<'a> Meter<'a> {
    /// An unused meter.
    #[must_use]
    pub fn new(profile: &'a UnitProfile, units: u32) -> Self {
        Self { profile, units: f64::from(units), at: 0.0, level: [0.0; 2], refunds: BinaryHeap::new() }
    }

    /// Offers a request at `at` seconds, not before the one offered last; it would be served for `service_s` seconds.
    pub fn offer(&mut self, at: f64, tokens: Tokens, service_s: f64) -> Admission {
        self.drain(at);
        let real = load(&self.profile.load, tokens);
        match &self.profile.overflow {
            Overflow::Queue => {
                let wait = self.level[0].max(self.level[1]) / self.units;
                self.pour(real);
                Admission::After(wait)
            }
            Overflow::Throttle { window, reserve_output } => {
                let full = window.as_secs_f64() * self.units;
                if self.level.iter().any(|level| *level >= full) {
                    return Admission::Throttled;
                }
                // Until it ends, a request counts with the output that was reserved for it.
                let reserved = reserve_output.map_or(tokens.output, |r| r.max(tokens.output));
                let taken = load(&self.profile.load, Tokens { output: reserved, ..tokens });
                self.pour(taken);
                if reserved > tokens.output {
                    self.refunds.push(Reverse(Refund { at: at + service_s, load: [taken[0] - real[0], taken[1] - real[1]] }));
                }
                Admission::After(0.0)
            }
        }
    }

    fn pour(&mut self, load: Load) {
        self.level = [self.level[0] + load[0], self.level[1] + load[1]];
    }

    /// Lets use drain until `at`, giving back on the way what was reserved and not used.
    fn drain(&mut self, at: f64) {
        while let Some(Reverse(refund)) = self.refunds.peek().copied().filter(|r| r.0.at <= at) {
            self.refunds.pop();
            self.flow(refund.at);
            self.level = [(self.level[0] - refund.load[0]).max(0.0), (self.level[1] - refund.load[1]).max(0.0)];
        }
        self.flow(at);
    }

    fn flow(&mut self, at: f64) {
        let gone = (at - self.at).max(0.0) * self.units;
        self.level = self.level.map(|level| (level - gone).max(0.0));
        self.at = self.at.max(at);
    }
}

/// What a request takes, in words.
#[must_use]
pub fn load_words(rule: &LoadRule) -> String {
    match rule {
        LoadRule::Tokens(rate) => format!("{:.0} input plus output tokens a second", rate.0),
        LoadRule::Weighted(w) => {
            let long = w.long.map_or_else(String::new, |l| format!("; {} and {} above {} input tokens", l.input, l.output, l.above));
            format!(
                "{:.0} weighted tokens a second: {} an input token, {} a cached one, {} an output token{long}",
                w.rate.0, w.input, w.cached, w.output
            )
        }
        LoadRule::Pools { input, output } => {
            format!("{:.0} input and {:.0} output tokens a minute, each for itself", input.0 * 60.0, output.0 * 60.0)
        }
        LoadRule::Surface(points) => format!("measured at {} mixes of input and output", points.len()),
    }
}

/// What happens above the units, in words.
#[must_use]
pub fn overflow_words(overflow: &Overflow) -> String {
    match overflow {
        Overflow::Queue => "requests wait for their turn".to_owned(),
        Overflow::Throttle { window, reserve_output } => {
            let reserved = reserve_output.map_or_else(String::new, |n| format!("; until it ends, a request counts with at least {n} output tokens"));
            format!("429 at once when the use of {} is full{reserved}", window.nanos())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::{Share, TimeSpan, TokenRate};
    use crate::scenario::plan::Provenance;
    use crate::scenario::unit::LongPrompt;
    use proptest::prelude::*;

    fn profile(load: LoadRule, overflow: Overflow) -> UnitProfile {
        UnitProfile {
            name: "U".to_owned(),
            offer: "a test".to_owned(),
            load,
            overflow,
            minimum: 1,
            increment: 1,
            source: Provenance::Assumed,
            reference: String::new(),
            as_of: "2026-01-01".to_owned(),
            note: String::new(),
        }
    }

    fn tokens(input: u32, output: u32) -> Tokens {
        Tokens { input, cached: 0, output }
    }

    fn throttle(seconds: u64, reserve_output: Option<u32>) -> Overflow {
        Overflow::Throttle { window: TimeSpan::secs(seconds), reserve_output }
    }

    #[test]
    fn each_rule_weighs_a_request_as_documented() {
        let chunk = LoadRule::Tokens(TokenRate(1580.0));
        assert_eq!(load(&chunk, tokens(1480, 100)), [1.0, 0.0]);
        // Azure, gpt-4.1: 3,000 input tokens a minute and PTU, an output token counts for 4, a cached one not at all.
        let ptu = LoadRule::Weighted(Weights { rate: TokenRate(50.0), input: 1.0, cached: 0.0, output: 4.0, long: None });
        assert_eq!(load(&ptu, Tokens { input: 1000, cached: 400, output: 100 }), [20.0, 0.0]);
        // Vertex, 2.5 pro: 650 a second and GSU, 8 an output token; long prompts 2 and 12.
        let long = Some(LongPrompt { above: 200_000, input: 2.0, output: 12.0 });
        let gsu = LoadRule::Weighted(Weights { rate: TokenRate(650.0), input: 1.0, cached: 0.1, output: 8.0, long });
        assert_eq!(load(&gsu, tokens(2600, 0))[0], 4.0);
        assert_eq!(load(&gsu, tokens(300_000, 1000))[0], (600_000.0 + 12_000.0) / 650.0);
        // Bedrock: two limits.
        let pools = LoadRule::Pools { input: TokenRate(1000.0), output: TokenRate(100.0) };
        assert_eq!(load(&pools, tokens(500, 200)), [0.5, 2.0]);
    }

    #[test]
    fn a_surface_is_exact_for_additive_work_and_flat_outside() {
        // 1 ms an input token, 5 ms an output token.
        let point = |share: f64| SurfacePoint { output_share: Share(share), rate: TokenRate(1000.0 / ((1.0 - share) + 5.0 * share)) };
        let surface = LoadRule::Surface(vec![point(0.6), point(0.1)]);
        assert!((load(&surface, tokens(700, 300))[0] - (0.7 + 1.5)).abs() < 1e-12);
        assert!((load(&surface, tokens(1000, 0))[0] - 1000.0 / point(0.1).rate.0).abs() < 1e-12);
        assert_eq!(load(&LoadRule::Surface(Vec::new()), tokens(1, 1))[0], f64::INFINITY);
    }

    /// Two units, 10 s window: 20 unit-seconds at once, then 429, and after a pause of 1 s room for 2 more.
    #[test]
    fn a_full_window_is_answered_429_at_once_and_drains_at_the_rate_bought() {
        let profile = profile(LoadRule::Tokens(TokenRate(100.0)), throttle(10, None));
        let mut meter = Meter::new(&profile, 2);
        let one_second = tokens(50, 50);
        for _ in 0..20 {
            assert_eq!(meter.offer(0.0, one_second, 1.0), Admission::After(0.0));
        }
        assert_eq!(meter.offer(0.0, one_second, 1.0), Admission::Throttled);
        assert_eq!([(); 3].map(|()| meter.offer(1.0, one_second, 1.0)), [Admission::After(0.0), Admission::After(0.0), Admission::Throttled]);
    }

    /// With 400 output tokens reserved for 100, a window holds a quarter as many requests until they end.
    #[test]
    fn what_was_reserved_and_not_written_comes_back_at_the_end() {
        let profile = profile(LoadRule::Tokens(TokenRate(100.0)), throttle(8, Some(400)));
        let mut meter = Meter::new(&profile, 1);
        let request = tokens(0, 100);
        assert_eq!([(); 3].map(|()| meter.offer(0.0, request, 2.0)), [Admission::After(0.0), Admission::After(0.0), Admission::Throttled]);
        // At 2 s: 8 - 2 drained - 6 given back = 0.
        assert_eq!(meter.offer(2.0, request, 2.0), Admission::After(0.0));
        assert!((meter.level[0] - 4.0).abs() < 1e-12);
    }

    /// Either pool refuses.
    #[test]
    fn the_fuller_of_two_pools_decides() {
        let profile = profile(LoadRule::Pools { input: TokenRate(1000.0), output: TokenRate(10.0) }, throttle(60, None));
        let mut meter = Meter::new(&profile, 1);
        assert_eq!(meter.offer(0.0, tokens(10, 600), 1.0), Admission::After(0.0));
        assert_eq!(meter.offer(0.0, tokens(10, 1), 1.0), Admission::Throttled);
        assert_eq!(meter.offer(1.0, tokens(10, 1), 1.0), Admission::After(0.0));
    }

    proptest! {
        /// forall requests: the wait is that of Lindley's recursion, W' = max(0, W + S / n - gap)
        #[test]
        fn a_queue_waits_as_lindley_says(requests in proptest::collection::vec((0.0_f64..3.0, 1_u32..400), 1..60), units in 1_u32..4) {
            let profile = profile(LoadRule::Tokens(TokenRate(100.0)), Overflow::Queue);
            let mut meter = Meter::new(&profile, units);
            let (mut at, mut wait) = (0.0, 0.0_f64);
            for (gap, size) in requests {
                at += gap;
                wait = (wait - gap).max(0.0);
                let Admission::After(found) = meter.offer(at, tokens(size, 0), 1.0) else { panic!("a queue refuses nothing") };
                prop_assert!((found - wait).abs() < 1e-9, "{found} against {wait}");
                wait += f64::from(size) / 100.0 / f64::from(units);
            }
        }

        /// forall requests: what is let in never exceeds the window and what drained since, plus one request
        #[test]
        fn no_more_is_let_in_than_was_bought(requests in proptest::collection::vec((0.0_f64..0.5, 1_u32..400), 1..200), units in 1_u32..4) {
            let profile = profile(LoadRule::Tokens(TokenRate(100.0)), throttle(5, None));
            let mut meter = Meter::new(&profile, units);
            let (mut at, mut admitted) = (0.0, 0.0);
            for (gap, size) in requests {
                at += gap;
                if meter.offer(at, tokens(size, 0), 1.0) != Admission::Throttled {
                    admitted += f64::from(size) / 100.0;
                }
                prop_assert!(admitted <= f64::from(units) * (5.0 + at) + 4.0 + 1e-9);
            }
        }
    }
}
