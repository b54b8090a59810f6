//! From the command line to what the program shall do, in two steps: what was typed ([`typed`]), then
//! what is meant ([`meant`]). Pure: nothing is printed, nothing is looked up.

mod error;
mod meant;
mod syntax;
mod typed;
mod values;

use std::ffi::{OsStr, OsString};

pub use error::{Conflict, UsageError};
pub use meant::{BasebackupRequest, ConnectionArgs, PasswordPrompt, ShowProgress, Verbosity};
pub use syntax::SyntaxError;
pub use values::ValueError;

use super::program::{Program, Role};
use typed::Typed;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A text for standard output, and success.
    Print(String),
    /// A base backup.
    Basebackup(Box<BasebackupRequest>),
}

/// Returns what the arguments after `argv[0]` ask for.
///
/// # Errors
///
/// The first fault that the original would find, see [`UsageError`].
pub fn interpret(program: &Program, arguments: &[OsString]) -> Result<Outcome, UsageError> {
    match program.role() {
        Role::DropIn => basebackup(program, arguments),
        Role::Native => command(program, arguments),
    }
}

fn command(program: &Program, arguments: &[OsString]) -> Result<Outcome, UsageError> {
    if let Some(text) = first_argument(program, arguments, overview) {
        return Ok(Outcome::Print(text));
    }
    match arguments.split_first() {
        Some((name, options)) if name == "basebackup" => basebackup(program, options),
        Some((name, _)) => Err(UsageError::UnknownCommand(values::shown(name))),
        None => Err(UsageError::NoCommand),
    }
}

fn basebackup(program: &Program, options: &[OsString]) -> Result<Outcome, UsageError> {
    if let Some(text) = first_argument(program, options, typed::help) {
        return Ok(Outcome::Print(text));
    }
    let typed = Typed::parse(program, options)?;
    let request = BasebackupRequest::from_typed(typed)?;
    Ok(Outcome::Basebackup(Box::new(request)))
}

/// Answers the options that are known only in the first place and win over whatever follows.
fn first_argument(
    program: &Program,
    arguments: &[OsString],
    help: fn(&Program) -> String,
) -> Option<String> {
    match arguments.first().map(OsString::as_os_str).and_then(OsStr::to_str)? {
        "--help" | "-?" => Some(help(program)),
        "--version" | "-V" => Some(program.version_line()),
        _ => None,
    }
}

fn overview(program: &Program) -> String {
    let name = program.name();
    format!(
        "\
Streams physical backups out of PostgreSQL servers.

Usage: {name} COMMAND [OPTION]...

Commands:
  basebackup     Take a base backup of a running server

As the first argument:
  -V, --version  Show the version, then exit
  -?, --help     Show this help, then exit

\"{name} COMMAND --help\" tells the options of a command. Called by the name
pg_basebackup, the program takes the options of pg_basebackup.
"
    )
}

#[cfg(test)]
mod tests;
