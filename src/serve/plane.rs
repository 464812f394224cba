//! `Plane`: the control plane and the simulated endpoints that its configurations run, side by side.

use super::backend::{Backend, Manners};
use super::permit::Limits;
use super::refusal::Refusal;
use super::workspace::access::Caller;
use super::workspace::config::{Config, Entity, Size};
use super::workspace::{Change, Workspace};
use crate::base::clock::Clock;
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::base::units::TokenRate;
use crate::scenario::autoscaler::{Autoscaler, Policy, Units};
use crate::scenario::endpoint::EndpointSpec;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// The workspace and what runs in it.
#[derive(Debug)]
pub(super) struct Plane {
    /// The control plane.
    pub(super) workspace: Workspace,
    base: EndpointSpec,
    seed: Seed,
    own_name: String,
    own: Arc<Backend>,
    running: BTreeMap<String, Running>,
    limits: Limits,
    /// The own endpoint, once no name leads to it.
    nameless: Option<Started>,
}

/// A simulated endpoint and its thread. Dropped, the thread ends with the last open request.
#[derive(Debug)]
struct Started {
    backend: Arc<Backend>,
    driver: JoinHandle<()>,
}

/// The configuration of one endpoint that serves.
#[derive(Debug)]
struct Running {
    config: Config,
    /// One for each served entity.
    started: Vec<Started>,
    /// Requests that each was given.
    given: Vec<u64>,
}

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Route {
    /// What answers.
    pub(super) backend: Arc<Backend>,
    /// Name of the served entity.
    pub(super) entity: String,
    /// How it answers there.
    pub(super) manners: Manners,
}

impl Plane {
    /// The workspace around the endpoint `base`, which serves as `name`.
    pub(super) fn start(base: EndpointSpec, name: &str, model: String, seed: Seed, clock: Clock) -> io::Result<Self> {
        let mut workspace = Workspace::new(&base, name, &model, clock.wall_origin_ns() / 1_000_000);
        let (own, driver) = Backend::start(base.clone(), model, seed, None, clock)?;
        let limits = Limits::new(base.workspace.parallel_requests, base.workspace.queries_per_second);
        let first = workspace.take_changes().into_iter().find_map(|change| match change {
            Change::Serve { config, .. } => Some(config),
            Change::Remove { .. } => None,
        });
        let started = Started { backend: Arc::clone(&own), driver };
        let mut plane = Self { workspace, base, seed, own_name: name.to_owned(), own, running: BTreeMap::new(), limits, nameless: None };
        match first {
            Some(config) => drop(plane.running.insert(name.to_owned(), Running { given: vec![0], started: vec![started], config })),
            None => plane.nameless = Some(started),
        }
        Ok(plane)
    }

    /// What answers the paths without an endpoint's name.
    pub(super) fn own(&self) -> Arc<Backend> {
        Arc::clone(&self.own)
    }

    /// What serves under `name`, by served entity.
    pub(super) fn backends(&self, name: &str) -> Vec<(String, Arc<Backend>)> {
        let Some(running) = self.running.get(name) else { return Vec::new() };
        running.config.entities.iter().zip(&running.started).map(|(e, started)| (e.name.clone(), Arc::clone(&started.backend))).collect()
    }

    /// Starts and lets go what the control plane has changed. Replaced endpoints end when their open requests have.
    pub(super) async fn settle(&mut self) -> io::Result<()> {
        for change in self.workspace.take_changes() {
            match change {
                Change::Serve { endpoint, config } => self.serve(endpoint, config).await?,
                Change::Remove { endpoint } => {
                    let removed = self.running.remove(&endpoint);
                    if endpoint == self.own_name && self.nameless.is_none() {
                        self.nameless = removed.and_then(|running| running.started.into_iter().next());
                    }
                }
            }
        }
        Ok(())
    }

    async fn serve(&mut self, endpoint: String, config: Config) -> io::Result<()> {
        let mut old: Vec<(Entity, Started)> = match self.running.remove(&endpoint) {
            Some(running) => running.config.entities.into_iter().zip(running.started).collect(),
            None => Vec::new(),
        };
        let mut started = Vec::with_capacity(config.entities.len());
        for entity in &config.entities {
            let before = old.iter().position(|(e, _)| e.name == entity.name).map(|i| old.swap_remove(i));
            // In a new size it begins with the chunks it had, as far as the size allows.
            started.push(match before {
                Some((same, started)) if same == *entity => started,
                Some((_, other)) => self.backend(&endpoint, entity, other.backend.look().await.ready.max(1))?,
                None => self.backend(&endpoint, entity, entity.size.min_chunks().max(1))?,
            });
        }
        if endpoint == self.own_name
            && let Some(first) = started.first()
        {
            self.own = Arc::clone(&first.backend);
            self.nameless = None;
        }
        let given = vec![0; started.len()];
        self.running.insert(endpoint, Running { config, started, given });
        Ok(())
    }

    fn backend(&self, endpoint: &str, entity: &Entity, chunks: u32) -> io::Result<Started> {
        let spec = sized(&self.base, entity.size);
        let seed = self.seed.child(&format!("{endpoint}/{}", entity.name), 0);
        let model = if endpoint == self.own_name { self.own.model().to_owned() } else { entity.model.rsplit('.').next().unwrap_or("").to_owned() };
        let (backend, driver) = Backend::start(spec, model, seed, Some(chunks), Clock::start())?;
        Ok(Started { backend, driver })
    }

    /// Where the next request to `name` goes: by the shares of the traffic, or to `entity`.
    pub(super) fn route(&mut self, now: Nanos, caller: &Caller, name: &str, entity: Option<&str>) -> Result<Route, Refusal> {
        self.workspace.may_query(now, caller, name).map_err(Refusal::Control)?;
        let running = self.running.get_mut(name).ok_or_else(|| Refusal::NotFound(name.to_owned()))?;
        let at = match entity {
            Some(entity) => {
                running.config.entities.iter().position(|e| e.name == entity).ok_or_else(|| Refusal::NotFound(format!("{name}/{entity}")))?
            }
            None => next(&running.config.shares, &running.given),
        };
        let permit = self.limits.enter(now).map_err(Refusal::Workspace)?;
        if entity.is_none() {
            running.given[at] += 1;
        }
        let workspace = &self.base.workspace;
        let manners = Manners { permit: Some(permit), template_tokens: workspace.template_tokens, stream_usage: workspace.stream_usage };
        Ok(Route { backend: Arc::clone(&running.started[at].backend), entity: running.config.entities[at].name.clone(), manners })
    }

    /// Ends everything that takes new requests: open answers break off.
    pub(super) fn stop(&mut self) {
        let named = std::mem::take(&mut self.running).into_values().flat_map(|running| running.started);
        let all: Vec<Started> = named.chain(self.nameless.take()).collect();
        for started in &all {
            started.backend.stop();
        }
        for started in all {
            // A driver that panicked has ended too.
            let _ = started.driver.join();
        }
    }
}

/// The entity that lags most behind its share of all requests so far and this one.
fn next(shares: &[u32], given: &[u64]) -> usize {
    let all = given.iter().sum::<u64>() + 1;
    let lag = |i: usize| i128::from(shares[i]) * i128::from(all) - 100 * i128::from(given[i]);
    (0..shares.len()).rev().max_by_key(|i| lag(*i)).unwrap_or(0)
}

/// The endpoint `base` in the size that was bought: each chunk of tokens per second or of model units is one replica.
fn sized(base: &EndpointSpec, size: Size) -> EndpointSpec {
    let min_chunks = size.min_chunks();
    match size {
        Size::Throughput { max, chunk, .. } => {
            let max_chunks = u32::try_from(max / chunk).unwrap_or(u32::MAX);
            EndpointSpec { chunk: TokenRate(chunk as f64), min_chunks, max_chunks, ..base.clone() }
        }
        Size::Units { burst, .. } => {
            let policy = match &base.autoscaler.policy {
                Policy::Units(units) if units.burst.is_some() => Policy::Units(*units),
                _ => Policy::Units(Units { burst: Some(crate::scenario::autoscaler::Burst::default()) }),
            };
            let autoscaler = Autoscaler { policy, one_change_at_a_time: false, ..base.autoscaler.clone() };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u32 is a u32")]
            let more = (f64::from(min_chunks) * base.workspace.burst.0).ceil() as u32;
            let max_chunks = if burst { min_chunks.saturating_add(more) } else { min_chunks };
            EndpointSpec { min_chunks, max_chunks, autoscaler, ..base.clone() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After any number of requests no entity is a whole request away from its share.
    #[test]
    fn traffic_follows_its_shares_at_every_moment() {
        for shares in [vec![100], vec![0, 100], vec![40, 60], vec![90, 9, 1], vec![33, 33, 34]] {
            let mut given = vec![0; shares.len()];
            for n in 1..=1000_u64 {
                let at = next(&shares, &given);
                given[at] += 1;
                for (share, given) in shares.iter().zip(&given) {
                    let due = f64::from(*share) * n as f64 / 100.0;
                    assert!((due - *given as f64).abs() <= 1.0 + 1e-9, "{shares:?} after {n}: {given:?}");
                }
            }
        }
    }

    #[test]
    fn bursts_go_beyond_the_units_and_fixed_units_do_not() {
        let base = EndpointSpec::default();
        let burst = sized(&base, Size::Units { units: 150, burst: true, chunk: 50 });
        assert_eq!((burst.min_chunks, burst.max_chunks), (3, 6));
        let fixed = sized(&base, Size::Units { units: 150, burst: false, chunk: 50 });
        assert_eq!((fixed.min_chunks, fixed.max_chunks), (3, 3));
        let band = sized(&base, Size::Throughput { min: 0, max: 2910, chunk: 970 });
        assert_eq!((band.min_chunks, band.max_chunks, band.chunk), (0, 3, TokenRate(970.0)));
    }
}
