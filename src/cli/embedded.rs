//! The embedded endpoint: the simulated endpoint of the scenario on a free loopback port, for as long as it is held.

use super::exit::{Exit, Failure};
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::experiment::Experiment;
use crate::scenario::model::Scenario;
use crate::serve;
use crate::serve::workspace::catalog::own_model;
use crate::serve::workspace::chunk_of;

/// Its description, found in its workspace by the name that requests use, as the model that the plan is for.
pub(crate) fn named(scenario: &Scenario) -> EndpointSpec {
    let mut spec = scenario.endpoint.clone();
    spec.workspace.endpoint = spec.workspace.endpoint.or_else(|| scenario.target.endpoint.clone());
    if spec.workspace.model.is_none() {
        let entity = scenario.plan.as_ref().map(|plan| &plan.entity);
        let name = entity.map_or(scenario.target.model.as_str(), |entity| entity.name.as_str());
        let version = entity.and_then(|entity| entity.version.parse().ok()).unwrap_or(1);
        spec.workspace.model = Some(own_model(name, scenario.target.task, version, chunk_of(&spec)));
    }
    spec
}

/// Starts it on a thread of its own; dropping the handle stops it.
pub(crate) fn start(experiment: &Experiment) -> Result<serve::Handle, Failure> {
    let scenario = &experiment.scenario;
    serve::spawn_in_thread(named(scenario), scenario.target.model.clone(), experiment.seed)
        .map_err(|e| Failure::from_error(Exit::Unreachable, &e).with_hint("the simulated endpoint could not be started on 127.0.0.1"))
}
