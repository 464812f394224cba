//! `Place`: the endpoint in the workspace: created, resized, and looked at whether it is still what it was.

use super::super::endpoint;
use super::super::exit::{Exit, Failure};
use super::super::printer::Printer;
use super::state::{Identity, Model, State};
use crate::client::databricks::Workspace;
use crate::client::databricks::error::{Class, Error};
use crate::protocol::databricks::Product;
use crate::protocol::databricks::endpoint::{ConfigUpdate, CreateEndpoint, Endpoint, EndpointConfig};
use crate::protocol::databricks::entity::ServedEntity;
use std::path::Path;

/// Where the endpoint is.
pub(super) struct Place<'a> {
    /// Its workspace.
    pub(super) workspace: &'a Workspace,
    /// Who hears of it.
    pub(super) printer: Printer,
    /// How long a deployment may take, as the user wrote it.
    pub(super) deadline: &'a str,
}

impl Place<'_> {
    /// Creates the endpoint with as much at least as at most, and waits for it. If a create was `was_begun` before, one of the same name that serves
    /// what was asked for is taken for it.
    pub(super) fn create(&self, name: &str, model: &Model, size: u64, was_begun: bool) -> Result<Identity, Failure> {
        let found = match endpoint::block_on(async { Ok(self.workspace.endpoint(name).await) })? {
            Ok(found) => Some(found),
            Err(Error::Refused(refused)) if refused.class == Class::NotFound => None,
            Err(error) => return Err(endpoint::failure(&error)),
        };
        match found {
            Some(_) if !was_begun => {
                return Err(Failure::new(
                    Exit::NotDeployed,
                    format!("there is an endpoint {name} on {} already, and this command makes its own", self.workspace.host()),
                )
                .with_hint("name another one in plan.entity.endpoint, go on with --resume FOLDER, or delete it: `plimsoll endpoint delete`"));
            }
            Some(_) => {}
            None => {
                let entity = ServedEntity::band(&model.name, &model.version.to_string(), size, size);
                let config = EndpointConfig { served_entities: vec![entity], ..EndpointConfig::default() };
                let body = CreateEndpoint { name: name.to_owned(), config, ..CreateEndpoint::default() };
                endpoint::block_on(self.workspace.create(Product::TokenBands, &body))?;
            }
        }
        let made = self.identity(&endpoint::until_ready(self.workspace, name, self.deadline, self.printer)?)?;
        let wanted = Identity { model: model.name.clone(), version: model.version.to_string(), min_tok_s: size, max_tok_s: size, ..made.clone() };
        refuse(&differences(&wanted, &made))?;
        Ok(made)
    }

    /// Gives the endpoint of `state` another size and waits for it. If the same was `was_begun` before and is there, nothing is sent.
    pub(super) fn resize(&self, state: &State, size: (u64, u64), was_begun: bool) -> Result<Identity, Failure> {
        let name = &state.endpoint;
        let mut now = endpoint::block_on(self.workspace.endpoint(name))?;
        if was_begun && now.state.config_update == ConfigUpdate::InProgress {
            now = endpoint::until_ready(self.workspace, name, self.deadline, self.printer)?;
        }
        let found = self.identity(&now)?;
        let Some(known) = &state.identity else { return Ok(found) };
        let is_there = (found.min_tok_s, found.max_tok_s) == size;
        // What was sent before the cut may have been done: then only size and configuration differ.
        let expected = Identity { min_tok_s: size.0, max_tok_s: size.1, config_version: found.config_version, ..known.clone() };
        if was_begun && found == expected {
            return Ok(found);
        }
        refuse(&differences(known, &found))?;
        if is_there {
            return Ok(found);
        }
        let before = now.config.unwrap_or_default();
        let mut after = before.to_request();
        if let Some(entity) = after.served_entities.first_mut() {
            (entity.min_provisioned_throughput, entity.max_provisioned_throughput) = (Some(size.0), Some(size.1));
        }
        endpoint::block_on(self.workspace.update(Product::TokenBands, name, &after))?;
        let after = self.identity(&endpoint::until_ready(self.workspace, name, self.deadline, self.printer)?)?;
        refuse(&differences(&Identity { config_version: after.config_version, ..expected }, &after))?;
        Ok(after)
    }

    /// Refuses if the endpoint is not what the last step left.
    pub(super) fn same(&self, state: &State) -> Result<(), Failure> {
        let now = endpoint::block_on(self.workspace.endpoint(&state.endpoint))?;
        if now.state.config_update == ConfigUpdate::InProgress {
            return Err(changed(&[format!("{}: another change is under way", state.endpoint)], Path::new("")));
        }
        let found = self.identity(&now)?;
        state.identity.as_ref().map_or(Ok(()), |known| refuse(&differences(known, &found)))
    }

    fn identity(&self, endpoint: &Endpoint) -> Result<Identity, Failure> {
        let config = endpoint.config.as_ref();
        let entity = config.map(|c| c.served_entities.as_slice()).unwrap_or_default();
        let [entity] = entity else {
            return Err(changed(
                &[format!("{} on {} serves {} entities, not one", endpoint.name, self.workspace.host(), entity.len())],
                Path::new(""),
            ));
        };
        Ok(Identity {
            id: endpoint.id.clone(),
            model: entity.entity_name.clone(),
            version: entity.entity_version.clone(),
            config_version: config.and_then(|c| c.config_version).unwrap_or(0),
            min_tok_s: entity.min_tok_s(),
            max_tok_s: entity.max_tok_s(),
        })
    }
}

/// What is not as it was, in words.
fn differences(was: &Identity, is: &Identity) -> Vec<String> {
    let text = |id: &Option<String>| id.clone().unwrap_or_else(|| "unknown".to_owned());
    let size = |i: &Identity| format!("{} to {} tokens/s", i.min_tok_s, i.max_tok_s);
    let pairs = [
        ("the endpoint's id", text(&was.id), text(&is.id)),
        ("the model", was.model.clone(), is.model.clone()),
        ("its version", was.version.clone(), is.version.clone()),
        ("the configuration", was.config_version.to_string(), is.config_version.to_string()),
        ("the size", size(was), size(is)),
    ];
    pairs.into_iter().filter(|(_, was, is)| was != is).map(|(what, was, is)| format!("{what}: was {was}, is {is}")).collect()
}

fn refuse(differences: &[String]) -> Result<(), Failure> {
    if differences.is_empty() { Ok(()) } else { Err(changed(differences, Path::new(""))) }
}

/// Somebody else changed what this rests on.
pub(super) fn changed(differences: &[String], folder: &Path) -> Failure {
    let place = if folder.as_os_str().is_empty() { String::new() } else { format!("{}: ", folder.display()) };
    Failure::new(Exit::NotComparable, format!("{place}what was measured is not what is there now\n  {}", differences.join("\n  ")))
        .with_hint("begin anew without --resume, on an endpoint that nobody else changes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_identity_is_told_when_it_changes() {
        let was = Identity {
            id: Some("1".to_owned()),
            model: "a.b.c".to_owned(),
            version: "1".to_owned(),
            config_version: 1,
            min_tok_s: 970,
            max_tok_s: 970,
        };
        assert!(differences(&was, &was).is_empty());
        let is = Identity {
            id: Some("2".to_owned()),
            model: "a.b.d".to_owned(),
            version: "2".to_owned(),
            config_version: 3,
            min_tok_s: 0,
            max_tok_s: 970,
        };
        let told = differences(&was, &is);
        assert_eq!(told.len(), 5);
        assert_eq!(told[4], "the size: was 970 to 970 tokens/s, is 0 to 970 tokens/s");
        assert_eq!(changed(&told, Path::new("")).exit, Exit::NotComparable);
    }
}
