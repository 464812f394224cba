//! What is to be served: entities and amounts from the command line or from a plan.

use super::profile::ModelProfile;
use crate::cli::args::endpoint::SizeArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::planner::recommendation::Recommendation;
use crate::protocol::databricks::Product;
use crate::protocol::databricks::endpoint::CreateEndpoint;
use crate::protocol::databricks::entity::ServedEntity;
use std::path::Path;

/// No plan is nearly as large.
const LARGEST_PLAN: u64 = 64 << 20;

/// An amount of capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    /// Tokens per second, or model units.
    Whole(u64),
    /// So many chunks.
    Chunks(u64),
}

impl Amount {
    fn parse(text: &str, place: &str) -> Result<Self, Failure> {
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.trim_end_matches(|c: char| !c.is_ascii_digit());
        let number = digits.replace(['_', ','], "").parse().ok();
        match (number, lower[digits.len()..].trim()) {
            (Some(number), "" | "tok/s" | "tokens/s") => Ok(Self::Whole(number)),
            (Some(number), "chunk" | "chunks") => Ok(Self::Chunks(number)),
            _ => Err(Failure::new(Exit::Usage, format!("{place} {text:?}: expected a whole number, or a number of chunks"))
                .with_hint("for example 3160, or 2chunks")),
        }
    }

    /// The amount, where one chunk is `size`.
    pub(super) const fn of(self, size: u64) -> u64 {
        match self {
            Self::Whole(amount) => amount,
            Self::Chunks(chunks) => chunks.saturating_mul(size),
        }
    }
}

/// An entity as it is asked for. What is not said stays open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) model: Option<String>,
    pub(super) version: Option<String>,
    pub(super) name: Option<String>,
    pub(super) min: Option<Amount>,
    pub(super) max: Option<Amount>,
    pub(super) units: Option<Amount>,
    pub(super) burst: Option<bool>,
    pub(super) zero: Option<bool>,
    pub(super) traffic: Option<u64>,
}

impl Wanted {
    /// The entity of the single flags.
    pub(super) fn of_flags(args: &SizeArgs) -> Result<Self, Failure> {
        let amount = |text: &Option<String>, place: &str| text.as_deref().map(|text| Amount::parse(text, place)).transpose();
        Ok(Self {
            model: args.model.clone(),
            version: args.version.clone(),
            min: amount(&args.min, "--min")?,
            max: amount(&args.max, "--max")?,
            units: amount(&args.model_units, "--model-units")?,
            burst: args.no_burst.then_some(false),
            zero: args.scale_to_zero.then_some(true),
            ..Self::default()
        })
    }

    /// `MODEL[@VERSION],key=value,...`.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let refuse = |what: String| {
            Failure::new(Exit::Usage, format!("--entity {text:?}: {what}"))
                .with_hint("for example --entity system.ai.m@2,min=0,max=1chunk,traffic=60")
        };
        let mut parts = text.split(',');
        let model = parts.next().unwrap_or_default().trim();
        let (model, version) = model.split_once('@').map_or((model, None), |(model, version)| (model, Some(version)));
        // `m@2` and `m@latest` are versions; anything else behind the sign is an alias.
        let version =
            version.map(|v| if v == "latest" || v.parse::<u64>().is_ok() { v.to_owned() } else { format!("@{}", v.trim_start_matches('@')) });
        let mut wanted = Self { model: Some(model.to_owned()), version, ..Self::default() };
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(|| refuse(format!("{part:?} is not KEY=VALUE")))?;
            let switch = || value.trim().parse::<bool>().map_err(|_| refuse(format!("{value:?} is neither true nor false")));
            let amount = || Amount::parse(value, &format!("--entity: {}", key.trim()));
            match key.trim() {
                "min" => wanted.min = Some(amount()?),
                "max" => wanted.max = Some(amount()?),
                "units" => wanted.units = Some(amount()?),
                "burst" => wanted.burst = Some(switch()?),
                "zero" => wanted.zero = Some(switch()?),
                "name" => wanted.name = Some(value.trim().to_owned()),
                "traffic" => {
                    wanted.traffic = Some(
                        value.trim().trim_end_matches('%').parse().map_err(|_| refuse(format!("traffic {value:?} is not a number of per cent")))?,
                    );
                }
                other => return Err(refuse(format!("{other:?}; expected min, max, units, burst, zero, name or traffic"))),
            }
        }
        Ok(wanted)
    }

    /// The entity that `profile` is about, in this size; `before` is what it was.
    pub(super) fn entity(&self, profile: &ModelProfile, before: Option<&ServedEntity>) -> Result<ServedEntity, Failure> {
        let chunk = profile.chunk()?;
        let (model, version) = (&profile.model, profile.version.to_string());
        let wrong = |flag: &str, right: &str| {
            Failure::new(Exit::Usage, format!("{model} is sold in {}, so {flag} does not apply", chunk.product.words())).with_hint(format!(
                "one chunk is {} {}: {right}",
                chunk.size,
                chunk.product.words()
            ))
        };
        let missing = |flag: &str| {
            Failure::new(Exit::Usage, format!("{model}: {flag} is missing")).with_hint(format!(
                "one chunk is {} {}: {flag} 1chunk",
                chunk.size,
                chunk.product.words()
            ))
        };
        let mut entity = match chunk.product {
            Product::TokenBands => {
                if self.units.is_some() {
                    return Err(wrong("--model-units", "--min 0 --max 1chunk"));
                }
                let was = |of: fn(&ServedEntity) -> Option<u64>| before.and_then(of);
                let max = self.max.map(|max| max.of(chunk.size)).or_else(|| was(|e| e.max_provisioned_throughput)).ok_or_else(|| missing("--max"))?;
                let min = self.min.map(|min| min.of(chunk.size)).or_else(|| before.map(ServedEntity::min_tok_s)).ok_or_else(|| missing("--min"))?;
                ServedEntity::band(model, &version, min, max)
            }
            Product::ModelUnits => {
                if self.min.is_some() || self.max.is_some() {
                    return Err(wrong("--min or --max", "--model-units 1chunk"));
                }
                let units = self
                    .units
                    .map(|units| units.of(chunk.size))
                    .or_else(|| before?.provisioned_model_units)
                    .ok_or_else(|| missing("--model-units"))?;
                // The server never tells whether bursts were on: they are, unless switched off, which is its own default.
                ServedEntity::units(model, &version, units, self.burst.unwrap_or(true))
            }
        };
        if let Some(before) = before {
            entity.name.clone_from(&before.name);
            entity.scale_to_zero_enabled = before.scale_to_zero_enabled;
            entity.other = before.to_request().other;
        }
        if self.zero.is_some() {
            entity.scale_to_zero_enabled = self.zero;
        }
        if self.name.is_some() {
            entity.name.clone_from(&self.name);
        }
        Ok(entity)
    }
}

/// A plan as a command applies it.
pub(super) struct Planned {
    /// Name of the endpoint.
    pub(super) endpoint: String,
    /// What it recommends.
    pub(super) wanted: Wanted,
    /// First and next chunk an hour.
    pub(super) price: (f64, f64),
    /// Currency.
    pub(super) currency: String,
    /// Mean cost an hour that it expects.
    pub(super) mean_per_hour: Option<f64>,
    /// Its answer in one sentence.
    pub(super) sentence: String,
}

/// Reads a plan: a folder, or its plan.json.
pub(super) fn planned(path: &Path) -> Result<Planned, Failure> {
    let file = if path.is_dir() { path.join("plan.json") } else { path.to_owned() };
    let bytes = files::read(&file, "plan", LARGEST_PLAN)?;
    let wrong = |what: String, hint: &str| Failure::new(Exit::Usage, format!("{}: {what}", file.display())).with_hint(hint.to_owned());
    let plan: Recommendation =
        serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string(), "expected plan.json as `plimsoll plan` of this version writes it"))?;
    if plan.chosen.is_none() {
        return Err(wrong(
            "no size keeps its promise, so there is nothing to apply".to_owned(),
            "raise plan.max_chunks or ease the promise, and plan again",
        ));
    }
    let body: CreateEndpoint = serde_json::from_value(plan.create_body.clone()).map_err(|_| {
        wrong("the plan buys another unit than chunks of provisioned throughput".to_owned(), "only plans of Databricks endpoints can be applied")
    })?;
    let entity = body.config.served_entities.first().ok_or_else(|| wrong("it names no entity".to_owned(), "set [plan.entity] in the scenario"))?;
    let whole = |amount: Option<u64>| amount.map(Amount::Whole);
    let wanted = Wanted {
        model: Some(entity.entity_name.clone()),
        version: Some(entity.entity_version.clone()),
        min: whole(entity.min_provisioned_throughput),
        max: whole(entity.max_provisioned_throughput),
        units: whole(entity.provisioned_model_units),
        ..Wanted::default()
    };
    Ok(Planned {
        endpoint: body.name,
        wanted,
        price: (plan.prices.first_per_hour, plan.prices.next_per_hour),
        currency: plan.currency,
        mean_per_hour: plan.chosen.map(|chosen| chosen.cost_per_hour),
        sentence: plan.sentence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::databricks::optimization::OptimizationInfo;

    fn profile(info: OptimizationInfo) -> ModelProfile {
        ModelProfile { model: "system.ai.m".to_owned(), version: 2, workspace: String::new(), asked: String::new(), info }
    }

    fn bands() -> ModelProfile {
        profile(OptimizationInfo { optimizable: true, throughput_chunk_size: Some(970), ..OptimizationInfo::default() })
    }

    #[test]
    fn entities_are_read_from_one_word() {
        let wanted = Wanted::parse("system.ai.m@2,min=0,max=2chunks,traffic=60%,name=a").unwrap();
        assert_eq!((wanted.version.as_deref(), wanted.traffic, wanted.name.as_deref()), (Some("2"), Some(60), Some("a")));
        let entity = wanted.entity(&bands(), None).unwrap();
        assert_eq!((entity.min_provisioned_throughput, entity.max_tok_s(), entity.served_name().as_str()), (Some(0), 1940, "a"));
        assert_eq!(Wanted::parse("a.b.c@champion").unwrap().version.as_deref(), Some("@champion"));
        for bad in ["m,min", "m,min=x", "m,burst=perhaps", "m,speed=1", "m,traffic=half"] {
            assert!(Wanted::parse(bad).unwrap_err().hint.is_some(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_said_stays_as_it_was() {
        let before = ServedEntity { scale_to_zero_enabled: Some(true), ..ServedEntity::band("system.ai.m", "1", 970, 1940) };
        let wanted = Wanted { max: Some(Amount::Whole(2910)), ..Wanted::default() };
        let entity = wanted.entity(&bands(), Some(&before)).unwrap();
        assert_eq!((entity.min_tok_s(), entity.max_tok_s(), entity.scale_to_zero_enabled), (970, 2910, Some(true)));
        assert_eq!((entity.entity_version.as_str(), entity.name.as_deref()), ("2", Some("m-1")));
    }

    #[test]
    fn flags_of_the_other_product_are_refused_with_the_right_ones() {
        let units = profile(OptimizationInfo { optimizable: true, model_unit_chunk_size: Some(50), ..OptimizationInfo::default() });
        let text = Wanted::parse("system.ai.m,min=0,max=50").unwrap().entity(&units, None).unwrap_err();
        assert!(text.hint.unwrap().contains("--model-units"));
        let text = Wanted::parse("system.ai.m,units=50").unwrap().entity(&bands(), None).unwrap_err();
        assert!(text.hint.unwrap().contains("--max 1chunk"));
        assert!(Wanted::parse("system.ai.m,min=0").unwrap().entity(&bands(), None).unwrap_err().message.contains("--max is missing"));
        let entity = Wanted::parse("system.ai.m,units=2chunks").unwrap().entity(&units, None).unwrap();
        assert_eq!((entity.provisioned_model_units, entity.burst_scaling_enabled), (Some(100), Some(true)));
    }

    #[test]
    fn a_model_that_is_not_eligible_is_told_in_the_servers_words() {
        let refused = profile(OptimizationInfo { message: Some("not supported here".to_owned()), ..OptimizationInfo::default() });
        let failure = Wanted::parse("system.ai.m,min=0,max=1chunk").unwrap().entity(&refused, None).unwrap_err();
        assert!(failure.exit == Exit::NotDeployed && failure.message.contains("not supported here"));
    }
}
