//! Rules of `[endpoint.workspace]`.

use super::Judge;
use crate::scenario::workspace::{ModelOffer, Workspace};

pub(super) fn judge(judge: &mut Judge<'_>, spec: &Workspace) {
    judge.at_least("endpoint.workspace.page", spec.page.into(), 1);
    judge.positive_span("endpoint.workspace.token_lifetime", spec.token_lifetime);
    for (i, model) in spec.models.iter().enumerate() {
        let key = |part: &str| format!("endpoint.workspace.models.{i}.{part}");
        let levels = model.name.split('.').filter(|part| !part.is_empty()).count();
        judge.expect(levels == 3, &key("name"), format!("{:?} is not the name of a registered model", model.name), "catalog.schema.model");
        let is_sold_in_nothing = matches!(model.offer, ModelOffer::Throughput(0) | ModelOffer::ModelUnits(0));
        judge.expect(!is_sold_in_nothing, &key("offer"), "a chunk of nothing", "a chunk of 1 or more, e.g. { throughput = 1580 }");
        for (alias, version) in &model.aliases {
            let known = [&model.versions, &model.pending, &model.failed].iter().any(|list| list.contains(version));
            judge.expect(known, &key(&format!("aliases.{alias}")), format!("{} has no version {version}", model.name), "one of its versions");
        }
    }
}
