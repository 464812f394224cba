//! The real way: the hidden endpoint on a loopback port, our load engine in front of it, records as any run leaves them.

use plimsoll::base::rng::Seed;
use plimsoll::engine::live::Live;
use plimsoll::engine::run::{Keeper, Parts, run};
use plimsoll::record::log;
use plimsoll::record::request::RequestRecord;
use plimsoll::scenario::endpoint::EndpointSpec;
use plimsoll::scenario::experiment::Experiment;
use plimsoll::serve;
use plimsoll::workload::prompt::PromptBook;
use plimsoll::workload::schedule::{Material, Schedule};
use plimsoll::workload::tokenizer::Vocabulary;
use std::sync::Arc;

#[derive(Default)]
struct Memory(Vec<RequestRecord>);

impl Keeper for Memory {
    fn keep(&mut self, frames: &[u8]) -> std::io::Result<()> {
        log::each_record(frames, |record| self.0.push(record)).map_err(std::io::Error::other)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The endpoint, and the vocabulary of its clients.
pub(crate) struct Served {
    handle: serve::Handle,
    vocabulary: Arc<Vocabulary>,
}

impl Served {
    /// Serves `truth` on a free port.
    pub(crate) fn start(truth: &EndpointSpec, like: &Experiment) -> Self {
        let vocabulary = Vocabulary::embedded(&like.scenario.workload.prompts.tokenizer).unwrap();
        Self { handle: serve::spawn_in_thread(truth.clone(), "hidden".to_owned(), Seed(5)).unwrap(), vocabulary: Arc::new(vocabulary) }
    }

    /// Loads it once.
    pub(crate) fn measure(&self, experiment: &Experiment) -> Vec<RequestRecord> {
        let mut experiment = experiment.clone();
        experiment.scenario.target.url = Some(self.handle.url());
        let parts = Parts {
            schedule: Schedule::new(&experiment, &Material::default()).unwrap(),
            book: PromptBook::new(Arc::clone(&self.vocabulary), &experiment.scenario.workload.prompts, experiment.seed),
            counter: None,
            token: None,
            login: None,
            workers: 1,
            cores: 2,
            embedded: true,
            live: Arc::new(Live::default()),
        };
        let mut memory = Memory::default();
        run(&experiment, parts, &mut memory).unwrap();
        memory.0
    }
}
