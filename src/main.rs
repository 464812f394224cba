//! The `plimsoll` program: everything is in `plimsoll::cli`.

fn main() -> std::process::ExitCode {
    plimsoll::cli::main()
}
