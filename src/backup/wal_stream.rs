//! The WAL beside the backup, as the backup's configuration has it.

use super::prepare::create_wal_directories;
use super::receive::Header;
use super::run::BackupJob;
use super::{
    BackupCompression, BackupError, Durability, Event, Progress, Reporter, SlotChoice, SyncMethod,
    WalMethod,
};
use crate::net::Cluster;
use crate::pg::Compression;
use crate::storage::{DiskHandle, FileSize, FileWriter, TarFile, TarOutput, ThreadShare};
use crate::wal::{
    Slot, SlotUse, WalNotice, WalObserver, WalReceiver, WalReceiverConfig, WalTarget,
};

/// Passes what happens on the WAL connection on to the backup's reporter.
pub(super) struct Observer<'a> {
    pub(super) reporter: &'a dyn Reporter,
    pub(super) progress: &'a Progress,
}

impl WalObserver for Observer<'_> {
    fn notice(&self, notice: WalNotice) {
        self.reporter.report(match notice {
            WalNotice::CreatedTemporarySlot(name) => Event::CreatedTemporarySlot(name),
            WalNotice::CreatedSlot(name) => Event::CreatedSlot(name),
            WalNotice::Broken { reason, resume_at } => Event::WalStreamBroken { reason, resume_at },
            WalNotice::Server(message) => Event::Notice(*message),
        });
    }

    fn received(&self, bytes: u64) {
        Progress::add(&self.progress.wal_bytes, bytes);
    }
}

/// Starts the WAL stream if one is wanted: before the first byte of data, so that none is missed.
pub(super) async fn start<'a>(
    job: BackupJob<'_>,
    cluster: &Cluster,
    header: &Header,
    disk: &DiskHandle,
    observer: &'a Observer<'a>,
) -> Result<Option<WalReceiver<'a>>, BackupError> {
    let WalMethod::Stream(choice) = &job.config.wal else { return Ok(None) };
    job.reporter.report(Event::StartingWalReceiver);
    let config = WalReceiverConfig {
        connect: job.connect.clone(),
        slot: slot(choice),
        start: header.start_lsn,
        timeline: header.timeline,
        segment_size: cluster.segment_size,
        system_identifier: cluster.system_identifier.clone(),
        status_interval: job.config.status_interval,
    };
    let target = target(job, cluster, disk)?;
    Ok(Some(WalReceiver::start(config, target, observer).await?))
}

fn slot(choice: &SlotChoice) -> Slot {
    match choice {
        SlotChoice::Temporary => Slot::Temporary,
        SlotChoice::Existing(name) => Slot::Named(name.clone(), SlotUse::Existing),
        SlotChoice::Create(name) => Slot::Named(name.clone(), SlotUse::Create),
        SlotChoice::None => Slot::None,
    }
}

fn target(
    job: BackupJob<'_>,
    cluster: &Cluster,
    disk: &DiskHandle,
) -> Result<WalTarget, BackupError> {
    let file_mode = cluster.modes.file;
    let target = &job.config.target;
    if let Some(path) = target.wal_directory() {
        create_wal_directories(&path, cluster)?;
        let sync = job.config.durability == Durability::Sync(SyncMethod::Fsync);
        return Ok(WalTarget::Directory { path, file_mode, sync });
    }
    // The command line refuses this too, before anything is connected.
    let directory = target.directory().ok_or(BackupError::WalToStdout)?;
    let compression = tar_compression(&job.config.compression);
    let suffix = compression.map_or("", |compression| compression.format().suffix());
    let path = directory.join(format!("pg_wal.tar{suffix}"));
    let mut output = TarOutput::File(FileWriter::create(disk, path, file_mode, FileSize::Unknown)?);
    if let Some(compression) = compression {
        output = TarOutput::compressed(output, compression, ThreadShare::Half)?;
    }
    Ok(WalTarget::Tar(TarFile::new(output)))
}

/// Returns how `pg_wal.tar` is compressed: like the original's, with gzip or not at all.
fn tar_compression(asked: &BackupCompression) -> Option<Compression> {
    match asked {
        BackupCompression::Client(gzip @ Compression::Gzip { .. }) => Some(*gzip),
        BackupCompression::Client(Compression::Lz4 { .. } | Compression::Zstd { .. })
        | BackupCompression::Server { .. }
        | BackupCompression::None => None,
    }
}
