//! `Fingerprint`: what must be equal before two runs may be compared, and what differs.

use crate::measure::document::RunDocument;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Facts about a run by name, in order of name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Fingerprint(pub BTreeMap<String, Fact>);

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// Its value as text; empty if unknown.
    pub value: String,
    /// Declared fixed: runs that differ in it are not comparable.
    pub fixed: bool,
}

/// A fact in which two runs differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// Its name.
    pub key: String,
    /// Value of the base; empty if it has none.
    pub base: String,
    /// Value of the head; empty if it has none.
    pub head: String,
    /// One side declares it fixed: not comparable.
    pub fixed: bool,
}

impl Fingerprint {
    /// What a run document tells of itself. Fixed: the load (arrivals, lengths, objectives), the version of formats, the vocabulary, the API and task, and the
    /// model asked for; free: name of the scenario, tool version, what the server says of itself, the client's machine. The address is left
    /// out, because base and head have two.
    #[must_use]
    pub fn of(document: &RunDocument) -> Self {
        let m = &document.manifest;
        let e = &document.experiment;
        let load =
            serde_json::to_string(&(&e.load, &e.workload, &e.slo)).expect("keys of the scenario are texts, and writing to memory does not fail");
        let mut fingerprint = Self::default();
        fingerprint.fix("load", format!("{:016x}", fnv1a(&load)));
        fingerprint.fix("schema", document.schema_version.to_string());
        fingerprint.fix("vocabulary", m.vocabulary.as_str());
        fingerprint.fix("api", format!("{} {}", m.endpoint.api, m.endpoint.task).trim());
        fingerprint.fix("model", m.endpoint.model.as_str());
        fingerprint.fix("embedded", if m.endpoint.embedded { "yes" } else { "no" });
        fingerprint.note("scenario", m.scenario_name.as_str());
        fingerprint.note("tool", m.tool_version.as_str());
        fingerprint.note("model reported", m.endpoint.model_reported.as_deref().unwrap_or_default());
        fingerprint.note("server", m.endpoint.server_header.as_deref().unwrap_or_default());
        fingerprint.note("client cpu", format!("{} x {}", m.host.cores, m.host.cpu_model));
        fingerprint.note("client system", format!("{} {}", m.host.os, m.host.arch));
        fingerprint
    }

    /// Adds a fact that must be equal.
    pub fn fix(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_owned(), Fact { value: value.into(), fixed: true });
    }

    /// Adds a fact that is worth knowing when it differs.
    pub fn note(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_owned(), Fact { value: value.into(), fixed: false });
    }

    /// Declares a fact fixed; without effect on one that is not there.
    pub fn declare_fixed(&mut self, key: &str) {
        if let Some(fact) = self.0.get_mut(key) {
            fact.fixed = true;
        }
    }

    /// Every fact in which the two differ, in order of name. A fact that one side lacks differs from any that is not empty.
    #[must_use]
    pub fn differences(&self, head: &Self) -> Vec<Difference> {
        let mut keys: Vec<&String> = self.0.keys().chain(head.0.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let value = |side: &Self, key: &str| side.0.get(key).map(|f| f.value.clone()).unwrap_or_default();
        let is_fixed = |key: &str| [self, head].iter().any(|side| side.0.get(key).is_some_and(|f| f.fixed));
        keys.into_iter()
            .map(|key| Difference { key: key.clone(), base: value(self, key), head: value(head, key), fixed: is_fixed(key) })
            .filter(|d| d.base != d.head)
            .collect()
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): tells texts apart; no protection against a forger.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_its_key_and_whether_it_forbids() {
        let mut base = Fingerprint::default();
        base.fix("model", "llama");
        base.note("tool", "0.1.0");
        let mut head = base.clone();
        assert_eq!(base.differences(&head), []);
        head.fix("model", "llama-2");
        head.note("tool", "0.2.0");
        head.fix("region", "eu");
        let found: Vec<(String, bool)> = base.differences(&head).into_iter().map(|d| (d.key, d.fixed)).collect();
        assert_eq!(found, [("model".to_owned(), true), ("region".to_owned(), true), ("tool".to_owned(), false)]);
    }

    #[test]
    fn a_fact_may_be_declared_fixed_by_one_side() {
        let mut base = Fingerprint::default();
        base.note("server", "a");
        let mut head = Fingerprint::default();
        head.note("server", "b");
        assert!(!base.differences(&head)[0].fixed);
        head.declare_fixed("server");
        head.declare_fixed("nothing");
        assert!(base.differences(&head)[0].fixed);
    }
}
