//! Cases d, f and rss: is the schedule kept, is the truth told, and how much memory does an open stream take?

use super::answer::Answer;
use super::bench::{Case, Client, Kind, Measured, Stage};
use super::judge::Quantiles;
use super::ours::Load;
use super::table::Column::{Figure, Ratio};
use super::table::Form::{Fixed, Human, Percent, Signed};
use super::table::{Column, Figures};
use plimsoll::base::stats::sample::{ks_against, ks_critical_5pct, mean_variance, sort};
use std::time::Duration;

macro_rules! with_errors {
    ($($first:expr),* $(,)?) => {
        &[
            $($first,)*
            Figure("TTFT p50 err", "ttft50", Signed(2)),
            Figure("TTFT p99 err", "ttft99", Signed(2)),
            Figure("from due p99", "due99", Signed(2)),
            Figure("ITL p50 err", "itl50", Signed(2)),
            Figure("ITL p99 err", "itl99", Signed(2)),
            Figure("sent late p50", "late50", Fixed(3)),
            Figure("p99", "late99", Fixed(3)),
            Figure("server late p99", "server99", Fixed(2)),
            Figure("client CPU us / token", "cpu", Fixed(1)),
            Ratio("ours / it", "cpu"),
            Figure("peak MiB", "peak", Fixed(0)),
            Figure("others' cores", "others", Fixed(2)),
        ]
    };
}

/// Columns of d with Poisson arrivals.
pub const POISSON: &[Column] = with_errors![
    Figure("rate", "rate", Fixed(1)),
    Figure("of due", "of_due", Fixed(4)),
    Figure("CoV", "cov", Fixed(3)),
    Figure("KS D", "ks", Fixed(4)),
    Figure("crit", "crit", Fixed(4)),
];

/// Columns of d with constant arrivals.
pub const CONSTANT: &[Column] = with_errors![
    Figure("rate", "rate", Fixed(1)),
    Figure("of due", "of_due", Fixed(4)),
    Figure("CoV", "cov", Fixed(3)),
    Figure("dev p50 ms", "dev50", Fixed(3)),
    Figure("dev p99 ms", "dev99", Fixed(3)),
];

const STREAMS: &[Column] = with_errors![
    Figure("rate", "rate", Fixed(0)),
    Figure("streams at once", "open", Human),
    Figure("tokens/s", "tokens_s", Human),
    Figure("client busy", "client_busy", Percent),
];

const MEMORY: &[Column] = &[
    Figure("streams at once", "open", Human),
    Figure("connections", "connections", Human),
    Figure("peak MiB", "peak", Fixed(1)),
    Ratio("ours / it", "peak"),
    Figure("KiB / stream, all memory", "per_stream", Fixed(1)),
];

/// Columns of d by the server's log alone, Poisson arrivals.
pub const POISSON_BY_SERVER: &[Column] = &[
    Figure("requests", "requests", Human),
    Figure("rate", "rate", Fixed(1)),
    Figure("CoV", "cov", Fixed(3)),
    Figure("KS D", "ks", Fixed(4)),
    Figure("crit", "crit", Fixed(4)),
    Figure("server late p99", "server99", Fixed(2)),
    Figure("client CPU us / token", "cpu", Fixed(1)),
    Ratio("ours / it", "cpu"),
    Figure("peak MiB", "peak", Fixed(0)),
    Figure("others' cores", "others", Fixed(2)),
];

/// The same for constant arrivals.
pub const CONSTANT_BY_SERVER: &[Column] = &[
    Figure("requests", "requests", Human),
    Figure("rate", "rate", Fixed(1)),
    Figure("CoV", "cov", Fixed(3)),
    Figure("dev p50 ms", "dev50", Fixed(3)),
    Figure("dev p99 ms", "dev99", Fixed(3)),
    Figure("server late p99", "server99", Fixed(2)),
    Figure("client CPU us / token", "cpu", Fixed(1)),
    Ratio("ours / it", "cpu"),
    Figure("peak MiB", "peak", Fixed(0)),
    Figure("others' cores", "others", Fixed(2)),
];

const ABOUT: &str = "Errors are the client's claim minus the server's truth at the same quantile, ms; `TTFT` from sending, `from due` from the \
                     instant the schedule wanted; `of due` is requests seen by the server over requests due; `server late` is the null server's own \
                     lateness, which bounds what anybody can be judged by.";

/// The cases of a letter.
pub fn cases(name: &str, stage: &Stage) -> Vec<Case> {
    match name {
        "d" => open_loops(stage),
        "f" => streams(stage),
        _ => memory(stage),
    }
}

/// Requests a second of d, with seconds under load.
fn rates(stage: &Stage) -> &'static [(u32, u32)] {
    if stage.options.quick { &[(1000, 5)] } else { &[(50, 24), (200, 12), (1000, 10), (5000, 5)] }
}

fn open_loops(stage: &Stage) -> Vec<Case> {
    let mut cases = Vec::new();
    for &(rate, span) in rates(stage) {
        for law in ["poisson", "constant"] {
            let title = format!("d. Open loop, {law}, {rate} requests/s: TTFT 50 ms, ITL 10 ms, 32 tokens");
            let columns = if law == "poisson" { POISSON } else { CONSTANT };
            let clients = clients(law, f64::from(rate), span, 32, 6000);
            let figures = move |m: &Measured| arrivals_and_errors(m, f64::from(rate));
            cases.push(case(title, Answer::paced(32, 50_000, 10_000), clients, span, columns, Box::new(figures)));
        }
    }
    cases
}

fn streams(stage: &Stage) -> Vec<Case> {
    let counts: &[u32] = if stage.options.quick { &[100, 1000] } else { &[100, 1000, 5000] };
    let speeds: &[u64] = if stage.options.quick { &[50] } else { &[50, 100] };
    let span = if stage.options.quick { 4 } else { 8 };
    let mut cases = Vec::new();
    for &count in counts {
        for &speed in speeds {
            let answer = Answer::paced(100, 50_000, 1_000_000 / speed);
            let rate = f64::from(count) / answer.life_s();
            let title = format!("f. {count} streams of {speed} tokens/s: TTFT 50 ms, 100 tokens");
            let figures = move |m: &Measured| arrivals_and_errors(m, rate);
            cases.push(case(title, answer, clients("constant", rate, span, 100, 6000), span, STREAMS, Box::new(figures)));
        }
    }
    cases
}

fn memory(stage: &Stage) -> Vec<Case> {
    let counts: &[u32] = if stage.options.quick { &[64, 1400] } else { &[64, 1400, 10_000] };
    // Streams of 4.55 s, all opened within 3 s: for a second and a half every one of them is open.
    let answer = Answer::paced(10, 50_000, 500_000);
    let one = |&count: &u32| {
        let title = format!("rss. {count} streams open at once");
        let about = clients("constant", f64::from(count) / 3.0, 3, 10, count.max(1000));
        let mut case = case(title, answer, about, 3, MEMORY, Box::new(arrivals_only));
        "Peak resident memory of the whole process, report included; 10 tokens a stream.".clone_into(&mut case.about);
        case
    };
    counts.iter().map(one).collect()
}

fn case(
    title: String,
    answer: Answer,
    clients: Vec<Client>,
    span: u32,
    columns: &'static [Column],
    figures: Box<dyn Fn(&Measured) -> Figures>,
) -> Case {
    let limit = Duration::from_secs(u64::from(span) + 60);
    Case { title, about: ABOUT.to_owned(), answer, clients, limit, columns, figures }
}

fn clients(law: &str, rate: f64, span: u32, tokens: u32, in_flight: u32) -> Vec<Client> {
    let set = vec![
        format!("load.max_in_flight={in_flight}"),
        format!("load.arrivals={{ {law} = {{ rate = \"{rate:.6}/s\" }} }}"),
        format!("load.measure={span}s"),
        format!("workload.lengths={{ independent = {{ input = {{ fixed = 32 }}, output = {{ fixed = {tokens} }} }} }}"),
    ];
    let bare = |work| {
        let rest = vec![law.to_owned(), rate.to_string(), span.to_string(), "1".to_owned()];
        Client { name: format!("hyper, {work}"), kind: Kind::Bare("open", work, rest) }
    };
    vec![Client { name: "**plimsoll**".to_owned(), kind: Kind::Ours(Load { scenario: "d.toml", set }) }, bare("stamp"), bare("json")]
}

/// What every open loop has: how many, how fast, at what cost.
pub fn arrivals_only(measured: &Measured) -> Figures {
    let Measured { ran, truth, claim, .. } = measured;
    let seen = &truth.arrivals;
    let between = |a: u64, b: u64| b.saturating_sub(a) as f64 / 1e9;
    let span = between(seen.first().copied().unwrap_or(0), seen.last().copied().unwrap_or(0));
    let mut figures = Figures::from([
        ("requests", seen.len() as f64),
        ("rate", (seen.len().max(1) - 1) as f64 / span),
        ("open", truth.open_most as f64),
        ("connections", truth.connections as f64),
        ("tokens_s", truth.rate),
        ("client_busy", ran.cpu_s / truth.span_s),
        ("cpu", ran.cpu_s * 1e6 / truth.units.max(1) as f64),
        ("peak", ran.peak_mib),
        ("per_stream", ran.peak_mib * 1024.0 / truth.open_most.max(1) as f64),
        ("server99", truth.late.p99),
        ("others", measured.others),
    ]);
    if let Some(claim) = claim {
        figures.insert("of_due", truth.requests as f64 / claim.due.max(1) as f64);
    }
    figures
}

/// Of d and f: also whether the gaps follow the law that was asked for, and what the client claims against the truth.
pub fn arrivals_and_errors(measured: &Measured, rate: f64) -> Figures {
    let mut figures = arrivals_only(measured);
    let Measured { truth, claim, .. } = measured;
    let at: Vec<f64> = truth.arrivals.iter().map(|&ns| ns.saturating_sub(truth.first_ns) as f64 / 1e9).collect();
    let mut gaps: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (mean, variance) = mean_variance(&gaps);
    sort(&mut gaps);
    // Against the rate that was asked for, not the one that came out: a client that is too slow must not pass.
    figures.insert("ks", ks_against(&gaps, |gap| 1.0 - (-gap * rate).exp()));
    figures.insert("crit", ks_critical_5pct(gaps.len()));
    figures.insert("cov", variance.sqrt() / mean);
    let grid = deviation(&at, rate);
    figures.extend([("dev50", grid.p50), ("dev99", grid.p99)]);
    if let Some(claim) = claim {
        figures.extend([
            ("ttft50", claim.ttft.p50 - truth.ttft.p50),
            ("ttft99", claim.ttft.p99 - truth.ttft.p99),
            ("due99", claim.ttft_due.p99 - truth.ttft.p99),
            ("itl50", claim.itl.p50 - truth.itl.p50),
            ("itl99", claim.itl.p99 - truth.itl.p99),
            ("late50", claim.late.p50),
            ("late99", claim.late.p99),
        ]);
    }
    figures
}

/// Distance of arrivals from the even grid that fits them best (by the median), ms.
fn deviation(at: &[f64], rate: f64) -> Quantiles {
    let offsets: Vec<f64> = at.iter().enumerate().map(|(i, t)| (t - i as f64 / rate) * 1000.0).collect();
    let origin = Quantiles::of(offsets.clone()).p50;
    Quantiles::of(offsets.iter().map(|o| (o - origin).abs()).collect())
}
