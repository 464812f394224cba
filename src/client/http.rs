//! One request over a connection of our own, every phase visible, into a `RequestRecord`.
//!
//! - HTTP/1.1: a connection for each open request. HTTP/2: connections shared by streams, as many as it takes for none to wait.
//! - `sent` is the instant at which the attempt begins: a connection that must be opened first is part of `ttft_service`, and its share stands
//!   beside it in `connect` and `tls`.
//! - A `Line` carries one request at a time over a connection that it keeps; its buffers are used again, so that a request allocates little and a
//!   piece of an answer nothing.
//! - A connection that was kept may have been closed by the server. When it closes before a single byte of the answer has come, the request goes
//!   out once more on a fresh connection, within the same record and the same clocks. Over HTTP/2 it goes out once more on another connection if
//!   nothing of it had left, or if the server says that it did not process it (`REFUSED_STREAM`, `GOAWAY`). Nothing else is ever sent twice.
//! - Redirects are not followed, and nothing is read from the environment: no proxy.

mod channel;
mod deadline;
mod mux;
mod outgoing;
mod pool;
mod shared;
mod wire;

use super::auth::{self, Secret};
use super::origin::{BadUrl, Origin};
use super::tls;
use crate::base::clock::Clock;

use crate::base::time::Nanos;
use crate::protocol::failure::one_line;
use crate::protocol::openai::{self, Call, Expect};
use crate::protocol::timeline::{Appetite, Counter, Timeline};
use crate::record::outcome::Outcome;
use crate::record::request::RequestRecord;
use crate::scenario::target::{HttpVersion, Target, Task};
use bytes::Bytes;
use channel::Channel;
use deadline::{Deadlines, Limits, Progress, Stage};
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderName, HeaderValue, SERVER};
use http_body_util::Full;
use pool::Pool;
use rustls::pki_types::ServerName;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use wire::{Seen, Stream, Wire};

/// Why no client can be made for a target.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target has no URL.
    #[error("target.url is missing\n  expected a base URL, e.g. \"http://127.0.0.1:8000\"")]
    NoUrl,
    /// The URL cannot be used.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The path cannot be used.
    #[error("target.path: {path:?} is not a path\n  expected a path without spaces, e.g. \"/v1/chat/completions\"")]
    Path {
        /// As it would be sent.
        path: String,
    },
    /// A header cannot be sent.
    #[error("target.headers.{name}: this is not a header\n  expected a name of letters, digits and dashes, and a value on one line")]
    Header {
        /// Its name; the value is not repeated.
        name: String,
    },
    /// Trust or client certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

/// Who answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The model as the server calls it.
    pub model: Option<String>,
    /// The `server` header.
    pub server: Option<String>,
}

/// Sends requests to one target from one thread, over as many [`Line`]s as it is asked for.
pub struct Client {
    origin: Origin,
    /// The connections that lines share, with HTTP/2.
    pool: Option<Pool>,
    uri: http::Uri,
    /// Every header but `content-length`; the bearer token may be renewed.
    headers: RefCell<http::HeaderMap>,
    /// Every token of this run, to strike them out of what an endpoint says.
    tokens: RefCell<Vec<Secret>>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    limits: Limits,
    deadlines: Rc<Deadlines>,
    counter: Option<Counter>,
    clock: Clock,
    addresses: OnceCell<Vec<SocketAddr>>,
    examples: RefCell<BTreeMap<Outcome, String>>,
    identity: RefCell<Identity>,
}

/// One request at a time, and everything that it needs. With HTTP/1.1 it owns a connection: opened with the first request, and again when the
/// server closed it. With HTTP/2 each request takes a stream of one of the client's connections.
pub struct Line {
    client: Rc<Client>,
    channel: Option<Box<Channel>>,
    timeline: Timeline,
    progress: Progress,
}

/// Why an attempt ended before the answer did.
#[derive(Clone)]
struct Broken {
    outcome: Outcome,
    message: String,
    /// HTTP/1.1: nothing came back at all. HTTP/2: nothing went out, or the peer did not process it. The request may go out again.
    is_silent: bool,
}

impl Broken {
    fn new(outcome: Outcome, message: String) -> Self {
        Self { outcome, message, is_silent: false }
    }

    /// Nothing went out.
    fn unsent(message: String) -> Self {
        Self { outcome: Outcome::Unreachable, message, is_silent: true }
    }
}

impl Client {
    /// A client of `target`. `clock` counts from the start of the load; `base_dir` is where relative paths of certificates start. Nothing is
    /// sent: the name is resolved with the first request.
    pub fn new(target: &Target, base_dir: &Path, token: Option<Secret>, clock: Clock) -> Result<Self, Error> {
        let origin = Origin::parse(target.url.as_deref().ok_or(Error::NoUrl)?)?;
        let path = openai::path(target);
        let uri = match path.parse::<http::uri::PathAndQuery>() {
            Ok(path) => http::Uri::from(path),
            Err(_) => return Err(Error::Path { path }),
        };
        for (name, value) in &target.headers {
            if name.parse::<HeaderName>().is_err() || value.parse::<HeaderValue>().is_err() {
                return Err(Error::Header { name: name.clone() });
            }
        }
        let is_shared = target.http == HttpVersion::Http2;
        let host: HeaderValue = origin.authority.parse().map_err(|_| Error::Header { name: HOST.to_string() })?;
        let tls = if origin.is_tls {
            let refuse = |_| BadUrl { url: origin.authority.clone(), reason: "no certificate can be made out to this host" };
            let name = ServerName::try_from(origin.host.clone()).map_err(refuse)?;
            Some((TlsConnector::from(Arc::new(tls::config(&target.tls, base_dir, target.http)?)), name))
        } else {
            None
        };
        let mut headers = http::HeaderMap::new();
        let uri = if is_shared {
            absolute(&origin, uri)?
        } else {
            headers.insert(HOST, host);
            uri
        };
        if let Some(token) = &token {
            headers.insert(AUTHORIZATION, sealed(token)?);
        }
        for (name, value) in openai::headers(target) {
            let bad = |_: &dyn std::fmt::Display| Error::Header { name: name.clone() };
            headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|e| bad(&e))?, HeaderValue::from_str(&value).map_err(|e| bad(&e))?);
        }
        Ok(Self {
            origin,
            pool: is_shared.then(|| Pool::new(target.streams_per_connection)),
            uri,
            headers: RefCell::new(headers),
            tokens: RefCell::new(token.into_iter().collect()),
            tls,
            limits: Limits::new(&target.timeouts),
            deadlines: Rc::default(),
            counter: None,
            clock,
            addresses: OnceCell::new(),
            examples: RefCell::default(),
            identity: RefCell::default(),
        })
    }

    /// Counts tokens of answers with `counter` where the server gives no log probabilities.
    #[must_use]
    pub fn with_counter(mut self, counter: Counter) -> Self {
        self.counter = Some(counter);
        self
    }

    /// Another bearer token, for every request from now on; what is being answered is not touched.
    pub fn renew(&self, token: &Secret) -> Result<(), Error> {
        self.headers.borrow_mut().insert(AUTHORIZATION, sealed(token)?);
        self.tokens.borrow_mut().push(token.clone());
        Ok(())
    }

    /// A line to the target. Nothing is opened before its first request.
    #[must_use]
    pub fn line(self: &Rc<Self>) -> Line {
        let nothing = Expect { task: Task::Chat, stream: false, usage: false, logprobs: false, dimension: None, output_asked: 0 };
        Line {
            client: Rc::clone(self),
            channel: None,
            timeline: Timeline::new(nothing, self.counter.clone()),
            progress: Progress::new(&self.deadlines, self.limits),
        }
    }

    /// Ends the requests whose time is up at `now`. Whoever drives the lines calls this often enough: a limit is as sharp as the calls are close.
    pub fn sweep(&self, now: Nanos) {
        self.deadlines.sweep(now);
    }

    /// Ends every open request as `outcome`, and every later one before it is sent.
    pub fn cut(&self, outcome: Outcome) {
        self.deadlines.cut(outcome);
    }

    /// The words of the last failure of each class; tokens in them are struck out.
    #[must_use]
    pub fn examples(&self) -> Vec<(Outcome, String)> {
        self.examples.borrow().iter().map(|(outcome, words)| (*outcome, words.clone())).collect()
    }

    /// Who answered last.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity.borrow().clone()
    }

    async fn connect(&self, progress: &Progress) -> Result<Box<Channel>, Broken> {
        let (wire, seen) = self.reach(&progress.connect, &progress.tls).await?;
        Channel::new(wire, seen).await.map_err(|e| Broken::new(Outcome::Unreachable, format!("HTTP: {e}")))
    }

    /// TCP and TLS, and how long each took.
    async fn reach(&self, connect: &Cell<Nanos>, tls: &Cell<Nanos>) -> Result<(Wire, Rc<Seen>), Broken> {
        let unreachable = |what: String, fault: &dyn std::fmt::Display| Broken::new(Outcome::Unreachable, format!("{what}: {fault}"));
        let started = self.clock.now();
        let addresses = self.addresses.get_or_try_init(|| self.resolve()).await.map_err(|e| unreachable(format!("name {}", self.origin.host), &e))?;
        let stream = TcpStream::connect(&addresses[..]).await.map_err(|e| unreachable(format!("connect to {}", self.origin.authority), &e))?;
        // Small requests must not wait for the acknowledgement of the ones before.
        stream.set_nodelay(true).map_err(|e| unreachable("TCP_NODELAY".to_owned(), &e))?;
        let connected = self.clock.now();
        connect.set(connected.since(started));
        let stream = match &self.tls {
            None => Stream::Plain(stream),
            Some((connector, name)) => {
                let refused = |fault: &dyn std::fmt::Display| Broken::new(Outcome::Tls, format!("TLS with {}: {fault}", self.origin.authority));
                let stream = connector.connect(name.clone(), stream).await.map_err(|fault| refused(&fault))?;
                tls.set(self.clock.now().since(connected));
                if self.pool.is_some() && stream.get_ref().1.alpn_protocol() != Some(tls::protocol(HttpVersion::Http2)) {
                    return Err(refused(&"the server does not agree to HTTP/2 (ALPN h2)"));
                }
                Stream::Tls(Box::new(stream))
            }
        };
        let seen = Rc::new(Seen::default());
        Ok((Wire::new(stream, self.clock, Rc::clone(&seen)), seen))
    }

    async fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.origin.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.origin.port)]);
        }
        Ok(tokio::net::lookup_host((self.origin.host.as_str(), self.origin.port)).await?.collect())
    }

    fn request(&self, call: &Call) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(call.body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().clone_from(&self.headers.borrow());
        request
    }

    fn meet(&self, headers: &http::HeaderMap) {
        let mut identity = self.identity.borrow_mut();
        if identity.server.is_none() {
            identity.server = headers.get(SERVER).map(|value| one_line(value.as_bytes()));
        }
    }

    fn keep_facts(&self, timeline: &Timeline) {
        if let Some(model) = timeline.model() {
            let mut identity = self.identity.borrow_mut();
            if identity.model.as_deref() != Some(model) {
                identity.model = Some(model.to_owned());
            }
        }
        if let (Some(outcome), Some(words)) = (timeline.outcome(), timeline.message()) {
            // An endpoint may repeat the request in its error.
            let words = self.tokens.borrow().iter().fold(words.to_owned(), |words, token| auth::struck_out(&words, token));
            self.examples.borrow_mut().insert(outcome, words);
        }
    }
}

impl Line {
    /// Sends `call` and follows its answer to the end. Whatever happens is written into `record`, which brings its place in the schedule.
    ///
    /// Must run inside a tokio runtime with IO, over HTTP/2 inside a `LocalSet`; the future is not `Send`.
    pub async fn execute(&mut self, call: &Call, record: &mut RequestRecord) {
        let client = Rc::clone(&self.client);
        self.timeline.restart(call.expect);
        let sent = client.clock.now();
        if let Some(outcome) = self.progress.cut() {
            (record.outcome, record.closed) = (outcome, sent);
            return;
        }
        self.progress.begin(sent);
        let end = {
            let (channel, timeline, progress) = (&mut self.channel, &mut self.timeline, &self.progress);
            let mut attempt = pin!(client.attempt(channel, call, timeline, progress));
            poll_fn(|cx| {
                progress.watch(cx.waker());
                // An answer that is there comes before a limit.
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(end) => Poll::Ready(end),
                    Poll::Pending => match progress.expired() {
                        Some((outcome, message)) => Poll::Ready(Err(Broken::new(outcome, message))),
                        None => Poll::Pending,
                    },
                }
            })
            .await
        };
        self.progress.end();
        if let Err(broken) = end {
            // The answer, if any, was not read to its end: its connection cannot be used again.
            self.channel = None;
            self.timeline.fail(client.clock.now(), broken.outcome, broken.message);
        }
        record.sent = Some(sent);
        record.connect = self.progress.connect.get();
        record.tls = self.progress.tls.get();
        record.stream_wait = self.progress.stream_wait.get();
        record.notes.reused_connection = self.progress.is_reused.get();
        client.keep_facts(&self.timeline);
        self.timeline.finish(record);
    }
}

impl Client {
    async fn attempt(
        self: &Rc<Self>,
        kept: &mut Option<Box<Channel>>,
        call: &Call,
        timeline: &mut Timeline,
        progress: &Progress,
    ) -> Result<(), Broken> {
        if let Some(pool) = &self.pool {
            return Box::pin(self.attempt_shared(pool, call, timeline, progress)).await;
        }
        if kept.as_mut().is_some_and(|channel| channel.is_usable()) {
            progress.is_reused.set(true);
            match self.exchange(kept, call, timeline, progress).await {
                Err(broken) if broken.is_silent => progress.is_reused.set(false),
                end => return end,
            }
        }
        progress.enter(Stage::Connect, self.clock.now());
        // Apart, so that the steps of a connection do not take room in every request.
        *kept = Some(Box::pin(self.connect(progress)).await?);
        self.exchange(kept, call, timeline, progress).await
    }

    /// One request over a connection that stands. The connection stays in its place if it can be used again.
    async fn exchange(&self, place: &mut Option<Box<Channel>>, call: &Call, timeline: &mut Timeline, progress: &Progress) -> Result<(), Broken> {
        let Some(mut channel) = place.take() else { return Ok(()) };
        let now = self.clock.now();
        progress.enter(Stage::Head, now);
        let answer = channel.send(now, self.request(call)).await.map_err(|fault| no_answer(&fault, channel.seen()))?;
        let (head, mut body) = answer.into_parts();
        let now = channel.seen().first().unwrap_or_else(|| self.clock.now());
        progress.enter(Stage::Body, now);
        let closes = head.version < http::Version::HTTP_11
            || head.headers.get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        self.meet(&head.headers);
        timeline.head(now, head.status.as_u16(), &head.headers);
        while let Some(frame) = channel.frame(&mut body).await {
            let frame =
                frame.map_err(|fault| Broken::new(Outcome::Truncated, format!("the connection broke inside the answer: {}", chain(&fault))))?;
            let Ok(piece) = frame.into_data() else { continue };
            let now = channel.seen().last();
            if is_enough(timeline, progress, now, &piece) {
                return Ok(());
            }
        }
        timeline.end(channel.seen().last());
        // Whether it can carry another request is seen when there is one; what the server is about to close is not kept open until then.
        if !closes && !channel.is_over() {
            *place = Some(channel);
        }
        Ok(())
    }
}

/// Takes a piece of an answer. Whether nothing more need be read.
fn is_enough(timeline: &mut Timeline, progress: &Progress, now: Nanos, piece: &[u8]) -> bool {
    progress.touch(now);
    match timeline.bytes(now, piece) {
        Appetite::More => {}
        Appetite::Complete => progress.enter(Stage::Close, now),
        Appetite::Enough => {
            timeline.end(now);
            return true;
        }
    }
    false
}

/// Scheme and authority before a path: what HTTP/2 sends in place of the `host` header.
fn absolute(origin: &Origin, path: http::Uri) -> Result<http::Uri, Error> {
    let mut parts = path.into_parts();
    parts.scheme = Some(if origin.is_tls { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP });
    parts.authority = Some(origin.authority.parse().map_err(|_| Error::Header { name: HOST.to_string() })?);
    http::Uri::from_parts(parts).map_err(|_| Error::Header { name: HOST.to_string() })
}

fn sealed(token: &Secret) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| Error::Header { name: AUTHORIZATION.to_string() })?;
    value.set_sensitive(true);
    Ok(value)
}

/// No head came back.
fn no_answer(fault: &hyper::Error, seen: &Seen) -> Broken {
    let is_silent = seen.first().is_none();
    let is_tls = sources(fault).any(|source| {
        let inner = source.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source.is::<rustls::Error>() || matches!(inner, Some(inner) if inner.is::<rustls::Error>())
    });
    let outcome = match fault {
        _ if is_tls => Outcome::Tls,
        fault if fault.is_parse() => Outcome::Malformed,
        _ if is_silent => Outcome::Unreachable,
        _ => Outcome::Truncated,
    };
    Broken { outcome, message: format!("no answer: {}", chain(fault)), is_silent: is_silent && outcome == Outcome::Unreachable }
}

fn sources<'a>(fault: &'a (dyn std::error::Error + 'static)) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(fault), |fault| fault.source())
}

/// An error and its sources in one line.
fn chain(fault: &(dyn std::error::Error + 'static)) -> String {
    let mut words: Vec<String> = sources(fault).map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}
