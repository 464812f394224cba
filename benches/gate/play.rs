//! Gates played to their end: rounds are made when the gate asks for them, on all threads asked for.

use crate::world::{Change, Disturbance, Measured, Speeds, World};
use plimsoll::base::rng::Seed;
use plimsoll::gate::{Order, Pair, Report, Rules, Verdict, paired};
use std::sync::atomic::{AtomicU32, Ordering};

/// One cell of an experiment.
#[derive(Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) change: Change,
    pub(crate) disturbance: Disturbance,
    /// Tells cells apart, so that none shares its random numbers with another.
    pub(crate) key: u64,
}

/// What the gates of a cell came to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) gates: u32,
    pub(crate) fail: u32,
    pub(crate) pass: u32,
    pub(crate) inconclusive: u32,
    pub(crate) invalid: u32,
    /// Pairs of all gates.
    pub(crate) pairs: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, report: &Report) {
        self.gates += 1;
        self.pairs += u64::from(report.pairs);
        match report.verdict {
            Verdict::Fail => self.fail += 1,
            Verdict::Pass => self.pass += 1,
            Verdict::Inconclusive => self.inconclusive += 1,
            Verdict::Invalid | Verdict::NotComparable => self.invalid += 1,
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.gates += other.gates;
        self.fail += other.fail;
        self.pass += other.pass;
        self.inconclusive += other.inconclusive;
        self.invalid += other.invalid;
        self.pairs += other.pairs;
        self
    }

    pub(crate) fn percent(&self, count: u32) -> f64 {
        100.0 * f64::from(count) / f64::from(self.gates.max(1))
    }

    pub(crate) fn mean_pairs(&self) -> f64 {
        self.pairs as f64 / f64::from(self.gates.max(1))
    }
}

/// The rounds of one gate, made as they are asked for.
pub(crate) struct Rounds<'a> {
    world: &'a World,
    cell: Cell,
    seed: Seed,
    speeds: Speeds,
    pub(crate) pairs: Vec<Pair>,
}

impl<'a> Rounds<'a> {
    pub(crate) fn new(world: &'a World, cell: Cell, gate: u32) -> Self {
        let seed = Seed(cell.key).child("gate", gate.into());
        Self { world, cell, seed, speeds: Speeds::new(world, cell.disturbance, seed), pairs: Vec::new() }
    }

    /// One more round: the same workload on both sides, each with noise of its own.
    pub(crate) fn make(&mut self) -> (Measured, Measured) {
        let round = self.pairs.len() as u64 + 1;
        let course = self.speeds.next_round();
        let workload = self.seed.child("workload", round);
        let base = self.world.run(workload, Change::None, course.base, self.seed.child("base", round));
        let head = self.world.run(workload, self.cell.change, course.head, self.seed.child("head", round));
        let order = if course.base_first { Order::BaseFirst } else { Order::HeadFirst };
        self.pairs.push(Pair { round: round as u32, order, base: base.run.clone(), head: head.run.clone() });
        (base, head)
    }

    /// The gate, played to its end.
    pub(crate) fn play(&mut self, rules: &Rules) -> Report {
        let mut report = paired::look(rules, &[]);
        while let Some(pairs) = report.another_look {
            while self.pairs.len() < pairs as usize {
                self.make();
            }
            report = paired::look(rules, &self.pairs);
        }
        report
    }
}

/// Every gate of a cell.
pub(crate) fn cell(world: &World, rules: &Rules, cell: Cell, gates: u32, threads: u32) -> Tally {
    let next = AtomicU32::new(0);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let gate = next.fetch_add(1, Ordering::Relaxed);
            if gate >= gates {
                return tally;
            }
            tally.add(&Rounds::new(world, cell, gate).play(rules));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|w| w.join().unwrap()).fold(Tally::default(), Tally::merge)
    })
}
