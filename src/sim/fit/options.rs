//! Numbers that most endpoints do without: curvature of the law, and prompts that grow dearer with their context. Taken in when they explain much.

use super::law::{CURVATURE, GROWTH, PLAIN, TRIED};
use super::refine::{Bench, Point};
use crate::scenario::endpoint::EndpointSpec;

/// The loss must fall by this factor for each number taken in.
const FAR: f64 = 1.15;
/// Rounds of refinement with a number under trial.
const ROUNDS: usize = 6;

/// The best point with the optional numbers that are worth it, and all numbers that are free there.
pub(super) fn taken_in(bench: &Bench, base: &EndpointSpec, point: Point) -> (Point, Vec<usize>) {
    let mut best = (point, PLAIN.to_vec());
    for _ in 0..2 {
        let open = [GROWTH, CURVATURE].into_iter().filter(|k| !best.1.contains(k));
        let tried = open.map(|k| {
            let mut at = best.0.at;
            // The cost of a prompt token stands third.
            at[k] = if k == GROWTH { at[2] + TRIED.0.ln() } else { TRIED.1.ln() };
            let free: Vec<usize> = best.1.iter().copied().chain([k]).collect();
            (bench.refine(base, bench.point(base, at), &free, ROUNDS), free)
        });
        match tried.min_by(|a, b| a.0.loss.total_cmp(&b.0.loss)) {
            Some(next) if next.0.loss * FAR < best.0.loss => best = next,
            _ => break,
        }
    }
    best
}
