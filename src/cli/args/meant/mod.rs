//! Step two of the command line: what the options mean together.

mod basebackup;
mod bench;
mod receivewal;
mod service;
mod verifybackup;

use std::ffi::OsString;
use std::time::Duration;

pub use basebackup::{BasebackupRequest, ReportForm};
pub use bench::{BenchRequest, Confirmation};
pub use receivewal::{ReceivewalAction, ReceivewalRequest};
pub use service::{CheckRequest, ServeRequest, StatusRequest, StatusSource};
pub use verifybackup::VerifybackupRequest;

use super::error::Conflict;
use super::getopt::shown;
use super::typed::ConnectionOptions;
use super::values::ConnectionString;

/// How often the server hears how far the WAL stream is, if the user does not say.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// What the command line says about the connection; the rest comes from the environment and files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionArgs {
    /// `-d`: a connection string or URI.
    pub dbname: Option<ConnectionString>,
    /// `-h`.
    pub host: Option<String>,
    /// `-p`.
    pub port: Option<String>,
    /// `-U`.
    pub user: Option<String>,
    /// `-w` and `-W`.
    pub password_prompt: PasswordPrompt,
}

/// When the user is asked for a password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordPrompt {
    /// When the server wants one that is not known.
    #[default]
    Auto,
    /// Not even then.
    Never,
    /// Before the first connection.
    Always,
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Only what went wrong, and what is cleaned up.
    Quiet,
    /// Each step.
    Verbose,
}

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowProgress {
    /// It is not.
    No,
    /// It is, in whatever form suits the terminal.
    Yes,
}

impl From<ConnectionOptions> for ConnectionArgs {
    fn from(typed: ConnectionOptions) -> Self {
        ConnectionArgs {
            dbname: typed.dbname,
            host: typed.host,
            port: typed.port,
            user: typed.username,
            password_prompt: match (typed.no_password, typed.password) {
                (true, _) => PasswordPrompt::Never,
                (_, true) => PasswordPrompt::Always,
                (false, false) => PasswordPrompt::Auto,
            },
        }
    }
}

impl Verbosity {
    fn wanted(is_verbose: bool) -> Self {
        if is_verbose { Verbosity::Verbose } else { Verbosity::Quiet }
    }
}

/// Refuses arguments that belong to no option.
fn no_operands(rest: &[OsString]) -> Result<(), Conflict> {
    rest.first().map_or(Ok(()), |extra| Err(Conflict::TooManyArguments(shown(extra))))
}

fn first_conflict(conflicts: impl IntoIterator<Item = (bool, Conflict)>) -> Result<(), Conflict> {
    match conflicts.into_iter().find(|(holds, _)| *holds) {
        Some((_, conflict)) => Err(conflict),
        None => Ok(()),
    }
}

/// Returns how often a status update is sent; `None` for never, which 0 seconds stand for.
fn status_interval(typed: Option<Duration>) -> Option<Duration> {
    Some(typed.unwrap_or(STATUS_INTERVAL)).filter(|interval| !interval.is_zero())
}
