//! Sight: what was in the endpoint at every instant, as far as a client can tell: requests streaming, waiting, their context; and where a limit held.

use crate::record::request::RequestRecord;

/// A limit is looked for in steps that waited at least this share of their busy time.
const WAITING_SHARE: f64 = 0.1;
/// The quantile of time that stands for the plateau.
const PLATEAU: f64 = 0.98;

/// What was seen, over all steps; of the whole endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sight {
    /// Most requests streaming at once.
    pub(super) streaming: u32,
    /// Most tokens of context at once.
    pub(super) context: f64,
    /// Most tokens at once over streaming requests, each counted as a whole from its first token on.
    pub(super) reserved: f64,
    /// The plateau where requests waited for a place.
    pub(super) held: Option<Held>,
    /// Requests waiting when others were refused (429): half of the refusals saw no more. `None` without refusals.
    pub(super) queue: Option<u32>,
}

/// What was held back, at the plateau of the step that waited most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Held {
    /// Requests streaming.
    pub(super) streaming: f64,
    /// Tokens of context.
    pub(super) context: f64,
    /// Tokens reserved.
    pub(super) reserved: f64,
}

/// One stretch between two events.
struct Stretch {
    length: f64,
    waiting: i64,
    streaming: i64,
    context: f64,
    reserved: f64,
}

impl Stretch {
    /// Whether requests wait for a place. Prompts in the works wait as well; a queue is longer than they are.
    fn is_held(&self) -> bool {
        self.waiting >= 2.max(self.streaming / 4)
    }
}

/// Share of the time with anybody streaming in which requests waited for a place.
pub(super) fn waiting_share(step: &[RequestRecord]) -> f64 {
    let stretches = stretches(step);
    let time = |held: bool| stretches.iter().filter(|s| s.streaming > 0 && (!held || s.is_held())).map(|s| s.length).sum::<f64>();
    time(true) / time(false).max(1.0)
}

/// Looks at every step.
pub(super) fn look(steps: &[&[RequestRecord]]) -> Sight {
    let mut sight = Sight::default();
    let mut longest = 0.0;
    let mut queues = Vec::new();
    for step in steps {
        let stretches = stretches(step);
        let most = |of: fn(&Stretch) -> f64| stretches.iter().map(of).fold(0.0, f64::max);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests")]
        let streaming = quantile(&stretches, 0.999, |s| s.streaming as f64) as u32;
        sight.streaming = sight.streaming.max(streaming);
        sight.context = sight.context.max(most(|s| s.context));
        sight.reserved = sight.reserved.max(most(|s| s.reserved));
        let busy: f64 = stretches.iter().filter(|s| s.streaming > 0).map(|s| s.length).sum();
        let held: Vec<Stretch> = stretches.into_iter().filter(Stretch::is_held).collect();
        let waited: f64 = held.iter().map(|s| s.length).sum();
        if waited > WAITING_SHARE * busy && waited > longest {
            longest = waited;
            sight.held = Some(Held {
                streaming: quantile(&held, PLATEAU, |s| s.streaming as f64),
                context: quantile(&held, PLATEAU, |s| s.context),
                reserved: quantile(&held, PLATEAU, |s| s.reserved),
            });
        }
        queues.extend(refused(step));
    }
    queues.sort_unstable();
    sight.queue = (queues.len() >= 5).then(|| queues[queues.len() / 2]);
    sight
}

/// Time-weighted quantile of a figure; 0 without time.
fn quantile(stretches: &[Stretch], q: f64, of: fn(&Stretch) -> f64) -> f64 {
    let mut values: Vec<(f64, f64)> = stretches.iter().map(|s| (of(s), s.length)).collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = values.iter().map(|v| v.1).sum();
    let mut below = 0.0;
    for (value, length) in values {
        below += length;
        if below >= q * total {
            return value;
        }
    }
    0.0
}

/// What changes when.
struct Turn {
    at: u64,
    waiting: i64,
    streaming: i64,
    reserved: f64,
    /// Context of a stream is `level + pace * time`.
    level: f64,
    pace: f64,
}

fn stretches(step: &[RequestRecord]) -> Vec<Stretch> {
    let mut turns = Vec::new();
    for r in step {
        let Some(sent) = r.sent else { continue };
        let turn = |at: u64| Turn { at, waiting: 0, streaming: 0, reserved: 0.0, level: 0.0, pace: 0.0 };
        let ends_wait = r.first_token.unwrap_or(r.closed).0;
        turns.push(Turn { waiting: 1, ..turn(sent.0) });
        turns.push(Turn { waiting: -1, ..turn(ends_wait) });
        if let (Some(first), Some(last)) = (r.first_token, r.last_token) {
            let reserved = f64::from(r.input_tokens) + f64::from(r.output_tokens);
            let span = last.since(first).0.max(1) as f64;
            let pace = f64::from(r.output_tokens.saturating_sub(1)) / span;
            let level = f64::from(r.input_tokens) + 1.0 - pace * first.0 as f64;
            turns.push(Turn { streaming: 1, reserved, level, pace, ..turn(first.0) });
            turns.push(Turn { streaming: -1, reserved: -reserved, level: -level, pace: -pace, ..turn(last.0) });
        }
    }
    turns.sort_by_key(|t| t.at);
    let mut found = Vec::new();
    let mut now = Stretch { length: 0.0, waiting: 0, streaming: 0, context: 0.0, reserved: 0.0 };
    let (mut level, mut pace) = (0.0, 0.0);
    for pair in turns.windows(2) {
        now.waiting += pair[0].waiting;
        now.streaming += pair[0].streaming;
        now.reserved += pair[0].reserved;
        level += pair[0].level;
        pace += pair[0].pace;
        if pair[1].at > pair[0].at {
            let middle = f64::midpoint(pair[0].at as f64, pair[1].at as f64);
            let context = if now.streaming > 0 { (level + pace * middle).max(0.0) } else { 0.0 };
            found.push(Stretch {
                length: (pair[1].at - pair[0].at) as f64,
                waiting: now.waiting,
                streaming: now.streaming,
                context,
                reserved: now.reserved,
            });
        }
    }
    found
}

/// Requests without a first token at the instant of each refusal.
fn refused(step: &[RequestRecord]) -> Vec<u32> {
    let mut begun: Vec<u64> = step.iter().filter(|r| r.first_token.is_some()).filter_map(|r| r.sent).map(|t| t.0).collect();
    let mut served: Vec<u64> = step.iter().filter_map(|r| r.first_token).map(|t| t.0).collect();
    begun.sort_unstable();
    served.sort_unstable();
    let waiting = |at: u64| begun.partition_point(|&t| t < at).saturating_sub(served.partition_point(|&t| t <= at));
    step.iter().filter(|r| r.status == 429).filter_map(|r| r.sent).map(|t| u32::try_from(waiting(t.0)).unwrap_or(u32::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Nanos;
    use crate::record::outcome::Outcome;
    use crate::record::request::Phase;

    fn record(seq: u64, sent_ms: u64, first_ms: u64, last_ms: u64) -> RequestRecord {
        let mut r = RequestRecord::due(seq, Phase::Measure, Nanos::from_millis(sent_ms), 100, 50);
        (r.sent, r.first_token, r.last_token) = (Some(r.intended), Some(Nanos::from_millis(first_ms)), Some(Nanos::from_millis(last_ms)));
        (r.closed, r.output_tokens, r.outcome) = (Nanos::from_millis(last_ms), 50, Outcome::Ok);
        r
    }

    #[test]
    fn a_queue_in_front_of_two_places_shows_the_two_places() {
        // Two at a time, 100 ms each, all sent at once.
        let step: Vec<RequestRecord> = (0..20).map(|i| record(i, 0, i / 2 * 100 + 1, i / 2 * 100 + 100)).collect();
        let sight = look(&[&step]);
        assert_eq!(sight.streaming, 2);
        assert_eq!(sight.held.map(|h| (h.streaming, h.reserved)), Some((2.0, 300.0)));
        // Two of 100 prompt tokens, in the middle of answers of 50.
        assert!((sight.context - 251.0).abs() < 1e-6, "{sight:?}");
    }

    #[test]
    fn without_a_queue_no_limit_is_seen() {
        let step: Vec<RequestRecord> = (0..20).map(|i| record(i, i * 100, i * 100 + 1, i * 100 + 90)).collect();
        assert_eq!(look(&[&step]).held, None);
    }
}
