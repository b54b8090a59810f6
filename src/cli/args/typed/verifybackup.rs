//! The options of verifying a stored backup.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{ArgAction, Args, ValueHint};

use super::value::one_of;
use super::{DISPLAY, Options};
use crate::cli::args::values;
use crate::cli::program::{Job, Tool};
use crate::verify::BackupForm;

const PLACE: &str = "Where it is";
const CHECKS: &str = "What is verified";

/// What the original of 18 prints for `--help`.
pub(super) const ORIGINAL_HELP: &str = "\
pg_verifybackup verifies a backup against the backup manifest.

Usage:
  pg_verifybackup [OPTION]... BACKUPDIR

Options:
  -e, --exit-on-error         exit immediately on error
  -F, --format=p|t            backup format (plain, tar)
  -i, --ignore=RELATIVE_PATH  ignore indicated path
  -m, --manifest-path=PATH    use specified path for manifest
  -n, --no-parse-wal          do not try to parse WAL files
  -P, --progress              show progress information
  -q, --quiet                 do not print any output, except for errors
  -s, --skip-checksums        skip checksum verification
  -w, --wal-directory=PATH    use specified path for WAL files
  -V, --version               output version information, then exit
  -?, --help                  show this help, then exit

Report bugs to <pgsql-bugs@lists.postgresql.org>.
PostgreSQL home page: <https://www.postgresql.org/>
";

/// The options of `pg_verifybackup`, as the last occurrence of each has them. Its table lacks `--help` and
/// `--version`: behind the first place they are not recognized.
#[derive(Debug, Args)]
pub struct VerifybackupOptions {
    /// Stop at the first finding
    #[arg(short = 'e', long, help_heading = CHECKS)]
    pub exit_on_error: bool,
    /// Leave out this file, or all below this directory, given by its path in the
    /// backup; may be repeated
    #[arg(short = 'i', long, value_name = "RELATIVE_PATH", help_heading = CHECKS,
        action = ArgAction::Append,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub ignore: Vec<PathBuf>,
    /// Manifest to verify against (backup_manifest in the backup's directory)
    #[arg(short = 'm', long, value_name = "FILE", help_heading = PLACE,
        value_hint = ValueHint::FilePath,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub manifest_path: Option<PathBuf>,
    /// How the backup is stored: as a data directory or as tar archives. Found
    /// out if it is not said
    #[arg(short = 'F', long, value_name = "plain|tar", help_heading = PLACE,
        value_parser = one_of(&["plain", "tar"], values::backup_form))]
    pub format: Option<BackupForm>,
    /// Leave out the WAL
    #[arg(short = 'n', long, help_heading = CHECKS)]
    pub no_parse_wal: bool,
    /// Show how far verifying is
    #[arg(short = 'P', long, help_heading = DISPLAY)]
    pub progress: bool,
    /// Say nothing of a backup that is as it should be
    #[arg(short = 'q', long, help_heading = DISPLAY)]
    pub quiet: bool,
    /// Compare names and sizes, but no contents
    #[arg(short = 's', long, help_heading = CHECKS)]
    pub skip_checksums: bool,
    /// Directory with the WAL (pg_wal in the backup)
    #[arg(short = 'w', long, value_name = "DIRECTORY", help_heading = PLACE,
        value_hint = ValueHint::DirPath,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub wal_directory: Option<PathBuf>,
    /// The backup's directory, and what should not follow it
    #[arg(hide = true)]
    pub rest: Vec<OsString>,
}

/// The options that `pg_verifybackup` does not have.
#[derive(Debug, Default, Args)]
pub struct OwnVerifybackupOptions {
    /// Check header and checksum of every page of tables and indexes, too
    #[arg(long, help_heading = CHECKS)]
    pub pages: bool,
    /// Print a report as a JSON object on standard output, also of a failure
    #[arg(long, help_heading = DISPLAY)]
    pub json: bool,
}

impl Options for VerifybackupOptions {
    type Own = OwnVerifybackupOptions;
    const JOB: Job = Job::Tool(Tool::Verifybackup);
    const ABOUT: &str = "Verifies a stored backup against its manifest.";
    const ARGUMENTS: &str = "[OPTION]... BACKUPDIR";
}
