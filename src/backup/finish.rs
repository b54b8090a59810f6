//! After the last byte: everything to stable storage, then the manifest's name.

use std::path::{Path, PathBuf};

use super::Durability;
use super::prepare::{MANIFEST_NAME, MANIFEST_TEMPORARY_NAME};
use crate::storage::{CreatedDirectories, Spool, StorageError, durable};

/// Completes what the disk threads do not: the manifest.
pub(super) fn complete(manifest: Option<Spool>) -> Result<(), StorageError> {
    match manifest {
        Some(Spool::Named(file)) => file.close(),
        Some(Spool::Temporary(_)) | None => Ok(()),
    }
}

/// Completes and syncs what the disk threads do not: the manifest, and the names of all files. After this,
/// everything but the manifest's own name survives a power cut.
pub(super) fn complete_synced(
    manifest: Option<Spool>,
    directories: &[PathBuf],
) -> Result<(), StorageError> {
    if let Some(Spool::Named(file)) = &manifest {
        file.sync()?;
    }
    complete(manifest)?;
    directories.iter().try_for_each(|directory| durable::sync_directory(directory))
}

/// Syncs the file systems that hold these directories, with all that is in them.
pub(super) fn sync_file_systems(roots: &[PathBuf]) -> Result<(), StorageError> {
    roots.iter().try_for_each(|root| durable::sync_file_system(root))
}

/// Syncs the claimed directories and gives the manifest its final name: from here on the backup counts as
/// complete.
pub(super) fn commit(
    created: &CreatedDirectories,
    manifest_directory: Option<&Path>,
    durability: Durability,
) -> Result<(), StorageError> {
    if durability.syncs() {
        created.sync()?;
    }
    let Some(directory) = manifest_directory else { return Ok(()) };
    let from = directory.join(MANIFEST_TEMPORARY_NAME);
    let to = directory.join(MANIFEST_NAME);
    match durability {
        Durability::Sync(_) => durable::rename(&from, &to),
        Durability::NoSync => durable::rename_unsynced(&from, &to),
    }
}
