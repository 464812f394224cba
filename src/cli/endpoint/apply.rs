//! `endpoint create` and `resize`: from what is wanted to the request, with the change and the cost shown, and the question.

use super::confirm::{self, Request};
use super::profile::ModelProfile;
use super::size::{self, Planned, Wanted};
use super::{block_on, gateway, info, show, wait, workspace};
use crate::cli::args::Format;
use crate::cli::args::endpoint::{CreateArgs, ResizeArgs, SizeArgs, WorkspaceArgs};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::printer::Printer;
use crate::client::databricks::Workspace;
use crate::protocol::databricks::check::{self, Fault};
use crate::protocol::databricks::endpoint::{ConfigUpdate, CreateEndpoint, Endpoint, EndpointConfig};
use crate::protocol::databricks::entity::{ServedEntity, TrafficConfig};
use crate::protocol::databricks::optimization::Chunk;
use crate::protocol::databricks::{Product, path};
use serde_json::json;

/// What was found out on the way to a request.
struct Draft<'a> {
    workspace: Workspace,
    args: &'a SizeArgs,
    plan: Option<Planned>,
    profiles: Vec<ModelProfile>,
}

/// Creates an endpoint.
pub(super) fn create(at: &WorkspaceArgs, args: &CreateArgs, printer: Printer) -> Outcome {
    let mut draft = Draft::new(at, &args.size)?;
    let name = draft.name(args.name.as_deref())?;
    let wanted = draft.wanted()?;
    let entities = wanted.iter().map(|wanted| draft.entity(wanted, None)).collect::<Result<Vec<_>, _>>()?;
    let traffic = traffic(&wanted, &entities)?;
    let config = EndpointConfig { served_entities: entities, traffic_config: Some(traffic), ..EndpointConfig::default() };
    let product = config.product().unwrap_or(Product::TokenBands);
    let body = CreateEndpoint {
        name: name.clone(),
        config,
        ai_gateway: gateway::gateway(&args.size)?,
        tags: gateway::tags(&args.size)?,
        description: args.description.clone(),
        ..CreateEndpoint::default()
    };
    let mut faults = check::name(&name);
    faults.extend(draft.faults(&body.config));
    faults.extend(body.ai_gateway.iter().flat_map(check::gateway));
    refuse(&faults)?;
    let request = Request { method: "POST", path: path::create(product).to_owned(), body: Some(json!(body)) };
    if args.size.dry_run {
        request.print(draft.workspace.host(), printer);
        return Ok(Exit::Good);
    }
    printer.talk(&format!("create {name} on {}\n{}", draft.workspace.host(), show::change(&EndpointConfig::default(), &body.config)));
    draft.tell_cost(None, &body.config, printer)?;
    confirm::ask(&format!("create {name}?"), args.size.yes)?;
    let made = block_on(draft.workspace.create(product, &body))?;
    finish(&draft.workspace, &made, &args.size, printer)
}

/// Resizes an endpoint: the whole configuration is sent, with what is not to change as it was.
pub(super) fn resize(at: &WorkspaceArgs, args: &ResizeArgs, printer: Printer) -> Outcome {
    let mut draft = Draft::new(at, &args.size)?;
    let name = draft.name(args.name.as_deref())?;
    let now = block_on(draft.workspace.endpoint(&name))?;
    if now.state.config_update == ConfigUpdate::InProgress && !args.size.dry_run {
        return Err(Failure::new(Exit::NotDeployed, format!("{name}: another change is under way ({})", show::line(&now)))
            .with_hint(format!("an endpoint takes one change at a time: `plimsoll endpoint wait {name}`, then resize")));
    }
    let before = now.config.clone().unwrap_or_default();
    let after = if args.size.entity.is_empty() { draft.one_resized(&before, args.served.as_deref())? } else { draft.replaced(&before)? };
    let product = after.product().unwrap_or(Product::TokenBands);
    let gateway = gateway::gateway(&args.size)?;
    let tags = gateway::tags(&args.size)?;
    let mut faults = draft.faults(&after);
    faults.extend(gateway.iter().flat_map(check::gateway));
    refuse(&faults)?;
    let mut requests = Vec::new();
    if after != before.to_request() {
        requests.push(Request { method: "PUT", path: path::config(product, &name), body: Some(after.update_body(product)) });
    }
    if let Some(gateway) = &gateway {
        requests.push(Request { method: "PUT", path: path::ai_gateway(&name), body: Some(json!(gateway)) });
    }
    if !tags.is_empty() {
        requests.push(Request { method: "PATCH", path: path::tags(&name), body: Some(json!({ "add_tags": tags })) });
    }
    if args.size.dry_run {
        for request in &requests {
            request.print(draft.workspace.host(), printer);
        }
        return Ok(Exit::Good);
    }
    if requests.is_empty() {
        printer.talk(&format!("{name} is as wanted; nothing was sent"));
        return finish(&draft.workspace, &now, &args.size, printer);
    }
    printer.talk(&format!("resize {name} on {}\n{}", draft.workspace.host(), show::change(&before, &after)));
    draft.tell_cost(Some(&before), &after, printer)?;
    if after.served_entities.iter().any(|entity| entity.burst_scaling_enabled == Some(true)) && after != before.to_request() {
        printer.talk("  bursts will be on: whether they were, the server never tells; --no-burst keeps them off");
    }
    confirm::ask(&format!("resize {name}?"), args.size.yes)?;
    let workspace = &draft.workspace;
    let changed = block_on(async {
        if let Some(gateway) = &gateway {
            workspace.put_gateway(&name, gateway).await?;
        }
        if !tags.is_empty() {
            workspace.add_tags(&name, &tags).await?;
        }
        if after == before.to_request() { workspace.endpoint(&name).await } else { workspace.update(product, &name, &after).await }
    })?;
    finish(workspace, &changed, &args.size, printer)
}

impl<'a> Draft<'a> {
    fn new(at: &WorkspaceArgs, args: &'a SizeArgs) -> Result<Self, Failure> {
        wait::patience(&args.deadline)?;
        let plan = args.from.as_deref().map(size::planned).transpose()?;
        let profiles = args.offline.as_deref().map(ModelProfile::read).transpose()?.into_iter().collect();
        Ok(Self { workspace: workspace(at)?, args, plan, profiles })
    }

    /// The endpoint's name: the one given, else the plan's.
    fn name(&self, given: Option<&str>) -> Result<String, Failure> {
        given.map(str::to_owned).or_else(|| self.plan.as_ref().map(|plan| plan.endpoint.clone())).ok_or_else(|| {
            Failure::new(Exit::Usage, "the name of the endpoint is missing").with_hint("name it first, or take it from a plan with --from")
        })
    }

    /// What is asked for: entities of their own, or the one of the flags, with what the plan says where they are silent.
    fn wanted(&self) -> Result<Vec<Wanted>, Failure> {
        if !self.args.entity.is_empty() {
            return self.args.entity.iter().map(|text| Wanted::parse(text)).collect();
        }
        let flags = Wanted::of_flags(self.args)?;
        let plan = self.plan.as_ref().map(|plan| plan.wanted.clone()).unwrap_or_default();
        Ok(vec![Wanted {
            model: flags.model.or(plan.model),
            version: flags.version.or(plan.version),
            min: flags.min.or(plan.min),
            max: flags.max.or(plan.max),
            units: flags.units.or(plan.units),
            ..flags
        }])
    }

    fn entity(&mut self, wanted: &Wanted, before: Option<&ServedEntity>) -> Result<ServedEntity, Failure> {
        let model = wanted
            .model
            .clone()
            .or_else(|| before.map(|e| e.entity_name.clone()))
            .filter(|model| !model.is_empty())
            .ok_or_else(|| Failure::new(Exit::Usage, "the model is missing").with_hint("--model catalog.schema.model, or --from PLAN"))?;
        let version = wanted.version.clone().or_else(|| before.map(|e| e.entity_version.clone())).unwrap_or_else(|| "latest".to_owned());
        let profile = self.profile(&model, &version)?;
        wanted.entity(&profile, before)
    }

    /// What one chunk of a model is: from the file, or from the workspace.
    fn profile(&mut self, model: &str, version: &str) -> Result<ModelProfile, Failure> {
        let is_it = |known: &&ModelProfile| {
            known.model == model && (version == known.version.to_string() || version == "latest" && self.args.offline.is_some())
        };
        if let Some(known) = self.profiles.iter().find(is_it) {
            return Ok(known.clone());
        }
        let found = info::ask(&self.workspace, model, version)?;
        found.keep();
        self.profiles.push(found.clone());
        Ok(found)
    }

    /// The configuration with one entity in another size.
    fn one_resized(&mut self, before: &EndpointConfig, served: Option<&str>) -> Result<EndpointConfig, Failure> {
        let names: Vec<String> = before.served_entities.iter().map(ServedEntity::served_name).collect();
        let at = match served {
            Some(name) => names.iter().position(|known| known == name),
            None if names.len() == 1 => Some(0),
            None => None,
        };
        let Some(at) = at else {
            return Err(Failure::new(Exit::Usage, format!("which entity? the endpoint serves {}", names.join(", ")))
                .with_hint("name one with --served, or all of them with --entity"));
        };
        let mut after = before.to_request();
        let flags = self.wanted()?.remove(0);
        if flags == Wanted::default() {
            return Ok(after);
        }
        after.served_entities[at] = self.entity(&flags, Some(&before.served_entities[at]))?;
        Ok(after)
    }

    /// The configuration with other entities.
    fn replaced(&mut self, before: &EndpointConfig) -> Result<EndpointConfig, Failure> {
        let wanted = self.wanted()?;
        let mut entities = Vec::new();
        for wanted in &wanted {
            let old = before
                .served_entities
                .iter()
                .find(|e| wanted.name.as_ref().map_or(Some(&e.entity_name) == wanted.model.as_ref(), |name| e.served_name() == *name));
            entities.push(self.entity(wanted, old)?);
        }
        let traffic_config = Some(traffic(&wanted, &entities)?);
        Ok(EndpointConfig { served_entities: entities, traffic_config, ..before.to_request() })
    }

    fn chunk(&self, entity: &ServedEntity) -> Option<Chunk> {
        let known = self.profiles.iter().find(|p| p.model == entity.entity_name && p.version.to_string() == entity.entity_version);
        known.and_then(|profile| profile.info.chunk())
    }

    fn faults(&self, config: &EndpointConfig) -> Vec<Fault> {
        check::config(config, &|entity| self.chunk(entity))
    }

    /// What it costs at its smallest and at its largest, where a price is known.
    fn tell_cost(&self, before: Option<&EndpointConfig>, after: &EndpointConfig, printer: Printer) -> Result<(), Failure> {
        let (price, currency) = match (&self.args.chunk_price, &self.plan) {
            (Some(text), _) => (prices(text)?, String::new()),
            (None, Some(plan)) => (plan.price, format!(" in {}", plan.currency)),
            (None, None) => {
                printer.talk("  cost: not known; --chunk-price FIRST,NEXT shows it");
                return Ok(());
            }
        };
        let range = |config: &EndpointConfig| {
            let ends = config.served_entities.iter().map(|e| self.chunk(e).map_or((0.0, 0.0), |chunk| cost(e, chunk, price)));
            let (low, high) = ends.fold((0.0, 0.0), |(a, b), (low, high)| (a + low, b + high));
            if low == high { format!("{low:.2}") } else { format!("{low:.2} (at its minimum) to {high:.2} (at its maximum)") }
        };
        let was = before.map_or_else(String::new, |config| format!(", until now {}", range(config)));
        printer.talk(&format!("  cost an hour{currency}: {}{was}", range(after)));
        if let Some(plan) = &self.plan {
            let mean = plan.mean_per_hour.map_or_else(String::new, |mean| format!("; it expects {mean:.2} {} an hour on average", plan.currency));
            printer.talk(&format!("  the plan says: {}{mean}", plan.sentence));
        }
        Ok(())
    }
}

/// Cost of an entity an hour at its smallest and at its largest.
fn cost(entity: &ServedEntity, chunk: Chunk, (first, next): (f64, f64)) -> (f64, f64) {
    let of = |amount: u64| {
        let chunks = amount.div_ceil(chunk.size) as f64;
        if chunks == 0.0 { 0.0 } else { first + (chunks - 1.0) * next }
    };
    match chunk.product {
        Product::TokenBands => (of(entity.min_tok_s()), of(entity.max_tok_s())),
        Product::ModelUnits => {
            let all = of(entity.provisioned_model_units.unwrap_or(0));
            (all, all)
        }
    }
}

fn prices(text: &str) -> Result<(f64, f64), Failure> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)).collect();
    match numbers.as_deref() {
        Some([one]) => Ok((*one, *one)),
        Some([first, next]) => Ok((*first, *next)),
        _ => Err(Failure::new(Exit::Usage, format!("--chunk-price {text:?}: expected one or two amounts an hour"))
            .with_hint("for example --chunk-price 6.00,24.00")),
    }
}

/// The split between entities: as asked for, or everything to the only one.
fn traffic(wanted: &[Wanted], entities: &[ServedEntity]) -> Result<TrafficConfig, Failure> {
    let names: Vec<String> = entities.iter().map(ServedEntity::served_name).collect();
    if let ([name], [only]) = (&names[..], wanted) {
        return Ok(TrafficConfig::split([(name.as_str(), only.traffic.unwrap_or(100))]));
    }
    let shares = names.iter().zip(wanted).map(|(name, wanted)| wanted.traffic.map(|share| (name.as_str(), share))).collect::<Option<Vec<_>>>();
    let shares = shares.ok_or_else(|| {
        Failure::new(Exit::Usage, "several entities, and not each has a share of traffic")
            .with_hint("add traffic=PERCENT to every --entity; the shares sum up to 100")
    })?;
    Ok(TrafficConfig::split(shares))
}

fn refuse(faults: &[Fault]) -> Result<(), Failure> {
    if faults.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = faults.iter().map(|fault| format!("\n  {}: {}", fault.place, fault.what)).collect();
    let list = list.concat();
    Err(Failure::new(Exit::Usage, format!("the server would refuse this; nothing was sent{list}"))
        .with_hint("`plimsoll endpoint info MODEL` tells the chunk; amounts may be given as 2chunks"))
}

/// Prints the endpoint, and waits for it if that was asked for.
fn finish(workspace: &Workspace, endpoint: &Endpoint, args: &SizeArgs, printer: Printer) -> Outcome {
    if args.wait {
        return wait::follow(workspace, &endpoint.name, &args.deadline, printer);
    }
    match printer.format {
        Format::Json => printer.data(&format!("{:#}", json!(endpoint))),
        Format::Text | Format::Md => printer.data(&show::endpoint(endpoint)),
    }
    printer.talk(&format!("`plimsoll endpoint wait {}` follows it", endpoint.name));
    Ok(Exit::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First and next chunk cost what the plan says they do, and nothing runs for nothing.
    #[test]
    fn costs_go_by_first_and_next_chunk() {
        let chunk = Chunk { product: Product::TokenBands, size: 970 };
        assert_eq!(cost(&ServedEntity::band("a.b.c", "1", 0, 2910), chunk, (6.0, 24.0)), (0.0, 54.0));
        let units = Chunk { product: Product::ModelUnits, size: 50 };
        assert_eq!(cost(&ServedEntity::units("a.b.c", "1", 100, true), units, (5.0, 5.0)), (10.0, 10.0));
        assert_eq!(prices("6, 24").unwrap(), (6.0, 24.0));
        assert!(prices("6,24,1").is_err() && prices("x").is_err());
    }

    #[test]
    fn several_entities_need_their_shares() {
        let entities = [ServedEntity::band("a.b.c", "1", 0, 970), ServedEntity::band("a.b.d", "1", 0, 970)];
        let wanted = [Wanted { traffic: Some(60), ..Wanted::default() }, Wanted { traffic: Some(40), ..Wanted::default() }];
        assert_eq!(traffic(&wanted, &entities).unwrap(), TrafficConfig::split([("c-1", 60), ("d-1", 40)]));
        assert!(traffic(&[wanted[0].clone(), Wanted::default()], &entities).is_err());
    }
}
