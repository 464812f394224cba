//! Rules about the window: was the endpoint in a steady state while it was measured?

use super::{Evidence, warning};
use crate::base::diag::{Severity, Warning};

/// Little's law: relative difference of N and X R that is worth a doubt.
pub const LITTLE_DIFFERENCE: f64 = 0.1;
/// A window of fewer mean times in system than this says nothing about Little's law: what straddles its ends weighs too much.
pub const LITTLE_WINDOWS: f64 = 10.0;
/// Equal parts of the window over which requests in flight are averaged to find a trend.
pub const BACKLOG_BATCHES: usize = 12;
/// Requests that the window left behind, as a share of those due, above which a rising level is a growing backlog.
pub const BACKLOG_SHARE: f64 = 0.05;
/// Student's t of the slope of the level above which it rises: with 10 degrees of freedom, chance alone passes it once in 800 times.
pub const BACKLOG_T: f64 = 4.0;
/// Requests left behind below which nothing is said.
const BACKLOG_AT_LEAST: u64 = 5;

/// Little's law: in a steady window N = X R. A difference means that the window began or ended with a backlog.
pub(super) fn little(e: &Evidence<'_>) -> Option<Warning> {
    let (n, xr) = (e.in_flight_mean, e.in_system_mean);
    let mean_s = xr * e.window_s / e.accounting.due.max(1) as f64;
    if e.accounting.due < 100 || n <= 0.0 || e.window_s < LITTLE_WINDOWS * mean_s || (xr / n - 1.0).abs() <= LITTLE_DIFFERENCE {
        return None;
    }
    let message =
        format!("{n:.2} requests were in flight on average, and rate times time in flight gives {xr:.2} (limit {:.0}%)", LITTLE_DIFFERENCE * 100.0);
    let hint = "the window is not in a steady state: lengthen load.warmup, or the load is above what the endpoint sustains";
    Some(warning(Severity::Doubt, "not-steady", message, &format!("difference <= {:.0}%", LITTLE_DIFFERENCE * 100.0), hint))
}

/// An open loop above capacity: requests in flight rise all through the window, and it leaves more of them open than it found.
///
/// The requests left behind are exact: sent less ended, whatever their outcome. The trend is the slope of the batch means against time.
pub(super) fn backlog(e: &Evidence<'_>, is_client: bool) -> Option<Warning> {
    let (first, last) = e.open;
    let left = last.saturating_sub(first);
    let share = left as f64 / e.accounting.due.max(1) as f64;
    if left < BACKLOG_AT_LEAST || share <= BACKLOG_SHARE || slope_t(e.levels) <= BACKLOG_T {
        return None;
    }
    let message = format!(
        "requests in flight rose from {first} to {last} through the window: {:.1}% of the requests due were left over (limit {:.0}%)",
        share * 100.0,
        BACKLOG_SHARE * 100.0
    );
    let hint = if is_client {
        "the client itself was held up, which leaves requests open too: mend the reasons above first"
    } else {
        "the endpoint completes less than it is offered: latencies grow with the length of the run, and completed_rate is its capacity; lower the rate"
    };
    Some(warning(Severity::Doubt, "backlog-growing", message, &format!("left over <= {:.0}% of due", BACKLOG_SHARE * 100.0), hint))
}

/// Student's t of the slope of `levels` over their index; infinite for an exact rise, 0 below three values.
fn slope_t(levels: &[f64]) -> f64 {
    let n = levels.len() as f64;
    if levels.len() < 3 {
        return 0.0;
    }
    let (mid, mean) = ((n - 1.0) / 2.0, levels.iter().sum::<f64>() / n);
    let (mut sxx, mut sxy, mut syy) = (0.0, 0.0, 0.0);
    for (x, y) in (0_u32..).map(f64::from).zip(levels) {
        sxx += (x - mid) * (x - mid);
        sxy += (x - mid) * (y - mean);
        syy += (y - mean) * (y - mean);
    }
    let slope = sxy / sxx;
    let rest = (syy - slope * sxy).max(0.0);
    let error = (rest / (n - 2.0) / sxx).sqrt();
    if slope <= 0.0 { slope.min(0.0) } else { slope / error.max(f64::MIN_POSITIVE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: y = 1, 2, 4 has slope 1.5, residuals 1/6, -1/3, 1/6, so t = 1.5 / sqrt(1/6 / 2).
    #[test]
    fn the_slope_has_students_t() {
        assert!((slope_t(&[1.0, 2.0, 4.0]) - 1.5 / (1.0_f64 / 12.0).sqrt()).abs() < 1e-9);
        assert!(slope_t(&[1.0, 2.0, 3.0, 4.0]) > 1e6);
        assert!(slope_t(&[4.0, 3.0, 2.0]) <= 0.0 && slope_t(&[5.0; 12]) <= BACKLOG_T && slope_t(&[1.0, 2.0]) == 0.0);
    }
}
