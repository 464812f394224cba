//! Replay: the requests that were measured, through the simulator with a law of choice; and the search for the law that repeats them best.

use super::{FitFigure, Parameters, spec_of};
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::record::request::{Phase, RequestRecord};
use crate::scenario::endpoint::EndpointSpec;
use crate::sim::endpoint::Endpoint;
use crate::sim::event::Detail;
use crate::sim::virtual_time::{self, Patience, Source};
use crate::workload::schedule::Arrival;

/// Evaluations of one descent; each replays every step.
const EVALUATIONS: usize = 300;
/// Descents, each from where the last one ended.
const ROUNDS: usize = 8;
/// Percentiles compared.
const PERCENTILES: [(&str, f64); 2] = [("p50", 0.5), ("p90", 0.9)];
/// Fewer values than this do not make a figure.
const MIN_VALUES: usize = 8;

/// The measured steps, ready to be replayed.
pub(super) struct Replay<'a> {
    steps: Vec<Step>,
    base: &'a EndpointSpec,
    seed: Seed,
}

struct Step {
    arrivals: Vec<Arrival>,
    measured: Figures,
}

/// Sorted values of TTFT, TPOT and E2E in nanoseconds.
#[derive(Default)]
struct Figures([Vec<f64>; 3]);

const METRICS: [&str; 3] = ["TTFT", "TPOT", "E2E"];

impl Figures {
    fn add(&mut self, r: &RequestRecord) {
        if r.phase != Phase::Measure || !r.is_ok() {
            return;
        }
        self.0[0].extend(r.ttft_service().map(|v| v.0 as f64));
        self.0[1].extend(r.tpot_s().map(|v| v * 1e9));
        self.0[2].extend(r.e2e_service().map(|v| v.0 as f64));
    }

    fn sort(&mut self) {
        for values in &mut self.0 {
            values.sort_by(f64::total_cmp);
        }
    }

    /// Nearest rank; `None` for too few values.
    fn at(&self, metric: usize, quantile: f64) -> Option<f64> {
        let values = &self.0[metric];
        if values.len() < MIN_VALUES {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
        let rank = (values.len() as f64 * quantile).ceil() as usize;
        values.get(rank.clamp(1, values.len()) - 1).copied()
    }
}

/// A list of arrivals as a source.
struct List<'a> {
    arrivals: &'a [Arrival],
    next: usize,
}

impl Source for List<'_> {
    fn peek_at(&self) -> Option<Nanos> {
        self.arrivals.get(self.next).map(|a| a.at)
    }
    fn pop(&mut self) -> Option<Arrival> {
        let arrival = self.arrivals.get(self.next).copied();
        self.next += 1;
        arrival
    }
    fn completed(&mut self, _: &Arrival, _: Nanos, _: bool) {}
}

impl<'a> Replay<'a> {
    pub(super) fn new(steps: &[&[RequestRecord]], base: &'a EndpointSpec, seed: Seed) -> Self {
        Self { steps: steps.iter().map(|records| step(records)).collect(), base, seed }
    }

    /// Every figure that both sides have.
    pub(super) fn figures(&self, spec: &EndpointSpec) -> Vec<FitFigure> {
        let mut rows = Vec::new();
        for (number, step) in (1..).zip(&self.steps) {
            let predicted = self.simulate(step, spec);
            for (m, metric) in METRICS.iter().enumerate() {
                for (percentile, quantile) in PERCENTILES {
                    if let (Some(measured), Some(predicted)) = (step.measured.at(m, quantile), predicted.at(m, quantile)) {
                        rows.push(FitFigure {
                            step: number,
                            metric: (*metric).to_owned(),
                            percentile: percentile.to_owned(),
                            measured_ms: measured / 1e6,
                            predicted_ms: predicted / 1e6,
                        });
                    }
                }
            }
        }
        rows
    }

    fn simulate(&self, step: &Step, spec: &EndpointSpec) -> Figures {
        let mut endpoint = Endpoint::new(spec, self.seed, Detail::Requests);
        let mut list = List { arrivals: &step.arrivals, next: 0 };
        let patience = Patience { total: Nanos::from_secs(3600), first_byte: Nanos::from_secs(3600) };
        let mut figures = Figures::default();
        virtual_time::run(&mut list, &mut endpoint, patience, &mut |r| figures.add(r));
        figures.sort();
        figures
    }

    /// Mean squared logarithm of predicted over measured; a missing figure counts as a factor of e.
    fn loss(&self, p: &Parameters) -> f64 {
        let spec = spec_of(self.base, p);
        let (mut sum, mut n) = (0.0, 0.0_f64);
        for step in &self.steps {
            let predicted = self.simulate(step, &spec);
            for m in 0..METRICS.len() {
                for (_, quantile) in PERCENTILES {
                    let Some(measured) = step.measured.at(m, quantile) else { continue };
                    let log = predicted.at(m, quantile).map_or(1.0, |p| (p.max(1.0) / measured.max(1.0)).ln());
                    sum += log * log;
                    n += 1.0;
                }
            }
        }
        sum / n.max(1.0)
    }

    /// The law that repeats the measurement best, searched from `start`: a collapsed simplex is opened again around the best point found, because
    /// the trade-off between parameters makes a long narrow valley.
    pub(super) fn refine(&self, start: Parameters) -> Parameters {
        (0..ROUNDS).fold(start, |best, _| self.descend(best))
    }

    /// Nelder and Mead (1965) on the logarithms of the parameters, from `start`.
    fn descend(&self, start: Parameters) -> Parameters {
        // A parameter that the regression put at zero starts small and may stay there.
        let floor = [1e4, 1e3, 1e1, 1e-1, 1e4];
        let origin: Parameters = std::array::from_fn(|i| start[i].max(floor[i]).ln());
        let cost = |x: &Parameters| self.loss(&x.map(f64::exp));
        let mut simplex: Vec<(Parameters, f64)> = vec![(origin, cost(&origin))];
        for i in 0..origin.len() {
            let mut x = origin;
            x[i] += 0.15;
            simplex.push((x, cost(&x)));
        }
        let mut used = simplex.len();
        while used < EVALUATIONS {
            simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
            let worst = simplex[simplex.len() - 1];
            if worst.1 - simplex[0].1 < 1e-9 {
                break;
            }
            let others = &simplex[..simplex.len() - 1];
            let centre: Parameters = std::array::from_fn(|i| others.iter().map(|(x, _)| x[i]).sum::<f64>() / others.len() as f64);
            let along = |t: f64| -> Parameters { std::array::from_fn(|i| centre[i] + t * (worst.0[i] - centre[i])) };
            let try_at = |t: f64| {
                let x = along(t);
                (x, cost(&x))
            };
            let reflected = try_at(-1.0);
            used += 2;
            let next = if reflected.1 < simplex[0].1 {
                let further = try_at(-2.0);
                if further.1 < reflected.1 { further } else { reflected }
            } else if reflected.1 < simplex[simplex.len() - 2].1 {
                reflected
            } else {
                try_at(if reflected.1 < worst.1 { -0.5 } else { 0.5 })
            };
            let last = simplex.len() - 1;
            if next.1 < worst.1 {
                simplex[last] = next;
            } else {
                let best = simplex[0].0;
                for vertex in &mut simplex[1..] {
                    let x: Parameters = std::array::from_fn(|i| f64::midpoint(vertex.0[i], best[i]));
                    *vertex = (x, cost(&x));
                    used += 1;
                }
            }
        }
        simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
        simplex[0].0.map(f64::exp)
    }
}

/// What was sent, when it was sent, with the lengths that the server saw.
fn step(records: &[RequestRecord]) -> Step {
    let mut measured = Figures::default();
    let mut arrivals = Vec::new();
    for r in records {
        measured.add(r);
        let Some(sent) = r.sent else { continue };
        let output = if r.is_ok() { r.output_tokens } else { r.output_asked };
        let shared_tokens = r.usage.and_then(|u| u.cached).unwrap_or(0);
        arrivals.push(Arrival {
            seq: r.seq,
            at: sent,
            phase: r.phase,
            input_tokens: r.input_tokens.max(1),
            output_tokens: output.max(1),
            shared_tokens,
            prefix_group: 0,
            session: None,
            user: None,
        });
    }
    measured.sort();
    arrivals.sort_by_key(|a| (a.at, a.seq));
    Step { arrivals, measured }
}
