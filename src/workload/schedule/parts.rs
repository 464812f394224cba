//! What a schedule is made of before it starts: timing, lengths, sessions and phases, compiled from the scenario.

use super::learnt::Place;
use super::{Error, Material};
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::record::request::Phase;
use crate::scenario::load::Arrivals;
use crate::scenario::workload::{Lengths, Workload};
use crate::workload::arrival::Family;
use crate::workload::demand::DemandModel;
use crate::workload::length::marginal::below;
use crate::workload::length::{self, LengthModel, Recordings};
use crate::workload::rate::Curve;
use crate::workload::replay::{Replay, Scales};
use crate::workload::session::Conversations;
use std::sync::Arc;

/// What does not change while a schedule runs; shared by schedules that differ in the seed only.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) timing: Timing,
    pub(super) lengths: LengthModel,
    pub(super) sessions: Option<Conversations>,
    pub(super) shared_prefix: f64,
    pub(super) prefix_groups: u32,
    pub(super) warmup: Nanos,
    pub(super) span: Nanos,
}

#[derive(Debug)]
pub(super) enum Timing {
    Open { curve: Curve, family: Family },
    Replay(Replay),
    Learnt { model: Arc<DemandModel>, place: Place },
    Closed { users: u32, think: Nanos, ramp_up: Nanos },
}

/// Ends of the phases, from load start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phases {
    pub(super) warmup: Nanos,
    pub(super) span: Nanos,
}

impl Parts {
    pub(super) fn new(arrivals: &Arrivals, workload: &Workload, phases: Phases, factor: f64, material: &Material) -> Result<Self, Error> {
        if !(factor.is_finite() && factor > 0.0) {
            return Err(Error::Factor { found: factor });
        }
        let open = |rate, family| Ok::<_, Error>(Timing::Open { curve: Curve::new(rate, factor)?, family });
        let timing = match arrivals {
            Arrivals::Constant { rate } => open(rate, Family::Constant)?,
            Arrivals::Poisson { rate } => open(rate, Family::Exponential)?,
            Arrivals::Gamma { rate, cv } => open(rate, Family::gamma(*cv)?)?,
            Arrivals::Weibull { rate, cv } => open(rate, Family::weibull(*cv)?)?,
            Arrivals::Trace { time_scale, rate_scale, .. } => {
                let scales = Scales { time: *time_scale, rate: rate_scale * factor };
                Timing::Replay(Replay::new(material.arrivals.as_ref(), scales, phases.span)?)
            }
            Arrivals::Closed { users: 0, .. } => return Err(Error::NoUsers),
            Arrivals::Closed { users, think, ramp_up } => {
                let users = length::whole(f64::from(*users) * factor).max(1);
                Timing::Closed { users, think: think.nanos(), ramp_up: ramp_up.nanos() }
            }
        };
        let rows = if matches!(timing, Timing::Replay(_)) { length::Arrivals::WithRows } else { length::Arrivals::Bare };
        Self::around(timing, workload, phases, material, rows)
    }

    pub(super) fn of_model(model: Arc<DemandModel>, workload: &Workload, place: Place, material: &Material) -> Result<Self, Error> {
        let phases = Phases { warmup: Nanos::ZERO, span: place.span() };
        let has_lengths = model.has_lengths();
        let timing = Timing::Learnt { model, place };
        if has_lengths {
            let own = Workload { lengths: Lengths::Empirical { trace: None }, ..workload.clone() };
            return Self::around(timing, &own, phases, material, length::Arrivals::WithRows);
        }
        Self::around(timing, workload, phases, material, length::Arrivals::Bare)
    }

    fn around(timing: Timing, workload: &Workload, phases: Phases, material: &Material, rows: length::Arrivals) -> Result<Self, Error> {
        let recordings = Recordings { lengths: material.lengths.as_ref(), input: material.input.as_ref(), output: material.output.as_ref() };
        Ok(Self {
            timing,
            lengths: LengthModel::new(workload, recordings, rows)?,
            sessions: workload.sessions.as_ref().map(Conversations::new).transpose().map_err(Error::Turns)?,
            shared_prefix: workload.prompts.shared_prefix.0.clamp(0.0, 1.0),
            prefix_groups: workload.prompts.prefix_groups.max(1),
            warmup: phases.warmup,
            span: phases.span,
        })
    }

    pub(super) fn phase(&self, at: Nanos) -> Phase {
        if at < self.warmup { Phase::Warmup } else { Phase::Measure }
    }

    pub(super) fn own_rows(&self) -> Option<&Replay> {
        match &self.timing {
            Timing::Replay(replay) if self.lengths.is_own_row() => Some(replay),
            _ => None,
        }
    }

    /// Shared tokens and prefix group of a request (or session) by its number.
    pub(super) fn prefix(&self, seed: Seed, key: u64, input: u32) -> (u32, u32) {
        if self.shared_prefix <= 0.0 {
            return (0, 0);
        }
        let shared = length::whole(self.shared_prefix * f64::from(input)).min(input);
        if self.prefix_groups == 1 {
            return (shared, 0);
        }
        let group = below(&mut seed.keyed("prefix", key), u64::from(self.prefix_groups));
        (shared, u32::try_from(group).expect("below a u32"))
    }
}
