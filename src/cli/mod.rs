//! Placeholder.
use std::process::ExitCode;

/// Runs the program.
pub fn run(_: std::env::ArgsOs) -> ExitCode {
    ExitCode::FAILURE
}
