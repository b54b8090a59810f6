//! Step two of the command line: what the options mean together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Conflict;
use super::getopt::shown;
use super::typed::{CommonOptions, OwnOptions, Typed};
use super::values::{CompressWish, ConnectionString, Format, Side, WalWish};
use crate::backup::{
    BackupCompression, BackupConfig, Checkpoint, DirectIo, Durability, ManifestRequest, OnFailure,
    PageChecksums, ServerTarget, SizeEstimate, SlotChoice, StandbySetup, Target, WalMethod,
};
use crate::pg::{Compression, TablespaceMappings, canonicalize};

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
    /// How the outcome is told.
    pub report: ReportForm,
}

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

/// How the outcome is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportForm {
    /// By messages and the exit code.
    Messages,
    /// By a JSON object on standard output, too.
    Json,
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
        let place = place(&common)?;
        let compression = compression(&common, &place)?;
        let wal_directory = common.waldir.as_deref().map(canonicalize);
        check_combination(&common, &place, wal_directory.as_deref())?;
        check_own(&common, &own, &place)?;
        Ok(BasebackupRequest {
            verbosity: if common.verbose { Verbosity::Verbose } else { Verbosity::Quiet },
            progress: if common.progress { ShowProgress::Yes } else { ShowProgress::No },
            report: if own.json { ReportForm::Json } else { ReportForm::Messages },
            connection: connection(&common),
            config: BackupConfig {
                compression,
                max_rate_kb: common.max_rate,
                standby: standby(&common),
                wal: wal_method(&common),
                status_interval: status_interval(&common),
                manifest: manifest(&common),
                checkpoint: common.checkpoint.unwrap_or(Checkpoint::Spread),
                size_estimate: size_estimate(&common),
                page_checksums: page_checksums(&common),
                durability: durability(&common),
                on_failure: if common.no_clean { OnFailure::Keep } else { OnFailure::CleanUp },
                direct_io: own.direct_io.unwrap_or(DirectIo::Auto),
                label: common.label.clone().unwrap_or_else(|| DEFAULT_LABEL.to_owned()),
                target: target(&common, place, wal_directory),
            },
        })
    }
}

/// The end of the connection that stores the backup.
enum Place {
    /// Ours, in a directory or on standard output.
    Here(PathBuf),
    /// The server's.
    Server(ServerTarget),
}

impl Place {
    fn is_stdout(&self, options: &CommonOptions) -> bool {
        // In plain format `-` is a directory, for the original too.
        matches!(self, Place::Here(directory) if is_tar(options) && directory.as_os_str() == "-")
    }
}

/// Finds out where the backup is stored. `-t client` is the same as none.
fn place(options: &CommonOptions) -> Result<Place, Conflict> {
    let target = options.target.as_deref().filter(|target| *target != "client");
    match (target, options.pgdata.clone()) {
        (Some(_), _) if options.format.is_some() => Err(Conflict::FormatWithTarget),
        (None, None) => Err(Conflict::NoDirectory),
        (Some(_), Some(_)) => Err(Conflict::DirectoryWithTarget),
        (None, Some(directory)) => Ok(Place::Here(directory)),
        (Some(target), None) => Ok(Place::Server(match target.split_once(':') {
            Some((name, detail)) => {
                ServerTarget { name: name.to_owned(), detail: Some(detail.to_owned()) }
            }
            None => ServerTarget { name: target.to_owned(), detail: None },
        })),
    }
}

/// Finds out who compresses: unless the user says it, where the backup is stored. What the server is to do
/// is for the server to check.
fn compression(options: &CommonOptions, place: &Place) -> Result<BackupCompression, Conflict> {
    let wish = match &options.compress {
        Some(wish) => wish.clone(),
        None if options.gzip => CompressWish::gzip(),
        None => return Ok(BackupCompression::None),
    };
    let CompressWish { side, algorithm, detail } = wish;
    match (side, place) {
        (Some(Side::Server), _) | (None, Place::Server(_)) => {
            Ok(BackupCompression::Server { algorithm, detail })
        }
        (Some(Side::Client) | None, _) => {
            let compression = Compression::parse(&algorithm, detail.as_deref())?;
            match (compression, place) {
                (_, Place::Server(_)) => Err(Conflict::ClientCompressionWithTarget),
                (Some(_), Place::Here(_)) if !is_tar(options) => {
                    Err(Conflict::CompressionInPlainMode)
                }
                (Some(compression), Place::Here(_)) => Ok(BackupCompression::Client(compression)),
                (None, Place::Here(_)) => Ok(BackupCompression::None),
            }
        }
    }
}

/// Looks for options that do not go together, in the order of `main` in `pg_basebackup.c` (18).
fn check_combination(
    options: &CommonOptions,
    place: &Place,
    wal_directory: Option<&Path>,
) -> Result<(), Conflict> {
    let is_stored_there = matches!(place, Place::Server(_));
    let has_wal_directory = wal_directory.is_some();
    let is_streaming = wal_wish(options) == WalWish::Stream;
    let has_slot = options.slot.is_some();
    let has_no_manifest = options.no_manifest;
    let has_checksums = options.manifest_checksums.is_some();
    let conflicts = [
        (is_stored_there && is_streaming, Conflict::StreamingWithTarget),
        (place.is_stdout(options) && is_streaming, Conflict::StreamingToStdout),
        (has_slot && !is_streaming, Conflict::SlotWithoutStreaming),
        (has_slot && options.no_slot, Conflict::NoSlotWithName),
        (options.create_slot && !has_slot, Conflict::CreateSlotWithoutName),
        (has_wal_directory && is_stored_there, Conflict::WalDirectoryWithTarget),
        (has_wal_directory && is_tar(options), Conflict::WalDirectoryInTarMode),
        (wal_directory.is_some_and(Path::is_relative), Conflict::WalDirectoryRelative),
        (options.progress && options.no_estimate_size, Conflict::ProgressWithoutEstimate),
        (has_no_manifest && has_checksums, Conflict::NoManifestWithChecksums),
        (has_no_manifest && options.manifest_force_encode, Conflict::NoManifestWithForceEncode),
    ];
    first_conflict(conflicts)
}

/// Looks for what the original would have accepted, or does not have.
fn check_own(options: &CommonOptions, own: &OwnOptions, place: &Place) -> Result<(), Conflict> {
    first_conflict([
        (options.incremental.is_some(), Conflict::Incremental),
        (own.json && place.is_stdout(options), Conflict::JsonToStdout),
    ])
}

fn first_conflict(conflicts: impl IntoIterator<Item = (bool, Conflict)>) -> Result<(), Conflict> {
    match conflicts.into_iter().find(|(holds, _)| *holds) {
        Some((_, conflict)) => Err(conflict),
        None => Ok(()),
    }
}

fn is_tar(options: &CommonOptions) -> bool {
    options.format == Some(Format::Tar)
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

fn target(options: &CommonOptions, place: Place, wal_directory: Option<PathBuf>) -> Target {
    let is_stdout = place.is_stdout(options);
    match place {
        Place::Server(target) => Target::Server(target),
        Place::Here(_) if is_stdout => Target::Stdout,
        Place::Here(directory) if is_tar(options) => Target::Tar { directory },
        Place::Here(directory) => {
            let mut tablespaces = TablespaceMappings::default();
            for mapping in &options.tablespace_mapping {
                tablespaces.add(&mapping.old, &mapping.new);
            }
            Target::Plain { directory, tablespaces, wal_directory }
        }
    }
}

fn status_interval(options: &CommonOptions) -> Option<Duration> {
    Some(options.status_interval.unwrap_or(STATUS_INTERVAL)).filter(|interval| !interval.is_zero())
}

fn standby(options: &CommonOptions) -> StandbySetup {
    if options.write_recovery_conf { StandbySetup::Write } else { StandbySetup::Skip }
}

fn durability(options: &CommonOptions) -> Durability {
    match options.no_sync {
        true => Durability::NoSync,
        false => Durability::Sync(options.sync_method.unwrap_or_default()),
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
