//! What is synced, and when: each file, or the file systems that hold them.

use std::path::PathBuf;

use super::{Durability, SyncMethod};
use crate::storage::{FileSyncs, FileSystems, Spool, StorageError, durable};

/// Small files that are synced one by one. A server has a thousand in each database, and the disk threads keep up with
/// that beside the receipt of others; what is more takes half of the time when the file system syncs it in one go.
const SYNCED_SMALL_FILES_MAX: usize = 4096;

/// How a backup comes to stable storage.
#[derive(Debug)]
pub(super) enum Syncs {
    /// Not at all.
    Nothing,
    /// File by file. With file systems that take over, small files beyond a number are left to them.
    Files(Option<FileSystems>),
    /// By syncing the file systems that hold these directories, as the user wants it.
    FileSystems(Vec<PathBuf>),
}

impl Syncs {
    /// Decides before anything is written to these directories.
    pub(super) fn plan(durability: Durability, roots: Vec<PathBuf>) -> Result<Self, StorageError> {
        Ok(match durability {
            Durability::NoSync => Syncs::Nothing,
            Durability::Sync(SyncMethod::Fsync) => Syncs::Files(FileSystems::that_hold(&roots)?),
            Durability::Sync(SyncMethod::Syncfs) => Syncs::FileSystems(roots),
        })
    }

    /// Returns which files are synced as soon as they are complete.
    pub(super) fn of_files(&self) -> FileSyncs {
        match self {
            Syncs::Files(Some(_)) => FileSyncs::Some { small_files_max: SYNCED_SMALL_FILES_MAX },
            Syncs::Files(None) => FileSyncs::All,
            Syncs::Nothing | Syncs::FileSystems(_) => FileSyncs::None,
        }
    }

    /// Completes what the disk threads do not: the manifest, the files that they left unsynced, and the names in all
    /// directories. After this, everything but the manifest's own name survives a power cut, if that was asked for.
    pub(super) fn complete(
        &self,
        manifest: Option<Spool>,
        unsynced_files: usize,
        directories: &[PathBuf],
    ) -> Result<(), StorageError> {
        if let Some(Spool::Named(file)) = manifest {
            if let Syncs::Files(_) = self {
                file.sync()?;
            }
            file.close()?;
        }
        match self {
            Syncs::Nothing => Ok(()),
            Syncs::Files(file_systems) => {
                if let Some(file_systems) = file_systems.as_ref().filter(|_| unsynced_files > 0) {
                    file_systems.sync()?;
                }
                durable::sync_directories(directories)
            }
            Syncs::FileSystems(roots) => {
                roots.iter().try_for_each(|root| durable::sync_file_system(root))
            }
        }
    }
}
