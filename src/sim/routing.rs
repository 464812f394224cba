//! `Balancer`: which replica a request goes to.

use crate::base::rng::{Seed, Stream};
use crate::scenario::endpoint::Routing;
use rand::Rng;

/// The balancer in front of the replicas.
#[derive(Debug)]
pub(super) struct Balancer {
    routing: Routing,
    turn: usize,
    stream: Stream,
}

impl Balancer {
    /// A balancer at the beginning of its stream.
    pub(super) fn new(routing: Routing, seed: Seed) -> Self {
        Self { routing, turn: 0, stream: seed.stream("routing") }
    }

    /// The first choice among replicas with these numbers of open requests (at least one replica). Ties go to the first.
    pub(super) fn choose(&mut self, open: &[u32]) -> usize {
        match self.routing {
            Routing::LeastLoaded => least(open),
            Routing::RoundRobin => {
                self.turn = if self.turn + 1 < open.len() { self.turn + 1 } else { 0 };
                self.turn
            }
            Routing::Random => {
                // Multiply-shift: one word a request, whatever the number of replicas, so that plans of other sizes see the same draws.
                let word = u128::from(self.stream.next_u64());
                usize::try_from((word * open.len() as u128) >> 64).expect("below open.len()")
            }
        }
    }
}

fn least(open: &[u32]) -> usize {
    let mut best = 0;
    for (i, n) in open.iter().enumerate() {
        if *n < open[best] {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_loaded_takes_the_first_of_the_smallest() {
        let mut b = Balancer::new(Routing::LeastLoaded, Seed(1));
        assert_eq!(b.choose(&[3, 1, 1]), 1);
    }

    #[test]
    fn round_robin_visits_everyone_and_survives_shrinking() {
        let mut b = Balancer::new(Routing::RoundRobin, Seed(1));
        let visits: Vec<usize> = (0..6).map(|_| b.choose(&[0, 0, 0])).collect();
        assert_eq!(visits, [1, 2, 0, 1, 2, 0]);
        b.choose(&[0, 0, 0]);
        b.choose(&[0, 0, 0]);
        assert_eq!(b.choose(&[0]), 0);
    }

    /// 4,000 draws over 4: each within five standard deviations (27) of 1,000.
    #[test]
    fn random_is_even() {
        let mut b = Balancer::new(Routing::Random, Seed(1));
        let mut hits = [0_i32; 4];
        (0..4000).for_each(|_| hits[b.choose(&[0; 4])] += 1);
        assert!(hits.iter().all(|h| (h - 1000).abs() < 137), "{hits:?}");
    }
}
