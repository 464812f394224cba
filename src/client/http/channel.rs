//! One HTTP/1.1 connection driven by the task that uses it: no second task, and dropping it closes the socket at once.

use super::wire::{Seen, Wire};
use crate::base::time::Nanos;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A read brings this much at most: a stream that floods us is read in pieces that stay in the cache, and a thousand of them stay in memory.
const READ_BUFFER: usize = 32 << 10;

/// A connection that carries one request at a time.
pub(super) struct Channel {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    connection: Option<Connection<TokioIo<Wire>, Full<Bytes>>>,
    seen: Rc<Seen>,
}

impl Channel {
    /// Takes over an established connection.
    pub(super) async fn new(wire: Wire, seen: Rc<Seen>) -> hyper::Result<Box<Self>> {
        let (sender, connection) = http1::Builder::new().max_buf_size(READ_BUFFER).handshake(TokioIo::new(wire)).await?;
        Ok(Box::new(Self { sender, connection: Some(connection), seen }))
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Whether another request can go out, as far as this side knows. Run before a connection is put aside and before it is used again: a
    /// connection at rest is driven by nobody, so that it costs nothing and holds no finished task alive.
    pub(super) fn is_usable(&mut self) -> bool {
        self.turn(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Whether it was seen to have ended.
    pub(super) fn is_over(&self) -> bool {
        self.connection.is_none()
    }

    /// Writes the request and reads the head of the answer.
    pub(super) async fn send(&mut self, now: Nanos, request: http::Request<Full<Bytes>>) -> hyper::Result<http::Response<Incoming>> {
        self.seen.restart(now);
        let mut answer = pin!(self.sender.send_request(request));
        poll_fn(|cx| {
            turn(&mut self.connection, cx);
            // Only the connection can move the answer on, and it was just driven with the real waker.
            answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn frame(&mut self, body: &mut Incoming) -> Option<hyper::Result<Frame<Bytes>>> {
        poll_fn(|cx| self.poll_frame(body, cx)).await
    }

    fn poll_frame(&mut self, body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        self.turn(cx);
        Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    fn turn(&mut self, cx: &mut Context<'_>) {
        turn(&mut self.connection, cx);
    }
}

/// Drives the connection as far as it goes. Its errors reach the request or the body that waits on it.
fn turn(connection: &mut Option<Connection<TokioIo<Wire>, Full<Bytes>>>, cx: &mut Context<'_>) {
    if let Some(open) = connection
        && Pin::new(open).poll(cx).is_ready()
    {
        *connection = None;
    }
}
