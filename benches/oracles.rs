//! Proof: the simulator against closed forms at three utilisations each, as a Markdown table: formula, simulated, difference, standard errors.
//!
//! `cargo bench --bench oracles [-- requests=400000]`: 4 times as many requests for a row at half load, 6 times at 70 %, 15 times at 90 %.
//! A row holds when the difference is within 3 standard errors after what its formula is known to leave out (its remainder), and within 1 %.
//! More requests make the second sharper. The sources of the formulas are in docs/METHOD.md.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a proof prints its result and how long it took")]
#![allow(clippy::unwrap_used, reason = "a proof stops where its premise fails")]

#[path = "../tests/sim_oracles/batches.rs"]
mod batches;
#[path = "../tests/sim_oracles/fluid.rs"]
mod fluid;
#[path = "../tests/sim_oracles/lengths.rs"]
mod lengths;
#[path = "../tests/sim_oracles/queues.rs"]
mod queues;

use queues::Row;
use std::time::Instant;

fn main() {
    let n = std::env::args().find_map(|a| a.strip_prefix("requests=").map(|n| n.parse().unwrap())).unwrap_or(400_000);
    let begin = Instant::now();
    let families: [fn(u32) -> Vec<Row>; 9] = [
        queues::pollaczek_khinchine,
        // Few wait at half load, and only they tell.
        |n| queues::erlang(10 * n),
        queues::no_interference,
        queues::processor_sharing,
        queues::state_dependent_sharing,
        queues::mean_field,
        queues::balancers,
        |_| fluid::ramp(),
        |_| fluid::step(),
    ];
    println!("| queue | quantity | load | closed form | simulated | difference | remainder | standard error | sigmas | |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |");
    let (mut held, mut close, mut all) = (0, 0, 0);
    for family in families {
        for row in family(n) {
            let (within_sigmas, within_percent) = (row.sigmas() <= 3.0, row.relative().abs() <= 0.01);
            held += u32::from(within_sigmas);
            close += u32::from(within_percent);
            all += 1;
            let word = match (within_sigmas, within_percent) {
                (true, true) => "holds",
                (true, false) => "beyond 1 %",
                (false, _) => "beyond 3 sigma",
            };
            println!(
                "| {} | {} | {} | {:.6} | {:.6} | {:+.2} % | {:.2} % | {:.2} % | {:.1} | {word} |",
                row.queue,
                row.quantity,
                row.load,
                row.closed,
                row.simulated,
                100.0 * row.relative(),
                100.0 * row.remainder,
                100.0 * row.standard_error / row.closed,
                row.sigmas(),
            );
        }
    }
    println!("\n{held} of {all} rows within 3 standard errors, {close} within 1 %; n = {n}, {:.0} s.", begin.elapsed().as_secs_f64());
}
