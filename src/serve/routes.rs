//! The paths of the live endpoint and what each does.

use super::ask;
use super::backend::{Backend, Manners};
use super::control;
use super::oauth;
use super::plane::Plane;
use super::refusal::{Dialect, Refusal, json_response};
use crate::base::clock::Clock;
use crate::scenario::target::Task;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, header};
use axum::routing::{get, post};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// Larger bodies are refused with 413.
const MAX_BODY: usize = 16 << 20;

/// Tells which served entity answered.
const SERVED_MODEL: HeaderName = HeaderName::from_static("served-model-name");

/// What every handler needs.
#[derive(Clone)]
pub(super) struct Shared {
    inner: Arc<Inner>,
}

struct Inner {
    plane: Mutex<Plane>,
    clock: Clock,
    requests: AtomicU64,
}

impl Shared {
    pub(super) fn new(plane: Plane, clock: Clock) -> Self {
        Self { inner: Arc::new(Inner { plane: Mutex::new(plane), clock, requests: AtomicU64::new(0) }) }
    }

    pub(super) fn plane(&self) -> &Mutex<Plane> {
        &self.inner.plane
    }

    pub(super) fn clock(&self) -> Clock {
        self.inner.clock
    }

    /// Numbers refusals.
    pub(super) fn next_request(&self) -> u64 {
        self.inner.requests.fetch_add(1, Ordering::Relaxed)
    }

    async fn own(&self) -> Arc<Backend> {
        self.plane().lock().await.own()
    }
}

/// All paths.
pub(super) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(|s, b| openai(s, b, Task::Chat)))
        .route("/v1/completions", post(|s, b| openai(s, b, Task::Completions)))
        .route("/v1/embeddings", post(|s, b| openai(s, b, Task::Embeddings)))
        .route("/serving-endpoints/{name}/invocations", post(invocations))
        .route("/serving-endpoints/{name}/served-models/{entity}/invocations", post(entity_invocations))
        .route("/serving-endpoints/chat/completions", post(|s, h, b| by_model(s, h, b, Task::Chat)))
        .route("/serving-endpoints/completions", post(|s, h, b| by_model(s, h, b, Task::Completions)))
        .route("/serving-endpoints/embeddings", post(|s, h, b| by_model(s, h, b, Task::Embeddings)))
        .route("/v1/models", get(models))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .merge(control::router())
        .merge(oauth::router())
        .fallback(not_found)
        .method_not_allowed_fallback(|State(s): State<Shared>, uri: Uri| async move { refuse(&s, &Refusal::WrongMethod, dialect_of(&uri)).await })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

fn dialect_of(uri: &Uri) -> Dialect {
    if uri.path().starts_with("/api/") || uri.path().starts_with("/serving-endpoints/") { Dialect::Databricks } else { Dialect::OpenAi }
}

async fn not_found(State(shared): State<Shared>, uri: Uri) -> Response<Body> {
    refuse(&shared, &Refusal::NotFound(uri.path().to_owned()), dialect_of(&uri)).await
}

async fn health() -> &'static str {
    "ok"
}

async fn models(State(shared): State<Shared>) -> Response<Body> {
    let created = shared.clock().wall_origin_ns() / 1_000_000_000;
    let own = shared.own().await;
    let model = json!({ "id": own.model(), "object": "model", "created": created, "owned_by": "plimsoll" });
    json_response(StatusCode::OK, &json!({ "object": "list", "data": [model] }))
}

async fn metrics(State(shared): State<Shared>) -> Response<Body> {
    let own = shared.own().await;
    let mut response = Response::new(Body::from(own.counters().text(own.look().await)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}

async fn openai(State(shared): State<Shared>, body: Bytes, task: Task) -> Response<Body> {
    let own = shared.own().await;
    respond(&own, &body, Some(task), Dialect::OpenAi, Manners::default()).await
}

async fn invocations(State(shared): State<Shared>, headers: HeaderMap, Path(name): Path<String>, body: Bytes) -> Response<Body> {
    serve(&shared, &headers, &name, None, &body, None).await
}

async fn entity_invocations(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path((name, entity)): Path<(String, String)>,
    body: Bytes,
) -> Response<Body> {
    serve(&shared, &headers, &name, Some(&entity), &body, None).await
}

/// The OpenAI client with `base_url = {host}/serving-endpoints`: the model is the endpoint's name.
async fn by_model(State(shared): State<Shared>, headers: HeaderMap, body: Bytes, task: Task) -> Response<Body> {
    match ask::model(&body) {
        Ok(name) => serve(&shared, &headers, &name, None, &body, Some(task)).await,
        Err(error) => refuse(&shared, &Refusal::Ask(error), Dialect::Databricks).await,
    }
}

/// One call of the data plane of the workspace.
async fn serve(shared: &Shared, headers: &HeaderMap, name: &str, entity: Option<&str>, body: &[u8], task: Option<Task>) -> Response<Body> {
    let route = {
        let mut plane = shared.plane().lock().await;
        let now = shared.clock().now();
        plane.workspace.advance(now);
        if plane.settle().await.is_err() {
            return refuse(shared, &Refusal::Stopping, Dialect::Databricks).await;
        }
        let caller = plane.workspace.access().caller(now, control::bearer(headers)).map_err(Refusal::Control);
        caller.and_then(|caller| plane.route(now, &caller, name, entity))
    };
    match route {
        Ok(route) => {
            let mut response = respond(&route.backend, body, task, Dialect::Databricks, route.manners).await;
            if let Ok(entity) = HeaderValue::from_str(&route.entity) {
                response.headers_mut().insert(SERVED_MODEL, entity);
            }
            response
        }
        Err(Refusal::Control(fault)) => control::refuse(shared, &fault),
        Err(refusal) => refuse(shared, &refusal, Dialect::Databricks).await,
    }
}

async fn respond(backend: &Backend, body: &[u8], task: Option<Task>, dialect: Dialect, manners: Manners) -> Response<Body> {
    match backend.call(body, task, manners).await {
        Ok(response) => {
            backend.counters().answered(200);
            response
        }
        Err(refusal) => {
            backend.counters().answered(refusal.status().as_u16());
            refusal.response(dialect)
        }
    }
}

/// Refuses what never reached an endpoint; it is counted with the own one.
async fn refuse(shared: &Shared, refusal: &Refusal, dialect: Dialect) -> Response<Body> {
    shared.own().await.counters().answered(refusal.status().as_u16());
    refusal.response(dialect)
}
