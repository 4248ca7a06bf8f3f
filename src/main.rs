//! The command: read the arguments, run, say what went wrong.

use std::process::ExitCode;

fn main() -> ExitCode {
    doorward::cli::main()
}
