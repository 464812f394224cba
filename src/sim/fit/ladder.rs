//! The idle prompt ladder: requests that met an idle endpoint show network time, prompt cost and, by its steps, the prefill budget.

use super::solve;
use crate::record::request::RequestRecord;

/// Budgets that are tried, tokens: multiples of the least one up to the most.
const LEAST: u32 = 16;
const MOST: u32 = 16_384;
/// Requests that a ladder needs before its steps are believed.
const ENOUGH: usize = 16;
/// Another budget explains the ladder as well when its error is at most this multiple of the best one.
const AS_WELL: f64 = 1.05;
/// The ladder shows the budget when no budget at all is worse by this factor.
const CLEARLY: f64 = 1.3;
/// Candidates handed on.
const KEPT: usize = 4;

/// One request that met an idle endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rung {
    /// Prompt tokens to compute.
    prompt: f64,
    /// TTFT from the send instant, nanoseconds.
    ttft: f64,
}

/// Every request during whose wait for its first token no other was open.
pub(super) fn rungs(steps: &[&[RequestRecord]]) -> Vec<Rung> {
    let mut found = Vec::new();
    for step in steps {
        let mut spans: Vec<(u64, u64)> = step.iter().filter_map(|r| Some((r.sent?.0, r.last_token.unwrap_or(r.closed).0))).collect();
        spans.sort_unstable();
        // The latest end among the first i: whether anybody who came before is still there.
        let mut latest = vec![0];
        for span in &spans {
            latest.push(span.1.max(latest[latest.len() - 1]));
        }
        for record in step.iter().filter(|r| r.is_ok()) {
            let (Some(sent), Some(ttft)) = (record.sent, record.ttft_service()) else { continue };
            let place = spans.partition_point(|s| s.0 < sent.0);
            let followers = spans.partition_point(|s| s.0 < sent.0 + ttft.0) - place;
            if latest[place] <= sent.0 && followers <= 1 {
                let cached = record.usage.and_then(|u| u.cached).unwrap_or(0);
                found.push(Rung { prompt: f64::from(record.input_tokens.saturating_sub(cached).max(1)), ttft: ttft.0 as f64 });
            }
        }
    }
    found
}

/// What the ladder says of the prefill budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Budget {
    /// Budgets that explain it, the best first; empty for too few requests.
    pub(super) candidates: Vec<u32>,
    /// The steps were seen: a ladder without them is clearly worse.
    pub(super) is_seen: bool,
}

/// Profile likelihood over budgets: TTFT = network + ceil(p / C) a + c p, by least absolute-like (Huber) regression for each C.
pub(super) fn budget(rungs: &[Rung]) -> Budget {
    let longest = rungs.iter().map(|r| r.prompt).fold(0.0, f64::max);
    if rungs.len() < ENOUGH || longest < 2.0 * f64::from(LEAST) {
        return Budget::default();
    }
    let mut all: Vec<(u32, f64)> =
        (1..=MOST / LEAST).map(|i| i * LEAST).take_while(|&c| f64::from(c) < longest).map(|c| (c, error(rungs, f64::from(c)))).collect();
    let none = error(rungs, f64::INFINITY);
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    let best = all.first().map_or(f64::INFINITY, |a| a.1);
    let mut candidates: Vec<u32> = Vec::new();
    // Of budgets that cannot be told apart the roundest stands for its neighbours.
    let mut close: Vec<u32> = all.iter().filter(|a| a.1 <= best * AS_WELL).map(|a| a.0).collect();
    close.sort_by_key(|c| std::cmp::Reverse((c.trailing_zeros(), *c)));
    for c in close {
        if candidates.iter().all(|&k| f64::from(c.abs_diff(k)) > 0.15 * f64::from(k)) && candidates.len() < KEPT {
            candidates.push(c);
        }
    }
    Budget { candidates, is_seen: none > best * CLEARLY }
}

/// Mean absolute residual of the ladder with budget `c` (infinite: without steps).
fn error(rungs: &[Rung], c: f64) -> f64 {
    let row = |r: &Rung| [1.0, if c.is_finite() { (r.prompt / c).ceil() } else { 1.0 }, r.prompt];
    let columns: &[usize] = if c.is_finite() { &[0, 1, 2] } else { &[0, 2] };
    let mut weights = vec![1.0; rungs.len()];
    let mut residuals = vec![0.0; rungs.len()];
    for _ in 0..4 {
        let n = columns.len();
        let (mut matrix, mut right) = (vec![vec![0.0; n]; n], vec![0.0; n]);
        for (rung, w) in rungs.iter().zip(&weights) {
            let x = row(rung);
            for (k, &i) in columns.iter().enumerate() {
                right[k] += w * x[i] * rung.ttft;
                for (l, &j) in columns.iter().enumerate() {
                    matrix[k][l] += w * x[i] * x[j];
                }
            }
        }
        let found = solve::general(matrix, right);
        // A step downwards, or a prompt that costs less than nothing, explains nothing.
        if found.iter().skip(1).any(|v| *v < 0.0) {
            return f64::INFINITY;
        }
        for (residual, rung) in residuals.iter_mut().zip(rungs) {
            let x = row(rung);
            *residual = rung.ttft - columns.iter().zip(&found).map(|(&i, v)| x[i] * v).sum::<f64>();
        }
        let scale = (solve::median_abs(&residuals) * 1.4826).max(1e3);
        for (w, r) in weights.iter_mut().zip(&residuals) {
            *w = (1.345 * scale / r.abs().max(1.0)).min(1.0);
        }
    }
    residuals.iter().map(|r| r.abs()).sum::<f64>() / residuals.len() as f64
}

/// Time on the way, nanoseconds: the median over the rungs of TTFT less what the law (a, b, c, d) says of a prompt alone. `None` without rungs.
pub(super) fn network(rungs: &[Rung], budget: u32, law: &[f64; 4]) -> Option<f64> {
    let mut rest: Vec<f64> = rungs.iter().map(|r| r.ttft - (r.prompt / f64::from(budget.max(1))).ceil() * law[0] - r.prompt * law[2]).collect();
    rest.sort_by(f64::total_cmp);
    rest.get(rest.len() / 2).map(|v| v.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(budget: f64, a: f64) -> Vec<Rung> {
        // A saw-tooth stands in for noise: 0.2 % of the value, both ways.
        let noisy = |i: u32, v: f64| v * (1.0 + 0.002 * (f64::from(i * 7 % 5) - 2.0));
        (1..=48_u32)
            .map(|i| {
                let prompt = f64::from(i % 12 * 210 + 40);
                Rung { prompt, ttft: noisy(i, 3e6 + (prompt / budget).ceil() * a + 60_000.0 * prompt) }
            })
            .collect()
    }

    #[test]
    fn the_steps_of_the_ladder_show_the_budget() {
        for budget in [256_u32, 512, 1024] {
            let found = super::budget(&ladder(f64::from(budget), 12e6));
            assert!(found.is_seen, "{budget}: {found:?}");
            let within = found.candidates.iter().any(|c| f64::from(c.abs_diff(budget)) <= 0.1 * f64::from(budget));
            assert!(within, "{budget}: {found:?}");
        }
    }

    #[test]
    fn a_ladder_below_the_budget_shows_none() {
        assert!(!super::budget(&ladder(8192.0, 12e6)).is_seen);
        assert_eq!(super::budget(&[]), Budget::default());
    }
}
