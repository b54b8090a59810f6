//! From what the user wants to what the server is asked.

use super::{
    BackupConfig, Checkpoint, ManifestRequest, PageChecksums, SizeEstimate, Target, WalMethod,
};
use crate::pg::ChecksumAlgorithm;
use crate::protocol::ManifestExpected;
use crate::protocol::command::{BaseBackup, Manifest};

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
        manifest: match &config.manifest {
            ManifestRequest::None => None,
            ManifestRequest::Checksums { algorithm, force_encode } => {
                Some(Manifest { force_encode: *force_encode, checksums: algorithm.as_deref() })
            }
        },
    }
}

/// Says whether the answer will have a manifest in it.
pub(super) fn manifest_expected(request: &ManifestRequest) -> ManifestExpected {
    match request {
        ManifestRequest::None => ManifestExpected::No,
        ManifestRequest::Checksums { .. } => ManifestExpected::Yes,
    }
}

/// Returns the algorithm by which files are digested; none if there is nothing to compare with.
pub(super) fn digest_algorithm(request: &ManifestRequest) -> Option<ChecksumAlgorithm> {
    match request {
        ManifestRequest::None => None,
        ManifestRequest::Checksums { algorithm: None, .. } => Some(ChecksumAlgorithm::default()),
        // A name that is none gets the server's refusal.
        ManifestRequest::Checksums { algorithm: Some(name), .. } => {
            Some(name.parse().unwrap_or_default())
        }
    }
}
