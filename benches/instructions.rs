//! Instructions per item of the hot paths, counted by valgrind: the same on a busy machine. `cargo bench --bench instructions [-- PART OF A NAME]`.
//!
//! The program runs itself under cachegrind, once with one round and once with three: the difference, without start and warm-up, is two rounds.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking, and prints")]

#[path = "hot_paths/cases.rs"]
mod cases;

use std::env;
use std::process::Command;

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let [name, rounds] = &args[..] {
        let (_, _, make) = cases::CASES.iter().find(|(n, _, _)| n == name).unwrap();
        let mut round = make();
        (0..rounds.parse().unwrap()).for_each(|_| assert!(std::hint::black_box(round()) > 0));
        return;
    }
    for (name, items, _) in cases::CASES.iter().filter(|(name, _, _)| args.first().is_none_or(|part| name.contains(part.as_str()))) {
        let per_item = (instructions(name, 3) - instructions(name, 1)) / 2.0 / *items as f64;
        println!("{name:<36}{per_item:>14.1} instructions");
    }
}

/// What cachegrind counts for so many rounds, start included.
fn instructions(name: &str, rounds: u32) -> f64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    let output = valgrind.arg(env::current_exe().unwrap()).args([name, &rounds.to_string()]).output().expect("valgrind is installed");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    // "==123== I refs:  1,234,567"
    let count = told.lines().find_map(|line| line.split_once("refs:")).unwrap().1;
    count.trim().replace(',', "").parse().unwrap()
}
