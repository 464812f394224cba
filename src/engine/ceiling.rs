//! `Ceiling`: what load this host can make, as `plimsoll doctor` measured it; and whether a scenario's demand fits under it. Pure.

use super::limits::Allowance;
use crate::record::manifest::HostFacts;
use crate::scenario::experiment::Experiment;
use crate::scenario::load::Arrivals;
use crate::scenario::slo::Metric;
use crate::scenario::target::Task;
use crate::workload::rate::Curve;
use crate::workload::schedule::Expected;
use serde::{Deserialize, Serialize};

/// Version of the saved form; another one is not read.
pub const VERSION: u32 = 1;
/// Share of the ceiling above which a load is told to be doubtful: beyond it the client's own delays begin to show.
pub const HALF: f64 = 0.5;
/// Time to the first token that is assumed where no objective speaks of it, seconds.
const FIRST_S: f64 = 0.5;
/// Time of a further token that is assumed where no objective speaks of it, seconds.
const TOKEN_S: f64 = 0.025;
/// Points of the load at which a changing rate is looked at.
const LOOKS: u32 = 500;

/// What this host reached against the null endpoint, which ran on the same host: a real endpoint elsewhere leaves more of it to the client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// Version of the tool that measured; another one is measured anew.
    pub tool_version: String,
    /// The tool was built without optimisation.
    pub debug_build: bool,
    /// The host that it is true of.
    pub host: HostFacts,
    /// When, RFC 3339, UTC.
    pub measured_utc: String,
    /// Threads of the engine.
    pub workers: u32,
    /// Small whole answers per second, as many as it takes.
    pub requests_s: f64,
    /// Events of streams per second, one a write, as many as it takes.
    pub chunks_s: f64,
    /// Most streams at once whose gaps kept within `stream_error_bound_ms`.
    pub streams: u32,
    /// More were not tried.
    pub streams_at_least: bool,
    /// Tokens per second of each of these streams.
    pub stream_rate: f64,
    /// Difference of the gaps of these streams from the script, the null endpoint's own included: median, ms.
    pub stream_error_p50_ms: f64,
    /// The same, 99th percentile, ms.
    pub stream_error_p99_ms: f64,
    /// Largest 99th percentile of it that counts as kept, ms.
    pub stream_error_bound_ms: f64,
    /// Requests per second at which the lateness was measured, evenly spaced.
    pub paced_s: f64,
    /// Sent after due at this rate: median, ms.
    pub lateness_p50_ms: f64,
    /// The same, 99th percentile, ms.
    pub lateness_p99_ms: f64,
    /// How late a wait of 100 us ends: median, us.
    pub timer_p50_us: f64,
    /// The same, 99th percentile, us.
    pub timer_p99_us: f64,
    /// Time of a look at the clock, ns.
    pub clock_ns: f64,
    /// What the operating system allows.
    pub allowance: Allowance,
}

impl Ceiling {
    /// Whether it speaks of this host, this tool and this build.
    #[must_use]
    pub fn is_of(&self, host: &HostFacts) -> bool {
        self.version == VERSION && self.tool_version == env!("CARGO_PKG_VERSION") && self.debug_build == cfg!(debug_assertions) && self.host == *host
    }
}

/// What a scenario asks of the client at its busiest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Demand {
    /// Requests per second.
    pub requests_s: f64,
    /// Answers open at once.
    pub streams: f64,
    /// Events per second over all streams, one a token; 0 without streaming.
    pub chunks_s: f64,
    /// How long an answer is taken to last, seconds.
    pub answer_s: f64,
}

impl Demand {
    /// The demand of a load with these expected totals.
    ///
    /// An answer is taken to last as long as the loosest objectives allow (E2E, else TTFT and output times TPOT or ITL); without objectives 0.5 s and
    /// 25 ms a token. Streams at once are rate times that, by Little's law, at most `load.max_in_flight`.
    #[must_use]
    pub fn of(experiment: &Experiment, expected: &Expected) -> Self {
        let scenario = &experiment.scenario;
        let (load, slo) = (&scenario.load, &scenario.slo);
        let output = expected.output_tokens / expected.requests.max(1e-9);
        let bound = |metric| slo.request_bound(metric).map(crate::base::units::TimeSpan::as_secs_f64);
        let by_tokens = bound(Metric::Ttft).unwrap_or(FIRST_S) + output * bound(Metric::Tpot).or(bound(Metric::Itl)).unwrap_or(TOKEN_S);
        let answer_s = bound(Metric::E2e).unwrap_or(by_tokens).max(1e-3);
        let span_s = experiment.load_span().as_secs_f64();
        let (requests_s, streams) = match &load.arrivals {
            Arrivals::Closed { users, think, .. } => (f64::from(*users) / (answer_s + think.as_secs_f64()), f64::from(*users)),
            open => {
                let mean = expected.requests / span_s.max(1e-9);
                let rate = peak(open, span_s).map_or(mean, |peak| peak.max(mean));
                (rate, rate * answer_s)
            }
        };
        let is_streamed = scenario.target.stream && scenario.target.task != Task::Embeddings;
        Self {
            requests_s,
            streams: streams.min(f64::from(load.max_in_flight)),
            chunks_s: if is_streamed { requests_s * output } else { 0.0 },
            answer_s,
        }
    }
}

/// The highest rate of an open loop; `None` for a trace, of which the mean is known.
fn peak(arrivals: &Arrivals, span_s: f64) -> Option<f64> {
    let (Arrivals::Constant { rate } | Arrivals::Poisson { rate } | Arrivals::Gamma { rate, .. } | Arrivals::Weibull { rate, .. }) = arrivals else {
        return None;
    };
    let curve = Curve::new(rate, 1.0).ok()?;
    Some((0..=LOOKS).map(|i| curve.rate_at(span_s * f64::from(i) / f64::from(LOOKS))).fold(0.0, f64::max))
}

/// How a demand stands to a ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// At most half of it.
    Fits,
    /// More than half, or more streams than were tried.
    AboveHalf,
    /// More than all of it.
    DoesNotFit,
}

impl Grade {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::AboveHalf => "above half",
            Self::DoesNotFit => "does not fit",
        }
    }
}

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Need {
    /// What.
    pub what: &'static str,
    /// Asked for.
    pub needed: f64,
    /// Reached by this host.
    pub ceiling: f64,
    /// `needed / ceiling`.
    pub share: f64,
}

/// Whether a demand fits under a ceiling.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// The worst of all.
    pub grade: Grade,
    /// Line by line.
    pub needs: Vec<Need>,
    /// Requests and events use the same cores: the sum of their shares.
    pub cores_share: f64,
}

/// Compares a demand with a ceiling. The cores carry requests and events together, so that their shares add up.
#[must_use]
pub fn fit(demand: &Demand, ceiling: &Ceiling) -> Fit {
    let need = |what, needed: f64, ceiling: f64| Need { what, needed, ceiling, share: if needed > 0.0 { needed / ceiling.max(1e-9) } else { 0.0 } };
    let requests = need("requests/s", demand.requests_s, ceiling.requests_s);
    let chunks = need("chunks/s", demand.chunks_s, ceiling.chunks_s);
    let streams = need("streams at once", demand.streams, f64::from(ceiling.streams));
    let cores_share = requests.share + chunks.share;
    let of_streams = match grade(streams.share) {
        // More than were tried is not more than it can.
        Grade::AboveHalf if ceiling.streams_at_least => Grade::Fits,
        // Where even the fewest did not keep the bound, the host was busy: their number is not known.
        Grade::DoesNotFit if ceiling.streams_at_least || ceiling.streams == 0 => Grade::AboveHalf,
        grade => grade,
    };
    Fit { grade: grade(cores_share).max(of_streams), needs: vec![requests, chunks, streams], cores_share }
}

fn grade(share: f64) -> Grade {
    match share {
        s if s > 1.0 => Grade::DoesNotFit,
        s if s > HALF => Grade::AboveHalf,
        _ => Grade::Fits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::scenario::check::check;
    use std::path::Path;

    fn ceiling() -> Ceiling {
        Ceiling {
            version: VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            debug_build: cfg!(debug_assertions),
            host: HostFacts::default(),
            measured_utc: String::new(),
            workers: 1,
            requests_s: 1_000.0,
            chunks_s: 10_000.0,
            streams: 100,
            streams_at_least: false,
            stream_rate: 25.0,
            stream_error_p50_ms: 0.5,
            stream_error_p99_ms: 1.5,
            stream_error_bound_ms: 5.0,
            paced_s: 200.0,
            lateness_p50_ms: 0.02,
            lateness_p99_ms: 0.2,
            timer_p50_us: 50.0,
            timer_p99_us: 80.0,
            clock_ns: 30.0,
            allowance: Allowance::default(),
        }
    }

    fn demand(requests_s: f64, streams: f64, chunks_s: f64) -> Demand {
        Demand { requests_s, streams, chunks_s, answer_s: 1.0 }
    }

    #[test]
    fn shares_of_the_cores_add_up() {
        let told = |r, s, c| fit(&demand(r, s, c), &ceiling()).grade;
        assert_eq!(told(250.0, 50.0, 2_500.0), Grade::Fits);
        assert_eq!(told(251.0, 50.0, 2_500.0), Grade::AboveHalf);
        assert_eq!(told(500.0, 1.0, 5_001.0), Grade::DoesNotFit);
        assert_eq!(told(1.0, 51.0, 1.0), Grade::AboveHalf);
        assert_eq!(told(1.0, 101.0, 1.0), Grade::DoesNotFit);
    }

    #[test]
    fn more_streams_than_were_tried_are_unknown_and_not_refused() {
        let open = Ceiling { streams_at_least: true, ..ceiling() };
        assert_eq!(fit(&demand(1.0, 100.0, 1.0), &open).grade, Grade::Fits);
        assert_eq!(fit(&demand(1.0, 101.0, 1.0), &open).grade, Grade::AboveHalf);
        assert_eq!(fit(&demand(1.0, 1.0, 1.0), &Ceiling { streams: 0, ..ceiling() }).grade, Grade::AboveHalf);
    }

    #[test]
    fn a_ceiling_of_another_host_tool_or_build_is_not_believed() {
        let here = HostFacts::default();
        assert!(ceiling().is_of(&here));
        assert!(!ceiling().is_of(&HostFacts { cores: 99, ..here.clone() }));
        assert!(!Ceiling { tool_version: "0".to_owned(), ..ceiling() }.is_of(&here));
        assert!(!Ceiling { debug_build: !cfg!(debug_assertions), ..ceiling() }.is_of(&here));
        assert!(!Ceiling { version: VERSION + 1, ..ceiling() }.is_of(&here));
    }

    fn asked(load: &str, more: &str) -> Demand {
        let text = format!("name = \"t\"\n[load]\n{load}\nwarmup = \"0s\"\nmeasure = \"100s\"\n{more}");
        let experiment = check("t.toml", text.as_bytes(), Path::new("."), &[], Seed(1)).unwrap();
        Demand::of(&experiment, &Expected { requests: 1_000.0, input_tokens: 1e5, output_tokens: 1e5, is_guess: false })
    }

    #[test]
    fn demand_is_taken_at_the_busiest_instant() {
        let plain = asked("arrivals = { poisson = { rate = \"10/s\" } }", "");
        // 0.5 s and 100 tokens of 25 ms.
        assert_eq!((plain.requests_s, plain.answer_s, plain.streams, plain.chunks_s), (10.0, 3.0, 30.0, 1_000.0));
        let ramp = asked("arrivals = { constant = { rate = { ramp = { from = \"0/s\", to = \"20/s\", over = \"100s\" } } } }", "");
        assert!((ramp.requests_s - 20.0).abs() < 1e-9);
        let bound = asked("arrivals = { poisson = { rate = \"10/s\" } }", "[slo]\nttft = { p95 = \"1s\" }\ntpot = { p95 = \"50ms\" }\n");
        assert_eq!((bound.answer_s, bound.streams), (6.0, 60.0));
        let closed = asked("arrivals = { closed = { users = 12, think = \"1s\" } }", "");
        assert_eq!((closed.streams, closed.requests_s), (12.0, 3.0));
        assert_eq!(asked("arrivals = { poisson = { rate = \"10/s\" } }", "[target]\nstream = false\n").chunks_s, 0.0);
    }
}
