//! Stub.

use std::process::ExitCode;

use super::Program;
use super::args::StatusRequest;

pub(super) fn run(_program: &Program, _request: &StatusRequest) -> ExitCode {
    ExitCode::FAILURE
}
