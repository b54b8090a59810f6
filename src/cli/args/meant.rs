//! Step two of the command line: what the options mean together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Conflict;
use super::typed::{CommonOptions, Typed};
use super::values::{Format, WalWish, shown};
use crate::backup::{
    BackupCompression, BackupConfig, Checkpoint, DirectIo, Durability, ManifestRequest, OnFailure,
    PageChecksums, SizeEstimate, SlotChoice, StandbySetup, SyncMethod, Target, WalMethod,
};
use crate::pg::{TablespaceMappings, canonicalize};

/// The label of a backup whose user gave none.
const DEFAULT_LABEL: &str = "pg_basebackup base backup";

/// How often the server hears of the WAL stream, if the user does not say.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// A base backup as the command line asks for it.
#[derive(Clone, Debug)]
pub struct BasebackupRequest {
    /// How the backup is taken.
    pub config: BackupConfig,
    /// Whose backup it is.
    pub connection: ConnectionArgs,
    /// How much is told.
    pub verbosity: Verbosity,
    /// Whether progress is shown.
    pub progress: ShowProgress,
}

/// What the command line says about the connection; the rest comes from the environment and files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionArgs {
    /// `-d`: a connection string or URI.
    pub dbname: Option<String>,
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

impl BasebackupRequest {
    /// Works out what is meant.
    ///
    /// # Errors
    ///
    /// The first [`Conflict`] in the original's order.
    pub fn from_typed(typed: Typed) -> Result<Self, Conflict> {
        let Typed { common, own } = typed;
        if let Some(extra) = common.rest.first() {
            return Err(Conflict::TooManyArguments(shown(extra)));
        }
        let Some(directory) = common.pgdata.clone() else { return Err(Conflict::NoDirectory) };
        let wal_directory = common.waldir.as_deref().map(canonicalize);
        check_combination(&common, &directory, wal_directory.as_deref())?;
        Ok(BasebackupRequest {
            verbosity: if common.verbose { Verbosity::Verbose } else { Verbosity::Quiet },
            progress: if common.progress { ShowProgress::Yes } else { ShowProgress::No },
            connection: connection(&common),
            config: BackupConfig {
                compression: BackupCompression::None,
                max_rate_kb: None,
                standby: StandbySetup::Skip,
                wal: wal_method(&common),
                status_interval: Some(STATUS_INTERVAL),
                manifest: manifest(&common),
                checkpoint: common.checkpoint.unwrap_or(Checkpoint::Spread),
                size_estimate: size_estimate(&common),
                page_checksums: page_checksums(&common),
                durability: if common.no_sync {
                    Durability::NoSync
                } else {
                    Durability::Sync(SyncMethod::Fsync)
                },
                on_failure: if common.no_clean { OnFailure::Keep } else { OnFailure::CleanUp },
                direct_io: own.direct_io.unwrap_or(DirectIo::Auto),
                label: common.label.clone().unwrap_or_else(|| DEFAULT_LABEL.to_owned()),
                target: target(common, directory, wal_directory),
            },
        })
    }
}

/// Looks for options that do not go together, in the order of `main` in `pg_basebackup.c` (18).
fn check_combination(
    options: &CommonOptions,
    directory: &Path,
    wal_directory: Option<&Path>,
) -> Result<(), Conflict> {
    let is_tar = options.format == Some(Format::Tar);
    let is_streaming = wal_wish(options) == WalWish::Stream;
    let has_slot = options.slot.is_some();
    let has_no_manifest = options.no_manifest;
    let conflicts = [
        (is_tar && is_stdout(directory) && is_streaming, Conflict::StreamingToStdout),
        (has_slot && !is_streaming, Conflict::SlotWithoutStreaming),
        (has_slot && options.no_slot, Conflict::NoSlotWithName),
        (options.create_slot && !has_slot, Conflict::CreateSlotWithoutName),
        (wal_directory.is_some() && is_tar, Conflict::WalDirectoryInTarMode),
        (wal_directory.is_some_and(Path::is_relative), Conflict::WalDirectoryRelative),
        (options.progress && options.no_estimate_size, Conflict::ProgressWithoutEstimate),
        (
            has_no_manifest && options.manifest_checksums.is_some(),
            Conflict::NoManifestWithChecksums,
        ),
        (has_no_manifest && options.manifest_force_encode, Conflict::NoManifestWithForceEncode),
    ];
    match conflicts.into_iter().find(|(holds, _)| *holds) {
        Some((_, conflict)) => Err(conflict),
        None => Ok(()),
    }
}

fn is_stdout(directory: &Path) -> bool {
    directory.as_os_str() == "-"
}

fn wal_wish(options: &CommonOptions) -> WalWish {
    options.wal_method.unwrap_or(WalWish::Stream)
}

fn wal_method(options: &CommonOptions) -> WalMethod {
    match wal_wish(options) {
        WalWish::None => WalMethod::None,
        WalWish::Fetch => WalMethod::Fetch,
        WalWish::Stream => WalMethod::Stream(match options.slot.clone() {
            Some(name) if options.create_slot => SlotChoice::Create(name),
            Some(name) => SlotChoice::Existing(name),
            None if options.no_slot => SlotChoice::None,
            None => SlotChoice::Temporary,
        }),
    }
}

/// Only tar goes to standard output: for the original too, `-D -` in plain format is a directory.
fn target(options: CommonOptions, directory: PathBuf, wal_directory: Option<PathBuf>) -> Target {
    match options.format.unwrap_or(Format::Plain) {
        Format::Tar if is_stdout(&directory) => Target::Stdout,
        Format::Tar => Target::Tar { directory },
        Format::Plain => {
            let mut tablespaces = TablespaceMappings::default();
            for mapping in &options.tablespace_mapping {
                tablespaces.add(&mapping.old, &mapping.new);
            }
            Target::Plain { directory, tablespaces, wal_directory }
        }
    }
}

fn manifest(options: &CommonOptions) -> ManifestRequest {
    if options.no_manifest {
        return ManifestRequest::None;
    }
    ManifestRequest::Checksums {
        algorithm: options.manifest_checksums.clone(),
        force_encode: options.manifest_force_encode,
    }
}

fn size_estimate(options: &CommonOptions) -> SizeEstimate {
    if options.no_estimate_size { SizeEstimate::Skip } else { SizeEstimate::Ask }
}

fn page_checksums(options: &CommonOptions) -> PageChecksums {
    if options.no_verify_checksums { PageChecksums::Ignore } else { PageChecksums::Verify }
}

fn connection(options: &CommonOptions) -> ConnectionArgs {
    ConnectionArgs {
        dbname: options.dbname.clone(),
        host: options.host.clone(),
        port: options.port.clone(),
        user: options.username.clone(),
        password_prompt: match (options.no_password, options.password) {
            (true, _) => PasswordPrompt::Never,
            (_, true) => PasswordPrompt::Always,
            (false, false) => PasswordPrompt::Auto,
        },
    }
}
