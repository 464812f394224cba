//! What of a faulty scenario can still be judged: the tree without the values that have a fault already, every other key as written.

use super::tree::{Node, Value};
use crate::scenario::model::Scenario;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// A scenario, and the keys that hold a default in place of what was written.
pub(super) struct Salvaged {
    /// As written, but for the keys below.
    pub scenario: Scenario,
    /// Keys (and all below them) that say nothing about what was written.
    pub lost: Vec<String>,
}

/// Levels of keys in a scenario, at most.
const DEPTH: usize = 12;

/// Leaves out what `faults` (key paths) name: the value alone where the scenario makes sense without it, else the table around it, else the section.
pub(super) fn salvage(tree: &Node, faults: &[&str]) -> Result<Salvaged, serde_json::Error> {
    let Value::Table(entries) = &tree.value else {
        return Scenario::deserialize(complete(tree.to_json())).map(|scenario| Salvaged { scenario, lost: Vec::new() });
    };
    let mut lost: Vec<String> = Vec::new();
    let mut json = Map::new();
    for entry in entries {
        let inside: Vec<&str> = faults.iter().copied().filter(|key| key.split('.').next() == Some(&entry.key)).collect();
        if inside.is_empty() {
            json.insert(entry.key.clone(), entry.node.to_json());
            continue;
        }
        let section = Node { mark: entry.mark.clone(), value: Value::Table(vec![entry.clone()]) };
        lost.extend(inside.iter().map(|key| (*key).to_owned()));
        for depth in (1..=DEPTH).rev() {
            let mut candidate = section.clone();
            let gone: Vec<String> = inside.iter().filter_map(|key| candidate.remove(key, depth)).collect();
            let rest = candidate.to_json();
            if depth == 1 || Scenario::deserialize(complete(rest.clone())).is_ok() {
                lost.extend(gone);
                json.extend(rest.as_object().cloned().unwrap_or_default());
                break;
            }
        }
    }
    Scenario::deserialize(complete(json.into())).map(|scenario| Salvaged { scenario, lost })
}

/// Stand-ins for what no scenario can do without. They break no rule.
fn complete(mut json: Json) -> Json {
    if let Some(root) = json.as_object_mut() {
        root.entry("name").or_insert_with(|| "unnamed".into());
        let load = root.entry("load").or_insert_with(|| Map::new().into());
        if let Some(load) = load.as_object_mut() {
            load.entry("arrivals").or_insert_with(|| serde_json::json!({ "constant": { "rate": "1/s" } }));
        }
    }
    json
}
