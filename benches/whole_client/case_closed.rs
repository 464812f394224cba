//! Cases a, b, c and e: how much work one core does, and what a run costs around its work.

use super::answer::Answer;
use super::bench::{Case, Client, Kind, Measured, Stage};
use super::ours::Load;
use super::table::Column::{Figure, Ratio};
use super::table::Form::{Fixed, Human, Percent};
use super::table::{Column, Figures};
use std::time::Duration;

/// Columns of a.
pub const REPLIES: &[Column] = &[
    Figure("requests", "requests", Human),
    Figure("requests/s", "rate", Human),
    Ratio("ours / it", "rate"),
    Figure("client CPU us / request", "cpu", Fixed(1)),
    Ratio("ours / it", "cpu"),
    Figure("the same, under load alone", "load_cpu", Fixed(1)),
    Figure("server busy", "busy", Percent),
    Figure("peak MiB", "peak", Fixed(0)),
    Figure("others' cores", "others", Fixed(2)),
];

/// Columns of b and c.
pub const TOKENS: &[Column] = &[
    Figure("requests", "requests", Human),
    Figure("tokens/s", "rate", Human),
    Ratio("ours / it", "rate"),
    Figure("client CPU us / token", "cpu", Fixed(2)),
    Ratio("ours / it", "cpu"),
    Figure("the same, under load alone", "load_cpu", Fixed(2)),
    Figure("server busy", "busy", Percent),
    Figure("peak MiB", "peak", Fixed(0)),
    Figure("others' cores", "others", Fixed(2)),
];

/// Columns of e.
pub const OVERHEAD: &[Column] = &[
    Figure("requests", "requests", Human),
    Figure("start to first request, s", "first", Fixed(3)),
    Figure("whole wall, s", "wall", Fixed(3)),
    Figure("after the last reply, s", "after", Fixed(3)),
    Figure("CPU s", "cpu_s", Fixed(3)),
    Ratio("ours / it, wall", "wall"),
    Figure("peak MiB", "peak", Fixed(0)),
    Figure("others' cores", "others", Fixed(2)),
    Figure("processes", "processes", Fixed(0)),
];

/// Seconds under load of a, b and c.
fn seconds(stage: &Stage) -> u32 {
    if stage.options.quick { 2 } else { 5 }
}

/// The case of this name.
pub fn case(name: &str, stage: &Stage) -> Case {
    let span = seconds(stage);
    let set = vec![format!("load.measure={span}s")];
    let (title, about, answer, scenario, columns, works): (_, _, _, _, _, &[&'static str]) = match name {
        "a" => (
            "a. Small JSON replies, 64 connections",
            "Closed loop. The server is the limit where it is 100 % busy; processor time a request is then the fair figure.",
            Answer::JSON,
            "a.toml",
            REPLIES,
            &["count", "stamp", "json"],
        ),
        "b" => ("b. 64 streams of 512 tokens, one event a write", SAME, Answer::flood(512, 1), "b.toml", TOKENS, &["count", "stamp", "json"]),
        "c" => ("c. 64 streams of 512 tokens, 32 events a write", SAME, Answer::flood(512, 32), "b.toml", TOKENS, &["count", "stamp", "json"]),
        _ => (
            "e. 200 requests of 32 tokens, about 16 at once",
            "What a run costs around its work, process start and report included. plimsoll sends an even schedule of 200 requests in 40 ms, \
             the bare loop keeps 16 open.",
            Answer::flood(32, 1),
            "e.toml",
            OVERHEAD,
            &["json"],
        ),
    };
    let is_overhead = name == "e";
    let set = if is_overhead { Vec::new() } else { set };
    let mut clients = vec![Client { name: "**plimsoll**".to_owned(), kind: Kind::Ours(Load { scenario, set }) }];
    let rest = if is_overhead { ["16", "10", "200"].map(str::to_owned) } else { ["64".to_owned(), span.to_string(), "0".to_owned()] };
    clients.extend(works.iter().map(|work| Client { name: format!("hyper, {work}"), kind: Kind::Bare("closed", work, rest.to_vec()) }));
    Case {
        title: title.to_owned(),
        about: about.to_owned(),
        answer,
        clients,
        limit: Duration::from_mins(1),
        columns,
        figures: Box::new(if is_overhead { overhead } else { throughput }),
    }
}

const SAME: &str = "Closed loop; `hyper, count` counts bytes, `stamp` splits and stamps events, `json` also parses each one. Processor time of the \
                    whole process, report included; plimsoll tells its share under load by itself.";

/// Of a, b, c.
pub fn throughput(measured: &Measured) -> Figures {
    let Measured { ran, truth, claim, .. } = measured;
    let per_unit = |seconds: f64| seconds * 1e6 / truth.units.max(1) as f64;
    let mut figures = Figures::from([
        ("requests", truth.requests as f64),
        ("rate", truth.rate),
        ("cpu", per_unit(ran.cpu_s)),
        ("busy", truth.busy),
        ("peak", ran.peak_mib),
        ("others", measured.others),
    ]);
    if let Some(load) = claim.as_ref().and_then(|c| c.load_cpu_s) {
        figures.insert("load_cpu", per_unit(load));
    }
    figures
}

/// Of e.
pub fn overhead(measured: &Measured) -> Figures {
    let Measured { ran, truth, .. } = measured;
    let since = |to: u64, from: u64| to.saturating_sub(from) as f64 / 1e9;
    Figures::from([
        ("requests", truth.requests as f64),
        ("first", since(truth.first_ns, ran.started_ns)),
        ("wall", since(ran.ended_ns, ran.started_ns)),
        ("after", since(ran.ended_ns, truth.last_ns)),
        ("cpu_s", ran.cpu_s),
        ("peak", ran.peak_mib),
        ("others", measured.others),
        ("processes", ran.processes as f64),
    ])
}
