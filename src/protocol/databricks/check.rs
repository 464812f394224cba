//! What the server would refuse, found before anything is sent: names, multiples of the chunk, order of minimum and maximum, sums of traffic.

use super::Product;
use super::entity::ServedEntity;
use super::gateway::AiGateway;
use super::optimization::Chunk;
use super::{endpoint::EndpointConfig, gateway::LimitKey};

/// Entities of one endpoint, at most, as documented (15 have been seen to be accepted).
pub const MAX_ENTITIES: usize = 10;
/// Characters of an endpoint's name, at most.
pub const MAX_NAME: usize = 63;

/// Something that the server would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which member of the body.
    pub place: String,
    /// What is wrong with it, and what would be right.
    pub what: String,
}

fn fault(place: impl Into<String>, what: impl Into<String>) -> Fault {
    Fault { place: place.into(), what: what.into() }
}

/// A name for an endpoint.
#[must_use]
pub fn name(name: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if name.is_empty() || name.len() > MAX_NAME {
        faults.push(fault("name", format!("{name:?} has {} characters; expected 1 to {MAX_NAME}", name.len())));
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        faults.push(fault("name", format!("{name:?}; expected letters, digits, `-` and `_`")));
    }
    if name.starts_with("databricks-") {
        faults.push(fault("name", format!("{name:?}; the prefix `databricks-` belongs to the endpoints of Databricks")));
    }
    faults
}

/// A configuration; `chunk_of` says what one chunk of an entity's model is, if that is known.
#[must_use]
pub fn config(config: &EndpointConfig, chunk_of: &dyn Fn(&ServedEntity) -> Option<Chunk>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let entities = &config.served_entities;
    if entities.is_empty() {
        faults.push(fault("served_entities", "none; expected at least one"));
    }
    if entities.len() > MAX_ENTITIES {
        faults.push(fault("served_entities", format!("{}; expected at most {MAX_ENTITIES}", entities.len())));
    }
    for (i, entity) in entities.iter().enumerate() {
        capacity(&format!("served_entities[{i}]"), entity, chunk_of(entity), &mut faults);
    }
    let products: Vec<Product> = entities.iter().filter_map(ServedEntity::product).collect();
    if products.windows(2).any(|pair| pair[0] != pair[1]) {
        faults.push(fault("served_entities", "tokens per second and model units in one endpoint; expected one product"));
    }
    traffic(config, &mut faults);
    faults
}

fn capacity(place: &str, entity: &ServedEntity, chunk: Option<Chunk>, faults: &mut Vec<Fault>) {
    if entity.entity_name.split('.').filter(|part| !part.is_empty()).count() != 3 {
        faults.push(fault(format!("{place}.entity_name"), format!("{:?}; expected catalog.schema.name", entity.entity_name)));
    }
    if entity.entity_version.parse::<u64>().ok().is_none_or(|version| version == 0) {
        faults.push(fault(format!("{place}.entity_version"), format!("{:?}; expected a whole number from 1", entity.entity_version)));
    }
    if let (Some(chunk), Some(asked)) = (chunk, entity.product())
        && chunk.product != asked
    {
        let what = format!("{} is sold in {}, not in {}", entity.entity_name, chunk.product.words(), asked.words());
        faults.push(fault(place, what));
        return;
    }
    match entity.product() {
        None => faults.push(fault(place, "no capacity; expected max_provisioned_throughput or provisioned_model_units")),
        Some(Product::TokenBands) => {
            let (min, max) = (entity.min_tok_s(), entity.max_tok_s());
            multiple(format!("{place}.min_provisioned_throughput"), min, chunk, faults);
            multiple(format!("{place}.max_provisioned_throughput"), max, chunk, faults);
            if max == 0 {
                faults.push(fault(format!("{place}.max_provisioned_throughput"), "0; expected at least one chunk"));
            } else if min > max {
                faults.push(fault(format!("{place}.min_provisioned_throughput"), format!("{min} is above the maximum of {max}")));
            }
        }
        Some(Product::ModelUnits) => {
            let units = entity.provisioned_model_units.unwrap_or(0);
            multiple(format!("{place}.provisioned_model_units"), units, chunk, faults);
            if units == 0 {
                faults.push(fault(format!("{place}.provisioned_model_units"), "0; expected at least one chunk"));
            }
            if entity.min_provisioned_throughput.is_some() || entity.max_provisioned_throughput.is_some() {
                faults.push(fault(place, "minimum or maximum beside model units; expected model units alone"));
            }
        }
    }
}

fn multiple(place: String, amount: u64, chunk: Option<Chunk>, faults: &mut Vec<Fault>) {
    let Some(chunk) = chunk.filter(|chunk| !chunk.divides(amount)) else { return };
    let (below, above) = chunk.around(amount);
    faults.push(fault(place, format!("{amount} is not a multiple of the chunk of {}; next to it are {below} and {above}", chunk.size)));
}

fn traffic(config: &EndpointConfig, faults: &mut Vec<Fault>) {
    let names: Vec<String> = config.served_entities.iter().map(ServedEntity::served_name).collect();
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            faults.push(fault(format!("served_entities[{i}].name"), format!("{name:?} is there twice; expected another name for each")));
        }
    }
    let routes = config.traffic_config.as_ref().map_or(&[][..], |traffic| &traffic.routes);
    if routes.is_empty() {
        if names.len() > 1 {
            faults.push(fault("traffic_config", format!("{} entities and no routes; expected a share for each", names.len())));
        }
        return;
    }
    for (i, route) in routes.iter().enumerate() {
        if !names.contains(&route.served_entity_name) {
            let known = names.join(", ");
            faults
                .push(fault(format!("traffic_config.routes[{i}]"), format!("{:?} is not served; expected one of {known}", route.served_entity_name)));
        }
    }
    let sum: u64 = routes.iter().map(|route| route.traffic_percentage).sum();
    if sum != 100 {
        faults.push(fault("traffic_config", format!("the shares sum up to {sum} per cent; expected 100")));
    }
}

/// A gateway.
#[must_use]
pub fn gateway(gateway: &AiGateway) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, limit) in gateway.rate_limits.iter().enumerate() {
        let place = format!("ai_gateway.rate_limits[{i}]");
        if limit.renewal_period != "minute" {
            faults.push(fault(&place, format!("period {:?}; expected \"minute\", the only one there is", limit.renewal_period)));
        }
        if limit.calls.is_none() && limit.tokens.is_none() {
            faults.push(fault(&place, "neither calls nor tokens; expected one of them"));
        }
        let needs_principal = matches!(limit.key, Some(LimitKey::UserGroup | LimitKey::ServicePrincipal));
        if needs_principal && limit.principal.is_none() {
            faults.push(fault(&place, "no principal; expected the group or service principal that it is for"));
        }
    }
    let table = gateway.inference_table_config.as_ref().filter(|table| table.enabled);
    if table.is_some_and(|table| table.catalog_name.is_none() || table.schema_name.is_none()) {
        faults.push(fault("ai_gateway.inference_table_config", "no catalog or no schema; expected both"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::entity::TrafficConfig;
    use super::super::gateway::{InferenceTable, RateLimit};
    use super::*;
    use proptest::prelude::*;

    const BAND: Chunk = Chunk { product: Product::TokenBands, size: 970 };
    const UNITS: Chunk = Chunk { product: Product::ModelUnits, size: 50 };

    fn faults(entities: Vec<ServedEntity>, traffic: Option<TrafficConfig>, chunk: Chunk) -> String {
        let body = EndpointConfig { served_entities: entities, traffic_config: traffic, ..EndpointConfig::default() };
        config(&body, &|_| Some(chunk)).into_iter().map(|f| format!("{}: {}\n", f.place, f.what)).collect::<Vec<_>>().concat()
    }

    fn band(min: u64, max: u64) -> ServedEntity {
        ServedEntity::band("system.ai.m", "2", min, max)
    }

    /// The sizes of the public acceptance test of the official Terraform provider against the real service.
    #[test]
    fn sizes_that_the_real_service_accepts_are_accepted() {
        for (min, max) in [(0, 970), (970, 1940), (0, 1940), (970, 970)] {
            assert_eq!(faults(vec![band(min, max)], None, BAND), "");
        }
        assert_eq!(faults(vec![ServedEntity::units("system.ai.g", "1", 100, true)], None, UNITS), "");
    }

    #[test]
    fn every_fault_is_found_at_once_and_says_what_is_right() {
        let text = faults(vec![band(1000, 970)], None, BAND);
        assert!(
            text.contains("1000 is not a multiple of the chunk of 970; next to it are 970 and 1940") && text.contains("above the maximum"),
            "{text}"
        );
        assert!(faults(vec![band(0, 0)], None, BAND).contains("at least one chunk"));
        assert!(faults(vec![band(0, 970)], None, UNITS).contains("sold in model units, not in tokens per second"));
        let text = faults(vec![ServedEntity::band("m", "x", 0, 970)], None, BAND);
        assert!(text.contains("catalog.schema.name") && text.contains("entity_version"), "{text}");
        let text = faults(vec![band(0, 970), band(0, 970)], None, BAND);
        assert!(text.contains("there twice") && text.contains("2 entities and no routes"), "{text}");
        let text = faults(vec![band(0, 970)], Some(TrafficConfig::split([("m-2", 50), ("n", 40)])), BAND);
        assert!(text.contains("\"n\" is not served; expected one of m-2") && text.contains("sum up to 90"), "{text}");
        assert!(faults(vec![], None, BAND).contains("at least one"));
    }

    #[test]
    fn names_and_gateways_are_looked_at() {
        assert!(name("llama-70b_2").is_empty());
        for bad in ["", "a b", "databricks-x", &"x".repeat(64)] {
            assert_eq!(name(bad).len(), 1, "{bad:?}");
        }
        let limit = RateLimit { key: Some(LimitKey::UserGroup), renewal_period: "hour".to_owned(), ..RateLimit::default() };
        let table = InferenceTable { enabled: true, ..InferenceTable::default() };
        let gateway_ = AiGateway { rate_limits: vec![limit], inference_table_config: Some(table), ..AiGateway::default() };
        assert_eq!(gateway(&gateway_).len(), 4);
    }

    proptest! {
        /// forall whole numbers of chunks in order: accepted; one token more or less than a multiple: refused.
        #[test]
        fn whole_chunks_are_accepted(size in 2u64..50_000, min in 0u64..50, more in 0u64..50) {
            let chunk = Chunk { size, ..BAND };
            let max = (min + more).max(1);
            prop_assert_eq!(faults(vec![band(min * size, max * size)], None, chunk), "");
            prop_assert!(faults(vec![band(min * size, max * size + 1)], None, chunk).contains("not a multiple"));
        }
    }
}
