//! Demand in figures, without any endpoint: mean, peaks, growth within the lag, a sample of lengths, and the fluid bound on chunks.

use super::recommendation::DemandFacts;
use super::search::{PARTS, Seeds};
pub use super::work::least_work_s;
use super::world::{World, effective_lag_s};
use crate::base::time::Nanos;
use crate::sim::virtual_time::Source;
use crate::workload::schedule::{self, Arrival};
use rand::RngExt;

/// Demand seen over a few periods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demand {
    /// Figures for the report.
    pub facts: DemandFacts,
    /// Requests of a period, mean.
    pub requests_per_period: f64,
    /// Length of an interval of `bins`, seconds.
    pub bin_s: f64,
    /// Tokens per second in each interval, one list a period.
    pub bins: Vec<Vec<f64>>,
    /// The 95th percentile of the minutes, tokens per second.
    pub p95_minute_tok_s: f64,
    /// Input, output and cached tokens of requests, drawn evenly from all of them; at most [`SAMPLE`].
    pub sample: Vec<Lengths>,
    /// No size with a smaller maximum can keep the promise.
    pub lowest_chunks: u32,
}

/// Tokens of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    /// Input tokens.
    pub input: u32,
    /// Output tokens.
    pub output: u32,
    /// Leading input tokens that a prefix cache may hold.
    pub shared: u32,
}

/// Requests kept as a sample of lengths.
pub const SAMPLE: usize = 3000;

/// Looks at `periods` periods of the search.
///
/// # Errors
/// When the demand cannot be drawn.
pub fn look(world: &World<'_>, periods: u32, promised: f64) -> Result<Demand, schedule::Error> {
    let period_s = world.plan.period.as_secs_f64();
    // A minute of a day; finer for short periods, so that there are intervals to speak of.
    let bin_s = (period_s / 1440.0).clamp(1.0, 60.0).min(period_s.max(1e-3));
    let mut demand = Demand { bin_s, lowest_chunks: u32::MAX, ..Demand::default() };
    let mut seen = 0_u64;
    let (mut tokens, mut input_tokens) = (0.0, 0.0);
    let mut draw = world.seed.stream("plan-sample");
    for period in 0..periods.max(1) {
        let mut schedule = world.period(Seeds::Search, period)?.into_main();
        let law = &world.draw(Seeds::Search, period).endpoint;
        let mut bins = vec![0.0; index(period_s / bin_s, 0.999).max(1)];
        let mut works: Vec<Vec<f64>> = vec![Vec::new(); PARTS];
        let last = bins.len() - 1;
        while let Some(arrival) = schedule.pop() {
            // Follow-ups of a conversation need an end to follow; here the answer takes 20 ms a token.
            let answered = arrival.at + Nanos::from_millis(20 * u64::from(arrival.output_tokens));
            schedule.completed(&arrival, answered, true);
            let at = arrival.at.as_secs_f64();
            let size = f64::from(arrival.input_tokens) + f64::from(arrival.output_tokens);
            bins[index(at / bin_s, 0.0).min(last)] += size / bin_s;
            works[index(at / period_s * PARTS as f64, 0.0).min(PARTS - 1)].push(least_work_s(law, &arrival));
            tokens += size;
            input_tokens += f64::from(arrival.input_tokens);
            seen += 1;
            keep(&mut demand.sample, seen, &arrival, &mut draw);
        }
        let window_s = period_s / PARTS as f64 + world.longest_wait_s();
        demand.lowest_chunks = demand.lowest_chunks.min(fluid_bound(works, window_s, promised));
        demand.bins.push(bins);
    }
    let looked_s = period_s * f64::from(periods.max(1));
    demand.requests_per_period = seen as f64 / f64::from(periods.max(1));
    demand.lowest_chunks = demand.lowest_chunks.clamp(1, u32::MAX);
    let mut minutes = rebinned(&demand.bins, bin_s, 60.0);
    minutes.sort_by(f64::total_cmp);
    demand.p95_minute_tok_s = quantile(&minutes, 0.95);
    let lag_s = effective_lag_s(&world.plan.autoscaler);
    demand.facts = DemandFacts {
        mean_requests_s: seen as f64 / looked_s,
        mean_tok_s: tokens / looked_s,
        mean_input_tok_s: input_tokens / looked_s,
        peak_minute_tok_s: minutes.last().copied().unwrap_or(0.0),
        growth_in_lag_p99: growth_p99(&demand.bins, bin_s, world.plan.autoscaler.window.as_secs_f64(), lag_s),
        effective_lag_s: lag_s,
    };
    Ok(demand)
}

/// Reservoir sampling: every request has the same chance to stay.
fn keep(sample: &mut Vec<Lengths>, seen: u64, arrival: &Arrival, draw: &mut crate::base::rng::Stream) {
    let lengths = Lengths { input: arrival.input_tokens, output: arrival.output_tokens, shared: arrival.shared_tokens };
    if sample.len() < SAMPLE {
        sample.push(lengths);
    } else if let Ok(place) = usize::try_from(draw.random_range(0..seen))
        && place < SAMPLE
    {
        sample[place] = lengths;
    }
}

/// The fewest chunks that could do the work of the busiest part of a period when even the heaviest of all requests that may be missed
/// fall into it. A lower bound whatever the latency: what arrives in a part must be done in it or within the patience after it.
fn fluid_bound(works: Vec<Vec<f64>>, window_s: f64, promised: f64) -> u32 {
    let total: usize = works.iter().map(Vec::len).sum();
    let missable = index(total as f64 * (1.0 - promised), 1.0);
    let busiest = works
        .into_iter()
        .map(|mut part| {
            part.sort_by(|a, b| b.total_cmp(a));
            part.iter().skip(missable).sum::<f64>() / window_s
        })
        .fold(0.0, f64::max);
    // A thousandth for the rounding of durations to nanoseconds.
    u32::try_from(index(busiest * 0.999, 0.999_999)).unwrap_or(u32::MAX).max(1)
}

/// `value` rounded down after adding `up`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate; counts and positions are not negative")]
fn index(value: f64, up: f64) -> usize {
    (value + up) as usize
}

/// Means over whole groups of intervals, about `wide_s` long; groups do not cross periods.
fn rebinned(bins: &[Vec<f64>], bin_s: f64, wide_s: f64) -> Vec<f64> {
    let group = index(wide_s / bin_s, 0.5).max(1);
    bins.iter().flat_map(|period| period.chunks(group).map(|c| c.iter().sum::<f64>() / c.len() as f64)).collect()
}

/// The 99th percentile of `max demand in (t, t + lag] / demand at t`, demand averaged over the autoscaler's window. One without demand.
fn growth_p99(bins: &[Vec<f64>], bin_s: f64, window_s: f64, lag_s: f64) -> f64 {
    let width_s = window_s.max(bin_s);
    let ahead = index(lag_s / width_s, 0.5).max(1);
    let mut growth: Vec<f64> = Vec::new();
    for period in bins {
        let level = rebinned(std::slice::from_ref(period), bin_s, width_s);
        for (i, now) in level.iter().enumerate().filter(|(_, now)| **now > 0.0) {
            let most = level[i + 1..].iter().take(ahead).fold(0.0_f64, |m, v| m.max(*v));
            if most > 0.0 {
                growth.push(most / now);
            }
        }
    }
    growth.sort_by(f64::total_cmp);
    if growth.is_empty() { 1.0 } else { quantile(&growth, 0.99) }
}

/// Nearest rank; zero for nothing.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    if sorted.is_empty() {
        return 0.0;
    }
    sorted[index(q * sorted.len() as f64, 0.0).min(sorted.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::planner::tests::tiny_plan;
    use crate::scenario::endpoint::EndpointSpec;
    use crate::scenario::slo::Slo;
    use crate::scenario::workload::Workload;
    use crate::workload::schedule::Material;

    fn demand(json: serde_json::Value) -> Demand {
        let mut plan = tiny_plan();
        plan.demand = Some(serde_json::from_value(json).unwrap());
        let (workload, material, slo) = (Workload::default(), Material::default(), Slo::default());
        let world = World::new(&plan, &workload, &slo, &EndpointSpec::default(), &material, Seed(1)).unwrap();
        look(&world, 3, 0.99).unwrap()
    }

    #[test]
    fn steady_demand_has_its_mean_as_its_peak_and_does_not_grow() {
        let demand = demand(serde_json::json!({ "constant": { "rate": "2/s" } }));
        assert!((demand.facts.mean_requests_s - 2.0).abs() < 0.02, "{:?}", demand.facts);
        assert!((demand.facts.mean_tok_s - 768.0).abs() < 8.0);
        assert!((demand.facts.peak_minute_tok_s - 768.0).abs() < 14.0);
        assert!((demand.facts.growth_in_lag_p99 - 1.0).abs() < 0.05);
        assert_eq!(demand.sample.len(), SAMPLE.min(3 * 1200));
        assert_eq!(demand.lowest_chunks, 1);
    }

    #[test]
    fn a_ramp_grows_within_the_lag_by_its_slope() {
        // From 1/s to 5/s over 10 min; the effective lag is 345 s: demand at t = 0 grows from about 1.2 to about 3.5 within it.
        let demand = demand(serde_json::json!({ "constant": { "rate": { "ramp": { "from": "1/s", "to": "5/s", "over": "10min" } } } }));
        assert!((2.2..3.4).contains(&demand.facts.growth_in_lag_p99), "{:?}", demand.facts);
        assert!((demand.facts.mean_requests_s - 3.0).abs() < 0.05);
        assert!(demand.p95_minute_tok_s <= demand.facts.peak_minute_tok_s);
    }

    #[test]
    fn the_fluid_bound_grows_with_demand_and_leaves_out_what_may_be_missed() {
        assert_eq!(fluid_bound(vec![vec![1.0; 100]], 10.0, 0.99), 10);
        assert_eq!(fluid_bound(vec![vec![1.0; 100]], 10.0, 0.5), 5);
        let mut heavy = vec![1.0; 99];
        heavy.push(1000.0);
        assert_eq!(fluid_bound(vec![heavy], 10.0, 0.99), 10);
        assert_eq!(fluid_bound(vec![Vec::new()], 10.0, 0.99), 1);
    }
}
