//! Step one of the command line: exactly what was typed, option by option, nothing computed.
//!
//! The words and the order of the options are those of the originals' tables of long options, since
//! `getopt` lists the options that an abbreviation could mean in the table's order. The comments on the
//! fields are the help text.

mod basebackup;
mod bench;
mod connection;
mod receivewal;
mod service;
mod value;
mod verifybackup;

use std::error::Error as _;
use std::ffi::OsString;

use clap::{Args, Command, FromArgMatches as _};

pub use basebackup::{BasebackupOptions, OwnBasebackupOptions};
pub use bench::BenchOptions;
pub use connection::ConnectionOptions;
pub use receivewal::{OwnReceivewalOptions, ReceivewalOptions};
pub use service::{CheckOptions, ServeOptions, StatusOptions};
pub use verifybackup::{OwnVerifybackupOptions, VerifybackupOptions};

use super::error::OptionsError;
use super::getopt::{Scanned, scan};
use super::values::ValueError;
use crate::cli::program::{Job, Program, Role, Tool};

const OUTPUT: &str = "Where it goes";
const WAL: &str = "Write-ahead log";
const DISPLAY: &str = "What is shown";

/// Width of the help text, so that it is the same on every terminal and in every log.
const HELP_COLUMNS: usize = 80;

/// What `getopt` never sees.
const FIRST_ARGUMENTS: &str = "\
As the first argument:
  -V, --version  Show the version, then exit
  -?, --help     Show this help, then exit";

/// What was typed.
#[derive(Debug)]
pub struct Typed<O: Options> {
    /// The options that the drop-in shares with us.
    pub common: O,
    /// The options that only we have; `None` under the drop-in's name.
    pub own: Option<O::Own>,
}

/// The options of a command: those of the original, where it has one.
pub trait Options: Args {
    /// Those that the original does not have.
    type Own: Args;
    /// The command.
    const JOB: Job;
    /// What it does, in a sentence.
    const ABOUT: &'static str;
    /// What follows its name.
    const ARGUMENTS: &'static str = "[OPTION]...";
}

/// What most originals have in their tables of options and do nothing about: it is looked at only as the first
/// argument, and elsewhere points to the help.
#[derive(Debug, Args)]
pub struct FirstArguments {
    /// Known only as the first argument, which is looked at before all others
    #[arg(long, hide = true, value_parser = misplaced)]
    help: bool,
    /// Known only as the first argument, which is looked at before all others
    #[arg(long, hide = true, value_parser = misplaced)]
    version: bool,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("option is recognized only as the first argument")]
struct Misplaced;

/// Reads the value of a flag that must not be set.
fn misplaced(set: &str) -> Result<bool, Misplaced> {
    if set == "true" { Err(Misplaced) } else { Ok(false) }
}

impl<O: Options> Typed<O> {
    /// Reads the arguments after the name of the program or command, by `getopt_long`'s rules.
    ///
    /// # Errors
    ///
    /// The first option that does not exist, misses its value or has one it does not take, or the first
    /// value that is wrong, whichever comes first on the command line.
    pub fn parse(program: &Program, arguments: &[OsString]) -> Result<Self, OptionsError> {
        let command = described::<O>(program);
        let Scanned { spelled_out, fault } = scan(&command, arguments);
        let matches = command.try_get_matches_from(spelled_out).map_err(|e| refused_value(&e))?;
        if let Some(fault) = fault {
            return Err(OptionsError::Syntax(fault));
        }
        // The matches come from the command that these types described.
        let described = "clap fills in what it described";
        Ok(Typed {
            common: O::from_arg_matches(&matches).expect(described),
            own: match program.role() {
                Role::DropIn(_) => None,
                Role::Native => Some(O::Own::from_arg_matches(&matches).expect(described)),
            },
        })
    }
}

/// Returns what a parser of values said; of all else the scan has taken care.
fn refused_value(error: &clap::Error) -> OptionsError {
    match error.source().and_then(|cause| cause.downcast_ref::<ValueError>()) {
        Some(value) => OptionsError::Value(value.clone()),
        None => OptionsError::Misplaced,
    }
}

/// Returns the help text.
pub fn help(job: Job, program: &Program) -> String {
    match program.role() {
        Role::DropIn(Tool::Verifybackup) => verifybackup::ORIGINAL_HELP.to_owned(),
        Role::DropIn(Tool::Basebackup | Tool::Receivewal) | Role::Native => {
            command(job, program).render_help().to_string()
        }
    }
}

/// Describes a command's options to clap, which reads them spelled out.
pub(super) fn command(job: Job, program: &Program) -> Command {
    match job {
        Job::Tool(Tool::Basebackup) => described::<BasebackupOptions>(program),
        Job::Tool(Tool::Receivewal) => described::<ReceivewalOptions>(program),
        Job::Tool(Tool::Verifybackup) => described::<VerifybackupOptions>(program),
        Job::Serve => described::<ServeOptions>(program),
        Job::Check => described::<CheckOptions>(program),
        Job::Status => described::<StatusOptions>(program),
        Job::Bench => described::<BenchOptions>(program),
    }
}

fn described<O: Options>(program: &Program) -> Command {
    let command = Command::new(O::JOB.command())
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        // The values' names tell them already.
        .hide_possible_values(true)
        .term_width(HELP_COLUMNS)
        .override_usage(format!("{} {}", program.command_line(O::JOB), O::ARGUMENTS))
        .after_help(FIRST_ARGUMENTS)
        .help_template("{about}\n\nUsage: {usage}\n\n{all-args}{after-help}\n");
    let command = O::augment_args(command);
    let command = match program.role() {
        Role::DropIn(_) => command,
        Role::Native => O::Own::augment_args(command),
    };
    // After the options, whose types' comments clap would take for the description.
    command.about(O::ABOUT)
}
