//! What a plan buys, from the files it names: the price list and the profile of the unit.

use super::exit::{Exit, Failure};
use super::files;
use crate::scenario::experiment::Experiment;
use crate::scenario::price::PriceList;
use crate::scenario::unit::Unit;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Largest price file or profile.
const LIMIT: u64 = 1 << 20;

/// Reads the files that `[plan]` names beside its demand, and fills in what they say. Without `[plan]`, or where it names none, nothing happens.
pub(crate) fn fill_in(experiment: &mut Experiment) -> Result<(), Failure> {
    let price_file = experiment.scenario.plan.as_ref().and_then(|p| p.price.file.clone()).map(|file| experiment.resolve(&file));
    let unit_file = experiment.scenario.plan.as_ref().and_then(|p| p.unit.as_ref()?.file.clone()).map(|file| experiment.resolve(&file));
    let Some(plan) = experiment.scenario.plan.as_mut() else { return Ok(()) };
    if let Some(path) = price_file {
        let list: PriceList = read(&path, "price file")?;
        let named = |e: &dyn std::fmt::Display| Failure::new(Exit::Usage, format!("{}: {e}", path.display()));
        plan.price = plan.price.taken_from(&list).map_err(|e| named(&e))?;
    }
    if let Some(path) = unit_file {
        plan.unit = Some(Unit { profile: Some(read(&path, "unit profile")?), ..plan.unit.take().unwrap_or_default() });
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, Failure> {
    let bytes = files::read(path, what, LIMIT)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::new(Exit::Usage, format!("{}: not a text in UTF-8", path.display())))?;
    toml::from_str(&text).map_err(|e| {
        Failure::new(Exit::Usage, format!("{}: {}", path.display(), e.to_string().trim_end()))
            .with_hint(format!("scenarios holds a {what} to copy, in prices or in units"))
    })
}
