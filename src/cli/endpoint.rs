//! `endpoint`: the Databricks control plane from the command line.

mod apply;
mod confirm;
mod gateway;
mod info;
mod profile;
mod show;
mod size;
mod wait;

use super::args::Format;
use super::args::endpoint::{DeleteArgs, EndpointArgs, EndpointCommand, WorkspaceArgs};
use super::exit::{Exit, Failure, Outcome};
use super::printer::Printer;
use crate::client::auth::Secret;
use crate::client::databricks::auth::{self, Given};
use crate::client::databricks::error::{Class, Error};
use crate::client::databricks::{Way, Workspace};
use crate::protocol::databricks::Product;
use crate::protocol::databricks::endpoint::Endpoint;
use std::future::Future;

/// Does what the command says.
pub(crate) fn run(args: &EndpointArgs, printer: Printer) -> Outcome {
    match &args.command {
        EndpointCommand::Info(info) => info::run(&args.workspace, info, printer),
        EndpointCommand::Create(create) => apply::create(&args.workspace, create, printer),
        EndpointCommand::Resize(resize) => apply::resize(&args.workspace, resize, printer),
        EndpointCommand::Status(status) => show::status(&args.workspace, &status.name, printer),
        EndpointCommand::Wait(wait) => wait::run(&args.workspace, wait, printer),
        EndpointCommand::Delete(delete) => self::delete(&args.workspace, delete, printer),
        EndpointCommand::List => show::list(&args.workspace, printer),
    }
}

/// The workspace that arguments, environment and profile name.
pub(crate) fn workspace(args: &WorkspaceArgs) -> Result<Workspace, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let token = match &args.token_env {
        None => None,
        Some(text) if !is_variable(text) => {
            return Err(Failure::new(
                Exit::Usage,
                "--token-env: this is no name of an environment variable, and is not repeated here: it may be a token",
            )
            .with_hint("export MY_TOKEN=..., then --token-env MY_TOKEN"));
        }
        Some(variable) => match env(variable).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) {
            Some(token) if token.bytes().all(|b| b.is_ascii_graphic()) => Some(Secret::new(token)),
            Some(_) => {
                return Err(Failure::new(Exit::Usage, format!("--token-env {variable}: the variable does not hold a token"))
                    .with_hint("it must hold the token alone, without `Bearer`"));
            }
            None => {
                return Err(
                    Failure::new(Exit::Usage, format!("--token-env {variable}: the variable is not set")).with_hint(format!("export {variable}=..."))
                );
            }
        },
    };
    if let Some(ca) = args.ca.as_ref().filter(|ca| !ca.is_file()) {
        return Err(Failure::new(Exit::Usage, format!("--ca {}: there is no such file", ca.display()))
            .with_hint("a PEM file with the authority's certificate"));
    }
    let given = Given { host: args.url.clone(), profile: args.profile.clone(), config_file: None, token };
    let login = auth::resolve(&given, &env).map_err(|e| failure(&Error::Login(e)))?;
    Workspace::new(login, &Way { ca: args.ca.clone(), proxy: args.proxy.clone() }).map_err(|e| failure(&e))
}

/// Whether `text` may be the name of an environment variable: letters, digits and underscores, no digit first.
fn is_variable(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A model as the workspace tells it.
pub(crate) struct ToldModel {
    /// The version that is meant.
    pub(crate) version: u64,
    /// What capacity of it is bought in.
    pub(crate) product: Product,
    /// One chunk of that.
    pub(crate) chunk: u64,
}

/// Which version of `model` is meant by a number, `latest` or `@alias`, and what one chunk of it is.
pub(crate) fn model(workspace: &Workspace, model: &str, version: &str) -> Result<ToldModel, Failure> {
    let profile = info::ask(workspace, model, version)?;
    profile.keep();
    let chunk = profile.chunk()?;
    Ok(ToldModel { version: profile.version, product: chunk.product, chunk: chunk.size })
}

/// Asks on the terminal; without one, only `yes` will do.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    confirm::ask(question, yes)
}

/// Whether a deadline can be read: asked before anything is sent.
pub(crate) fn check_deadline(deadline: &str) -> Result<(), Failure> {
    wait::patience(deadline).map(drop)
}

/// Waits until `name` is ready, at most as long as `deadline` says, and tells of every change.
pub(crate) fn until_ready(workspace: &Workspace, name: &str, deadline: &str, printer: Printer) -> Result<Endpoint, Failure> {
    wait::until(workspace, name, deadline, printer)
}

/// Runs `work` to its end on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Unreachable, format!("cannot start a runtime: {e}")))?;
    runtime.block_on(work).map_err(|e| failure(&e))
}

/// How a command ends with this error: who is not let in has not reached the control plane, whoever is refused has.
pub(crate) fn failure(error: &Error) -> Failure {
    let exit = match error {
        Error::Login(_) => Exit::Usage,
        Error::Call(_) | Error::Token(_) => Exit::Unreachable,
        Error::Refused(refused) => match refused.class {
            Class::Unauthenticated | Class::Forbidden | Class::NotTheApi | Class::Server | Class::TimedOut => Exit::Unreachable,
            _ => Exit::NotDeployed,
        },
        Error::NoReadyVersion { .. } => Exit::NotDeployed,
    };
    let text = error.to_string();
    let (message, hint) = text.rsplit_once("\nhint: ").map_or((text.as_str(), None), |(message, hint)| (message, Some(hint)));
    let failure = Failure::new(exit, message);
    hint.map_or_else(|| Failure::new(exit, message), |hint| failure.with_hint(hint))
}

fn delete(args: &WorkspaceArgs, delete: &DeleteArgs, printer: Printer) -> Outcome {
    let workspace = workspace(args)?;
    let request = confirm::Request { method: "DELETE", path: crate::protocol::databricks::path::endpoint(&delete.name), body: None };
    if delete.dry_run {
        request.print(workspace.host(), printer);
        return Ok(Exit::Good);
    }
    let endpoint = block_on(workspace.endpoint(&delete.name))?;
    printer.talk(&show::endpoint(&endpoint));
    confirm::ask(&format!("delete endpoint {} on {}?", delete.name, workspace.host()), delete.yes)?;
    block_on(workspace.delete(&delete.name))?;
    match printer.format {
        Format::Json => printer.data(&format!("{:#}", serde_json::json!({ "deleted": delete.name }))),
        Format::Text | Format::Md => printer.data(&format!("deleted {}", delete.name)),
    }
    Ok(Exit::Good)
}
