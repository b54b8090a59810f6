//! Checks the configuration of the service from the command line.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::args::CheckRequest;
use super::connect::block_on;
use super::report::write_object;
use super::{Messages, Program, print, unwritable};
use crate::net::conninfo::Environment;
use crate::pg::OsError;
use crate::service::{self, CheckedServer, Config, Finding, ReadConfigError, Severity};

/// What `--json` prints. The names of the fields are what other programs rely on: they may become more, not others.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "check")]
struct CheckObject<'a> {
    /// Whether there is no error.
    ok: bool,
    /// Why nothing could be checked.
    error: Option<String>,
    servers: &'a [CheckedServer],
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ReadConfigError),
    #[error("could not start: {}", OsError(.0))]
    Start(#[from] io::Error),
}

/// Checks what the configuration file says.
pub(super) fn run(program: &Program, request: &CheckRequest) -> ExitCode {
    let checked = check(program, request);
    let servers = checked.as_deref().unwrap_or_default();
    let errors: usize = servers.iter().map(|server| server.count(Severity::Error)).sum();
    let ok = checked.is_ok() && errors == 0;
    let mut messages = Messages::to_stderr(program.name());
    match &checked {
        Ok(servers) => servers.iter().for_each(|server| tell(&mut messages, server)),
        Err(failure) => messages.error(failure),
    }
    if request.is_json {
        let error = checked.as_ref().err().map(ToString::to_string);
        let object = CheckObject { ok, error, servers };
        if let Err(error) = write_object(&object, &mut io::stdout()) {
            return unwritable(&mut messages, &error);
        }
    } else {
        let lines: String = servers.iter().map(summary).collect();
        if print(program, &lines) != ExitCode::SUCCESS {
            return ExitCode::FAILURE;
        }
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check(program: &Program, request: &CheckRequest) -> Result<Vec<CheckedServer>, Failure> {
    let config = Config::read(&request.config)?;
    block_on(async {
        let environment = Environment::from_process();
        Ok(service::check(&config, &request.config, program.name(), &environment).await)
    })
}

/// Prints the findings of a server.
fn tell(messages: &mut Messages<impl Write>, server: &CheckedServer) {
    for Finding { severity, host, problem, hint } in &server.findings {
        let host = host.as_ref().map_or(String::new(), |host| format!(" (host {host})"));
        let text = format!("{}{host}: {problem}", server.name);
        match severity {
            Severity::Error => messages.error(text),
            Severity::Warning => messages.warning(text),
        }
        if let Some(hint) = hint {
            messages.hint(hint);
        }
    }
}

/// Says in a line how it stands with a server.
fn summary(server: &CheckedServer) -> String {
    let [errors, warnings] = [Severity::Error, Severity::Warning].map(|kind| server.count(kind));
    let counted = |count, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let outcome = match (errors, warnings) {
        (0, 0) => "ok".to_owned(),
        (0, warnings) => format!("ok, {}", counted(warnings, "warning")),
        (errors, 0) => counted(errors, "error"),
        (errors, warnings) => {
            format!("{}, {}", counted(errors, "error"), counted(warnings, "warning"))
        }
    };
    format!("{}: {outcome}\n", server.name)
}
