//! The client against small servers written by hand, one for each way in which an answer can come or fail to come.
#![expect(clippy::unwrap_used, reason = "the servers of a test stop with it")]

use plimsoll::base::clock::Clock;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::TimeSpan;
use plimsoll::client::auth::{Secret, bearer};
use plimsoll::client::control;
use plimsoll::client::{Client, Line};
use plimsoll::protocol::openai;
use plimsoll::record::outcome::Outcome;
use plimsoll::record::request::{Phase, RequestRecord, TokenSource};
use plimsoll::scenario::target::{Api, Auth, Target, Task, Timeouts};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What a server does with one request: these bytes, in pieces, each flushed on its own; then what comes after.
#[derive(Clone)]
struct Script {
    pieces: Vec<Vec<u8>>,
    after: After,
}

#[derive(Clone, Copy, PartialEq)]
enum After {
    /// Wait for the next request on the same connection.
    KeepAlive,
    /// Close in good order.
    Close,
    /// Say nothing more, and keep the connection open.
    Stall,
    /// Reset the connection.
    Reset,
}

impl Script {
    fn new(text: impl Into<Vec<u8>>, after: After) -> Self {
        Self { pieces: vec![text.into()], after }
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A server on a free port of this machine that plays one script a request, in order, over as many connections as it takes.
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<u32>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(scripts: Vec<Script>) -> Self {
        Self::start_tls(scripts, None).await
    }

    async fn start_tls(scripts: Vec<Script>, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (seen, count) = (Arc::clone(&requests), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            let mut scripts = scripts.into_iter();
            let mut held = Vec::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                *count.lock().unwrap() += 1;
                if let Some(acceptor) = &tls {
                    if let Ok(mut secure) = acceptor.accept(stream).await {
                        play(&mut secure, &mut scripts, &seen).await;
                        secure.shutdown().await.ok();
                    }
                    continue;
                }
                let mut stream = stream;
                match play(&mut stream, &mut scripts, &seen).await {
                    After::Reset => stream.set_zero_linger().unwrap(),
                    After::Stall => held.push(stream),
                    After::Close | After::KeepAlive => {}
                }
            }
        });
        Self { port, requests, connections, task }
    }

    fn request(&self, index: usize) -> String {
        self.requests.lock().unwrap()[index].clone()
    }

    fn connections(&self) -> u32 {
        *self.connections.lock().unwrap()
    }
}

async fn play(stream: &mut dyn Io, scripts: &mut impl Iterator<Item = Script>, seen: &Mutex<Vec<String>>) -> After {
    loop {
        let Some(request) = read_request(stream).await else { return After::Close };
        seen.lock().unwrap().push(request);
        let Some(script) = scripts.next() else { return After::Close };
        for piece in script.pieces {
            if stream.write_all(&piece).await.is_err() || stream.flush().await.is_err() {
                return After::Close;
            }
            tokio::task::yield_now().await;
        }
        if script.after != After::KeepAlive {
            return script.after;
        }
    }
}

/// Head and body of one request; `None` when the connection ends before.
async fn read_request(stream: &mut dyn Io) -> Option<String> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(|n| n.parse::<usize>().unwrap()));
            if body.len() >= length.unwrap_or(0) {
                return Some(text.into_owned());
            }
        }
        let n = stream.read(&mut buffer).await.ok()?;
        if n == 0 {
            return None;
        }
        request.extend_from_slice(&buffer[..n]);
    }
}

const A: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"h\u{e9}llo\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A chunked stream of these events.
fn stream(events: &[&str]) -> String {
    let mut text = stream_head();
    for event in events {
        text = text + &format!("{:x}\r\n", event.len()) + event + "\r\n";
    }
    text + "0\r\n\r\n"
}

fn stream_head() -> String {
    "HTTP/1.1 200 OK\r\nserver: scripted\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()
}

/// A stream cut off after these events: neither an end nor a last chunk.
fn cut_stream(events: &[&str]) -> String {
    stream(events).trim_end_matches("0\r\n\r\n").to_owned()
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn good() -> Script {
    Script::new(stream(&[A, A, STOP, USAGE, DONE]), After::KeepAlive)
}

fn target(port: u16) -> Target {
    Target { url: Some(format!("http://127.0.0.1:{port}")), ..Target::default() }
}

fn client(target: &Target) -> Caller {
    caller(Client::new(target, Path::new("/"), None, Clock::start()))
}

/// A client and one line of it.
struct Caller {
    client: Rc<Client>,
    line: RefCell<Line>,
}

impl std::ops::Deref for Caller {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

fn caller(client: Result<Client, plimsoll::client::Error>) -> Caller {
    let client = Rc::new(client.unwrap());
    let line = RefCell::new(client.line());
    Caller { client, line }
}

#[expect(clippy::await_holding_refcell_ref, reason = "no test asks twice at once")]
async fn ask(caller: &Caller, target: &Target) -> RequestRecord {
    let mut record = RequestRecord::due(3, Phase::Measure, Nanos::ZERO, 5, 2);
    let call = openai::call(target, 2, "hello");
    let mut line = caller.line.borrow_mut();
    let clock = Clock::start();
    let sweeper = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            caller.sweep(clock.now());
        }
    };
    tokio::select! {
        () = line.execute(&call, &mut record) => {}
        () = sweeper => {}
    }
    record
}

/// One request against a server that plays `script`.
async fn one(script: Script) -> (RequestRecord, Vec<(Outcome, String)>) {
    one_with(script, |_| ()).await
}

async fn one_with(script: Script, change: impl FnOnce(&mut Target)) -> (RequestRecord, Vec<(Outcome, String)>) {
    let server = Server::start(vec![script]).await;
    let mut target = target(server.port);
    change(&mut target);
    let client = client(&target);
    let record = ask(&client, &target).await;
    (record, client.examples())
}

#[tokio::test]
async fn a_stream_becomes_a_record() {
    let server = Server::start(vec![good()]).await;
    let target = target(server.port);
    let client = client(&target);
    let record = ask(&client, &target).await;
    assert_eq!((record.outcome, record.status, record.seq), (Outcome::Ok, 200, 3));
    assert_eq!((record.input_tokens, record.output_tokens, record.token_source), (9, 2, TokenSource::Usage));
    assert!(!record.notes.reused_connection && record.connect > Nanos::ZERO && record.tls == Nanos::ZERO);
    let instants = [record.sent, record.first_byte, record.first_token, record.last_token, Some(record.closed)].map(Option::unwrap);
    assert!(instants.is_sorted(), "{instants:?}");
    let request = server.request(0);
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: 127.0.0.1:{}\r\n", server.port)) && request.contains("user-agent: plimsoll/"), "{request}");
    assert!(!request.contains("authorization"), "{request}");
    assert_eq!(client.identity().server.as_deref(), Some("scripted"));
    assert!(client.examples().is_empty());
}

/// forall sizes of pieces: the same record, whatever the cuts, inside letters and inside chunk headers too.
#[tokio::test]
async fn odd_cuts_change_nothing() {
    let text = stream(&[A, A, STOP, USAGE, DONE]).into_bytes();
    for size in [1, 2, 3, 7, 50] {
        let pieces = text.chunks(size).map(<[u8]>::to_vec).collect();
        let (record, _) = one(Script { pieces, after: After::KeepAlive }).await;
        assert_eq!((record.outcome, record.counted_tokens, record.chunks.len(), record.output_tokens), (Outcome::Ok, 2, 2, 2));
    }
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let server = Server::start(vec![good(), good(), good()]).await;
    let target = target(server.port);
    let client = client(&target);
    let reused: Vec<bool> = [ask(&client, &target).await, ask(&client, &target).await, ask(&client, &target).await]
        .iter()
        .map(|record| {
            assert!(record.is_ok());
            assert!(!record.notes.reused_connection || record.connect == Nanos::ZERO);
            record.notes.reused_connection
        })
        .collect();
    assert_eq!(reused, [false, true, true]);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_costs_nothing_but_a_new_one() {
    let closing = Script { after: After::Close, ..good() };
    let server = Server::start(vec![closing, Script { after: After::Reset, ..good() }, good()]).await;
    let target = target(server.port);
    let client = client(&target);
    for _ in 0..3 {
        let record = ask(&client, &target).await;
        assert_eq!(record.outcome, Outcome::Ok, "{:?}", client.examples());
        assert!(!record.notes.reused_connection);
    }
    assert_eq!((server.connections(), server.requests.lock().unwrap().len()), (3, 3));
}

/// The server takes a second request on a kept connection and closes without a byte: sent once more. On the fresh one: not again.
#[tokio::test]
async fn a_silent_close_is_retried_once_and_only_on_a_kept_connection() {
    let silent = || Script::new("", After::Close);
    let server = Server::start(vec![good(), silent(), silent(), good()]).await;
    let target = target(server.port);
    let client = client(&target);
    assert!(ask(&client, &target).await.is_ok());
    let record = ask(&client, &target).await;
    assert_eq!((record.outcome, record.notes.reused_connection), (Outcome::Unreachable, false));
    assert_eq!((server.connections(), server.requests.lock().unwrap().len()), (2, 3));
    let server = Server::start(vec![good(), silent(), good()]).await;
    let again = target_like(&target, server.port);
    let client = self::client(&again);
    assert!(ask(&client, &again).await.is_ok());
    assert!(ask(&client, &again).await.is_ok());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_breaks_inside_the_answer_is_not_retried() {
    let server = Server::start(vec![good(), Script::new("HTTP/1.1 2", After::Close), good()]).await;
    let target = target(server.port);
    let client = client(&target);
    assert!(ask(&client, &target).await.is_ok());
    assert_eq!(ask(&client, &target).await.outcome, Outcome::Truncated);
    assert_eq!(server.requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn every_refusal_has_its_class() {
    let limit = r#"{"error":{"type":"rate_limit_exceeded","retry_after":15}}"#;
    for (script, class, retry_after) in [
        (reply("401 Unauthorized", "", "who are you"), Outcome::Unauthorized, None),
        (reply("403 Forbidden", "", "not you"), Outcome::Unauthorized, None),
        (reply("404 Not Found", "", "nothing"), Outcome::NotFound, None),
        (reply("400 Bad Request", "", "what"), Outcome::BadRequest, None),
        (reply("429 Too Many Requests", "retry-after: 2\r\n", "busy"), Outcome::ThrottledCapacity, Some(Nanos::from_secs(2))),
        (reply("429 Too Many Requests", "", limit), Outcome::ThrottledLimit, Some(Nanos::from_secs(15))),
        (reply("500 Internal Server Error", "", "<html>oops"), Outcome::ServerError, None),
        (reply("503 Service Unavailable", "retry-after: 1\r\n", ""), Outcome::ServerError, Some(Nanos::from_secs(1))),
        (reply("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n", ""), Outcome::Redirect, None),
    ] {
        let (record, examples) = one(Script::new(script.clone(), After::KeepAlive)).await;
        assert_eq!((record.outcome, record.retry_after), (class, retry_after), "{script}");
        assert_eq!(record.status.to_string(), script[9..12]);
        assert_eq!(examples.len(), 1);
    }
}

#[tokio::test]
async fn broken_answers_have_their_class() {
    let error = "data: {\"error\":{\"message\":\"out of memory\"}}\n\n";
    for (script, class) in [
        (Script::new(stream(&[A, STOP]), After::KeepAlive), Outcome::Ok),
        (Script::new(stream(&[A, error, DONE]), After::KeepAlive), Outcome::InBandError),
        (Script::new(stream(&[A]), After::KeepAlive), Outcome::Truncated),
        (Script::new(cut_stream(&[A]), After::Close), Outcome::Truncated),
        (Script::new(cut_stream(&[A]), After::Reset), Outcome::Truncated),
        (Script::new(cut_stream(&[A, A, STOP, USAGE, DONE]), After::Close), Outcome::Ok),
        (Script::new(stream(&[STOP, DONE]), After::KeepAlive), Outcome::Empty),
        (Script::new(stream(&["data: nonsense\n\n"]), After::KeepAlive), Outcome::Malformed),
        (Script::new(reply("200 OK", "content-type: text/html\r\n", "<html>"), After::KeepAlive), Outcome::Malformed),
        (Script::new(reply("200 OK", "content-type: application/json\r\n", r#"{"error":"no"}"#), After::KeepAlive), Outcome::InBandError),
        (Script::new("", After::Close), Outcome::Unreachable),
        (Script::new("", After::Reset), Outcome::Unreachable),
        (Script::new("HTTP/1.1 200 OK\r\ncont", After::Close), Outcome::Truncated),
        (Script::new("SSH-2.0-OpenSSH_9.2\r\n\r\n", After::Close), Outcome::Malformed),
    ] {
        let text = String::from_utf8_lossy(&script.pieces[0]).into_owned();
        let (record, examples) = one(script).await;
        assert_eq!(record.outcome, class, "{text}: {examples:?}");
        assert_eq!(examples.is_empty(), class == Outcome::Ok, "{text}: {examples:?}");
    }
}

#[tokio::test]
async fn what_is_missing_is_noted() {
    let (record, _) = one(Script::new(stream(&[A, STOP]), After::KeepAlive)).await;
    assert!(record.notes.missing_done && record.notes.missing_usage && record.notes.length_mismatch);
    assert_eq!((record.token_source, record.output_tokens, record.input_tokens), (TokenSource::Chunks, 1, 5));
}

#[tokio::test]
async fn whole_answers_and_embeddings_work_too() {
    let chat = r#"{"choices":[{"message":{"content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":2}}"#;
    let (record, _) = one_with(Script::new(reply("200 OK", "", chat), After::KeepAlive), |t| t.stream = false).await;
    assert_eq!((record.outcome, record.output_tokens, record.first_token), (Outcome::Ok, 2, record.last_token));
    assert!(record.first_token.is_some());
    let vector = r#"{"data":[{"embedding":[3,4]}],"usage":{"prompt_tokens":4}}"#;
    let embed = |dimension| {
        move |t: &mut Target| {
            t.task = Task::Embeddings;
            t.embedding_dimension = Some(dimension);
        }
    };
    let (record, _) = one_with(Script::new(reply("200 OK", "", vector), After::KeepAlive), embed(2)).await;
    assert!(record.is_ok() && record.notes.not_normalised && record.output_tokens == 0);
    let (record, examples) = one_with(Script::new(reply("200 OK", "", vector), After::KeepAlive), embed(3)).await;
    assert_eq!(record.outcome, Outcome::Malformed, "{examples:?}");
    let cut = Script::new("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"choices\":", After::Close);
    assert_eq!(one_with(cut, |t| t.stream = false).await.0.outcome, Outcome::Truncated);
}

#[tokio::test]
async fn silence_ends_in_the_timeout_of_its_stage() {
    let hour = TimeSpan::secs(3600);
    let calm = Timeouts { connect: hour, first_byte: hour, idle: hour, total: hour };
    let short = TimeSpan::millis(30);
    let silent = Script::new("", After::Stall);
    let begun = Script::new(cut_stream(&[A]), After::Stall);
    for (script, timeouts, class) in [
        (silent.clone(), Timeouts { first_byte: short, ..calm.clone() }, Outcome::TimeoutFirstByte),
        (silent, Timeouts { total: short, ..calm.clone() }, Outcome::TimeoutTotal),
        (begun.clone(), Timeouts { idle: short, ..calm.clone() }, Outcome::TimeoutIdle),
        (begun, Timeouts { total: short, ..calm.clone() }, Outcome::TimeoutTotal),
        (Script::new(cut_stream(&[A, A, STOP, DONE]), After::Stall), Timeouts { idle: short, ..calm.clone() }, Outcome::Ok),
    ] {
        let (record, examples) = one_with(script, |t| t.timeouts = timeouts).await;
        assert_eq!(record.outcome, class, "{examples:?}");
        assert!(record.closed.since(record.sent.unwrap()) >= Nanos::from_millis(30));
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_a_connect_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut target = target(silent.local_addr().unwrap().port());
    target.url = target.url.map(|url| url.replace("http:", "https:"));
    target.tls.insecure = true;
    target.timeouts.connect = TimeSpan::millis(30);
    assert_eq!(ask(&client(&target), &target).await.outcome, Outcome::TimeoutConnect);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let client_ = client(&target(port));
    let record = ask(&client_, &target(port)).await;
    assert_eq!((record.outcome, record.status), (Outcome::Unreachable, 0));
    assert!(client_.examples()[0].1.contains("connect to 127.0.0.1"), "{:?}", client_.examples());
    let mut unknown = target(1);
    unknown.url = Some("http://no-such-host.invalid".to_owned());
    let client_ = client(&unknown);
    assert_eq!(ask(&client_, &unknown).await.outcome, Outcome::Unreachable);
    assert!(client_.examples()[0].1.contains("no-such-host.invalid"));
}

#[tokio::test]
async fn stop_ends_a_request_at_once() {
    let server = Server::start(vec![Script::new(cut_stream(&[A]), After::Stall)]).await;
    let target = target(server.port);
    let client = client(&target);
    let requests = Arc::clone(&server.requests);
    let stopper = async {
        while requests.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        client.cut(Outcome::Cancelled);
    };
    let (record, ()) = tokio::join!(ask(&client, &target), stopper);
    assert_eq!(record.outcome, Outcome::Cancelled);
    let record = ask(&client, &target).await;
    assert_eq!((record.outcome, record.sent), (Outcome::Cancelled, None), "nothing was sent");
}

#[tokio::test]
async fn a_token_is_sent_and_never_repeated() {
    let echo = Script::new(reply("401 Unauthorized", "", "bad token dapi-canary"), After::KeepAlive);
    let server = Server::start(vec![echo]).await;
    let mut target = target(server.port);
    target.auth = Auth::BearerEnv("TOKEN".to_owned());
    let token = bearer(&target.auth, Path::new("/"), |_| Some("dapi-canary\n".to_owned())).unwrap();
    let client = caller(Client::new(&target, Path::new("/"), token, Clock::start()));
    assert_eq!(ask(&client, &target).await.outcome, Outcome::Unauthorized);
    assert!(server.request(0).contains("authorization: Bearer dapi-canary\r\n"));
    assert_eq!(client.examples(), [(Outcome::Unauthorized, "bad token ***".to_owned())]);
}

#[tokio::test]
async fn certificates_are_verified() {
    let pki = Pki::new();
    let answers = || vec![good(), good()];
    let server = Server::start_tls(answers(), Some(pki.acceptor(false))).await;
    let mut target = target(server.port);
    target.url = Some(format!("https://localhost:{}", server.port));
    target.tls.ca = Some("ca.pem".into());
    let trusting = caller(Client::new(&target, pki.dir.path(), None, Clock::start()));
    let record = ask(&trusting, &target).await;
    assert!(record.is_ok() && record.tls > Nanos::ZERO, "{:?}", trusting.examples());
    drop(trusting);
    // The right authority, the wrong name.
    target.url = Some(format!("https://127.0.0.1:{}", server.port));
    let elsewhere = caller(Client::new(&target, pki.dir.path(), None, Clock::start()));
    assert_eq!(ask(&elsewhere, &target).await.outcome, Outcome::Tls);
    // An authority that nobody here knows.
    let other = Pki::new();
    target.url = Some(format!("https://localhost:{}", server.port));
    let doubting = caller(Client::new(&target, other.dir.path(), None, Clock::start()));
    assert_eq!(ask(&doubting, &target).await.outcome, Outcome::Tls);
    assert!(doubting.examples()[0].1.contains("TLS with localhost"), "{:?}", doubting.examples());
    let probe = control::probe(&target, other.dir.path(), None).await.unwrap_err().to_string();
    assert!(probe.contains("TLS was refused") && probe.contains("target.tls.ca"), "{probe}");
    target.tls.insecure = true;
    target.tls.ca = None;
    let careless = caller(Client::new(&target, other.dir.path(), None, Clock::start()));
    assert!(ask(&careless, &target).await.is_ok(), "{:?}", careless.examples());
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_asked_for() {
    let pki = Pki::new();
    let server = Server::start_tls(vec![good()], Some(pki.acceptor(true))).await;
    let mut target = target(server.port);
    target.url = Some(format!("https://localhost:{}", server.port));
    target.tls.ca = Some("ca.pem".into());
    let nobody = caller(Client::new(&target, pki.dir.path(), None, Clock::start()));
    assert_eq!(ask(&nobody, &target).await.outcome, Outcome::Tls, "{:?}", nobody.examples());
    target.tls.cert = Some("client.pem".into());
    target.tls.key = Some("client.key".into());
    let known = caller(Client::new(&target, pki.dir.path(), None, Clock::start()));
    assert!(ask(&known, &target).await.is_ok(), "{:?}", known.examples());
}

#[tokio::test]
async fn a_probe_says_what_is_wrong_and_what_to_do() {
    let models = reply("200 OK", "server: vllm\r\n", r#"{"object":"list","data":[{"id":"llama"}]}"#);
    let no = |status: &str| Script::new(reply(status, "", "no"), After::KeepAlive);
    let server = Server::start(vec![Script::new(models, After::Close)]).await;
    let found = control::probe(&target(server.port), Path::new("/"), None).await.unwrap();
    assert_eq!((found.models, found.server.as_deref(), found.status), (vec!["llama".to_owned()], Some("vllm"), 200));
    let server = Server::start(vec![no("404 Not Found"), no("405 Method Not Allowed")]).await;
    let found = control::probe(&target(server.port), Path::new("/"), None).await.unwrap();
    assert!(found.status == 405 && found.url.ends_with("/v1/chat/completions"), "{found:?}");
    for (scripts, words) in [
        (vec![no("401 Unauthorized")], ["status 401", "none was sent", "bearer_env"]),
        (vec![no("404 Not Found"), no("404 Not Found")], ["status 404", "/v1/chat/completions", "target.url"]),
        (vec![no("500 Internal Server Error")], ["status 500", "/v1/models", "expected status 200"]),
    ] {
        let server = Server::start(scripts).await;
        let text = control::probe(&target(server.port), Path::new("/"), None).await.unwrap_err().to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let text = control::probe(&target(port), Path::new("/"), None).await.unwrap_err().to_string();
    assert!(text.contains("connection refused") && text.contains("start the server"), "{text}");
    let unknown = Target { url: Some("http://no-such-host.invalid".to_owned()), ..Target::default() };
    let text = control::probe(&unknown, Path::new("/"), None).await.unwrap_err().to_string();
    assert!(text.contains("no host of this name"), "{text}");
}

#[tokio::test]
async fn the_control_plane_of_a_workspace_is_asked_by_its_paths() {
    let ready = reply("200 OK", "", r#"{"name":"e","state":{"ready":"READY"}}"#);
    let server = Server::start(vec![Script::new(ready, After::Close)]).await;
    let base = format!("http://127.0.0.1:{}/serving-endpoints", server.port);
    let token = Secret::new("dapi-canary".to_owned());
    let target = Target { api: Api::Databricks, endpoint: Some("e".to_owned()), url: Some(base), ..Target::default() };
    let found = control::probe(&target, Path::new("/"), Some(&token)).await.unwrap();
    assert_eq!(found.ready.as_deref(), Some("READY"));
    assert!(server.request(0).starts_with("GET /api/2.0/serving-endpoints/e "));
    assert!(server.request(0).contains("authorization: Bearer dapi-canary"));
}

fn target_like(like: &Target, port: u16) -> Target {
    Target { url: target(port).url, ..like.clone() }
}

#[test]
fn a_client_refuses_what_it_could_never_send() {
    let text = |change: fn(&mut Target)| {
        let mut target = target(1);
        change(&mut target);
        Client::new(&target, Path::new("/"), None, Clock::start()).map(|_| ()).unwrap_err().to_string()
    };
    assert!(text(|t| t.url = None).contains("target.url is missing"));
    assert!(text(|t| t.url = Some("nowhere".to_owned())).contains("target.url"));
    assert!(text(|t| t.path = Some("/a b".to_owned())).contains("target.path"));
    assert!(text(|t| drop(t.headers.insert("x y".to_owned(), "1".to_owned()))).contains("target.headers.x y"));
    assert!(text(|t| drop(t.headers.insert("x".to_owned(), "canary\n".to_owned()))).contains("target.headers.x"));
}

/// A certificate authority of our own with a server and a client certificate, as files.
struct Pki {
    dir: tempfile::TempDir,
    ca: rustls::pki_types::CertificateDer<'static>,
    server: rustls::pki_types::CertificateDer<'static>,
    server_key: Vec<u8>,
}

impl Pki {
    fn new() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let dir = tempfile::tempdir().unwrap();
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let client = CertificateParams::new(vec!["loader".to_owned()]).unwrap().signed_by(&client_key, &issuer).unwrap();
        for (name, text) in [("ca.pem", ca.pem()), ("client.pem", client.pem()), ("client.key", client_key.serialize_pem())] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self { dir, ca: ca.der().clone(), server: server.der().clone(), server_key: server_key.serialize_der() }
    }

    fn acceptor(&self, wants_client: bool) -> tokio_rustls::TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = if wants_client {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.ca.clone()).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = rustls::pki_types::PrivateKeyDer::try_from(self.server_key.clone()).unwrap();
        let config = builder.with_single_cert(vec![self.server.clone()], key).unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }
}
