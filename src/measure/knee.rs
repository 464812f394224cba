//! The search for the SLO capacity: which load next and for how long, from what the loads before have shown. No clock, no I/O.

pub mod document;
pub mod fit;

use super::plateau::{Plateau, Steadiness, Target};
use fit::{Point, crossing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Requests per second of an open loop.
    Rate,
    /// Users of a closed loop.
    Users,
}

/// How a search is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What is varied.
    pub kind: Kind,
    /// The first load: requests per second, or users.
    pub start: f64,
    /// Half width of the interval that ends the search, relative to the capacity: 0.02 is plus or minus 2 %.
    pub width: f64,
    /// Confidence of the interval, 0 to 1.
    pub confidence: f64,
    /// Shortest measured window, seconds.
    pub shortest_s: f64,
    /// Longest measured window, seconds.
    pub longest_s: f64,
    /// Requests of the whole search, at most: no window begins beyond it.
    pub most_requests: u64,
    /// Seconds of load of the whole search, at most: no window begins beyond it.
    pub most_seconds: f64,
}

/// One window to be loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask {
    /// Requests per second, or users.
    pub load: f64,
    /// Which random numbers: windows of the same number have the same lengths and the same gaps, scaled by the load.
    pub window: u64,
    /// Seconds of load before the measured window.
    pub warmup_s: f64,
    /// Seconds of the measured window.
    pub measure_s: f64,
    /// Why.
    pub stage: Stage,
}

/// Parts of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Twice the load until it is too much (or half until it is not).
    Doubling,
    /// Between a load that is carried well and one that is not.
    Bisection,
    /// The same load once more, because it was not steady.
    Repeat,
    /// At the capacity, until the interval is narrow.
    Refinement,
    /// A load that was given.
    Given,
    /// More than the endpoint can carry, for its throughput.
    Saturation,
}

/// What came of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// What was asked.
    pub ask: Ask,
    /// What was measured; `None` when too little came back to say anything.
    pub plateau: Option<Plateau>,
}

/// How a load stands to the objectives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Steady, and every objective is kept, as far as the sample can tell.
    Met,
    /// So near to an objective that the sample cannot tell.
    Near,
    /// An objective is surely missed, or the load is not carried.
    Missed,
    /// Not steady, repeated, and still not.
    Unsteady,
}

/// What the search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Best estimate of the highest load that keeps every objective.
    pub estimate: f64,
    /// Lower end of the confidence interval.
    pub low: f64,
    /// Upper end of the confidence interval.
    pub high: f64,
    /// Confidence of the interval.
    pub confidence: f64,
    /// The objective that is missed first.
    pub binding: String,
}

/// What the search says now.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Load this.
    Load(Ask),
    /// It has ended; the reason if the interval is not as narrow as was asked for, or if there is none.
    Done(Option<Reason>),
}

/// Why a search ended without a capacity as narrow as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The scenario sets no objectives.
    NoObjectives,
    /// Not even the lowest load tried keeps the objectives.
    NothingMeets,
    /// The highest load that may be tried still keeps them.
    EverythingMeets,
    /// The budget of requests or time was spent first.
    BudgetSpent,
    /// No load was steady long enough to be judged.
    NeverSteady,
    /// A step measured the client and not the endpoint.
    InvalidRun,
    /// The user stopped it.
    Stopped,
    /// The loads were given, and do not lie near enough to the objective for a curve.
    GivenSteps,
}

/// Loads this many times below or above the first are not tried.
const FURTHEST: f64 = 4096.0;
/// A bracket this narrow (ratio of its ends) is refined, not bisected.
const NARROW: f64 = 1.12;
/// Requests of a window of the bracket: this many expected misses at the strictest latency objective.
const MISSES: f64 = 6.0;
/// Relaxation times that a window and its warm-up should hold.
const MEMORIES: (f64, f64) = (15.0, 4.0);
/// Relaxation times that a window of the refinement should hold.
const LONG: f64 = 30.0;
/// Log-odds by which a window of the refinement lies beside the crossing.
const ASIDE: f64 = 0.5;
/// Windows of the refinement, at least: with fewer a lucky beginning ends the search too early.
const LEAST_WINDOWS: usize = 5;
/// Logarithmic reach of the local curve.
const REACH: f64 = 0.25;
/// Windows without progress, at most.
const MOST_WINDOWS: usize = 200;

/// The search: its history decides what comes next.
#[derive(Clone, Debug)]
pub struct Search {
    options: Options,
    targets: Vec<Target>,
    windows: Vec<Window>,
}

impl Search {
    /// A search that has seen nothing.
    #[must_use]
    pub fn new(options: Options, targets: Vec<Target>) -> Self {
        Self { options, targets, windows: Vec::new() }
    }

    /// What is varied.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.options.kind
    }

    /// Takes what came of the window that was asked for.
    pub fn learn(&mut self, ask: Ask, plateau: Option<Plateau>) {
        self.windows.push(Window { ask, plateau });
    }

    /// Every window so far.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Requests sent so far.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.windows.iter().filter_map(|w| w.plateau.as_ref()).map(|p| p.spent).sum()
    }

    /// Seconds of load so far, drains left out.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.windows.iter().map(|w| w.ask.warmup_s + w.ask.measure_s).sum()
    }

    /// How the search is made.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What comes next.
    #[must_use]
    pub fn next(&self) -> Next {
        if self.targets.is_empty() {
            return Next::Done(Some(Reason::NoObjectives));
        }
        let found = self.sure_capacity();
        if found.as_ref().is_some_and(|c| self.is_narrow(c)) {
            return Next::Done(None);
        }
        if self.windows.len() >= MOST_WINDOWS || self.spent() >= self.options.most_requests || self.seconds() >= self.options.most_seconds {
            return Next::Done(Some(if found.is_some() || self.best_met().is_some() { Reason::BudgetSpent } else { self.why_none() }));
        }
        if let Some(last) = self.windows.last().filter(|w| w.plateau.is_none() && w.ask.measure_s < self.options.longest_s) {
            let measure_s = (4.0 * last.ask.measure_s).min(self.options.longest_s);
            return Next::Load(Ask { measure_s, stage: Stage::Repeat, ..last.ask });
        }
        if let Some(load) = self.to_repeat() {
            return Next::Load(self.ask(load, self.times(load), Stage::Repeat));
        }
        match self.ends() {
            (None, None) => Next::Load(self.ask(self.options.start, 0, Stage::Doubling)),
            (Some(low), None) => self.bounded(low * 2.0, Reason::EverythingMeets),
            (None, Some(high)) => self.bounded(high / 2.0, Reason::NothingMeets),
            (Some(low), Some(high)) if self.may_bisect(low, high) => Next::Load(self.ask((low * high).sqrt(), 0, Stage::Bisection)),
            _ => self.refine(),
        }
    }

    /// The bracket: the highest load whose objectives are kept below the lowest one that is missed or too near to tell. Whether a load was steady
    /// does not count here, only in what is said of it.
    fn ends(&self) -> (Option<f64>, Option<f64>) {
        let mut low = None;
        for (load, standing) in self.tried(|load| self.judged(load)) {
            match standing {
                Standing::Met => low = Some(load),
                _ => return (low, Some(load)),
            }
        }
        (low, None)
    }

    /// The capacity as far as it is known; `None` before a curve can be drawn. Where the slope of the curve is not sure, the interval is the bracket of
    /// loads around the crossing (without a load that surely misses: the reach of the curve), and never narrower than 12 % to either side.
    #[must_use]
    pub fn capacity(&self) -> Option<Capacity> {
        self.sure_capacity().or_else(|| self.bracketed())
    }

    /// Whether the slope of the curve is sure, and the interval therefore that of the curve.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.sure_capacity().is_some()
    }

    fn bracketed(&self) -> Option<Capacity> {
        let curves = self.curves();
        let (lowest, binding) = curves.iter().min_by(|a, b| a.0.x.total_cmp(&b.0.x))?;
        let estimate = lowest.x.exp();
        let (low, high) = (self.ends().0?.min(estimate / NARROW), self.least_missed().unwrap_or(estimate * REACH.exp()).max(estimate * NARROW));
        Some(Capacity { estimate, low, high, confidence: self.options.confidence, binding: binding.clone() })
    }

    fn sure_capacity(&self) -> Option<Capacity> {
        let found = self.curves();
        let (lowest, binding) = found.iter().min_by(|a, b| a.0.x.total_cmp(&b.0.x))?;
        if !(lowest.low.is_finite() && lowest.high.is_finite()) {
            return None;
        }
        let least = |of: fn(&fit::Crossing) -> f64| found.iter().map(|(c, _)| of(c)).filter(|v| v.is_finite()).fold(f64::INFINITY, f64::min);
        let low = least(|c| c.low).min(lowest.x);
        let high = least(|c| c.high).max(lowest.x);
        Some(Capacity { estimate: lowest.x.exp(), low: low.exp(), high: high.exp(), confidence: self.options.confidence, binding: binding.clone() })
    }

    /// The curve of each objective around the lowest crossing.
    fn curves(&self) -> Vec<(fit::Crossing, String)> {
        let Some(near) = self.centre().map(f64::ln) else { return Vec::new() };
        let found = self.crossings(near);
        // Drawn again around its own crossing: what lies far from it should not bend it.
        let first = found.iter().map(|(c, _)| c.x).fold(f64::INFINITY, f64::min);
        if (first - near).abs() < REACH { self.crossings(first) } else { found }
    }

    /// How the load of each window stands, one entry for each load that was tried, by rising load.
    #[must_use]
    pub fn standings(&self) -> Vec<(f64, Standing)> {
        self.tried(|load| self.standing(load))
    }

    fn crossings(&self, near: f64) -> Vec<(fit::Crossing, String)> {
        let one = |(i, target): (usize, &Target)| {
            let points = self.points(i, near);
            crossing(&points, target.allowed, near, REACH, self.options.confidence).map(|c| (c, target.text.clone()))
        };
        self.targets.iter().enumerate().filter_map(one).collect()
    }

    fn points(&self, target: usize, near: f64) -> Vec<Point> {
        let close = |w: &Window| (w.ask.load.ln() - near).abs() < REACH;
        let point = |w: &Window| {
            let m = w.plateau.as_ref()?.misses.get(target)?;
            let shared = self.windows.iter().filter(|o| close(o) && o.ask.window == w.ask.window && o.plateau.is_some()).count();
            Some(Point { x: w.ask.load.ln(), missed: m.missed, asked: m.asked, error: m.error, df: m.df, shared: shared.max(1) as f64 })
        };
        self.windows.iter().filter_map(point).collect()
    }

    fn tried(&self, standing: impl Fn(f64) -> Standing) -> Vec<(f64, Standing)> {
        let mut loads: Vec<f64> = self.windows.iter().map(|w| w.ask.load).collect();
        loads.sort_by(f64::total_cmp);
        loads.dedup();
        loads.into_iter().map(|load| (load, standing(load))).collect()
    }

    /// Where the capacity is looked for before there is a curve.
    fn centre(&self) -> Option<f64> {
        match self.ends() {
            (Some(low), Some(high)) => Some((low * high).sqrt()),
            _ => None,
        }
    }

    fn is_narrow(&self, c: &Capacity) -> bool {
        let refined = self.windows.iter().filter(|w| w.ask.stage == Stage::Refinement && w.plateau.is_some()).count();
        let half = 0.5 * (c.high - c.low) / c.estimate;
        refined >= LEAST_WINDOWS && half <= self.options.width
    }

    /// A fresh window beside the crossing, on the side that has had fewer requests: two loads give the slope, their middle the crossing.
    fn refine(&self) -> Next {
        let curves = self.curves();
        let lowest = curves.iter().map(|c| c.0).min_by(|a, b| a.x.total_cmp(&b.x));
        let centre = self.centre().unwrap_or(self.options.start);
        let middle = lowest.map_or(centre, |c| c.x.exp()).clamp(centre * 0.88, centre * 1.13);
        // Until the slope is sure, further away: that is what makes it sure.
        let (least, most): (f64, f64) = if self.is_sure() { (0.01, 0.04) } else { (0.03, 0.08) };
        let aside = lowest.map_or(least.max(0.03), |c| (ASIDE / c.slope).clamp(least, most));
        let above = |up: bool| {
            let there = |w: &&Window| (w.ask.load > middle) == up && (w.ask.load / middle).ln().abs() < 2.0 * aside.max(0.03);
            self.windows.iter().filter(there).filter_map(|w| w.plateau.as_ref()).map(|p| p.requests).sum::<u64>()
        };
        let load = if above(true) < above(false) { middle * (1.0 + aside) } else { middle * (1.0 - aside) };
        let fresh = self.windows.iter().map(|w| w.ask.window + 1).max().unwrap_or(0);
        Next::Load(self.ask(load, fresh, Stage::Refinement))
    }

    fn bounded(&self, load: f64, reason: Reason) -> Next {
        let load = self.whole(load);
        let ratio = load / self.options.start;
        let lowest_user = self.options.kind == Kind::Users && self.windows.iter().any(|w| w.ask.load == load);
        if !(1.0 / FURTHEST..=FURTHEST).contains(&ratio) || lowest_user {
            return Next::Done(Some(reason));
        }
        Next::Load(self.ask(load, 0, Stage::Doubling))
    }

    fn may_bisect(&self, met: f64, missed: f64) -> bool {
        let wide = missed / met > NARROW;
        match self.options.kind {
            Kind::Rate => wide,
            Kind::Users => wide && missed - met > 1.5,
        }
    }

    fn whole(&self, load: f64) -> f64 {
        match self.options.kind {
            Kind::Rate => load,
            Kind::Users => load.round().max(1.0),
        }
    }

    /// A window at `load`: as long as the objectives and the relaxation time need.
    fn ask(&self, load: f64, window: u64, stage: Stage) -> Ask {
        let load = self.whole(load);
        let o = &self.options;
        let known = self.windows.iter().filter_map(|w| Some((w.ask.load, w.plateau.as_ref()?)));
        let nearest = known.min_by(|a, b| (a.0 / load).ln().abs().total_cmp(&(b.0 / load).ln().abs()));
        let strictest = self.targets.iter().filter(|t| !t.text.starts_with("errors")).map(|t| t.allowed).fold(1.0, f64::min);
        let strictest = if strictest < 1.0 { strictest } else { self.targets.iter().map(|t| t.allowed).fold(0.5, f64::min) };
        let requests = (MISSES / strictest.max(1e-4)).max(100.0);
        let rate = match (o.kind, nearest) {
            (Kind::Rate, _) => load,
            (Kind::Users, Some((at, p))) => (p.rate * load / at).max(1e-6),
            (Kind::Users, None) => requests / o.shortest_s,
        };
        // A short window sees little of a long memory: the longest that was seen near this load counts.
        let near = self.windows.iter().filter(|w| (w.ask.load / load).ln().abs() < 0.15).filter_map(|w| w.plateau.as_ref());
        let least = if stage == Stage::Refinement { 1.0 } else { 0.3 };
        let memory = near.chain(nearest.map(|(_, p)| p)).map(|p| p.relaxation_s.max(least * p.residence_s)).fold(0.0, f64::max);
        let mut measure = (requests / rate).max(MEMORIES.0 * memory).max(o.shortest_s);
        measure *= match stage {
            Stage::Repeat => 2.0,
            Stage::Refinement => return self.long(load, window, rate, memory),
            _ => 1.0,
        };
        let measure_s = measure.min(o.longest_s);
        let warmup_s = if nearest.is_some() { MEMORIES.1 * memory } else { 0.25 * measure_s };
        Ask { load, window, warmup_s: warmup_s.clamp(0.02 * measure_s, 0.5 * measure_s), measure_s, stage }
    }

    /// A window of the refinement: half of the requests that are still missing to the width, if the error falls as their root.
    fn long(&self, load: f64, window: u64, rate: f64, memory: f64) -> Ask {
        let near = |w: &&Window| (w.ask.load / load).ln().abs() < 0.1;
        let have: f64 = self.windows.iter().filter(near).filter_map(|w| w.plateau.as_ref()).map(|p| p.requests as f64).sum();
        let ratio = self.sure_capacity().map_or(2.0, |c| 0.5 * (c.high - c.low) / c.estimate / self.options.width);
        let missing = have.max(1.0) * (ratio * ratio - 1.0).clamp(0.25, 8.0);
        let least = (LONG * memory).max(self.options.shortest_s);
        let measure_s = (0.35 * missing / rate).max(least).min(self.options.longest_s);
        let warmup_s = (MEMORIES.1 * memory).clamp(0.02 * measure_s, 0.25 * measure_s);
        Ask { load, window, warmup_s, measure_s, stage: Stage::Refinement }
    }

    fn of_load(&self, load: f64) -> impl Iterator<Item = &Window> {
        self.windows.iter().filter(move |w| w.ask.load == load)
    }

    fn times(&self, load: f64) -> u64 {
        self.of_load(load).map(|w| w.ask.window + 1).max().unwrap_or(0)
    }

    /// A load that was not steady and has not been repeated.
    fn to_repeat(&self) -> Option<f64> {
        let last = self.windows.last()?;
        let unsteady = last.plateau.as_ref().is_some_and(|p| p.steadiness == Steadiness::Unsteady);
        let undecided = !matches!(self.judged(last.ask.load), Standing::Missed);
        (unsteady && undecided && self.of_load(last.ask.load).count() == 1 && last.ask.stage != Stage::Refinement).then_some(last.ask.load)
    }

    /// How a load stands, over all its windows; never [`Standing::Met`] unless its last window was steady.
    fn standing(&self, load: f64) -> Standing {
        let judged = self.judged(load);
        let last = self.of_load(load).filter_map(|w| w.plateau.as_ref()).last();
        match (judged, last.map(|p| p.steadiness)) {
            (Standing::Missed, _) | (_, None | Some(Steadiness::Steady)) => judged,
            (_, Some(Steadiness::Overloaded)) => Standing::Missed,
            (_, Some(Steadiness::Unsteady)) => Standing::Unsteady,
        }
    }

    /// The same by the objectives alone.
    fn judged(&self, load: f64) -> Standing {
        const SURE: f64 = 1.645;
        let plateaus: Vec<&Plateau> = self.of_load(load).filter_map(|w| w.plateau.as_ref()).collect();
        if plateaus.is_empty() || plateaus.iter().any(|p| p.steadiness == Steadiness::Overloaded) {
            return Standing::Missed;
        }
        let mut worst = Standing::Met;
        for (i, target) in self.targets.iter().enumerate() {
            let (missed, asked, variance) = plateaus
                .iter()
                .filter_map(|p| p.misses.get(i))
                .fold((0.0, 0.0, 0.0), |(m, n, v), x| (m + x.missed, n + x.asked, v + (x.error * x.asked).powi(2)));
            if asked <= 0.0 || missed == 0.0 {
                continue;
            }
            let independent = target.allowed * (1.0 - target.allowed) / asked;
            let z = (missed / asked - target.allowed) / (variance / (asked * asked)).max(independent).sqrt();
            if z > SURE {
                return Standing::Missed;
            }
            if z > -SURE {
                worst = Standing::Near;
            }
        }
        worst
    }

    fn loads(&self, wanted: impl Fn(Standing) -> bool) -> impl Iterator<Item = f64> {
        self.standings().into_iter().filter(move |(_, s)| wanted(*s)).map(|(load, _)| load)
    }

    /// The lowest load that is missed.
    fn least_missed(&self) -> Option<f64> {
        self.loads(|s| s == Standing::Missed).next()
    }

    /// The highest load that is met, below every one that is missed: a lucky step beyond a bad one does not count.
    #[must_use]
    pub fn best_met(&self) -> Option<f64> {
        let roof = self.least_missed().unwrap_or(f64::INFINITY);
        self.loads(|s| s == Standing::Met).filter(|&load| load < roof).last()
    }

    fn why_none(&self) -> Reason {
        if self.loads(|s| s == Standing::Unsteady).next().is_some() { Reason::NeverSteady } else { Reason::NothingMeets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::plateau::{Misses, targets};
    use proptest::prelude::*;

    fn plateau(missed: f64, asked: f64, steadiness: Steadiness) -> Plateau {
        let p = missed / asked;
        let error = (p * (1.0 - p) / asked).sqrt();
        Plateau {
            start_s: 0.0,
            end_s: 1.0,
            requests: 1000,
            spent: 1000,
            relaxation_s: 0.1,
            in_flight: 1.0,
            rate: 1.0,
            residence_s: 1.0,
            little: 1.0,
            little_holds: true,
            rise: 0.0,
            steadiness,
            output_tok_s: 1.0,
            total_tok_s: 2.0,
            misses: vec![Misses { missed, asked, error, plain_error: error, df: 15.0 }],
            quantiles: Vec::new(),
        }
    }

    fn search(kind: Kind, start: f64) -> Search {
        let options =
            Options { kind, start, width: 0.02, confidence: 0.95, shortest_s: 10.0, longest_s: 100.0, most_requests: 60_000, most_seconds: 1e9 };
        Search::new(options, targets(&serde_json::from_str(r#"{"ttft": {"p95": "800ms"}}"#).unwrap()))
    }

    proptest! {
        /// forall capacities, starts and slopes: on a noiseless monotone endpoint the search ends within its budget, within 2 % of the capacity
        #[test]
        fn a_noiseless_endpoint_gives_its_capacity(capacity in 1.0_f64..200.0, start in 1.0_f64..200.0, slope in 8.0_f64..50.0) {
            let mut search = search(Kind::Rate, start);
            while let Next::Load(ask) = search.next() {
                prop_assert!(ask.measure_s <= 100.0 && ask.load > 0.0);
                let p = 1.0 / (1.0 + (-(fit::logit(0.05) + slope * (ask.load / capacity).ln())).exp());
                search.learn(ask, Some(plateau(p * 3000.0, 3000.0, Steadiness::Steady)));
            }
            prop_assert!(search.spent() <= 61_000);
            let found = search.capacity().unwrap();
            prop_assert!((found.estimate / capacity - 1.0).abs() < 0.02, "{found:?}");
        }

        /// forall shares of misses: a load that was not steady is never called met
        #[test]
        fn an_unsteady_step_is_never_good(missed in 0.0_f64..1000.0, overloaded in any::<bool>()) {
            let mut search = search(Kind::Users, 4.0);
            let Next::Load(ask) = search.next() else { panic!("a new search loads") };
            let state = if overloaded { Steadiness::Overloaded } else { Steadiness::Unsteady };
            search.learn(ask, Some(plateau(missed, 1000.0, state)));
            search.learn(Ask { window: 1, ..ask }, Some(plateau(missed, 1000.0, state)));
            prop_assert!(search.standings().iter().all(|s| s.1 != Standing::Met));
            prop_assert_eq!(search.best_met(), None);
        }
    }

    #[test]
    fn what_has_no_capacity_says_why() {
        let end = |share: f64| {
            let mut search = search(Kind::Rate, 1.0);
            loop {
                match search.next() {
                    Next::Load(ask) => search.learn(ask, Some(plateau(share * 1000.0, 1000.0, Steadiness::Steady))),
                    Next::Done(reason) => return (reason, search.capacity()),
                }
            }
        };
        assert_eq!(end(1.0), (Some(Reason::NothingMeets), None));
        assert_eq!(end(0.0), (Some(Reason::EverythingMeets), None));
        let none = Search::new(search(Kind::Rate, 1.0).options, Vec::new());
        assert_eq!(none.next(), Next::Done(Some(Reason::NoObjectives)));
    }
}
