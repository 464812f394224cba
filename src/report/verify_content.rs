//! What a verification found, as sentences and tables: the same words in every format.

use super::chart::Table;
use super::number::{count, millis, plural, real, share};
use super::verdict;
use crate::measure::document::RunDocument;
use crate::planner::verification::{Row, Standing, Verdict, Verification};
use std::fmt::Write as _;

/// How it stands, for colour and sign; a run that measured the client says nothing.
#[must_use]
pub fn standing(run: &RunDocument, found: &Verification) -> verdict::Standing {
    match (run.summary.validity.valid, found.verdict) {
        (false, _) => verdict::Standing::Invalid,
        (true, Verdict::Stands) => verdict::Standing::Good,
        (true, Verdict::Broken) => verdict::Standing::Missed,
        (true, Verdict::Undecided) => verdict::Standing::Undecided,
    }
}

/// The verdict in capitals. At a smaller size it is the model that stands or falls.
#[must_use]
pub fn word(run: &RunDocument, found: &Verification) -> String {
    let whose = if found.load.is_whole() { "PROMISE" } else { "MODEL" };
    match (run.summary.validity.valid, found.verdict) {
        (false, _) => "INVALID RUN".to_owned(),
        (true, Verdict::Stands) => format!("{whose} STANDS"),
        (true, Verdict::Broken) => format!("{whose} BROKEN"),
        (true, Verdict::Undecided) => "UNDECIDED".to_owned(),
    }
}

fn worst(found: &Verification) -> Option<&Row> {
    found.rows.iter().filter(|r| r.standing == Standing::Worse).max_by(|a, b| (a.ratio / a.allowance).total_cmp(&(b.ratio / b.allowance)))
}

fn off(ratio: f64) -> String {
    format!("{:.0}%", 100.0 * (ratio - 1.0).abs())
}

/// What was found and how sure it is.
#[must_use]
pub fn sentence(run: &RunDocument, found: &Verification) -> String {
    let l = &found.load;
    let mut text = format!("{} at {} requests/s on {}. ", plural(found.requests, "request", "requests"), real(l.requests_s), chunks(l.chunks));
    if !l.is_whole() {
        let _ = write!(
            text,
            "The plan is for {} and {} requests/s: as much load a chunk verifies the model that the plan rests on, not the size. ",
            chunks(l.planned_chunks),
            real(l.planned_requests_s)
        );
    }
    if !run.summary.validity.valid {
        text.push_str("The run is not valid: it does not measure the endpoint, whatever the figures below say.");
        return text;
    }
    match found.verdict {
        Verdict::Stands => {
            let _ = write!(
                text,
                "Nothing is worse than the model says; an endpoint {} slower would have been found in {} of such runs.",
                share(found.slower),
                share(found.power)
            );
            if found.rows.iter().any(|r| r.standing == Standing::Better) {
                text.push_str(" The endpoint is faster than the model: the plan may buy more than it must.");
            }
        }
        Verdict::Broken => match worst(found) {
            Some(r) => {
                let _ = write!(
                    text,
                    "The endpoint is slower than the model: {} {} by {} (between {} and {} of the prediction).",
                    r.metric,
                    r.percentile,
                    off(r.ratio),
                    share_of(r.ratio_low),
                    share_of(r.ratio_high)
                );
            }
            None => {
                for s in found.shares.iter().filter(|s| s.standing == Standing::Worse) {
                    let _ = write!(
                        text,
                        "Fewer requests {} than the model says: {} of them, at least {} predicted.",
                        if s.what == "good" { "were good" } else { "ended well" },
                        share(s.measured),
                        share(s.predicted_low)
                    );
                }
            }
        },
        Verdict::Undecided => {
            text.push_str("Nothing is worse than the model says, but too little was seen to be sure");
            let _ = match found.needed {
                Some(needed) => write!(
                    text,
                    ": an endpoint {} slower would have been found in {} of such runs, and a percentile with an objective needs ten values beyond it. It takes about {} requests.",
                    share(found.slower),
                    share(found.power),
                    count(needed)
                ),
                None => {
                    write!(text, ": the model's own error is larger than the {} looked for, whatever the number of requests.", share(found.slower))
                }
            };
        }
    }
    text
}

fn share_of(ratio: f64) -> String {
    format!("{:.0}%", 100.0 * ratio)
}

fn chunks(n: u32) -> String {
    plural(u64::from(n), "chunk", "chunks")
}

/// What to do about it; empty when there is nothing to do.
#[must_use]
pub fn advice(run: &RunDocument, found: &Verification) -> String {
    if !run.summary.validity.valid {
        return "Remove what made the run invalid and verify again.".to_owned();
    }
    match found.verdict {
        Verdict::Stands => String::new(),
        Verdict::Broken => {
            let by = worst(found).map_or(1.0, |r| r.ratio);
            let more = if by > 1.0 {
                format!(" Until then count on {} to {} more chunks.", share(0.5 * (by - 1.0)), share(by - 1.0))
            } else {
                String::new()
            };
            format!(
                "Fit again with this run (`plimsoll plan SCENARIO --from` its folder) and plan anew; check that nothing else loads the endpoint and that it has the chunks that were planned.{more}"
            )
        }
        Verdict::Undecided => match found.needed {
            Some(_) => "Load longer: --duration.".to_owned(),
            None => "Fit more exactly: `plimsoll sweep --for-fit`, then plan again with --from.".to_owned(),
        },
    }
}

fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Agrees => "agrees",
        Standing::Worse => "worse",
        Standing::Better => "better",
    }
}

/// Every quantile.
#[must_use]
pub fn rows(found: &Verification) -> Table {
    let head = ["Latency", "n", "Measured (95%)", "Predicted (95%)", "Measured / predicted", "allowed", "Verdict"];
    let mut table = Table::new(&head);
    for r in &found.rows {
        table.rows.push(vec![
            format!("{} {}", r.metric, r.percentile),
            count(r.n),
            format!("{} ({} to {})", millis(r.measured_ms), millis(r.measured_low_ms), millis(r.measured_high_ms)),
            format!("{} ({} to {})", millis(r.predicted_ms), millis(r.predicted_low_ms), millis(r.predicted_high_ms)),
            format!("{:.3} ({:.3} to {:.3})", r.ratio, r.ratio_low, r.ratio_high),
            format!("{:.2}", r.allowance),
            standing_word(r.standing).to_owned(),
        ]);
    }
    for s in &found.shares {
        table.rows.push(vec![
            s.what.clone(),
            count(found.requests),
            share(s.measured),
            format!("{} to {}", share(s.predicted_low), share(s.predicted_high)),
            format!("\u{b1} {}", share(s.half.min(1.0))),
            String::new(),
            standing_word(s.standing).to_owned(),
        ]);
    }
    table
}

/// What the plan took for granted.
#[must_use]
pub fn checks(found: &Verification) -> Table {
    let mut table = Table::new(&["Taken for granted", "Planned", "In the run", "Verdict"]);
    for c in &found.checks {
        table.rows.push(vec![c.what.clone(), real(c.planned), real(c.measured), if c.holds { "holds".to_owned() } else { c.meaning.clone() }]);
    }
    table
}

/// How the comparison is made.
#[must_use]
pub fn note(found: &Verification) -> String {
    let draws =
        if found.draws > 0 { format!(" and {}", plural(u64::from(found.draws), "draw of the fit", "draws of the fit")) } else { String::new() };
    format!(
        "The very requests that were sent were simulated {} times{draws}. Ratios are compared section by section, so that requests of one burst do not count as many; all rows together raise a false alarm in at most 5% of runs. A ratio agrees up to what is allowed for the error of the model.",
        found.repetitions
    )
}
