//! Starts the program and ends it.

use std::process::ExitCode;

fn main() -> ExitCode {
    bake::commands::run(std::env::args_os())
}
