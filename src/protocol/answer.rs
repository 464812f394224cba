//! What an answer carries: the borrowed parse of a chunk or a whole body into text, reasoning, usage, finish reason.
//!
//! One shape covers chunks and whole bodies of chat, completions and embeddings; unknown members are skipped, `null` is absence, and a known
//! member of another type makes the document malformed. Texts are borrowed from the input unless they hold escapes.

mod content;
pub mod think;
mod vector;

pub use content::{Content, Text};
pub use vector::Vector;

use crate::record::request::Usage;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::Value;

/// A chunk of a stream or a whole body.
#[derive(Debug, Default, Deserialize)]
pub struct Answer<'a> {
    /// The model that answered, as the server calls it.
    #[serde(borrow, default)]
    pub model: Option<Text<'a>>,
    /// Chat and completions; empty in the last chunk of a stream with usage.
    #[serde(borrow, default)]
    pub choices: Option<Vec<Choice<'a>>>,
    /// Embeddings.
    #[serde(default)]
    pub data: Option<Vec<Embedding>>,
    #[serde(default)]
    usage: Option<RawUsage>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    error_code: Option<Value>,
    #[serde(default)]
    message: Option<Value>,
}

/// One alternative; load tests ask for one.
#[derive(Debug, Deserialize)]
pub struct Choice<'a> {
    /// In a chunk of a chat.
    #[serde(borrow, default)]
    pub delta: Option<Message<'a>>,
    /// In a whole chat.
    #[serde(borrow, default)]
    pub message: Option<Message<'a>>,
    /// Completions, chunk and whole.
    #[serde(borrow, default)]
    pub text: Option<Text<'a>>,
    /// Why it ended: `stop`, `length`, `tool_calls`, …; absent until the last chunk.
    #[serde(borrow, default)]
    pub finish_reason: Option<Text<'a>>,
    #[serde(default)]
    logprobs: Option<Logprobs>,
}

/// What was said, on every channel in use.
#[derive(Debug, Default, Deserialize)]
pub struct Message<'a> {
    /// Visible text, or items of text and reasoning.
    #[serde(borrow, default)]
    pub content: Option<Content<'a>>,
    /// Reasoning as vLLM and OpenRouter send it.
    #[serde(borrow, default)]
    pub reasoning: Option<Text<'a>>,
    /// Reasoning as DeepSeek, llama.cpp, SGLang and Databricks send it.
    #[serde(borrow, default)]
    pub reasoning_content: Option<Text<'a>>,
    /// A refusal in words; visible.
    #[serde(borrow, default)]
    pub refusal: Option<Text<'a>>,
    #[serde(default)]
    tool_calls: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    function_call: Option<IgnoredAny>,
}

impl Message<'_> {
    /// Whether part of a tool call is in it.
    #[must_use]
    pub fn has_tool_call(&self) -> bool {
        self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty()) || self.function_call.is_some()
    }
}

/// One embedding.
#[derive(Debug, Deserialize)]
pub struct Embedding {
    /// Its numbers, folded.
    pub embedding: Vector,
}

/// Chat has `content`, completions have `tokens`: either says how many tokens the choice carries.
#[derive(Debug, Deserialize)]
struct Logprobs {
    #[serde(default)]
    content: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    tokens: Option<Vec<IgnoredAny>>,
    #[serde(default, rename = "token_logprobs")]
    numbers: Option<Vec<IgnoredAny>>,
}

impl Choice<'_> {
    /// Tokens by their log probabilities: exact. `None` without log probabilities.
    #[must_use]
    pub fn logprob_tokens(&self) -> Option<u32> {
        let logprobs = self.logprobs.as_ref()?;
        let list = logprobs.content.as_ref().or(logprobs.tokens.as_ref()).or(logprobs.numbers.as_ref())?;
        u32::try_from(list.len()).ok()
    }
}

#[derive(Debug, Deserialize)]
struct RawUsage {
    #[serde(default, deserialize_with = "count")]
    prompt_tokens: Option<u32>,
    #[serde(default, deserialize_with = "count")]
    completion_tokens: Option<u32>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Debug, Deserialize)]
struct PromptDetails {
    #[serde(default, deserialize_with = "count")]
    cached_tokens: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct CompletionDetails {
    #[serde(default, deserialize_with = "count")]
    reasoning_tokens: Option<u32>,
}

/// A whole number of tokens; what cannot be one (negative, broken, beyond 32 bits) counts as not given. Not a number at all is an error.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(deserializer)?;
    Ok(number.and_then(|n| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate; the sign was checked")]
        let whole = n.as_u64().or_else(|| n.as_f64().filter(|f| *f >= 0.0 && f.fract() == 0.0).map(|f| f as u64));
        u32::try_from(whole?).ok()
    }))
}

/// The document is not JSON, or a known member has another type.
#[derive(Debug, thiserror::Error)]
#[error("not an answer of this protocol: {0}")]
pub struct Malformed(#[from] serde_json::Error);

impl Answer<'_> {
    /// Parses `text` and hands the answer to `fold`. Invalid UTF-8 is replaced, as a decoder of event streams does, before it is given up.
    pub fn read<T>(text: &[u8], fold: impl FnOnce(&Answer<'_>) -> T) -> Result<T, Malformed> {
        match serde_json::from_slice::<Answer<'_>>(text) {
            Ok(answer) => Ok(fold(&answer)),
            Err(fault) => match std::str::from_utf8(text) {
                Ok(_) => Err(fault.into()),
                Err(_) => Ok(fold(&serde_json::from_str(&String::from_utf8_lossy(text))?)),
            },
        }
    }

    /// Usage, if the server gave any.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let raw = self.usage.as_ref()?;
        if raw.prompt_tokens.is_none() && raw.completion_tokens.is_none() {
            return None;
        }
        Some(Usage {
            prompt: raw.prompt_tokens.unwrap_or(0),
            completion: raw.completion_tokens.unwrap_or(0),
            cached: raw.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens),
            reasoning: raw.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens),
        })
    }

    /// The words of an error object in the place of an answer; `None`: no error.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        let words = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Object(members) => members.get("message").and_then(Value::as_str).map_or_else(|| value.to_string(), str::to_owned),
            other => other.to_string(),
        };
        if let Some(error) = &self.error {
            return Some(words(error));
        }
        let code = words(self.error_code.as_ref()?);
        Some(self.message.as_ref().map_or_else(|| code.clone(), |message| format!("{code}: {}", words(message))))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::redundant_closure_for_method_calls, reason = "the methods themselves are not general enough in their lifetimes")]

    use super::*;
    use proptest::prelude::*;

    fn read<T>(text: &str, fold: impl FnOnce(&Answer<'_>) -> T) -> T {
        Answer::read(text.as_bytes(), fold).unwrap()
    }

    #[test]
    fn chunks_of_known_servers() {
        read(r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}],"object":"chat.completion.chunk"}"#, |a| {
            let delta = a.choices.as_ref().unwrap()[0].delta.as_ref().unwrap();
            assert!(delta.content.is_none() && !delta.has_tool_call());
        });
        read(r#"{"choices":[{"delta":{"content":"h\u00e9"},"finish_reason":"length","logprobs":{"content":[{"token":"a"},{"token":"b"}]}}]}"#, |a| {
            let choice = &a.choices.as_ref().unwrap()[0];
            assert_eq!(choice.logprob_tokens(), Some(2));
            assert_eq!(choice.finish_reason.as_ref().unwrap().as_str(), "length");
            let Some(Content::Text(text)) = &choice.delta.as_ref().unwrap().content else { panic!("a text") };
            assert_eq!(text.as_str(), "hé");
        });
        read(r#"{"choices":[{"text":" b","logprobs":{"tokens":["x"],"token_logprobs":[-0.1]}}],"usage":null}"#, |a| {
            let choice = &a.choices.as_ref().unwrap()[0];
            assert_eq!((choice.text.as_ref().unwrap().as_str(), choice.logprob_tokens()), (" b", Some(1)));
            assert_eq!(a.usage(), None);
        });
        read(r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}],"reasoning_content":"hm","reasoning":null}}]}"#, |a| {
            let delta = a.choices.as_ref().unwrap()[0].delta.as_ref().unwrap();
            assert!(delta.has_tool_call());
            assert_eq!(delta.reasoning_content.as_ref().unwrap().as_str(), "hm");
        });
    }

    #[test]
    fn usage_stands_anywhere_and_survives_odd_numbers() {
        let usage = |text| read(text, |a| a.usage());
        assert_eq!(
            usage(
                r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":3}}}"#
            ),
            Some(Usage { prompt: 9, completion: 4, cached: Some(8), reasoning: Some(3) })
        );
        assert_eq!(
            usage(r#"{"choices":null,"usage":{"prompt_tokens":9,"prompt_tokens_details":null}}"#),
            Some(Usage { prompt: 9, ..Usage::default() })
        );
        assert_eq!(usage(r#"{"usage":{"prompt_tokens":-1,"completion_tokens":4.0}}"#), Some(Usage { completion: 4, ..Usage::default() }));
        assert_eq!(usage(r#"{"usage":{"prompt_tokens":1.5,"completion_tokens":1e300}}"#), None);
        assert_eq!(usage(r#"{"usage":{}}"#), None);
    }

    #[test]
    fn errors_in_the_place_of_answers() {
        let error = |text| read(text, |a| a.error());
        assert_eq!(error(r#"{"error":{"message":"no memory","code":500}}"#).as_deref(), Some("no memory"));
        assert_eq!(error(r#"{"error":"no memory"}"#).as_deref(), Some("no memory"));
        assert_eq!(error(r#"{"error_code":"RESOURCE_EXHAUSTED","message":"slow"}"#).as_deref(), Some("RESOURCE_EXHAUSTED: slow"));
        assert_eq!(error(r#"{"error":null,"message":"hello","choices":[]}"#), None);
    }

    #[test]
    fn wrong_types_are_malformed() {
        for text in [
            "",
            "nonsense",
            "[1]",
            r#"{"choices":3}"#,
            r#"{"choices":[{"delta":{"content":3}}]}"#,
            r#"{"choices":[{"text":[]}]}"#,
            r#"{"usage":"many"}"#,
            r#"{"usage":{"prompt_tokens":"many"}}"#,
            r#"{"data":[{"embedding":["x"]}]}"#,
            r#"{"choices":[]"#,
        ] {
            assert!(Answer::read(text.as_bytes(), |_| ()).is_err(), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(Answer::read(format!("{{\"error\":{deep}}}").as_bytes(), |_| ()).is_err(), "nesting is bounded");
        assert!(Answer::read(format!("{{\"x\":{deep}}}").as_bytes(), |_| ()).is_ok(), "what is not known is skipped without recursion");
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        let text =
            Answer::read(b"{\"choices\":[{\"text\":\"a\xFFb\"}]}", |a| a.choices.as_ref().unwrap()[0].text.as_ref().unwrap().as_str().to_owned());
        assert_eq!(text.unwrap(), "a\u{fffd}b");
    }

    proptest! {
        /// forall bytes: an answer or an error, never a panic.
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Answer::read(&bytes, |a| (a.error(), a.usage()));
        }
    }
}
