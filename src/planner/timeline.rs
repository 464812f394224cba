//! Demand against capacity over one period: the chosen size, replayed.

use super::cost::Tariff;
use super::evaluate;
use super::recommendation::{Timeline, TimelinePoint};
use super::search::{Judged, PeriodOutcome, Seeds};
use super::world::World;
use crate::base::time::Nanos;
use crate::workload::schedule;

/// Points of a timeline, at most.
const POINTS: f64 = 400.0;

/// Replays the worst of the periods that certified `chosen`; the first of them when none is worse than another.
///
/// # Errors
/// When the period's demand cannot be drawn.
pub fn of_worst(world: &World<'_>, tariff: &Tariff, chosen: &Judged) -> Result<Timeline, schedule::Error> {
    let worst = chosen.periods.iter().enumerate().min_by(|a, b| share(a).total_cmp(&share(b))).map_or(0, |(i, _)| i);
    let period = u32::try_from(worst).unwrap_or(u32::MAX);
    let seeds = Seeds::Certify(chosen.round);
    let period_s = world.plan.period.as_secs_f64();
    let step_s = (period_s / POINTS).ceil().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 400 by the choice of the step")]
    let count = (period_s / step_s).ceil().max(1.0) as usize;
    let mut points = vec![TimelinePoint::default(); count];
    let (_, scale) = evaluate::simulate(world, tariff, chosen.size, (seeds, period), &mut |record, judgement, due| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and cut to the last point")]
        let at = ((due.as_secs_f64() / step_s) as usize).min(count - 1);
        let point = &mut points[at];
        point.demand_tok_s += (f64::from(record.input_asked) + f64::from(record.output_asked)) / step_s;
        point.due += 1;
        point.missed += u32::from(!judgement.is_good());
    })?;
    // Capacity in the middle of each interval.
    let begin = world.period(seeds, period)?.begin();
    for (i, point) in points.iter_mut().enumerate() {
        let middle = begin + Nanos::from_secs_f64((i as f64 + 0.5) * step_s);
        let state = scale.iter().take_while(|e| e.at <= middle).last();
        (point.ready, point.pending) = state.map_or((chosen.size.min, 0), |e| (e.ready, e.pending));
    }
    Ok(Timeline { step_s, period, points })
}

fn share((_, period): &(usize, &PeriodOutcome)) -> f64 {
    period.good_share()
}
