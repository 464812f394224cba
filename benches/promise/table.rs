//! The worlds as lines and as one table: how often the promise was kept, and at what cost.

use crate::Outcome;
use crate::truth::Judged;
use plimsoll::base::stats::interval::{clopper_pearson_lower, clopper_pearson_upper};
use plimsoll::planner::search::Size;
use std::fmt::Write;

fn size(size: Option<Size>) -> String {
    size.map_or_else(|| "none".to_owned(), |s| format!("{}-{}", s.min, s.max))
}

/// One world.
pub(crate) fn line(o: &Outcome) -> String {
    let shown = |j: Option<&Judged>| j.map_or_else(|| "none".to_owned(), |j| format!("{} {:.1}/h", size(Some(j.size)), j.cost_per_hour));
    let kept = o.judged.map_or(f64::NAN, |j| j.kept);
    format!(
        "| {} | {} | {:.2} % of {} days | {} | {} requests | risk {:.3}, {} bad draws | plan {:.1} s, all {:.1} s |",
        o.world,
        shown(o.judged.as_ref()),
        kept * 100.0,
        o.judged.map_or(0, |j| j.days),
        shown(o.oracle.as_ref()),
        o.planned.measured,
        o.planned.certificate.risk,
        o.planned.certificate.bad_draws,
        o.plan_s,
        o.all_s
    )
}

/// Who kept the promise, and what it cost beside the oracle.
struct Row {
    name: String,
    kept: u64,
    worlds: u64,
    ratios: Vec<f64>,
}

impl Row {
    fn text(mut self) -> String {
        self.ratios.sort_by(f64::total_cmp);
        let at =
            |q: f64| self.ratios.get(((self.ratios.len() as f64 * q) as usize).min(self.ratios.len().saturating_sub(1))).copied().unwrap_or(f64::NAN);
        let mean = self.ratios.iter().sum::<f64>() / self.ratios.len().max(1) as f64;
        format!(
            "| {} | {} of {} ({:.1} %) | {:.1} to {:.1} % | {mean:.3} | {:.3} | {:.3} |",
            self.name,
            self.kept,
            self.worlds,
            self.kept as f64 / self.worlds.max(1) as f64 * 100.0,
            clopper_pearson_lower(self.kept, self.worlds, 0.95) * 100.0,
            clopper_pearson_upper(self.kept, self.worlds, 0.95) * 100.0,
            at(0.5),
            at(0.9)
        )
    }
}

/// The table. A world without a recommendation promises nothing and is counted apart.
pub(crate) fn summary(outcomes: &[Outcome], days: u32) -> String {
    let promised = 0.9;
    let ratio = |o: &Outcome, j: &Judged| o.oracle.map(|best| j.cost_per_hour / best.cost_per_hour);
    let row = |name: &str, of: &dyn Fn(&Outcome) -> Option<Judged>| {
        let judged: Vec<(&Outcome, Judged)> = outcomes.iter().filter_map(|o| of(o).map(|j| (o, j))).collect();
        Row {
            name: name.to_owned(),
            kept: judged.iter().filter(|(_, j)| j.kept >= promised).count() as u64,
            worlds: judged.len() as u64,
            ratios: judged.iter().filter_map(|(o, j)| ratio(o, j)).collect(),
        }
        .text()
    };
    let mut text = format!(
        "| plan | promise kept in truth (up to {days} days; rules 1,000) | one-sided 95 % bounds | cost / oracle: mean | median | p90 |\n| --- | --- | --- | --- | --- | --- |\n"
    );
    text += &row("plimsoll", &|o| o.judged);
    let mut names: Vec<String> = Vec::new();
    for (name, _) in outcomes.iter().flat_map(|o| &o.rules) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    for name in names {
        text += "\n";
        text += &row(&name, &|o| o.rules.iter().find(|(n, _)| *n == name).map(|(_, j)| *j));
    }
    let none = outcomes.iter().filter(|o| o.judged.is_none()).count();
    let impossible = outcomes.iter().filter(|o| o.oracle.is_none()).count();
    let measured: usize = outcomes.iter().map(|o| o.planned.measured).sum::<usize>() / outcomes.len().max(1);
    let plan_s = outcomes.iter().map(|o| o.plan_s).sum::<f64>() / outcomes.len().max(1) as f64;
    let _ = write!(
        text,
        "\n\n{none} worlds without a recommendation, {impossible} in which no size keeps the promise. {measured} requests measured a world on average; measuring, learning and planning took {plan_s:.1} s of one core."
    );
    text
}
