//! The whole client against a null server: one command that measures, in one run, plimsoll, bare loops over hyper, and peers.
//!
//! `cargo bench --bench whole_client -- [a b c d e f rss peers] [--repeat N] [--quick] [--markdown FILE]`. Server on one core, client on
//! another; the server's own log is the judge. The executable starts itself again as the server and as the bare loops.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to its terminal")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock, sleeps and ends by an exit code")]
#![allow(unreachable_pub, reason = "nothing here is a library")]

#[path = "whole_client/alarm.rs"]
mod alarm;
#[path = "whole_client/answer.rs"]
mod answer;
#[path = "whole_client/bare.rs"]
mod bare;
#[path = "whole_client/bare_open.rs"]
mod bare_open;
#[path = "whole_client/bench.rs"]
mod bench;
#[path = "whole_client/case_closed.rs"]
mod case_closed;
#[path = "whole_client/case_open.rs"]
mod case_open;
#[path = "whole_client/judge.rs"]
mod judge;
#[path = "whole_client/link.rs"]
mod link;
#[path = "whole_client/machine.rs"]
mod machine;
#[path = "whole_client/options.rs"]
mod options;
#[path = "whole_client/ours.rs"]
mod ours;
#[path = "whole_client/peers.rs"]
mod peers;
#[path = "whole_client/peers_llm.rs"]
mod peers_llm;
#[path = "whole_client/process.rs"]
mod process;
#[path = "whole_client/server.rs"]
mod server;
#[path = "whole_client/stream.rs"]
mod stream;
#[path = "whole_client/table.rs"]
mod table;

use std::process::ExitCode;

fn main() -> ExitCode {
    // `cargo bench` adds `--bench` by itself.
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let result = match args.first().map(String::as_str) {
        Some("serve") => server::main(),
        Some("hold") => process::hold(&args[1..]),
        Some("bare") => bare::main(&args[1..]),
        _ => bench::main(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("whole_client: {message}");
            ExitCode::FAILURE
        }
    }
}
