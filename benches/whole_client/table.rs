//! Tables: medians with their range over repetitions, and ratios taken repetition by repetition.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The figures of one repetition, by name.
pub type Figures = BTreeMap<&'static str, f64>;

/// How a figure is written.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// 87k, 3.50M.
    Human,
    /// This many decimals.
    Fixed(usize),
    /// The same with its sign.
    Signed(usize),
    /// A share as per cent.
    Percent,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// A figure: head, key, form.
    Figure(&'static str, &'static str, Form),
    /// The first tool's figure divided by this tool's, in the same repetition: head, key.
    Ratio(&'static str, &'static str),
}

/// A tool's repetitions.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// One a repetition; empty when it could not run.
    pub runs: Vec<Figures>,
}

/// A Markdown table. The first tool is the one that ratios are of.
pub fn markdown(columns: &[Column], tools: &[Tool]) -> String {
    let head = |column: &Column| match column {
        Column::Figure(head, ..) | Column::Ratio(head, _) => *head,
    };
    let heads: Vec<&str> = columns.iter().map(head).collect();
    let mut out = format!("| tool | n | {} |\n|---|---|{}\n", heads.join(" | "), "---|".repeat(columns.len()));
    for tool in tools {
        let cells: Vec<String> = columns.iter().map(|c| cell(*c, tool, tools)).collect();
        let n = tool.runs.iter().filter(|run| !run.is_empty()).count();
        let _ = writeln!(out, "| {} | {n} | {} |", tool.name, cells.join(" | "));
    }
    out
}

fn cell(column: Column, tool: &Tool, tools: &[Tool]) -> String {
    match column {
        Column::Figure(_, key, form) => spread(&values(tool, key), form),
        Column::Ratio(_, key) => {
            let ours = tools.first().map(|t| &t.runs[..]).unwrap_or_default();
            let ratio = |(a, b): (&Figures, &Figures)| Some(a.get(key)? / b.get(key)?);
            let ratios: Vec<f64> = ours.iter().zip(&tool.runs).filter_map(ratio).collect();
            spread(&ratios, Form::Fixed(2))
        }
    }
}

fn values(tool: &Tool, key: &str) -> Vec<f64> {
    tool.runs.iter().filter_map(|run| run.get(key).copied()).collect()
}

/// `median [least..most]`; a dash for nothing.
fn spread(values: &[f64], form: Form) -> String {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return "-".to_owned() };
    let middle = median(&sorted);
    let (low, mid, high) = (write(*least, form), write(middle, form), write(*most, form));
    if low == high { mid } else { format!("{mid} [{low}..{high}]") }
}

/// Of sorted values; the mean of the two in the middle of an even number.
pub fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

fn write(value: f64, form: Form) -> String {
    match form {
        Form::Human if value >= 1e6 => format!("{:.2}M", value / 1e6),
        Form::Human if value >= 1e4 => format!("{:.0}k", value / 1e3),
        Form::Human if value >= 1e3 => format!("{:.1}k", value / 1e3),
        Form::Human => format!("{value:.0}"),
        Form::Fixed(decimals) => format!("{value:.decimals$}"),
        Form::Signed(decimals) => format!("{value:+.decimals$}"),
        Form::Percent => format!("{:.0} %", value * 100.0),
    }
}
