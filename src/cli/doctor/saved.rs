//! The ceiling that `doctor` saved for this host: `$XDG_CACHE_HOME/plimsoll/doctor.json`, or `~/.cache` instead.

use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::engine::ceiling::Ceiling;
use crate::record::manifest::HostFacts;
use std::path::PathBuf;

/// No saved ceiling is nearly as large as this.
const LARGEST: u64 = 1 << 20;

/// Where it lies; `None` when the environment names no home.
pub(crate) fn path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("plimsoll").join("doctor.json"))
}

/// The ceiling of this host, if one was saved by this version here. Anything else is as if there were none.
pub(crate) fn read(host: &HostFacts) -> Option<Ceiling> {
    let path = path().filter(|p| p.is_file())?;
    let bytes = files::read(&path, "ceiling", LARGEST).ok()?;
    serde_json::from_slice::<Ceiling>(&bytes).ok().filter(|c| c.is_of(host))
}

/// Saves it and says where.
pub(crate) fn write(ceiling: &Ceiling) -> Result<Option<PathBuf>, Failure> {
    let Some(path) = path() else { return Ok(None) };
    if let Some(folder) = path.parent() {
        files::make_folder(folder)?;
    }
    let json = serde_json::to_string_pretty(ceiling).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?;
    files::write(&path, json.as_bytes())?;
    Ok(Some(path))
}
