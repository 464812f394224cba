//! One request over a stream of a shared HTTP/2 connection.

use super::deadline::Stage;
use super::mux::Lease;
use super::pool::Pool;
use super::{Broken, Client, Progress, chain, is_enough};
use crate::protocol::openai::Call;
use crate::protocol::timeline::Timeline;
use crate::record::outcome::Outcome;
use h2::Reason;
use http::HeaderValue;
use http::header::CONTENT_LENGTH;
use std::rc::Rc;

impl Client {
    pub(super) async fn attempt_shared(
        self: &Rc<Self>,
        pool: &Pool,
        call: &Call,
        timeline: &mut Timeline,
        progress: &Progress,
    ) -> Result<(), Broken> {
        let lease = pool.lease(self, progress, None).await?;
        let refused = match self.exchange_shared(&lease, call, timeline, progress).await {
            Err(broken) if broken.is_silent => Rc::clone(lease.mux()),
            end => return end,
        };
        drop(lease);
        let lease = pool.lease(self, progress, Some(&refused)).await?;
        self.exchange_shared(&lease, call, timeline, progress).await
    }

    /// One request over a stream of its own. Dropped before its end, it resets the stream.
    async fn exchange_shared(&self, lease: &Lease<'_>, call: &Call, timeline: &mut Timeline, progress: &Progress) -> Result<(), Broken> {
        let now = self.clock.now();
        progress.enter(Stage::Head, now);
        let (answer, seen) = lease.begin(now, self.head(call), call.body.clone())?;
        let answer = answer.await.map_err(|fault| no_answer(&fault, lease.is_unsent()))?;
        let (head, mut body) = answer.into_parts();
        let now = seen.last();
        progress.enter(Stage::Body, now);
        self.meet(&head.headers);
        timeline.head(now, head.status.as_u16(), &head.headers);
        while let Some(piece) = body.data().await {
            let piece = match piece {
                Ok(piece) => piece,
                // The server wants no more of the request; the answer is whole (RFC 9113, section 8.1).
                Err(fault) if fault.is_reset() && fault.reason() == Some(Reason::NO_ERROR) => break,
                Err(fault) => return Err(broken_off(&fault)),
            };
            // Fails only for more than was taken.
            let _ = body.flow_control().release_capacity(piece.len());
            if is_enough(timeline, progress, seen.last(), &piece) {
                return Ok(());
            }
        }
        timeline.end(seen.last());
        Ok(())
    }

    fn head(&self, call: &Call) -> http::Request<()> {
        let mut request = http::Request::new(());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = http::Version::HTTP_2;
        request.headers_mut().clone_from(&self.headers.borrow());
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(call.body.len()));
        request
    }
}

/// No head came back.
fn no_answer(fault: &h2::Error, is_unsent: bool) -> Broken {
    // The error of a stream is a remote GOAWAY only where the peer counts that stream among those it did not and will not process.
    let is_unprocessed = fault.is_remote() && (fault.is_go_away() || fault.reason() == Some(Reason::REFUSED_STREAM));
    let outcome = match fault {
        fault if is_tls(fault) => Outcome::Tls,
        fault if fault.is_library() => Outcome::Malformed,
        _ => Outcome::Unreachable,
    };
    Broken { outcome, message: format!("no answer: {}", chain(fault)), is_silent: is_unprocessed || is_unsent }
}

/// The answer ended before its end.
fn broken_off(fault: &h2::Error) -> Broken {
    let outcome = if fault.is_library() { Outcome::Malformed } else { Outcome::Truncated };
    Broken::new(outcome, format!("the connection broke inside the answer: {}", chain(fault)))
}

fn is_tls(fault: &h2::Error) -> bool {
    let inner = fault.get_io().and_then(std::io::Error::get_ref);
    matches!(inner, Some(inner) if inner.is::<rustls::Error>())
}
