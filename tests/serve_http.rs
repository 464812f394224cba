//! The live endpoint as a client sees it, over a bare socket.

#![expect(clippy::unwrap_used, reason = "a test stops where its premise fails")]

#[path = "server/asking.rs"]
mod asking;

use asking::{Reply, request};
use plimsoll::base::rng::Seed;
use plimsoll::base::units::{Share, TimeSpan};
use plimsoll::scenario::endpoint::{EndpointSpec, StepLaw};
use plimsoll::serve::{Handle, spawn_in_thread};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

fn spec() -> EndpointSpec {
    let step = StepLaw { base: TimeSpan::millis(1), ..StepLaw::default() };
    EndpointSpec { step, embedding_dimension: 8, ..EndpointSpec::default() }
}

fn serve(spec: EndpointSpec) -> Handle {
    spawn_in_thread(spec, "sim".to_owned(), Seed(1)).unwrap()
}

fn call(handle: &Handle, method: &str, path: &str, body: &str) -> Reply {
    asking::call(handle.addr(), method, path, "", body)
}

fn post(handle: &Handle, path: &str, body: &Value) -> Reply {
    call(handle, "POST", path, &body.to_string())
}

#[test]
fn chat_streams_one_event_a_token_and_ends_with_usage_and_done() {
    let handle = serve(EndpointSpec { reasoning_share: Share(0.5), ..spec() });
    let body = json!({
        "messages": [{ "role": "user", "content": "one two three" }], "max_tokens": 6, "stream": true, "stream_options": { "include_usage": true }
    });
    for path in ["/v1/chat/completions", "/serving-endpoints/sim/invocations"] {
        let reply = post(&handle, path, &body);
        assert_eq!(reply.status, 200);
        assert!(reply.head.contains("content-type: text/event-stream"));
        let mut events = reply.events();
        assert_eq!(events.pop(), Some("[DONE]"));
        let events: Vec<Value> = events.iter().map(|e| serde_json::from_str(e).unwrap()).collect();
        let with = |key: &str| events.iter().filter(|e| e["choices"][0]["delta"][key].as_str().is_some_and(|s| !s.is_empty())).count();
        assert_eq!((with("role"), with("reasoning_content"), with("content")), (1, 3, 3));
        let usage = &events.last().unwrap()["usage"];
        assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]), (&json!(3), &json!(6), &json!(9)));
    }
}

#[test]
fn completions_take_batches_and_whole_answers_count_their_tokens() {
    let handle = serve(spec());
    let reply = post(&handle, "/v1/completions", &json!({ "prompt": ["a b", "c"], "max_tokens": 4, "logprobs": 2 })).json();
    assert_eq!(reply["usage"], json!({ "prompt_tokens": 3, "completion_tokens": 8, "total_tokens": 11 }));
    for index in 0..2 {
        let choice = &reply["choices"][index];
        assert_eq!(choice["text"].as_str().unwrap().split(' ').count(), 4);
        assert_eq!(choice["logprobs"]["token_logprobs"].as_array().unwrap().len(), 4);
        assert_eq!(choice["finish_reason"], "length");
    }
    let streamed = post(&handle, "/v1/completions", &json!({ "prompt": ["a", "b"], "max_tokens": 3, "stream": true }));
    let finished = streamed.events().iter().filter(|e| e.contains(r#""finish_reason":"length""#)).count();
    assert_eq!((finished, streamed.events().len()), (2, 2 * 4 + 1));
}

#[test]
fn embeddings_have_the_dimension_and_the_length_of_the_scenario() {
    for normalised in [true, false] {
        let handle = serve(EndpointSpec { embedding_normalised: normalised, ..spec() });
        let reply = post(&handle, "/v1/embeddings", &json!({ "input": ["a b c", "d"] })).json();
        assert_eq!(reply["usage"], json!({ "prompt_tokens": 4, "total_tokens": 4 }));
        let vector: Vec<f64> = serde_json::from_value(reply["data"][1]["embedding"].clone()).unwrap();
        let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        assert_eq!(vector.len(), 8);
        assert_eq!((length - 1.0).abs() < 1e-5, normalised);
    }
}

#[test]
fn refusals_have_their_status_and_the_body_of_the_api() {
    let handle = serve(EndpointSpec { kv_tokens: 100, ..spec() });
    for (path, body, status) in [
        ("/v1/chat/completions", "{", 400),
        ("/v1/chat/completions", r#"{"prompt":"a"}"#, 400),
        ("/v1/completions", r#"{"prompt":"a","max_tokens":100}"#, 400),
        ("/v1/nothing", "{}", 404),
        ("/v1/models", "", 405),
    ] {
        let reply = call(&handle, "POST", path, body);
        assert_eq!(reply.status, status, "{path} {body}");
        assert_eq!(reply.json()["error"]["code"], status, "{path} {body}");
    }
    let reply = call(&handle, "POST", "/serving-endpoints/sim/invocations", "{}");
    assert_eq!((reply.status, &reply.json()["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")));
    let failing = serve(EndpointSpec { error_share: Share(1.0), ..spec() });
    assert_eq!(post(&failing, "/v1/completions", &json!({ "prompt": "a" })).status, 500);
}

/// With one place, no queue and an answer that lasts, the second request is refused; when the first client goes away its place is free.
#[test]
fn a_full_endpoint_answers_429_until_the_client_goes_away() {
    let handle = serve(EndpointSpec { max_batch: 1, queue: 0, retry_after: TimeSpan::secs(3), ..spec() });
    let long = json!({ "prompt": "a", "max_tokens": 100_000, "stream": true }).to_string();
    let mut first = TcpStream::connect(handle.addr()).unwrap();
    first.write_all(request("POST", "/v1/completions", "", &long).as_bytes()).unwrap();
    first.read_exact(&mut [0; 16]).unwrap();
    let short = json!({ "prompt": "a", "max_tokens": 1 });
    let refused = post(&handle, "/v1/completions", &short);
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("retry-after: 3"));
    assert!(refused.body.contains("Too many concurrent requests"));
    drop(first);
    // The server learns of it with one of its next writes.
    let freed = (0..10_000).any(|_| post(&handle, "/v1/completions", &short).status == 200);
    assert!(freed, "the place of a client that went away stays taken");
}

#[test]
fn health_models_metrics_and_chunk_size_are_there() {
    let handle = serve(spec());
    assert_eq!(call(&handle, "GET", "/health", "").status, 200);
    assert_eq!(call(&handle, "GET", "/v1/models", "").json()["data"][0]["id"], "sim");
    let info = call(&handle, "GET", "/api/2.0/serving-endpoints/get-model-optimization-info/main.default.sim/1", "").json();
    assert_eq!(info, json!({ "optimizable": true, "model_type": "llama", "throughput_chunk_size": 1580 }));
    post(&handle, "/v1/completions", &json!({ "prompt": "a b", "max_tokens": 5 }));
    let metrics = call(&handle, "GET", "/metrics", "").body;
    for line in
        [r#"plimsoll_requests_total{status="200"} 1"#, "plimsoll_output_tokens_total 5", "plimsoll_prompt_tokens_total 2", "plimsoll_chunks_ready 1"]
    {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn repeated_prefixes_are_reported_as_cached() {
    let handle = serve(spec());
    let prompt = (0..40).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ");
    let cached = |r: &Reply| r.json()["usage"]["prompt_tokens_details"]["cached_tokens"].clone();
    assert_eq!(cached(&post(&handle, "/v1/completions", &json!({ "prompt": prompt }))), Value::Null);
    assert_eq!(cached(&post(&handle, "/v1/completions", &json!({ "prompt": prompt }))), 32);
}
