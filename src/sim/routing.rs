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
            Routing::PowerOfTwo => {
                // Two different ones out of one word: one of all, and one of the others.
                let word = self.stream.next_u64();
                let one = scaled(word >> 32, open.len());
                let step = 1 + scaled(word & 0xFFFF_FFFF, open.len().max(2) - 1);
                let other = (one + step) % open.len();
                if open[other] < open[one] { other } else { one }
            }
        }
    }
}

/// A number below `n` out of 32 random bits.
fn scaled(bits: u64, n: usize) -> usize {
    usize::try_from((u128::from(bits) * n as u128) >> 32).expect("below n")
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

    /// Of n replicas with different numbers of requests the one of rank r (0 the fewest) is the better of two with probability
    /// 2 (n - 1 - r) / (n (n - 1)); 12,000 draws, five standard deviations.
    #[test]
    fn power_of_two_takes_the_better_of_two_different_ones() {
        let mut b = Balancer::new(Routing::PowerOfTwo, Seed(1));
        let mut hits = [0.0_f64; 4];
        (0..12_000).for_each(|_| hits[b.choose(&[30, 10, 20, 0])] += 1.0);
        for (replica, rank) in [(3, 0.0), (1, 1.0), (2, 2.0), (0, 3.0)] {
            let p = 2.0 * (3.0 - rank) / 12.0;
            let bound = 5.0 * (12_000.0 * p * (1.0_f64 - p)).sqrt();
            assert!((hits[replica] - 12_000.0 * p).abs() <= bound, "{hits:?}");
        }
        assert_eq!(b.choose(&[7]), 0, "one replica is all there is");
    }
}
