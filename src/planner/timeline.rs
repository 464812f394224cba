//! Demand against capacity over the worst periods: the chosen size, replayed.

use super::cost::Tariff;
use super::evaluate;
use super::recommendation::{Timeline, TimelinePoint};
use super::search::{Judged, PeriodOutcome, Seeds};
use super::world::World;
use crate::base::time::Nanos;
use crate::workload::schedule;

/// Points of a timeline, at most.
const POINTS: f64 = 400.0;

/// Periods replayed, at most.
pub const WORST: usize = 5;

/// The worst of `periods` by their share of good requests, [`WORST`] at most; earlier ones first where none is worse.
#[must_use]
pub fn worst(periods: &[PeriodOutcome]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..periods.len()).collect();
    order.sort_by(|&a, &b| periods[a].good_share().total_cmp(&periods[b].good_share()).then(a.cmp(&b)));
    order.into_iter().take(WORST).map(|i| u32::try_from(i).unwrap_or(u32::MAX)).collect()
}

/// Intervals of a period, filled request by request.
#[derive(Clone, Debug)]
pub struct Points {
    step_s: f64,
    points: Vec<TimelinePoint>,
}

impl Points {
    /// Empty intervals over a period of `period_s` seconds.
    #[must_use]
    pub fn new(period_s: f64) -> Self {
        let step_s = (period_s / POINTS).ceil().max(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 400 by the choice of the step")]
        let count = (period_s / step_s).ceil().max(1.0) as usize;
        Self { step_s, points: vec![TimelinePoint::default(); count] }
    }

    /// Counts a request that was due at `due` within the period.
    pub fn add(&mut self, due: Nanos, tokens: f64, is_good: bool) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and cut to the last point")]
        let at = ((due.as_secs_f64() / self.step_s) as usize).min(self.points.len() - 1);
        let point = &mut self.points[at];
        point.demand_tok_s += tokens / self.step_s;
        point.due += 1;
        point.missed += u32::from(!is_good);
    }

    /// The timeline; `chunks` says how many serve and how many are on their way at an instant of the period.
    pub fn into_timeline(mut self, period: u32, mut chunks: impl FnMut(Nanos) -> (u32, u32)) -> Timeline {
        for (i, point) in self.points.iter_mut().enumerate() {
            (point.ready, point.pending) = chunks(Nanos::from_secs_f64((i as f64 + 0.5) * self.step_s));
        }
        Timeline { step_s: self.step_s, period, points: self.points }
    }
}

/// Replays the worst of the periods that certified `chosen`, the worst first.
///
/// # Errors
/// When the demand of a period cannot be drawn.
pub fn of_worst(world: &World<'_>, tariff: &Tariff, chosen: &Judged) -> Result<Vec<Timeline>, schedule::Error> {
    worst(&chosen.periods).into_iter().map(|period| replay(world, tariff, chosen, period)).collect()
}

fn replay(world: &World<'_>, tariff: &Tariff, chosen: &Judged, period: u32) -> Result<Timeline, schedule::Error> {
    let seeds = Seeds::Certify(chosen.round);
    let mut points = Points::new(world.plan.period.as_secs_f64());
    let (_, scale) = evaluate::simulate(world, tariff, chosen.size, (seeds, period), &mut |record, judgement, due| {
        points.add(due, f64::from(record.input_asked) + f64::from(record.output_asked), judgement.is_good());
    })?;
    let begin = world.period(seeds, period)?.begin();
    Ok(points.into_timeline(period, |at| {
        let state = scale.iter().take_while(|e| e.at <= begin + at).last();
        state.map_or((chosen.size.min, 0), |e| (e.ready, e.pending))
    }))
}
