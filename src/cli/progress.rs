//! Progress of anything that lasts: a bar on a terminal, a plain line every few seconds elsewhere, nothing when quiet.

use super::printer::Printer;
use crate::base::clock::Clock;
use crate::base::time::Nanos;
use crate::engine::live::Live;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Redraw of a bar.
const REDRAW: Duration = Duration::from_millis(200);
/// Between plain lines.
const PLAIN: Nanos = Nanos::from_secs(5);

/// A thread that shows the progress of a run until it is dropped.
pub(crate) struct Shown {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Shows a run of at most `total` until the returned value is dropped.
#[must_use]
pub(crate) fn of_run(printer: Printer, label: &str, total: Nanos, live: &Arc<Live>) -> Shown {
    if printer.quiet {
        return Shown { end: None, thread: None };
    }
    let (end, ended) = channel();
    let (label, live) = (label.to_owned(), Arc::clone(live));
    let thread = std::thread::Builder::new()
        .name("plimsoll-progress".to_owned())
        .spawn(move || {
            let clock = Clock::start();
            let bar = printer.live.then(|| bar(&label));
            let mut told = Nanos::ZERO;
            while ended.recv_timeout(REDRAW) == Err(RecvTimeoutError::Timeout) {
                let (now, p) = (clock.now(), live.progress());
                let line = format!("{} sent, {} ended, {} not ok, {} in flight, {} tokens", p.sent, p.ended, p.not_ok, p.in_flight, p.output_tokens);
                if let Some(bar) = &bar {
                    bar.set_length(total.0 / 1_000_000);
                    bar.set_position(now.0.min(total.0) / 1_000_000);
                    bar.set_message(line);
                } else if now.since(told) >= PLAIN {
                    told = now;
                    printer.talk(&format!("{label}: {now} of at most {total}: {line}"));
                }
            }
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
        })
        .ok();
    Shown { end: Some(end), thread }
}

/// A bar for work that is counted in steps (planning); hidden when quiet or not on a terminal.
#[must_use]
pub(crate) fn of_steps(printer: Printer, label: &str) -> ProgressBar {
    if printer.live { bar(label) } else { ProgressBar::hidden() }
}

fn bar(label: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:24}] {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(label.to_owned());
    bar
}

impl Drop for Shown {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
