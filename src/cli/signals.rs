//! Ctrl-C and SIGTERM: once stops a load, drains and writes everything; twice ends at once. Where nothing is recorded, once is enough.

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
    current: Arc<Mutex<Doing>>,
}

/// What a signal meets.
enum Doing {
    /// Reading, fitting, planning: nothing would be lost.
    Thinking,
    /// A load that can be stopped.
    Loading(Arc<Live>),
    /// Files are being made from a log that is complete.
    Writing,
}

impl Signals {
    /// Starts watching. Where signals cannot be watched, the system's default stays: the program ends, the log stays readable.
    #[must_use]
    pub(crate) fn watch() -> Self {
        let signals = Self { first: Arc::new(AtomicU8::new(NONE)), current: Arc::new(Mutex::new(Doing::Thinking)) };
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
                self.act(kind, again);
            }
        });
    }

    fn act(&self, kind: u8, again: bool) {
        let Ok(doing) = self.current.lock() else { return };
        match (&*doing, again) {
            (Doing::Loading(live), false) => live.stop(),
            (Doing::Loading(live), true) => live.abort(),
            (Doing::Writing, false) => {}
            (Doing::Writing, true) | (Doing::Thinking, _) => leave(kind),
        }
    }

    /// From now on a signal stops this load.
    pub(crate) fn loading(&self, live: &Arc<Live>) {
        self.set(Doing::Loading(Arc::clone(live)));
        if self.stopped().is_some() {
            live.stop();
        }
    }

    /// From now on files are made from a complete log: the first signal lets them be finished.
    pub(crate) fn writing(&self) {
        self.set(Doing::Writing);
    }

    /// From now on a signal ends the program.
    pub(crate) fn thinking(&self) {
        self.set(Doing::Thinking);
    }

    fn set(&self, doing: Doing) {
        if let Ok(mut current) = self.current.lock() {
            *current = doing;
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

#[expect(clippy::disallowed_methods, reason = "no other thread looks at a signal while it computes")]
fn leave(kind: u8) -> ! {
    let exit = if kind == TERMINATE { Exit::Terminated } else { Exit::Interrupted };
    std::process::exit(i32::from(exit.code()))
}
