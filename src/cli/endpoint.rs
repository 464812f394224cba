//! `endpoint info`: what one chunk of a model is, by the control plane.

use super::args::{EndpointCommand, EndpointInfoArgs, Format};
use super::exit::{Exit, Failure, Outcome};
use super::guard;
use super::printer::Printer;
use crate::client::{auth, control};
use crate::scenario::target::Auth;
use std::path::Path;

/// Asks the control plane.
pub(crate) fn run(command: &EndpointCommand, printer: Printer) -> Outcome {
    let EndpointCommand::Info(args) = command;
    let url = match args.url.clone().or_else(|| std::env::var("DATABRICKS_HOST").ok()) {
        Some(url) if url.contains("://") => url,
        Some(host) => format!("https://{host}"),
        None => {
            return Err(Failure::new(Exit::Usage, "no workspace: neither --url nor DATABRICKS_HOST is set")
                .with_hint("for example --url https://my-workspace.cloud.databricks.com"));
        }
    };
    guard::host_of(&url)?;
    info(args, &url, printer)
}

fn info(args: &EndpointInfoArgs, url: &str, printer: Printer) -> Outcome {
    // A loopback emulation asks for no token; a workspace refuses without one, and says so itself.
    let token = match std::env::var(&args.token_env) {
        Ok(_) => auth::bearer(&Auth::BearerEnv(args.token_env.clone()), Path::new("."), |name| std::env::var(name).ok())
            .map_err(|e| Failure::from_error(Exit::Usage, &e))?,
        Err(_) => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Unreachable, format!("cannot start a runtime: {e}")))?;
    let found = runtime
        .block_on(control::chunk_size(url, &args.model, &args.version, token.as_ref()))
        .map_err(|e| Failure::from_error(Exit::Unreachable, &e))?;
    if printer.format == Format::Json {
        printer.data(&format!("{:#}", serde_json::json!(found)));
    } else {
        let chunk = match (found.throughput_chunk_size, found.model_unit_chunk_size) {
            (Some(size), _) => format!("one chunk is {size} tokens per second (throughput_chunk_size)"),
            (None, Some(units)) => format!("sold in model units, {units} at a time (model_unit_chunk_size)"),
            (None, None) => "no chunk size in the answer".to_owned(),
        };
        let kind = found.model_type.as_deref().unwrap_or("type not told");
        printer.data(&format!(
            "{} version {}: {}, {kind}; {chunk}",
            args.model,
            args.version,
            if found.optimizable { "optimizable" } else { "NOT optimizable" }
        ));
        if let Some(message) = &found.message {
            printer.data(&format!("the control plane says: {message}"));
        }
    }
    if found.optimizable { Ok(Exit::Good) } else { Ok(Exit::Usage) }
}
