//! After the last byte: everything to stable storage, then the manifest's name.

use std::path::{Path, PathBuf};

use super::Durability;
use super::prepare::{MANIFEST_NAME, MANIFEST_TEMPORARY_NAME};
use crate::storage::{CreatedDirectories, Spool, StorageError, durable};

/// Completes what the disk threads do not: the manifest, and the names of all files. After this, everything
/// but the manifest's own name survives a power cut, if that was asked for.
pub(super) fn complete_names(
    manifest: Option<Spool>,
    directories: &[PathBuf],
    durability: Durability,
) -> Result<(), StorageError> {
    let sync = durability.syncs();
    if let Some(Spool::Named(file)) = manifest {
        if sync {
            file.sync()?;
        }
        file.close()?;
    }
    if sync {
        directories.iter().try_for_each(|directory| durable::sync_directory(directory))?;
    }
    Ok(())
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
