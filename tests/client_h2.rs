//! The client over HTTP/2: a stream for every request, and every way in which a server can take it away.
#![expect(clippy::unwrap_used, reason = "the servers of a test stop with it")]

use bytes::Bytes;
use plimsoll::base::clock::Clock;
use plimsoll::base::time::Nanos;
use plimsoll::client::Client;
use plimsoll::protocol::openai;
use plimsoll::record::outcome::Outcome;
use plimsoll::record::request::{Phase, RequestRecord};
use plimsoll::scenario::target::{HttpVersion, Target};
use std::cell::Cell;
use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};

const A: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"h\u{e9}llo\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn target(port: u16) -> Target {
    Target { url: Some(format!("http://127.0.0.1:{port}")), http: HttpVersion::Http2, ..Target::default() }
}

fn client(target: &Target) -> Rc<Client> {
    Rc::new(Client::new(target, Path::new("/"), None, Clock::start()).unwrap())
}

async fn ask_for(client: &Rc<Client>, target: &Target, prompt: &str) -> RequestRecord {
    let mut record = RequestRecord::due(3, Phase::Measure, Nanos::ZERO, 5, 2);
    client.line().execute(&openai::call(target, 2, prompt), &mut record).await;
    record
}

async fn ask(client: &Rc<Client>, target: &Target) -> RequestRecord {
    ask_for(client, target, "hello").await
}

/// Runs a test where tasks of one thread can be started.
fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// Serves every connection to a free port with `serve`, which is told its number from 0. Gives the port, and how many have come.
async fn listen<F: Future<Output = ()> + 'static>(serve: impl Fn(usize, TcpStream) -> F + 'static) -> (u16, Rc<Cell<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Rc::new(Cell::new(0));
    let seen = Rc::clone(&count);
    spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            spawn_local(serve(seen.replace(seen.get() + 1), stream));
        }
    });
    (port, count)
}

/// A server that answers well, each request once `gate` says so; tells `arrived` of every request.
#[derive(Clone)]
struct Good {
    settings: h2::server::Builder,
    arrived: Rc<watch::Sender<usize>>,
    gate: watch::Receiver<bool>,
}

impl Good {
    async fn serve<T: AsyncRead + AsyncWrite + Unpin>(self, io: T) {
        let Ok(mut connection) = self.settings.handshake::<_, Bytes>(io).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            let (arrived, gate) = (Rc::clone(&self.arrived), self.gate.clone());
            spawn_local(answer(request, respond, arrived, gate));
        }
    }
}

async fn answer(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    arrived: Rc<watch::Sender<usize>>,
    mut gate: watch::Receiver<bool>,
) {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/chat/completions"));
    assert!(request.uri().authority().is_some() && !request.headers().contains_key("host"));
    let length: usize = request.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let mut body = request.into_body();
    let mut received = 0;
    while let Some(piece) = body.data().await {
        let Ok(piece) = piece else { return };
        received += piece.len();
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert_eq!(received, length);
    arrived.send_modify(|n| *n += 1);
    gate.wait_for(|&open| open).await.unwrap();
    let head = http::Response::builder().header("content-type", "text/event-stream").header("server", "scripted").body(()).unwrap();
    let Ok(mut stream) = respond.send_response(head, false) else { return };
    for event in [A, A, STOP, USAGE, DONE] {
        stream.send_data(Bytes::from_static(event.as_bytes()), false).unwrap();
    }
    stream.send_data(Bytes::new(), true).unwrap();
}

/// A good server: its port, its connections, how many requests have arrived, and the gate of answers.
async fn good(settings: h2::server::Builder, is_open: bool) -> (u16, Rc<Cell<usize>>, watch::Receiver<usize>, watch::Sender<bool>) {
    let (arrived, seen) = watch::channel(0);
    let (open, gate) = watch::channel(is_open);
    let server = Good { settings, arrived: Rc::new(arrived), gate };
    let (port, connections) = listen(move |_, stream| server.clone().serve(stream)).await;
    (port, connections, seen, open)
}

/// What does not depend on clocks and ports.
fn timeless(record: &RequestRecord) -> RequestRecord {
    let mut r = record.clone();
    for at in [&mut r.sent, &mut r.first_byte, &mut r.first_token, &mut r.first_content, &mut r.last_token] {
        *at = at.map(|_| Nanos::ZERO);
    }
    (r.connect, r.closed) = (Nanos::ZERO, Nanos::ZERO);
    r.chunks.iter_mut().for_each(|chunk| chunk.gap = 0);
    r
}

#[test]
fn a_stream_becomes_the_record_that_http_1_gives() {
    on_one_thread(async {
        let (port, connections, ..) = good(h2::server::Builder::new(), true).await;
        let target = target(port);
        let client = client(&target);
        let record = ask(&client, &target).await;
        assert_eq!((record.outcome, record.status), (Outcome::Ok, 200), "{:?}", client.examples());
        let instants = [record.sent, record.first_byte, record.first_token, record.last_token, Some(record.closed)].map(Option::unwrap);
        assert!(instants.is_sorted(), "{instants:?}");
        assert!(record.connect > Nanos::ZERO && record.tls == Nanos::ZERO && record.stream_wait == Nanos::ZERO);
        assert_eq!(client.identity().server.as_deref(), Some("scripted"));

        let text = [A, A, STOP, USAGE, DONE].concat();
        let (port, _) = listen(move |_, mut stream| {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length:";
            let reply = format!("{head} {}\r\n\r\n{text}", text.len());
            async move {
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    stream.read_buf(&mut request).await.unwrap();
                }
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        })
        .await;
        let old = Target { http: HttpVersion::Http1, ..self::target(port) };
        assert_eq!(timeless(&record), timeless(&ask(&self::client(&old), &old).await));

        let again = ask(&client, &target).await;
        assert!(again.is_ok() && again.notes.reused_connection && again.connect == Nanos::ZERO);
        assert_eq!(connections.get(), 1);
    });
}

/// 100 requests at once against a server that allows 10 streams a connection and answers none before it has all of them.
#[test]
fn no_request_waits_for_a_stream() {
    on_one_thread(async {
        let mut settings = h2::server::Builder::new();
        settings.max_concurrent_streams(10);
        let (port, connections, mut arrived, open) = good(settings, false).await;
        let target = target(port);
        let client = client(&target);
        let asked: Vec<_> = (0..100)
            .map(|_| {
                let (client, target) = (Rc::clone(&client), target.clone());
                spawn_local(async move { ask(&client, &target).await })
            })
            .collect();
        arrived.wait_for(|&n| n == 100).await.unwrap();
        open.send(true).unwrap();
        for one in asked {
            let record = one.await.unwrap();
            assert_eq!((record.outcome, record.stream_wait), (Outcome::Ok, Nanos::ZERO), "{:?}", client.examples());
        }
        assert_eq!(connections.get(), 10);
    });
}

#[test]
fn the_cap_of_the_scenario_holds_too() {
    on_one_thread(async {
        let (port, connections, mut arrived, open) = good(h2::server::Builder::new(), false).await;
        let target = Target { streams_per_connection: 3, ..target(port) };
        let client = client(&target);
        let asked: Vec<_> = (0..7)
            .map(|_| {
                let (client, target) = (Rc::clone(&client), target.clone());
                spawn_local(async move { ask(&client, &target).await.outcome })
            })
            .collect();
        arrived.wait_for(|&n| n == 7).await.unwrap();
        open.send(true).unwrap();
        for one in asked {
            assert_eq!(one.await.unwrap(), Outcome::Ok);
        }
        assert_eq!(connections.get(), 3);
    });
}

/// The window of the server is smaller than the request: the rest of it waits for the server, and that is seen.
#[test]
fn a_window_that_holds_a_request_back_is_a_wait() {
    on_one_thread(async {
        let mut settings = h2::server::Builder::new();
        settings.initial_window_size(64);
        let (port, ..) = good(settings, true).await;
        let target = target(port);
        let record = ask_for(&client(&target), &target, &"word ".repeat(100)).await;
        assert_eq!(record.outcome, Outcome::Ok);
        assert!(record.stream_wait > Nanos::ZERO && record.ttft().unwrap() > record.stream_wait);
    });
}

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn reset(stream: u32, reason: u32) -> Vec<u8> {
    frame(3, 0, stream, &reason.to_be_bytes())
}

fn goaway(last: u32, reason: u32) -> Vec<u8> {
    frame(7, 0, 0, &[last.to_be_bytes(), reason.to_be_bytes()].concat())
}

/// `:status: 200`, and the content type as a literal (RFC 7541, sections 6.1 and 6.2.2).
fn head(stream: u32) -> Vec<u8> {
    frame(1, 4, stream, &[&[0x88, 0x0f, 0x10, 17][..], b"text/event-stream"].concat())
}

fn data(stream: u32, text: &str, is_last: bool) -> Vec<u8> {
    frame(0, is_last.into(), stream, text.as_bytes())
}

fn whole(stream: u32) -> Vec<u8> {
    [head(stream), data(stream, &[A, A, STOP, USAGE, DONE].concat(), true)].concat()
}

/// What a scripted server says to a request on this stream.
type Reply = fn(u32) -> Vec<u8>;

/// Plays one script a connection: a reply to each request in turn, then closes. Tells of
/// every request it has answered (0, stream) and every RST_STREAM that came (3, stream).
async fn scripted(scripts: Vec<Vec<Reply>>) -> (u16, Rc<Cell<usize>>, watch::Receiver<Vec<(u8, u32)>>) {
    let (tell, told) = watch::channel(Vec::new());
    let tell = Rc::new(tell);
    let (port, connections) = listen(move |number, stream| play(stream, scripts.get(number).cloned().unwrap_or_default(), Rc::clone(&tell))).await;
    (port, connections, told)
}

async fn play(mut stream: TcpStream, script: Vec<Reply>, tell: Rc<watch::Sender<Vec<(u8, u32)>>>) {
    let mut script = script.into_iter().peekable();
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    stream.read_exact(&mut [0; 24]).await.unwrap();
    while script.peek().is_some() {
        let mut header = [0; 9];
        if stream.read_exact(&mut header).await.is_err() {
            return;
        }
        let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
        stream.read_exact(&mut payload).await.unwrap();
        let id = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        match (header[3], header[4]) {
            (4, 0) => stream.write_all(&frame(4, 1, 0, &[])).await.unwrap(),
            (0, 1) => {
                let reply = script.next().unwrap()(id);
                stream.write_all(&reply).await.unwrap();
                tell.send_modify(|told| told.push((0, id)));
            }
            (3, _) => tell.send_modify(|told| told.push((3, id))),
            _ => {}
        }
    }
    // What the client still sends is read, so that closing does not reset the connection before everything has arrived.
    stream.shutdown().await.unwrap();
    while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {}
}

#[test]
fn what_was_not_processed_goes_out_once_more_elsewhere() {
    let refused: [Reply; 2] = [|id| reset(id, REFUSED_STREAM), |_| goaway(0, NO_ERROR)];
    for refused in refused {
        on_one_thread(async move {
            let (port, connections, _) = scripted(vec![vec![refused, whole], vec![whole, whole]]).await;
            let target = target(port);
            let client = client(&target);
            let record = ask(&client, &target).await;
            assert_eq!((record.outcome, record.stream_wait), (Outcome::Ok, Nanos::ZERO), "{:?}", client.examples());
            assert_eq!(connections.get(), 2);
        });
        on_one_thread(async move {
            let (port, connections, _) = scripted(vec![vec![refused, whole], vec![refused, whole], vec![whole]]).await;
            let target = target(port);
            assert_eq!(ask(&client(&target), &target).await.outcome, Outcome::Unreachable);
            assert_eq!(connections.get(), 2, "sent once more and not again");
        });
    }
}

/// A server that goes away ends what it has begun; new requests go elsewhere.
#[test]
fn goaway_leaves_open_streams_alone() {
    on_one_thread(async {
        let (port, connections, _) = scripted(vec![vec![|id| [goaway(id, NO_ERROR), whole(id)].concat(), whole], vec![whole, whole]]).await;
        let target = target(port);
        let client = client(&target);
        assert_eq!(ask(&client, &target).await.outcome, Outcome::Ok, "{:?}", client.examples());
        assert_eq!(ask(&client, &target).await.outcome, Outcome::Ok, "{:?}", client.examples());
        assert_eq!(connections.get(), 2);
    });
}

#[test]
fn broken_streams_have_their_class() {
    let cases: [(Reply, Outcome); 7] = [
        (|id| reset(id, INTERNAL_ERROR), Outcome::Unreachable),
        (|id| [head(id), data(id, A, false), reset(id, INTERNAL_ERROR)].concat(), Outcome::Truncated),
        (|id| [head(id), data(id, A, false)].concat(), Outcome::Truncated),
        (|_| Vec::new(), Outcome::Unreachable),
        (|id| [head(id), data(id, A, true)].concat(), Outcome::Truncated),
        (|id| [head(id), data(id, &[A, A, STOP, USAGE, DONE].concat(), false), reset(id, NO_ERROR)].concat(), Outcome::Ok),
        (|_| frame(9, 4, 1, b"a continuation of nothing"), Outcome::Malformed),
    ];
    for (number, (reply, class)) in cases.into_iter().enumerate() {
        on_one_thread(async move {
            let (port, connections, _) = scripted(vec![vec![reply], vec![whole]]).await;
            let target = target(port);
            let client = client(&target);
            let record = ask(&client, &target).await;
            assert_eq!((record.outcome, connections.get()), (class, 1), "case {number}: {:?}", client.examples());
        });
    }
}

/// A request that is dropped resets its stream, and the connection carries the next one; one whose time is up does the same.
#[test]
fn giving_up_costs_a_stream_and_not_the_connection() {
    on_one_thread(async {
        let silence: Reply = |_| Vec::new();
        let (port, connections, mut told) = scripted(vec![vec![silence, whole, silence, whole]]).await;
        let target = target(port);
        let client = client(&target);
        tokio::select! {
            record = ask(&client, &target) => panic!("{record:?}"),
            _ = told.wait_for(|told| told.contains(&(0, 1))) => {}
        }
        told.wait_for(|told| told.contains(&(3, 1))).await.unwrap();
        let record = ask(&client, &target).await;
        assert!(record.is_ok() && record.notes.reused_connection);
        let impatience = async {
            told.wait_for(|told| told.contains(&(0, 5))).await.unwrap();
            client.sweep(Nanos::from_secs(130));
            std::future::pending::<()>().await;
        };
        let record = tokio::select! {
            record = ask(&client, &target) => record,
            () = impatience => unreachable!(),
        };
        assert_eq!(record.outcome, Outcome::TimeoutFirstByte);
        told.wait_for(|told| told.contains(&(3, 5))).await.unwrap();
        assert_eq!(connections.get(), 1);
    });
}

#[test]
fn a_server_of_another_protocol_is_no_http_2() {
    on_one_thread(async {
        let (port, _) = listen(|_, mut stream| async move {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {}
        })
        .await;
        let target = target(port);
        let client = client(&target);
        assert_eq!(ask(&client, &target).await.outcome, Outcome::Malformed);
        assert!(client.examples()[0].1.contains("HTTP/2 could not be begun"), "{:?}", client.examples());
    });
}

/// A certificate for `localhost`, trusted through a file, and what its server agrees to.
fn acceptor(dir: &Path, protocols: &[&[u8]]) -> tokio_rustls::TlsAcceptor {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(dir.join("ca.pem"), certificate.pem()).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// The outcome over TLS with a server that agrees to these protocols, and the words of the failure.
fn over_tls(protocols: &'static [&[u8]]) -> (RequestRecord, String) {
    let result = Rc::new(Cell::new(None));
    let out = Rc::clone(&result);
    on_one_thread(async move {
        let dir = tempfile::tempdir().unwrap();
        let acceptor = acceptor(dir.path(), protocols);
        let (arrived, _) = watch::channel(0);
        let (_open, gate) = watch::channel(true);
        let server = Good { settings: h2::server::Builder::new(), arrived: Rc::new(arrived), gate };
        let (port, _) = listen(move |_, stream| {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    server.serve(stream).await;
                }
            }
        })
        .await;
        let mut target = Target { url: Some(format!("https://localhost:{port}")), ..target(port) };
        target.tls.ca = Some("ca.pem".into());
        let client = Rc::new(Client::new(&target, dir.path(), None, Clock::start()).unwrap());
        let record = ask(&client, &target).await;
        out.set(Some((record, format!("{:?}", client.examples()))));
    });
    result.take().unwrap()
}

#[test]
fn over_tls_it_is_agreed_on_or_refused() {
    let (record, words) = over_tls(&[b"h2", b"http/1.1"]);
    assert_eq!(record.outcome, Outcome::Ok, "{words}");
    assert!(record.tls > Nanos::ZERO && record.connect > Nanos::ZERO);
    let (record, words) = over_tls(&[b"http/1.1"]);
    assert_eq!(record.outcome, Outcome::Tls, "{words}");
    let (record, words) = over_tls(&[]);
    assert_eq!(record.outcome, Outcome::Tls, "{words}");
    assert!(words.contains("does not agree to HTTP/2"), "{words}");
}
