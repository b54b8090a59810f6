//! After the last byte: everything to stable storage, then the manifest's name.

use std::path::{Path, PathBuf};

use super::prepare::{MANIFEST_NAME, MANIFEST_TEMPORARY_NAME};
use super::{BackupError, Durability};
use crate::storage::{CreatedDirectories, Disk, Spool, StorageError, durable};

/// Waits for the disk threads and syncs what they do not: manifest, directories, and the directories
/// that hold new ones. After this, everything but the manifest's name survives a power cut.
pub(super) fn settle(
    disk: Disk,
    manifest: Option<Spool>,
    directories: &[PathBuf],
    durability: Durability,
) -> Result<(), StorageError> {
    disk.finish()?;
    if durability == Durability::NoSync {
        return Ok(());
    }
    if let Some(Spool::Named(file)) = manifest {
        file.sync()?;
        file.close()?;
    }
    directories.iter().try_for_each(|directory| durable::sync_directory(directory))
}

/// Syncs the claimed directories and gives the manifest its final name: from here on the backup counts as
/// complete.
pub(super) fn commit(
    created: &CreatedDirectories,
    manifest_directory: Option<&Path>,
    durability: Durability,
) -> Result<(), BackupError> {
    if durability == Durability::Sync {
        created.sync()?;
    }
    let Some(directory) = manifest_directory else { return Ok(()) };
    let from = directory.join(MANIFEST_TEMPORARY_NAME);
    let to = directory.join(MANIFEST_NAME);
    let renamed = match durability {
        Durability::Sync => durable::rename(&from, &to),
        Durability::NoSync => durable::rename_unsynced(&from, &to),
    };
    renamed.map_err(BackupError::Rename)
}
