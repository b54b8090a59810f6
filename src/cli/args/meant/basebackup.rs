//! What the options of a base backup mean together.

use std::path::{Path, PathBuf};

use super::{
    ConnectionArgs, ShowProgress, Verbosity, first_conflict, no_operands, status_interval,
};
use crate::backup::{
    BackupCompression, BackupConfig, Checkpoint, DirectIo, Durability, ManifestRequest, OnFailure,
    PageChecksums, ServerTarget, SizeEstimate, SlotChoice, StandbySetup, Target, WalMethod,
};
use crate::cli::args::error::Conflict;
use crate::cli::args::typed::{BasebackupOptions, OwnBasebackupOptions, Typed};
use crate::cli::args::values::{CompressWish, Format, Side, WalWish};
use crate::pg::{Compression, TablespaceMappings, canonicalize};

/// The label of a backup whose user gave none.
const DEFAULT_LABEL: &str = "pg_basebackup base backup";

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
    pub fn from_typed(typed: Typed<BasebackupOptions>) -> Result<Self, Conflict> {
        let Typed { common, own } = typed;
        let own = own.unwrap_or_default();
        no_operands(&common.rest)?;
        let place = place(&common)?;
        let compression = compression(&common, &place)?;
        let wal_directory = common.waldir.as_deref().map(canonicalize);
        check_combination(&common, &place, wal_directory.as_deref())?;
        check_own(&common, &own, &place)?;
        Ok(BasebackupRequest {
            verbosity: Verbosity::wanted(common.verbose),
            progress: if common.progress { ShowProgress::Yes } else { ShowProgress::No },
            report: if own.json { ReportForm::Json } else { ReportForm::Messages },
            connection: common.connection.clone().into(),
            config: BackupConfig {
                compression,
                max_rate_kb: common.max_rate,
                standby: standby(&common),
                wal: wal_method(&common),
                status_interval: status_interval(common.status_interval),
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
    fn is_stdout(&self, options: &BasebackupOptions) -> bool {
        // In plain format `-` is a directory, for the original too.
        matches!(self, Place::Here(directory) if is_tar(options) && directory.as_os_str() == "-")
    }
}

/// Finds out where the backup is stored. `-t client` is the same as none.
fn place(options: &BasebackupOptions) -> Result<Place, Conflict> {
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
fn compression(options: &BasebackupOptions, place: &Place) -> Result<BackupCompression, Conflict> {
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
    options: &BasebackupOptions,
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
fn check_own(
    options: &BasebackupOptions,
    own: &OwnBasebackupOptions,
    place: &Place,
) -> Result<(), Conflict> {
    first_conflict([
        (options.incremental.is_some(), Conflict::Incremental),
        (own.json && place.is_stdout(options), Conflict::JsonToStdout),
    ])
}

fn is_tar(options: &BasebackupOptions) -> bool {
    options.format == Some(Format::Tar)
}

fn wal_wish(options: &BasebackupOptions) -> WalWish {
    options.wal_method.unwrap_or(WalWish::Stream)
}

fn wal_method(options: &BasebackupOptions) -> WalMethod {
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

fn target(options: &BasebackupOptions, place: Place, wal_directory: Option<PathBuf>) -> Target {
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

fn standby(options: &BasebackupOptions) -> StandbySetup {
    if options.write_recovery_conf { StandbySetup::Write } else { StandbySetup::Skip }
}

fn durability(options: &BasebackupOptions) -> Durability {
    match options.no_sync {
        true => Durability::NoSync,
        false => Durability::Sync(options.sync_method.unwrap_or_default()),
    }
}

fn manifest(options: &BasebackupOptions) -> ManifestRequest {
    if options.no_manifest {
        return ManifestRequest::None;
    }
    ManifestRequest::Checksums {
        algorithm: options.manifest_checksums.clone(),
        force_encode: options.manifest_force_encode,
    }
}

fn size_estimate(options: &BasebackupOptions) -> SizeEstimate {
    if options.no_estimate_size { SizeEstimate::Skip } else { SizeEstimate::Ask }
}

fn page_checksums(options: &BasebackupOptions) -> PageChecksums {
    if options.no_verify_checksums { PageChecksums::Ignore } else { PageChecksums::Verify }
}
