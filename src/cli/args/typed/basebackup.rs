//! Step one of the command line: exactly what was typed, option by option, nothing computed.
//!
//! The words and the order of the options are those of `pg_basebackup`'s table of long options, since
//! `getopt` lists the options that an abbreviation could mean in the table's order. The comments on the
//! fields are the help text.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValue, TypedValueParser};
use clap::{Arg, ArgAction, Args, Command, FromArgMatches as _, ValueHint};

use super::error::UsageError;
use super::getopt::{Scanned, scan};
use super::values::{self, CompressWish, ConnectionString, Format, Mapping, ValueError, WalWish};
use crate::backup::{Checkpoint, DirectIo, SyncMethod};
use crate::cli::program::{Program, Role};

const OUTPUT: &str = "Where it goes";
const WAL: &str = "Write-ahead log";
const BACKUP: &str = "How it is taken";
const DISPLAY: &str = "What is shown";
const CONNECTION: &str = "Connection";

/// Width of the help text, so that it is the same on every terminal and in every log.
const HELP_COLUMNS: usize = 80;

/// Values of `-Z` and `--manifest-checksums` that are offered to who types.
const COMPRESSIONS: [&str; 7] =
    ["none", "gzip", "lz4", "zstd", "server-gzip", "server-lz4", "server-zstd"];
const MANIFEST_CHECKSUMS: [&str; 6] = ["NONE", "CRC32C", "SHA224", "SHA256", "SHA384", "SHA512"];

/// What `getopt` never sees.
const FIRST_ARGUMENTS: &str = "\
As the first argument:
  -V, --version  Show the version, then exit
  -?, --help     Show this help, then exit";

/// What was typed.
#[derive(Debug)]
pub struct Typed {
    /// The options that the drop-in shares with us.
    pub common: CommonOptions,
    /// The options that only we have; untouched under the drop-in's name.
    pub own: OwnOptions,
}

/// The options of `pg_basebackup`, as the last occurrence of each has them.
#[derive(Debug, Args)]
pub struct CommonOptions {
    /// Known only as the first argument, which is looked at before all others
    #[arg(long, hide = true, value_parser = misplaced)]
    help: bool,
    /// Known only as the first argument, which is looked at before all others
    #[arg(long, hide = true, value_parser = misplaced)]
    version: bool,
    /// Directory to fill; made if missing, else it must be empty. With -Ft, "-"
    /// writes a single tar to standard output
    #[arg(short = 'D', long, value_name = "DIRECTORY", help_heading = OUTPUT,
        value_hint = ValueHint::DirPath,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub pgdata: Option<PathBuf>,
    /// A directory that a server can start from (plain, the default), or one
    /// tar file for each tablespace
    #[arg(short = 'F', long, value_name = "plain|tar", help_heading = OUTPUT,
        value_parser = one_of(&["plain", "tar"], values::format))]
    pub format: Option<Format>,
    /// Known so that abbreviations mean what they mean to the original; refused
    #[arg(short = 'i', long, hide = true,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub incremental: Option<PathBuf>,
    /// Checkpoint to begin with: at once, or at the usual pace (default)
    #[arg(short = 'c', long, value_name = "fast|spread", help_heading = BACKUP,
        value_parser = one_of(&["fast", "spread"], values::checkpoint))]
    pub checkpoint: Option<Checkpoint>,
    /// Create the slot named with -S; it stays behind afterwards
    #[arg(short = 'C', long, help_heading = WAL)]
    pub create_slot: bool,
    /// Limit how much the server sends: kilobytes a second, or megabytes with
    /// the suffix M
    #[arg(short = 'r', long, value_name = "RATE", help_heading = BACKUP,
        value_parser = checked(values::max_rate_kb))]
    pub max_rate: Option<u32>,
    /// Make the backup a standby of its server: write standby.signal and the
    /// connection settings
    #[arg(short = 'R', long, help_heading = OUTPUT)]
    pub write_recovery_conf: bool,
    /// Permanent replication slot for streaming, instead of a temporary one
    #[arg(short = 'S', long, value_name = "NAME", help_heading = WAL,
        value_parser = checked(values::text))]
    pub slot: Option<String>,
    /// Where the backup is stored, if not here: server:DIRECTORY, blackhole, or
    /// what an extension of the server offers
    #[arg(short = 't', long, value_name = "TARGET[:DETAIL]", help_heading = OUTPUT,
        value_parser = checked(values::text))]
    pub target: Option<String>,
    /// Put the tablespace that lies in OLD into NEW; may be repeated
    #[arg(short = 'T', long, value_name = "OLD=NEW", help_heading = OUTPUT,
        action = ArgAction::Append,
        value_parser = checked(values::tablespace_mapping))]
    pub tablespace_mapping: Vec<Mapping>,
    /// Leave the needed WAL out, take it at the end, or stream it meanwhile over
    /// a second connection (default)
    #[arg(short = 'X', long, value_name = "none|fetch|stream", help_heading = WAL,
        value_parser = one_of(&["none", "fetch", "stream"], values::wal_method))]
    pub wal_method: Option<WalWish>,
    /// Compress with gzip
    #[arg(short = 'z', long, help_heading = OUTPUT, overrides_with = "compress")]
    pub gzip: bool,
    /// Compress with gzip, lz4 or zstd, here (only tar) or on the server; DETAIL
    /// is a level, or some of level=N, workers=N and long, separated by commas. A
    /// level alone is one of gzip
    #[arg(short = 'Z', long, value_name = "[client-|server-]METHOD[:DETAIL]",
        help_heading = OUTPUT, overrides_with = "gzip",
        value_parser = one_of(&COMPRESSIONS, values::compress))]
    pub compress: Option<CompressWish>,
    /// Label that the server writes into the backup
    #[arg(short = 'l', long, value_name = "TEXT", help_heading = BACKUP,
        value_parser = checked(values::text))]
    pub label: Option<String>,
    /// Leave the files of a failed backup in place
    #[arg(short = 'n', long, help_heading = BACKUP)]
    pub no_clean: bool,
    /// Do not wait until everything is safe on disk
    #[arg(short = 'N', long, help_heading = BACKUP)]
    pub no_sync: bool,
    /// Connection string or URI
    #[arg(short = 'd', long, value_name = "CONNINFO", help_heading = CONNECTION,
        value_parser = checked(values::connection_string))]
    pub dbname: Option<ConnectionString>,
    /// Host name, address, or directory of the Unix socket
    #[arg(short = 'h', long, value_name = "HOST", help_heading = CONNECTION,
        value_hint = ValueHint::Hostname,
        value_parser = checked(values::text))]
    pub host: Option<String>,
    /// Port
    #[arg(short = 'p', long, value_name = "PORT", help_heading = CONNECTION,
        value_parser = checked(values::text))]
    pub port: Option<String>,
    /// Role with the REPLICATION attribute
    #[arg(short = 'U', long, value_name = "NAME", help_heading = CONNECTION,
        value_parser = checked(values::text))]
    pub username: Option<String>,
    /// Never ask for a password
    #[arg(short = 'w', long, help_heading = CONNECTION, overrides_with = "password")]
    pub no_password: bool,
    /// Ask for a password before connecting
    #[arg(short = 'W', long, help_heading = CONNECTION, overrides_with = "no_password")]
    pub password: bool,
    /// Seconds between reports to the server of how far the WAL stream is (10);
    /// 0 for none
    #[arg(short = 's', long, value_name = "SECONDS", help_heading = WAL,
        value_parser = checked(values::status_interval))]
    pub status_interval: Option<Duration>,
    /// Tell each step
    #[arg(short = 'v', long, help_heading = DISPLAY)]
    pub verbose: bool,
    /// Show how far the backup is
    #[arg(short = 'P', long, help_heading = DISPLAY)]
    pub progress: bool,
    /// Put pg_wal into this directory and link to it (plain only)
    #[arg(long, value_name = "DIRECTORY", help_heading = OUTPUT,
        value_hint = ValueHint::DirPath,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub waldir: Option<PathBuf>,
    /// Stream without a slot; the server may recycle WAL too early
    #[arg(long, help_heading = WAL)]
    pub no_slot: bool,
    /// Take pages whose checksum is wrong without complaint
    #[arg(long, help_heading = BACKUP)]
    pub no_verify_checksums: bool,
    /// Start without adding up the sizes of all files
    #[arg(long, help_heading = BACKUP)]
    pub no_estimate_size: bool,
    /// Make no backup manifest; nothing can be verified then
    #[arg(long, help_heading = BACKUP)]
    pub no_manifest: bool,
    /// Write all names in the manifest in hexadecimal
    #[arg(long, help_heading = BACKUP)]
    pub manifest_force_encode: bool,
    /// Checksums in the manifest: NONE, CRC32C (default), SHA224, SHA256, SHA384
    /// or SHA512
    #[arg(long, value_name = "ALGORITHM", help_heading = BACKUP,
        value_parser = one_of(&MANIFEST_CHECKSUMS, values::text))]
    pub manifest_checksums: Option<String>,
    /// Bring files to stable storage one by one (default), or with their whole
    /// file systems at the end
    #[arg(long, value_name = "fsync|syncfs", help_heading = BACKUP,
        value_parser = one_of(&["fsync", "syncfs"], values::sync_method))]
    pub sync_method: Option<SyncMethod>,
    /// Arguments that belong to no option; there should be none
    #[arg(hide = true)]
    pub rest: Vec<OsString>,
}

/// The options that `pg_basebackup` does not have.
#[derive(Debug, Default, Args)]
pub struct OwnOptions {
    /// Write large files past the page cache where possible (auto, the default),
    /// or never
    #[arg(long, value_name = "auto|off", help_heading = OUTPUT,
        value_parser = one_of(&["auto", "off"], values::direct_io))]
    pub direct_io: Option<DirectIo>,
    /// Print a report as a JSON object on standard output, also of a failure;
    /// with -P, before it an object a line of how far the backup is
    #[arg(long, help_heading = DISPLAY)]
    pub json: bool,
}

impl Typed {
    /// Reads the arguments after the name of the program or command, by `getopt_long`'s rules.
    ///
    /// # Errors
    ///
    /// The first option that does not exist, misses its value or has one it does not take, or the first
    /// value that is wrong, whichever comes first on the command line.
    pub fn parse(program: &Program, arguments: &[OsString]) -> Result<Self, UsageError> {
        let command = command(program);
        let Scanned { spelled_out, fault } = scan(&command, arguments);
        let matches = command.try_get_matches_from(spelled_out).map_err(|e| refused_value(&e))?;
        if let Some(fault) = fault {
            return Err(UsageError::Syntax(fault));
        }
        // The matches come from the command that these types described.
        let described = "clap fills in what it described";
        Ok(Typed {
            common: CommonOptions::from_arg_matches(&matches).expect(described),
            own: match program.role() {
                Role::DropIn => OwnOptions::default(),
                Role::Native => OwnOptions::from_arg_matches(&matches).expect(described),
            },
        })
    }
}

/// `--help` or `--version` after other arguments: the original knows them in its table of options,
/// does nothing about them and only points to the help.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("option is recognized only as the first argument")]
struct Misplaced;

/// Reads the value of a flag that must not be set.
fn misplaced(set: &str) -> Result<bool, Misplaced> {
    if set == "true" { Err(Misplaced) } else { Ok(false) }
}

/// Returns what a parser of values said; of all else the scan has taken care.
fn refused_value(error: &clap::Error) -> UsageError {
    match error.source().and_then(|cause| cause.downcast_ref::<ValueError>()) {
        Some(value) => UsageError::Value(value.clone()),
        None => UsageError::Misplaced,
    }
}

/// Returns the help text.
pub fn help(program: &Program) -> String {
    command(program).render_help().to_string()
}

/// Returns a parser that takes any bytes and lets `check` decide.
fn checked<T: Clone + Send + Sync + 'static>(
    check: fn(OsString) -> Result<T, ValueError>,
) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(check)
}

/// The same for values of which some are worth offering to who types.
fn one_of<T: Clone + Send + Sync + 'static>(
    offered: &'static [&'static str],
    check: fn(OsString) -> Result<T, ValueError>,
) -> OneOf<T> {
    OneOf { offered, check }
}

#[derive(Clone)]
struct OneOf<T> {
    offered: &'static [&'static str],
    check: fn(OsString) -> Result<T, ValueError>,
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for OneOf<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        option: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        checked(self.check).parse_ref(command, option, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.offered.iter().map(PossibleValue::new)))
    }
}

/// Describes the options to clap, which reads them spelled out.
pub(super) fn command(program: &Program) -> Command {
    let name = program.basebackup_command();
    let command = Command::new("basebackup")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        // The values' names tell them already.
        .hide_possible_values(true)
        .term_width(HELP_COLUMNS)
        .override_usage(format!("{name} [OPTION]..."))
        .after_help(FIRST_ARGUMENTS)
        .help_template("{about}\n\nUsage: {usage}\n\n{all-args}{after-help}\n");
    let command = CommonOptions::augment_args(command);
    let command = match program.role() {
        Role::DropIn => command,
        Role::Native => OwnOptions::augment_args(command),
    };
    // After the options, whose types' comments clap would take for the description.
    command.about("Takes a base backup of a running PostgreSQL server.")
}
