//! `serve`: the simulated endpoint of a scenario over HTTP on 127.0.0.1, until Ctrl-C or for a time.

use super::args::ServeArgs;
use super::exit::{Exit, Failure, Outcome};
use super::printer::Printer;
use super::scenario;
use super::signals::Signals;
use crate::base::clock::Clock;
use crate::base::rng::Seed;
use crate::base::units::TimeSpan;
use crate::engine::live::Live;
use crate::serve;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How often a waiting server looks for a signal.
const LOOK: Duration = Duration::from_millis(50);

/// Serves until stopped.
pub(crate) fn run(args: &ServeArgs, printer: Printer) -> Outcome {
    let span = match &args.for_time {
        Some(text) => Some(text.parse::<TimeSpan>().map_err(|e| Failure::new(Exit::Usage, format!("--for-time: {e}")))?),
        None => None,
    };
    let experiment = scenario::read(&args.scenario, &[], Seed(args.scenario.seed.unwrap_or(1)), printer)?;
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
        let clock = Clock::start();
        let stop = async {
            while signals.stopped().is_none() && span.is_none_or(|s| clock.now() < s.nanos()) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let scenario = &experiment.scenario;
        serve::run(listener, scenario.endpoint.clone(), scenario.target.model.clone(), experiment.seed, clock, stop)
            .await
            .map_err(|e| Failure::from_error(Exit::Unreachable, &e))
    })?;
    Ok(signals.stopped().unwrap_or(Exit::Good))
}
