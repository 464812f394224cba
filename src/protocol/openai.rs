//! Request paths and bodies of chat, completions and embeddings, OpenAI-compatible and Databricks.

use crate::scenario::target::{Api, Target, Task};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the request asked for, and thus what a complete answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Chat, completions or embeddings.
    pub task: Task,
    /// Server-sent events; without it the answer is one JSON document.
    pub stream: bool,
    /// Usage must be in the answer: asked for in a stream, always there in a whole document.
    pub usage: bool,
    /// Log probabilities must be in the answer.
    pub logprobs: bool,
    /// Length of an embedding, when it is known.
    pub dimension: Option<u32>,
    /// Output tokens asked for; 0: no limit was sent.
    pub output_asked: u32,
}

/// One request, ready to be written: everything that [`path`] and [`headers`] do not say of all requests to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The JSON document.
    pub body: Bytes,
    /// What a complete answer carries.
    pub expect: Expect,
}

/// The `user-agent` of every request.
pub const USER_AGENT: &str = concat!("plimsoll/", env!("CARGO_PKG_VERSION"));

/// The request for `prompt` and at most `output_tokens` tokens of answer (0: no limit is sent).
///
/// Members of `extra_body` replace members of the same name.
#[must_use]
pub fn call(target: &Target, output_tokens: u32, prompt: &str) -> Call {
    let stream = streams(target);
    Call {
        body: body(target, output_tokens, prompt, stream),
        expect: Expect {
            task: target.task,
            stream,
            usage: !stream || target.include_usage,
            logprobs: target.top_logprobs.is_some() && target.task != Task::Embeddings,
            dimension: target.embedding_dimension,
            output_asked: if target.task == Task::Embeddings { 0 } else { output_tokens },
        },
    }
}

/// The path of every request to `target`. `path` of the target stands as it is; otherwise the path of the base URL comes first, and what it
/// already ends with (`/v1`, `/serving-endpoints`) is not repeated.
#[must_use]
pub fn path(target: &Target) -> String {
    if let Some(path) = &target.path {
        return if path.starts_with('/') { path.clone() } else { format!("/{path}") };
    }
    let prefix = base_path(target);
    match target.api {
        Api::Openai => {
            let leaf = match target.task {
                Task::Chat => "chat/completions",
                Task::Completions => "completions",
                Task::Embeddings => "embeddings",
            };
            if prefix.ends_with("/v1") { format!("{prefix}/{leaf}") } else { format!("{prefix}/v1/{leaf}") }
        }
        Api::Databricks => {
            let name = percent_encoded(target.endpoint.as_deref().unwrap_or(&target.model));
            let prefix = prefix.strip_suffix("/serving-endpoints").unwrap_or(&prefix);
            match &target.served_entity {
                Some(entity) => format!("{prefix}/serving-endpoints/{name}/served-models/{}/invocations", percent_encoded(entity)),
                None => format!("{prefix}/serving-endpoints/{name}/invocations"),
            }
        }
    }
}

/// The path of the base URL without slashes at its end; empty for a bare host.
#[must_use]
pub fn base_path(target: &Target) -> String {
    let uri = target.url.as_deref().and_then(|url| url.parse::<http::Uri>().ok());
    uri.map_or_else(String::new, |uri| uri.path().trim_end_matches('/').to_owned())
}

/// `text` as one segment of a path: everything but RFC 3986's unreserved characters as `%XX`.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    out
}

fn streams(target: &Target) -> bool {
    target.stream && target.task != Task::Embeddings
}

/// The headers of every request to `target`, beside `host`, `content-length` and `authorization`. Headers of the target replace ours of the same name.
#[must_use]
pub fn headers(target: &Target) -> Vec<(String, String)> {
    let accept = if streams(target) { "text/event-stream" } else { "application/json" };
    let own = [("accept", accept), ("content-type", "application/json"), ("user-agent", USER_AGENT)];
    let is_replaced = |name: &str| target.headers.keys().any(|given| given.eq_ignore_ascii_case(name));
    let kept = own.into_iter().filter(|(name, _)| !is_replaced(name)).map(|(name, value)| (name.to_owned(), value.to_owned()));
    kept.chain(target.headers.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
}

/// The members of all three bodies, in the order in which people write them; what is `None` is left out.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<[Message<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instruction: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_context: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// Chat has a switch and a number, completions have the number alone.
#[derive(Serialize)]
#[serde(untagged)]
enum Logprobs {
    Asked(bool),
    Alternatives(u32),
}

fn body(target: &Target, output_tokens: u32, prompt: &str, stream: bool) -> Bytes {
    let generates = target.task != Task::Embeddings;
    let is_chat = target.task == Task::Chat;
    let body = Body {
        // A Databricks endpoint knows its model by its path.
        model: (target.api == Api::Openai).then_some(target.model.as_str()),
        messages: is_chat.then_some([Message { role: "user", content: prompt }]),
        prompt: (target.task == Task::Completions).then_some(prompt),
        input: (!generates).then_some(prompt),
        max_tokens: (generates && output_tokens > 0).then_some(output_tokens),
        stream: generates.then_some(stream),
        stream_options: (stream && target.include_usage).then_some(StreamOptions { include_usage: true }),
        temperature: target.temperature.filter(|t| generates && t.is_finite()),
        logprobs: target.top_logprobs.filter(|_| generates).map(|n| if is_chat { Logprobs::Asked(true) } else { Logprobs::Alternatives(n) }),
        top_logprobs: target.top_logprobs.filter(|_| is_chat),
        ignore_eos: (generates && target.ignore_eos).then_some(true),
        instruction: target.instruction.as_deref().filter(|_| !generates),
        usage_context: Some(&target.usage_context).filter(|labels| !labels.is_empty()),
        client_request_id: target.client_request_id.as_deref(),
    };
    // Room for the prompt with its escapes, so that it is not moved while it is written.
    let mut written = Vec::with_capacity(prompt.len() + prompt.len() / 16 + 256);
    let result = if target.extra_body.is_empty() {
        serde_json::to_writer(&mut written, &body)
    } else {
        merged(&body, target).and_then(|all| serde_json::to_writer(&mut written, &all))
    };
    result.expect("strings, numbers and maps with string keys are always JSON");
    Bytes::from(written)
}

fn merged(body: &Body<'_>, target: &Target) -> serde_json::Result<Value> {
    let mut all = serde_json::to_value(body)?;
    if let Value::Object(members) = &mut all {
        members.extend(target.extra_body.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn target(api: Api, task: Task, url: &str) -> Target {
        Target { api, task, url: Some(url.to_owned()), ..Target::default() }
    }

    fn parsed(call: &Call) -> Value {
        serde_json::from_slice(&call.body).unwrap()
    }

    #[test]
    fn paths_join_with_any_base_url() {
        let path_of = |api, task, url: &str| path(&target(api, task, url));
        assert_eq!(path_of(Api::Openai, Task::Chat, "http://h:1"), "/v1/chat/completions");
        assert_eq!(path_of(Api::Openai, Task::Chat, "http://h:1/v1/"), "/v1/chat/completions");
        assert_eq!(path_of(Api::Openai, Task::Completions, "http://h/proxy"), "/proxy/v1/completions");
        assert_eq!(path_of(Api::Openai, Task::Embeddings, "https://h/a/v1"), "/a/v1/embeddings");
        let mut brick = target(Api::Databricks, Task::Embeddings, "https://h");
        assert_eq!(path(&brick), "/serving-endpoints/default/invocations");
        brick.endpoint = Some("my llama/2".to_owned());
        assert_eq!(path(&brick), "/serving-endpoints/my%20llama%2F2/invocations");
        brick.url = Some("https://h/serving-endpoints".to_owned());
        assert_eq!(path(&brick), "/serving-endpoints/my%20llama%2F2/invocations");
        brick.served_entity = Some("llama-2/b".to_owned());
        assert_eq!(path(&brick), "/serving-endpoints/my%20llama%2F2/served-models/llama-2%2Fb/invocations");
        brick.path = Some("other?x=1".to_owned());
        assert_eq!(path(&brick), "/other?x=1");
    }

    #[test]
    fn a_chat_asks_for_what_the_target_says() {
        let mut t = target(Api::Openai, Task::Chat, "http://h");
        t.top_logprobs = Some(3);
        t.ignore_eos = true;
        t.temperature = Some(0.5);
        t.extra_body.insert("seed".to_owned(), json!(7));
        t.extra_body.insert("max_tokens".to_owned(), json!(9));
        let made = call(&t, 64, "hello");
        assert_eq!(
            parsed(&made),
            json!({"model": "default", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9, "stream": true,
                "stream_options": {"include_usage": true}, "temperature": 0.5, "logprobs": true, "top_logprobs": 3, "ignore_eos": true, "seed": 7})
        );
        assert_eq!(made.expect, Expect { task: Task::Chat, stream: true, usage: true, logprobs: true, dimension: None, output_asked: 64 });
    }

    #[test]
    fn completions_and_embeddings_have_their_own_members() {
        let mut t = target(Api::Databricks, Task::Completions, "http://h");
        t.top_logprobs = Some(2);
        t.stream = false;
        let made = call(&t, 4, "once");
        assert_eq!(parsed(&made), json!({"prompt": "once", "max_tokens": 4, "stream": false, "logprobs": 2}));
        assert!(made.expect.usage, "a whole document always carries its usage");
        t.task = Task::Embeddings;
        t.instruction = Some("Represent the query".to_owned());
        t.usage_context.insert("run".to_owned(), "a1".to_owned());
        t.client_request_id = Some("plimsoll-a1".to_owned());
        let expected =
            json!({"input": "once", "instruction": "Represent the query", "usage_context": {"run": "a1"}, "client_request_id": "plimsoll-a1"});
        assert_eq!(parsed(&call(&t, 4, "once")), expected);
        (t.instruction, t.client_request_id) = (None, None);
        t.usage_context.clear();
        t.api = Api::Openai;
        t.stream = true;
        let made = call(&t, 4, "once");
        assert_eq!(parsed(&made), json!({"model": "default", "input": "once"}));
        assert!(!made.expect.stream && !made.expect.logprobs && made.expect.output_asked == 0);
    }

    #[test]
    fn headers_of_the_target_replace_ours() {
        let mut t = target(Api::Openai, Task::Chat, "http://h");
        t.headers.insert("User-Agent".to_owned(), "mine".to_owned());
        t.headers.insert("x-team".to_owned(), "a".to_owned());
        let made = headers(&t);
        let value = |name: &str| made.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
        assert_eq!(value("user-agent"), ["mine"]);
        assert_eq!(value("x-team"), ["a"]);
        assert_eq!(value("accept"), ["text/event-stream"]);
        assert_eq!(value("content-type"), ["application/json"]);
    }

    proptest! {
        /// forall prompts, model names: the body is JSON and gives back the same prompt and model.
        #[test]
        fn bodies_are_json_whatever_the_prompt(prompt in any::<String>(), model in any::<String>(), task in 0..3_usize, output in any::<u32>()) {
            let task = [Task::Chat, Task::Completions, Task::Embeddings][task];
            let mut t = target(Api::Openai, task, "http://h");
            t.model.clone_from(&model);
            let body = parsed(&call(&t, output, &prompt));
            let found = match task { Task::Chat => &body["messages"][0]["content"], Task::Completions => &body["prompt"], Task::Embeddings => &body["input"] };
            prop_assert_eq!(found, &json!(prompt));
            prop_assert_eq!(&body["model"], &json!(model));
        }
    }
}
