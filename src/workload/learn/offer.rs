//! What `learn` leaves behind: the compact table of a recording, and a scenario that uses it.

use super::{Arrivals, Learnt};
use crate::base::rng::Seed;
use crate::workload::trace::Rows;
use rand::RngExt;
use std::fmt::Write;

/// The recording as CSV: `at_ms,input_tokens,output_tokens`, or without the first column when it has no instants. Instants keep their
/// microseconds: at a thousand requests a second whole milliseconds would make every second gap zero.
///
/// At most `max_rows` rows (at least 1 is kept). A longer recording is thinned evenly: row `floor((i + u) n / max_rows)` for one `u` drawn
/// from `seed`. Input and output stay together, so their joint distribution survives; order and instants stay too, so every hour keeps its
/// share. The rate falls by `n / max_rows`: a replay makes up for it with `rate_scale`.
#[must_use]
pub fn compact_table(rows: &Rows, max_rows: usize, seed: Seed) -> String {
    let n = rows.rows.len();
    let kept = max_rows.max(1).min(n);
    let timed = rows.rows.iter().all(|r| r.at.is_some());
    let start: f64 = if kept < n { seed.stream("compact table").random() } else { 0.0 };
    let mut out = String::with_capacity(20 * kept + 40);
    out.push_str(if timed { "at_ms,input_tokens,output_tokens\n" } else { "input_tokens,output_tokens\n" });
    for i in 0..kept {
        let row = &rows.rows[picked(i, start, n, kept)];
        if let (true, Some(at)) = (timed, row.at) {
            let us = at.0 / 1000;
            let _ = match us % 1000 {
                0 => write!(out, "{},", us / 1000),
                rest => write!(out, "{}.{rest:03},", us / 1000),
            };
        }
        let _ = writeln!(out, "{},{}", row.input_tokens, row.output_tokens);
    }
    out
}

/// The `i`-th of `kept` rows out of `n`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and cut to the last row")]
fn picked(i: usize, start: f64, n: usize, kept: usize) -> usize {
    if kept == n { i } else { (((i as f64 + start) * n as f64 / kept as f64) as usize).min(n - 1) }
}

/// A scenario, with comments, that draws rows of the table at `trace_path` (relative to the scenario) at the rate of the recording.
///
/// Replay of the recorded instants and a plan for the recorded demand (by the demand model at `demand_model`, where there is one) stand in it as
/// comments. `name` is cut to letters, digits, `-` and `_`.
#[must_use]
pub fn scenario_toml(name: &str, trace_path: &str, learnt: &Learnt, demand_model: Option<&str>) -> String {
    let name = scenario_name(name);
    let path = quoted(trace_path);
    let n = learnt.requests;
    let (input, output) = (&learnt.input, &learnt.output);
    let question = format!("What do latency and throughput look like under the recorded load of {name}?");
    let mut out = String::new();
    let _ = write!(
        out,
        "#:schema ./scenario.schema.json
# {question}
#
# Learnt from {n} requests: {:.0} input and {:.0} output tokens on average, Spearman {}.{}

name = {}
question = {}

[load]
",
        input.mean,
        output.mean,
        learnt.spearman.map_or("unknown".to_owned(), |s| format!("{s:.2}")),
        burst_note(learnt.arrivals.as_ref()),
        quoted(&name),
        quoted(&question),
    );
    load(&mut out, &path, n, learnt.arrivals.as_ref());
    let _ = write!(
        out,
        "warmup = \"10s\"
measure = \"2min\"
drain = \"30s\"

[workload]
# Rows of the recording, input and output together.
lengths = {{ empirical = {{ trace = {{ path = {path}, format = \"table\" }} }} }}
max_input = {:.0}
max_output = {:.0}

[workload.prompts]
tokenizer = \"llama3\"
{}
[slo]
# Yours to set: a request is good when it meets all of them.
ttft = {{ p95 = \"2s\" }}
tpot = {{ p95 = \"60ms\" }}
errors = \"1%\"
",
        input.max.max(1.0),
        output.max.max(1.0),
        prefix(learnt.shared_prefix),
    );
    match demand_model {
        Some(model) => plan_by_model(&mut out, model),
        None => plan(&mut out, &path, n, learnt.arrivals.as_ref()),
    }
    out
}

fn burst_note(arrivals: Option<&Arrivals>) -> String {
    let Some(a) = arrivals else { return "\n# The recording has no instants: the rate below is a placeholder.".to_owned() };
    let minute = a.dispersion.last().and_then(|d| d.index);
    let dispersion = minute.map_or(String::new(), |index| format!(", index of dispersion {index:.1} at one minute (1 for a constant rate)"));
    format!("\n# {:.3} requests a second over {:.1} min, CV of the gaps {:.2}{dispersion}.", a.rate, a.span_s / 60.0, a.gap_cv)
}

fn load(out: &mut String, path: &str, n: usize, arrivals: Option<&Arrivals>) {
    let Some(a) = arrivals else {
        out.push_str("arrivals = { poisson = { rate = \"1/s\" } }\n");
        return;
    };
    // Four digits: a rate that a person reads, within 0.05 % of the recording. Scientific notation never appears.
    let rate = four_digits(a.rate);
    let _ = write!(
        out,
        "# Independent arrivals at the mean rate of the recording: the same load all the time, without its bursts.
arrivals = {{ poisson = {{ rate = \"{rate}/s\" }} }}
# The recorded instants instead, bursts and lulls included (with `warmup` and `measure` inside its {:.0} s; if the table has fewer rows
# than the recording, add rate_scale = {n} / its rows):
# arrivals = {{ trace = {{ trace = {{ path = {path}, format = \"table\" }}, time_scale = 1.0, rate_scale = 1.0 }} }}
",
        a.span_s.floor(),
    );
}

fn prefix(share: f64) -> String {
    if share < 0.005 {
        return String::new();
    }
    format!(
        "# Share of input tokens that an earlier request had too, with a cache that forgets nothing.\nshared_prefix = \"{:.1}%\"\n",
        share * 100.0
    )
}

fn plan(out: &mut String, path: &str, n: usize, arrivals: Option<&Arrivals>) {
    let Some(a) = arrivals else { return };
    let period = a.span_s.ceil().max(1.0);
    let _ = write!(
        out,
        "
# To size an endpoint for the recorded demand, set chunk and price to yours and remove the comment signs (a table with fewer rows than
# the recording needs rate_scale = {n} / its rows):
# [plan]
# demand = {{ trace = {{ trace = {{ path = {path}, format = \"table\" }}, rate_scale = 1.0 }} }}
# period = \"{period}s\"
# chunk = {{ size = \"1580 tok/s\", source = \"assumed\" }}
# price = {{ first = \"24 USD/h\", next = \"24 USD/h\", source = \"assumed\" }}
"
    );
}

fn plan_by_model(out: &mut String, model: &str) {
    let model = quoted(model);
    let _ = write!(
        out,
        "
# To size an endpoint for days like the recorded ones, set chunk and price to yours and remove the comment signs:
# [plan]
# demand_model = {model}
# period = \"1d\"
# chunk = {{ size = \"1580 tok/s\", source = \"assumed\" }}
# price = {{ first = \"24 USD/h\", next = \"24 USD/h\", source = \"assumed\" }}
"
    );
}

/// `rate` with four significant digits, as a plain decimal number above zero.
fn four_digits(rate: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a finite double is between -324 and 309")]
    let magnitude = rate.abs().max(1e-12).log10().floor() as i32;
    let decimals = usize::try_from(3 - magnitude).unwrap_or(0);
    let text = format!("{rate:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `text` as a basic TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Letters, digits, `-` and `_`; everything else becomes `-`. Never empty.
fn scenario_name(name: &str) -> String {
    let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let clean = clean.trim_matches('-');
    if clean.is_empty() { "learnt".to_owned() } else { clean.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::{learn, tests::poisson};
    use super::*;
    use crate::base::stats::sample::ks_distance;
    use crate::scenario::check::check;
    use crate::scenario::load::TraceFormat;
    use crate::scenario::workload::Lengths;
    use crate::workload::trace::{Row, read, sources};
    use std::path::Path;

    fn checked(text: &str) -> crate::scenario::experiment::Experiment {
        check("learnt.toml", text.as_bytes(), Path::new("."), &[], Seed(1)).unwrap_or_else(|faults| {
            let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!("{}\n{text}", told.join("\n"))
        })
    }

    #[test]
    fn the_scenario_passes_the_check_and_names_the_table() {
        let scenario = checked(&scenario_toml("chat log: März", "traces/a \"b\".csv", &learn(&poisson(2000)), None)).scenario;
        assert_eq!(scenario.name, "chat-log--M-rz");
        assert!(matches!(scenario.workload.lengths, Lengths::Empirical { trace: Some(_) }));
        assert_eq!(sources(&scenario)[0].path, Path::new("traces/a \"b\".csv"));
    }

    /// What stands in comments is valid too, once the comment signs are removed.
    #[test]
    fn a_plan_by_model_passes_the_check_too() {
        let text = scenario_toml("x", "t.csv", &learn(&poisson(2000)), Some("x.demand.json"));
        let plan = text.find("# [plan]").unwrap();
        let scenario = checked(&format!("{}{}", &text[..plan], text[plan..].replace("# ", ""))).scenario;
        assert_eq!(scenario.plan.unwrap().demand_model, Some(crate::scenario::plan::DemandSource::File("x.demand.json".into())));
    }

    #[test]
    fn replay_and_plan_pass_the_check_when_they_are_switched_on() {
        let text = scenario_toml("x", "t.csv", &learn(&poisson(2000)), None);
        let plan = text.find("# [plan]").unwrap();
        checked(&format!("{}{}", &text[..plan], text[plan..].replace("# ", "")));
        let replay =
            text.lines().filter(|l| !l.starts_with("arrivals =")).map(|l| l.strip_prefix("# ").filter(|l| l.starts_with("arrivals =")).unwrap_or(l));
        checked(&replay.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn recordings_without_instants_or_with_prefixes_make_scenarios_too() {
        let mut rows = poisson(300);
        rows.rows.iter_mut().for_each(|r| r.blocks = r.input_tokens / 3);
        let scenario = checked(&scenario_toml("", "t.csv", &learn(&rows), None)).scenario;
        assert!((scenario.workload.prompts.shared_prefix.0 - 0.333).abs() < 0.01);
        rows.rows.iter_mut().for_each(|r| r.at = None);
        assert_eq!(checked(&scenario_toml("-", "t.csv", &learn(&rows), None)).scenario.name, "learnt");
    }

    #[test]
    fn a_short_recording_survives_as_a_table_to_the_microsecond() {
        let rows = poisson(500);
        let back = read(compact_table(&rows, 500, Seed(1)).as_bytes(), TraceFormat::Table, None, "t").unwrap();
        let to_the_us = |r: &Row| (r.at.map(|at| at.0 / 1000), r.input_tokens, r.output_tokens);
        assert!(back.rows.iter().map(to_the_us).eq(rows.rows.iter().map(to_the_us)));
    }

    #[test]
    fn thinning_keeps_lengths_pairs_span_and_order_and_repeats_by_seed() {
        let rows = poisson(20_000);
        let table = compact_table(&rows, 2000, Seed(1));
        assert_eq!(table, compact_table(&rows, 2000, Seed(1)));
        assert_ne!(table, compact_table(&rows, 2000, Seed(6)));
        let thin = read(table.as_bytes(), TraceFormat::Table, None, "t").unwrap();
        assert_eq!((thin.rows.len(), thin.unsorted), (2000, 0));
        let column = |rows: &Rows| rows.rows.iter().map(|r| f64::from(r.input_tokens)).collect::<Vec<_>>();
        assert!(ks_distance(&column(&rows), &column(&thin)) < 0.03);
        let pairs: std::collections::HashSet<(u32, u32)> = rows.rows.iter().map(|r| (r.input_tokens, r.output_tokens)).collect();
        assert!(thin.rows.iter().all(|r| pairs.contains(&(r.input_tokens, r.output_tokens))));
        let span = |rows: &Rows| rows.rows.last().unwrap().at.unwrap().as_secs_f64();
        assert!((span(&thin) / span(&rows) - 1.0).abs() < 0.01);
    }

    #[test]
    fn rates_are_written_with_four_digits() {
        for (rate, text) in [(5.527_34, "5.527"), (0.001_234_56, "0.001235"), (1234.56, "1235"), (2.0, "2"), (123_456.0, "123456")] {
            assert_eq!(four_digits(rate), text);
        }
    }
}
