//! Ctrl-C and SIGTERM: once stops and drains, twice ends at once. What was recorded is written either way.

use super::exit::Exit;
use crate::engine::live::Live;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use tokio::signal::unix::{SignalKind, signal};

const NONE: u8 = 0;
const INTERRUPT: u8 = 1;
const TERMINATE: u8 = 2;

/// Watches for signals on a thread of its own, for as long as the program lives.
#[derive(Clone)]
pub(crate) struct Signals {
    first: Arc<AtomicU8>,
    current: Arc<Mutex<Option<Arc<Live>>>>,
}

impl Signals {
    /// Starts watching. Where signals cannot be watched, the system's default stays: the program ends, the log stays readable.
    #[must_use]
    pub(crate) fn watch() -> Self {
        let signals = Self { first: Arc::new(AtomicU8::new(NONE)), current: Arc::new(Mutex::new(None)) };
        let mine = signals.clone();
        let _ = std::thread::Builder::new().name("plimsoll-signals".to_owned()).spawn(move || mine.listen());
        signals
    }

    fn listen(&self) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else { return };
            loop {
                let kind = tokio::select! {
                    _ = interrupt.recv() => INTERRUPT,
                    _ = terminate.recv() => TERMINATE,
                };
                let again = self.first.compare_exchange(NONE, kind, Ordering::SeqCst, Ordering::SeqCst).is_err();
                if let Some(live) = self.current.lock().ok().and_then(|c| c.clone()) {
                    if again { live.abort() } else { live.stop() }
                }
            }
        });
    }

    /// The run that a signal stops from now on.
    pub(crate) fn attach(&self, live: &Arc<Live>) {
        if let Ok(mut current) = self.current.lock() {
            *current = Some(Arc::clone(live));
        }
        if self.stopped().is_some() {
            live.stop();
        }
    }

    /// How to exit because of a signal, if one came.
    #[must_use]
    pub(crate) fn stopped(&self) -> Option<Exit> {
        match self.first.load(Ordering::SeqCst) {
            INTERRUPT => Some(Exit::Interrupted),
            TERMINATE => Some(Exit::Terminated),
            _ => None,
        }
    }
}
