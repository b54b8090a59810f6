//! From the command line to what the program shall do, in two steps: what was typed ([`typed`]), then
//! what is meant ([`meant`]). Pure: nothing is printed, nothing is looked up.

mod documents;
mod error;
mod getopt;
mod meant;
mod typed;
mod values;

use std::ffi::{OsStr, OsString};

pub use error::{Conflict, OptionsError, UsageError};
pub use getopt::SyntaxError;
pub use meant::{
    BasebackupRequest, BenchRequest, CheckRequest, Confirmation, ConnectionArgs, PasswordPrompt,
    ReceivewalAction, ReceivewalRequest, ReportForm, ServeRequest, ShowProgress, StatusRequest,
    StatusSource, Verbosity, VerifybackupRequest,
};
pub use values::{ConnectionString, ValueError};

use super::program::{Job, Program, Role, Tool};
use typed::Typed;

/// The commands of `pgsiphon`.
const COMMANDS: [(&str, &str); 9] = [
    ("basebackup", "Take a base backup of a running server"),
    ("receivewal", "Receive the write-ahead log of a running server"),
    ("verifybackup", "Verify a stored backup against its manifest"),
    ("serve", "Receive the write-ahead log of many servers, as a service"),
    ("check", "Check the configuration of the service, and its servers"),
    ("status", "Show what the service does"),
    ("bench", "Compare this program with PostgreSQL's, side by side"),
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
    /// To receive WAL, or to prepare or end that.
    Receivewal(Box<ReceivewalRequest>),
    /// To verify a stored backup.
    Verifybackup(Box<VerifybackupRequest>),
    /// To receive WAL as a service.
    Serve(Box<ServeRequest>),
    /// To check the service's configuration.
    Check(Box<CheckRequest>),
    /// To show what the service does.
    Status(Box<StatusRequest>),
    /// To compare this program with the originals.
    Bench(Box<BenchRequest>),
}

/// Returns what the arguments after `argv[0]` ask for.
///
/// # Errors
///
/// The first fault that the original would find, see [`UsageError`].
pub fn interpret(program: &Program, arguments: &[OsString]) -> Result<Outcome, UsageError> {
    match program.role() {
        Role::DropIn(tool) => run_job(Job::Tool(tool), program, arguments),
        Role::Native => command(program, arguments),
    }
}

fn command(program: &Program, arguments: &[OsString]) -> Result<Outcome, UsageError> {
    if let Some(text) = first_argument(program, arguments, || overview(program)) {
        return Ok(Outcome::Print(text));
    }
    let Some((name, arguments)) = arguments.split_first() else {
        return Err(UsageError::NoCommand);
    };
    match name.to_str() {
        Some("completions") => documents::completions(arguments).map(Outcome::Print),
        Some("man") => documents::manual_page(arguments).map(Outcome::Print),
        name_of_job => match name_of_job.and_then(Job::commanded) {
            Some(job) => run_job(job, program, arguments),
            None => Err(UsageError::UnknownCommand(getopt::shown(name))),
        },
    }
}

fn run_job(job: Job, program: &Program, options: &[OsString]) -> Result<Outcome, UsageError> {
    if let Some(text) = first_argument(program, options, || typed::help(job, program)) {
        return Ok(Outcome::Print(text));
    }
    let outcome = match job {
        Job::Tool(Tool::Basebackup) => basebackup(program, options),
        Job::Tool(Tool::Receivewal) => receivewal(program, options),
        Job::Tool(Tool::Verifybackup) => verifybackup(program, options),
        Job::Serve => serve(program, options),
        Job::Check => check(program, options),
        Job::Status => status(program, options),
        Job::Bench => bench(program, options),
    };
    outcome.map_err(|error| UsageError::Options(job, error))
}

fn basebackup(program: &Program, options: &[OsString]) -> Result<Outcome, OptionsError> {
    let request = BasebackupRequest::from_typed(Typed::parse(program, options)?)?;
    Ok(Outcome::Basebackup(Box::new(request)))
}

fn receivewal(program: &Program, options: &[OsString]) -> Result<Outcome, OptionsError> {
    let request = ReceivewalRequest::from_typed(Typed::parse(program, options)?)?;
    Ok(Outcome::Receivewal(Box::new(request)))
}

fn verifybackup(program: &Program, options: &[OsString]) -> Result<Outcome, OptionsError> {
    let request = VerifybackupRequest::from_typed(Typed::parse(program, options)?)?;
    Ok(Outcome::Verifybackup(Box::new(request)))
}

fn serve(program: &Program, options: &[OsString]) -> Result<Outcome, OptionsError> {
    let request = ServeRequest::from_typed(Typed::parse(program, options)?)?;
    Ok(Outcome::Serve(Box::new(request)))
}

fn check(program: &Program, options: &[OsString]) -> Result<Outcome, OptionsError> {
    let request = CheckRequest::from_typed(Typed::parse(program, options)?)?;
    Ok(Outcome::Check(Box::new(request)))
}

fn status(program: &Program, options: &[OsString]) -> Result<Outcome, OptionsError> {
    let request = StatusRequest::from_typed(Typed::parse(program, options)?)?;
    Ok(Outcome::Status(Box::new(request)))
}

fn bench(program: &Program, options: &[OsString]) -> Result<Outcome, OptionsError> {
    let request = BenchRequest::from_typed(Typed::parse(program, options)?)?;
    Ok(Outcome::Bench(Box::new(request)))
}

/// Answers the options that are known only in the first place and win over whatever follows.
fn first_argument(
    program: &Program,
    arguments: &[OsString],
    help: impl FnOnce() -> String,
) -> Option<String> {
    match arguments.first().map(OsString::as_os_str).and_then(OsStr::to_str)? {
        "--help" | "-?" => Some(help()),
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
Streams physical backups and write-ahead log out of PostgreSQL servers, and
verifies them.

Usage: {name} COMMAND [OPTION]...
       {name} completions bash|elvish|fish|powershell|zsh [PROGRAM]
       {name} man [PAGE]

Commands:
{commands}
As the first argument:
  -V, --version  Show the version, then exit
  -?, --help     Show this help, then exit

\"{name} COMMAND --help\" tells the options of a command. Called by the name
pg_basebackup, pg_receivewal or pg_verifybackup, the program takes the options
of that one. Completions are for pgsiphon and these three; the manual pages are
theirs and pgsiphon-basebackup, pgsiphon-receivewal, pgsiphon-verifybackup and
pgsiphon-bench.
"
    )
}

#[cfg(test)]
mod tests;
