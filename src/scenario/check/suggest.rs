//! Did-you-mean: the known name nearest to one that is not known.

use std::collections::BTreeMap;

/// The name among `known` that `found` most likely stands for, if one is near enough: Damerau-Levenshtein within a third of its length,
/// or the same letters apart from case and separators.
pub(super) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A distance takes time in the product of the lengths; no name of ours is this long.
    if found.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect::<String>();
    let target = plain(found);
    known
        .into_iter()
        .filter_map(|name| {
            let candidate = plain(name);
            let distance = strsim::damerau_levenshtein(&target, &candidate);
            let allowed = (candidate.chars().count().max(target.chars().count()) / 3).max(1);
            let prefix = target.len() >= 3 && candidate.starts_with(&target);
            (distance <= allowed || prefix).then_some((distance, name))
        })
        .min()
        .map(|(_, name)| name)
}

/// Every key of the schema with the tables in which it may stand, for a key that stands in the wrong one.
pub(super) fn homes(schema: &serde_json::Value) -> BTreeMap<String, Vec<String>> {
    let mut homes = BTreeMap::new();
    collect(schema, schema, "", &mut homes, 0);
    homes
}

/// Levels of the schema looked into; deeper keys are reached by no short spelling anyway.
const DEPTH: usize = 12;

fn collect(root: &serde_json::Value, schema: &serde_json::Value, path: &str, homes: &mut BTreeMap<String, Vec<String>>, depth: usize) {
    if depth > DEPTH || path.matches('.').count() > 2 {
        return;
    }
    let schema = super::shape::resolve(root, schema);
    for member in ["oneOf", "anyOf"] {
        for alternative in schema[member].as_array().into_iter().flatten() {
            collect(root, alternative, path, homes, depth + 1);
        }
    }
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let places = homes.entry(key.clone()).or_default();
        if !places.contains(&full) {
            places.push(full.clone());
        }
        collect(root, inner, &full, homes, depth + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["arrivals", "warmup", "measure", "drain", "max_in_flight"];
        for (found, expected) in [
            ("arivals", Some("arrivals")),
            ("warm_up", Some("warmup")),
            ("maxInFlight", Some("max_in_flight")),
            ("max-in-flight", Some("max_in_flight")),
            ("mesure", Some("measure")),
            ("meas", Some("measure")),
            ("concurrency", None),
            ("", None),
        ] {
            assert_eq!(nearest(found, known), expected, "{found}");
        }
    }

    #[test]
    fn a_key_knows_its_homes() {
        let homes = homes(&crate::scenario::schema::json_schema());
        assert!(homes["max_in_flight"].contains(&"load.max_in_flight".to_owned()));
        assert!(homes["url"].contains(&"target.url".to_owned()));
    }
}
