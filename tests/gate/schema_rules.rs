//! As much of JSON Schema as our generated schemas use, to hold documents against them: type, enum, const, required, properties, items, references,
//! alternatives, smallest numbers. An unknown keyword is a fault, so that nothing is passed over.

use serde_json::Value;

/// Keywords that say nothing about a document.
const PROSE: [&str; 7] = ["$schema", "$defs", "title", "description", "default", "format", "examples"];

/// Every place where `value` breaks `schema`; `root` holds the definitions.
pub(crate) fn faults(root: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let Some(rules) = schema.as_object() else {
        return if schema == &Value::Bool(false) { vec![format!("{place}: nothing may stand here")] } else { vec![] };
    };
    let mut faults_here = Vec::new();
    let mut add = |holds: bool, what: String| {
        if !holds {
            faults_here.push(format!("{place}: {what}"));
        }
    };
    for (keyword, rule) in rules {
        match keyword.as_str() {
            "type" => {
                let names: Vec<&str> =
                    rule.as_str().map_or_else(|| rule.as_array().unwrap().iter().filter_map(Value::as_str).collect(), |one| vec![one]);
                add(names.iter().any(|n| is_type(n, value)), format!("{value} is not {names:?}"));
            }
            "enum" => add(rule.as_array().unwrap().contains(value), format!("{value} is none of {rule}")),
            "const" => add(rule == value, format!("{value} is not {rule}")),
            "minimum" => add(value.as_f64().is_none_or(|x| x >= rule.as_f64().unwrap()), format!("{value} is below {rule}")),
            "maximum" => add(value.as_f64().is_none_or(|x| x <= rule.as_f64().unwrap()), format!("{value} is above {rule}")),
            "required" => {
                for key in rule.as_array().unwrap() {
                    add(value.as_object().is_none_or(|o| o.contains_key(key.as_str().unwrap())), format!("{key} is missing"));
                }
            }
            "properties" | "items" | "$ref" | "anyOf" | "oneOf" | "allOf" | "additionalProperties" | "patternProperties" | "propertyNames" => {}
            prose if PROSE.contains(&prose) => {}
            other => add(false, format!("the schema says {other}, which this test does not know")),
        }
    }
    faults_here.extend(inside(root, rules, value, place));
    faults_here
}

fn inside(root: &Value, rules: &serde_json::Map<String, Value>, value: &Value, place: &str) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(name) = rules.get("$ref").and_then(Value::as_str) {
        all.extend(faults(root, root.pointer(name.trim_start_matches('#')).unwrap(), value, place));
    }
    for list in ["anyOf", "oneOf"] {
        if let Some(options) = rules.get(list).and_then(Value::as_array) {
            let found: Vec<Vec<String>> = options.iter().map(|o| faults(root, o, value, place)).collect();
            if found.iter().all(|f| !f.is_empty()) {
                all.push(format!("{place}: none of the alternatives: {}", found.concat().join("; ")));
            }
        }
    }
    for part in rules.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        all.extend(faults(root, part, value, place));
    }
    if let (Some(items), Some(list)) = (rules.get("items"), value.as_array()) {
        all.extend(list.iter().enumerate().flat_map(|(i, v)| faults(root, items, v, &format!("{place}/{i}"))));
    }
    if let Some(object) = value.as_object() {
        let known = rules.get("properties").and_then(Value::as_object);
        for (key, v) in object {
            let schema = known.and_then(|k| k.get(key)).or_else(|| rules.get("additionalProperties"));
            if let Some(schema) = schema {
                all.extend(faults(root, schema, v, &format!("{place}/{key}")));
            }
        }
    }
    all
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        _ => false,
    }
}
