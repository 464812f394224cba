//! The charts of a plan: demand against capacity over one period, and cost against the promise.

use super::{Axis, Chart, Hit, Ink, Key, Layer, Marker, Panel, Table, Width};
use crate::planner::recommendation::{CandidateResult, Recommendation, Timeline, TimelinePoint};
use crate::report::number::{count, money, plural, real, share, span};
use crate::report::plan_content::size;

/// Points drawn, at most; longer periods join neighbours.
const DRAWN: usize = 288;
/// The same for the small ones.
const DRAWN_SMALL: usize = 144;
/// Rows of the table, at most.
const ROWS: usize = 72;
/// The same for the small ones.
const ROWS_SMALL: usize = 24;

/// Intervals joined `k` at a time: demand as a mean, ready chunks as the fewest, pending ones as the most, requests as sums.
fn joined(points: &[TimelinePoint], most: usize) -> (usize, Vec<TimelinePoint>) {
    let k = points.len().div_ceil(most).max(1);
    let join = |part: &[TimelinePoint]| TimelinePoint {
        demand_tok_s: part.iter().map(|p| p.demand_tok_s).sum::<f64>() / part.len() as f64,
        ready: part.iter().map(|p| p.ready).min().unwrap_or(0),
        pending: part.iter().map(|p| p.pending).max().unwrap_or(0),
        due: part.iter().map(|p| p.due).fold(0, u32::saturating_add),
        missed: part.iter().map(|p| p.missed).fold(0, u32::saturating_add),
    };
    (k, points.chunks(k).map(join).collect())
}

/// Identifiers of the replayed periods, the worst first.
const TIMELINES: [&str; 5] = ["timeline", "timeline-2", "timeline-3", "timeline-4", "timeline-5"];

/// Demand and capacity over the worst periods that were simulated: chunks on their way shaded, missed requests below. The worst of them at full
/// width, the others small; all on the same scales.
#[must_use]
pub fn timelines(plan: &Recommendation) -> Vec<Chart> {
    let size = if plan.effective_chunk_tok_s > 0.0 { plan.effective_chunk_tok_s } else { plan.chunk_tok_s };
    let all: Vec<&Timeline> = std::iter::once(&plan.timeline).chain(&plan.next_worst).filter(|t| !t.points.is_empty()).collect();
    let drawn: Vec<(f64, Vec<TimelinePoint>)> = all
        .iter()
        .enumerate()
        .map(|(i, t)| {
            let (k, points) = joined(&t.points, if i == 0 { DRAWN } else { DRAWN_SMALL });
            (t.step_s * k as f64, points)
        })
        .collect();
    let most = drawn.iter().flat_map(|(_, points)| points).map(|p| p.demand_tok_s.max(f64::from(p.ready + p.pending) * size)).fold(0.0, f64::max);
    let missed = |p: &TimelinePoint| f64::from(p.missed) / f64::from(p.due.max(1)) * 100.0;
    let worst = drawn.iter().flat_map(|(_, points)| points).map(missed).fold(0.0, f64::max);
    let scales = (most, worst, size);
    let count = all.len();
    all.iter()
        .zip(&drawn)
        .zip(TIMELINES)
        .enumerate()
        .map(|(i, ((t, (step, points)), id))| timeline(id, (i, count), t, (*step, points), scales))
        .collect()
}

/// One replayed period, the `i`-th worst. A chunk is drawn at what it really serves for this mix; the advertised size would promise capacity
/// that the simulation does not find.
fn timeline(
    id: &'static str,
    (i, of): (usize, usize),
    t: &Timeline,
    (step, points): (f64, &[TimelinePoint]),
    (most, worst, size): (f64, f64, f64),
) -> Chart {
    let is_first = i == 0;
    let mut x = Axis::time(step * points.len().max(1) as f64);
    "time in the period".clone_into(&mut x.label);
    let label = if is_first { "tokens per second: demand (filled), capacity that serves (dashed)" } else { "tokens per second" };
    let y = Axis::linear(label, most * 1.02, if is_first { 5 } else { 4 });
    let mut capacity = Vec::with_capacity(points.len() * 2);
    let mut lag = Vec::new();
    let mut misses = Vec::new();
    for (i, p) in points.iter().enumerate() {
        let (from, to) = (i as f64 * step, (i + 1) as f64 * step);
        let ready = f64::from(p.ready) * size;
        capacity.extend([(from, ready), (to, ready)]);
        if p.pending > 0 {
            lag.push([from, to, ready, ready + f64::from(p.pending) * size]);
        }
        if p.missed > 0 {
            misses.push([from, to, 0.0, f64::from(p.missed) / f64::from(p.due.max(1)) * 100.0]);
        }
    }
    let demand: Vec<(f64, f64)> = points.iter().enumerate().map(|(i, p)| ((i as f64 + 0.5) * step, p.demand_tok_s)).collect();
    let missed_label = if is_first { "requests that missed an objective, in % of those due" } else { "missed, in % of those due" };
    let keys = vec![
        Key::line(Ink::First, Marker::None, "demand, input plus output tok/s"),
        Key::line(Ink::Second, Marker::None, format!("capacity that serves, {} tok/s a chunk within the objectives", real(size))),
        Key::area(Ink::Lag, "chunks asked for and not there yet (lag)"),
        Key::area(Ink::Miss, "requests that missed an objective"),
    ];
    Chart {
        id,
        title: if is_first {
            "Demand against capacity, the worst period".to_owned()
        } else {
            format!("Period {}, {} of {of} by its misses", t.period, i + 1)
        },
        description: if is_first { timeline_words(&t.points) } else { missed_words(&t.points) },
        width: if is_first { Width::Full } else { Width::Half },
        panels: vec![
            Panel {
                height: if is_first { 280 } else { 150 },
                y,
                layers: vec![
                    Layer::Area { points: demand.clone(), ink: Ink::FirstArea },
                    Layer::Boxes { boxes: lag, ink: Ink::Lag },
                    Layer::Line { points: demand, ink: Ink::First, marker: Marker::None },
                    Layer::Line { points: capacity, ink: Ink::Second, marker: Marker::None },
                ],
            },
            Panel {
                height: if is_first { 70 } else { 40 },
                y: Axis::linear(missed_label, worst.max(1.0), 2),
                layers: vec![Layer::Boxes { boxes: misses, ink: Ink::Miss }],
            },
        ],
        hits: if is_first { points.iter().enumerate().map(|(i, p)| hit(i, step, p)).collect() } else { Vec::new() },
        x,
        keys: if is_first { keys } else { Vec::new() },
        table: timeline_table(&t.points, t.step_s, if is_first { ROWS } else { ROWS_SMALL }),
    }
}

fn hit(i: usize, step: f64, p: &TimelinePoint) -> Hit {
    let from = i as f64 * step;
    let text = format!(
        "{}: demand {} tok/s\n{} ready, {} on the way\n{} of {} missed",
        span(from),
        real(p.demand_tok_s),
        plural(u64::from(p.ready), "chunk", "chunks"),
        p.pending,
        count(u64::from(p.missed)),
        plural(u64::from(p.due), "request", "requests")
    );
    Hit { from, to: from + step, text }
}

fn timeline_words(points: &[TimelinePoint]) -> String {
    format!(
        "The hardest of the simulated periods, replayed with the recommended size: demand in tokens per second, capacity that serves, capacity on its way (the scale-up lag), and the share of requests missed. {}",
        missed_words(points)
    )
}

fn missed_words(points: &[TimelinePoint]) -> String {
    let missed: u64 = points.iter().map(|p| u64::from(p.missed)).sum();
    let due: u64 = points.iter().map(|p| u64::from(p.due)).sum();
    format!(
        "{} of {} missed an objective ({}).",
        count(missed),
        plural(due, "request", "requests"),
        share(if due == 0 { 0.0 } else { missed as f64 / due as f64 })
    )
}

fn timeline_table(points: &[TimelinePoint], step_s: f64, rows: usize) -> Table {
    let (k, points) = joined(points, rows);
    let mut table = Table::new(&["From", "demand, mean tok/s", "chunks ready, fewest", "chunks pending, most", "requests due", "missed"]);
    for (i, p) in points.iter().enumerate() {
        let from = span(i as f64 * step_s * k as f64);
        table.rows.push(vec![
            from,
            real(p.demand_tok_s),
            p.ready.to_string(),
            p.pending.to_string(),
            count(u64::from(p.due)),
            count(u64::from(p.missed)),
        ]);
    }
    table
}

/// The candidates of a plan by what became of them.
struct Candidates<'a> {
    /// Drawn with its certified figures, which come from seeds that the search never saw.
    chosen: Option<&'a CandidateResult>,
    others: Vec<&'a CandidateResult>,
    naive: Vec<&'a CandidateResult>,
}

impl<'a> Candidates<'a> {
    fn of(plan: &'a Recommendation) -> Self {
        let mut all = Self { chosen: plan.chosen.as_ref(), others: Vec::new(), naive: plan.naive.iter().map(|r| &r.result).collect() };
        all.others = plan.frontier.iter().filter(|c| !all.is_chosen(c)).collect();
        all
    }

    fn is_chosen(&self, c: &CandidateResult) -> bool {
        self.chosen.is_some_and(|b| (b.min_chunks, b.max_chunks) == (c.min_chunks, c.max_chunks))
    }

    fn all(&self) -> impl Iterator<Item = &'a CandidateResult> + '_ {
        self.others.iter().chain(&self.naive).copied().chain(self.chosen)
    }

    /// One point a candidate: cost against `value`, with what is promised of it.
    fn layers(&self, value: fn(&CandidateResult) -> f64, promised: f64, promise: String) -> Vec<Layer> {
        let place = |c: &CandidateResult| (c.cost_per_hour, value(c));
        let of = |keeps: bool| self.others.iter().filter(|c| c.keeps_promise == keeps).map(|c| place(c)).collect();
        let mut layers = vec![
            Layer::Rule { y: promised, text: promise },
            Layer::Points { points: of(false), ink: Ink::Miss, marker: Marker::Cross },
            Layer::Points { points: of(true), ink: Ink::First, marker: Marker::Circle },
            Layer::Points { points: self.others.iter().filter(|c| c.certified).map(|c| place(c)).collect(), ink: Ink::First, marker: Marker::Ring },
            Layer::Points { points: self.naive.iter().map(|c| place(c)).collect(), ink: Ink::Second, marker: Marker::Triangle },
        ];
        if let Some(c) = self.chosen {
            let points = vec![place(c)];
            layers.push(Layer::Points { points: points.clone(), ink: Ink::Third, marker: Marker::Square });
            layers.push(Layer::Points { points, ink: Ink::Third, marker: Marker::Ring });
        }
        layers
    }

    fn table(&self, currency: &str) -> Table {
        let mut table =
            Table::new(&["Chunks", "cost per hour", "mean chunks", "good requests", "worst period", "periods kept", "at least", "promise"]);
        let mut rows: Vec<&CandidateResult> = self.all().collect();
        rows.sort_by(|a, b| a.cost_per_hour.total_cmp(&b.cost_per_hour).then((a.min_chunks, a.max_chunks).cmp(&(b.min_chunks, b.max_chunks))));
        table.rows.extend(rows.into_iter().map(|c| candidate_row(c, currency, self.is_chosen(c))));
        table
    }
}

/// Every candidate by its cost: is the promise kept, and how many requests are good?
#[must_use]
pub fn frontier(plan: &Recommendation) -> Chart {
    let candidates = Candidates::of(plan);
    let promise = &plan.promise;
    let dearest = candidates.all().map(|c| c.cost_per_hour).fold(0.0, f64::max);
    // Room above the best, on the scale of nines.
    let best = 1.0 - 0.5 * (1.0 - candidates.all().map(|c| c.good_share).filter(|s| *s < 1.0).fold(promise.requests, f64::max));
    let kept_label = format!("periods that keep the promise, at least, in % ({} confidence)", share(promise.confidence));
    let mut kept =
        candidates.layers(|c| c.kept_lower_bound * 100.0, promise.periods * 100.0, format!("promised: {} of periods", share(promise.periods)));
    kept.extend(candidates.chosen.map(|c| Layer::Note { at: (c.cost_per_hour, c.kept_lower_bound * 100.0), text: format!("chosen: {}", size(c)) }));
    let good = candidates.layers(|c| c.good_share, promise.requests, format!("promised in such a period: {}", share(promise.requests)));
    let found = candidates.chosen.map_or_else(
        || "No candidate keeps the promise.".to_owned(),
        |c| format!("Chosen: {} chunks at {} per hour, {} good requests.", size(c), money(c.cost_per_hour, &plan.currency), share(c.good_share)),
    );
    Chart {
        id: "frontier",
        title: "Cost against the promise".to_owned(),
        description: format!(
            "{} by mean cost per hour: above, the lower bound on the share of periods that keep the promise; below, the share of good requests. {found}",
            plural(candidates.all().count() as u64, "candidate", "candidates")
        ),
        width: Width::Full,
        x: Axis::linear(&format!("mean cost in {} per hour", plan.currency), dearest * 1.05, 7),
        panels: vec![
            Panel { height: 150, y: Axis { max: 112.0, ..Axis::linear(&kept_label, 100.0, 4) }, layers: kept },
            Panel { height: 120, y: Axis::shares("good requests, over all periods, by nines", best), layers: good },
        ],
        keys: vec![
            Key::point(Ink::Third, Marker::Square, "chosen"),
            Key::point(Ink::First, Marker::Circle, "keeps the promise in the search"),
            Key::point(Ink::First, Marker::Ring, "certified on fresh periods"),
            Key::point(Ink::Miss, Marker::Cross, "breaks the promise"),
            Key::point(Ink::Second, Marker::Triangle, "rule of thumb"),
            Key::line(Ink::Bound, Marker::None, "promise"),
        ],
        hits: Vec::new(),
        table: candidates.table(&plan.currency),
    }
}

/// A candidate as a row: size, cost, chunks, good requests, worst period, periods, bound, verdict.
fn candidate_row(c: &CandidateResult, currency: &str, is_chosen: bool) -> Vec<String> {
    let verdict = match (is_chosen, c.keeps_promise) {
        (true, _) => "kept: chosen",
        (false, true) if c.certified => "kept: certified",
        (false, true) => "kept in the search",
        (false, false) => "broken",
    };
    vec![
        size(c),
        money(c.cost_per_hour, currency),
        real(c.mean_chunks),
        share(c.good_share),
        share(c.worst_period),
        format!("{} of {}", count(u64::from(c.periods_kept)), count(u64::from(c.periods))),
        share(c.kept_lower_bound),
        verdict.to_owned(),
    ]
}
