//! Renews the bearer token while the load goes on: a file is read again every few seconds, on a thread of its own, so that no request waits for it.

use crate::client::auth::{self, Secret, TokenFeed};
use crate::scenario::experiment::Experiment;
use crate::scenario::target::Auth;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

/// How often the file is read.
const EVERY: Duration = Duration::from_secs(5);

/// The thread that renews. It is told to end when this is dropped, and not waited for: it may be inside a read that blocks.
pub(crate) struct Renewal {
    _end: Option<Sender<()>>,
}

impl Renewal {
    /// Watches the token's file, if the token comes from one; `known` is what it held before the run.
    pub(crate) fn start(experiment: &Arc<Experiment>, known: Option<Secret>, feed: &Arc<TokenFeed>) -> std::io::Result<Self> {
        let Auth::BearerFile(_) = experiment.scenario.target.auth else { return Ok(Self { _end: None }) };
        let (end, ended) = channel();
        let (experiment, feed) = (Arc::clone(experiment), Arc::clone(feed));
        Builder::new().name("plimsoll-token".to_owned()).spawn(move || {
            let mut known = known;
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                // A file that cannot be read at this moment is being replaced: the old token goes on.
                let Ok(Some(token)) = auth::bearer(&experiment.scenario.target.auth, &experiment.base_dir, |_| None) else { continue };
                if known.as_ref().is_none_or(|known| known.expose() != token.expose()) {
                    feed.offer(token.clone());
                    known = Some(token);
                }
            }
        })?;
        Ok(Self { _end: Some(end) })
    }
}
