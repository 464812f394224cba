//! The loads of `doctor`: each a real experiment through the real engine, against the null endpoint on this host. Bounded in time, loopback only.

use crate::base::clock::Clock;
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::cli::exit::{Exit, Failure};
use crate::engine::live::Live;
use crate::engine::run::{self as engine, Keeper, Parts};
use crate::measure::histogram::Histogram;
use crate::measure::recorder::Expectations;
use crate::measure::summary::Summary;
use crate::record::log;
use crate::record::request::RequestRecord;
use crate::scenario::check::check;
use crate::scenario::experiment::Experiment;
use crate::scenario::slo::Percentile;
use crate::serve::null::{self, NullAnswer};
use crate::workload::prompt::PromptBook;
use crate::workload::schedule::{Material, Schedule};
use crate::workload::tokenizer::Vocabulary;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Users of the closed loops that find the most: enough that the client never waits for the null endpoint.
const USERS: u32 = 64;
/// Tokens of a stream sent as fast as it goes.
const LONG: u32 = 256;
/// Paced streams: first token after this, then one every [`GAP`].
const FIRST: Nanos = Nanos::from_millis(20);
/// 25 tokens a second, as fast as people read.
const GAP: Nanos = Nanos::from_millis(40);
/// The same in tokens per second.
pub(super) const STREAM_RATE: f64 = 25.0;
/// Tokens of a paced stream: about as long as the stage.
const PACED_TOKENS: u32 = 40;
/// Numbers of paced streams that are tried, until one does not keep the bound.
const STREAMS: [u32; 4] = [50, 200, 800, 2_000];
/// Gaps of paced streams may differ from the script by this much at the 99th percentile: the timer's grain of the null endpoint is 1 ms of it.
pub(super) const ERROR_BOUND_MS: f64 = 5.0;
/// The lateness is measured at a quarter of the ceiling, and at no more than this.
const PACED_MOST: f64 = 1_000.0;
/// Waits that the timer is measured with.
const WAITS: u32 = 300;
/// Length of each.
const WAIT: Duration = Duration::from_micros(100);

/// What every stage uses.
pub(super) struct Bench {
    pub(super) vocabulary: Arc<Vocabulary>,
    pub(super) workers: u32,
    pub(super) cores: u32,
}

/// What a stage measured.
struct Measured {
    summary: Summary,
    /// Gaps of streams against the script, nanoseconds.
    error: Histogram,
}

/// Compares gaps with the script. The one place that knows how the engine hands them over.
struct Fold {
    gap: Option<Nanos>,
    error: Histogram,
}

impl Keeper for Fold {
    fn keep(&mut self, frames: &[u8]) -> std::io::Result<()> {
        let take = |record: RequestRecord| {
            for chunk in record.chunks.iter().skip(1).filter(|c| c.tokens > 0) {
                if let Some(gap) = self.gap {
                    self.error.record(chunk.gap.abs_diff(gap.0));
                }
            }
        };
        log::each_record(frames, take).map_err(std::io::Error::other)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Bench {
    /// Small whole answers per second.
    pub(super) fn requests(&self) -> Result<f64, Failure> {
        let load = format!("arrivals = {{ closed = {{ users = {USERS} }} }}\nwarmup = \"300ms\"\nmeasure = \"1200ms\"");
        Ok(self.load(NullAnswer::Reply, &load)?.summary.completed_rate)
    }

    /// Events per second of streams that never pause.
    pub(super) fn chunks(&self) -> Result<f64, Failure> {
        let answer = NullAnswer::Stream { tokens: LONG, first: Nanos::ZERO, gap: Nanos::ZERO };
        let load = format!("arrivals = {{ closed = {{ users = {USERS} }} }}\nwarmup = \"300ms\"\nmeasure = \"1200ms\"");
        Ok(self.load(answer, &load)?.summary.throughput.output_tok_s)
    }

    /// Most paced streams that keep the bound, whether more were not tried, and the error of their gaps (p50, p99, ms) there.
    pub(super) fn streams(&self, most: u64) -> Result<(u32, bool, f64, f64), Failure> {
        let mut best = (0, false, 0.0, 0.0);
        let tried = STREAMS.into_iter().filter(|n| u64::from(*n) <= most);
        for streams in tried {
            let answer = NullAnswer::Stream { tokens: PACED_TOKENS, first: FIRST, gap: GAP };
            let load = format!("arrivals = {{ closed = {{ users = {streams}, ramp_up = \"300ms\" }} }}\nwarmup = \"400ms\"\nmeasure = \"900ms\"");
            let measured = self.load(answer, &load)?;
            let at = |p| measured.error.value_at(p).map_or(f64::INFINITY, |ns| Nanos(ns).as_millis_f64());
            let (p50, p99) = (at(Percentile::P50), at(Percentile::P99));
            let kept = p99 <= ERROR_BOUND_MS && measured.summary.accounting.ok == measured.summary.accounting.due;
            if !kept {
                // Without any that kept it, the error of the fewest is told.
                return Ok(if best.0 == 0 { (0, false, p50, p99) } else { (best.0, false, best.2, best.3) });
            }
            best = (streams, true, p50, p99);
        }
        Ok(best)
    }

    /// Rate, and how late requests go out at it: p50, p99, ms.
    pub(super) fn lateness(&self, ceiling: f64) -> Result<(f64, f64, f64), Failure> {
        let rate = (ceiling / 4.0).clamp(10.0, PACED_MOST).round();
        let load = format!("arrivals = {{ constant = {{ rate = \"{rate}/s\" }} }}\nwarmup = \"200ms\"\nmeasure = \"1500ms\"");
        let late = self.load(NullAnswer::Reply, &load)?.summary.latency.lateness;
        let of = |name: &str| late.at(name).unwrap_or(late.max_ms);
        Ok((rate, of("p50"), of("p99")))
    }

    fn load(&self, answer: NullAnswer, load: &str) -> Result<Measured, Failure> {
        let endpoint = null::spawn_in_thread(answer).map_err(|e| Failure::from_error(Exit::Unreachable, &e))?;
        let (stream, tokens) = match answer {
            NullAnswer::Reply => (false, 1),
            NullAnswer::Stream { tokens, .. } => (true, tokens),
        };
        let experiment = experiment(&endpoint.url(), stream, tokens, load)?;
        let prompts = &experiment.scenario.workload.prompts;
        let parts = Parts {
            schedule: Schedule::new(&experiment, &Material::default()).map_err(|e| Failure::from_error(Exit::Usage, &e))?,
            book: PromptBook::new(Arc::clone(&self.vocabulary), prompts, experiment.seed),
            counter: None,
            token: None,
            login: None,
            workers: self.workers,
            cores: self.cores,
            embedded: true,
            live: Arc::new(Live::default()),
        };
        let gap = match answer {
            NullAnswer::Stream { gap, .. } if gap > Nanos::ZERO => Some(gap),
            _ => None,
        };
        let mut fold = Fold { gap, error: Histogram::latency() };
        let report = engine::run(&experiment, parts, &mut fold).map_err(|e| Failure::from_error(Exit::Invalid, &e))?;
        let summary = report.recorder.finish(report.wall, report.client, Expectations::of(&experiment.scenario));
        Ok(Measured { summary, error: fold.error })
    }
}

fn experiment(url: &str, stream: bool, tokens: u32, load: &str) -> Result<Experiment, Failure> {
    let text = format!(
        "name = \"doctor\"\n[target]\nurl = \"{url}\"\nstream = {stream}\n[load]\n{load}\ndrain = \"2s\"\nmax_in_flight = 4096\n\
         [workload]\nlengths = {{ independent = {{ input = {{ fixed = 16 }}, output = {{ fixed = {tokens} }} }} }}\n"
    );
    check("doctor", text.as_bytes(), Path::new("."), &[], Seed(1)).map_err(|faults| {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::new(Exit::Usage, format!("the scenario of doctor itself is not valid: {}", told.join("; ")))
    })
}

/// How late a wait of 100 us ends (p50, p99, us), and how long a look at the clock takes (ns).
pub(super) fn timer() -> (f64, f64, f64) {
    let clock = Clock::start();
    let mut late = Histogram::latency();
    // Nobody sends: each wait runs to its end.
    let (_sender, nothing) = channel::<()>();
    for _ in 0..WAITS {
        let before = clock.now();
        let _ = nothing.recv_timeout(WAIT);
        late.record_nanos(clock.now().since(before + Nanos::from_std(WAIT)));
    }
    let us = |p| late.value_at(p).unwrap_or(0) as f64 / 1e3;
    let (begun, looks) = (clock.now(), 20_000_u32);
    for _ in 0..looks {
        std::hint::black_box(clock.now());
    }
    (us(Percentile::P50), us(Percentile::P99), clock.now().since(begun).0 as f64 / f64::from(looks))
}
