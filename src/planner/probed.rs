//! A probe inside a plan: its lag replaces the assumed one, and an assumed law is stretched until a chunk of it serves what a chunk was seen to serve.

use super::verification::slowed;
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::base::units::{Rate, TimeSpan};
use crate::measure::probe::document::ProbeDocument;
use crate::measure::probe::{Collector, Shape};
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::load::{Arrivals, RateFn, RateStep, VaryingRate};
use crate::scenario::workload::Workload;
use crate::sim::endpoint::Endpoint;
use crate::sim::event::Detail;
use crate::sim::virtual_time::{self, Patience};
use crate::workload::schedule::{self, Material, Schedule};

/// Repeats of the simulated probe.
const REPEATS: u64 = 3;

/// The arrivals of a probe: low, high, low, at even distances, so that what varies is the endpoint.
#[must_use]
pub fn arrivals(shape: &Shape) -> Arrivals {
    let step = |(rate, hold_s): (f64, f64)| RateStep { rate: Rate(rate), hold: TimeSpan(Nanos::from_secs_f64(hold_s)) };
    let phases = [(shape.low_rate, shape.before_s), (shape.high_rate, shape.hold_s), (shape.low_rate, shape.after_s)];
    let steps = phases.into_iter().filter(|(_, hold)| *hold > 0.0).map(step).collect();
    Arrivals::Constant { rate: RateFn::Varying(VaryingRate::Steps(steps)) }
}

/// Tokens per second that a saturated chunk of `spec` serves under the load of `probe` before anything scales, read as the probe reads them; `None` when
/// that load does not saturate it.
///
/// # Errors
/// When the lengths of `workload` cannot be drawn.
pub fn saturated_tok_s(
    probe: &ProbeDocument,
    spec: &EndpointSpec,
    workload: &Workload,
    material: &Material,
    seed: Seed,
) -> Result<Option<f64>, schedule::Error> {
    let shape = Shape { after_s: 0.0, ..probe.shape };
    let fixed = EndpointSpec { min_chunks: shape.chunks, max_chunks: shape.chunks, ..spec.clone() };
    let span = Nanos::from_secs_f64(shape.span_s());
    let patience = Patience { total: span, first_byte: span };
    let mut repeats = Vec::new();
    for i in 0..REPEATS {
        let seed = seed.child("probed", i);
        let mut schedule = Schedule::for_demand(&arrivals(&shape), workload, span, 1.0, material, seed)?;
        let mut endpoint = Endpoint::new(&fixed, seed, Detail::Requests);
        let mut collector = Collector::new(shape);
        virtual_time::run(&mut schedule, &mut endpoint, patience, &mut |r| collector.observe(r));
        repeats.push(collector.finish(span));
    }
    let found = ProbeDocument::of(("", ""), shape, (probe.input_tokens, probe.output_tokens), repeats, None);
    Ok(found.chunk.map(|c| c.tok_s))
}

/// `spec` with every part of its law longer by the factor that makes a saturated chunk serve what the probe measured; and the factor. `None` when the
/// probe saturated no chunk, or the load that did does not saturate this model.
///
/// # Errors
/// When the lengths of `workload` cannot be drawn.
pub fn stretched(
    probe: &ProbeDocument,
    spec: &EndpointSpec,
    workload: &Workload,
    material: &Material,
    seed: Seed,
) -> Result<Option<(EndpointSpec, f64)>, schedule::Error> {
    let Some(measured) = probe.chunk.map(|c| c.tok_s).filter(|m| *m > 0.0) else { return Ok(None) };
    let model = saturated_tok_s(probe, spec, workload, material, seed)?;
    // A saturated chunk is always busy: a law that takes twice as long serves half.
    Ok(model.map(|m| m / measured).map(|factor| (slowed(spec, factor), factor)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::workload::{Lengths, Marginal};

    /// A chunk that is a quarter slower than assumed: the probe's figure stretches the assumed law by a quarter, to 3 %.
    #[test]
    fn the_law_is_stretched_to_what_was_measured() {
        let shape = Shape { before_s: 20.0, hold_s: 120.0, after_s: 0.0, low_rate: 0.5, high_rate: 9.0, chunks: 1, chunk_tok_s: 1200.0 };
        let workload =
            Workload { lengths: Lengths::Independent { input: Marginal::Fixed(500), output: Marginal::Fixed(120) }, ..Workload::default() };
        let mut probe = ProbeDocument::of(("t", ""), shape, (500.0, 120.0), Vec::new(), None);
        let assumed = EndpointSpec { max_batch: 16, noise: 0.0, ..EndpointSpec::default() };
        assert_eq!(stretched(&probe, &assumed, &workload, &Material::default(), Seed(1)).unwrap(), None);
        let truth = slowed(&assumed, 1.25);
        let served = saturated_tok_s(&probe, &truth, &workload, &Material::default(), Seed(2)).unwrap().unwrap();
        let chunk = crate::measure::probe::document::ChunkFinding {
            tok_s: served,
            half_tok_s: None,
            advertised_tok_s: 1200.0,
            after_tok_s: None,
            chunks_after: None,
            added_tok_s: None,
        };
        probe.chunk = Some(chunk);
        let (_, factor) = stretched(&probe, &assumed, &workload, &Material::default(), Seed(3)).unwrap().unwrap();
        assert!((factor / 1.25 - 1.0).abs() < 0.03, "{factor}");
    }
}
