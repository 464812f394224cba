//! Waiting for an endpoint: polls until it is ready, has failed, or the time is up; tells every change on the way.

use super::Workspace;
use super::error::Error;
use crate::protocol::databricks::endpoint::{ConfigUpdate, Endpoint, EndpointState, Ready};
use crate::protocol::databricks::entity::{Deployment, ServedEntity};
use std::time::Duration;
use tokio::time::Instant;

/// How long to wait, and how often to look.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Whole wait, at most.
    pub deadline: Duration,
    /// Pause after the first look; it grows by this much with every look.
    pub pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
}

impl Default for Patience {
    /// Two hours, which covers the longest deployment that Databricks waits for (large GPU models); looks after 1, 2, ... 10 s, as the official clients do.
    fn default() -> Self {
        Self { deadline: Duration::from_hours(2), pause: Duration::from_secs(1), longest_pause: Duration::from_secs(10) }
    }
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It serves, and nothing changes.
    Ready,
    /// The change failed or was called off.
    Failed,
    /// Nothing changes, and it does not serve: stopped, or its first deployment failed.
    Stopped,
    /// The time was up.
    TooLate,
}

/// An endpoint after a wait.
#[derive(Clone, Debug)]
pub struct Waited {
    /// How it ended.
    pub end: End,
    /// The endpoint as it stood then.
    pub endpoint: Endpoint,
    /// How long it took.
    pub waited: Duration,
    /// For each entity that failed: its name and the end of its build log, where there is one.
    pub logs: Vec<(String, String)>,
}

/// Characters of the end of a build log that are kept.
const LOG_CHARS: usize = 2000;
/// Looks in a row at an endpoint that neither serves nor changes before it is taken for stopped: one that was just created may look like it.
const LOOKS_STOPPED: u32 = 3;
/// Looks in a row that may fail for the server's or the network's sake.
const LOOKS_FAILED: u32 = 5;

/// Waits. `tell` hears of the first look and of every change of state since, with the time that has passed.
pub async fn until_ready(workspace: &Workspace, name: &str, patience: Patience, tell: &mut dyn FnMut(&Endpoint, Duration)) -> Result<Waited, Error> {
    let start = Instant::now();
    let mut pause = patience.pause;
    let (mut stopped, mut failed) = (0, 0);
    let mut told: Option<Told> = None;
    loop {
        let endpoint = match workspace.endpoint(name).await {
            Ok(endpoint) => endpoint,
            // A long wait outlives a moment without network.
            Err(error) if failed < LOOKS_FAILED && told.is_some() && is_passing(&error) && start.elapsed() < patience.deadline => {
                failed += 1;
                tokio::time::sleep(pause).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        failed = 0;
        let now = Told::of(&endpoint);
        if told.as_ref() != Some(&now) {
            tell(&endpoint, start.elapsed());
            told = Some(now);
        }
        let EndpointState { ready, config_update } = endpoint.state;
        stopped = if (ready, config_update) == (Ready::NotReady, ConfigUpdate::NotUpdating) { stopped + 1 } else { 0 };
        let end = match (ready, config_update) {
            (Ready::Ready, ConfigUpdate::NotUpdating) => Some(End::Ready),
            (_, ConfigUpdate::UpdateFailed | ConfigUpdate::UpdateCanceled) => Some(End::Failed),
            _ if stopped >= LOOKS_STOPPED => Some(End::Stopped),
            _ if start.elapsed() >= patience.deadline => Some(End::TooLate),
            _ => None,
        };
        if let Some(end) = end {
            let logs = if end == End::Ready { Vec::new() } else { logs(workspace, &endpoint).await };
            return Ok(Waited { end, endpoint, waited: start.elapsed(), logs });
        }
        let left = patience.deadline.saturating_sub(start.elapsed());
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause + patience.pause).min(patience.longest_pause);
    }
}

/// What of an endpoint is told when it changes.
#[derive(PartialEq)]
struct Told(EndpointState, Vec<Option<(Deployment, String)>>);

impl Told {
    fn of(endpoint: &Endpoint) -> Self {
        let state = |e: &ServedEntity| e.state.as_ref().map(|s| (s.deployment, s.deployment_state_message.clone().unwrap_or_default()));
        Self(endpoint.state, endpoint.entities().map(state).collect())
    }
}

fn is_passing(error: &Error) -> bool {
    match error {
        Error::Refused(refused) => refused.status == 429 || refused.status >= 500,
        Error::Call(_) | Error::Token(_) => true,
        Error::Login(_) | Error::NoReadyVersion { .. } => false,
    }
}

/// The end of the build log of every entity that failed. A log that is not there, or that the caller may not see, is no fault of the wait.
async fn logs(workspace: &Workspace, endpoint: &Endpoint) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entity in endpoint.failed_entities() {
        let name = entity.served_name();
        if let Ok(text) = workspace.build_logs(&endpoint.name, &name).await
            && !text.trim().is_empty()
        {
            let text = text.trim_end();
            let from = text.char_indices().rev().nth(LOG_CHARS - 1).map_or(0, |(at, _)| at);
            found.push((name, text[from..].to_owned()));
        }
    }
    found
}

/// Whether a deployment's message speaks of a lack of machines.
#[must_use]
pub fn is_lack_of_capacity(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["gpu", "capacity", "insufficient", "not enough", "resources are", "out of stock"].iter().any(|word| message.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_machines_is_told_from_other_failures() {
        assert!(is_lack_of_capacity("Failed to deploy: GPU capacity is not available in this region"));
        assert!(is_lack_of_capacity("Insufficient compute"));
        assert!(!is_lack_of_capacity("container image could not be built"));
    }
}
