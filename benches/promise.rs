//! Is the promise kept? Random worlds whose endpoint and demand are hidden; the whole pipeline: measure, fit, learn, plan; then the truth.
//!
//!   cargo bench --bench promise [-- --worlds 200] [--first 0] [--days 5000] [--threads 2] [--minutes 600] [--each] [--swap]
//!
//! No world is begun after so many minutes; `--each` prints every world, `--swap` also what the planner would do if it knew the endpoint, the demand or
//! both.
//!
//! A world is measured in virtual time by the experiments of `sweep --for-fit`, its demand is learnt from four recorded weeks of requests, and the
//! plan comes from `planner::recommend_under` with the fit's and the demand's uncertainty. Then days of the hidden demand run against the hidden
//! endpoint at the recommended size. The oracle knows the truth: the cheapest size that keeps the promise on 500 of its days. Prints Markdown.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is its result")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock to say how long it took")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts and places are small and positive")]

#[path = "promise/hidden.rs"]
mod hidden;
#[path = "promise/pipeline.rs"]
mod pipeline;
#[path = "promise/table.rs"]
mod table;
#[path = "promise/truth.rs"]
mod truth;

use pipeline::Planned;
use plimsoll::base::rng::Seed;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use truth::{Judged, Truth};

/// What became of one world.
pub(crate) struct Outcome {
    pub(crate) world: u64,
    pub(crate) planned: Planned,
    /// The recommended size under the truth; `None` when there is no recommendation.
    pub(crate) judged: Option<Judged>,
    /// The cheapest size that keeps the promise in truth; `None`: no size up to the largest does.
    pub(crate) oracle: Option<Judged>,
    /// Rules of thumb under the truth, by name.
    pub(crate) rules: Vec<(String, Judged)>,
    pub(crate) plan_s: f64,
    pub(crate) all_s: f64,
}

fn option(name: &str, default: u64) -> u64 {
    let args: Vec<String> = std::env::args().collect();
    args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).map_or(default, |v| v.parse().unwrap())
}

fn of_world(index: u64, days: u32) -> Outcome {
    let begun = Instant::now();
    let hidden = hidden::World::new(Seed(20_260), index);
    let planned = pipeline::plan(&hidden);
    let plan_s = begun.elapsed().as_secs_f64();
    if std::env::args().any(|a| a == "--each") {
        let [fit, learn, plan] = planned.stages_s;
        println!("world {index}: fit {fit:.1} s, learn {learn:.1} s, plan {plan:.1} s, size {:?}, rules {:?}", planned.size, planned.rules);
    }
    let truth = Truth::new(&hidden, &planned.plan, days.max(500));
    let (judged, oracle, rules) = truth.with_judge(|judge| {
        let judged = planned.size.map(|size| judge.judge(size, days));
        let oracle = judge.oracle(500, planned.size);
        let rules = planned.rules.iter().map(|(name, size)| (name.clone(), judge.judge(*size, days.min(1000)))).collect();
        (judged, oracle, rules)
    });
    Outcome { world: index, planned, judged, oracle, rules, plan_s, all_s: begun.elapsed().as_secs_f64() }
}

fn main() {
    let (worlds, first) = (option("--worlds", 200), option("--first", 0));
    let (days, threads) = (option("--days", 5000) as u32, option("--threads", 2));
    let minutes = option("--minutes", 600);
    let each = std::env::args().any(|a| a == "--each");
    let begun = Instant::now();
    let next = AtomicU64::new(first);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while begun.elapsed().as_secs() < 60 * minutes
                    && let Some(index) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < first + worlds)
                {
                    let outcome = of_world(index, days);
                    if each {
                        println!("{}", table::line(&outcome));
                    }
                    done.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let mut outcomes = done.into_inner().unwrap();
    outcomes.sort_by_key(|o| o.world);
    println!("{}", table::summary(&outcomes, days));
    println!(
        "\n{} worlds from {first} on, {days} true days each, {threads} threads, {:.1} min",
        outcomes.len(),
        begun.elapsed().as_secs_f64() / 60.0
    );
}
