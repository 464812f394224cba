//! Certification: fixed sequences of sizes, from safe to cheap, judged by periods that the search never saw.

use super::walk::Walk;
use super::{Judged, Look, Rules, Seeds, Size, mean_cost};
use crate::planner::bar::{Bar, Tally};

/// Sizes in the order in which each round tests them. They are chosen by the periods of the search alone: what certification sees may not
/// steer what it tests.
///
/// First round: a size that is comfortable in the search, those between it and the cheapest that passed, the cheapest, and near misses. Each
/// later round starts from a safer size and goes on as the first.
pub(super) fn sequences(walk: &mut Walk<'_>, best: Size) -> Vec<Vec<Size>> {
    let start = comfortable(walk, best);
    // The draws of certification may be harder than those of the search: with several, a size a tenth larger goes first.
    let mut first = if walk.bar().draws > 1 { vec![grown(walk, start, 1.1), start] } else { vec![start] };
    let between = walk.passing().into_iter().map(|(_, size)| size).take_while(|size| *size != start);
    let mut between: Vec<Size> = between.filter(|size| *size == best || is_seen_in_whole(walk, *size)).collect();
    between.reverse();
    first.extend(thinned(between));
    first.extend(near_misses(walk, best));
    first.dedup();
    let mut sequences = vec![first.clone()];
    let mut ahead = start;
    for factor in if walk.bar().draws > 1 { [1.4, 1.4, 1.4] } else { [1.2, 1.4, 2.0] } {
        ahead = grown(walk, ahead, factor);
        sequences.push(std::iter::once(ahead).chain(first.iter().copied()).collect());
    }
    sequences
}

/// A size larger by a factor, one chunk more of both at least; not beyond the largest.
fn grown(walk: &Walk<'_>, size: Size, factor: f64) -> Size {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, and the largest size bounds it")]
    let by = |chunks: u32| ((f64::from(chunks) * factor).ceil() as u32).max(chunks + 1).min(walk.rules.max_chunks);
    Size { min: by(size.min), max: by(size.max) }
}

/// At most four of a list, evenly spread, the last one among them.
fn thinned(sizes: Vec<Size>) -> Vec<Size> {
    const KEPT: usize = 4;
    let count = sizes.len();
    if count <= KEPT {
        return sizes;
    }
    (1..=KEPT).filter_map(|i| sizes.get(i * count / KEPT - 1).copied()).collect()
}

fn is_seen_in_whole(walk: &Walk<'_>, size: Size) -> bool {
    walk.looked().get(&size).is_some_and(|periods| periods.len() >= walk.bar().periods() as usize)
}

/// The cheapest size seen in whole that loses no more than half of what the search allows, among `best` and what is around and above it.
fn comfortable(walk: &mut Walk<'_>, best: Size) -> Size {
    let full = walk.bar().periods();
    let mut at = best;
    for _ in 0..6 {
        let steps = [(0, 0), (0, 1), (1, 0), (1, 1)];
        let around: Vec<Size> = walk.around(at, &steps).collect();
        for size in &around {
            walk.passes(*size, full);
        }
        let easy = walk.passing().into_iter().map(|(_, size)| size).find(|size| size.dominates(best) && is_easy(walk, *size));
        if let Some(size) = easy {
            return size;
        }
        let Some(next) = around.into_iter().rfind(|size| *size != at) else { break };
        at = next;
    }
    at
}

fn is_easy(walk: &Walk<'_>, size: Size) -> bool {
    let bar = walk.bar();
    let half = Bar { bad_periods: bar.bad_periods / 2, risk: bar.risk / 2.0, ..bar };
    let Some(periods) = walk.looked().get(&size) else { return false };
    let mut tally = Tally::new(half);
    for (index, period) in (0..).zip(periods) {
        tally.add(index, walk.rules.keeps(period));
    }
    is_seen_in_whole(walk, size) && !tally.is_missed()
}

/// At most two sizes that are cheaper than the cheapest that passed and lost no larger share of periods than is promised, dearest first.
fn near_misses(walk: &Walk<'_>, best: Size) -> Vec<Size> {
    let Some(own) = walk.looked().get(&best) else { return Vec::new() };
    let saving = |periods: &[_]| mean_cost(&own[..own.len().min(periods.len())]) - mean_cost(periods);
    let may_do = |periods: &[_]| f64::from(walk.rules.failures(periods)) <= (1.0 - walk.rules.periods) * periods.len() as f64;
    let passing: Vec<Size> = walk.passing().into_iter().map(|(_, size)| size).collect();
    let mut near: Vec<(f64, Size)> = walk
        .looked()
        .iter()
        .filter(|(size, periods)| !passing.contains(size) && saving(periods) > 0.0 && may_do(periods))
        .map(|(&size, periods)| (saving(periods), size))
        .collect();
    near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    near.into_iter().take(2).map(|(_, size)| size).collect()
}

/// Certifies by fixed-sequence tests: sizes in a fixed order, each by the same fresh periods, until the first failure; the cheapest that passed
/// is chosen. Every size may be tested at the full risk of its round, because a wrong promise needs the first bad size in the sequence to pass
/// (Maurer, Hothorn, Lehmacher 1995). When even the first size fails, the next round starts from a dearer one, on new seeds; see [`Rules::bars`].
pub(super) fn certify(walk: &mut Walk<'_>, sequences: &[Vec<Size>]) -> (Vec<Judged>, Option<Judged>) {
    let mut judged: Vec<Judged> = Vec::new();
    let bars = Rules::bars(walk.rules);
    for (round, (sequence, bar)) in (0..).zip(sequences.iter().zip(bars)) {
        let mut chosen: Option<Judged> = None;
        for &size in sequence {
            walk.show(Look { size, seeds: Seeds::Certify(round) });
            let mut tally = Tally::new(bar);
            let mut periods = Vec::new();
            walk.extend(size, Seeds::Certify(round), bar.periods(), &mut tally, &mut periods);
            let certified = !tally.is_missed();
            let verdict = Judged { size, round, bar, periods, bad_draws: tally.bad_draws(), risk: tally.risk(), certified };
            judged.push(verdict.clone());
            if !certified {
                break;
            }
            // The cheapest that passed: the order came from the search, the fresh periods may put two near ones the other way.
            if chosen.as_ref().is_none_or(|c| mean_cost(&verdict.periods) <= mean_cost(&c.periods)) {
                chosen = Some(verdict);
            }
        }
        if chosen.is_some() {
            return (judged, chosen);
        }
    }
    (judged, None)
}
