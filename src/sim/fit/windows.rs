//! Stretches of token gaps, each with the batch, the context and the prompt tokens that shared its iterations, as the client can reconstruct them.

use crate::base::stats::sample::mean_variance;
use crate::record::request::RequestRecord;
use std::collections::BTreeMap;

/// Gaps in a stretch on one chunk: long enough to even out jitter, short enough for the batch to stay nearly the same.
pub(super) const WIDTH: usize = 4;
/// Gaps in a stretch on several chunks, where a client sees only the sum: longer, so that what one replica does evens out.
const WIDTH_OF_MANY: usize = 16;
/// Stretches kept of one step, spread evenly over it.
const MOST: usize = 6000;

/// One stretch of [`WIDTH`] iterations of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Sums over its iterations: iterations, decoding sequences, prompt tokens, context tokens.
    pub(super) sums: [f64; 4],
    /// Its length in nanoseconds.
    pub(super) length: f64,
}

/// The wait for one chunk.
struct Gap {
    from: u64,
    to: u64,
    iterations: f64,
}

/// A request while it streams.
struct Stream {
    /// When the endpoint turned to its prompt, first come, first served: when it was sent, or when the prompt before it was done.
    turned: u64,
    first: u64,
    last: u64,
    input: f64,
    /// Prompt tokens that were computed.
    computed: f64,
    /// Tokens per nanosecond after the first.
    pace: f64,
}

fn streams(step: &[RequestRecord]) -> Vec<Stream> {
    let mut all: Vec<Stream> = step
        .iter()
        .filter_map(|r| {
            let (first, last) = (r.first_token?.0, r.last_token?.0);
            let pace = if last > first { f64::from(r.output_tokens.saturating_sub(1)) / (last - first) as f64 } else { 0.0 };
            let cached = r.usage.and_then(|u| u.cached).unwrap_or(0);
            let computed = f64::from(r.input_tokens.saturating_sub(cached).max(1));
            Some(Stream { turned: r.sent?.0, first, last, input: f64::from(r.input_tokens), computed, pace })
        })
        .collect();
    all.sort_by_key(|s| s.first);
    for i in 1..all.len() {
        all[i].turned = all[i].turned.max(all[i - 1].first).min(all[i].first);
    }
    all
}

/// Tokens that a sequence gets from one iteration: the number that most chunks hold, if nearly all hold the same one (speculative decoding); else 1.
/// First and last chunks may hold fewer and are not asked.
pub(super) fn tokens_per_step(steps: &[&[RequestRecord]]) -> u32 {
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    let mut all = 0;
    for record in steps.iter().flat_map(|s| s.iter()).filter(|r| r.is_ok() && r.chunks.len() > 2) {
        for chunk in &record.chunks[1..record.chunks.len() - 1] {
            *counts.entry(chunk.tokens).or_default() += 1;
            all += 1;
        }
    }
    let most = counts.iter().max_by_key(|(_, n)| **n);
    most.filter(|(tokens, n)| **tokens > 1 && **n * 10 >= all * 9).map_or(1, |(tokens, _)| *tokens)
}

/// The stretches of a step. Every sequence that decodes gets `per_step` tokens an iteration, so a gap of one stream is as many iterations of its
/// replica as its chunk has tokens, over `per_step`. Chunks of several tokens without a rule count by their tokens, never as one iteration.
///
/// With `chunks` above 1 the other streams are spread evenly: the expected batch stands in for the true one. Errors of this kind (Berkson's: the
/// truth scatters around what is known) widen the residuals and leave a linear regression unbiased.
pub(super) fn of_step(step: &[RequestRecord], chunks: u32, per_step: u32) -> Vec<Window> {
    let width = if chunks > 1 { WIDTH_OF_MANY } else { WIDTH };
    let streams = streams(step);
    let mut windows = Vec::new();
    for record in step.iter().filter(|r| r.is_ok()) {
        let Some(first) = record.first_token else { continue };
        let mut at = first.0;
        let gaps: Vec<Gap> = record
            .chunks
            .iter()
            .skip(1)
            .map(|chunk| {
                let from = at;
                at += chunk.gap;
                Gap { from, to: at, iterations: f64::from(chunk.tokens) / f64::from(per_step.max(1)) }
            })
            .collect();
        windows.extend(gaps.chunks_exact(width).map(|stretch| window(&streams, stretch, f64::from(record.input_tokens), f64::from(chunks.max(1)))));
    }
    let keep = windows.len().div_ceil(MOST).max(1);
    windows.into_iter().step_by(keep).collect()
}

fn window(streams: &[Stream], stretch: &[Gap], own: f64, chunks: f64) -> Window {
    let (from, to) = (stretch[0].from, stretch[stretch.len() - 1].to);
    let n: f64 = stretch.iter().map(|g| g.iterations).sum();
    let (mut batch, mut context, mut prompts) = (0.0, 0.0, 0.0_f64);
    let length = (to - from).max(1) as f64;
    // Streams are in order of their first token: none after this point began before the end of the stretch.
    let begun = streams.partition_point(|s| s.first <= to);
    let per_iteration = length / n.max(1.0);
    // The prompts on which the endpoint worked meanwhile; each takes an iteration at least. They are in order of their turns as well.
    for s in streams[streams.partition_point(|s| s.first <= from)..].iter().take_while(|s| s.turned < to) {
        let begin = (s.turned as f64).min(s.first as f64 - per_iteration);
        let (a, b) = (begin.max(from as f64), (s.first as f64).min(to as f64));
        prompts += s.computed * ((b - a) / (s.first as f64 - begin).max(1.0)).clamp(0.0, 1.0);
    }
    for s in &streams[..begun] {
        if s.last > from {
            let (a, b) = (s.first.max(from), s.last.min(to));
            let share = (b.saturating_sub(a)) as f64 / length;
            let middle = f64::midpoint(a as f64, b as f64) - s.first as f64;
            batch += share;
            context += share * (s.input + 1.0 + s.pace * middle);
        }
    }
    // The stream itself is on its replica for certain; the others with probability 1 / chunks.
    let batch = 1.0 + (batch - 1.0).max(0.0) / chunks;
    let context = own + (context - own).max(0.0) / chunks;
    Window { sums: [n, batch * n, prompts / chunks, context * n], length }
}

/// Relative scatter of single iterations, from streams that were alone: median absolute deviation of a gap from the mean of its two neighbours, as
/// a standard deviation. `None` for fewer than 30 such gaps. The client's own scatter is in it.
pub(super) fn noise(steps: &[&[RequestRecord]], per_step: u32) -> Option<f64> {
    let mut found = Vec::new();
    for step in steps {
        let streams = streams(step);
        for record in step.iter().filter(|r| r.is_ok() && r.chunks.len() > 3) {
            let (Some(first), Some(last)) = (record.first_token, record.last_token) else { continue };
            let with = streams.iter().filter(|s| s.first <= last.0 && s.last >= first.0).count();
            if with > 1 {
                continue;
            }
            let gaps: Vec<f64> = record.chunks[1..].iter().filter(|c| c.tokens == per_step).map(|c| c.gap as f64).collect();
            // A gap less the mean of its neighbours has 1.5 times the variance of a gap.
            found.extend(gaps.windows(3).map(|g| (g[1] - f64::midpoint(g[0], g[2])) / 1.5_f64.sqrt() / f64::midpoint(g[0], g[2]).max(1.0)));
        }
    }
    (found.len() >= 30).then(|| super::solve::median_abs(&found) * 1.4826)
}

/// Coefficient of variation of the prompts of requests that ended well.
pub(super) fn spread_of_prompts(steps: &[&[RequestRecord]]) -> f64 {
    let prompts: Vec<f64> = steps.iter().flat_map(|s| s.iter()).filter(|r| r.is_ok()).map(|r| f64::from(r.input_tokens)).collect();
    let (mean, variance) = mean_variance(&prompts);
    if mean > 0.0 { variance.sqrt() / mean } else { 0.0 }
}
