//! The simulator as a live HTTP endpoint on a given listener.

mod answer;
mod ask;
mod backend;
mod control;
mod counters;
pub mod driver;
mod endpoint_metrics;
pub mod null;
mod oauth;
mod permit;
mod plane;
mod prefix;
mod refusal;
mod routes;
mod stream;
mod words;
pub mod workspace;

use crate::base::clock::Clock;
use crate::base::rng::Seed;
use crate::scenario::endpoint::EndpointSpec;
use axum::serve::ListenerExt;
use plane::Plane;
use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Why the endpoint cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No thread or runtime.
    #[error("cannot start the simulated endpoint")]
    Start(#[source] io::Error),
    /// Accepting connections failed.
    #[error("the simulated endpoint stopped")]
    Accept(#[source] io::Error),
}

/// Serves `spec` under the name `model` on `listener` until `shutdown`; then open answers break off.
///
/// - Paths: chat completions, completions and embeddings under `/v1`, `/v1/models`, `/health`, `/metrics`; and those of a Databricks
///   workspace (`spec.workspace`): its control plane, and `/serving-endpoints/{name}/invocations` (the task is told by the body) of the
///   endpoints made there. The simulated endpoint itself is one of them, by the name `spec.workspace.endpoint` or else `model`.
/// - The simulated model counts words: input tokens are the words of the prompt (chat: of all messages), each output token is one word.
///   Every answer has exactly `max_tokens` tokens (16 if the body names none).
/// - Prefixes are cached in blocks of 16 words; `usage` tells how many were found.
/// - Events go out about 0.1 ms after their simulated instants where a core is free; lateness does not add up.
pub async fn run(
    listener: TcpListener,
    spec: EndpointSpec,
    model: String,
    seed: Seed,
    clock: Clock,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let name = spec.workspace.endpoint.clone().unwrap_or_else(|| model.clone());
    let plane = Plane::start(spec, &name, model, seed, clock).map_err(Error::Start)?;
    let shared = routes::Shared::new(plane, clock);
    let router = routes::router(shared.clone());
    let listener = listener.tap_io(|stream| {
        // Without it a token waits for the acknowledgement of the one before. A socket that refuses is slower, not wrong.
        let _ = stream.set_nodelay(true);
    });
    let served = tokio::select! {
        served = axum::serve(listener, router).into_future() => served,
        () = shutdown => Ok(()),
    };
    // The drivers end at once, and with them the senders of all open answers.
    shared.plane().lock().await.stop();
    served.map_err(Error::Accept)
}

/// A simulated endpoint that serves in a thread of its own until this is dropped.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://address:port`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // If the thread has ended already there is nobody to stop.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves `spec` on a free port of 127.0.0.1, see [`run`]. It accepts connections when this returns.
pub fn spawn_in_thread(spec: EndpointSpec, model: String, seed: Seed) -> Result<Handle, Error> {
    spawn_on(SocketAddr::from(([127, 0, 0, 1], 0)), spec, model, seed)
}

/// Serves `spec` on `addr` in a thread of its own, see [`run`]. Port 0 takes a free one.
pub fn spawn_on(addr: SocketAddr, spec: EndpointSpec, model: String, seed: Seed) -> Result<Handle, Error> {
    let listen = |source| Error::Listen { addr, source };
    let listener = std::net::TcpListener::bind(addr).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let addr = listener.local_addr().map_err(listen)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
    let (stop, stopped) = oneshot::channel();
    let serve = move || {
        // What goes wrong after the start shows at the client as a refused or broken connection.
        let _ = runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).map_err(Error::Start)?;
            let stopped = async { drop(stopped.await) };
            run(listener, spec, model, seed, Clock::start(), stopped).await
        });
    };
    let thread = std::thread::Builder::new().name("sim-endpoint".to_owned()).spawn(serve).map_err(Error::Start)?;
    Ok(Handle { addr, stop: Some(stop), thread: Some(thread) })
}
