//! The paths of the emulated Databricks control plane.

use super::endpoint_metrics::{self, Measured};
use super::refusal::json_response;
use super::routes::Shared;
use super::workspace::Workspace;
use super::workspace::access::Caller;
use super::workspace::config::Product;
use super::workspace::fault::Fault;
use crate::base::time::Nanos;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::{get, patch, post, put};
use serde_json::Value;

type Answer = Response<Body>;

/// All paths under `/api`.
pub(super) fn router() -> Router<Shared> {
    let endpoints = "/api/2.0/serving-endpoints";
    let at = |path: &str| format!("{endpoints}{path}");
    let catalog = |path: &str| format!("/api/2.1/unity-catalog/models/{{model}}{path}");
    Router::new()
        .route(endpoints, get(list).post(|s, h, b| create(s, h, b, Product::General)))
        .route(&at("/pt"), post(|s, h, b| create(s, h, b, Product::ModelUnits)))
        .route(&at("/pt/{name}/config"), put(|s, h, p, b| update(s, h, p, b, Product::ModelUnits)))
        .route(&at("/get-model-optimization-info/{model}/{version}"), get(optimization_info))
        .route(&at("/{name}"), get(read).delete(delete))
        .route(&at("/{name}/config"), put(|s, h, p, b| update(s, h, p, b, Product::General)))
        .route(&at("/{name}/tags"), patch(tags))
        .route(&at("/{name}/metrics"), get(metrics))
        .route(&at("/{name}/ai-gateway"), put(|s, h, p, b| keep(s, h, p, b, "ai_gateway")))
        .route(&at("/{name}/notifications"), patch(|s, h, p, b| keep(s, h, p, b, "email_notifications")))
        .route(&at("/{name}/telemetry-config"), patch(|s, h, p, b| keep(s, h, p, b, "telemetry_config")))
        .route(&at("/{name}/served-models/{entity}/build-logs"), get(build_logs))
        .route(&at("/{name}/served-models/{entity}/logs"), get(build_logs))
        .route(
            "/api/2.0/permissions/serving-endpoints/{id}",
            get(permissions).patch(|s, h, p, b| grant(s, h, p, b, false)).put(|s, h, p, b| grant(s, h, p, b, true)),
        )
        .route(&catalog("/versions"), get(versions))
        .route(&catalog("/versions/{version}"), get(version))
        .route(&catalog("/aliases/{alias}"), get(alias))
}

/// The token behind `Bearer`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

/// The answer to what is wrong.
pub(super) fn refuse(shared: &Shared, fault: &Fault) -> Answer {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(status, &fault.body(shared.next_request()));
    if fault.status == 429 {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1));
    }
    response
}

/// Asks the workspace as the caller that the headers name, and starts what that changed.
async fn ask(shared: &Shared, headers: &HeaderMap, question: impl FnOnce(&mut Workspace, Nanos, &Caller) -> Result<Value, Fault>) -> Answer {
    let mut plane = shared.plane().lock().await;
    let now = shared.clock().now();
    let caller = plane.workspace.access().caller(now, bearer(headers));
    let answer = caller.and_then(|caller| question(&mut plane.workspace, now, &caller));
    if let Err(error) = plane.settle().await {
        let fault = Fault { status: 500, code: "INTERNAL_ERROR", message: format!("The emulation cannot start an endpoint: {error}.") };
        return refuse(shared, &fault);
    }
    match answer {
        Ok(value) => json_response(StatusCode::OK, &value),
        Err(fault) => refuse(shared, &fault),
    }
}

fn read_body(body: &Bytes) -> Result<Value, Fault> {
    let malformed = |message: String| Fault { status: 400, code: "MALFORMED_REQUEST", message };
    let value: Value = serde_json::from_slice(body).map_err(|e| malformed(format!("Could not parse request object: {e}")))?;
    if value.is_object() { Ok(value) } else { Err(malformed("Could not parse request object: expected a JSON object.".to_owned())) }
}

async fn create(State(shared): State<Shared>, headers: HeaderMap, body: Bytes, product: Product) -> Answer {
    ask(&shared, &headers, |w, now, caller| w.create(now, caller, &read_body(&body)?, product)).await
}

async fn update(State(shared): State<Shared>, headers: HeaderMap, Path(name): Path<String>, body: Bytes, product: Product) -> Answer {
    ask(&shared, &headers, |w, now, caller| w.update_config(now, caller, &name, &read_body(&body)?, product)).await
}

async fn list(State(shared): State<Shared>, headers: HeaderMap) -> Answer {
    ask(&shared, &headers, |w, now, caller| Ok(w.list(now, caller))).await
}

async fn read(State(shared): State<Shared>, headers: HeaderMap, Path(name): Path<String>) -> Answer {
    let asleep = asleep(&shared, &name).await;
    ask(&shared, &headers, |w, now, caller| {
        let mut shown = w.get(now, caller, &name)?;
        for list in ["served_entities", "served_models"] {
            let entities = shown.pointer_mut(&format!("/config/{list}")).and_then(Value::as_array_mut).into_iter().flatten();
            for entity in entities.filter(|e| asleep.iter().any(|name| e["name"] == name.as_str())) {
                entity["state"]["deployment_state_message"] = Value::from("Scaled to zero");
            }
        }
        Ok(shown)
    })
    .await
}

/// The served entities of an endpoint that have no chunk now.
async fn asleep(shared: &Shared, name: &str) -> Vec<String> {
    let backends = shared.plane().lock().await.backends(name);
    let mut asleep = Vec::new();
    for (entity, backend) in backends {
        if backend.look().await.ready == 0 {
            asleep.push(entity);
        }
    }
    asleep
}

async fn delete(State(shared): State<Shared>, headers: HeaderMap, Path(name): Path<String>) -> Answer {
    ask(&shared, &headers, |w, now, caller| w.delete(now, caller, &name)).await
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap, Path(name): Path<String>) -> Answer {
    let allowed = ask(&shared, &headers, |w, now, caller| w.get(now, caller, &name)).await;
    if allowed.status() != StatusCode::OK {
        return allowed;
    }
    let backends = shared.plane().lock().await.backends(&name);
    let mut measured = Vec::with_capacity(backends.len());
    for (entity, backend) in &backends {
        measured.push(Measured { name: entity.clone(), counters: backend.counters(), state: backend.look().await, max_batch: backend.max_batch() });
    }
    let mut response = Response::new(Body::from(endpoint_metrics::text(&name, &measured)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    response
}

async fn tags(State(shared): State<Shared>, headers: HeaderMap, Path(name): Path<String>, body: Bytes) -> Answer {
    ask(&shared, &headers, |w, now, caller| w.patch_tags(now, caller, &name, &read_body(&body)?)).await
}

async fn keep(State(shared): State<Shared>, headers: HeaderMap, Path(name): Path<String>, body: Bytes, key: &'static str) -> Answer {
    ask(&shared, &headers, |w, now, caller| w.put_kept(now, caller, &name, key, read_body(&body)?)).await
}

async fn build_logs(State(shared): State<Shared>, headers: HeaderMap, Path((name, entity)): Path<(String, String)>) -> Answer {
    ask(&shared, &headers, |w, now, caller| w.build_logs(now, caller, &name, &entity)).await
}

async fn permissions(State(shared): State<Shared>, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    ask(&shared, &headers, |w, now, caller| w.permissions(now, caller, &id)).await
}

async fn grant(State(shared): State<Shared>, headers: HeaderMap, Path(id): Path<String>, body: Bytes, replaces: bool) -> Answer {
    ask(&shared, &headers, |w, now, caller| w.grant(now, caller, &id, &read_body(&body)?, replaces)).await
}

async fn optimization_info(State(shared): State<Shared>, headers: HeaderMap, Path((model, version)): Path<(String, String)>) -> Answer {
    ask(&shared, &headers, |w, _, _| w.catalog().optimization_info(&model, &version)).await
}

async fn versions(State(shared): State<Shared>, headers: HeaderMap, Path(model): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let query = query.unwrap_or_default();
    let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    ask(&shared, &headers, |w, _, _| {
        let most = value("max_results").map(|n| n.parse().map_err(|_| Fault::invalid("max_results must be a whole number."))).transpose()?;
        w.catalog().versions(&model, most, value("page_token").filter(|token| !token.is_empty()))
    })
    .await
}

async fn version(State(shared): State<Shared>, headers: HeaderMap, Path((model, version)): Path<(String, String)>) -> Answer {
    ask(&shared, &headers, |w, _, _| w.catalog().version(&model, &version)).await
}

async fn alias(State(shared): State<Shared>, headers: HeaderMap, Path((model, alias)): Path<(String, String)>) -> Answer {
    ask(&shared, &headers, |w, _, _| w.catalog().alias(&model, &alias)).await
}
