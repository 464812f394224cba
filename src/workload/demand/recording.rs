//! From what a file holds to a series: bins aligned to the clock, gaps masked, plateaus and refusals seen, lengths in strata.

use super::law::index;
use super::learn::About;
use super::rows::LengthTable;
use super::series::{Series, mean_known};
use super::{BIN_S, DAY_S, ROWS};
use crate::base::stats::sample::{mean_variance, quantile_sorted, sort};
use crate::base::time::Nanos;
use crate::workload::trace::{Rates, Row, Rows};

/// A silence is a gap of the recording when this many requests were to be expected in it.
const MISSED: f64 = 50.0;
/// And when it lasts this long, seconds.
const SILENCE_S: f64 = 300.0;
/// Fewest requests a step holds on average: with fewer, counting noise hides what the demand does.
const PER_STEP: f64 = 150.0;
/// Hours form strata of this many hours where their lengths differ.
const HOURS_PER_STRATUM: usize = 3;
/// Rows that a stratum needs.
const STRATUM_ROWS: usize = 200;

/// What the user says about a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// Name for the model.
    pub name: String,
    /// When it begins, nanoseconds since 1970, where the file does not say.
    pub start_ns: Option<i64>,
    /// Share of all requests that were refused with 429 and are missing from the file, 0 to below 1.
    pub throttled_share: f64,
}

/// The beginning of a recording in the week.
struct Begin {
    start_s: f64,
    is_dated: bool,
    time_zone: &'static str,
}

impl Begin {
    fn of(ns: Option<i64>, from_file: bool) -> Self {
        let Some(ns) = ns else { return Self { start_s: 0.0, is_dated: false, time_zone: "of the source" } };
        let seconds = ns as f64 / 1e9;
        let day = (seconds / DAY_S).floor();
        // 1970-01-01 was a Thursday: weekday 3.
        let weekday = (day + 3.0).rem_euclid(7.0);
        Self { start_s: weekday * DAY_S + (seconds - day * DAY_S), is_dated: true, time_zone: if from_file { "UTC" } else { "of --start" } }
    }
}

/// The series of single requests; refused ones count. `None` without instants.
#[must_use]
pub fn of_requests(rows: &Rows, said: &Said) -> Option<(Series, About)> {
    let at_s: Vec<f64> = rows.rows.iter().filter_map(|r| r.at).chain(rows.throttled.iter().copied()).map(Nanos::as_secs_f64).collect();
    let last_s = at_s.iter().copied().fold(0.0, f64::max);
    if rows.rows.iter().any(|r| r.at.is_none()) || last_s <= 0.0 {
        return None;
    }
    let begin = Begin::of(rows.origin_ns.or(said.start_ns), rows.origin_ns.is_some());
    let rate = at_s.len() as f64 / last_s;
    let shortest = if last_s > 28.0 * DAY_S { 300.0 } else { 60.0 };
    let step_s = [60.0, 300.0, 600.0].into_iter().find(|s| *s >= shortest && s * rate >= PER_STEP).unwrap_or(600.0);
    let aligned_s = (begin.start_s / step_s).floor() * step_s;
    let offset_s = begin.start_s - aligned_s;
    let mut bins = vec![0_u32; index((offset_s + last_s) / BIN_S) + 1];
    for at in &at_s {
        bins[index((offset_s + at) / BIN_S)] += 1;
    }
    let per_step = index(step_s / BIN_S);
    let mut rates: Vec<f64> = bins.chunks(per_step).map(|c| f64::from(c.iter().sum::<u32>()) / step_s).collect();
    // The first and the last step were not recorded in whole.
    if offset_s > 0.0 {
        rates[0] = f64::NAN;
    }
    if let Some(last) = rates.last_mut() {
        *last = f64::NAN;
    }
    let mut notes = Vec::new();
    mask_silences(&mut rates, step_s, aligned_s, &mut notes);
    if !rows.throttled.is_empty() {
        notes.push(format!("{} requests refused with 429 count as demand; their lengths are taken to be like the others", rows.throttled.len()));
    }
    correct(&mut rates, said.throttled_share, step_s, !rows.throttled.is_empty(), &mut notes);
    let dispersion = dispersion(&bins, &rates, per_step);
    let lengths = strata(&rows.rows, begin.start_s, rows.origin_ns.is_some() || said.start_ns.is_some());
    let series = Series { step_s, start_s: aligned_s, is_dated: begin.is_dated, rates };
    Some((series, About { name: said.name.clone(), time_zone: begin.time_zone.to_owned(), dispersion, lengths, notes }))
}

/// The series of rates in windows; windows that are absent are gaps. `lengths`: rows of another file.
#[must_use]
pub fn of_rates(rates: &Rates, lengths: Option<&Rows>, said: &Said) -> (Series, About) {
    let mut notes = vec!["the recording holds rates and no single requests: inside a step they are taken to come independently (Poisson)".to_owned()];
    let windows = &rates.windows;
    let mut widths: Vec<f64> = windows.windows(2).map(|w| w[1].0 - w[0].0).collect();
    sort(&mut widths);
    let width_s = widths[widths.len() / 2];
    let begin = Begin::of(said.start_ns, false);
    let first_s = windows.first().map_or(0.0, |w| w.0);
    let last_s = windows.last().map_or(0.0, |w| w.0);
    let divides = |whole: f64| ((whole / width_s).round() * width_s - whole).abs() < 1e-6;
    let (step_s, mut values) = if divides(DAY_S) && (divides(600.0) || (width_s / 600.0).fract() < 1e-9) {
        let mut values = vec![f64::NAN; index(((last_s - first_s) / width_s).round()) + 1];
        for (at, rate) in windows {
            values[index(((at - first_s) / width_s).round())] = *rate;
        }
        (width_s, values)
    } else {
        notes.push(format!("windows of {width_s:.0} s are read off at every ten minutes"));
        (600.0, resampled(windows, width_s, 600.0))
    };
    let masked = values.iter().filter(|x| x.is_nan()).count();
    if masked > 0 {
        notes.push(format!("{masked} of {} steps are absent: masked as gaps, not read as zero", values.len()));
    }
    correct(&mut values, said.throttled_share, step_s, false, &mut notes);
    // Rates are counted from the origin of the file, which is the beginning of a day unless the user says otherwise.
    let start_s = (begin.start_s + first_s).rem_euclid(7.0 * DAY_S);
    let lengths = lengths.map_or_else(LengthTable::default, |rows| strata(&rows.rows, 0.0, false));
    let series = Series { step_s, start_s, is_dated: begin.is_dated, rates: values };
    (series, About { name: said.name.clone(), time_zone: begin.time_zone.to_owned(), dispersion: 0.0, lengths, notes })
}

/// Values at the middles of steps, straight between the middles of windows; unknown where windows are missing.
fn resampled(windows: &[(f64, f64)], width_s: f64, step_s: f64) -> Vec<f64> {
    let first_s = windows[0].0;
    let end_s = windows[windows.len() - 1].0 + width_s;
    let mut next = 1;
    (0..index((end_s - first_s) / step_s))
        .map(|i| {
            let at = first_s + (i as f64 + 0.5) * step_s - 0.5 * width_s;
            while next + 1 < windows.len() && windows[next].0 < at {
                next += 1;
            }
            let (low, high) = (windows[next - 1], windows[next]);
            let share = ((at - low.0) / (high.0 - low.0)).clamp(0.0, 1.0);
            if high.0 - low.0 > 1.5 * width_s { f64::NAN } else { low.1 * (1.0 - share) + high.1 * share }
        })
        .collect()
}

/// Masks silences in which requests were to be expected: by the median of the same time on other days, or of all steps.
fn mask_silences(rates: &mut [f64], step_s: f64, start_s: f64, notes: &mut Vec<String>) {
    let a_day = index((DAY_S / step_s).round());
    let mut known: Vec<f64> = rates.iter().copied().filter(|x| x.is_finite()).collect();
    sort(&mut known);
    let overall = quantile_sorted(&known, 0.5).unwrap_or(0.0);
    let usual = |step: usize| {
        let mut others: Vec<f64> =
            (step % a_day..rates.len()).step_by(a_day).filter(|&i| i != step).map(|i| rates[i]).filter(|x| x.is_finite()).collect();
        sort(&mut others);
        if others.len() >= 2 { quantile_sorted(&others, 0.5).unwrap_or(0.0) } else { overall }
    };
    let mut gaps: Vec<(usize, usize)> = Vec::new();
    let mut i = 0;
    while i < rates.len() {
        let end = (i..rates.len()).find(|&j| rates[j] != 0.0).unwrap_or(rates.len());
        let expected: f64 = (i..end).map(|j| usual(j) * step_s).sum();
        if (end - i) as f64 * step_s >= SILENCE_S && expected >= MISSED {
            gaps.push((i, end));
        }
        i = end.max(i + 1);
    }
    for &(from, to) in &gaps {
        rates[from..to].fill(f64::NAN);
    }
    if let Some(&(from, to)) = gaps.iter().max_by_key(|(from, to)| to - from) {
        let begin_s = start_s + from as f64 * step_s;
        let hours: f64 = gaps.iter().map(|(from, to)| (to - from) as f64).sum::<f64>() * step_s / 3600.0;
        notes.push(format!(
            "{} silences, {hours:.2} h in all, are taken for gaps of the recording and masked: the longest lasts {:.1} min and begins at {:02.0}:{:02.0}",
            gaps.len(),
            (to - from) as f64 * step_s / 60.0,
            (begin_s.rem_euclid(DAY_S) / 3600.0).floor(),
            (begin_s.rem_euclid(3600.0) / 60.0).floor(),
        ));
    }
}

/// Tells a plateau at the top, and lifts the rates by what was refused: at the plateau where there is one, everywhere otherwise.
fn correct(rates: &mut [f64], share: f64, step_s: f64, has_refused: bool, notes: &mut Vec<String>) {
    let capped = plateau(rates, step_s);
    let known = rates.iter().filter(|x| x.is_finite()).sum::<f64>();
    if share > 0.0 && share < 1.0 {
        let missing = known * share / (1.0 - share);
        let at_cap: f64 = capped.iter().map(|&i| rates[i]).sum();
        if capped.is_empty() {
            for x in rates.iter_mut() {
                *x /= 1.0 - share;
            }
            notes.push(format!("{:.1} % of the requests are said to be missing (429): all rates are lifted alike", share * 100.0));
        } else {
            for &i in &capped {
                rates[i] *= 1.0 + missing / at_cap;
            }
            notes.push(format!(
                "{:.1} % of the requests are said to be missing (429): the rates of {} capped steps are lifted",
                share * 100.0,
                capped.len()
            ));
        }
    } else if !capped.is_empty() && !has_refused {
        notes.push(format!(
            "{} steps lie at one and the same highest rate: demand was probably cut off there by refusals (429) that the recording lacks; say --throttled-share",
            capped.len()
        ));
    }
}

/// Steps within 1 % (or twice the counting noise) of the highest, in runs of half an hour or more, when they stand clearly above the mean.
fn plateau(rates: &[f64], step_s: f64) -> Vec<usize> {
    let top = rates.iter().copied().fold(0.0, f64::max);
    if top < 1.3 * mean_known(rates) {
        return Vec::new();
    }
    let slack = f64::max(0.01, 2.0 / (top * step_s).max(1.0).sqrt()) * top;
    let is_high = |i: usize| rates[i] >= top - slack;
    let least = index((1800.0 / step_s).ceil()).max(3);
    let mut out = Vec::new();
    let mut i = 0;
    while i < rates.len() {
        let end = (i..rates.len()).find(|&j| !is_high(j)).unwrap_or(rates.len());
        if end - i >= least {
            out.extend(i..end);
        }
        i = end.max(i + 1);
    }
    out
}

/// `(variance - mean) / mean^2` of the counts in bins around the mean of their own step, pooled over steps: Poisson counts give 0.
fn dispersion(bins: &[u32], rates: &[f64], per_step: usize) -> f64 {
    if per_step < 2 {
        return 0.0;
    }
    let (mut above, mut squares) = (0.0, 0.0);
    for (chunk, _) in bins.chunks_exact(per_step).zip(rates).filter(|(_, rate)| rate.is_finite()) {
        let counts: Vec<f64> = chunk.iter().map(|&c| f64::from(c)).collect();
        let (mean, variance) = mean_variance(&counts);
        above += variance - mean;
        // The square of an estimated mean is too large by its variance.
        squares += mean * mean - variance / per_step as f64;
    }
    let factor = if squares > 0.0 { (above / squares).clamp(0.0, 10.0) } else { 0.0 };
    (factor * 1e5).round() / 1e5
}

/// Rows in one stratum, or in strata of three hours where the mean lengths of hours differ beyond chance and by 5 %.
fn strata(rows: &[Row], start_s: f64, is_dated: bool) -> LengthTable {
    let most = usize::try_from(ROWS).unwrap_or(usize::MAX);
    let hour_of = |row: &Row| index((start_s + row.at.map_or(0.0, Nanos::as_secs_f64)).rem_euclid(DAY_S) / 3600.0).min(23);
    let span_s = rows.last().and_then(|r| r.at).map_or(0.0, Nanos::as_secs_f64);
    if !is_dated || span_s < 0.9 * DAY_S || !hours_differ(rows, &hour_of) {
        return LengthTable::pooled(thinned(rows.iter(), rows.len(), most));
    }
    let count = 24 / HOURS_PER_STRATUM;
    let groups: Vec<Vec<&Row>> = (0..count).map(|g| rows.iter().filter(|r| hour_of(r) / HOURS_PER_STRATUM == g).collect()).collect();
    let mut strata = vec![thinned(rows.iter(), rows.len(), most / (count + 1))];
    let mut of_hour = vec![0; 24];
    for (g, group) in groups.iter().enumerate().filter(|(_, group)| group.len() >= STRATUM_ROWS) {
        let number = u16::try_from(strata.len()).unwrap_or(0);
        of_hour[g * HOURS_PER_STRATUM..(g + 1) * HOURS_PER_STRATUM].fill(number);
        strata.push(thinned(group.iter().copied(), group.len(), most / (count + 1)));
    }
    LengthTable::by_hour(of_hour, strata)
}

/// Whether the means of hours spread more than chance explains (chi-square of 23 degrees of freedom, 1 in 10,000) and by 5 % or more.
fn hours_differ(rows: &[Row], hour_of: &dyn Fn(&Row) -> usize) -> bool {
    [|r: &Row| f64::from(r.input_tokens), |r: &Row| f64::from(r.output_tokens)].iter().any(|side| {
        let all: Vec<f64> = rows.iter().map(side).collect();
        let (mean, variance) = mean_variance(&all);
        let mut hours = vec![(0.0, 0.0); 24];
        for row in rows {
            let hour = &mut hours[hour_of(row)];
            *hour = (hour.0 + 1.0, hour.1 + side(row));
        }
        let apart = |&(n, sum): &(f64, f64)| if n > 0.0 { n * (sum / n - mean).powi(2) } else { 0.0 };
        let between: f64 = hours.iter().map(apart).sum();
        let spread = (between / rows.len() as f64 - 23.0 * variance / rows.len() as f64).max(0.0).sqrt();
        between / variance.max(1e-12) > 58.0 && spread > 0.05 * mean
    })
}

/// At most `most` rows, evenly from all, without instants.
fn thinned<'a>(rows: impl Iterator<Item = &'a Row>, n: usize, most: usize) -> Vec<Row> {
    let kept = n.min(most.max(1));
    let mut next = 0;
    let mut out = Vec::with_capacity(kept);
    for (i, row) in rows.enumerate() {
        if out.len() < kept && i >= next * n / kept {
            out.push(Row { at: None, ..*row });
            next += 1;
        }
    }
    out
}
