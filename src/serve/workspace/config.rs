//! `Config`: the served entities and routes of one configuration, read from a body and judged against the catalog.

use super::catalog::Catalog;
use super::fault::Fault;
use crate::scenario::target::Task;
use crate::scenario::workspace::ModelOffer;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Served entities of one endpoint, at most.
const MAX_ENTITIES: usize = 15;

/// One configuration of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Counted from 1 by the endpoint.
    pub version: u32,
    /// What serves.
    pub entities: Vec<Entity>,
    /// Percentage of the traffic of each entity, in their order; they sum to 100.
    pub shares: Vec<u32>,
}

/// A served entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Unique in the endpoint.
    pub name: String,
    /// `catalog.schema.model`.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// What it does.
    pub task: Task,
    /// How much of it.
    pub size: Size,
    /// Whether it may go to sleep.
    pub scale_to_zero: bool,
}

/// How much of a served entity was bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A band of tokens per second.
    Throughput {
        /// At least.
        min: u64,
        /// At most.
        max: u64,
        /// What both are multiples of, 1 or more.
        chunk: u64,
    },
    /// Model units.
    Units {
        /// So many.
        units: u64,
        /// May go beyond them for a while.
        burst: bool,
        /// What they are a multiple of, 1 or more.
        chunk: u64,
    },
}

impl Size {
    /// Chunks at least.
    #[must_use]
    pub fn min_chunks(self) -> u32 {
        let chunks = match self {
            Self::Throughput { min, chunk, .. } => min / chunk,
            Self::Units { units, chunk, .. } => units / chunk,
        };
        u32::try_from(chunks).unwrap_or(u32::MAX)
    }
}

/// Which of the two kinds of endpoint a body is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// `/api/2.0/serving-endpoints`
    General,
    /// `/api/2.0/serving-endpoints/pt`
    ModelUnits,
}

impl Config {
    /// Reads `served_entities` (or the older `served_models`) and `traffic_config` of `body`.
    pub fn read(body: &Value, product: Product, version: u32, catalog: &Catalog) -> Result<Self, Fault> {
        let listed = ["served_entities", "served_models"].iter().find_map(|key| body.get(key)?.as_array());
        let listed = listed.filter(|l| !l.is_empty()).ok_or_else(|| Fault::invalid("The config must have at least one served entity."))?;
        if listed.len() > MAX_ENTITIES {
            return Err(Fault::invalid(format!("An endpoint can have at most {MAX_ENTITIES} served entities, got {}.", listed.len())));
        }
        let entities = listed.iter().map(|e| entity(e, product, catalog)).collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<_> = entities.iter().map(|e| &e.name).collect();
        if names.len() < entities.len() {
            return Err(Fault::invalid("Served entity names must be unique within an endpoint."));
        }
        if entities.iter().any(|e| e.task != entities[0].task) {
            return Err(Fault::invalid("All served entities of an endpoint must have the same task."));
        }
        let shares = shares(body.get("traffic_config"), &entities)?;
        Ok(Self { version, entities, shares })
    }

    /// Chunks that its GPUs must be found for: the minimum of each entity, and one where that is zero.
    #[must_use]
    pub fn gpu_chunks(&self) -> u32 {
        self.entities.iter().fold(0, |sum: u32, e| sum.saturating_add(e.size.min_chunks().max(1)))
    }
}

fn entity(body: &Value, product: Product, catalog: &Catalog) -> Result<Entity, Fault> {
    let body = body.as_object().ok_or_else(|| Fault::invalid("A served entity must be an object."))?;
    let text = |keys: [&str; 2]| keys.iter().find_map(|key| body.get(*key)).filter(|v| !v.is_null());
    if text(["external_model", "external_model"]).is_some() {
        return Err(Fault::invalid("This emulation serves no external models."));
    }
    let model = text(["entity_name", "model_name"]).and_then(Value::as_str).ok_or_else(|| Fault::invalid("Missing required field: entity_name"))?;
    let version = match text(["entity_version", "model_version"]) {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Number(n)) => n.to_string(),
        _ => return Err(Fault::invalid(format!("Missing required field: entity_version of served entity {model}"))),
    };
    let found = catalog.servable(model, &version)?;
    let short = model.rsplit('.').next().unwrap_or(model);
    let name = body.get("name").and_then(Value::as_str).map_or_else(|| format!("{short}-{version}"), str::to_owned);
    super::names::judge_entity(&name)?;
    let scale_to_zero = body.get("scale_to_zero_enabled").and_then(Value::as_bool).unwrap_or(false);
    let size = size(body, model, &found.model.offer, product, scale_to_zero)?;
    Ok(Entity { name, model: model.to_owned(), version: found.version, task: found.model.task, size, scale_to_zero })
}

fn size(body: &Map<String, Value>, model: &str, offer: &ModelOffer, product: Product, scale_to_zero: bool) -> Result<Size, Fault> {
    let ineligible = || Fault::invalid(format!("Served entity {model} is not eligible for Provisioned Throughput."));
    let (min, max) = (number(body, "min_provisioned_throughput")?, number(body, "max_provisioned_throughput")?);
    let units = number(body, "provisioned_model_units")?;
    match offer {
        ModelOffer::Refused(message) => Err(Fault::invalid(message.clone())),
        ModelOffer::Throughput(_) if units.is_some() || product == Product::ModelUnits => Err(Fault::invalid(format!(
            "Served entity {model} is not eligible for provisioned model units; use min_provisioned_throughput and max_provisioned_throughput."
        ))),
        ModelOffer::ModelUnits(_) if min.is_some() || max.is_some() => Err(ineligible()),
        ModelOffer::Throughput(chunk) => {
            let max = max.ok_or_else(|| Fault::invalid(format!("Missing required field: max_provisioned_throughput of served entity {model}")))?;
            let min = min.unwrap_or(0);
            let chunk = u64::from((*chunk).max(1));
            for (key, value) in [("min_provisioned_throughput", min), ("max_provisioned_throughput", max)] {
                multiple(key, value, chunk, model)?;
            }
            if max == 0 {
                return Err(Fault::invalid(format!("max_provisioned_throughput of served entity {model} must be at least {chunk}.")));
            }
            if min > max {
                return Err(Fault::invalid(format!("min_provisioned_throughput ({min}) must not exceed max_provisioned_throughput ({max}).")));
            }
            Ok(Size::Throughput { min, max, chunk })
        }
        ModelOffer::ModelUnits(chunk) => {
            let units = units.ok_or_else(|| Fault::invalid(format!("Missing required field: provisioned_model_units of served entity {model}")))?;
            let chunk = u64::from((*chunk).max(1));
            multiple("provisioned_model_units", units, chunk, model)?;
            if units == 0 || scale_to_zero {
                return Err(Fault::invalid("Provisioned model units must be positive and do not support scale to zero."));
            }
            Ok(Size::Units { units, burst: body.get("burst_scaling_enabled").and_then(Value::as_bool).unwrap_or(true), chunk })
        }
    }
}

fn multiple(key: &str, value: u64, chunk: u64, model: &str) -> Result<(), Fault> {
    if value.is_multiple_of(chunk) {
        return Ok(());
    }
    Err(Fault::invalid(format!("{key} of served entity {model} must be a multiple of {chunk}, got {value}.")))
}

/// A whole number, written as one or as text.
fn number(body: &Map<String, Value>, key: &str) -> Result<Option<u64>, Fault> {
    let value = match body.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let read = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    read.map(Some).ok_or_else(|| Fault::invalid(format!("{key} must be a whole number of at least 0, got {value}.")))
}

fn shares(traffic: Option<&Value>, entities: &[Entity]) -> Result<Vec<u32>, Fault> {
    let routes = traffic.and_then(|t| t.get("routes")).and_then(Value::as_array).filter(|r| !r.is_empty());
    let Some(routes) = routes else {
        let one = entities.len() == 1;
        return if one {
            Ok(vec![100])
        } else {
            Err(Fault::invalid("A traffic config is required for an endpoint with more than one served entity."))
        };
    };
    let mut shares = vec![0; entities.len()];
    for route in routes {
        let name = ["served_entity_name", "served_model_name"].iter().find_map(|key| route.get(key)?.as_str()).unwrap_or("");
        let at = entities.iter().position(|e| e.name == name);
        let at = at.ok_or_else(|| Fault::invalid(format!("The traffic config names a served entity that is not in the config: '{name}'.")))?;
        let route = route.as_object().ok_or_else(|| Fault::invalid("A route must be an object."))?;
        shares[at] += u32::try_from(number(route, "traffic_percentage")?.unwrap_or(0).min(1000)).unwrap_or(1000);
    }
    match shares.iter().sum::<u32>() {
        100 => Ok(shares),
        sum => Err(Fault::invalid(format!("Traffic percentages must sum to 100, got {sum}."))),
    }
}
