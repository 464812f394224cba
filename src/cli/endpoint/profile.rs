//! What one chunk of a model is, as it was told on some day: kept in the user's cache, saved to a file, read without a network.

use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::protocol::databricks::optimization::{Chunk, OptimizationInfo};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// No profile is nearly as large.
const LARGEST: u64 = 1 << 20;
/// Where a file says who knows it.
const HINT: &str = "expected a file that `plimsoll endpoint info MODEL --save FILE` wrote";

/// One model's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ModelProfile {
    /// The model, `catalog.schema.name`.
    pub(super) model: String,
    /// Its version.
    pub(super) version: u64,
    /// The workspace that was asked.
    pub(super) workspace: String,
    /// When, in UTC.
    pub(super) asked: String,
    /// The answer.
    pub(super) info: OptimizationInfo,
}

impl ModelProfile {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = files::read(path, "model profile", LARGEST)?;
        serde_json::from_slice(&bytes).map_err(|e| Failure::new(Exit::Usage, format!("{}: {e}", path.display())).with_hint(HINT))
    }

    /// Writes a file.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(self).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?;
        files::write(path, format!("{json}\n").as_bytes())
    }

    /// Keeps it in the cache. A cache that cannot be written costs the next reader a question, and nobody anything else.
    pub(super) fn keep(&self) -> Option<PathBuf> {
        let path = kept(&self.model)?;
        files::make_folder(path.parent()?).ok()?;
        self.write(&path).ok()?;
        Some(path)
    }

    /// The last answer for `model` that was kept.
    pub(super) fn last(model: &str) -> Result<Self, Failure> {
        let path = kept(model).filter(|path| path.is_file());
        let missing = || Failure::new(Exit::Usage, format!("{model}: no answer was kept on this machine")).with_hint("ask once without --offline");
        let found = Self::read(&path.ok_or_else(missing)?)?;
        if found.model == model { Ok(found) } else { Err(missing()) }
    }

    /// One chunk, or why there is none.
    pub(super) fn chunk(&self) -> Result<Chunk, Failure> {
        self.info.chunk().ok_or_else(|| not_eligible(&self.model, self.version, &self.info))
    }
}

/// Where the answer for `model` is kept: `$XDG_CACHE_HOME/plimsoll/models/`, or `~/.cache` instead.
fn kept(model: &str) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    let name: String = model.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' }).collect();
    Some(cache.join("plimsoll").join("models").join(format!("{name}.json")))
}

/// The refusal of a model, in the server's words, with one thing to try.
pub(super) fn not_eligible(model: &str, version: u64, info: &OptimizationInfo) -> Failure {
    let said = match (&info.error_code, &info.message) {
        (Some(code), Some(message)) if !code.is_empty() => format!("{code}: {message}"),
        (_, Some(message)) => message.clone(),
        (Some(code), None) => code.clone(),
        (None, None) if info.optimizable => "it is optimizable, and no chunk size is told".to_owned(),
        (None, None) => "optimizable is false, and no reason is given".to_owned(),
    };
    let is_base_llama = model.starts_with("system.ai.") && model.contains("llama") && !model.contains("instruct");
    let hint = if is_base_llama {
        "of the Llama models in system.ai only the Instruct variants can be deployed: try the model of the same name with _instruct"
    } else if model.starts_with("system.ai.") {
        "this model may be had by the token alone, or with another version: `--version latest`"
    } else {
        "a fine-tuned model must be registered in Unity Catalog with MLflow 2.11 or newer, task llm/v1/chat, llm/v1/completions or llm/v1/embeddings (with metadata model_type for GTE and BGE), from a base model that is supported; see docs/DATABRICKS.md"
    };
    Failure::new(Exit::NotDeployed, format!("{model} version {version} cannot be had with provisioned throughput\n  the control plane says: {said}"))
        .with_hint(hint)
}
