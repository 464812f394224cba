//! The body of a refusal, in every shape that it is known to come in.

use crate::protocol::failure::one_line;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The documented body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its class, for example `RESOURCE_DOES_NOT_EXIST`; empty if it is not told.
    #[serde(default)]
    pub error_code: String,
    /// What is wrong.
    #[serde(default)]
    pub message: String,
}

impl Refusal {
    /// Reads `{"error_code","message"}`, the older `{"error"}`, `{"error":{"type","message"}}` of a rate limit, OAuth's `{"error","error_description"}`, SCIM's `{"detail"}`, a bare
    /// `CODE: message`, and a page of HTML, of which the title or what stands in `<pre>` remains.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        if let Ok(document) = serde_json::from_slice::<Value>(body)
            && let Some(refusal) = Self::of_json(&document)
        {
            return refusal;
        }
        let text = String::from_utf8_lossy(&body[..body.len().min(1 << 16)]).into_owned();
        if text.trim_start().starts_with('<') {
            return Self { error_code: String::new(), message: one_line(of_html(&text).as_bytes()) };
        }
        let (code, message) = text.split_once(':').map_or(("", text.as_str()), |(code, message)| (code.trim(), message));
        if is_code(code) {
            return Self { error_code: code.to_owned(), message: one_line(message.as_bytes()) };
        }
        Self { error_code: String::new(), message: one_line(text.as_bytes()) }
    }

    fn of_json(document: &Value) -> Option<Self> {
        let text = |value: &Value, keys: &[&str]| keys.iter().find_map(|key| value.get(key)?.as_str().map(str::to_owned)).filter(|t| !t.is_empty());
        let (inner, outer) = (document.get("error").filter(|e| e.is_object()), document);
        let code = text(outer, &["error_code"]).or_else(|| inner.and_then(|e| text(e, &["error_code", "type", "code"])));
        let code = code.or_else(|| text(outer, &["error"]).filter(|_| outer.get("error_description").is_some()));
        let message = text(outer, &["message", "error_description", "detail"]).or_else(|| inner.and_then(|e| text(e, &["message"])));
        let message = message.or_else(|| text(outer, &["error"]));
        (code.is_some() || message.is_some())
            .then(|| Self { error_code: code.unwrap_or_default(), message: one_line(message.unwrap_or_default().as_bytes()) })
    }

    /// The code and the message on one line; at least something.
    #[must_use]
    pub fn words(&self) -> String {
        match (self.error_code.is_empty(), self.message.is_empty()) {
            (true, true) => "empty body".to_owned(),
            (true, false) => self.message.clone(),
            (false, true) => self.error_code.clone(),
            (false, false) => format!("{}: {}", self.error_code, self.message),
        }
    }
}

/// Whether this is the name of an error: capitals, digits and underscores.
fn is_code(text: &str) -> bool {
    text.len() >= 3 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// What a page of HTML says, in a few words.
fn of_html(text: &str) -> String {
    let inside = |tag: &str| {
        let from = text.find(&format!("<{tag}"))?;
        let from = from + text[from..].find('>')? + 1;
        let end = from + text[from..].find(&format!("</{tag}"))?;
        Some(text[from..end].trim()).filter(|words| !words.is_empty())
    };
    let said = inside("pre").or_else(|| inside("title")).or_else(|| inside("h1")).or_else(|| inside("h2"));
    said.map_or_else(|| "a page of HTML".to_owned(), |words| format!("a page of HTML: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_shape_is_read() {
        for (body, code, message) in [
            (
                r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no such endpoint","details":[{"@type":"x"}]}"#,
                "RESOURCE_DOES_NOT_EXIST",
                "no such endpoint",
            ),
            (r#"{"error":"something old"}"#, "", "something old"),
            (r#"{"error":"invalid_client","error_description":"wrong secret"}"#, "invalid_client", "wrong secret"),
            (r#"{"error":{"message":"slow","type":"rate_limit_exceeded","code":429,"limit_type":"x"}}"#, "rate_limit_exceeded", "slow"),
            (r#"{"detail":"scim","status":"404"}"#, "", "scim"),
            ("INVALID_STATE: endpoint is being updated", "INVALID_STATE", "endpoint is being updated"),
            ("<html><head><title>502 Bad Gateway</title></head></html>", "", "a page of HTML: 502 Bad Gateway"),
            ("<html><pre>login first</pre></html>", "", "a page of HTML: login first"),
            ("<html></html>", "", "a page of HTML"),
            ("plain: words", "", "plain: words"),
            ("[]", "", "[]"),
            ("", "", ""),
        ] {
            assert_eq!(Refusal::read(body.as_bytes()), Refusal { error_code: code.to_owned(), message: message.to_owned() }, "{body}");
        }
        assert_eq!(Refusal::default().words(), "empty body");
    }
}
