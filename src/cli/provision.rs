//! `provision`: from a model to an endpoint in the size that its plan asks for: one command, one step after another, resumable after each.

mod place;
mod state;
mod told;

use self::place::Place;
use self::state::{Model as ChosenModel, State, Step};
use super::args::endpoint::WorkspaceArgs;
use super::args::{Format, ProvisionArgs};
use super::endpoint;
use super::exit::{Exit, Failure, Outcome};
use super::load::{self, Loader};
use super::model::{self, Model};
use super::plan::{self, Comparisons, Extras};
use super::printer::Printer;
use super::signals::Signals;
use super::{files, guard, purchase, results, scenario, sweep, verify};
use crate::base::rng::Seed;
use crate::base::units::TokenRate;
use crate::client::databricks::Workspace;
use crate::measure::document::RunDocument;
use crate::planner::recommendation::Recommendation;
use crate::protocol::databricks::Product;
use crate::scenario::experiment::Experiment;
use crate::scenario::plan::Provenance;
use crate::scenario::target::{Api, Auth, DatabricksLogin};
use std::path::{Path, PathBuf};

/// Goes the whole way, or the rest of it.
pub(crate) fn run(args: &ProvisionArgs, printer: Printer) -> Outcome {
    let mut experiment = scenario::read(&args.scenario, &[], Seed(args.scenario.seed.unwrap_or(1)), printer)?;
    if experiment.scenario.plan.is_none() {
        return Err(Failure::new(Exit::Usage, format!("{}: there is no [plan]", args.scenario.scenario.display()))
            .with_hint("scenarios/provision.toml shows a scenario with everything that this command needs"));
    }
    endpoint::check_deadline(&args.deadline)?;
    purchase::fill_in(&mut experiment)?;
    let workspace = endpoint::workspace(&args.workspace)?;
    guard::check(workspace.host(), &experiment.scenario.target.allowed_hosts, args.confirm_host.as_deref())?;
    let (folder, state) = if let Some(folder) = &args.resume {
        (folder.clone(), State::read(folder)?.of_same(&experiment, workspace.host())?.again())
    } else {
        let (name, now) = (&experiment.scenario.name, load::now_utc());
        (results::new_named_folder(&args.out, name, "provision-", experiment.seed, &now)?, State::new(&experiment, workspace.host()))
    };
    let signals = Signals::watch();
    let mut way = Way { args, printer, signals: &signals, experiment, workspace, folder, state };
    let ended = way.go();
    if way.state.has(Step::Create) && !way.state.has(Step::Resize) {
        let (folder, name) = (way.folder.display(), &way.state.endpoint);
        printer.talk(&format!("the endpoint {name} is there and costs money: go on with --resume {folder}, or `plimsoll endpoint delete {name}`"));
    }
    ended
}

/// Everything that the steps share.
struct Way<'a> {
    args: &'a ProvisionArgs,
    printer: Printer,
    signals: &'a Signals,
    experiment: Experiment,
    workspace: Workspace,
    folder: PathBuf,
    state: State,
}

impl Way<'_> {
    fn go(&mut self) -> Outcome {
        self.learn()?;
        self.aim();
        self.create()?;
        if let Some(exit) = self.measure()? {
            return Ok(exit);
        }
        let model = self.fit()?;
        let plan = self.plan(&model)?;
        let Some(chosen) = plan.chosen.clone() else {
            plan::print(&plan, self.printer)?;
            return Ok(Exit::SloNotMet);
        };
        let (min, max) = (u64::from(chosen.min_chunks), u64::from(chosen.max_chunks));
        if !self.state.has(Step::Resize) {
            let question =
                format!("resize {} to all {max} chunks for the verification, then to {min} to {max}? {}", self.state.endpoint, plan.sentence);
            endpoint::confirm(&question, self.args.yes)?;
        }
        self.resize(Step::Enlarge, max, max)?;
        let exit = self.verify(&plan, &model)?;
        if let Some(stopped) = self.signals.stopped() {
            return Ok(stopped);
        }
        self.resize(Step::Resize, min, max)?;
        self.tell(&plan)?;
        Ok(exit)
    }

    fn at(&self) -> Place<'_> {
        Place { workspace: &self.workspace, printer: self.printer, deadline: &self.args.deadline }
    }

    fn done(&mut self, step: Step, note: String) -> Result<(), Failure> {
        self.printer.talk(&format!("{}: {note}", step.words()));
        self.state.finish(step, load::now_utc(), note);
        self.state.write(&self.folder)
    }

    /// Which version of the model, and what one chunk of it is.
    fn learn(&mut self) -> Result<(), Failure> {
        if self.state.has(Step::Info) {
            return Ok(());
        }
        let entity = &self.experiment.scenario.plan.as_ref().map(|plan| plan.entity.clone()).unwrap_or_default();
        let told = endpoint::model(&self.workspace, &entity.name, &entity.version)?;
        if told.product != Product::TokenBands {
            return Err(Failure::new(
                Exit::NotDeployed,
                format!("{} is sold in model units, for which no plan in chunks of tokens exists", entity.name),
            )
            .with_hint(
                "size it by hand: `plimsoll endpoint create NAME --model-units 1chunk`, then `plimsoll sweep` and `plimsoll endpoint resize`",
            ));
        }
        let note = format!("{} version {}, one chunk is {} tokens/s", entity.name, told.version, told.chunk);
        self.state.model = Some(ChosenModel { name: entity.name.clone(), version: told.version, chunk_tok_s: told.chunk });
        self.done(Step::Info, note)
    }

    /// Points loads at the endpoint, and the plan at what was learnt.
    fn aim(&mut self) {
        let (chunk, version) = self.state.model.as_ref().map_or((1, 1), |model| (model.chunk_tok_s, model.version));
        let scenario = &mut self.experiment.scenario;
        if let Some(plan) = &mut scenario.plan {
            plan.chunk.size = TokenRate(chunk as f64);
            plan.chunk.source = Provenance::Documented;
            plan.entity.version = version.to_string();
        }
        scenario.endpoint.chunk = TokenRate(chunk as f64);
        (scenario.endpoint.min_chunks, scenario.endpoint.max_chunks) = (self.args.small, self.args.small);
        let target = &mut scenario.target;
        target.url = Some(self.workspace.host().to_owned());
        (target.api, target.endpoint) = (Api::Databricks, Some(self.state.endpoint.clone()));
        if target.auth == Auth::None {
            target.auth = login(&self.args.workspace, self.workspace.host());
        }
    }

    fn create(&mut self) -> Result<(), Failure> {
        if self.state.has(Step::Create) {
            return Ok(());
        }
        let Some(model) = self.state.model.clone() else { return Ok(()) };
        let size = u64::from(self.args.small) * model.chunk_tok_s;
        let (name, host) = (self.state.endpoint.clone(), self.workspace.host());
        let question = format!(
            "create {name} on {host} with {} version {} in {size} tokens/s ({} chunk), load it to measure it, and resize it to what the plan says?",
            model.name, model.version, self.args.small
        );
        endpoint::confirm(&question, self.args.yes)?;
        let was_begun = self.state.begun == Some(Step::Create);
        self.state.begin(Step::Create);
        self.state.write(&self.folder)?;
        let identity = self.at().create(&name, &model, size, was_begun)?;
        let note = format!("{name} serves {size} tokens/s as configuration {}", identity.config_version);
        self.state.identity = Some(identity);
        self.done(Step::Create, note)
    }

    fn loader(&self) -> Loader<'_> {
        Loader {
            printer: self.printer,
            signals: self.signals,
            out: self.folder.clone(),
            confirm_host: self.args.confirm_host.clone(),
            workers: None,
            allow_client_limit: self.args.allow_client_limit,
        }
    }

    /// Loads the small endpoint: the steps of `sweep.rates`, or the experiments that a fit asks for. An exit if it must end here.
    fn measure(&mut self) -> Result<Option<Exit>, Failure> {
        if self.state.has(Step::Measure) {
            return Ok(None);
        }
        self.at().same(&self.state)?;
        let folder = self.fresh("measure")?;
        let loader = self.loader();
        let ready = load::prepare(&self.experiment, &loader)?;
        let rates = &self.experiment.scenario.sweep.rates;
        let documents: Vec<RunDocument> = if rates.is_empty() || self.args.for_fit {
            sweep::experiments(&self.experiment, &ready, &loader, &folder, None)?
        } else {
            sweep::all(&sweep::steps(&self.experiment)?, &ready, &loader, &folder)?.into_iter().map(|done| done.document).collect()
        };
        if let Some(exit) = self.signals.stopped() {
            return Ok(Some(exit));
        }
        let answered: u64 = documents.iter().map(|d| d.summary.accounting.ok).sum();
        if answered == 0 {
            return Ok(Some(documents.first().map_or(Exit::Inconclusive, |first| load::verdict(first, None))));
        }
        self.at().same(&self.state)?;
        self.reported(&documents)?;
        self.state.measured = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        self.done(Step::Measure, format!("{} steps, {answered} answers", documents.len()))?;
        Ok(None)
    }

    /// The model's name in the answers must stay what it was.
    fn reported(&mut self, documents: &[RunDocument]) -> Result<(), Failure> {
        for name in documents.iter().filter_map(|d| d.manifest.endpoint.model_reported.clone()) {
            match &self.state.model_reported {
                None => self.state.model_reported = Some(name),
                Some(known) if *known == name => {}
                Some(known) => return Err(place::changed(&[format!("the model in the answers: was {known:?}, is {name:?}")], &self.folder)),
            }
        }
        Ok(())
    }

    /// A folder of this name that does not exist yet: a step that was cut begins anew beside its rest.
    fn fresh(&self, name: &str) -> Result<PathBuf, Failure> {
        let taken = |n: u32| self.folder.join(if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
        let path = (1..=1000).map(taken).find(|path| !path.exists()).unwrap_or_else(|| taken(1001));
        files::make_folder(&path)?;
        Ok(path)
    }

    fn fit(&mut self) -> Result<Model, Failure> {
        let measured = self.folder.join(self.state.measured.as_deref().unwrap_or("measure"));
        let model = model::fit_to(&self.experiment, model::gather(&[measured], self.printer)?)?;
        if !self.state.has(Step::Fit) {
            let document = serde_json::to_vec_pretty(&model.document()).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?;
            files::write(&self.folder.join("model.json"), &document)?;
            self.done(Step::Fit, "the law of a chunk is in model.json".to_owned())?;
        }
        Ok(model)
    }

    fn plan(&mut self, model: &Model) -> Result<Recommendation, Failure> {
        let file = self.folder.join("plan.json");
        if self.state.has(Step::Plan) {
            let bytes = files::read(&file, "plan", 256 << 20)?;
            return serde_json::from_slice(&bytes).map_err(|e| Failure::new(Exit::Usage, format!("{}: {e}", file.display())));
        }
        let depth = if self.args.quick { Comparisons::Skipped } else { Comparisons::Made };
        let material = scenario::material(&self.experiment, self.printer)?.plan;
        let plan = plan::recommend(&self.experiment, model, &material, depth, self.printer)?;
        plan::write(&self.folder, &plan, model, &Extras::default(), self.printer)?;
        let sentence = plan.sentence.clone();
        if plan.chosen.is_some() {
            self.done(Step::Plan, sentence)?;
        }
        Ok(plan)
    }

    fn resize(&mut self, step: Step, min: u64, max: u64) -> Result<(), Failure> {
        if self.state.has(step) {
            return Ok(());
        }
        let Some(model) = self.state.model.clone() else { return Ok(()) };
        let was_begun = self.state.begun == Some(step);
        self.state.begin(step);
        self.state.write(&self.folder)?;
        let size = (min * model.chunk_tok_s, max * model.chunk_tok_s);
        let identity = self.at().resize(&self.state, size, was_begun)?;
        let note = format!("{} serves {} to {} tokens/s as configuration {}", self.state.endpoint, size.0, size.1, identity.config_version);
        self.state.identity = Some(identity);
        self.done(step, note)
    }

    /// Loads all chunks of the plan with its busiest minutes, and compares with what the plan promised.
    fn verify(&mut self, plan: &Recommendation, model: &Model) -> Result<Exit, Failure> {
        if let Some(verdict) = self.state.verdict.clone().filter(|_| self.state.has(Step::Verify)) {
            return Ok(verdict.exit());
        }
        self.at().same(&self.state)?;
        let (peak, loaded) = verify::at_peak(&self.experiment, plan, None)?;
        let folder = self.fresh("verify")?;
        let loader = self.loader();
        let ready = load::prepare(&peak, &loader)?;
        let done = load::once_in(|| Ok(folder.clone()), &peak, &ready, &loader, "verify")?;
        if let Some(exit) = self.signals.stopped() {
            return Ok(exit);
        }
        self.at().same(&self.state)?;
        self.reported(std::slice::from_ref(&done.document))?;
        let found = verify::compare(&peak, plan, model, loaded, &done, verify::SLOWER)?;
        let exit = found.as_ref().map_or(Exit::Inconclusive, |found| verify::exit(found, &done));
        let verdict = state::Verdict::of(exit);
        self.state.verdict = Some(verdict.clone());
        plan::write(&self.folder, plan, model, &Extras { verify: Some(done.document), verification: found }, self.printer)?;
        self.done(Step::Verify, format!("{} requests/s on {} chunks: the promise {}", loaded.requests_s, loaded.chunks, verdict.words()))?;
        Ok(exit)
    }

    fn tell(&self, plan: &Recommendation) -> Result<(), Failure> {
        let text = told::markdown(&self.state, plan);
        files::write(&self.folder.join("provision.md"), text.as_bytes())?;
        match self.printer.format {
            Format::Json => self.printer.data(&self.state.to_json()?),
            Format::Text | Format::Md => self.printer.data(&text),
        }
        self.printer.talk(&format!("report: {}", shown(&self.folder)));
        Ok(())
    }
}

/// Whose loads they are: those of the login of the control plane. An emulation on this machine asks for none.
fn login(given: &WorkspaceArgs, host: &str) -> Auth {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let has_login = given.profile.is_some() || ["DATABRICKS_TOKEN", "DATABRICKS_CLIENT_ID", "DATABRICKS_CONFIG_PROFILE"].into_iter().any(is_set);
    let is_this_machine = guard::check(host, &[], None).is_ok();
    match &given.token_env {
        Some(variable) => Auth::BearerEnv(variable.clone()),
        None if has_login || !is_this_machine => Auth::Databricks(DatabricksLogin { profile: given.profile.clone(), config_file: None }),
        None => Auth::None,
    }
}

fn shown(folder: &Path) -> String {
    folder.join("report.html").display().to_string()
}
