//! The options of receiving WAL as a service.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, ValueHint};

use super::bench::NoOwnOptions;
use super::value::checked;
use super::{DISPLAY, Options};
use crate::cli::args::values;
use crate::cli::program::Job;

const SERVICE: &str = "Which service";

/// The options of `pgsiphon serve`.
#[derive(Debug, Args)]
pub struct ServeOptions {
    /// The configuration file
    #[arg(short = 'c', long, value_name = "FILE", help_heading = SERVICE,
        value_hint = ValueHint::FilePath,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub config: Option<PathBuf>,
    /// Arguments that belong to no option
    #[arg(hide = true)]
    pub rest: Vec<OsString>,
}

impl Options for ServeOptions {
    type Own = NoOwnOptions;
    const JOB: Job = Job::Serve;
    const ABOUT: &str = "\
Receives the write-ahead log of all servers in a configuration file, until
SIGINT or SIGTERM ends it. SIGHUP reads the file again.";
    const ARGUMENTS: &str = "--config FILE";
}

/// The options of `pgsiphon check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// The configuration file
    #[arg(short = 'c', long, value_name = "FILE", help_heading = SERVICE,
        value_hint = ValueHint::FilePath,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub config: Option<PathBuf>,
    /// Print the findings as a JSON object on standard output
    #[arg(long, help_heading = DISPLAY)]
    pub json: bool,
    /// Arguments that belong to no option
    #[arg(hide = true)]
    pub rest: Vec<OsString>,
}

impl Options for CheckOptions {
    type Own = NoOwnOptions;
    const JOB: Job = Job::Check;
    const ABOUT: &str = "\
Checks the configuration file of the service, and whether each of its servers
can be received from as it says. Nothing is changed anywhere.";
    const ARGUMENTS: &str = "--config FILE [OPTION]...";
}

/// The options of `pgsiphon status`.
#[derive(Debug, Args)]
pub struct StatusOptions {
    /// The configuration file, which says where the service listens
    #[arg(short = 'c', long, value_name = "FILE", help_heading = SERVICE,
        value_hint = ValueHint::FilePath,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub config: Option<PathBuf>,
    /// Address and port where the service listens
    #[arg(long, value_name = "ADDRESS", help_heading = SERVICE,
        value_parser = checked(values::text))]
    pub address: Option<String>,
    /// Print a JSON object, as where standard output is no terminal
    #[arg(long, help_heading = DISPLAY)]
    pub json: bool,
    /// Show it again and again
    #[arg(short = 'w', long, help_heading = DISPLAY)]
    pub watch: bool,
    /// Arguments that belong to no option
    #[arg(hide = true)]
    pub rest: Vec<OsString>,
}

impl Options for StatusOptions {
    type Own = NoOwnOptions;
    const JOB: Job = Job::Status;
    const ABOUT: &str = "\
Shows what the service does: a table on a terminal, a JSON object elsewhere.";
    const ARGUMENTS: &str = "[OPTION]...";
}
