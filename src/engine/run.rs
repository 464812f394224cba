//! `run`: one experiment in real time, from the first arrival to the last record in the log.

use super::ahead::{Ahead, Encoder};
use super::lane::{Cut, Lane, LaneReport, Shared};
use super::limits;
use super::live::Live;
use super::pacer;
use super::renewal::Renewal;
use super::selfcheck::{HostWatch, LoopLag, drift_ppm};
use super::sink::{Backlog, Batch, Sink};
use crate::base::clock::Clock;
use crate::base::time::Nanos;
use crate::client::auth::Secret;
use crate::client::databricks::Workspace;
use crate::client::http::{self, Client};
use crate::measure::histogram::Histogram;
use crate::measure::recorder::Recorder;
use crate::measure::summary::ClientFacts;
use crate::protocol::timeline::Counter;
use crate::scenario::experiment::Experiment;
use crate::scenario::slo::Percentile;
use crate::scenario::target::HttpVersion;
use crate::workload::prompt::PromptBook;
use crate::workload::schedule::Schedule;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tokio::task::LocalSet;

/// After a stop, how long open requests may still end.
const STOP_DRAIN: Nanos = Nanos::from_secs(2);

/// How long the threads get to be ready before the first arrival.
const LEAD: Nanos = Nanos::from_millis(2);

/// A kill loses at most this much of the log.
const FLUSH_EVERY: Nanos = Nanos::from_millis(500);

/// How often the caller's thread looks at the clock while no record comes.
const LOOK: Duration = Duration::from_millis(10);

/// Interval of the time series.
const STEP: Nanos = Nanos::from_secs(1);

/// Why a run could not be started, or its log not be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be set up.
    #[error(transparent)]
    Client(#[from] http::Error),
    /// A thread or its runtime could not be started.
    #[error("cannot start {what}")]
    Start {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Fewer connections fit than the scenario may open.
    #[error("load.max_in_flight is {asked}, but the limit on open files lets {possible} connections be open at once")]
    OpenFiles {
        /// By the scenario.
        asked: u32,
        /// By the operating system.
        possible: u64,
    },
    /// The log could not be written; the load was stopped, and what had been written stays readable.
    #[error("cannot write the run log")]
    Log {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A thread of the engine panicked.
    #[error("the {what} thread panicked; the log holds what was recorded until then")]
    Panicked {
        /// Which.
        what: &'static str,
    },
}

/// Everything a run needs beside its experiment.
pub struct Parts {
    /// The load.
    pub schedule: Schedule,
    /// The text of prompts.
    pub book: PromptBook,
    /// Counts tokens of received text when the server reports no usage.
    pub counter: Option<Counter>,
    /// The bearer token.
    pub token: Option<Secret>,
    /// Gets new tokens while the load goes on, where they are short-lived.
    pub login: Option<Arc<Workspace>>,
    /// Lanes, each a thread: at least 1.
    pub workers: u32,
    /// Cores available, for the share of processor time.
    pub cores: u32,
    /// The endpoint runs in this process.
    pub embedded: bool,
    /// Counters and stop, shared with whoever watches.
    pub live: Arc<Live>,
}

/// What a run leaves behind beside its log.
#[derive(Debug)]
pub struct Report {
    /// What the client knows of itself.
    pub client: ClientFacts,
    /// Wall time from load start to the last record.
    pub wall: Nanos,
    /// One message for each class of failure.
    pub examples: BTreeMap<String, String>,
    /// Who answered, as far as the answers said.
    pub identity: http::Identity,
    /// When it was stopped, if that was before its time.
    pub stopped_at: Option<Nanos>,
    /// What was measured over the planned window. For a run that was stopped, the log has to be read over the window that it came to.
    pub recorder: Recorder,
}

/// Keeps the frames of the log: called with whole ones, and at least every half second to flush.
pub trait Keeper {
    /// Appends frames as [`crate::record::log::append_frame`] makes them.
    fn keep(&mut self, frames: &[u8]) -> io::Result<()>;
    /// Makes everything kept so far survive a kill.
    fn flush(&mut self) -> io::Result<()>;
}

/// Runs the experiment and gives every record to `keeper`. Blocks until the last record is kept.
pub fn run(experiment: &Experiment, parts: Parts, keeper: &mut dyn Keeper) -> Result<Report, Error> {
    let load = &experiment.scenario.load;
    limits::raise_open_files(load.max_in_flight, parts.embedded).map_err(|possible| Error::OpenFiles { asked: load.max_in_flight, possible })?;
    let lanes = Lanes::start(experiment, parts)?;
    let deadline = experiment.load_span() + load.drain.nanos();
    let (kept, stopped_at, host) = keep_log(&lanes, deadline, keeper);
    let wall = lanes.clock.now();
    let report = lanes.join(stopped_at, &host)?;
    kept.map_err(|source| Error::Log { source })?;
    Ok(Report { wall, ..report })
}

/// The running lanes of a load and the ends of their channels.
struct Lanes {
    clock: Clock,
    live: Arc<Live>,
    cut: Arc<Cut>,
    backlog: Arc<Backlog>,
    full: Receiver<Batch>,
    empty: Vec<Sender<Vec<u8>>>,
    threads: Vec<JoinHandle<Result<LaneReport, Error>>>,
    cores: u32,
    embedded: bool,
    _renewal: Renewal,
}

impl Lanes {
    fn start(experiment: &Experiment, parts: Parts) -> Result<Self, Error> {
        let Parts { schedule, book, counter, token, login, workers, cores, embedded, live } = parts;
        let experiment = Arc::new(experiment.clone());
        let encoder = Arc::new(Encoder { target: experiment.scenario.target.clone(), book });
        let shared =
            Shared { live: Arc::clone(&live), cut: Arc::default(), tokens: Arc::default(), max_in_flight: experiment.scenario.load.max_in_flight };
        let backlog = Arc::new(Backlog::default());
        let (batch_in, full) = mpsc::channel();
        // Faults of the target are told here; each lane then makes a client of its own, which never leaves its thread.
        let renewal = Renewal::start(&experiment, token.clone(), login, &shared.tokens)
            .map_err(|source| Error::Start { what: "the renewal of the token", source })?;
        let recipe = Recipe { experiment: Arc::clone(&experiment), token, counter };
        recipe.make(Clock::start())?;
        let (ready_in, ready) = mpsc::channel();
        let (mut threads, mut empty, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for (lane, schedule) in schedule.shards(workers).into_iter().enumerate() {
            let (empty_in, empty_out) = mpsc::channel();
            let (start_in, start) = mpsc::channel();
            let sink = Sink::new(lane, recorder(&experiment), Arc::clone(&live), Arc::clone(&backlog), batch_in.clone(), empty_out)
                .with_waits(experiment.scenario.target.http == HttpVersion::Http2);
            let ahead = Ahead::new(schedule, Arc::clone(&encoder));
            let seed = Seedling { recipe: recipe.clone(), shared: shared.clone(), ahead, sink, ready: ready_in.clone(), start };
            threads.push(seed.grow()?);
            empty.push(empty_in);
            starts.push(start_in);
        }
        drop(ready_in);
        // A lane that cannot even encode its first requests has panicked; its thread says so when it is joined.
        while ready.recv().is_ok() {}
        // Nothing has been sent yet; from here on time counts.
        let clock = Clock::starting_in(LEAD);
        for start in starts {
            let _ = start.send(clock);
        }
        Ok(Self { clock, live, cut: shared.cut, backlog, full, empty, threads, cores, embedded, _renewal: renewal })
    }

    fn join(self, stopped_at: Option<Nanos>, host: &ClientFacts) -> Result<Report, Error> {
        let drift = drift_ppm(&self.clock);
        let workers = u32::try_from(self.threads.len()).unwrap_or(u32::MAX);
        let mut lag = LoopLag::new();
        let mut examples = BTreeMap::new();
        let mut identity = http::Identity::default();
        let mut recorder: Option<Recorder> = None;
        let mut waits: Option<Histogram> = None;
        for thread in self.threads {
            let report = thread.join().map_err(|_| Error::Panicked { what: "lane" })??;
            lag.merge(&report.lag);
            for (outcome, message) in report.examples {
                examples.entry(outcome.name().to_owned()).or_insert(message);
            }
            identity.model = identity.model.or(report.identity.model);
            identity.server = identity.server.or(report.identity.server);
            match (&mut waits, report.waits) {
                (Some(all), Some(more)) => all.merge(&more),
                (None, more) => waits = more,
                (Some(_), None) => {}
            }
            match &mut recorder {
                Some(all) => all.merge(&report.recorder),
                None => recorder = Some(report.recorder),
            }
        }
        let client = ClientFacts {
            loop_lag_p99_ms: lag.p99_ms(),
            cores: self.cores,
            workers,
            embedded_endpoint: self.embedded,
            stopped_early: stopped_at.is_some(),
            clock_drift_ppm: drift,
            log_backlog_max_bytes: self.backlog.most(),
            stream_wait_p99_ms: waits.and_then(|waits| waits.value_at(Percentile::P99)).map(|ns| Nanos(ns).as_millis_f64()),
            ..*host
        };
        let recorder = recorder.ok_or(Error::Panicked { what: "lane" })?;
        Ok(Report { client, wall: Nanos::ZERO, examples, identity, stopped_at, recorder })
    }
}

fn recorder(experiment: &Experiment) -> Recorder {
    let scenario = &experiment.scenario;
    Recorder::new(&scenario.slo, (scenario.load.warmup.nanos(), experiment.load_span()), STEP)
}

/// The caller's thread: keeps the log until every lane has let go of its end, and ends what lasts too long.
fn keep_log(lanes: &Lanes, deadline: Nanos, keeper: &mut dyn Keeper) -> (io::Result<()>, Option<Nanos>, ClientFacts) {
    let (clock, live) = (&lanes.clock, &lanes.live);
    let watch = HostWatch::start(*clock, lanes.cores);
    let mut result = Ok(());
    let mut stop_asked = None;
    let mut flushed = clock.now();
    loop {
        match lanes.full.recv_timeout(LOOK) {
            Ok(mut batch) => {
                if result.is_ok() {
                    result = keeper.keep(&batch.frames);
                }
                lanes.backlog.written(batch.frames.len());
                batch.frames.clear();
                // A lane that has ended needs no buffer.
                let _ = lanes.empty[batch.lane].send(batch.frames);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = clock.now();
        if result.is_ok() && now.since(flushed) >= FLUSH_EVERY {
            result = keeper.flush();
            flushed = now;
        }
        if result.is_ok() && lanes.backlog.is_overrun() {
            result = Err(io::Error::other("the disk does not keep up with the log of this load"));
        }
        if result.is_err() {
            live.abort();
        }
        if live.is_stopped() && now <= deadline {
            stop_asked.get_or_insert(now);
        }
        if live.is_aborted() || stop_asked.is_some_and(|at| now > at + STOP_DRAIN) {
            lanes.cut.cancelled();
        } else if now > deadline {
            lanes.cut.unfinished();
            live.stop();
        }
    }
    if result.is_ok() {
        result = keeper.flush();
    }
    (result, stop_asked, watch.finish())
}

/// What a lane makes its client from.
#[derive(Clone)]
struct Recipe {
    experiment: Arc<Experiment>,
    token: Option<Secret>,
    counter: Option<Counter>,
}

impl Recipe {
    fn make(&self, clock: Clock) -> Result<Client, http::Error> {
        let client = Client::new(&self.experiment.scenario.target, &self.experiment.base_dir, self.token.clone(), clock)?;
        Ok(match &self.counter {
            Some(counter) => client.with_counter(Arc::clone(counter)),
            None => client,
        })
    }
}

/// A lane before its thread runs.
struct Seedling {
    recipe: Recipe,
    shared: Shared,
    ahead: Ahead,
    sink: Sink,
    ready: Sender<()>,
    start: Receiver<Clock>,
}

impl Seedling {
    fn grow(self) -> Result<JoinHandle<Result<LaneReport, Error>>, Error> {
        let start = |source| Error::Start { what: "a lane", source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(start)?;
        Builder::new().name("plimsoll-lane".to_owned()).spawn(move || self.live(&runtime)).map_err(start)
    }

    fn live(mut self, runtime: &tokio::runtime::Runtime) -> Result<LaneReport, Error> {
        // What is due at the very beginning is encoded while no clock runs.
        while self.ahead.prepare(Nanos::ZERO) {}
        drop(self.ready);
        let clock = self.start.recv().map_err(|_| Error::Panicked { what: "starting" })?;
        let failed = |source| Error::Start { what: "a timer", source };
        let client = self.recipe.make(clock)?;
        let tasks = LocalSet::new();
        let (ahead, sink, shared) = (self.ahead, self.sink, self.shared);
        let lane = tasks.block_on(runtime, async {
            let lane = Lane::new(clock, shared, client, ahead, sink).map_err(failed)?;
            let ticker = tokio::task::spawn_local(pacer::tick(std::rc::Rc::clone(&lane)));
            let end = pacer::pace(&lane).await.map_err(failed);
            ticker.abort();
            end.map(|()| lane)
        })?;
        // Connections are closed with their tasks.
        drop(tasks);
        lane.finish().map_err(|source| Error::Log { source })
    }
}
