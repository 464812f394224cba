//! The `plimsoll` program: parse, call `cli`, exit with its code.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
