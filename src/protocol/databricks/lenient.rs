//! Numbers and texts as other writers send them: a number in quotes, a version without quotes.

use serde::de::{self, Deserializer, Unexpected};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A whole number that may come as `970`, `970.0` or `"970"`.
pub fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    as_whole(&Value::deserialize(from)?)
}

/// The same; absent and `null` are none.
pub fn maybe_whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        value => as_whole(&value).map(Some),
    }
}

/// A text that may come as a number: `"3"` or `3`.
pub fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Ok(String::new()),
        _ => Err(de::Error::invalid_type(Unexpected::Other("neither text nor number"), &"a text")),
    }
}

/// A list that may be `null` or absent.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was looked at before")]
fn as_whole<E: de::Error>(value: &Value) -> Result<u64, E> {
    let number = match value {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().filter(is_whole).map(|n| n as u64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| de::Error::custom(format_args!("expected a whole number from 0, received {value}")))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as `filter` wants it")]
fn is_whole(number: &f64) -> bool {
    number.fract() == 0.0 && (0.0..9e15).contains(number)
}

/// Whether a list or an option is left out.
pub(super) fn is_empty<T: Serialize>(list: &[T]) -> bool {
    list.is_empty()
}
