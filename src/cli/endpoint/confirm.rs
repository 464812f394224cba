//! Before anything is changed: the exact request, and the question.

use crate::cli::args::Format;
use crate::cli::exit::{Exit, Failure};
use crate::cli::printer::Printer;
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal};

/// A request as it would be sent.
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Option<Value>,
}

impl Request {
    /// Prints it instead of sending it. It holds no token.
    pub(super) fn print(&self, host: &str, printer: Printer) {
        let url = format!("{host}{}", self.path);
        if printer.format == Format::Json {
            printer.data(&format!("{:#}", json!({ "method": self.method, "url": url, "body": self.body })));
        } else {
            let body = self.body.as_ref().map_or_else(String::new, |body| format!("\nContent-Type: application/json\n\n{body:#}"));
            printer.data(&format!("{} {url}\nAuthorization: Bearer ***{body}", self.method));
        }
    }
}

/// Asks on the terminal; without one, only `--yes` will do.
pub(super) fn ask(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let refused =
        |why: &str| Failure::new(Exit::Refused, format!("{question} {why}")).with_hint("--yes does it without asking; --dry-run shows the request");
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(refused("there is no terminal to ask on"));
    }
    Printer::prompt(&format!("{question} [y/N] "));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") => Ok(()),
        _ => Err(refused("not confirmed; nothing was sent")),
    }
}
