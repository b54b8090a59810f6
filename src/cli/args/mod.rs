//! From the command line to what the program shall do, in two steps: what was typed ([`typed`]), then
//! what is meant ([`meant`]). Pure: nothing is printed, nothing is looked up.

mod documents;
mod error;
mod getopt;
mod meant;
mod typed;
mod values;

use std::ffi::{OsStr, OsString};

pub use error::{Conflict, UsageError};
pub use getopt::SyntaxError;
pub use meant::{
    BasebackupRequest, ConnectionArgs, PasswordPrompt, ReportForm, ShowProgress, Verbosity,
};
pub use values::{ConnectionString, ValueError};

use super::program::{Program, Role};
use typed::Typed;

/// The commands of `pgsiphon`.
const COMMANDS: [(&str, &str); 3] = [
    ("basebackup", "Take a base backup of a running server"),
    ("completions", "Print what makes a shell complete the options"),
    ("man", "Print a manual page"),
];

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
    let Some((name, arguments)) = arguments.split_first() else {
        return Err(UsageError::NoCommand);
    };
    match name.to_str() {
        Some("basebackup") => basebackup(program, arguments),
        Some("completions") => documents::completions(arguments).map(Outcome::Print),
        Some("man") => documents::manual_page(arguments).map(Outcome::Print),
        _ => Err(UsageError::UnknownCommand(getopt::shown(name))),
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
    let commands: String =
        COMMANDS.iter().map(|(command, about)| format!("  {command:<13}  {about}\n")).collect();
    format!(
        "\
Streams physical backups out of PostgreSQL servers.

Usage: {name} COMMAND [OPTION]...
       {name} completions bash|elvish|fish|powershell|zsh [PROGRAM]
       {name} man [PAGE]

Commands:
{commands}
As the first argument:
  -V, --version  Show the version, then exit
  -?, --help     Show this help, then exit

\"{name} basebackup --help\" tells the options of a backup. Called by the name
pg_basebackup, the program takes the options of pg_basebackup. Completions are
for pgsiphon or pg_basebackup; the manual pages are pgsiphon,
pgsiphon-basebackup and pg_basebackup.
"
    )
}

#[cfg(test)]
mod tests;
