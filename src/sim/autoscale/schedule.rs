//! The minimum of chunks by time of day.

use crate::scenario::autoscaler::{Autoscaler, Block};

/// Nanoseconds of a day.
const DAY: u64 = 86_400 * 1_000_000_000;

/// Chunks that the schedule asks for at least at the instant `now`, nanoseconds since the load began; 0 without a block.
pub(super) fn least(spec: &Autoscaler, now: u64) -> u32 {
    let time = (spec.begins_at.nanos().0 % DAY + now % DAY) % DAY;
    spec.schedule.iter().filter(|block| covers(block, time)).map(|block| block.min_chunks).max().unwrap_or(0)
}

fn covers(block: &Block, time: u64) -> bool {
    let (from, to) = (block.from.nanos().0, block.to.nanos().0);
    if from < to { (from..to).contains(&time) } else { time >= from || time < to }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::TimeSpan;

    #[test]
    fn the_highest_block_of_the_time_of_day_counts_every_day_anew() {
        let hours = |h: u64| TimeSpan::secs(h * 3600);
        let block = |from, to, min_chunks| Block { from: hours(from), to: hours(to), min_chunks };
        let spec = Autoscaler { schedule: vec![block(8, 18, 3), block(12, 13, 5), block(22, 6, 2)], begins_at: hours(7), ..Autoscaler::default() };
        let at = |h: u64| least(&spec, hours(h).nanos().0);
        // It begins at seven.
        assert_eq!([at(0), at(1), at(5), at(6), at(11), at(15), at(22), at(23), at(25)], [0, 3, 5, 3, 0, 2, 2, 0, 3]);
        assert_eq!(at(24 * 400 + 5), 5);
    }
}
