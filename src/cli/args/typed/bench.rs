//! The options of comparing this program with PostgreSQL's.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{ArgAction, Args, ValueHint};

use super::value::checked;
use super::{DISPLAY, Options};
use crate::cli::args::values::{self, ConnectionString};
use crate::cli::program::Job;

const PLACE: &str = "Where";
const WORK: &str = "How much";

/// The options of `pgsiphon bench`.
#[derive(Debug, Args)]
pub struct BenchOptions {
    /// Directory to work in, on the file system to measure. It must not exist, and is
    /// removed in the end
    #[arg(short = 'D', long, value_name = "DIRECTORY", help_heading = PLACE,
        value_hint = ValueHint::DirPath,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub directory: Option<PathBuf>,
    /// Measure with this server instead of private ones; what is done there is told
    /// before
    #[arg(short = 'd', long, value_name = "CONNSTR", help_heading = PLACE,
        value_parser = checked(values::connection_string))]
    pub dbname: Option<ConnectionString>,
    /// Directory of PostgreSQL's programs, of the release to compare with (found out)
    #[arg(long, value_name = "DIRECTORY", help_heading = PLACE,
        value_hint = ValueHint::DirPath,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub originals: Option<PathBuf>,
    /// Do what was told without asking
    #[arg(short = 'y', long, help_heading = PLACE)]
    pub yes: bool,
    /// How often each program runs, in turns (5)
    #[arg(short = 'r', long, value_name = "NUMBER", help_heading = WORK,
        value_parser = checked(values::rounds))]
    pub rounds: Option<usize>,
    /// Size of the private server's tables (1)
    #[arg(long, value_name = "GIGABYTES", help_heading = WORK,
        value_parser = checked(values::gigabytes))]
    pub size: Option<u64>,
    /// Number of small files (30000)
    #[arg(long, value_name = "NUMBER", help_heading = WORK, value_parser = checked(values::files))]
    pub files: Option<u32>,
    /// Size of the WAL to catch up with (1)
    #[arg(long, value_name = "GIGABYTES", help_heading = WORK,
        value_parser = checked(values::gigabytes))]
    pub backlog: Option<u64>,
    /// How long each load of commits runs (8)
    #[arg(long, value_name = "SECONDS", help_heading = WORK,
        value_parser = checked(values::seconds))]
    pub seconds: Option<u32>,
    /// Measure only this row of the table; may be repeated
    #[arg(long, value_name = "ROW", help_heading = WORK, action = ArgAction::Append,
        value_parser = checked(values::text))]
    pub only: Vec<String>,
    /// Print a report as a JSON object on standard output instead of the table
    #[arg(long, help_heading = DISPLAY)]
    pub json: bool,
    /// Draw the ratios into this file, as SVG
    #[arg(long, value_name = "FILE", help_heading = DISPLAY, value_hint = ValueHint::FilePath,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub plot: Option<PathBuf>,
    /// The parts to measure
    #[arg(hide = true)]
    pub rest: Vec<OsString>,
}

/// For commands that have no original, and so no options beside its.
#[derive(Debug, Default, Args)]
pub struct NoOwnOptions {}

impl Options for BenchOptions {
    type Own = NoOwnOptions;
    const JOB: Job = Job::Bench;
    const ABOUT: &str = "\
Compares this program with pg_basebackup, pg_receivewal and pg_verifybackup, in
turns, on private servers or a given one.

Parts: base-backup, verify, small-files, empty-cluster, catch-up, standby. Without
any, all are measured; on a given server base-backup and verify, which write
nothing there.";
    const ARGUMENTS: &str = "[OPTION]... -D DIRECTORY [PART]...";
}
