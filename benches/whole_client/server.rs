//! The null server: hyper on one thread, which answers as the path says and logs what it saw.

use super::alarm::{Alarms, now_ns};
use super::answer::{Answer, MODELS, Parts, REPLY};
use super::judge::Log;
use super::process;
use super::stream::Stream;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{TcpListener, TcpSocket};

type Reply = Response<Either<Full<Bytes>, Stream>>;

struct Server {
    log: Arc<Mutex<Log>>,
    alarms: Arc<Alarms>,
    parts: Mutex<HashMap<(u32, u32, bool), Arc<Parts>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `serve`: prints its port, then serves until it is killed or its parent dies.
pub fn main() -> Result<(), String> {
    process::end_with_parent();
    process::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4().map_err(|e| e.to_string())?;
        socket.bind(([127, 0, 0, 1], 0).into()).map_err(|e| e.to_string())?;
        let listener = socket.listen(8192).map_err(|e| e.to_string())?;
        println!("{}", listener.local_addr().map_err(|e| e.to_string())?.port());
        let server = Arc::new(Server { log: Arc::default(), alarms: Alarms::start()?, parts: Mutex::default() });
        accept(&listener, &server).await
    })
}

async fn accept(listener: &TcpListener, server: &Arc<Server>) -> Result<(), String> {
    loop {
        let (socket, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("null server: accept: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        let _ = socket.set_nodelay(true);
        locked(&server.log).connections += 1;
        let server = Arc::clone(server);
        tokio::spawn(async move {
            let service = service_fn(|request| respond(Arc::clone(&server), request));
            // A client that goes away in the middle is its own affair; the log shows an answer that did not finish.
            let _ = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn respond(server: Arc<Server>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let arrival = now_ns();
    let path = request.uri().path().to_owned();
    if path.starts_with("/control/") {
        return Ok(control(&server, &path));
    }
    if request.method() == Method::GET {
        return Ok(json(Bytes::from_static(MODELS.as_bytes())));
    }
    let Some(answer) = Answer::of(&path) else {
        let mut reply = json(Bytes::from_static(b"{\"error\":\"the path does not say how to answer\"}"));
        *reply.status_mut() = StatusCode::NOT_FOUND;
        return Ok(reply);
    };
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if answer.tokens == 0 {
        let mut log = locked(&server.log);
        log.arrival(arrival);
        log.wrote(now_ns(), 1);
        log.finished += 1;
        return Ok(json(Bytes::from_static(REPLY.as_bytes())));
    }
    locked(&server.log).arrival(arrival);
    let is_chat = path.ends_with("/chat/completions");
    let parts =
        Arc::clone(locked(&server.parts).entry((answer.tokens, answer.per_write, is_chat)).or_insert_with(|| Arc::new(Parts::of(answer, is_chat))));
    let with_usage = body.windows(15).any(|w| w == b"\"include_usage\"");
    let stream = Stream::new(answer, parts, with_usage, Arc::clone(&server.log), Arc::clone(&server.alarms), arrival);
    let mut reply = Response::new(Either::Right(stream));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    Ok(reply)
}

fn control(server: &Server, path: &str) -> Reply {
    let mut log = locked(&server.log);
    match path {
        "/control/reset" => {
            log.reset();
            json(Bytes::from_static(b"{}"))
        }
        "/control/open" => json(Bytes::from(log.open.0.to_string())),
        _ => json(serde_json::to_vec(&log.truth()).unwrap_or_default().into()),
    }
}

fn json(body: Bytes) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(body)));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}
