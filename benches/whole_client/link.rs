//! One connection of a bare loop, and the three things it may do with an answer: count bytes, stamp events, parse them.

use super::alarm::now_ns;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::borrow::Cow;
use tokio::net::TcpStream;

/// What a bare loop does with what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Counts bytes.
    Count,
    /// Splits events at blank lines and stamps each one.
    Stamp,
    /// The same, and a typed parse of each event.
    Json,
}

impl Work {
    /// By its name.
    pub fn named(name: &str) -> Result<Self, String> {
        match name {
            "count" => Ok(Self::Count),
            "stamp" => Ok(Self::Stamp),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{name}` is no work of a bare loop; expected count, stamp or json")),
        }
    }
}

/// A connection that carries one request at a time.
pub struct Link {
    sender: SendRequest<Full<Bytes>>,
}

/// What an endless repetition of one request needs.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Port on the loopback.
    pub port: u16,
    /// Path.
    pub path: String,
    /// Body.
    pub body: Bytes,
    /// What is done with answers.
    pub work: Work,
}

/// What one answer said; reused from request to request.
#[derive(Debug, Default)]
pub struct Seen {
    /// Bytes of the body.
    pub bytes: u64,
    /// One instant an event, ns.
    pub stamps: Vec<u64>,
    /// Events that carry text.
    pub with_text: u64,
    /// Tokens by the server's usage.
    pub usage: u64,
    rest: BytesMut,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, alias = "message")]
    delta: Delta<'a>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Usage {
    completion_tokens: u64,
}

impl Link {
    /// Connects; the connection is driven by a task of its own.
    pub async fn open(port: u16) -> Result<Self, String> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await.map_err(|e| format!("connect: {e}"))?;
        socket.set_nodelay(true).map_err(|e| format!("nodelay: {e}"))?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(|e| format!("handshake: {e}"))?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender })
    }

    /// One request from writing to the last byte.
    pub async fn ask(&mut self, ask: &Ask, seen: &mut Seen) -> Result<(), String> {
        seen.clear();
        self.sender.ready().await.map_err(|e| format!("not ready: {e}"))?;
        let mut request = Request::post(ask.path.as_str()).body(Full::new(ask.body.clone())).map_err(|e| e.to_string())?;
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("127.0.0.1"));
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut reply = self.sender.send_request(request).await.map_err(|e| format!("request: {e}"))?;
        if !reply.status().is_success() {
            return Err(format!("status {}", reply.status()));
        }
        let is_stream = reply.headers().get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
        seen.read(reply.body_mut(), ask.work, is_stream).await
    }
}

impl Seen {
    fn clear(&mut self) {
        self.stamps.clear();
        self.rest.clear();
        (self.bytes, self.with_text, self.usage) = (0, 0, 0);
    }

    async fn read(&mut self, body: &mut Incoming, work: Work, is_stream: bool) -> Result<(), String> {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| format!("body: {e}"))?;
            let Ok(data) = frame.into_data() else { continue };
            self.bytes += data.len() as u64;
            match work {
                Work::Count => {}
                _ if is_stream => self.split(&data, work)?,
                _ => self.rest.extend_from_slice(&data),
            }
        }
        if !is_stream && work != Work::Count {
            let whole = std::mem::take(&mut self.rest);
            self.event(&whole, work)?;
            self.rest = whole;
        }
        Ok(())
    }

    /// Events that end in `data`; what is left waits for more.
    fn split(&mut self, data: &[u8], work: Work) -> Result<(), String> {
        let mut data = data;
        if !self.rest.is_empty() {
            let mut joined = std::mem::take(&mut self.rest);
            joined.extend_from_slice(data);
            let used = self.whole_events(&joined, work)?;
            self.rest.extend_from_slice(&joined[used..]);
            return Ok(());
        }
        let used = self.whole_events(data, work)?;
        data = &data[used..];
        self.rest.extend_from_slice(data);
        Ok(())
    }

    fn whole_events(&mut self, data: &[u8], work: Work) -> Result<usize, String> {
        let mut used = 0;
        while let Some(at) = memchr::memmem::find(&data[used..], b"\n\n") {
            let event = &data[used..used + at];
            used += at + 2;
            self.event(event.strip_prefix(b"data: ").unwrap_or(event), work)?;
        }
        Ok(used)
    }

    fn event(&mut self, json: &[u8], work: Work) -> Result<(), String> {
        self.stamps.push(now_ns());
        if work == Work::Json && json != b"[DONE]" {
            let chunk: Chunk<'_> = serde_json::from_slice(json).map_err(|e| format!("event: {e}"))?;
            let has_text = |c: &Choice<'_>| c.delta.content.as_ref().is_some_and(|t| !t.is_empty()) || c.finish_reason.is_none();
            self.with_text += u64::from(chunk.choices.first().is_some_and(has_text));
            self.usage = chunk.usage.map_or(self.usage, |u| u.completion_tokens);
        }
        Ok(())
    }

    /// Stamps of the tokens: without the role before them and what follows them.
    pub fn tokens(&self, tokens: u32) -> &[u64] {
        self.stamps.get(1..=usize::try_from(tokens).unwrap_or(0)).unwrap_or(&[])
    }
}
