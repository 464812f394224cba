//! The size alone: search and certificate without the explanation.

use super::cost::Tariff;
use super::evaluate::Simulation;
use super::limits::Certificate;
use super::search::{self, Size};
use super::survey::Survey;
use super::tune::Ground;
use super::{Error, Model, certificate, naive, refusal, uncertainty_of, with_lengths};
use crate::scenario::experiment::Experiment;
use crate::workload::schedule::Material;

/// The size alone: what [`super::recommend_under`] chooses and certifies, without the explanation of it, which takes as long again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The cheapest certified size. `None`: none up to the largest is.
    pub size: Option<Size>,
    /// How it was shown.
    pub certificate: Option<Certificate>,
    /// Rules of thumb and what they would buy.
    pub thumbs: Vec<naive::Thumb>,
}

/// See [`Decision`]. For endpoints that are planned in chunks and do not leave target or minima open.
///
/// # Errors
/// See [`Error`].
pub fn decide(experiment: &Experiment, model: &Model<'_>, material: &Material, threads: usize) -> Result<Decision, Error> {
    let plan = experiment.scenario.plan.as_ref().ok_or(Error::NoPlan)?;
    refusal::check_ranges(plan)?;
    refusal::check_recording(plan, material)?;
    let tariff = Tariff::new(&plan.price)?;
    let material = with_lengths(material);
    refusal::check_lengths(plan, &material)?;
    refusal::check_days(plan, &material)?;
    let uncertainty = uncertainty_of(plan, model, &material);
    let draws = uncertainty.per_family(plan.promise.confidence.0);
    let (scenario, law, seed) = (&experiment.scenario, model.spec, experiment.seed);
    let ground = Ground { scenario, law, material: &material, seed, uncertainty: &uncertainty, draws, tariff: &tariff, threads };
    let world = ground.world(plan)?;
    let survey = Survey::of(&world)?;
    let mut simulation = Simulation::new(&world, &tariff, threads);
    let found = search::search(&survey.rules, &mut simulation, &mut |_| {});
    if let Some(error) = simulation.error.take() {
        return Err(error.into());
    }
    let thumbs = naive::rules(&survey.demand, plan.chunk.size.0).into_iter().chain(naive::cheapest_that_passed(&survey.rules, &found.looked));
    Ok(Decision {
        size: found.chosen.as_ref().map(|c| c.size),
        certificate: found.chosen.as_ref().map(|c| certificate(&survey.rules, c)),
        thumbs: thumbs.collect(),
    })
}
