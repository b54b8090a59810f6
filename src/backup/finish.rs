//! After the last byte: the verdict, everything to stable storage, then the manifest's name.

use std::path::PathBuf;

use super::archives::Received;
use super::prepare::{MANIFEST_NAME, MANIFEST_TEMPORARY_NAME};
use super::receive::{Header, Sent};
use super::syncs::Syncs;
use super::{
    BackupConfig, BackupError, BackupJob, BackupSummary, Durability, Event, Target, WalMethod,
};
use crate::pipeline::run_blocking;
use crate::storage::{CreatedDirectories, Disk, StorageError, durable};

/// A backup of which everything is received.
pub(super) struct ReceivedBackup {
    pub(super) system_identifier: String,
    pub(super) header: Header,
    pub(super) sent: Sent,
    pub(super) syncs: Syncs,
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
    let ReceivedBackup { system_identifier, header, sent, syncs } = backup;
    let Sent { end_lsn, received, page_checksums } = sent;
    let BackupConfig { target, durability, .. } = job.config;
    let is_synced = durability.syncs() && !matches!(target, Target::Server(_));
    if is_synced && page_checksums.is_none() {
        job.reporter.report(Event::Syncing);
    }
    // A disk that failed comes first: what is missing there is no damage.
    let unsynced = run_blocking("disk", || disk.finish()).await.map_err(BackupError::Thread)??;
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
    let complete = move || syncs.complete(manifest, unsynced, &directories);
    run_blocking("names", complete).await.map_err(BackupError::Thread)??;
    let (start_lsn, timeline) = (header.start_lsn, header.timeline);
    Ok(Settled {
        summary: BackupSummary { system_identifier, start_lsn, end_lsn, timeline, verified_files },
        manifest_directory: target.directory().filter(|_| has_manifest).map(Into::into),
    })
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
