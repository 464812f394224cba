//! `serve`: the simulated endpoint of a scenario over HTTP on 127.0.0.1, until Ctrl-C or for a time.

use super::args::ServeArgs;
use super::embedded;
use super::exit::{Exit, Failure, Outcome};
use super::printer::Printer;
use super::scenario;
use super::signals::Signals;
use crate::base::clock::Clock;
use crate::base::rng::Seed;
use crate::base::units::TimeSpan;
use crate::engine::live::Live;
use crate::serve;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// What is served where no scenario is named, as shipped.
const SCENARIO: &str = include_str!("../../scenarios/workspace.toml");

/// How often a waiting server looks for a signal.
const LOOK: Duration = Duration::from_millis(50);

/// Serves until stopped.
pub(crate) fn run(args: &ServeArgs, printer: Printer) -> Outcome {
    let span = match &args.for_time {
        Some(text) => Some(text.parse::<TimeSpan>().map_err(|e| Failure::new(Exit::Usage, format!("--for-time: {e}")))?),
        None => None,
    };
    let (overrides, seed) = (scenario::parse_overrides(&args.set)?, Seed(args.seed));
    let experiment = match &args.scenario {
        Some(path) => scenario::read_file(path, &overrides, seed, printer)?,
        None => scenario::from_text("scenarios/workspace.toml", SCENARIO.as_bytes(), Path::new("."), &overrides, seed, printer)?,
    };
    let signals = Signals::watch();
    signals.loading(&Arc::new(Live::default()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Unreachable, format!("cannot start a runtime: {e}")))?;
    runtime.block_on(async {
        let address = format!("127.0.0.1:{}", args.port);
        let listener = TcpListener::bind(&address).await.map_err(|e| {
            Failure::new(Exit::Unreachable, format!("cannot listen on {address}: {e}"))
                .with_hint("another program has this port; choose one with --port, or 0 for a free one")
        })?;
        let bound = listener.local_addr().map_err(|e| Failure::new(Exit::Unreachable, e.to_string()))?;
        printer.data(&format!("serving {} on http://{bound}", experiment.scenario.target.model));
        let workspace = &experiment.scenario.endpoint.workspace;
        let token = match workspace.principals.first() {
            Some(principal) => format!("dapi-{}", principal.name),
            None => "dapi-anything".to_owned(),
        };
        printer.talk(&format!(
            "a Databricks workspace is there too, with endpoints deployed in {}: DATABRICKS_HOST=http://{bound} DATABRICKS_TOKEN={token}",
            workspace.deployment.nanos()
        ));
        let clock = Clock::start();
        let stop = async {
            while signals.stopped().is_none() && span.is_none_or(|s| clock.now() < s.nanos()) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let scenario = &experiment.scenario;
        serve::run(listener, embedded::named(scenario), scenario.target.model.clone(), experiment.seed, clock, stop)
            .await
            .map_err(|e| Failure::from_error(Exit::Unreachable, &e))
    })?;
    Ok(signals.stopped().unwrap_or(Exit::Good))
}
