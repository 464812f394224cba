//! `endpoint info`: what one chunk of a model is, by the control plane or by an answer that was kept.

use super::profile::ModelProfile;
use super::{block_on, workspace};
use crate::cli::args::Format;
use crate::cli::args::endpoint::{InfoArgs, WorkspaceArgs};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::load;
use crate::cli::printer::Printer;
use crate::client::databricks::WhichVersion;
use crate::client::databricks::Workspace;
use crate::protocol::databricks::Product;
use std::path::Path;

/// Tells.
pub(super) fn run(at: &WorkspaceArgs, args: &InfoArgs, printer: Printer) -> Outcome {
    let profile = match args.offline.as_deref() {
        Some("") => ModelProfile::last(&args.model)?,
        Some(file) => of_file(file, &args.model)?,
        None => {
            let workspace = workspace(at)?;
            let found = ask(&workspace, &args.model, &args.version)?;
            found.keep();
            found
        }
    };
    if let Some(path) = &args.save {
        profile.write(path)?;
        printer.talk(&format!("saved: {}", path.display()));
    }
    if args.offline.is_some() {
        printer.talk(&format!("as told by {} on {}", profile.workspace, profile.asked));
    }
    if printer.format == Format::Json {
        printer.data(&format!("{:#}", serde_json::json!(profile)));
    } else {
        printer.data(&text(&profile));
    }
    profile.chunk().map(|_| Exit::Good)
}

fn of_file(file: &str, model: &str) -> Result<ModelProfile, Failure> {
    let profile = ModelProfile::read(Path::new(file))?;
    if profile.model == model {
        return Ok(profile);
    }
    Err(Failure::new(Exit::Usage, format!("{file} tells of {}, not of {model}", profile.model)).with_hint("name the model that the file is about"))
}

/// Asks the workspace: first which version is meant, then what one chunk of it is.
pub(super) fn ask(workspace: &Workspace, model: &str, version: &str) -> Result<ModelProfile, Failure> {
    let which = WhichVersion::parse(version).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("--version {version:?}: expected a number from 1, `latest`, or @ALIAS"))
            .with_hint("for example --version latest")
    })?;
    let (version, info) = block_on(async {
        let version = workspace.version(model, &which).await?;
        Ok((version, workspace.optimization_info(model, version).await?))
    })?;
    Ok(ModelProfile { model: model.to_owned(), version, workspace: workspace.host().to_owned(), asked: load::now_utc(), info })
}

fn text(profile: &ModelProfile) -> String {
    let (model, version) = (&profile.model, profile.version);
    let kind = profile.info.model_type.as_deref().map_or_else(String::new, |kind| format!(", type {kind}"));
    match profile.info.chunk() {
        None => format!("{model} version {version}{kind}: NOT eligible for provisioned throughput"),
        Some(chunk) => match chunk.product {
            Product::TokenBands => format!(
                "{model} version {version}{kind}: sold in tokens per second\none chunk is {0} tokens per second (throughput_chunk_size); minimum and maximum are multiples of it\nsmallest endpoint: plimsoll endpoint create NAME --model {model} --version {version} --min 0 --max {0}",
                chunk.size
            ),
            Product::ModelUnits => format!(
                "{model} version {version}{kind}: sold in model units\none chunk is {0} model units (model_unit_chunk_size); the size is a multiple of it, fixed, with bursts beyond it or without\nsmallest endpoint: plimsoll endpoint create NAME --model {model} --version {version} --model-units {0}",
                chunk.size
            ),
        },
    }
}
