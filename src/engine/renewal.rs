//! Renews the bearer token while the load goes on, on a thread of its own, so that no request waits for it: a file is read again every few seconds, a login is asked ahead of
//! the end of its token.

use crate::client::auth::{self, Secret, TokenFeed};
use crate::client::databricks::Workspace;
use crate::scenario::experiment::Experiment;
use crate::scenario::target::Auth;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

/// How often the file is read.
const EVERY: Duration = Duration::from_secs(5);
/// Pause after a login that failed; the old token goes on until then.
const AGAIN: Duration = Duration::from_secs(10);
/// Shortest time between two logins, whatever the life of a token.
const SHORTEST: Duration = Duration::from_millis(200);

/// The thread that renews. It is told to end when this is dropped, and not waited for: it may be inside a read that blocks.
pub(crate) struct Renewal {
    _end: Option<Sender<()>>,
}

impl Renewal {
    /// Watches the token's file, if the token comes from one, or renews the login's; `known` is what was had before the run.
    pub(crate) fn start(
        experiment: &Arc<Experiment>,
        known: Option<Secret>,
        login: Option<Arc<Workspace>>,
        feed: &Arc<TokenFeed>,
    ) -> std::io::Result<Self> {
        let (end, ended) = channel();
        let (experiment, feed) = (Arc::clone(experiment), Arc::clone(feed));
        let is_file = matches!(experiment.scenario.target.auth, Auth::BearerFile(_));
        let thread = Builder::new().name("plimsoll-token".to_owned());
        match login {
            Some(login) => thread.spawn(move || renew(&login, &feed, &ended))?,
            None if is_file => thread.spawn(move || watch(&experiment, known, &feed, &ended))?,
            None => return Ok(Self { _end: None }),
        };
        Ok(Self { _end: Some(end) })
    }
}

/// Reads the file again and again.
fn watch(experiment: &Experiment, mut known: Option<Secret>, feed: &TokenFeed, ended: &Receiver<()>) {
    while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        // A file that cannot be read at this moment is being replaced: the old token goes on.
        let Ok(Some(token)) = auth::bearer(&experiment.scenario.target.auth, &experiment.base_dir, |_| None) else { continue };
        if known.as_ref().is_none_or(|known| known.expose() != token.expose()) {
            feed.offer(token.clone());
            known = Some(token);
        }
    }
}

/// Asks for a new token whenever it is time, for as long as there is a time.
fn renew(login: &Workspace, feed: &TokenFeed, ended: &Receiver<()>) {
    // Without a runtime the old token goes on to its end, and what it is refused is recorded.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let mut due = login.tokens().due_in();
    while let Some(wait) = due {
        if ended.recv_timeout(wait.max(SHORTEST)) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        due = match runtime.block_on(login.tokens().renew()) {
            Ok(Some(fresh)) => {
                feed.offer(fresh.token);
                fresh.renew_after
            }
            Ok(None) => None,
            Err(_) => Some(AGAIN),
        };
    }
}
