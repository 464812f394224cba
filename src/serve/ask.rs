//! `Ask`: what a request body asks for, checked. Every refusal says which member is wrong and what was expected.

use crate::scenario::target::Task;
use serde_json::{Map, Value};

/// Output tokens when the body names none, as the completions API has it.
const DEFAULT_MAX_TOKENS: u32 = 16;

/// What a request body asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) task: Task,
    /// One for each answer that is asked for; a conversation is one.
    pub(super) prompts: Vec<Prompt>,
    pub(super) max_tokens: u32,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// Log probabilities, with this many alternatives.
    pub(super) logprobs: Option<u32>,
}

/// The text of a prompt, or its length if it came as token numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) text: String,
    /// Words of the text, at least 1: the tokens of this endpoint's own tokenizer are words.
    pub(super) tokens: u32,
}

impl Prompt {
    fn of_text(text: String) -> Self {
        let words = text.split_ascii_whitespace().count().max(1);
        Self { text, tokens: u32::try_from(words).unwrap_or(u32::MAX) }
    }

    fn of_numbers(numbers: &[Value]) -> Self {
        let text = numbers.iter().map(Value::to_string).collect::<Vec<_>>().join(" ");
        Self::of_text(text)
    }
}

/// Why a body is refused: status 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    #[error("the body is {0}, expected a JSON object")]
    NotAnObject(&'static str),
    #[error("{member} is missing")]
    Missing { member: &'static str },
    #[error("{member} is {found}, expected {expected}")]
    Wrong { member: &'static str, found: String, expected: &'static str },
}

impl AskError {
    /// The member at fault, if one is.
    pub(super) fn member(&self) -> Option<&'static str> {
        match self {
            Self::NotJson(_) | Self::NotAnObject(_) => None,
            Self::Missing { member } | Self::Wrong { member, .. } => Some(member),
        }
    }
}

/// Reads a body. Without `task` it is told by the member that carries the text: `messages`, `prompt` or `input`.
pub(super) fn read(body: &[u8], task: Option<Task>) -> Result<Ask, AskError> {
    let body: Value = serde_json::from_slice(body).map_err(|e| AskError::NotJson(e.to_string()))?;
    let Value::Object(body) = body else { return Err(AskError::NotAnObject(kind(&body))) };
    let has = |key| body.contains_key(key);
    let task = match task {
        Some(task) => task,
        None if has("messages") => Task::Chat,
        None if has("prompt") => Task::Completions,
        None if has("input") => Task::Embeddings,
        None => return Err(AskError::Missing { member: "messages, prompt or input" }),
    };
    let prompts = match task {
        Task::Chat => vec![messages(body.get("messages").ok_or(AskError::Missing { member: "messages" })?)?],
        Task::Completions => texts(&body, "prompt")?,
        Task::Embeddings => texts(&body, "input")?,
    };
    let stream = flag(&body, "stream")?.unwrap_or(false) && task != Task::Embeddings;
    only_one_choice(&body)?;
    Ok(Ask { task, prompts, max_tokens: max_tokens(&body)?, stream, include_usage: include_usage(&body)?, logprobs: logprobs(&body, task)? })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn wrong(member: &'static str, found: &Value, expected: &'static str) -> AskError {
    let found = match found {
        Value::Bool(_) | Value::Number(_) => found.to_string(),
        other => kind(other).to_owned(),
    };
    AskError::Wrong { member, found, expected }
}

/// The member `model` of a body, for paths that name no endpoint.
pub(super) fn model(body: &[u8]) -> Result<String, AskError> {
    let body: Value = serde_json::from_slice(body).map_err(|e| AskError::NotJson(e.to_string()))?;
    match body.get("model") {
        Some(Value::String(name)) => Ok(name.clone()),
        Some(other) => Err(wrong("model", other, "the name of a serving endpoint")),
        None => Err(AskError::Missing { member: "model" }),
    }
}

fn messages(value: &Value) -> Result<Prompt, AskError> {
    let expected = "a non-empty array of objects with role and content";
    let list = value.as_array().filter(|l| !l.is_empty()).ok_or_else(|| wrong("messages", value, expected))?;
    let mut text = String::new();
    for message in list {
        let (Some(_), Some(content)) = (message.get("role").and_then(Value::as_str), message.get("content")) else {
            return Err(wrong("messages", message, expected));
        };
        match content {
            Value::String(s) => add(&mut text, s),
            Value::Array(items) => items.iter().filter_map(|i| i.get("text").and_then(Value::as_str)).for_each(|s| add(&mut text, s)),
            Value::Null => {}
            other => return Err(wrong("messages[].content", other, "a string or an array of items")),
        }
    }
    Ok(Prompt::of_text(text))
}

fn add(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}

/// One text, several, the token numbers of one, or those of several.
fn texts(body: &Map<String, Value>, member: &'static str) -> Result<Vec<Prompt>, AskError> {
    let expected = "a string, an array of strings, or token numbers";
    match body.get(member).ok_or(AskError::Missing { member })? {
        Value::String(s) => Ok(vec![Prompt::of_text(s.clone())]),
        Value::Array(items) if items.is_empty() => Err(AskError::Wrong { member, found: "an empty array".to_owned(), expected }),
        Value::Array(items) if items.iter().all(Value::is_u64) => Ok(vec![Prompt::of_numbers(items)]),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::String(s) => Ok(Prompt::of_text(s.clone())),
                Value::Array(numbers) if numbers.iter().all(Value::is_u64) => Ok(Prompt::of_numbers(numbers)),
                other => Err(wrong(member, other, expected)),
            })
            .collect(),
        other => Err(wrong(member, other, expected)),
    }
}

fn flag(body: &Map<String, Value>, member: &'static str) -> Result<Option<bool>, AskError> {
    match body.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(b)) => Ok(Some(*b)),
        Some(other) => Err(wrong(member, other, "true or false")),
    }
}

fn count(body: &Map<String, Value>, member: &'static str, expected: &'static str) -> Result<Option<u32>, AskError> {
    match body.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().and_then(|n| u32::try_from(n).ok()).map(Some).ok_or_else(|| wrong(member, value, expected)),
    }
}

fn max_tokens(body: &Map<String, Value>) -> Result<u32, AskError> {
    let expected = "a whole number of at least 1";
    for member in ["max_tokens", "max_completion_tokens"] {
        match count(body, member, expected)? {
            Some(0) => return Err(AskError::Wrong { member, found: "0".to_owned(), expected }),
            Some(n) => return Ok(n),
            None => {}
        }
    }
    Ok(DEFAULT_MAX_TOKENS)
}

fn include_usage(body: &Map<String, Value>) -> Result<bool, AskError> {
    match body.get("stream_options") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Object(options)) => Ok(flag(options, "include_usage")?.unwrap_or(false)),
        Some(other) => Err(wrong("stream_options", other, "an object")),
    }
}

/// Chat: `logprobs: true` with `top_logprobs`; completions: `logprobs: <number of alternatives>`.
fn logprobs(body: &Map<String, Value>, task: Task) -> Result<Option<u32>, AskError> {
    let expected = "a whole number from 0 to 20";
    let within = |n: Option<u32>, member| match n {
        Some(n) if n > 20 => Err(AskError::Wrong { member, found: n.to_string(), expected }),
        n => Ok(n),
    };
    match task {
        Task::Chat => {
            let asked = flag(body, "logprobs")?.unwrap_or(false);
            let top = within(count(body, "top_logprobs", expected)?, "top_logprobs")?;
            Ok(asked.then(|| top.unwrap_or(0)))
        }
        Task::Completions => within(count(body, "logprobs", expected)?, "logprobs"),
        Task::Embeddings => Ok(None),
    }
}

fn only_one_choice(body: &Map<String, Value>) -> Result<(), AskError> {
    match body.get("n") {
        None | Some(Value::Null) => Ok(()),
        Some(n) if n.as_u64() == Some(1) => Ok(()),
        Some(other) => Err(wrong("n", other, "1: this endpoint gives one answer a prompt")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: &str, task: Option<Task>) -> Result<Ask, AskError> {
        read(body.as_bytes(), task)
    }

    #[test]
    fn the_task_is_told_by_the_body() {
        let chat = ask(r#"{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":[{"type":"text","text":"one two"}]}],"stream":true,"stream_options":{"include_usage":true},"logprobs":true,"top_logprobs":3}"#, None).unwrap();
        assert_eq!((chat.task, chat.prompts[0].tokens, chat.max_tokens), (Task::Chat, 4, 16));
        assert!(chat.stream && chat.include_usage && chat.logprobs == Some(3));
        let batch = ask(r#"{"prompt":["a b c","d"],"max_tokens":5,"logprobs":2}"#, None).unwrap();
        assert_eq!(batch.prompts.iter().map(|p| p.tokens).collect::<Vec<_>>(), [3, 1]);
        assert_eq!((batch.max_tokens, batch.logprobs), (5, Some(2)));
        let numbers = ask(r#"{"input":[[1,2,3],[4,5]]}"#, None).unwrap();
        assert_eq!((numbers.task, numbers.prompts[0].tokens, numbers.prompts[1].tokens), (Task::Embeddings, 3, 2));
        assert_eq!(ask(r#"{"prompt":[7,8,9,10]}"#, None).unwrap().prompts[0].tokens, 4);
    }

    #[test]
    fn faults_name_the_member_and_the_expectation() {
        for (body, part) in [
            ("{", "not JSON"),
            ("[]", "an array, expected a JSON object"),
            ("{}", "messages, prompt or input is missing"),
            (r#"{"messages":[]}"#, "messages is an array, expected a non-empty array"),
            (r#"{"messages":[{"role":"user"}]}"#, "messages is an object"),
            (r#"{"prompt":5}"#, "prompt is 5, expected a string"),
            (r#"{"prompt":[]}"#, "prompt is an empty array"),
            (r#"{"prompt":"a","max_tokens":0}"#, "max_tokens is 0"),
            (r#"{"prompt":"a","max_tokens":-3}"#, "max_tokens is -3"),
            (r#"{"prompt":"a","max_tokens":1.5}"#, "max_tokens is 1.5"),
            (r#"{"prompt":"a","stream":"yes"}"#, "stream is a string"),
            (r#"{"prompt":"a","n":2}"#, "n is 2"),
            (r#"{"prompt":"a","logprobs":99}"#, "logprobs is 99"),
        ] {
            let error = ask(body, None).unwrap_err().to_string();
            assert!(error.contains(part), "{body}: {error}");
        }
        assert_eq!(ask("{}", Some(Task::Chat)).unwrap_err(), AskError::Missing { member: "messages" });
    }
}
