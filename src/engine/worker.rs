//! A worker: one thread, one current-thread runtime, its own connections; shares nothing but counters.

use super::job::{Completion, Job};
use super::live::Live;
use super::selfcheck::{LoopLag, TICK};
use crate::base::clock::Clock;
use crate::client::http::{Client, Identity};
use crate::record::outcome::Outcome;
use crate::record::request::RequestRecord;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};

/// Where a worker's results go.
#[derive(Clone)]
pub(crate) struct Outlets {
    /// Every record, to the keeper of the log.
    pub(crate) records: Sender<RequestRecord>,
    /// Every end, to the schedule.
    pub(crate) completions: Sender<Completion>,
    /// Counters.
    pub(crate) live: Arc<Live>,
}

impl Outlets {
    /// Hands a finished record on. A receiver that has gone means that the run is over.
    pub(crate) fn finish(&self, job: &crate::workload::schedule::Arrival, record: RequestRecord) {
        let done = Completion { arrival: *job, at: record.closed, ok: record.is_ok() };
        self.live.ended.fetch_add(1, Ordering::Relaxed);
        if !done.ok {
            self.live.not_ok.fetch_add(1, Ordering::Relaxed);
        }
        self.live.output_tokens.fetch_add(u64::from(record.output_tokens), Ordering::Relaxed);
        let _ = self.records.send(record);
        let _ = self.completions.send(done);
    }
}

/// What a worker leaves behind.
pub(crate) struct WorkerReport {
    /// Delay of its event loop.
    pub(crate) lag: LoopLag,
    /// One message for each class of failure it met.
    pub(crate) examples: Vec<(Outcome, String)>,
    /// Who answered.
    pub(crate) identity: Identity,
}

/// The record of an arrival before anything happened to it.
pub(crate) fn due(arrival: &crate::workload::schedule::Arrival) -> RequestRecord {
    let mut record = RequestRecord::due(arrival.seq, arrival.phase, arrival.at, arrival.input_tokens, arrival.output_tokens);
    record.session = arrival.session;
    record
}

/// Serves jobs until their channel closes and every request has ended.
pub(crate) async fn serve(
    client: Client,
    clock: Clock,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    stop: watch::Receiver<bool>,
    outlets: Outlets,
) -> WorkerReport {
    let client = Rc::new(client);
    let lag = Rc::new(RefCell::new(LoopLag::new()));
    LocalSet::new()
        .run_until(async {
            let ticker = tokio::task::spawn_local(watch_loop(clock, Rc::clone(&lag)));
            let mut open = JoinSet::new();
            while let Some(job) = jobs.recv().await {
                let (client, outlets, stop) = (Rc::clone(&client), outlets.clone(), stop.clone());
                open.spawn_local(async move {
                    let record = client.execute(job.call, due(&job.arrival), stop).await;
                    outlets.live.in_flight.fetch_sub(1, Ordering::Relaxed);
                    outlets.finish(&job.arrival, record);
                });
                // Finished tasks are forgotten as we go, so that memory follows what is open and not what was.
                while open.try_join_next().is_some() {}
            }
            while open.join_next().await.is_some() {}
            ticker.abort();
        })
        .await;
    WorkerReport { lag: lag.replace(LoopLag::new()), examples: client.examples(), identity: client.identity() }
}

/// Measures how late a 10 ms ticker fires: what a token would wait in this event loop.
async fn watch_loop(clock: Clock, lag: Rc<RefCell<LoopLag>>) {
    loop {
        let before = clock.now();
        tokio::time::sleep(TICK.to_std()).await;
        lag.borrow_mut().record(clock.now().since(before + TICK));
    }
}
