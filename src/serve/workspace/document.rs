//! The JSON in which the control plane describes endpoints, in the members and order of the service.

use super::access::Level;
use super::config::{Config, Entity, Product, Size};
use super::{Serving, Update};
use crate::base::time::Nanos;
use crate::scenario::target::Task;
use serde_json::{Map, Value, json};

/// State and message of one entity.
type Deployment = (&'static str, String);

/// What is said of an entity whose endpoint failed for another one's sake; the service's own words.
const ABORTED: &str = "Served model creation aborted because the endpoint update timed out. Please see service logs for more information.";

fn ms(epoch_ms: u64, at: Nanos) -> u64 {
    epoch_ms + at.0 / 1_000_000
}

fn task_word(task: Task) -> &'static str {
    match task {
        Task::Chat => "llm/v1/chat",
        Task::Completions => "llm/v1/completions",
        Task::Embeddings => "llm/v1/embeddings",
    }
}

fn state(serving: &Serving) -> Value {
    let update = match serving.update {
        Update::Done => "NOT_UPDATING",
        Update::Running { .. } => "IN_PROGRESS",
        Update::Failed { .. } => "UPDATE_FAILED",
    };
    let ready = if serving.active.is_some() && !serving.stopped { "READY" } else { "NOT_READY" };
    json!({ "ready": ready, "config_update": update, "suspend": if serving.stopped { "SUSPENDED" } else { "NOT_SUSPENDED" } })
}

fn head(serving: &Serving, epoch_ms: u64) -> Map<String, Value> {
    let mut document = Map::new();
    let mut put = |key: &str, value: Value| {
        document.insert(key.to_owned(), value);
    };
    put("name", json!(serving.name));
    put("creator", json!(serving.creator));
    put("creator_display_name", json!(serving.creator));
    put("creator_kind", json!("User"));
    put("resource_credential_strategy", json!("EMBEDDED_CREDENTIALS"));
    put("creation_timestamp", json!(ms(epoch_ms, serving.created)));
    put("last_updated_timestamp", json!(ms(epoch_ms, serving.updated)));
    put("state", state(serving));
    put("id", json!(serving.id));
    if !serving.tags.is_empty() {
        put("tags", tags(serving));
    }
    let config = serving.active.as_ref().or(match &serving.update {
        Update::Running { config, .. } | Update::Failed { config, .. } => Some(config),
        Update::Done => None,
    });
    if let Some(first) = config.and_then(|c| c.entities.first()) {
        put("task", json!(task_word(first.task)));
    }
    document.extend(serving.kept.clone());
    document
}

/// The whole description.
pub(super) fn detailed(serving: &Serving, level: Option<Level>, epoch_ms: u64) -> Value {
    let mut document = head(serving, epoch_ms);
    if let Some(active) = &serving.active {
        let ready = |_: &Entity| ("DEPLOYMENT_READY", String::new());
        document.insert("config".to_owned(), config(serving, active, epoch_ms, serving.active_since, &ready));
    }
    let pending = match &serving.update {
        Update::Done => None,
        Update::Running { config: c, started, waits_for_gpus, .. } => {
            let message = if *waits_for_gpus { "Waiting for GPU capacity." } else { "Creating resources for served entity." };
            Some((config(serving, c, epoch_ms, *started, &|_| ("DEPLOYMENT_CREATING", message.to_owned())), started))
        }
        Update::Failed { config: c, started } => Some((config(serving, c, epoch_ms, *started, &|e| failed(c, e)), started)),
    };
    if let Some((mut pending, started)) = pending {
        pending["start_time"] = json!(ms(epoch_ms, *started));
        document.insert("pending_config".to_owned(), pending);
    }
    if let Some(level) = level {
        document.insert("permission_level".to_owned(), json!(level.word()));
    }
    document.insert("route_optimized".to_owned(), json!(false));
    Value::Object(document)
}

/// The largest entity is the one for which no GPUs were found.
fn failed(config: &Config, entity: &Entity) -> Deployment {
    let largest = config.entities.iter().rev().max_by_key(|e| e.size.min_chunks()).map(|e| &e.name);
    if largest == Some(&entity.name) {
        (
            "DEPLOYMENT_FAILED",
            format!("Deployment of served entity {} timed out: no GPU capacity was available. Please try again later.", entity.name),
        )
    } else {
        ("DEPLOYMENT_ABORTED", ABORTED.to_owned())
    }
}

/// The short description of a listing.
pub(super) fn summary(serving: &Serving, epoch_ms: u64) -> Value {
    let mut document = head(serving, epoch_ms);
    if let Some(active) = &serving.active {
        let entity = |e: &Entity| json!({ "name": e.name, "entity_name": e.model, "entity_version": e.version.to_string() });
        let model = |e: &Entity| json!({ "name": e.name, "model_name": e.model, "model_version": e.version.to_string() });
        let entities: Vec<Value> = active.entities.iter().map(entity).collect();
        let models: Vec<Value> = active.entities.iter().map(model).collect();
        document.insert("config".to_owned(), json!({ "served_entities": entities, "served_models": models }));
    }
    Value::Object(document)
}

/// The tags; one without a value has only its key.
pub(super) fn tags(serving: &Serving) -> Value {
    let tag = |(key, value): &(String, Option<String>)| match value {
        Some(value) => json!({ "key": key, "value": value }),
        None => json!({ "key": key }),
    };
    serving.tags.iter().map(tag).collect()
}

fn config(serving: &Serving, config: &Config, epoch_ms: u64, since: Nanos, deployment: &dyn Fn(&Entity) -> Deployment) -> Value {
    let created = ms(epoch_ms, since);
    let entities: Vec<Value> =
        config.entities.iter().map(|e| entity(serving, e, ["entity_name", "entity_version"], created, &deployment(e))).collect();
    let models: Vec<Value> = config.entities.iter().map(|e| entity(serving, e, ["model_name", "model_version"], created, &deployment(e))).collect();
    let route = |(e, share): (&Entity, &u32)| json!({ "served_model_name": e.name, "served_entity_name": e.name, "traffic_percentage": share });
    let routes: Vec<Value> = config.entities.iter().zip(&config.shares).map(route).collect();
    json!({ "served_entities": entities, "served_models": models, "traffic_config": { "routes": routes }, "config_version": config.version })
}

/// Bursts are never shown: what was asked for is not echoed by the service either.
fn entity(serving: &Serving, entity: &Entity, [name_key, version_key]: [&str; 2], created: u64, deployment: &Deployment) -> Value {
    let mut shown = json!({
        "name": entity.name, name_key: entity.model, version_key: entity.version.to_string(), "state": { "deployment": deployment.0, "deployment_state_message": deployment.1 },
        "creator": serving.creator, "creation_timestamp": created,
    });
    match entity.size {
        Size::Throughput { min, max, .. } => {
            shown["min_provisioned_throughput"] = json!(min);
            shown["max_provisioned_throughput"] = json!(max);
            shown["scale_to_zero_enabled"] = json!(entity.scale_to_zero);
        }
        Size::Units { units, .. } => shown["provisioned_model_units"] = json!(units),
    }
    if serving.product == Product::General {
        shown["workload_size"] = json!("Small");
        shown["workload_type"] = json!("GPU_LARGE");
    }
    shown
}

/// What was said while `entity` of the newest configuration was built.
pub(super) fn build_logs(serving: &Serving, entity: &str) -> Option<String> {
    let (config, end) = match &serving.update {
        Update::Done => (serving.active.as_ref()?, "Served entity is ready."),
        Update::Running { config, waits_for_gpus: false, .. } => (config, "Creating resources."),
        Update::Running { config, waits_for_gpus: true, .. } => (config, "Waiting for GPU capacity."),
        Update::Failed { config, .. } => (config, "Gave up: no GPU capacity was available in time."),
    };
    let found = config.entities.iter().find(|e| e.name == entity)?;
    Some(format!("Fetching {} version {}.\nBuilding the container.\n{end}\n", found.model, found.version))
}
