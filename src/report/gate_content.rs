//! What a gate found, as sentences and tables: the same words in every format.

use super::Figure;
use super::chart::Table;
use super::number::{count, millis, plural, real, share};
use super::verdict;
use crate::gate::{Drift, Metric, MetricVerdict, Mode, Order, Report, Role, Round, Row, Scale, Verdict};

/// How it stands, for colour and sign.
#[must_use]
pub fn standing(report: &Report) -> verdict::Standing {
    match report.verdict {
        Verdict::Pass => verdict::Standing::Good,
        Verdict::Fail => verdict::Standing::Missed,
        Verdict::Inconclusive => verdict::Standing::Undecided,
        Verdict::Invalid | Verdict::NotComparable => verdict::Standing::Invalid,
    }
}

/// The verdict in capitals.
#[must_use]
pub fn word(report: &Report) -> &'static str {
    report.verdict.word()
}

/// A value of a metric with its unit.
#[must_use]
pub fn value(metric: Metric, x: f64) -> String {
    match (metric.scale(), metric.unit()) {
        (Scale::Difference, _) => share(x),
        (_, "ms") => millis(x),
        (_, "") => real(x),
        (_, unit) => format!("{} {unit}", real(x)),
    }
}

/// A change in the metric's own direction: `+1.6%` of a ratio, `+0.3 points` of a share.
#[must_use]
pub fn change(scale: Scale, x: f64) -> String {
    let size = |x: f64| if x >= 9.995 { format!("{:.0}", x * 100.0) } else { format!("{:.1}", x * 100.0) };
    let sign = if x < 0.0 && size(-x).parse::<f64>().is_ok_and(|shown| shown > 0.0) { "\u{2212}" } else { "+" };
    match scale {
        Scale::LogRatio => format!("{sign}{}%", size(x.abs())),
        Scale::Difference => format!("{sign}{:.2} points", x.abs() * 100.0),
    }
}

fn optional(x: Option<f64>, say: impl Fn(f64) -> String) -> String {
    x.map_or_else(|| "n/a".to_owned(), say)
}

/// The margin, with the floor if there is one.
#[must_use]
pub fn margin(row: &Row) -> String {
    let size = match row.scale {
        Scale::LogRatio => share(row.margin),
        Scale::Difference => format!("{} points", real(row.margin * 100.0)),
    };
    if row.floor > 0.0 { format!("{size}, at least {}", value(row.metric, row.floor)) } else { size }
}

/// How much worse it may really be, as a share of the base or a difference of shares: the margin, or the floor where that is more.
#[must_use]
pub fn allowed(row: &Row) -> f64 {
    match (row.scale, row.base) {
        (Scale::LogRatio, Some(base)) if base > 0.0 => row.margin.max(row.floor / base),
        _ => row.margin,
    }
}

/// The change of a row with its interval.
#[must_use]
pub fn change_of(row: &Row) -> String {
    let Some(middle) = row.change else { return "n/a".to_owned() };
    let said = |x| change(row.scale, x);
    match (row.change_low, row.change_high) {
        (Some(low), Some(high)) => format!("{} [{}, {}]", said(middle), said(low), said(high)),
        _ => said(middle),
    }
}

/// One row a metric: base, head, change with its interval, margin, verdict.
#[must_use]
pub fn rows(report: &Report) -> Table {
    let mut table = Table::new(&["Metric", "Base", "Head", "Change [95% interval]", "May be worse by", "Verdict"]);
    for row in &report.rows {
        let shown = |x| value(row.metric, x);
        let verdict = if row.role == Role::Informational { "informational".to_owned() } else { row.verdict.word().to_owned() };
        table.rows.push(vec![
            row.metric.label().to_owned(),
            optional(row.base, shown),
            optional(row.head, shown),
            change_of(row),
            margin(row),
            verdict,
        ]);
    }
    table
}

/// Why each metric is judged as it is.
#[must_use]
pub fn whys(report: &Report) -> Table {
    let mut table = Table::new(&["Metric", "Verdict", "Why"]);
    for row in &report.rows {
        table.rows.push(vec![row.metric.label().to_owned(), row.verdict.word().to_owned(), row.reason.clone()]);
    }
    table
}

/// What the noise of each metric lets this gate see.
#[must_use]
pub fn noise(report: &Report) -> Table {
    let mut table =
        Table::new(&["Metric", "Noise of one pair", "Seen in 9 of 10 gates from", "Pairs that would show PASS", "Rounds far from the others"]);
    for row in report.rows.iter().filter(|r| r.sd.is_some()) {
        let size = |x: f64| match row.scale {
            Scale::LogRatio => share(x),
            Scale::Difference => format!("{:.2} points", x * 100.0),
        };
        let far: Vec<String> = row.outliers.iter().map(ToString::to_string).collect();
        table.rows.push(vec![
            row.metric.label().to_owned(),
            optional(row.sd, size),
            optional(row.detectable, size),
            row.pairs_needed.map_or_else(|| "more than 1,000".to_owned(), |n| count(u64::from(n))),
            if far.is_empty() { "none".to_owned() } else { far.join(", ") },
        ]);
    }
    table
}

/// The noise measured by `gate calibrate`.
#[must_use]
pub fn calibration(report: &Report) -> Table {
    let mut table = Table::new(&[
        "Metric",
        "Noise of one pair",
        "At most (90%)",
        "Bias",
        "Seen from",
        "Pairs to find 2 x margin",
        "Pairs to pass",
        "Margin",
        "Role",
    ]);
    for row in &report.noise {
        let scale = row.metric.scale();
        let size = |x: f64| match scale {
            Scale::LogRatio => share(x),
            Scale::Difference => format!("{:.2} points", x * 100.0),
        };
        let pairs = |n: Option<u32>| n.map_or_else(|| "> 1,000".to_owned(), |n| count(u64::from(n)));
        table.rows.push(vec![
            row.metric.label().to_owned(),
            size(row.sd),
            size(row.sd_high),
            change(scale, row.bias),
            size(row.detectable),
            pairs(row.pairs_to_find),
            pairs(row.pairs_to_pass),
            size(row.margin),
            role(row.role).to_owned(),
        ]);
    }
    table
}

/// A role as a person says it.
#[must_use]
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Gated => "decides",
        Role::IfPresent => "decides if measured",
        Role::Informational => "informational",
    }
}

/// Facts in which the sides differ.
#[must_use]
pub fn differences(report: &Report) -> Table {
    let mut table = Table::new(&["Fact", "Base", "Head", "Must be equal"]);
    for d in &report.differences {
        let said = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
        table.rows.push(vec![d.key.clone(), said(&d.base), said(&d.head), if d.fixed { "yes" } else { "no" }.to_owned()]);
    }
    table
}

/// What the head is.
#[must_use]
pub fn fingerprint(report: &Report) -> Table {
    let mut table = Table::new(&["Fact", "Value", "Must be equal"]);
    for (key, fact) in &report.fingerprint.0 {
        let said = if fact.value.is_empty() { "unknown" } else { &fact.value };
        table.rows.push(vec![key.clone(), said.to_owned(), if fact.fixed { "yes" } else { "no" }.to_owned()]);
    }
    table
}

/// Metrics that the table of rounds shows: those that decide and have figures, in the order of the rows.
fn told(report: &Report) -> Vec<&Row> {
    report.rows.iter().filter(|r| r.role != Role::Informational && r.estimate.is_some()).collect()
}

/// Every round: seed, order, the change of each metric, or why it does not count.
#[must_use]
pub fn rounds(report: &Report) -> Table {
    let shown = told(report);
    let mut table = Table { head: vec!["Round".to_owned(), "Seed".to_owned(), "First".to_owned()], rows: Vec::new() };
    table.head.extend(shown.iter().map(|r| r.metric.label().to_owned()));
    table.head.push("Counts".to_owned());
    for round in &report.rounds {
        let mut cells = vec![round.round.to_string(), round.seed.to_string(), order(round).to_owned()];
        cells.extend(shown.iter().map(|r| change_in(round, r.metric)));
        cells.push(if round.counted { "yes".to_owned() } else { format!("no: {}", round.reason) });
        table.rows.push(cells);
    }
    table
}

/// Which side of a round ran first.
#[must_use]
pub fn order(round: &Round) -> &'static str {
    match round.order {
        Order::BaseFirst => "base",
        Order::HeadFirst => "head",
        Order::Unknown => "unknown",
    }
}

/// The change of a metric in one round, in the metric's own direction.
#[must_use]
pub fn change_in(round: &Round, metric: Metric) -> String {
    let (Some(base), Some(head)) = (round.base.get(&metric), round.head.get(&metric)) else { return "n/a".to_owned() };
    match metric.scale() {
        Scale::LogRatio if *base > 0.0 => change(Scale::LogRatio, head / base - 1.0),
        Scale::LogRatio => "n/a".to_owned(),
        Scale::Difference => change(Scale::Difference, head - base),
    }
}

/// The absolute promises of mode `slo`.
#[must_use]
pub fn promises(report: &Report) -> Table {
    let mut table = Table::new(&["Promise", "May miss", "Missed [99% bounds]", "If requests were independent, at most", "Verdict", "Why"]);
    for p in &report.promises {
        let verdict = match p.verdict {
            Verdict::Pass => "MET",
            Verdict::Fail => "NOT MET",
            other => other.word(),
        };
        table.rows.push(vec![
            p.text.clone(),
            share(p.allowed),
            format!("{} [{}, {}]", share(p.mean), share(p.low), share(p.high)),
            share(p.high_if_independent),
            verdict.to_owned(),
            p.reason.clone(),
        ]);
    }
    table
}

/// Change points of mode `trend`.
#[must_use]
pub fn changes(report: &Report) -> Table {
    let mut table = Table::new(&["Metric", "From night", "Change of level", "p", "Alarm"]);
    for c in &report.changes {
        let p = if c.p < 1e-4 { "< 0.0001".to_owned() } else { format!("{:.4}", c.p) };
        let alarm = if c.alarm { "yes" } else { "no" }.to_owned();
        table.rows.push(vec![c.metric.label().to_owned(), c.label.clone(), change(c.metric.scale(), c.change), p, alarm]);
    }
    table
}

/// Distance from the pinned anchor.
#[must_use]
pub fn drifts(report: &Report) -> Table {
    let mut table = Table::new(&["Metric", "Anchor", "Now", "Drift", "Alarm"]);
    for Drift { metric, anchor, now, change: moved, alarm, .. } in &report.drifts {
        table.rows.push(vec![
            metric.label().to_owned(),
            value(*metric, *anchor),
            value(*metric, *now),
            change(metric.scale(), *moved),
            if *alarm { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table
}

/// Main figures of the head of a page.
#[must_use]
pub fn figures(report: &Report) -> Vec<Figure> {
    let mut all = Vec::new();
    let decided = |v: MetricVerdict| report.rows.iter().filter(|r| r.verdict == v && r.role != Role::Informational).count() as u64;
    if !report.rows.is_empty() {
        let within = report.rows.iter().filter(|r| r.role != Role::Informational && r.verdict.is_good()).count() as u64;
        all.push(Figure {
            name: "Metrics that decide".to_owned(),
            values: vec![("within".to_owned(), count(within)), ("worse".to_owned(), count(decided(MetricVerdict::Fail)))],
            note: format!("{} undecided or without data", count(decided(MetricVerdict::Inconclusive) + decided(MetricVerdict::Invalid))),
        });
    }
    let unit = unit(report);
    let looks: Vec<String> = report.looks_planned.iter().map(ToString::to_string).collect();
    let note =
        if looks.is_empty() || report.mode != Mode::Paired { unit.to_owned() } else { format!("{unit}; looks planned at {}", looks.join(", ")) };
    all.push(Figure::single("What counts", count(u64::from(report.pairs)), note));
    for (name, side) in [("Base", report.base), ("Head", report.head)] {
        if side.runs > 0 {
            let note = format!("in {}", plural(u64::from(side.runs), "run", "runs"));
            let values = vec![("requests".to_owned(), count(side.requests)), ("failed".to_owned(), count(side.errors))];
            all.push(Figure { name: name.to_owned(), values, note });
        }
    }
    all
}

/// What is counted: pairs, runs or nights.
#[must_use]
pub fn unit(report: &Report) -> &'static str {
    match report.mode {
        Mode::Trend => "nights",
        _ if report.paired => "pairs of runs",
        _ => "runs of the head",
    }
}

/// How sure the verdict is, in a sentence.
#[must_use]
pub fn certainty(report: &Report) -> String {
    match report.mode {
        _ if report.rows.is_empty() => String::new(),
        Mode::Slo | Mode::Trend | Mode::Calibrate => String::new(),
        Mode::Paired | Mode::Files | Mode::History => format!(
            "FAIL is wrong in at most {} of gates between equal systems, over all metrics and looks; PASS in at most {} of gates on a change as bad as a margin.",
            share(report.alpha_fail),
            share(report.alpha_pass)
        ),
    }
}

/// How the runs came about.
#[must_use]
pub fn mode(report: &Report) -> &'static str {
    match report.mode {
        Mode::Paired => "pairs of runs made by the gate",
        Mode::Files if report.paired => "runs on disk, paired by seed",
        Mode::Files => "runs on disk, side against side",
        Mode::History => "runs against accepted runs",
        Mode::Slo => "runs against a promise",
        Mode::Trend => "a series of nights",
        Mode::Calibrate => "one system against itself",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_a_sign_and_nothing_is_not_negative() {
        assert_eq!(change(Scale::LogRatio, 0.016), "+1.6%");
        assert_eq!(change(Scale::LogRatio, -0.2), "\u{2212}20.0%");
        assert_eq!(change(Scale::LogRatio, -0.0001), "+0.0%");
        assert_eq!(change(Scale::LogRatio, 12.0), "+1200%");
        assert_eq!(change(Scale::Difference, 0.0125), "+1.25 points");
        assert_eq!(value(Metric::TtftP95, 12.34), "12.3 ms");
        assert_eq!(value(Metric::ErrorRate, 0.005), "0.5%");
        assert_eq!(value(Metric::OutputTokS, 1234.0), "1,234 tok/s");
    }
}
