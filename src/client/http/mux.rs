//! One HTTP/2 connection that many requests share: opened and driven by a task of its own, each wait of a stream measured.
//!
//! - The task reads once, then every request that the read concerns takes its part, and only then it reads again: the instant of the last read is
//!   the instant of what a request finds. A task that becomes ready runs behind those that were ready before, which is what this rests on.
//! - A request is handed to the connection and goes out in the connection's next turn, unless the peer's limit on open streams or one of its
//!   windows holds it back. A turn that ends with room in the socket and without the whole request on its way is the proof of that.
//! - A request that is dropped resets its stream; the connection lives on.

use super::outgoing::{Left, Outgoing};
use super::wire::Seen;
use super::{Broken, Progress};
use crate::base::clock::Clock;
use crate::base::time::Nanos;
use crate::record::outcome::Outcome;
use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;

/// Octets of one answer that may be on their way, read or not. Answers are read as they come: this bounds what the server may send ahead.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all answers of a connection. More than the windows of its streams together would be of no use; 2^31 - 1 is the most there is.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// The longest head of an answer, in octets.
const MAX_HEAD: u32 = 64 << 10;
/// Streams that this side has reset and still knows, so that what was on its way to them is no fault of the peer.
const RESET_MEMORY: usize = 4096;

/// A connection before HTTP/2 is spoken on it.
pub(super) struct Raw<T> {
    pub(super) io: T,
    pub(super) seen: Rc<Seen>,
    /// TCP connect.
    pub(super) connect: Nanos,
    /// TLS handshake.
    pub(super) tls: Nanos,
}

/// How far the connection has come.
enum State {
    Opening,
    Open {
        sender: SendRequest<Bytes>,
        seen: Rc<Seen>,
        connect: Nanos,
        tls: Nanos,
    },
    /// It never opened.
    Failed(Broken),
    /// It has been closed.
    Gone,
}

/// A connection; it is closed with its last owner.
pub(super) struct Mux {
    state: RefCell<State>,
    ledger: Rc<Ledger>,
    /// Requests that wait for it to open.
    waiting: RefCell<Vec<Waker>>,
    /// Requests that have it.
    taken: Cell<usize>,
    /// It has carried a request.
    is_used: Cell<bool>,
    task: AbortHandle,
}

impl Drop for Mux {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mux {
    /// Opens a connection over what `connecting` gives, in a task of the current `LocalSet`.
    pub(super) fn open<T>(clock: Clock, connecting: impl Future<Output = Result<Raw<T>, Broken>> + 'static) -> Rc<Self>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let ledger = Rc::new(Ledger::new(clock));
        Rc::new_cyclic(|mux| Self {
            state: RefCell::new(State::Opening),
            ledger: Rc::clone(&ledger),
            waiting: RefCell::default(),
            taken: Cell::new(0),
            is_used: Cell::new(false),
            task: tokio::task::spawn_local(live(Weak::clone(mux), ledger, connecting)).abort_handle(),
        })
    }

    /// Requests that have this connection.
    pub(super) fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Streams that the peer allows, `expected` while it has not said; `None` if no request can begin here any more.
    pub(super) fn limit(&self, expected: usize) -> Option<usize> {
        match &mut *self.state.borrow_mut() {
            State::Opening => Some(expected),
            State::Open { sender, .. } => match sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Err(_)) => None,
                _ => Some(sender.current_max_send_streams()),
            },
            State::Failed(_) | State::Gone => None,
        }
    }

    /// A place for one request.
    pub(super) fn lease<'a>(self: &Rc<Self>, progress: &'a Progress) -> Lease<'a> {
        self.taken.set(self.taken.get() + 1);
        Lease { mux: Rc::clone(self), progress, stream: Cell::new(None) }
    }

    fn become_now(&self, state: State) {
        self.state.replace(state);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

/// The life of a connection. The task keeps no owner of it alive.
async fn live<T>(mux: Weak<Mux>, ledger: Rc<Ledger>, connecting: impl Future<Output = Result<Raw<T>, Broken>>)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let end = |state| {
        if let Some(mux) = mux.upgrade() {
            mux.become_now(state);
        }
    };
    let opened = async {
        let Raw { io, seen, connect, tls } = connecting.await?;
        let watched = Watched { io, ledger: Rc::clone(&ledger), outgoing: Outgoing::new() };
        let (sender, connection) = settings().handshake::<_, Bytes>(watched).await.map_err(|fault| not_opened(&fault))?;
        Ok((State::Open { sender, seen, connect, tls }, connection))
    };
    let (open, mut connection) = match opened.await {
        Ok(opened) => opened,
        Err(broken) => return end(State::Failed(broken)),
    };
    let mut open = Some(open);
    let result = poll_fn(|cx| {
        let result = ledger.turn(&mut connection, cx);
        // The limit is none before the peer's settings have come.
        if connection.max_concurrent_send_streams() > 0
            && let Some(open) = open.take()
        {
            end(open);
        }
        result
    })
    .await;
    end(match (open, result) {
        (Some(_), Err(fault)) => State::Failed(not_opened(&fault)),
        (Some(_), Ok(())) => State::Failed(Broken::new(Outcome::Unreachable, "HTTP/2: the connection was closed before it could be used".to_owned())),
        (None, _) => State::Gone,
    });
}

fn settings() -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEAD)
        .max_concurrent_reset_streams(RESET_MEMORY)
        .initial_max_send_streams(0)
        .enable_push(false);
    builder
}

/// HTTP/2 could not be begun.
fn not_opened(fault: &h2::Error) -> Broken {
    let outcome = if fault.is_io() { Outcome::Unreachable } else { Outcome::Malformed };
    Broken::new(outcome, format!("HTTP/2 could not be begun: {}", super::chain(fault)))
}

/// A request's place on a connection, given back when dropped.
pub(super) struct Lease<'a> {
    mux: Rc<Mux>,
    progress: &'a Progress,
    stream: Cell<Option<u32>>,
}

impl Lease<'_> {
    pub(super) fn mux(&self) -> &Rc<Mux> {
        &self.mux
    }

    /// Waits until the connection is open; TCP connect and TLS are told in any case.
    pub(super) async fn opened(&self) -> Result<(Nanos, Nanos), Broken> {
        poll_fn(|cx| match &*self.mux.state.borrow() {
            State::Opening => {
                self.mux.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
            State::Open { connect, tls, .. } => Poll::Ready(Ok((*connect, *tls))),
            State::Failed(broken) => Poll::Ready(Err(broken.clone())),
            State::Gone => Poll::Ready(Err(Broken::unsent("the connection was closed before the request was sent".to_owned()))),
        })
        .await
    }

    /// Whether the connection is open.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.mux.state.borrow(), State::Open { .. })
    }

    /// Whether the connection has carried a request before; from now on it has.
    pub(super) fn mark_used(&self) -> bool {
        self.mux.is_used.replace(true)
    }

    /// Whether nothing of the request has left this client.
    pub(super) fn is_unsent(&self) -> bool {
        self.stream.get().is_none_or(|stream| self.mux.ledger.is_unsent(stream))
    }

    /// Hands a request over at `now`.
    pub(super) fn begin(&self, now: Nanos, request: http::Request<()>, body: Bytes) -> Result<(ResponseFuture, Rc<Seen>), Broken> {
        let unsent = |fault: h2::Error| Broken::unsent(format!("the request could not be sent: {}", super::chain(&fault)));
        let (mut sender, seen) = match &*self.mux.state.borrow() {
            // A copy: the original would refuse a second request while the first one waits for its slot.
            State::Open { sender, seen, .. } => (sender.clone(), Rc::clone(seen)),
            _ => return Err(Broken::unsent("the connection was closed before the request was sent".to_owned())),
        };
        let (answer, mut rest) = sender.send_request(request, false).map_err(unsent)?;
        let stream = answer.stream_id().as_u32();
        self.stream.set(Some(stream));
        self.mux.ledger.hand_over(stream, now);
        rest.send_data(body, true).map_err(unsent)?;
        Ok((answer, seen))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mux = &self.mux;
        mux.taken.set(mux.taken.get() - 1);
        if let Some(stream) = self.stream.get() {
            let wait = &self.progress.stream_wait;
            wait.set(wait.get() + mux.ledger.forget(stream));
        }
        if mux.taken.get() == 0 && matches!(*mux.state.borrow(), State::Opening) {
            // Nobody wants it any more.
            mux.task.abort();
            mux.state.replace(State::Gone);
        }
    }
}

/// A request that is not on its way as a whole.
#[derive(Debug)]
struct Unsent {
    stream: u32,
    since: Nanos,
    /// The connection had its turn and the socket had room: the peer's limits hold it back.
    is_held: bool,
    /// Its head has begun to leave.
    is_begun: bool,
}

/// What a connection's task, its socket and its requests tell each other.
#[derive(Debug)]
struct Ledger {
    clock: Clock,
    /// In this turn something has been read.
    has_read: Cell<bool>,
    /// In this turn the socket took no more.
    is_full: Cell<bool>,
    unsent: RefCell<Vec<Unsent>>,
    /// Requests that were held back and are on their way now, and for how long.
    waited: RefCell<Vec<(u32, Nanos)>>,
}

impl Ledger {
    fn new(clock: Clock) -> Self {
        Self { clock, has_read: Cell::default(), is_full: Cell::default(), unsent: RefCell::default(), waited: RefCell::default() }
    }

    /// Drives the connection as far as one read takes it.
    fn turn<T>(&self, connection: &mut Connection<Watched<T>, Bytes>, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        self.has_read.set(false);
        self.is_full.set(false);
        let result = Pin::new(connection).poll(cx);
        if !self.is_full.get() {
            self.unsent.borrow_mut().iter_mut().for_each(|request| request.is_held = true);
        }
        result
    }

    fn hand_over(&self, stream: u32, since: Nanos) {
        self.unsent.borrow_mut().push(Unsent { stream, since, is_held: false, is_begun: false });
    }

    /// The first or the last octet of a request went to the socket.
    fn left(&self, stream: u32, left: Left) {
        let mut unsent = self.unsent.borrow_mut();
        let Some(at) = unsent.iter().position(|request| request.stream == stream) else { return };
        if left == Left::Begun {
            unsent[at].is_begun = true;
        } else {
            let request = unsent.swap_remove(at);
            if request.is_held {
                self.waited.borrow_mut().push((stream, self.clock.now().since(request.since)));
            }
        }
    }

    /// Whether nothing of the request has gone to the socket.
    fn is_unsent(&self, stream: u32) -> bool {
        self.unsent.borrow().iter().any(|request| request.stream == stream && !request.is_begun)
    }

    /// How long the request was held back: until it was on its way, or until now.
    fn forget(&self, stream: u32) -> Nanos {
        let mut waited = self.waited.borrow_mut();
        if let Some(at) = waited.iter().position(|(known, _)| *known == stream) {
            return waited.swap_remove(at).1;
        }
        let mut unsent = self.unsent.borrow_mut();
        let Some(at) = unsent.iter().position(|request| request.stream == stream) else { return Nanos::ZERO };
        let request = unsent.swap_remove(at);
        if request.is_held { self.clock.now().since(request.since) } else { Nanos::ZERO }
    }
}

/// The bytes of a connection: one read a turn, and an eye on what is written.
struct Watched<T> {
    io: T,
    ledger: Rc<Ledger>,
    outgoing: Outgoing,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ledger.has_read.get() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        self.ledger.has_read.set(buf.filled().len() > before);
        Poll::Ready(result)
    }
}

impl<T: AsyncWrite + Unpin> Watched<T> {
    fn wrote(&mut self, written: Poll<io::Result<usize>>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.ledger.is_full.set(true),
            Poll::Ready(Ok(count)) => {
                let mut rest = *count;
                for slice in slices {
                    let part = &slice[..slice.len().min(rest)];
                    rest -= part.len();
                    self.outgoing.wrote(part, |stream, left| self.ledger.left(stream, left));
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        written
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(written, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(written, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if flushed.is_pending() {
            self.ledger.is_full.set(true);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::super::deadline::{Deadlines, Limits};
    use super::*;
    use crate::scenario::target::Timeouts;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::task::LocalSet;

    const SETTINGS: u8 = 4;

    /// The other side, in frames.
    struct Peer(DuplexStream);

    impl Peer {
        async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
            let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
            let frame = [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat();
            self.0.write_all(&frame).await.unwrap();
        }

        async fn allow_streams(&mut self, streams: u32) {
            self.send(SETTINGS, 0, 0, &[&[0, 3][..], &streams.to_be_bytes()].concat()).await;
        }

        /// Reads up to the frame of this kind with these flags; gives its stream.
        async fn until(&mut self, kind: u8, flags: u8) -> u32 {
            loop {
                let mut head = [0; 9];
                self.0.read_exact(&mut head).await.unwrap();
                let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
                self.0.read_exact(&mut payload).await.unwrap();
                if (head[3], head[4]) == (kind, flags) {
                    return u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                }
            }
        }
    }

    fn progress() -> Progress {
        Progress::new(&Rc::<Deadlines>::default(), Limits::new(&Timeouts::default()))
    }

    fn request() -> http::Request<()> {
        http::Request::post("http://h/").body(()).unwrap()
    }

    /// The peer lowers its limit to 1 while one request is open and another is being handed over: the other waits, which is seen, and goes out
    /// as soon as it may.
    #[tokio::test(flavor = "current_thread")]
    async fn a_request_that_a_lowered_limit_holds_back_is_a_wait() {
        let play = async {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let mut peer = Peer(theirs);
            let clock = Clock::start();
            let raw = Raw { io: ours, seen: Rc::default(), connect: Nanos::ZERO, tls: Nanos::ZERO };
            let mux = Mux::open(clock, async { Ok(raw) });
            let (first, second) = (progress(), progress());
            let (a, b) = (mux.lease(&first), mux.lease(&second));
            peer.allow_streams(2).await;
            a.opened().await.ok().unwrap();
            assert_eq!((mux.limit(7), mux.taken()), (Some(2), 2));
            let (answer_a, _) = a.begin(clock.now(), request(), Bytes::from_static(b"a")).ok().unwrap();
            peer.0.read_exact(&mut [0; 24]).await.unwrap();
            assert_eq!(peer.until(0, 1).await, 1);
            // Nobody else runs between these two.
            peer.allow_streams(1).await;
            let (answer_b, _) = b.begin(clock.now(), request(), Bytes::from_static(b"b")).ok().unwrap();
            assert!(b.is_unsent() && !a.is_unsent());
            peer.until(SETTINGS, 1).await;
            assert!(b.is_unsent(), "the limit holds it back");
            assert_eq!(mux.limit(7), Some(1));
            peer.send(1, 5, 1, &[0x88]).await;
            assert_eq!(answer_a.await.unwrap().status(), 200);
            assert_eq!(peer.until(0, 1).await, 3);
            peer.send(1, 5, 3, &[0x88]).await;
            assert_eq!(answer_b.await.unwrap().status(), 200);
            drop((a, b));
            assert_eq!((first.stream_wait.get(), mux.taken()), (Nanos::ZERO, 0));
            assert!(second.stream_wait.get() > Nanos::ZERO);
        };
        LocalSet::new().run_until(play).await;
    }

    /// A connection that nobody waits for any more is not opened.
    #[tokio::test(flavor = "current_thread")]
    async fn an_opening_that_nobody_wants_is_given_up() {
        let play = async {
            let mux = Mux::open(Clock::start(), std::future::pending::<Result<Raw<DuplexStream>, Broken>>());
            let progress = progress();
            drop(mux.lease(&progress));
            assert_eq!(mux.limit(7), None);
        };
        LocalSet::new().run_until(play).await;
    }
}
