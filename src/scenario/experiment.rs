//! `Experiment`: a scenario with its overrides and defaults applied, checked; what every later layer consumes and every result echoes.

use super::model::Scenario;
use crate::base::rng::Seed;
use std::path::PathBuf;

/// A checked scenario, the seed, and the folder its relative paths start from.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// The scenario with overrides applied; every default is filled in.
    pub scenario: Scenario,
    /// The seed of every random stream.
    pub seed: Seed,
    /// Relative paths of the scenario start here.
    pub base_dir: PathBuf,
    /// SHA-256 of the scenario file as read, lower-case hexadecimal; tells apart two files of one name.
    pub sha256: String,
}

impl Experiment {
    /// `path` as seen from the scenario's folder.
    #[must_use]
    pub fn resolve(&self, path: &std::path::Path) -> PathBuf {
        if path.is_absolute() { path.to_owned() } else { self.base_dir.join(path) }
    }

    /// The span of scheduled time: warm-up plus measured window.
    #[must_use]
    pub fn load_span(&self) -> crate::base::time::Nanos {
        self.scenario.load.warmup.nanos() + self.scenario.load.measure.nanos()
    }
}
