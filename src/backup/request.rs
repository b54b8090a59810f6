//! From what the user wants to what the server is asked.

use super::{
    BackupCompression, BackupConfig, BackupError, Checkpoint, ManifestRequest, PageChecksums,
    ServerTarget, SizeEstimate, StandbySetup, Target, WalMethod,
};
use crate::pg::{ChecksumAlgorithm, Compression, CompressionFormat, ServerVersion};
use crate::protocol::ManifestExpected;
use crate::protocol::command::{self, BaseBackup, Manifest};

/// Builds the BASE_BACKUP command.
pub(super) fn base_backup(config: &BackupConfig) -> BaseBackup<'_> {
    BaseBackup {
        label: &config.label,
        progress: config.size_estimate == SizeEstimate::Ask,
        fast_checkpoint: config.checkpoint == Checkpoint::Fast,
        include_wal: config.wal == WalMethod::Fetch,
        wait_for_archive: config.wal == WalMethod::None,
        // In tar files, links with long targets would not fit.
        tablespace_map: !matches!(config.target, Target::Plain { .. }),
        verify_checksums: config.page_checksums == PageChecksums::Verify,
        max_rate_kb: config.max_rate_kb,
        target: match &config.target {
            Target::Server(ServerTarget { name, detail }) => {
                Some(command::Target { name, detail: detail.as_deref() })
            }
            Target::Plain { .. } | Target::Tar { .. } | Target::Stdout => None,
        },
        compression: match &config.compression {
            BackupCompression::Server { algorithm, detail } => {
                Some(command::Compression { algorithm, detail: detail.as_deref() })
            }
            BackupCompression::None | BackupCompression::Client(_) => None,
        },
        manifest: match &config.manifest {
            ManifestRequest::None => None,
            ManifestRequest::Checksums { algorithm, force_encode } => {
                Some(Manifest { force_encode: *force_encode, checksums: algorithm.as_deref() })
            }
        },
    }
}

/// Refuses what servers before 15 cannot do, in the original's order.
pub(super) fn check_server(
    config: &BackupConfig,
    version: ServerVersion,
) -> Result<(), BackupError> {
    let is_modern = version.has_multiplexed_base_backup();
    if let Target::Server(_) = config.target {
        if !is_modern {
            return Err(BackupError::TargetNotSupported);
        }
        if config.standby == StandbySetup::Write {
            return Err(BackupError::StandbyOnServer);
        }
    }
    match config.compression {
        BackupCompression::Server { .. } if !is_modern => {
            Err(BackupError::ServerCompressionNotSupported)
        }
        BackupCompression::Server { .. }
        | BackupCompression::Client(_)
        | BackupCompression::None => Ok(()),
    }
}

/// Returns how an archive is compressed again that came in a format and had to be changed: as the server
/// was asked to do it.
pub(super) fn recompression(asked: &BackupCompression, format: CompressionFormat) -> Compression {
    let asked = match asked {
        BackupCompression::Server { algorithm, detail } => {
            Compression::parse(algorithm, detail.as_deref()).ok().flatten()
        }
        BackupCompression::Client(_) | BackupCompression::None => None,
    };
    let asked = asked.filter(|compression| compression.format() == format);
    asked.unwrap_or_else(|| Compression::with_defaults(format))
}

/// Says whether the answer will have a manifest in it.
pub(super) fn manifest_expected(request: &ManifestRequest) -> ManifestExpected {
    match request {
        ManifestRequest::None => ManifestExpected::No,
        ManifestRequest::Checksums { .. } => ManifestExpected::Yes,
    }
}

/// Returns the algorithm by which files are digested; none if there is nothing to compare.
pub(super) fn digest_algorithm(config: &BackupConfig) -> Option<ChecksumAlgorithm> {
    match &config.manifest {
        _ if matches!(config.target, Target::Server(_)) => None,
        ManifestRequest::None => None,
        ManifestRequest::Checksums { algorithm: None, .. } => Some(ChecksumAlgorithm::default()),
        // A name that is none gets the server's refusal.
        ManifestRequest::Checksums { algorithm: Some(name), .. } => {
            Some(name.parse().unwrap_or_default())
        }
    }
}
