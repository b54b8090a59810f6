//! `pgsiphon status`: what a running service says of its servers, for people and for programs.

mod fetch;
mod table;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use self::fetch::FetchError;
use super::args::{StatusRequest, StatusSource};
use super::{Messages, Program, unwritable};
use crate::service::{Config, HttpConfig, ReadConfigError, StatusReport};

/// How often a status is looked at again.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Moves to the upper left corner and forgets what is below.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Why it is not known how the servers are.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ReadConfigError),
    #[error("the service with this configuration does not listen for HTTP")]
    NoHttp,
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// How a status is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Table,
    Json,
}

/// Shows the status, once or again and again.
pub(super) fn run(program: &Program, request: &StatusRequest) -> ExitCode {
    let is_terminal = io::stdout().is_terminal();
    let form = if request.is_json || !is_terminal { Form::Json } else { Form::Table };
    let mut messages = Messages::to_stderr(program.name());
    loop {
        let before = if request.is_watched && form == Form::Table { CLEAR } else { "" };
        let code = match look(&request.source, form) {
            Ok((text, code)) => match print(&format!("{before}{text}\n")) {
                Ok(()) => code,
                Err(error) => return unwritable(&mut messages, &error),
            },
            Err(failure) => {
                messages.error(failure);
                ExitCode::FAILURE
            }
        };
        if !request.is_watched {
            return code;
        }
        thread::sleep(WATCH_INTERVAL);
    }
}

/// Returns what is to be printed, and the exit code that says the same.
fn look(source: &StatusSource, form: Form) -> Result<(String, ExitCode), Failure> {
    let status = fetch::status(&address(source)?)?;
    let is_well = status
        .servers
        .iter()
        .all(|server| server.phase.is_connected() && server.open_holes.is_empty());
    let text = match form {
        Form::Table => table::of(&status),
        Form::Json => json(&status),
    };
    Ok((text, if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

fn address(source: &StatusSource) -> Result<String, Failure> {
    let default = HttpConfig::DEFAULT_LISTEN;
    let mut listen = match source {
        StatusSource::Default => default,
        StatusSource::Config(path) => Config::read(path)?.http.ok_or(Failure::NoHttp)?.listen,
        StatusSource::Address(address) if has_port(address) => return Ok(address.clone()),
        StatusSource::Address(address) => return Ok(format!("{address}:{}", default.port())),
    };
    if listen.ip().is_unspecified() {
        // What listens everywhere is also here.
        listen.set_ip(default.ip());
    }
    Ok(listen.to_string())
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// Returns an object on one line, without characters that a terminal obeys.
fn json(status: &StatusReport) -> String {
    let text =
        serde_json::to_string(status).expect("strings, numbers, and maps with strings as keys");
    // JSON has escapes for the others already. Outside of strings there are none.
    let escape = |c: char| match c.is_control() {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}
