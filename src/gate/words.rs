//! The words of a gate: a figure, a change, why a metric stands as it does.

use super::document::{MetricVerdict, Row};
use super::evidence::size;
use super::metric::{Metric, Scale};

/// A figure with its unit, three digits: `812 ms`, `0.42%`.
pub(super) fn figure(metric: Metric, value: f64) -> String {
    let number = match metric.scale() {
        Scale::Difference => return format!("{}%", digits(100.0 * value)),
        Scale::LogRatio => digits(value),
    };
    match metric.unit() {
        "" => number,
        unit => format!("{number} {unit}"),
    }
}

/// Three digits, whole numbers kept whole.
fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.9995 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// How much worse `d` is, with a word for the direction: `10.2% worse`, `0.8 points better`.
pub(super) fn worse(metric: Metric, d: f64) -> String {
    let word = if d >= 0.0 { "worse" } else { "better" };
    format!("{} {word}", amount(metric, d))
}

/// The size of a difference: `10.2%`, `0.8 points`.
pub(super) fn amount(metric: Metric, d: f64) -> String {
    match metric.scale() {
        Scale::LogRatio => format!("{:.1}%", 100.0 * size(metric, d)),
        Scale::Difference => format!("{:.2} points", 100.0 * size(metric, d)),
    }
}

/// The margin of a row: `5%`, or the floor where that is wider.
pub(super) fn margin(row: &Row) -> String {
    if size(row.metric, row.margin_d) > row.margin + 1e-9 {
        format!("{} (the floor of {})", amount(row.metric, row.margin_d), figure(row.metric, row.floor))
    } else {
        amount(row.metric, row.margin_d)
    }
}

/// Why a row stands as it does.
pub(super) fn of_row(row: &Row) -> String {
    let (Some(estimate), Some(high), Some(base), Some(head)) = (row.estimate, row.pass_high, row.base, row.head) else { return row.reason.clone() };
    let m = row.metric;
    let seen = match (base, head) {
        // Shares of nothing: no errors, or everything good.
        (0.0, 0.0) => "none on either side".to_owned(),
        _ => format!("{} ({} to {})", worse(m, estimate), figure(m, base), figure(m, head)),
    };
    let at_most = if high < 0.0 { format!("at least {}", worse(m, high)) } else { format!("at most {}", worse(m, high)) };
    let margin = margin(row);
    if row.robustness.is_some_and(|r| r.disagrees) {
        return format!("{seen}, margin {margin}: the mean and the ranks of the pairs disagree, because of {}", rounds_in_words(&row.outliers));
    }
    match row.verdict {
        MetricVerdict::Fail => format!("{seen}, more than the margin of {margin}"),
        MetricVerdict::Pass | MetricVerdict::Improved | MetricVerdict::WorseWithinTolerance => {
            format!("{seen}, {at_most}, within the margin of {margin}")
        }
        MetricVerdict::Inconclusive if estimate >= row.margin_d => format!("{seen}, beyond the margin of {margin}, but not for certain"),
        MetricVerdict::Inconclusive => format!("{seen}, but it may be {}; the margin is {margin}", worse(m, high)),
        MetricVerdict::Informational => format!("{seen}; it does not decide"),
        MetricVerdict::Invalid => row.reason.clone(),
    }
}

/// `round 3`, `rounds 3 and 7`, `no single round`.
pub(super) fn rounds_in_words(rounds: &[u32]) -> String {
    match rounds {
        [] => "no single round".to_owned(),
        [one] => format!("round {one}"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(u32::to_string).collect();
            format!("rounds {} and {last}", first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_changes_read_like_text() {
        assert_eq!(figure(Metric::TtftP95, 812.4), "812 ms");
        assert_eq!(figure(Metric::TpotP50, 9.999), "10.0 ms");
        assert_eq!(figure(Metric::ErrorRate, 0.0042), "0.420%");
        assert_eq!(figure(Metric::ErrorRate, 0.0), "0.00%");
        assert_eq!(worse(Metric::TpotP50, 1.1_f64.ln()), "10.0% worse");
        assert_eq!(worse(Metric::Goodput, -0.008), "0.80 points better");
        assert_eq!(rounds_in_words(&[3, 5, 9]), "rounds 3, 5 and 9");
    }
}
