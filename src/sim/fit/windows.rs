//! Stretches of token gaps, each with the batch, the context and the prompt tokens that shared its iterations, as the client can reconstruct them.

use crate::record::request::RequestRecord;

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

/// A request while it streams.
struct Stream {
    first: u64,
    last: u64,
    input: f64,
    /// Tokens per nanosecond after the first.
    pace: f64,
}

fn streams(step: &[RequestRecord]) -> Vec<Stream> {
    let mut all: Vec<Stream> = step
        .iter()
        .filter_map(|r| {
            let (first, last) = (r.first_token?.0, r.last_token?.0);
            let pace = if last > first { f64::from(r.output_tokens.saturating_sub(1)) / (last - first) as f64 } else { 0.0 };
            Some(Stream { first, last, input: f64::from(r.input_tokens), pace })
        })
        .collect();
    all.sort_by_key(|s| s.first);
    all
}

/// Most requests streaming at one instant.
pub(super) fn most_streaming(step: &[RequestRecord]) -> u32 {
    let mut turns: Vec<(u64, i32)> = streams(step).iter().flat_map(|s| [(s.first, 1), (s.last, -1)]).collect();
    turns.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, change) in turns {
        now += change;
        most = most.max(now);
    }
    u32::try_from(most).unwrap_or(0)
}

/// The stretches of a step. Every sequence that decodes gets one token an iteration, so a gap of one stream is one iteration of its replica.
///
/// With `chunks` above 1 the other streams are spread evenly: the expected batch stands in for the true one. Errors of this kind (Berkson's: the
/// truth scatters around what is known) widen the residuals and leave a linear regression unbiased.
pub(super) fn of_step(step: &[RequestRecord], chunks: u32) -> Vec<Window> {
    let width = if chunks > 1 { WIDTH_OF_MANY } else { WIDTH };
    let streams = streams(step);
    let mut windows = Vec::new();
    for record in step.iter().filter(|r| r.is_ok()) {
        let Some(first) = record.first_token else { continue };
        let mut at = first.0;
        let gaps: Vec<(u64, u64)> = record
            .chunks
            .iter()
            .skip(1)
            .map(|chunk| {
                let from = at;
                at += chunk.gap;
                (from, at)
            })
            .collect();
        // Chunks of several tokens are not iterations; their stream is left out.
        if record.chunks.iter().any(|c| c.tokens != 1) {
            continue;
        }
        windows.extend(gaps.chunks_exact(width).map(|stretch| window(&streams, stretch, f64::from(record.input_tokens), f64::from(chunks.max(1)))));
    }
    let keep = windows.len().div_ceil(MOST).max(1);
    windows.into_iter().step_by(keep).collect()
}

fn window(streams: &[Stream], stretch: &[(u64, u64)], own: f64, chunks: f64) -> Window {
    let (from, to) = (stretch[0].0, stretch[stretch.len() - 1].1);
    let n = stretch.len() as f64;
    let (mut batch, mut context, mut prompts) = (0.0, 0.0, 0.0);
    let length = (to - from).max(1) as f64;
    // Streams are in order of their first token: none after this point began before the end of the stretch.
    let begun = streams.partition_point(|s| s.first <= to);
    for s in &streams[..begun] {
        if s.last > from {
            let (a, b) = (s.first.max(from), s.last.min(to));
            let share = (b.saturating_sub(a)) as f64 / length;
            let middle = f64::midpoint(a as f64, b as f64) - s.first as f64;
            batch += share;
            context += share * (s.input + 1.0 + s.pace * middle);
        }
        if s.first > from && s.first <= to {
            prompts += s.input;
        }
    }
    // The stream itself is on its replica for certain; the others with probability 1 / chunks.
    let batch = 1.0 + (batch - 1.0).max(0.0) / chunks;
    let context = own + (context - own).max(0.0) / chunks;
    Window { sums: [n, batch * n, prompts / chunks, context * n], length }
}

/// Time on the way, from requests that met an idle endpoint: TTFT less what the law says of a prompt alone. The 20th percentile over all requests
/// stands in when none did.
pub(super) fn idle_network(steps: &[&[RequestRecord]], budget: u32, law: &[f64; 4]) -> f64 {
    let (mut idle, mut any) = (Vec::new(), Vec::new());
    for step in steps {
        let mut spans: Vec<(u64, u64)> = step.iter().filter_map(|r| Some((r.sent?.0, r.last_token?.0))).collect();
        spans.sort_unstable();
        for record in step.iter().filter(|r| r.is_ok()) {
            let (Some(sent), Some(ttft)) = (record.sent, record.ttft_service()) else { continue };
            let prompt = f64::from(record.input_tokens);
            let rest = ttft.0 as f64 - (prompt / f64::from(budget.max(1))).ceil() * law[0] - prompt * law[2];
            any.push(rest);
            let until = sent.0 + ttft.0;
            let before = spans.partition_point(|s| s.0 < until);
            if spans[..before].iter().filter(|s| s.1 > sent.0).count() <= 1 {
                idle.push(rest);
            }
        }
    }
    let rank = |sorted: &[f64], share: f64| -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
        let i = ((sorted.len() as f64 * share) as usize).min(sorted.len() - 1);
        sorted[i].max(0.0)
    };
    idle.sort_by(f64::total_cmp);
    any.sort_by(f64::total_cmp);
    match (idle.is_empty(), any.is_empty()) {
        (false, _) => rank(&idle, 0.5),
        (true, false) => rank(&any, 0.2),
        (true, true) => 0.0,
    }
}
