//! `Tickets`: the events of one HTTP request; dropped before the end, they cancel it. `TokenStream`: the body made of them.

use super::answer::Frames;
use super::counters::Counters;
use super::driver::{Command, Delivery};
use super::permit::Permit;
use crate::base::clock::Clock;
use crate::base::time::Nanos;
use crate::sim::event::EventKind;
use axum::body::{Bytes, HttpBody};
use http_body::Frame;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::{Context, Poll};
use tokio::sync::mpsc::UnboundedReceiver;

/// Bytes of events that are joined into one write when the reader is slow.
const MAX_WRITE: usize = 16 * 1024;

/// The open requests behind one HTTP request.
#[derive(Debug)]
pub(super) struct Tickets {
    pub(super) events: UnboundedReceiver<Delivery>,
    /// Offers not yet done.
    pub(super) open: u32,
    pub(super) ids: std::ops::Range<u64>,
    pub(super) commands: Sender<Command>,
    pub(super) counters: Arc<Counters>,
    /// Given back when this is dropped.
    pub(super) permit: Option<Permit>,
    pub(super) clock: Clock,
    /// When it came.
    pub(super) since: Nanos,
}

impl Tickets {
    /// One offer is done; whether all are.
    pub(super) fn done(&mut self) -> bool {
        self.open -= 1;
        if self.open == 0 {
            self.counters.finished(self.clock.now().since(self.since));
        }
        self.open == 0
    }
}

impl Drop for Tickets {
    /// A client that goes away frees its place.
    fn drop(&mut self) {
        self.counters.closed();
        drop(self.permit.take());
        if self.open > 0 {
            for id in self.ids.clone() {
                // Without a driver there is nothing to cancel.
                let _ = self.commands.send(Command::Cancel { id });
            }
        }
    }
}

/// The body of a streamed answer: the events as they come.
pub(super) struct TokenStream {
    tickets: Tickets,
    frames: Frames,
    /// Tokens so far, by choice.
    counts: Vec<u32>,
    /// Read before the head was sent.
    first: Option<Delivery>,
}

impl TokenStream {
    /// `first` is the event that let the head go out.
    pub(super) fn new(tickets: Tickets, frames: Frames, choices: u32, first: Delivery) -> Self {
        Self { tickets, frames, counts: vec![0; choices as usize], first: Some(first) }
    }

    fn write(&mut self, delivery: Delivery) {
        match delivery.kind {
            EventKind::FirstToken => self.tokens(delivery.choice, 1),
            EventKind::Tokens(n) => self.tokens(delivery.choice, n),
            EventKind::Done => {
                self.frames.finish(delivery.choice);
                if self.tickets.done() {
                    self.frames.end();
                }
            }
        }
    }

    fn tokens(&mut self, choice: u32, tokens: u32) {
        let count = &mut self.counts[choice as usize];
        self.frames.tokens(choice, *count, tokens);
        *count += tokens;
        self.tickets.counters.produced(tokens.into());
    }
}

impl HttpBody for TokenStream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            this.write(first);
        }
        let mut broken = false;
        while this.tickets.open > 0 && this.frames.len() < MAX_WRITE {
            match this.tickets.events.poll_recv(cx) {
                Poll::Ready(Some(delivery)) => this.write(delivery),
                Poll::Ready(None) => {
                    broken = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        if this.frames.len() > 0 {
            return Poll::Ready(Some(Ok(Frame::data(this.frames.take()))));
        }
        if broken {
            // The endpoint stopped: the connection breaks, as it would with a real one.
            return Poll::Ready(Some(Err(io::Error::other("the endpoint stopped"))));
        }
        if this.tickets.open == 0 { Poll::Ready(None) } else { Poll::Pending }
    }

    fn is_end_stream(&self) -> bool {
        self.tickets.open == 0 && self.frames.len() == 0 && self.first.is_none()
    }
}
