//! The HTTP/2 connections of a client: a request takes a free stream of one that is open, or opens one more, so that none waits for a stream.

use super::deadline::Stage;
use super::mux::{Lease, Mux, Raw};
use super::wire::Wire;
use super::{Broken, Client, Progress};
use crate::base::time::Nanos;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Connections to one target.
pub(super) struct Pool {
    /// Streams of one connection, at most.
    most: usize,
    /// What connections are expected to allow: `most`, or less if the peer said so.
    expected: Cell<usize>,
    connections: RefCell<Vec<Rc<Mux>>>,
}

impl Pool {
    pub(super) fn new(most: u32) -> Self {
        let most = most as usize;
        Self { most, expected: Cell::new(most), connections: RefCell::default() }
    }

    /// A place on a connection that stands, other than `refused`. Opens one if it must; the time that takes is told to `progress`.
    pub(super) async fn lease<'a>(&self, client: &Rc<Client>, progress: &'a Progress, refused: Option<&Rc<Mux>>) -> Result<Lease<'a>, Broken> {
        let lease = self.pick(client, progress, refused);
        if lease.is_open() {
            progress.is_reused.set(lease.mark_used());
            return Ok(lease);
        }
        let began = client.clock.now();
        progress.enter(Stage::Connect, began);
        progress.is_reused.set(false);
        let mut lease = lease;
        loop {
            let (_, tls) = lease.opened().await?;
            let limit = lease.mux().limit(0).unwrap_or(0).min(self.most);
            if limit > 0 {
                self.expected.set(limit);
            }
            // The peer allows fewer streams than requests have waited here: the others go on. The last one stays in any case.
            if lease.mux().taken() <= limit.max(1) {
                let waited = client.clock.now().since(began);
                let tls = tls.min(waited);
                progress.tls.set(progress.tls.get() + tls);
                progress.connect.set(progress.connect.get() + Nanos(waited.0 - tls.0));
                lease.mark_used();
                return Ok(lease);
            }
            lease = self.pick(client, progress, refused);
        }
    }

    fn pick<'a>(&self, client: &Rc<Client>, progress: &'a Progress, refused: Option<&Rc<Mux>>) -> Lease<'a> {
        let mut connections = self.connections.borrow_mut();
        let mut at = connections.len();
        while at > 0 {
            at -= 1;
            let mux = &connections[at];
            if mux.taken() >= self.most || refused.is_some_and(|refused| Rc::ptr_eq(refused, mux)) {
                continue;
            }
            match mux.limit(self.expected.get()) {
                Some(limit) if mux.taken() < limit => return mux.lease(progress),
                Some(_) => {}
                None => drop(connections.swap_remove(at)),
            }
        }
        let opener = Rc::clone(client);
        let mux = Mux::open(client.clock, async move {
            let (connect, tls) = (Cell::default(), Cell::default());
            let (stream, seen) = opener.reach(&connect, &tls).await?;
            Ok(Raw::<Wire> { io: stream, seen, connect: connect.get(), tls: tls.get() })
        });
        let lease = mux.lease(progress);
        connections.push(mux);
        lease
    }
}
