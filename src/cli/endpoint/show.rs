//! `endpoint status` and `list`: an endpoint in words, and the difference between two configurations.

use super::{block_on, workspace};
use crate::cli::args::Format;
use crate::cli::args::endpoint::WorkspaceArgs;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::printer::Printer;
use crate::protocol::databricks::Product;
use crate::protocol::databricks::endpoint::{ConfigUpdate, Endpoint, EndpointConfig, Ready};
use crate::protocol::databricks::entity::{Deployment, ServedEntity};

/// Tells how one endpoint stands.
pub(super) fn status(at: &WorkspaceArgs, name: &str, printer: Printer) -> Outcome {
    let found = block_on(workspace(at)?.endpoint(name))?;
    match printer.format {
        Format::Json => printer.data(&format!("{:#}", serde_json::json!(found))),
        Format::Text | Format::Md => printer.data(&endpoint(&found)),
    }
    Ok(Exit::Good)
}

/// Lists all endpoints.
pub(super) fn list(at: &WorkspaceArgs, printer: Printer) -> Outcome {
    let found = block_on(workspace(at)?.list())?;
    match printer.format {
        Format::Json => printer.data(&format!("{:#}", serde_json::json!({ "endpoints": found }))),
        Format::Md => {
            let rows =
                found.iter().map(|e| format!("| {} | {} | {} |\n", e.name, state(e), e.entities().map(capacity).collect::<Vec<_>>().join("; ")));
            printer.data(&format!("| endpoint | state | capacity |\n| --- | --- | --- |\n{}", rows.collect::<String>()));
        }
        Format::Text if found.is_empty() => printer.data("no endpoints"),
        Format::Text => {
            let width = found.iter().map(|e| e.name.len()).max().unwrap_or(0);
            let rows = found.iter().map(|e| format!("{:width$}  {}", e.name, line(e)));
            printer.data(&rows.collect::<Vec<_>>().join("\n"));
        }
    }
    Ok(Exit::Good)
}

/// The state in the words of Databricks' own pages.
pub(super) fn state(endpoint: &Endpoint) -> String {
    let ready = if endpoint.state.ready == Ready::Ready { "ready" } else { "not ready" };
    match endpoint.state.config_update {
        ConfigUpdate::NotUpdating => ready.to_owned(),
        ConfigUpdate::InProgress => format!("{ready} (updating)"),
        ConfigUpdate::UpdateFailed => format!("{ready} (update failed)"),
        ConfigUpdate::UpdateCanceled => format!("{ready} (update canceled)"),
        ConfigUpdate::Unknown => format!("{ready} (state of the update not known)"),
    }
}

/// State and entities on one line.
pub(super) fn line(endpoint: &Endpoint) -> String {
    let entities: Vec<String> = endpoint.entities().map(|e| format!("{} {}{}", e.served_name(), capacity(e), deployment(e))).collect();
    format!("{}: {}", state(endpoint), if entities.is_empty() { "nothing served".to_owned() } else { entities.join("; ") })
}

/// State, what serves, and what is on its way.
pub(super) fn endpoint(endpoint: &Endpoint) -> String {
    let mut lines = vec![format!("{}: {}", endpoint.name, state(endpoint))];
    for (word, config) in [("serving", &endpoint.config), ("on its way", &endpoint.pending_config)] {
        let Some(config) = config else { continue };
        let version = config.config_version.map_or_else(String::new, |version| format!(", configuration {version}"));
        lines.push(format!("  {word}{version}"));
        lines.extend(config.served_entities.iter().map(|entity| {
            let share = share_of(config, &entity.served_name()).map_or_else(String::new, |share| format!(", {share} % of traffic"));
            let (name, model, version) = (entity.served_name(), &entity.entity_name, &entity.entity_version);
            format!("    {name}: {model} version {version}, {}{share}{}", capacity(entity), deployment(entity))
        }));
    }
    lines.extend(endpoint.task.as_ref().map(|task| format!("  task {task}")));
    if !endpoint.tags.is_empty() {
        let tags = endpoint.tags.iter().map(|tag| tag.value.as_ref().map_or_else(|| tag.key.clone(), |value| format!("{}={value}", tag.key)));
        lines.push(format!("  tags {}", tags.collect::<Vec<_>>().join(", ")));
    }
    lines.join("\n")
}

/// What changes between two configurations, an entity a line.
pub(super) fn change(before: &EndpointConfig, after: &EndpointConfig) -> String {
    let find = |config: &EndpointConfig, name: &str| config.served_entities.iter().find(|e| e.served_name() == name).cloned();
    let text = |config: &EndpointConfig, e: &ServedEntity| {
        let share = share_of(config, &e.served_name()).map_or_else(String::new, |share| format!(", {share} %"));
        format!("version {}, {}{share}", e.entity_version, capacity(e))
    };
    let mut lines = Vec::new();
    for entity in &before.served_entities {
        let name = entity.served_name();
        let old = text(before, entity);
        lines.push(match find(after, &name) {
            None => format!("  - {name}: {old}"),
            Some(new) if text(after, &new) == old => format!("    {name}: {old} (as before)"),
            Some(new) => format!("  ~ {name}: {old}  ->  {}", text(after, &new)),
        });
    }
    for entity in after.served_entities.iter().filter(|e| find(before, &e.served_name()).is_none()) {
        lines.push(format!("  + {}: {} {}", entity.served_name(), entity.entity_name, text(after, entity)));
    }
    lines.join("\n")
}

fn share_of(config: &EndpointConfig, name: &str) -> Option<u64> {
    config.traffic_config.as_ref()?.routes.iter().find(|route| route.served_entity_name == name).map(|route| route.traffic_percentage)
}

/// Capacity in words.
pub(super) fn capacity(entity: &ServedEntity) -> String {
    let zero = if entity.scale_to_zero_enabled == Some(true) { ", scales to zero" } else { "" };
    match entity.product() {
        Some(Product::TokenBands) => format!("{} to {} tokens/s{zero}", entity.min_tok_s(), entity.max_tok_s()),
        Some(Product::ModelUnits) => {
            let burst = match entity.burst_scaling_enabled {
                Some(true) => ", bursts beyond",
                Some(false) => ", no bursts",
                None => "",
            };
            format!("{} model units{burst}{zero}", entity.provisioned_model_units.unwrap_or(0))
        }
        None => "throughput not told".to_owned(),
    }
}

/// How far the deployment is, where there is something to tell.
fn deployment(entity: &ServedEntity) -> String {
    let Some(state) = &entity.state else { return String::new() };
    let word = match state.deployment {
        Deployment::Creating => "deploying",
        Deployment::Ready => "deployed",
        Deployment::Failed => "deployment FAILED",
        Deployment::Aborted => "deployment aborted",
        Deployment::Recovering => "recovering",
        Deployment::Unknown => return String::new(),
    };
    let said = state.deployment_state_message.as_deref().filter(|text| !text.is_empty()).map_or_else(String::new, |text| format!(": {text}"));
    format!(", {word}{said}")
}
