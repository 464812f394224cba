//! The paths of the live endpoint and what each does.

use super::answer::{Answer, Frames};
use super::ask::{self, Ask};
use super::counters::Counters;
use super::driver::{Command, Delivery};
use super::prefix::PrefixCache;
use super::refusal::{Dialect, Refusal, json_response};
use super::stream::{Tickets, TokenStream};
use super::words;
use crate::base::clock::Clock;
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::target::Task;
use crate::sim::event::{Admission, EventKind, Offer, State as Chunks};
use crate::sim::virtual_time::reasoning_tokens;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderValue, Response, StatusCode, Uri, header};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use tokio::sync::{mpsc, oneshot};

/// Larger bodies are refused with 413.
const MAX_BODY: usize = 16 << 20;

/// What every handler needs.
#[derive(Clone)]
pub(super) struct Shared {
    inner: Arc<Inner>,
    commands: Sender<Command>,
}

struct Inner {
    spec: EndpointSpec,
    model: String,
    clock: Clock,
    counters: Arc<Counters>,
    prefixes: PrefixCache,
    next_id: AtomicU64,
}

impl Shared {
    pub(super) fn new(spec: EndpointSpec, model: String, clock: Clock, commands: Sender<Command>) -> Self {
        let inner =
            Inner { spec, model, clock, counters: Arc::new(Counters::default()), prefixes: PrefixCache::default(), next_id: AtomicU64::new(0) };
        Self { inner: Arc::new(inner), commands }
    }
}

/// All paths.
pub(super) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(|s, b| openai(s, b, Task::Chat)))
        .route("/v1/completions", post(|s, b| openai(s, b, Task::Completions)))
        .route("/v1/embeddings", post(|s, b| openai(s, b, Task::Embeddings)))
        .route("/serving-endpoints/{name}/invocations", post(invocations))
        .route("/api/2.0/serving-endpoints/get-model-optimization-info/{model}/{version}", get(optimization_info))
        .route("/v1/models", get(models))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .fallback(|State(s): State<Shared>, uri: Uri| async move { refuse(&s, &Refusal::NotFound(uri.path().to_owned()), Dialect::OpenAi) })
        .method_not_allowed_fallback(|State(s): State<Shared>| async move { refuse(&s, &Refusal::WrongMethod, Dialect::OpenAi) })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

async fn health() -> &'static str {
    "ok"
}

async fn models(State(shared): State<Shared>) -> Response<Body> {
    let created = shared.inner.clock.wall_origin_ns() / 1_000_000_000;
    let model = json!({ "id": shared.inner.model, "object": "model", "created": created, "owned_by": "plimsoll" });
    json_response(StatusCode::OK, &json!({ "object": "list", "data": [model] }))
}

async fn optimization_info(State(shared): State<Shared>, Path((_model, _version)): Path<(String, String)>) -> Response<Body> {
    let chunk = shared.inner.spec.chunk.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is not negative; the cast saturates")]
    let chunk = chunk.round() as u64;
    json_response(StatusCode::OK, &json!({ "optimizable": true, "model_type": "llama", "throughput_chunk_size": chunk }))
}

async fn metrics(State(shared): State<Shared>) -> Response<Body> {
    let (answer, state) = oneshot::channel();
    // A driver that has stopped has no chunks.
    let _ = shared.commands.send(Command::Look { answer });
    let state = state.await.unwrap_or(Chunks::default());
    let mut response = Response::new(Body::from(shared.inner.counters.text(state)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}

async fn openai(State(shared): State<Shared>, body: Bytes, task: Task) -> Response<Body> {
    respond(&shared, &body, Some(task), Dialect::OpenAi).await
}

async fn invocations(State(shared): State<Shared>, Path(_name): Path<String>, body: Bytes) -> Response<Body> {
    respond(&shared, &body, None, Dialect::Databricks).await
}

async fn respond(shared: &Shared, body: &[u8], task: Option<Task>, dialect: Dialect) -> Response<Body> {
    match answer(shared, body, task).await {
        Ok(response) => {
            shared.inner.counters.answered(200);
            response
        }
        Err(refusal) => refuse(shared, &refusal, dialect),
    }
}

fn refuse(shared: &Shared, refusal: &Refusal, dialect: Dialect) -> Response<Body> {
    shared.inner.counters.answered(refusal.status().as_u16());
    refusal.response(dialect)
}

/// One model call. The head goes out with the first token, so that the first byte is the first token, as in the simulation.
async fn answer(shared: &Shared, body: &[u8], task: Option<Task>) -> Result<Response<Body>, Refusal> {
    let ask = ask::read(body, task).map_err(Refusal::Ask)?;
    let tokens = if ask.task == Task::Embeddings { 1 } else { ask.max_tokens };
    let most = shared.inner.spec.kv_tokens;
    if let Some(needed) = ask.prompts.iter().map(|p| u64::from(p.tokens) + u64::from(tokens)).find(|n| *n > most) {
        return Err(Refusal::TooLong { tokens: needed, most });
    }
    let cached: Vec<u32> = ask.prompts.iter().map(|p| shared.inner.prefixes.visit(&p.text).min(p.tokens)).collect();
    let mut tickets = open(shared, &ask, tokens, &cached).await?;
    let first = tickets.events.recv().await.ok_or(Refusal::Stopping)?;
    let answer = describe(shared, &ask, tokens, &cached, tickets.ids.start);
    if ask.stream {
        let stream = TokenStream::new(tickets, Frames::new(answer.clone()), answer.choices, first);
        let mut response = Response::new(Body::new(stream));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        return Ok(response);
    }
    drain(&mut tickets, first).await?;
    let body = if ask.task == Task::Embeddings { embeddings(shared, &ask, &answer) } else { answer.whole() };
    Ok(json_response(StatusCode::OK, &body))
}

/// Offers every prompt; if one is refused, those before it are cancelled and the whole request is refused.
async fn open(shared: &Shared, ask: &Ask, tokens: u32, cached: &[u32]) -> Result<Tickets, Refusal> {
    let choices = ask.prompts.len() as u64;
    let start = shared.inner.next_id.fetch_add(choices, Ordering::Relaxed);
    let (to, events) = mpsc::unbounded_channel();
    let inner = &shared.inner;
    inner.counters.admitted(ask.prompts.iter().map(|p| u64::from(p.tokens)).sum());
    // From here on the tickets cancel what was offered if anything goes wrong.
    let mut tickets =
        Tickets { events, open: 0, ids: start..start + choices, commands: shared.commands.clone(), counters: Arc::clone(&inner.counters) };
    let mut answers = Vec::with_capacity(ask.prompts.len());
    for ((choice, prompt), (id, cached)) in (0..).zip(&ask.prompts).zip((start..).zip(cached)) {
        let offer = Offer { id, input_tokens: prompt.tokens, output_tokens: tokens, cached_tokens: *cached };
        let (answer, admission) = oneshot::channel();
        shared.commands.send(Command::Open { offer, choice, to: to.clone(), answer }).map_err(|_| Refusal::Stopping)?;
        tickets.open += 1;
        answers.push(admission);
    }
    let mut refusal = None;
    for admission in answers {
        match admission.await.map_err(|_| Refusal::Stopping)? {
            Admission::Accepted => {}
            Admission::Throttled { retry_after } => refusal = refusal.or(Some(Refusal::Throttled { retry_after })),
            Admission::Failed => refusal = refusal.or(Some(Refusal::Failed)),
        }
    }
    refusal.map_or(Ok(tickets), Err)
}

async fn drain(tickets: &mut Tickets, first: Delivery) -> Result<(), Refusal> {
    let mut next = Some(first);
    while let Some(delivery) = next {
        match delivery.kind {
            EventKind::FirstToken => tickets.counters.produced(1),
            EventKind::Tokens(n) => tickets.counters.produced(n.into()),
            EventKind::Done => {
                tickets.open -= 1;
                if tickets.open == 0 {
                    return Ok(());
                }
            }
        }
        next = tickets.events.recv().await;
    }
    Err(Refusal::Stopping)
}

fn describe(shared: &Shared, ask: &Ask, tokens: u32, cached: &[u32], number: u64) -> Answer {
    let inner = &shared.inner;
    let reasoning = if ask.task == Task::Chat { reasoning_tokens(tokens, inner.spec.reasoning_share.0) } else { 0 };
    Answer {
        number,
        created: inner.clock.wall_now_ns() / 1_000_000_000,
        model: inner.model.clone(),
        task: ask.task,
        choices: u32::try_from(ask.prompts.len()).unwrap_or(u32::MAX),
        tokens,
        reasoning,
        prompt_tokens: ask.prompts.iter().map(|p| u64::from(p.tokens)).sum(),
        cached_tokens: cached.iter().map(|c| u64::from(*c)).sum(),
        logprobs: ask.logprobs,
        include_usage: ask.include_usage,
    }
}

fn embeddings(shared: &Shared, ask: &Ask, answer: &Answer) -> Value {
    let spec = &shared.inner.spec;
    let data: Vec<Value> = (0_u32..)
        .zip(&ask.prompts)
        .map(|(index, prompt)| {
            let vector = words::vector(&prompt.text, spec.embedding_dimension, spec.embedding_normalised);
            json!({ "object": "embedding", "index": index, "embedding": vector })
        })
        .collect();
    let usage = json!({ "prompt_tokens": answer.prompt_tokens, "total_tokens": answer.prompt_tokens });
    json!({ "object": "list", "data": data, "model": answer.model, "usage": usage })
}
