//! After the last byte: the verdict, everything to stable storage, then the manifest's name.

use std::path::PathBuf;

use super::archives::Received;
use super::prepare::{MANIFEST_NAME, MANIFEST_TEMPORARY_NAME};
use super::receive::{Header, Sent};
use super::{
    BackupConfig, BackupError, BackupJob, BackupSummary, Durability, Event, SyncMethod, Target,
    WalMethod,
};
use crate::pipeline::run_blocking;
use crate::storage::{CreatedDirectories, Disk, Spool, StorageError, durable};

/// A backup of which everything is received.
pub(super) struct ReceivedBackup {
    pub(super) system_identifier: String,
    pub(super) header: Header,
    pub(super) sent: Sent,
    /// The directories that were filled, each with all that is in it.
    pub(super) roots: Vec<PathBuf>,
}

/// A backup that is complete and safe, but for the manifest's name.
pub(super) struct Settled {
    summary: BackupSummary,
    /// Where the manifest waits for its name, if there is one in a directory.
    pub(super) manifest_directory: Option<PathBuf>,
}

/// Judges what was received and brings it to stable storage.
pub(super) async fn settle(
    job: BackupJob<'_>,
    backup: ReceivedBackup,
    disk: Disk,
) -> Result<Settled, BackupError> {
    let ReceivedBackup { system_identifier, header, sent, roots } = backup;
    let Sent { end_lsn, received, page_checksums } = sent;
    let BackupConfig { target, durability, .. } = job.config;
    let syncs = durability.syncs() && !matches!(target, Target::Server(_));
    if syncs && page_checksums.is_none() {
        job.reporter.report(Event::Syncing);
    }
    // A disk that failed comes first: what is missing there is no damage.
    run_blocking("disk", || disk.finish()).await.map_err(BackupError::Thread)??;
    if let Some(message) = page_checksums {
        return Err(BackupError::PageChecksums(message));
    }
    let Received { mut directories, manifest, comparison } = received;
    let verified_files = match comparison {
        Some(comparison) if !comparison.findings.is_empty() => {
            return Err(BackupError::Damaged(comparison.findings, comparison.findings_omitted));
        }
        Some(comparison) => Some(comparison.summary.file_count),
        None => None,
    };
    if let (Some(path), WalMethod::Stream(_)) = (target.wal_directory(), &job.config.wal) {
        directories.extend([path.join("archive_status"), path]);
    }
    let has_manifest = manifest.is_some();
    let to_sync = match durability {
        Durability::NoSync => ToSync::Nothing,
        Durability::Sync(SyncMethod::Fsync) => ToSync::Directories(directories),
        Durability::Sync(SyncMethod::Syncfs) => ToSync::FileSystems(roots),
    };
    let complete = move || complete(manifest, &to_sync);
    run_blocking("names", complete).await.map_err(BackupError::Thread)??;
    let (start_lsn, timeline) = (header.start_lsn, header.timeline);
    Ok(Settled {
        summary: BackupSummary { system_identifier, start_lsn, end_lsn, timeline, verified_files },
        manifest_directory: target.directory().filter(|_| has_manifest).map(Into::into),
    })
}

/// What is synced when all files are written.
enum ToSync {
    /// Nothing.
    Nothing,
    /// The names in these directories; the files are safe already.
    Directories(Vec<PathBuf>),
    /// The file systems that hold these directories.
    FileSystems(Vec<PathBuf>),
}

/// Completes what the disk threads do not: the manifest, and the names of all files. After this, everything
/// but the manifest's own name survives a power cut, if that was asked for.
fn complete(manifest: Option<Spool>, to_sync: &ToSync) -> Result<(), StorageError> {
    if let Some(Spool::Named(file)) = manifest {
        if let ToSync::Directories(_) = to_sync {
            file.sync()?;
        }
        file.close()?;
    }
    match to_sync {
        ToSync::Nothing => Ok(()),
        ToSync::Directories(paths) => {
            paths.iter().try_for_each(|path| durable::sync_directory(path))
        }
        ToSync::FileSystems(roots) => {
            roots.iter().try_for_each(|root| durable::sync_file_system(root))
        }
    }
}

/// Syncs the claimed directories and gives the manifest its final name: from here on the backup counts as
/// complete.
pub(super) fn commit(
    settled: Settled,
    created: &CreatedDirectories,
    durability: Durability,
) -> Result<BackupSummary, StorageError> {
    if durability.syncs() {
        created.sync()?;
    }
    if let Some(directory) = settled.manifest_directory {
        let from = directory.join(MANIFEST_TEMPORARY_NAME);
        let to = directory.join(MANIFEST_NAME);
        match durability {
            Durability::Sync(_) => durable::rename(&from, &to)?,
            Durability::NoSync => durable::rename_unsynced(&from, &to)?,
        }
    }
    Ok(settled.summary)
}
