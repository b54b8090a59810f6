//! Stub.

use std::process::ExitCode;

use super::Program;
use super::args::ServeRequest;

pub(super) fn run(_program: &Program, _request: &ServeRequest) -> ExitCode {
    ExitCode::FAILURE
}
