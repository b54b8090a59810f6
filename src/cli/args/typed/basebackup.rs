//! The options of a base backup.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{ArgAction, Args, ValueHint};

use super::value::{checked, one_of};
use super::{ConnectionOptions, DISPLAY, FirstArguments, OUTPUT, Options, WAL};
use crate::backup::{Checkpoint, DirectIo, SyncMethod};
use crate::cli::args::values::{self, CompressWish, Format, Mapping, WalWish};
use crate::cli::program::{Job, Tool};

const BACKUP: &str = "How it is taken";

/// Values of `-Z` and `--manifest-checksums` that are offered to who types.
const COMPRESSIONS: [&str; 7] =
    ["none", "gzip", "lz4", "zstd", "server-gzip", "server-lz4", "server-zstd"];
const MANIFEST_CHECKSUMS: [&str; 6] = ["NONE", "CRC32C", "SHA224", "SHA256", "SHA384", "SHA512"];

/// The options of `pg_basebackup`, as the last occurrence of each has them.
#[derive(Debug, Args)]
pub struct BasebackupOptions {
    #[command(flatten)]
    first: FirstArguments,
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
    /// How to reach the server.
    #[command(flatten)]
    pub connection: ConnectionOptions,
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
pub struct OwnBasebackupOptions {
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

impl Options for BasebackupOptions {
    type Own = OwnBasebackupOptions;
    const JOB: Job = Job::Tool(Tool::Basebackup);
    const ABOUT: &str = "Takes a base backup of a running PostgreSQL server.";
}
