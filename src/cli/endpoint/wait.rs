//! `endpoint wait`: follows an endpoint to its end, with what serves meanwhile in view.

use super::{block_on, show, workspace};
use crate::base::units::TimeSpan;
use crate::cli::args::Format;
use crate::cli::args::endpoint::{WaitArgs, WorkspaceArgs};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::printer::Printer;
use crate::client::databricks::Workspace;
use crate::client::databricks::wait::{End, Patience, Waited, is_lack_of_capacity, until_ready};
use crate::protocol::databricks::endpoint::{Endpoint, Ready};
use std::time::Duration;

/// Waits.
pub(super) fn run(at: &WorkspaceArgs, args: &WaitArgs, printer: Printer) -> Outcome {
    follow(&workspace(at)?, &args.name, &args.deadline, printer)
}

/// Waits for `name`, and ends as the endpoint does.
pub(super) fn follow(workspace: &Workspace, name: &str, deadline: &str, printer: Printer) -> Outcome {
    let endpoint = until(workspace, name, deadline, printer)?;
    match printer.format {
        Format::Json => printer.data(&format!("{:#}", serde_json::json!(endpoint))),
        Format::Text | Format::Md => printer.data(&show::endpoint(&endpoint)),
    }
    Ok(Exit::Good)
}

/// The endpoint when it is ready, or why it will not be.
pub(super) fn until(workspace: &Workspace, name: &str, deadline: &str, printer: Printer) -> Result<Endpoint, Failure> {
    let patience = patience(deadline)?;
    let mut tell = |endpoint: &Endpoint, passed: Duration| printer.talk(&format!("{:>6.0} s  {}", passed.as_secs_f64(), show::line(endpoint)));
    let waited = block_on(until_ready(workspace, name, patience, &mut tell))?;
    if waited.end == End::Ready { Ok(waited.endpoint) } else { Err(failure(&waited)) }
}

/// How long to wait. Asked before anything is sent, so that a typing error changes nothing.
pub(super) fn patience(deadline: &str) -> Result<Patience, Failure> {
    let limit: TimeSpan = deadline.parse().map_err(|e| Failure::new(Exit::Usage, format!("--deadline: {e}")))?;
    Ok(Patience { deadline: Duration::from_secs_f64(limit.as_secs_f64()), ..Patience::default() })
}

/// Why it is not ready, in the server's words, what serves meanwhile, and one thing to try.
fn failure(waited: &Waited) -> Failure {
    let endpoint = &waited.endpoint;
    let took = waited.waited.as_secs_f64();
    let name = &endpoint.name;
    let first = match waited.end {
        End::TooLate => format!("{name} is not ready after {took:.0} s ({})", show::state(endpoint)),
        End::Stopped => format!("{name} neither serves nor changes ({})", show::state(endpoint)),
        End::Failed | End::Ready => format!("{name}: the change failed ({})", show::state(endpoint)),
    };
    let mut said: Vec<String> = Vec::new();
    for entity in endpoint.failed_entities().chain(endpoint.entities()) {
        let text = entity.state.as_ref().and_then(|state| state.deployment_state_message.as_deref()).filter(|text| !text.is_empty());
        let line = text.map(|text| format!("{}: {text}", entity.served_name()));
        said.extend(line.filter(|line| !said.contains(line)));
    }
    let mut lines = vec![first];
    lines.extend(said.iter().map(|line| format!("  deployment of {line}")));
    lines.extend(waited.logs.iter().map(|(entity, log)| format!("  end of the build log of {entity}:\n    {}", log.replace('\n', "\n    "))));
    if endpoint.state.ready == Ready::Ready {
        lines.push("  the configuration from before serves on".to_owned());
    }
    let lacks_machines = said.iter().any(|text| is_lack_of_capacity(text));
    let hint = match waited.end {
        _ if lacks_machines => {
            "no GPUs were to be had: try again later, ask for fewer chunks, or another region; raise the minimum ahead of known peaks, with hours to spare"
        }
        End::TooLate => {
            "GPU capacity that is not to be had shows as a wait without end: look again with `plimsoll endpoint wait`, or ask for fewer chunks"
        }
        End::Stopped => "a stopped endpoint is started in the UI; one whose first deployment failed is deleted and created again",
        _ => "mend what the message says, then resize again",
    };
    Failure::new(Exit::NotDeployed, lines.join("\n")).with_hint(hint)
}
