//! Stub.

use std::process::ExitCode;

use super::Program;
use super::args::CheckRequest;

pub(super) fn run(_program: &Program, _request: &CheckRequest) -> ExitCode {
    ExitCode::FAILURE
}
