//! Whether a request was good, and how many chunks served: what every way of simulating a period counts by.

use super::bounds::Bounds;
use super::search::MissCounts;
use crate::base::time::Nanos;
use crate::record::outcome::Group;
use crate::record::request::RequestRecord;
use crate::sim::bulk::{Ended, How};
use crate::sim::event::ScaleEvent;

/// What became of a request, by the objectives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// TTFT above its bound.
    pub ttft: bool,
    /// TPOT above its bound.
    pub tpot: bool,
    /// E2E above its bound.
    pub e2e: bool,
    /// How it ended, when not well.
    pub ended: Option<Group>,
}

impl Judgement {
    /// Judges a record: good means it ended well and met every bound. A TPOT that is not defined (one token) meets its bound.
    #[must_use]
    pub fn of(record: &RequestRecord, bounds: &Bounds) -> Self {
        let group = record.outcome.group();
        if group != Group::Ok {
            return Self { ended: Some(group), ..Self::default() };
        }
        Self {
            ttft: bounds.ttft.is_some_and(|bound| record.ttft().is_none_or(|t| t > bound)),
            tpot: bounds.tpot_s.is_some_and(|bound| record.tpot_s().is_some_and(|t| t > bound)),
            e2e: bounds.e2e.is_some_and(|bound| record.e2e() > bound),
            ended: None,
        }
    }

    /// Judges the end of a job that asked for `output` tokens as [`Judgement::of`] judges the record of the same request.
    #[must_use]
    pub fn of_ended(ended: &Ended, output: u32, bounds: &Bounds) -> Self {
        let refused = |group| Self { ended: Some(group), ..Self::default() };
        match ended.how {
            How::Throttled => return refused(Group::Throttled),
            How::TimedOut => return refused(Group::TimedOut),
            How::Failed => return refused(Group::Failed),
            How::Ok => {}
        }
        let span = Nanos(ended.last - ended.first);
        let decoded = output.max(1) - 1;
        Self {
            ttft: bounds.ttft.is_some_and(|bound| Nanos(ended.first).since(Nanos(ended.at)) > bound),
            tpot: bounds.tpot_s.is_some_and(|bound| decoded > 0 && span.as_secs_f64() / f64::from(decoded) > bound),
            e2e: bounds.e2e.is_some_and(|bound| Nanos(ended.last).since(Nanos(ended.at)) > bound),
            ended: None,
        }
    }

    /// Ended well and met every bound.
    #[must_use]
    pub fn is_good(self) -> bool {
        self == Self::default()
    }
}

impl MissCounts {
    /// Counts one request.
    pub fn add(&mut self, judgement: Judgement) {
        self.ttft += u64::from(judgement.ttft);
        self.tpot += u64::from(judgement.tpot);
        self.e2e += u64::from(judgement.e2e);
        match judgement.ended {
            None | Some(Group::Ok) => {}
            Some(Group::Throttled) => self.throttled += 1,
            Some(Group::TimedOut) => self.timed_out += 1,
            Some(Group::Failed | Group::Shed | Group::Cancelled) => self.failed += 1,
        }
    }
}

/// Mean chunks that served from `from` to `to`, by the log of changes (its first entry at or before `from`).
#[must_use]
pub fn mean_ready(scale: &[ScaleEvent], from: Nanos, to: Nanos) -> f64 {
    if to <= from {
        return scale.last().map_or(0.0, |e| f64::from(e.ready));
    }
    let mut chunk_ns = 0.0;
    for (i, event) in scale.iter().enumerate() {
        let start = event.at.max(from);
        let end = scale.get(i + 1).map_or(to, |next| next.at.min(to));
        chunk_ns += f64::from(event.ready) * end.since(start).0 as f64;
    }
    chunk_ns / to.since(from).0 as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::outcome::Outcome;
    use crate::record::request::Phase;

    #[test]
    fn mean_ready_integrates_the_log_of_changes() {
        let at = |s, ready, pending| ScaleEvent { at: Nanos::from_secs(s), ready, pending };
        let log = [at(0, 1, 0), at(5, 1, 2), at(10, 3, 0), at(30, 2, 0)];
        assert_eq!(mean_ready(&log, Nanos::from_secs(0), Nanos::from_secs(20)), 2.0);
        assert_eq!(mean_ready(&log, Nanos::from_secs(20), Nanos::from_secs(40)), 2.5);
        assert_eq!(mean_ready(&log, Nanos::from_secs(50), Nanos::from_secs(60)), 2.0);
    }

    #[test]
    fn a_request_is_good_when_it_ended_well_and_met_its_bounds() {
        let bounds = Bounds { ttft: Some(Nanos::from_millis(100)), tpot_s: Some(0.05), e2e: None };
        let mut record = RequestRecord::due(0, Phase::Measure, Nanos::ZERO, 10, 3);
        assert_eq!(Judgement::of(&record, &bounds).ended, Some(Group::Shed));
        record.outcome = Outcome::Ok;
        record.output_tokens = 3;
        record.first_token = Some(Nanos::from_millis(100));
        record.last_token = Some(Nanos::from_millis(200));
        assert!(Judgement::of(&record, &bounds).is_good());
        record.last_token = Some(Nanos::from_millis(201));
        assert!(Judgement::of(&record, &bounds).tpot);
        record.first_token = Some(Nanos::from_millis(101));
        assert_eq!(Judgement::of(&record, &bounds), Judgement { ttft: true, ..Judgement::default() });
    }
}
