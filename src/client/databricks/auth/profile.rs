//! `~/.databrickscfg`: sections with keys and values. Sections inherit nothing from `DEFAULT`; `__settings__` is not a profile.

use std::collections::BTreeMap;

/// Section that is taken when none is named.
const DEFAULT: &str = "DEFAULT";
/// Section of the `databricks` command itself.
const SETTINGS: &str = "__settings__";

/// The sections of a file.
pub(super) struct Profiles {
    sections: BTreeMap<String, BTreeMap<String, String>>,
    default: String,
}

impl Profiles {
    /// Reads a file. Lines that are neither section, setting nor comment are passed over, as the official clients do.
    pub(super) fn read(text: &str) -> Self {
        let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut section = None;
        for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                sections.entry(name.trim().to_owned()).or_default();
                section = Some(name.trim().to_owned());
            } else if let (Some((key, value)), Some(name)) = (line.split_once(['=', ':']), &section) {
                let value = value.trim();
                if !value.is_empty() {
                    sections.entry(name.clone()).or_default().insert(key.trim().to_ascii_lowercase(), value.to_owned());
                }
            }
        }
        let settings = sections.remove(SETTINGS).unwrap_or_default();
        let default = settings.get("default_profile").map_or_else(|| DEFAULT.to_owned(), Clone::clone);
        Self { sections, default }
    }

    /// The profile that is taken when none is named.
    pub(super) fn default_name(&self) -> &str {
        &self.default
    }

    /// The settings of a profile.
    pub(super) fn get(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.sections.get(name)
    }

    /// The names of all profiles.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.sections.iter().filter(|(_, keys)| !keys.is_empty()).map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { "none is there".to_owned() } else { names.join(", ") }
    }
}
