//! `Manifest`: which run this was: seed, version, host, endpoint. Holds no secret, no host name and no command line.

use crate::base::rng::Seed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of every file that a run leaves behind; raised when a reader of the old one would go wrong.
pub const SCHEMA_VERSION: u32 = 1;

/// Which run this was. Written when the load starts and again when it has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Version of this tool.
    pub tool_version: String,
    /// Name of the scenario.
    pub scenario_name: String,
    /// The question that the scenario answers; empty if it states none.
    pub question: String,
    /// Seed of every random stream.
    #[schemars(with = "u64")]
    pub seed: Seed,
    /// Wall time of the start of the load, RFC 3339, UTC.
    pub started_utc: String,
    /// The run came to its end and its summary was written; false in the manifest at the head of the log.
    pub finished: bool,
    /// The run was cut, and this was rebuilt from its log.
    pub recovered: bool,
    /// The machine that made the load.
    pub host: HostFacts,
    /// What was under load.
    pub endpoint: EndpointIdentity,
    /// SHA-256 of the scenario file as read, lower-case hexadecimal.
    pub scenario_sha256: String,
    /// Name of the vocabulary that counted tokens, `llama3` for example.
    pub vocabulary: String,
    /// One message for each kind of failure seen, by the stable name of its outcome.
    #[serde(default)]
    pub failures: BTreeMap<String, String>,
}

/// The machine that made the load. No host name: reports are passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostFacts {
    /// Operating system: `linux`.
    pub os: String,
    /// Instruction set: `x86_64`.
    pub arch: String,
    /// Cores available to this process.
    pub cores: u32,
    /// Model name of the processor; empty if unknown.
    pub cpu_model: String,
    /// Main memory in bytes; 0 if unknown.
    pub memory_bytes: u64,
}

/// What was under load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointIdentity {
    /// Base URL without user name, password and query.
    pub url: String,
    /// Family of paths: `openai` or `databricks`.
    pub api: String,
    /// `chat`, `completions` or `embeddings`.
    pub task: String,
    /// Model name sent.
    pub model: String,
    /// Model name in the answers, if they had one.
    pub model_reported: Option<String>,
    /// The `Server` header of the answers, if they had one.
    pub server_header: Option<String>,
    /// The simulated endpoint of this tool.
    pub embedded: bool,
    /// The server's certificate was checked; true without TLS on loopback, false with `insecure`.
    pub tls_verified: bool,
}

impl Manifest {
    /// A manifest of a run that has just begun: not finished, not recovered, without failures.
    #[must_use]
    pub fn begun(scenario_name: &str, seed: Seed, started_utc: &str, host: HostFacts, endpoint: EndpointIdentity) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            scenario_name: scenario_name.to_owned(),
            question: String::new(),
            seed,
            started_utc: started_utc.to_owned(),
            finished: false,
            recovered: false,
            host,
            endpoint,
            scenario_sha256: String::new(),
            vocabulary: String::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Keeps `message` as the example of the failure `outcome`, unless there is one already.
    pub fn note_failure(&mut self, outcome: super::outcome::Outcome, message: &str) {
        self.failures.entry(outcome.name().to_owned()).or_insert_with(|| message.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::outcome::Outcome;

    #[test]
    fn a_manifest_survives_json_and_keeps_the_first_example_of_a_failure() {
        let endpoint =
            EndpointIdentity { url: "http://127.0.0.1:8000".to_owned(), embedded: true, tls_verified: true, ..EndpointIdentity::default() };
        let mut manifest = Manifest::begun("smoke", Seed(u64::MAX), "2026-01-02T03:04:05Z", HostFacts::default(), endpoint);
        manifest.note_failure(Outcome::ServerError, "first");
        manifest.note_failure(Outcome::ServerError, "second");
        assert_eq!(manifest.failures["server_error"], "first");
        let text = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
    }
}
