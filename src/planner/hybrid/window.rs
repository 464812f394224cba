//! A window of a period, simulated event by event with the requests that a full simulation would see.

use super::input::PeriodInput;
use super::screen::Window;
use crate::base::time::Nanos;
use crate::planner::binned::{BIN_NS, Request};
use crate::planner::judgement::Judgement;
use crate::planner::search::{MissCounts, PARTS};
use crate::sim::bulk::{self, Job};
use crate::sim::endpoint::Endpoint;
use crate::sim::event::{Detail, ScaleEvent};

/// What a window came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// Requests due in it that were not good.
    pub missed: u64,
    /// Why.
    pub causes: MissCounts,
    /// By part of the period.
    pub by_part: [u32; PARTS],
    /// Requests simulated, warm-up and what came after included.
    pub simulated: u64,
    /// Whether it was left before its end because it had missed `enough`.
    pub cut: bool,
}

/// Simulates `window` on chunks that follow `path`, until all that counts is over or more than `enough` requests were missed.
pub(super) fn look(input: &PeriodInput<'_>, path: &[ScaleEvent], window: &Window, enough: u64) -> Looked {
    let demand = input.demand;
    let begin = window.warm_from as u64 * BIN_NS;
    let (count_from, count_to) = (window.from as u64 * BIN_NS, window.to as u64 * BIN_NS);
    // Requests that come later share batches with those that count, until these are over.
    let after = usize::try_from(input.patience.total.0.div_ceil(BIN_NS)).unwrap_or(usize::MAX);
    let last = window.to.saturating_add(after).min(demand.bins());
    let mut requests: Vec<Request> = Vec::new();
    let mut bin = window.warm_from;
    let pairs = demand.rows().pairs();
    let counted = window.requests(input.profile);
    let mut looked = Looked::default();
    let (from, to) = (count_from - begin, count_to - begin);
    // Bins are drawn as they are needed; what an end needs to know of its request is kept.
    let outputs: std::cell::RefCell<Vec<u32>> = std::cell::RefCell::new(Vec::new());
    let mut next = 0;
    let jobs = std::iter::from_fn(|| {
        while next == requests.len() && bin < last {
            requests.clear();
            next = 0;
            demand.draw(bin, &mut requests);
            bin += 1;
        }
        let request = requests.get(next)?;
        next += 1;
        let pair = pairs[request.row];
        outputs.borrow_mut().push(pair.output);
        Some(Job { at: request.at - begin, input: pair.input, output: pair.output, cached: 0 })
    });
    let shifted = shifted(path, begin);
    let mut endpoint = Endpoint::prescribed(input.spec, input.seed, Detail::Requests, &shifted);
    let mut over = 0;
    if counted == 0 {
        return looked;
    }
    bulk::run(jobs, &mut endpoint, input.patience, None, &mut |ended| {
        if !(from..to).contains(&ended.at) {
            return true;
        }
        over += 1;
        let judgement = Judgement::of_ended(ended, outputs.borrow()[ended.job as usize], &input.bounds);
        if !judgement.is_good() {
            looked.missed += 1;
            looked.causes.add(judgement);
            looked.by_part[input.part(begin + ended.at)] += 1;
        }
        looked.cut = looked.missed > enough;
        over < counted && !looked.cut
    });
    looked.simulated = outputs.borrow().len() as u64;
    looked
}

/// The path as seen by an endpoint whose zero is `begin`.
fn shifted(path: &[ScaleEvent], begin: u64) -> Vec<ScaleEvent> {
    let later = path.partition_point(|e| e.at.0 <= begin);
    let first = later.checked_sub(1).and_then(|i| path.get(i)).map(|e| ScaleEvent { at: Nanos::ZERO, ..*e });
    first.into_iter().chain(path[later..].iter().map(|e| ScaleEvent { at: Nanos(e.at.0 - begin), ..*e })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_and_moved() {
        let at = |s, ready| ScaleEvent { at: Nanos::from_secs(s), ready, pending: 0 };
        let path = [at(0, 1), at(10, 2), at(20, 3)];
        assert_eq!(shifted(&path, 0), path);
        assert_eq!(shifted(&path, 12_000_000_000), [at(0, 2), at(8, 3)]);
        assert_eq!(shifted(&path, 20_000_000_000), [at(0, 3)]);
    }
}
