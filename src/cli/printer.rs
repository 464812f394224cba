//! What reaches the user: data on stdout, talk on stderr. A closed pipe is success; nothing depends on colour.

use super::args::{Cli, Color, Format};
use super::exit::Failure;
use crate::report::terminal::Paint;
use std::io::{IsTerminal, Write};

/// How this invocation speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    /// Form of data on stdout.
    pub(crate) format: Format,
    /// Talk on stderr is off.
    pub(crate) quiet: bool,
    /// Colour in text on stdout.
    pub(crate) color: bool,
    /// Colour in text on stderr.
    pub(crate) color_err: bool,
    /// stderr is a terminal: progress may redraw itself.
    pub(crate) live: bool,
}

#[expect(clippy::unused_self, reason = "whoever holds a printer may print")]
impl Printer {
    /// As the command line, the terminal and `NO_COLOR` say.
    #[must_use]
    pub(crate) fn new(cli: &Cli) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let color = |terminal: bool| match cli.color {
            Color::Auto => wanted && terminal,
            Color::Always => true,
            Color::Never => false,
        };
        let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        Self { format: cli.format, quiet: cli.quiet, color: color(out), color_err: color(err), live: err && !cli.quiet }
    }

    /// Whether text on stdout may carry colour, as `report` asks it.
    #[must_use]
    pub(crate) fn paint(self) -> Paint {
        if self.color { Paint::Color } else { Paint::Plain }
    }

    /// Data, to stdout. A reader that has gone is not an error; a full disk behind a redirection is told once.
    pub(crate) fn data(self, text: &str) {
        let mut out = std::io::stdout().lock();
        let end = if text.ends_with('\n') { "" } else { "\n" };
        if let Err(error) = write!(out, "{text}{end}").and_then(|()| out.flush())
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            let _ = writeln!(std::io::stderr(), "error: cannot write to stdout: {error}");
        }
    }

    /// Talk, to stderr, unless quiet.
    pub(crate) fn talk(self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// A question, to stderr, also when quiet: the answer is read from the terminal after it.
    pub(crate) fn prompt(question: &str) {
        let mut err = std::io::stderr().lock();
        let _ = write!(err, "{question}").and_then(|()| err.flush());
    }

    /// Text of an error that was drawn elsewhere, to stderr, always.
    pub(crate) fn error_text(self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// An error, to stderr, always.
    pub(crate) fn error(self, failure: &Failure) {
        let mut err = std::io::stderr().lock();
        let _ = writeln!(err, "error: {}", failure.message);
        if let Some(hint) = &failure.hint {
            let _ = writeln!(err, "hint: {hint}");
        }
    }
}
