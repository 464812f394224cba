//! `Workspace`: the control plane of the emulated Databricks workspace as a state machine. It knows no clock: every call is told the time.

pub mod access;
pub mod catalog;
pub mod config;
mod document;
pub mod fault;
mod gateway;
mod names;
#[cfg(test)]
mod tests;

use self::access::{Access, Caller, Level};
use self::catalog::{Catalog, own_model};
use self::config::{Config, Product};
use self::fault::Fault;
use crate::base::time::Nanos;
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::target::Task;
use crate::scenario::workspace::{ModelOffer, RegisteredModel, Workspace as Spec};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Members of a create body that are kept and shown as they are.
const KEPT: [&str; 5] = ["ai_gateway", "budget_policy_id", "description", "email_notifications", "telemetry_config"];

/// The control plane. What is due by itself happens in [`Workspace::advance`], which every other call does first; calls must come in order
/// of time. What it answers depends on the calls and their instants alone.
#[derive(Debug)]
pub struct Workspace {
    spec: Spec,
    catalog: Catalog,
    access: Access,
    endpoints: BTreeMap<String, Serving>,
    born: u64,
    epoch_ms: u64,
    changes: Vec<Change>,
}

/// What the data plane has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This configuration serves from now on, in place of the one before.
    Serve {
        /// Name of the endpoint.
        endpoint: String,
        /// What serves.
        config: Config,
    },
    /// Nothing serves under this name any more.
    Remove {
        /// Name of the endpoint.
        endpoint: String,
    },
}

/// A serving endpoint.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    id: String,
    name: String,
    creator: String,
    created: Nanos,
    updated: Nanos,
    product: Product,
    tags: Vec<(String, Option<String>)>,
    kept: Map<String, Value>,
    active: Option<Config>,
    /// When the active configuration began.
    active_since: Nanos,
    update: Update,
    /// Versions given out.
    versions: u32,
    stopped: bool,
    grants: BTreeMap<String, Level>,
    calls: gateway::Calls,
}

/// What became of the last change of the configuration.
#[derive(Clone, Debug)]
enum Update {
    /// It serves.
    Done,
    /// It is on its way.
    Running { config: Config, started: Nanos, ready: Nanos, waits_for_gpus: bool },
    /// It will not serve.
    Failed { config: Config, started: Nanos },
}

impl Workspace {
    /// The workspace of `endpoint`, whose own serving endpoint `name` serves `model` already. `epoch_ms` is the wall time at instant zero.
    #[must_use]
    pub fn new(endpoint: &EndpointSpec, name: &str, model: &str, epoch_ms: u64) -> Self {
        let spec = endpoint.workspace.clone();
        let chunk = chunk_of(endpoint);
        let own = spec.model.clone().unwrap_or_else(|| own_model(model, Task::Chat, 1, chunk));
        let entity = own_entity(endpoint, model, &own);
        let mut workspace = Self {
            catalog: Catalog::new(&spec.models, own, spec.page, epoch_ms),
            access: Access::new(&spec),
            spec,
            endpoints: BTreeMap::new(),
            born: 0,
            epoch_ms,
            changes: Vec::new(),
        };
        let config = Config::read(&json!({ "served_entities": [entity] }), Product::General, 1, &workspace.catalog).ok();
        let mut serving = workspace.serving(name, "emulation", Nanos::ZERO, Product::General, Map::new());
        if let Some(config) = config {
            workspace.changes.push(Change::Serve { endpoint: name.to_owned(), config: config.clone() });
            serving.active = Some(config);
        }
        serving.versions = 1;
        workspace.endpoints.insert(name.to_owned(), serving);
        for name in workspace.spec.stopped.clone() {
            let mut serving = workspace.serving(&name, "emulation", Nanos::ZERO, Product::General, Map::new());
            serving.stopped = true;
            workspace.endpoints.insert(name, serving);
        }
        workspace
    }

    /// The models.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Who may call.
    #[must_use]
    pub fn access(&mut self) -> &mut Access {
        &mut self.access
    }

    /// What the data plane has to do since it was asked last.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    fn serving(&mut self, name: &str, creator: &str, now: Nanos, product: Product, kept: Map<String, Value>) -> Serving {
        self.born += 1;
        Serving {
            id: format!("{:032x}", u128::from(crate::base::rng::Seed(self.born).child("endpoint id", 0).0)),
            name: name.to_owned(),
            creator: creator.to_owned(),
            created: now,
            updated: now,
            product,
            tags: Vec::new(),
            kept,
            active: None,
            active_since: now,
            update: Update::Done,
            versions: 0,
            stopped: false,
            grants: BTreeMap::new(),
            calls: gateway::Calls::default(),
        }
    }

    /// Does everything that is due up to and including `now`, in order of time.
    pub fn advance(&mut self, now: Nanos) {
        while let Some((at, name)) = self.next().filter(|(at, _)| *at <= now) {
            let free = self.has_gpus_for(&name);
            let Some(serving) = self.endpoints.get_mut(&name) else { return };
            let Update::Running { config, started, ready, waits_for_gpus } = &serving.update else { return };
            match (free, waits_for_gpus) {
                (true, _) => self.activate(&name, at),
                (false, true) => serving.update = Update::Failed { config: config.clone(), started: *started },
                (false, false) => {
                    serving.update = Update::Running {
                        config: config.clone(),
                        started: *started,
                        ready: *ready + self.spec.gpu_wait.nanos(),
                        waits_for_gpus: true,
                    };
                }
            }
        }
    }

    /// What happens next by itself: a deployment that is done, or one that gives up waiting. Ties go to the first name.
    fn next(&self) -> Option<(Nanos, String)> {
        let due = self.endpoints.values().filter_map(|s| match &s.update {
            Update::Running { ready, .. } => Some((*ready, s.name.clone())),
            _ => None,
        });
        due.min()
    }

    /// Whether GPUs are free for the configuration on its way; what it replaces is given back only when it serves, but counted once.
    fn has_gpus_for(&self, name: &str) -> bool {
        let others = self.endpoints.values().filter(|s| s.name != name).filter_map(|s| s.active.as_ref()).map(Config::gpu_chunks).sum::<u32>();
        match self.endpoints.get(name).map(|s| &s.update) {
            Some(Update::Running { config, .. }) => others.saturating_add(config.gpu_chunks()) <= self.spec.gpu_chunks,
            _ => true,
        }
    }

    fn activate(&mut self, name: &str, at: Nanos) {
        let Some(serving) = self.endpoints.get_mut(name) else { return };
        let Update::Running { config, .. } = std::mem::replace(&mut serving.update, Update::Done) else { return };
        self.changes.push(Change::Serve { endpoint: name.to_owned(), config: config.clone() });
        serving.active = Some(config);
        serving.active_since = at;
        self.retry_waiting(at);
    }

    /// GPUs may have become free at `at`: those who wait for them try again, the one that would give up first before the others.
    fn retry_waiting(&mut self, at: Nanos) {
        let waits = |s: &Serving| match &s.update {
            Update::Running { ready, waits_for_gpus: true, .. } => Some((*ready, s.name.clone())),
            _ => None,
        };
        let mut waiting: Vec<_> = self.endpoints.values().filter_map(waits).collect();
        waiting.sort();
        if let Some((_, name)) = waiting.into_iter().find(|(_, name)| self.has_gpus_for(name)) {
            self.activate(&name, at);
        }
    }

    /// Creates an endpoint.
    pub fn create(&mut self, now: Nanos, caller: &Caller, body: &Value, product: Product) -> Result<Value, Fault> {
        self.advance(now);
        let name = body.get("name").and_then(Value::as_str).ok_or_else(|| Fault::invalid("Missing required field: name"))?;
        names::judge_endpoint(name)?;
        if self.endpoints.contains_key(name) {
            return Err(Fault::exists(format!("Endpoint with name '{name}' already exists.")));
        }
        if body.get("route_optimized").and_then(Value::as_bool) == Some(true) {
            return Err(Fault::invalid("Route optimization is not supported for foundation model serving endpoints."));
        }
        let config = body.get("config").filter(|c| c.is_object()).ok_or_else(|| Fault::invalid("Missing required field: config"))?;
        let config = Config::read(config, product, 1, &self.catalog)?;
        let tags = body.get("tags").map(read_tags).transpose()?.unwrap_or_default();
        if let Some(gateway) = body.get("ai_gateway") {
            gateway::judge(gateway)?;
        }
        let kept = KEPT.iter().filter_map(|key| Some(((*key).to_owned(), body.get(*key).filter(|v| !v.is_null())?.clone()))).collect();
        let mut serving = self.serving(name, &caller.name, now, product, kept);
        serving.tags = tags;
        serving.versions = 1;
        serving.update = running(config, now, self.spec.deployment.nanos());
        let name = name.to_owned();
        self.endpoints.insert(name.clone(), serving);
        self.advance(now);
        self.get(now, caller, &name)
    }

    /// Replaces the whole configuration. The old one serves until the new one is deployed; model units change at once.
    pub fn update_config(&mut self, now: Nanos, caller: &Caller, name: &str, body: &Value, product: Product) -> Result<Value, Fault> {
        self.advance(now);
        let serving = self.allowed(caller, name, Level::Manage)?;
        if matches!(serving.update, Update::Running { .. }) {
            return Err(Fault::conflict(format!("Endpoint '{name}' is being updated; wait until the update is done before starting another.")));
        }
        if serving.stopped {
            return Err(Fault::state(format!("Endpoint '{name}' is stopped.")));
        }
        if product == Product::ModelUnits && serving.product != product {
            return Err(Fault::invalid(format!("Endpoint '{name}' is not a provisioned throughput endpoint with model units.")));
        }
        let body = if product == Product::ModelUnits { body.get("config").unwrap_or(body) } else { body };
        let config = Config::read(body, serving.product, serving.versions + 1, &self.catalog)?;
        let takes = if product == Product::ModelUnits && serving.active.is_some() { Nanos::ZERO } else { self.spec.deployment.nanos() };
        let update = running(config, now, takes);
        let serving = self.serving_mut(name)?;
        serving.versions += 1;
        serving.updated = now;
        serving.update = update;
        self.advance(now);
        self.get(now, caller, name)
    }

    /// Deletes an endpoint; its GPUs become free.
    pub fn delete(&mut self, now: Nanos, caller: &Caller, name: &str) -> Result<Value, Fault> {
        self.advance(now);
        self.allowed(caller, name, Level::Manage)?;
        self.endpoints.remove(name);
        self.changes.push(Change::Remove { endpoint: name.to_owned() });
        self.retry_waiting(now);
        Ok(json!({}))
    }

    /// The description of an endpoint.
    pub fn get(&mut self, now: Nanos, caller: &Caller, name: &str) -> Result<Value, Fault> {
        self.advance(now);
        let serving = self.allowed(caller, name, Level::View)?;
        Ok(document::detailed(serving, level(caller, serving), self.epoch_ms))
    }

    /// The endpoints that the caller may see.
    pub fn list(&mut self, now: Nanos, caller: &Caller) -> Value {
        self.advance(now);
        let seen = self.endpoints.values().filter(|s| level(caller, s).is_some());
        json!({ "endpoints": seen.map(|s| document::summary(s, self.epoch_ms)).collect::<Vec<_>>() })
    }

    /// Adds, replaces and removes tags; the tags after that.
    pub fn patch_tags(&mut self, now: Nanos, caller: &Caller, name: &str, body: &Value) -> Result<Value, Fault> {
        self.advance(now);
        self.allowed(caller, name, Level::Manage)?;
        let added = body.get("add_tags").map(read_tags).transpose()?.unwrap_or_default();
        let deleted: Vec<&str> = body.get("delete_tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let serving = self.serving_mut(name)?;
        let replaced = |key: &str| added.iter().any(|(k, _)| k == key) || deleted.contains(&key);
        serving.tags.retain(|(key, _)| !replaced(key));
        serving.tags.extend(added);
        serving.updated = now;
        Ok(json!({ "tags": document::tags(serving) }))
    }

    /// Replaces a part that is kept as it was given: `ai_gateway`, `telemetry_config`, `email_notifications`.
    pub fn put_kept(&mut self, now: Nanos, caller: &Caller, name: &str, key: &str, value: Value) -> Result<Value, Fault> {
        self.advance(now);
        self.allowed(caller, name, Level::Manage)?;
        if key == "ai_gateway" {
            gateway::judge(&value)?;
        }
        let serving = self.serving_mut(name)?;
        serving.kept.insert(key.to_owned(), value.clone());
        serving.updated = now;
        Ok(value)
    }

    /// What was said while `entity` was built.
    pub fn build_logs(&mut self, now: Nanos, caller: &Caller, name: &str, entity: &str) -> Result<Value, Fault> {
        self.advance(now);
        let serving = self.allowed(caller, name, Level::View)?;
        let logs = document::build_logs(serving, entity)
            .ok_or_else(|| Fault::missing(format!("Served entity '{entity}' of endpoint '{name}' does not exist.")))?;
        Ok(json!({ "logs": logs }))
    }

    /// Whether `caller` may send a request to `name`, and whether it serves; counts the request.
    pub fn may_query(&mut self, now: Nanos, caller: &Caller, name: &str) -> Result<(), Fault> {
        self.advance(now);
        let missing = "The given endpoint does not exist, please retry after checking the specified model and version deployment exists.";
        if !self.endpoints.contains_key(name) {
            return Err(Fault::missing(missing));
        }
        let serving = self.allowed(caller, name, Level::Query)?;
        if serving.stopped {
            return Err(Fault { status: 400, code: "BAD_REQUEST", message: format!("The endpoint '{name}' is stopped. Start it to query it.") });
        }
        if serving.active.is_none() {
            return Err(Fault::missing(missing));
        }
        let serving = self.serving_mut(name)?;
        serving.calls.enter(now, caller, serving.kept.get("ai_gateway"))
    }

    /// Who may do what with the endpoint of this id.
    pub fn permissions(&mut self, now: Nanos, caller: &Caller, id: &str) -> Result<Value, Fault> {
        self.advance(now);
        let name = self.name_of(id)?;
        let serving = self.allowed(caller, &name, Level::View)?;
        Ok(access::document(&serving.id, &serving.creator, &serving.grants))
    }

    /// Adds to who may do what (`PATCH`), or replaces it (`PUT`).
    pub fn grant(&mut self, now: Nanos, caller: &Caller, id: &str, body: &Value, replaces: bool) -> Result<Value, Fault> {
        self.advance(now);
        let name = self.name_of(id)?;
        self.allowed(caller, &name, Level::Manage)?;
        let grants = access::read_grants(body)?;
        let serving = self.serving_mut(&name)?;
        if replaces {
            serving.grants.clear();
        }
        serving.grants.extend(grants);
        self.permissions(now, caller, id)
    }

    fn name_of(&self, id: &str) -> Result<String, Fault> {
        let found = self.endpoints.values().find(|s| s.id == id).map(|s| s.name.clone());
        found.ok_or_else(|| Fault::missing(format!("Serving endpoint with id '{id}' does not exist.")))
    }

    fn allowed(&self, caller: &Caller, name: &str, needed: Level) -> Result<&Serving, Fault> {
        let serving = self.endpoints.get(name).ok_or_else(|| Fault::missing(format!("Endpoint with name '{name}' does not exist.")))?;
        if level(caller, serving).is_some_and(|level| level >= needed) {
            return Ok(serving);
        }
        Err(Fault::denied(format!("User '{}' does not have {} permission on serving endpoint '{name}'.", caller.name, needed.word())))
    }

    fn serving_mut(&mut self, name: &str) -> Result<&mut Serving, Fault> {
        self.endpoints.get_mut(name).ok_or_else(|| Fault::missing(format!("Endpoint with name '{name}' does not exist.")))
    }
}

/// What `caller` may do with an endpoint.
fn level(caller: &Caller, serving: &Serving) -> Option<Level> {
    if caller.admin || caller.name == serving.creator { Some(Level::Manage) } else { serving.grants.get(&caller.name).copied() }
}

fn running(config: Config, now: Nanos, takes: Nanos) -> Update {
    Update::Running { config, started: now, ready: now + takes, waits_for_gpus: false }
}

/// The advertised chunk of the simulated endpoint in whole tokens per second, at least 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is not negative; the cast saturates")]
pub fn chunk_of(endpoint: &EndpointSpec) -> u32 {
    (endpoint.chunk.0.round() as u32).max(1)
}

/// The body of the served entity that the scenario's own endpoint serves.
fn own_entity(endpoint: &EndpointSpec, model: &str, own: &RegisteredModel) -> Value {
    let version = own.versions.iter().max().copied().unwrap_or(1);
    let mut entity = json!({ "name": entity_name(model), "entity_name": own.name, "entity_version": version });
    let of = |chunks: u32, chunk: u32| json!(u64::from(chunks) * u64::from(chunk));
    match own.offer {
        ModelOffer::Throughput(chunk) => {
            entity["min_provisioned_throughput"] = of(endpoint.min_chunks, chunk);
            entity["max_provisioned_throughput"] = of(endpoint.max_chunks, chunk);
        }
        ModelOffer::ModelUnits(chunk) => entity["provisioned_model_units"] = of(endpoint.min_chunks, chunk),
        ModelOffer::Refused(_) => {}
    }
    entity
}

/// A served entity's name made of a model's.
fn entity_name(model: &str) -> String {
    let plain: String = model.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    if plain.is_empty() { "model-1".to_owned() } else { format!("{plain}-1") }
}

fn read_tags(tags: &Value) -> Result<Vec<(String, Option<String>)>, Fault> {
    let tags = tags.as_array().ok_or_else(|| Fault::invalid("Tags must be a list of objects with key and value."))?;
    let tag = |tag: &Value| {
        let key = tag.get("key").and_then(Value::as_str).filter(|k| !k.is_empty()).ok_or_else(|| Fault::invalid("A tag must have a key."))?;
        Ok((key.to_owned(), tag.get("value").and_then(Value::as_str).map(str::to_owned)))
    };
    tags.iter().map(tag).collect()
}
