//! The embedded endpoint: the simulated endpoint of the scenario on a free loopback port, for as long as it is held.

use super::exit::{Exit, Failure};
use crate::scenario::experiment::Experiment;
use crate::serve;

/// Starts it on a thread of its own; dropping the handle stops it.
pub(crate) fn start(experiment: &Experiment) -> Result<serve::Handle, Failure> {
    let scenario = &experiment.scenario;
    serve::spawn_in_thread(scenario.endpoint.clone(), scenario.target.model.clone(), experiment.seed)
        .map_err(|e| Failure::from_error(Exit::Unreachable, &e).with_hint("the simulated endpoint could not be started on 127.0.0.1"))
}
