//! `plan --probe`: lag and chunk as a probe measured them.

use crate::base::diag::{Severity, Warning};
use crate::cli::exit::{Exit, Failure};
use crate::cli::model::Model;
use crate::cli::probe;
use crate::planner::recommendation::Recommendation;
use crate::planner::{assumptions, probed};
use crate::scenario::experiment::Experiment;
use crate::scenario::plan::Provenance;
use crate::workload::schedule::Material;
use std::path::Path;

/// Says in the plan what came from the probe: the lag was measured, the rest of the policy is what the scenario says it is.
pub(super) fn tell(plan: &mut Recommendation, noted: Vec<Warning>) {
    plan.warnings.extend(noted);
    for assumption in plan.assumptions.iter_mut().filter(|a| a.what == assumptions::LAG) {
        assumption.source = Provenance::Measured;
    }
}

/// The chunk of a fitted model and that of the probe may differ by this share.
const PROBE_AGREES: f64 = 0.1;

/// Lag and chunk as a probe measured them; what is to be said about it.
pub(super) fn take(path: &Path, experiment: &mut Experiment, model: &mut Model, material: &Material) -> Result<Vec<Warning>, Failure> {
    let probe = probe::read(path)?;
    let Some(finding) = &probe.lag else {
        return Err(Failure::new(Exit::Usage, format!("{}: that probe saw no scale-up", path.display()))
            .with_hint("probe again: hold longer (--hold) or step higher (--step)"));
    };
    if let Some(plan) = experiment.scenario.plan.as_mut() {
        plan.autoscaler.lag = finding.lag.clone();
    }
    let Some(chunk) = probe.chunk else { return Ok(Vec::new()) };
    let (workload, seed) = (&experiment.scenario.workload, experiment.seed);
    // Lengths of requests that come by a rate function are drawn from the rows of the recorded arrivals when they have no others.
    let rows = Material { lengths: material.lengths.clone().or_else(|| material.arrivals.clone()), ..material.clone() };
    let note = |severity, code: &str, message: String, hint: &str| Warning {
        severity,
        code: code.to_owned(),
        message,
        limit: String::new(),
        hint: hint.to_owned(),
    };
    let found = probed::stretched(&probe, &model.spec, workload, &rows, seed).map_err(|e| Failure::from_error(Exit::Usage, &e))?;
    let Some((spec, factor)) = found else { return Ok(Vec::new()) };
    if model.source == Provenance::Assumed {
        model.spec = spec;
        model.fitted = None;
        let message = format!("the assumed step law is stretched by {factor:.2}: a saturated chunk was seen to serve {:.0} tok/s", chunk.tok_s);
        return Ok(vec![note(Severity::Note, "probe-stretched", message, "fit the law itself: `plimsoll sweep --for-fit`, then --from")]);
    }
    if (factor - 1.0).abs() <= PROBE_AGREES {
        return Ok(Vec::new());
    }
    let message = format!("a saturated chunk of the fitted model serves {:.0} tok/s, the probe saw {:.0}", factor * chunk.tok_s, chunk.tok_s);
    Ok(vec![note(
        Severity::Doubt,
        "probe-differs",
        message,
        "was the probe made with other lengths, or has the endpoint changed since it was measured?",
    )])
}
