//! A workspace that answers from a script, one answer a request, and remembers what it was asked.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// One answer.
#[derive(Clone)]
pub(crate) struct Answer {
    status: u16,
    kind: &'static str,
    body: Value,
    retry_after: Option<u64>,
}

pub(crate) fn answer(status: u16, body: Value) -> Answer {
    Answer { status, kind: "application/json", body, retry_after: None }
}

impl Answer {
    /// `{url}` in the body stands for the server's own URL.
    pub(crate) fn own_url(status: u16, body: Value) -> Self {
        answer(status, body)
    }

    pub(crate) fn html(status: u16, body: &str) -> Self {
        Self { status, kind: "text/html; charset=utf-8", body: body.into(), retry_after: None }
    }

    pub(crate) fn later(status: u16, secs: u64) -> Self {
        Self { retry_after: Some(secs), ..answer(status, serde_json::json!({ "error_code": "REQUEST_LIMIT_EXCEEDED", "message": "later" })) }
    }
}

/// One request.
#[derive(Clone)]
pub(crate) struct Asked {
    /// Method, path and query.
    pub(crate) line: String,
    pub(crate) body: String,
    headers: HeaderMap,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Clone)]
struct Shared {
    url: String,
    script: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// The server, on a thread and a port of its own. It ends when this is dropped.
pub(crate) struct Scripted {
    shared: Shared,
    _end: tokio::sync::oneshot::Sender<()>,
}

impl Scripted {
    pub(crate) fn start(script: Vec<Answer>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Shared { url, script: Arc::new(Mutex::new(script.into())), asked: Arc::default() };
        let app = Router::new().fallback(reply).with_state(shared.clone());
        let (end, ended) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    served = axum::serve(listener, app) => served.unwrap(),
                    _ = ended => {}
                }
            });
        });
        Self { shared, _end: end }
    }

    pub(crate) fn url(&self) -> String {
        self.shared.url.clone()
    }

    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

async fn reply(State(shared): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let line = format!("{method} {}", uri.path_and_query().map_or("", |path| path.as_str()));
    shared.asked.lock().unwrap().push(Asked { line, headers, body: String::from_utf8(body.to_vec()).unwrap() });
    let Some(answer) = shared.script.lock().unwrap().pop_front() else {
        return (StatusCode::IM_A_TEAPOT, "the script is at its end").into_response();
    };
    let text = answer.body.as_str().map_or_else(|| answer.body.to_string(), str::to_owned);
    let mut response = (StatusCode::from_u16(answer.status).unwrap(), text.replace("{url}", &shared.url)).into_response();
    response.headers_mut().insert("content-type", answer.kind.parse().unwrap());
    if let Some(secs) = answer.retry_after {
        response.headers_mut().insert("retry-after", secs.into());
    }
    response
}
