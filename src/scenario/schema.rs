//! The JSON Schema of a scenario file, generated from the types: what editors complete from and `check` walks by.

use super::model::Scenario;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The JSON Schema of a scenario file, draft 7 (the draft that TOML editors understand), without an `$id`.
///
/// TOML has no null, so an optional key is one that may be left out: no `null` is left among the types.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Scenario>().to_value();
    drop_null(&mut schema);
    if let Value::Object(root) = &mut schema {
        root.insert("title".to_owned(), "Plimsoll scenario".into());
    }
    schema
}

/// Takes `null` out of every `type`, `anyOf` and `default`; an `anyOf` with one member left becomes that member.
fn drop_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            drop_null_type(map);
            drop_null_member(map);
            // The default of a section shows what is set: keys that are left out by default are left out here too.
            if let Some(default) = map.get_mut("default") {
                drop_null_entries(default);
            }
            map.values_mut().for_each(drop_null);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_null),
        _ => {}
    }
}

fn drop_null_entries(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, v| !v.is_null());
        map.values_mut().for_each(drop_null_entries);
    }
}

fn drop_null_type(map: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = map.get_mut("type") else { return };
    types.retain(|t| t != "null");
    if let [only] = types.as_slice() {
        let only = only.clone();
        map.insert("type".to_owned(), only);
    }
}

fn drop_null_member(map: &mut Map<String, Value>) {
    let Some(Value::Array(members)) = map.get_mut("anyOf") else { return };
    let before = members.len();
    members.retain(|m| m.get("type").is_none_or(|t| t != "null"));
    if members.len() == before {
        return;
    }
    if let [only] = members.as_slice() {
        // Draft 7 ignores what stands beside `$ref`, so a reference with a description of its own stays wrapped.
        let only = only.clone();
        map.remove("anyOf");
        map.insert("allOf".to_owned(), Value::Array(vec![only]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titled_described_and_without_null() {
        let schema = json_schema();
        assert_eq!(schema["title"], "Plimsoll scenario");
        assert!(schema["description"].as_str().is_some_and(|d| !d.is_empty()));
        assert!(schema.get("$id").is_none());
        assert!(!schema.to_string().contains("null"), "{schema:#}");
    }
}
