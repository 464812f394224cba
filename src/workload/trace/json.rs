//! JSON lines: members by dotted path, and Mooncake's prefix blocks.

use super::shape::Names;
use serde_json::Value;
use std::collections::HashSet;

/// Tokens of one block of `hash_ids` (Mooncake, FAST 2025).
const BLOCK: u32 = 512;

/// The member of `object` at `path`: the name as it stands, or names joined by dots (`usage.prompt_tokens`).
pub(super) fn member<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    object.get(path).or_else(|| path.split('.').try_fold(object, |value, name| value.get(name)))
}

/// A member as text for the readers of numbers and instants; `None` if absent, null, or neither number nor text.
pub(super) fn scalar(object: &Value, path: &str) -> Option<String> {
    match member(object, path)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Names of all members, those of nested objects as dotted paths, one level deep.
pub(super) fn member_names(object: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) => names.extend(inner.keys().map(|k| format!("{name}.{k}"))),
            _ => names.push(name.clone()),
        }
    }
    names
}

/// Which name of each role the first object has.
pub(super) fn pick(names: &Names, object: &Value) -> super::shape::Picked {
    names.pick(|name| member(object, name).is_some())
}

/// Prefix blocks that rows before had. Grows with the number of different blocks.
#[derive(Default)]
pub(super) struct Blocks {
    seen: HashSet<u64>,
}

impl Blocks {
    /// Leading tokens of this row that an earlier row had too, at most `input_tokens`; remembers its blocks. 0 without `hash_ids`.
    pub(super) fn shared(&mut self, object: &Value, input_tokens: u32) -> u32 {
        let Some(ids) = object.get("hash_ids").and_then(Value::as_array) else { return 0 };
        let ids: Vec<u64> = ids.iter().map_while(Value::as_u64).collect();
        let leading = ids.iter().take_while(|id| self.seen.contains(id)).count();
        self.seen.extend(ids);
        u32::try_from(leading).unwrap_or(u32::MAX).saturating_mul(BLOCK).min(input_tokens)
    }
}
