//! `Catalog`: registered models with their versions and aliases, and what the control plane says about serving them.

use super::fault::Fault;
use crate::base::rng::Seed;
use crate::scenario::target::Task;
use crate::scenario::workspace::{ModelOffer, RegisteredModel};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Most versions on a page, whatever is asked for.
const PAGE_CAP: usize = 1000;

/// The models of the workspace.
#[derive(Debug)]
pub struct Catalog {
    models: BTreeMap<String, RegisteredModel>,
    page: usize,
    created_ms: u64,
}

/// A model version that can be served.
#[derive(Clone, Copy, Debug)]
pub struct Servable<'a> {
    /// Its model.
    pub model: &'a RegisteredModel,
    /// Its number.
    pub version: u32,
}

impl Catalog {
    /// `models`, or the documented examples where there are none, and `own`. A listing has `page` versions on a page.
    pub fn new(models: &[RegisteredModel], own: RegisteredModel, page: u32, created_ms: u64) -> Self {
        let listed = if models.is_empty() { examples() } else { models.to_vec() };
        let models = listed.into_iter().chain([own]).map(|m| (m.name.clone(), m)).collect();
        Self { models, page: usize::try_from(page).unwrap_or(PAGE_CAP).clamp(1, PAGE_CAP), created_ms }
    }

    fn model(&self, name: &str) -> Result<&RegisteredModel, Fault> {
        self.models.get(name).ok_or_else(|| Fault::missing(format!("Registered Model '{name}' does not exist.")))
    }

    /// The version `version` of `name`, if it is ready to be served.
    pub fn servable(&self, name: &str, version: &str) -> Result<Servable<'_>, Fault> {
        let model = self.model(name)?;
        let number = version.parse::<u32>().ok();
        match number {
            Some(n) if model.versions.contains(&n) => Ok(Servable { model, version: n }),
            Some(n) if model.pending.contains(&n) || model.failed.contains(&n) => {
                Err(Fault::invalid(format!("Model version '{name}/{n}' is not in the READY state and cannot be served.")))
            }
            _ => Err(Fault::missing(format!("Model version '{name}/{version}' does not exist."))),
        }
    }

    /// The answer to `get-model-optimization-info`. A model that cannot be served is answered with the reason, not with `optimizable`.
    pub fn optimization_info(&self, name: &str, version: &str) -> Result<Value, Fault> {
        let found = self.servable(name, version)?;
        let mut info = Map::from_iter([("optimizable".to_owned(), json!(true))]);
        match &found.model.offer {
            ModelOffer::Throughput(chunk) => {
                info.extend(found.model.model_type.as_ref().map(|kind| ("model_type".to_owned(), json!(kind))));
                info.insert("throughput_chunk_size".to_owned(), json!(chunk));
            }
            ModelOffer::ModelUnits(chunk) => {
                info.insert("model_unit_chunk_size".to_owned(), json!(chunk));
            }
            ModelOffer::Refused(message) => return Ok(json!({ "optimizable": false, "message": message })),
        }
        Ok(Value::Object(info))
    }

    /// One page of the versions of `name`: in no order, without their aliases; every other page is empty, the first one too. `max_results` 0 asks for 100.
    pub fn versions(&self, name: &str, max_results: Option<usize>, page_token: Option<&str>) -> Result<Value, Fault> {
        let model = self.model(name)?;
        let page = page_token.map_or(Ok(0), str::parse::<usize>).map_err(|_| Fault::invalid("Invalid page_token."))?;
        let size = match max_results {
            None => self.page,
            Some(0) => 100.min(self.page),
            Some(n) => n.min(self.page),
        };
        let of = |numbers: &[u32], status: &'static str| numbers.iter().map(|n| (*n, status)).collect::<Vec<_>>();
        let mut all = of(&model.versions, "READY");
        all.extend(of(&model.pending, "PENDING_REGISTRATION"));
        all.extend(of(&model.failed, "FAILED_REGISTRATION"));
        all.sort_by_key(|(n, _)| Seed(0).child("version", u64::from(*n)).0);
        let pages = all.len().div_ceil(size) * 2;
        let shown: Vec<Value> = match page % 2 {
            1 => all.iter().skip(page / 2 * size).take(size).map(|(n, status)| self.version_info(model, *n, status, false)).collect(),
            _ => Vec::new(),
        };
        let mut answer = json!({ "model_versions": shown });
        if page + 1 < pages {
            answer["next_page_token"] = json!((page + 1).to_string());
        }
        Ok(answer)
    }

    /// One version of `name`.
    pub fn version(&self, name: &str, version: &str) -> Result<Value, Fault> {
        let model = self.model(name)?;
        let has = |numbers: &[u32]| version.parse().ok().filter(|n| numbers.contains(n));
        let found = has(&model.versions)
            .map(|n| (n, "READY"))
            .or_else(|| has(&model.pending).map(|n| (n, "PENDING_REGISTRATION")))
            .or_else(|| has(&model.failed).map(|n| (n, "FAILED_REGISTRATION")));
        let (number, status) = found.ok_or_else(|| Fault::missing(format!("Model version '{name}/{version}' does not exist.")))?;
        Ok(self.version_info(model, number, status, true))
    }

    /// The version that `alias` names.
    pub fn alias(&self, name: &str, alias: &str) -> Result<Value, Fault> {
        let model = self.model(name)?;
        let number =
            model.aliases.get(alias).ok_or_else(|| Fault::missing(format!("Alias '{alias}' of registered model '{name}' does not exist.")))?;
        self.version(name, &number.to_string())
    }

    fn version_info(&self, model: &RegisteredModel, number: u32, status: &str, with_aliases: bool) -> Value {
        let mut parts = model.name.split('.');
        let (catalog, schema, short) = (parts.next(), parts.next(), parts.next());
        let mut info = json!({
            "model_name": short, "catalog_name": catalog, "schema_name": schema, "version": number, "status": status,
            "created_at": self.created_ms, "updated_at": self.created_ms, "created_by": "emulation",
        });
        if with_aliases {
            let named = model.aliases.iter().filter(|(_, n)| **n == number);
            info["aliases"] = named.map(|(alias, n)| json!({ "alias_name": alias, "version_num": n })).collect();
        }
        info
    }
}

/// A scenario's own model as a registered one, in `version` and up to two before it: `name` if that has three levels, else one in `main.default`.
#[must_use]
pub fn own_model(name: &str, task: Task, version: u32, chunk: u32) -> RegisteredModel {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect();
    let name = if name.split('.').filter(|part| !part.is_empty()).count() == 3 { name.to_owned() } else { format!("main.default.{plain}") };
    let versions: Vec<u32> = (version.max(1).saturating_sub(2).max(1)..=version.max(1)).collect();
    model(&name, ModelOffer::Throughput(chunk), task, Some("llama"), &versions)
}

fn model(name: &str, offer: ModelOffer, task: Task, kind: Option<&str>, versions: &[u32]) -> RegisteredModel {
    RegisteredModel {
        name: name.to_owned(),
        offer,
        task,
        model_type: kind.map(str::to_owned),
        versions: versions.to_vec(),
        pending: Vec::new(),
        failed: Vec::new(),
        aliases: BTreeMap::new(),
    }
}

/// Models with the chunk sizes that documents and public files show. They are examples: a workspace's own answer may differ.
fn examples() -> Vec<RegisteredModel> {
    let refused = |name: &str| ModelOffer::Refused(format!("Served entity {name} is not eligible for Provisioned Throughput."));
    let base = "system.ai.llama_v3_3_70b";
    let forecast = "main.default.forecast";
    let mut tuned = model("main.default.tuned_llama", ModelOffer::Throughput(1580), Task::Chat, Some("llama"), &[1, 2, 4, 7, 11]);
    tuned.pending = vec![12];
    tuned.failed = vec![3];
    tuned.aliases = BTreeMap::from([("champion".to_owned(), 7), ("challenger".to_owned(), 11)]);
    vec![
        model("system.ai.llama_v3_3_70b_instruct", ModelOffer::Throughput(1580), Task::Chat, Some("llama"), &[1, 2]),
        model("system.ai.meta_llama_v3_1_8b_instruct", ModelOffer::Throughput(970), Task::Chat, Some("llama"), &[1, 2, 3]),
        model("system.ai.gte_large_en_v1_5", ModelOffer::Throughput(19_000), Task::Embeddings, Some("gte"), &[1]),
        model("system.ai.gpt-oss-120b", ModelOffer::ModelUnits(50), Task::Chat, None, &[1]),
        model("system.ai.gpt-oss-20b", ModelOffer::ModelUnits(50), Task::Chat, None, &[1]),
        model("system.ai.gemma-3-12b-it", ModelOffer::ModelUnits(50), Task::Chat, None, &[1]),
        model("system.ai.llama-4-maverick", ModelOffer::ModelUnits(50), Task::Chat, None, &[1]),
        model("system.ai.qwen3-embedding-0-6b", ModelOffer::ModelUnits(50), Task::Embeddings, None, &[1]),
        model(base, refused(base), Task::Completions, None, &[1]),
        model(forecast, refused(forecast), Task::Completions, None, &[1]),
        tuned,
    ]
}
