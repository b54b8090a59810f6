//! The options of receiving WAL.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, ValueHint};

use super::value::{checked, one_of};
use super::{ConnectionOptions, DISPLAY, FirstArguments, OUTPUT, Options, WAL};
use crate::cli::args::values::{self, CompressWish};
use crate::cli::program::{Job, Tool};
use crate::pg::Lsn;
use crate::receive::HolePolicy;
use crate::storage::DirectIo;

const SLOTS: &str = "Instead of receiving";

/// Values of `-Z` that are offered to who types.
const COMPRESSIONS: [&str; 4] = ["none", "gzip", "lz4", "zstd"];

/// The options of `pg_receivewal`, as the last occurrence of each has them.
#[derive(Debug, Args)]
pub struct ReceivewalOptions {
    #[command(flatten)]
    first: FirstArguments,
    /// Directory that the segments go to; it must exist
    #[arg(short = 'D', long, value_name = "DIRECTORY", help_heading = OUTPUT,
        value_hint = ValueHint::DirPath,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub directory: Option<PathBuf>,
    /// Stop when WAL behind this position was received
    #[arg(short = 'E', long, value_name = "LSN", help_heading = WAL,
        value_parser = checked(values::end_position))]
    pub endpos: Option<Lsn>,
    /// Stop when the connection is lost, instead of making it again
    #[arg(short = 'n', long, help_heading = WAL)]
    pub no_loop: bool,
    /// How to reach the server.
    #[command(flatten)]
    pub connection: ConnectionOptions,
    /// Seconds between reports to the server of how far receiving is (10); 0 for
    /// none
    #[arg(short = 's', long, value_name = "SECONDS", help_heading = WAL,
        value_parser = checked(values::status_interval))]
    pub status_interval: Option<Duration>,
    /// Replication slot that holds the WAL until it is received
    #[arg(short = 'S', long, value_name = "NAME", help_heading = WAL,
        value_parser = checked(values::text))]
    pub slot: Option<String>,
    /// Tell each step
    #[arg(short = 'v', long, help_heading = DISPLAY)]
    pub verbose: bool,
    /// Compress with gzip, lz4 or zstd; DETAIL is a level, or some of level=N,
    /// workers=N and long, separated by commas. A level alone is one of gzip
    #[arg(short = 'Z', long, value_name = "METHOD[:DETAIL]", help_heading = OUTPUT,
        value_parser = one_of(&COMPRESSIONS, values::compress_here))]
    pub compress: Option<CompressWish>,
    /// Create the slot named with -S, then exit; it holds WAL from its first use
    /// on
    #[arg(long, help_heading = SLOTS)]
    pub create_slot: bool,
    /// Drop the slot named with -S, then exit
    #[arg(long, help_heading = SLOTS)]
    pub drop_slot: bool,
    /// With --create-slot: a slot that is there already is as good
    #[arg(long, help_heading = SLOTS)]
    pub if_not_exists: bool,
    /// Bring WAL to stable storage as soon as it arrives, for a server that waits
    /// for it
    #[arg(long, help_heading = WAL)]
    pub synchronous: bool,
    /// Leave it to the system when WAL gets to stable storage
    #[arg(long, help_heading = OUTPUT)]
    pub no_sync: bool,
    /// Arguments that belong to no option; there should be none
    #[arg(hide = true)]
    pub rest: Vec<OsString>,
}

/// The options that `pg_receivewal` does not have.
#[derive(Debug, Args)]
pub struct OwnReceivewalOptions {
    /// Write segments past the page cache where possible (auto, the default), or
    /// never
    #[arg(long, value_name = "auto|off", help_heading = OUTPUT,
        value_parser = one_of(&["auto", "off"], values::direct_io))]
    pub direct_io: Option<DirectIo>,
    /// If the server no longer has the WAL that comes next: go no further (stop,
    /// the default), or on with what it has (skip)
    #[arg(long, value_name = "stop|skip", help_heading = WAL,
        value_parser = one_of(&["stop", "skip"], values::hole_policy))]
    pub on_hole: Option<HolePolicy>,
    /// Show once a second how far receiving is
    #[arg(short = 'P', long, help_heading = DISPLAY)]
    pub progress: bool,
    /// Keep no index beside the WAL of which positions belong to which times
    #[arg(long, help_heading = OUTPUT)]
    pub no_time_index: bool,
}

impl Options for ReceivewalOptions {
    type Own = OwnReceivewalOptions;
    const JOB: Job = Job::Tool(Tool::Receivewal);
    const ABOUT: &str = "Receives the write-ahead log of a running PostgreSQL server.";
}
