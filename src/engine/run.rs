//! `run`: one experiment in real time, from the first arrival to the last record in the log.

use super::job::{Completion, Job};
use super::limits;
use super::live::Live;
use super::maker::{Encoder, Maker};
use super::pacer::{self, Turn};
use super::selfcheck::{HostWatch, LoopLag, drift_ppm};
use super::worker::{self, Outlets, WorkerReport};
use crate::base::clock::Clock;
use crate::base::time::Nanos;
use crate::client::auth::Secret;
use crate::client::http::{self, Client};
use crate::measure::summary::ClientFacts;
use crate::protocol::timeline::Counter;
use crate::record::outcome::Outcome;
use crate::record::request::RequestRecord;
use crate::scenario::experiment::Experiment;
use crate::workload::prompt::PromptBook;
use crate::workload::schedule::{Arrival, Schedule};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// After a stop, how long open requests may still end.
const STOP_DRAIN: Nanos = Nanos::from_secs(2);

/// How long the threads get to be ready before the first arrival.
const LEAD: Nanos = Nanos::from_millis(5);

/// A kill loses at most this much of the log.
const FLUSH_EVERY: Nanos = Nanos::from_millis(500);

/// How often the caller's thread looks at the clock while no record comes.
const LOOK: Duration = Duration::from_millis(2);

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
    /// Worker threads, at least 1.
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
}

/// Keeps records: called for each one, and at least every half second to flush.
pub trait Keeper {
    /// Appends a record.
    fn keep(&mut self, record: &RequestRecord) -> std::io::Result<()>;
    /// Makes everything kept so far survive a kill.
    fn flush(&mut self) -> std::io::Result<()>;
}

/// Runs the experiment and gives every record to `keeper`. Blocks until the last record is kept.
pub fn run(experiment: &Experiment, parts: Parts, keeper: &mut dyn Keeper) -> Result<Report, Error> {
    let load = &experiment.scenario.load;
    limits::raise_open_files(load.max_in_flight).map_err(|possible| Error::OpenFiles { asked: load.max_in_flight, possible })?;
    let threads = Threads::start(experiment, parts)?;
    let deadline = experiment.load_span() + load.drain.nanos();
    let (kept, stopped_at, host) = keep_records(&threads, deadline, keeper);
    let wall = threads.clock.now();
    let facts = threads.join(stopped_at, &host)?;
    kept.map_err(|source| Error::Log { source })?;
    Ok(Report { wall, ..facts })
}

/// The running threads of a load and the ends of their channels.
struct Threads {
    clock: Clock,
    live: Arc<Live>,
    records: Receiver<RequestRecord>,
    stop: tokio::sync::watch::Sender<bool>,
    pacer: JoinHandle<()>,
    maker: JoinHandle<()>,
    workers: Vec<JoinHandle<Result<WorkerReport, http::Error>>>,
    cores: u32,
    embedded: bool,
}

impl Threads {
    fn start(experiment: &Experiment, parts: Parts) -> Result<Self, Error> {
        let Parts { schedule, book, counter, token, workers, cores, embedded, live } = parts;
        let experiment = Arc::new(experiment.clone());
        let (job_in, job_out) = mpsc::channel();
        let (record_in, records) = mpsc::channel();
        let (done_in, done_out) = mpsc::channel();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let maker = Maker::prepare(schedule, Encoder { target: experiment.scenario.target.clone(), book }, job_in);

        // Nothing has been sent yet; from here on time counts.
        let clock = Clock::starting_in(LEAD);
        let outlets = Outlets { records: record_in, completions: done_in, live: Arc::clone(&live) };
        let mut lanes = Vec::new();
        let mut handles = Vec::new();
        for _ in 0..workers.max(1) {
            let client = Recipe { experiment: Arc::clone(&experiment), token: token.clone(), counter: counter.clone(), clock };
            // Faults of the target are told here; each worker then makes a client of its own, which never leaves its thread.
            client.make()?;
            let (lane, inbox) = tokio::sync::mpsc::unbounded_channel();
            lanes.push(lane);
            handles.push(start_worker(client, clock, inbox, stopped.clone(), outlets.clone())?);
        }
        let max_in_flight = experiment.scenario.load.max_in_flight;
        let maker = start_maker(maker, clock, Arc::clone(&live), done_out, outlets.clone())?;
        let pacer = start_pacer(clock, Arc::clone(&live), job_out, Dispatcher { lanes, next: 0, max_in_flight, outlets })?;
        Ok(Self { clock, live, records, stop, pacer, maker, workers: handles, cores, embedded })
    }

    fn join(self, stopped_at: Option<Nanos>, host: &ClientFacts) -> Result<Report, Error> {
        let drift = drift_ppm(&self.clock);
        let workers = u32::try_from(self.workers.len()).unwrap_or(u32::MAX);
        let mut lag = LoopLag::new();
        let mut examples = BTreeMap::new();
        let mut identity = http::Identity::default();
        for handle in self.workers {
            let report = handle.join().map_err(|_| Error::Panicked { what: "worker" })??;
            lag.merge(&report.lag);
            for (outcome, message) in report.examples {
                examples.entry(outcome.name().to_owned()).or_insert(message);
            }
            identity.model = identity.model.or(report.identity.model);
            identity.server = identity.server.or(report.identity.server);
        }
        self.pacer.join().map_err(|_| Error::Panicked { what: "pacer" })?;
        self.maker.join().map_err(|_| Error::Panicked { what: "maker" })?;
        let client = ClientFacts {
            loop_lag_p99_ms: lag.p99_ms(),
            cores: self.cores,
            workers,
            embedded_endpoint: self.embedded,
            stopped_early: stopped_at.is_some(),
            clock_drift_ppm: drift,
            ..*host
        };
        Ok(Report { client, wall: Nanos::ZERO, examples, identity, stopped_at })
    }
}

/// The caller's thread: keeps records until every thread has let go of its end, and stops what lasts too long.
fn keep_records(threads: &Threads, deadline: Nanos, keeper: &mut dyn Keeper) -> (std::io::Result<()>, Option<Nanos>, ClientFacts) {
    let (clock, live) = (&threads.clock, &threads.live);
    let watch = HostWatch::start(*clock, threads.cores);
    let mut result = Ok(());
    let mut stop_asked = None;
    let mut flushed = clock.now();
    loop {
        let next = threads.records.recv_timeout(LOOK);
        let now = clock.now();
        match next {
            Ok(mut record) if result.is_ok() => {
                // Nobody stopped it: the drain is over and it has not answered.
                if record.outcome == Outcome::Cancelled && stop_asked.is_none() {
                    record.outcome = Outcome::Unfinished;
                }
                result = keeper.keep(&record);
            }
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if result.is_ok() && now.since(flushed) >= FLUSH_EVERY {
            result = keeper.flush();
            flushed = now;
        }
        if result.is_err() {
            live.abort();
        }
        if live.is_stopped() && now <= deadline {
            stop_asked.get_or_insert(now);
        }
        if now > deadline || live.is_aborted() || stop_asked.is_some_and(|at| now > at + STOP_DRAIN) {
            // What is open ends as cancelled; the maker and the pacer see the stop by themselves.
            live.stop();
            threads.stop.send_replace(true);
        }
    }
    if result.is_ok() {
        result = keeper.flush();
    }
    (result, stop_asked, watch.finish())
}

/// Gives each released job to the next worker, or records it as shed when every slot is taken.
struct Dispatcher {
    lanes: Vec<tokio::sync::mpsc::UnboundedSender<Job>>,
    next: usize,
    max_in_flight: u32,
    outlets: Outlets,
}

impl Dispatcher {
    fn release(&mut self, job: Job, turn: Turn) {
        let live = &self.outlets.live;
        if turn == Turn::Overdue || live.in_flight.load(Ordering::Relaxed) >= self.max_in_flight {
            return self.shed(&job.arrival);
        }
        live.in_flight.fetch_add(1, Ordering::Relaxed);
        live.sent.fetch_add(1, Ordering::Relaxed);
        let lane = self.next % self.lanes.len();
        self.next = self.next.wrapping_add(1);
        if let Err(returned) = self.lanes[lane].send(job) {
            // The worker has gone (it panicked): the request was due and is recorded.
            live.in_flight.fetch_sub(1, Ordering::Relaxed);
            let mut record = worker::due(&returned.0.arrival);
            record.outcome = Outcome::Cancelled;
            self.outlets.finish(&returned.0.arrival, record);
        }
    }

    fn shed(&self, arrival: &Arrival) {
        self.outlets.finish(arrival, worker::due(arrival));
    }
}

/// What a worker makes its client from.
struct Recipe {
    experiment: Arc<Experiment>,
    token: Option<Secret>,
    counter: Option<Counter>,
    clock: Clock,
}

impl Recipe {
    fn make(&self) -> Result<Client, http::Error> {
        let client = Client::new(&self.experiment.scenario.target, &self.experiment.base_dir, self.token.clone(), self.clock)?;
        Ok(match &self.counter {
            Some(counter) => client.with_counter(Arc::clone(counter)),
            None => client,
        })
    }
}

fn start_worker(
    recipe: Recipe,
    clock: Clock,
    inbox: tokio::sync::mpsc::UnboundedReceiver<Job>,
    stopped: tokio::sync::watch::Receiver<bool>,
    outlets: Outlets,
) -> Result<JoinHandle<Result<WorkerReport, http::Error>>, Error> {
    let start = |source| Error::Start { what: "a worker", source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(start)?;
    Builder::new()
        .name("plimsoll-worker".to_owned())
        .spawn(move || runtime.block_on(async move { Ok(worker::serve(recipe.make()?, clock, inbox, stopped, outlets).await) }))
        .map_err(start)
}

fn start_pacer(clock: Clock, live: Arc<Live>, jobs: Receiver<Job>, mut dispatcher: Dispatcher) -> Result<JoinHandle<()>, Error> {
    Builder::new()
        .name("plimsoll-pacer".to_owned())
        .spawn(move || pacer::run(&clock, &live, &jobs, |job, turn| dispatcher.release(job, turn)))
        .map_err(|source| Error::Start { what: "the pacer", source })
}

fn start_maker(maker: Maker, clock: Clock, live: Arc<Live>, completions: Receiver<Completion>, outlets: Outlets) -> Result<JoinHandle<()>, Error> {
    Builder::new()
        .name("plimsoll-maker".to_owned())
        .spawn(move || maker.run(&clock, &live, &completions, &outlets))
        .map_err(|source| Error::Start { what: "the maker", source })
}
