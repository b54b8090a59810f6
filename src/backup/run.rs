//! A base backup from beginning to end.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::archives::{Archives, Plan};
use super::finish::{ReceivedBackup, Settled};
use super::prepare::{ask_cluster, claim_target, plan_archives};
use super::receive::{ArchiveWorker, BackupStream, Header, QUEUE_MAX, Sent};
use super::standby::StandbyFiles;
use super::syncs::Syncs;
use super::wal_stream::{self, Observer};
use super::{
    BackupConfig, BackupError, Event, OnFailure, Phase, Progress, Reporter, Target, WalMethod,
    finish, request,
};
use crate::net::conninfo::ConnectOptions;
use crate::net::{Cluster, Connection};
use crate::pg::{Lsn, TimelineId};
use crate::pipeline::Worker;
use crate::protocol::BaseBackupStream;
use crate::storage::{CreatedDirectories, Disk, DiskConfig};
use crate::wal::WalReceiver;

/// A backup to take.
#[derive(Clone, Copy)]
pub struct BackupJob<'a> {
    /// What is wanted.
    pub config: &'a BackupConfig,
    /// The server, for the connection that streams WAL.
    pub connect: &'a ConnectOptions,
    /// Hears of events.
    pub reporter: &'a dyn Reporter,
    /// Counts.
    pub progress: &'a Arc<Progress>,
}

/// A complete backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    /// Identifies the cluster, as IDENTIFY_SYSTEM gives it.
    pub system_identifier: String,
    /// Where replay starts.
    pub start_lsn: Lsn,
    /// Up to where it must go.
    pub end_lsn: Lsn,
    /// The timeline of the start.
    pub timeline: TimelineId,
    /// Files that were compared with the manifest; `None` if there was no manifest.
    pub verified_files: Option<u64>,
}

/// Takes a backup over a connection that is ready for commands; streamed WAL gets one of its own. If
/// `interrupted` completes first, or anything fails, what was created is removed again, unless the
/// configuration or [`BackupError::keeps_files`] says otherwise.
///
/// # Errors
/// Any [`BackupError`]; the reporter has heard of it, before the clean-up.
pub async fn run(
    job: BackupJob<'_>,
    connection: Connection,
    interrupted: impl Future<Output = ()>,
) -> Result<BackupSummary, BackupError> {
    let mut created = CreatedDirectories::default();
    // Dropping the unfinished work waits for its threads, so nothing is written during clean-up.
    let outcome = tokio::select! {
        outcome = take(job, connection, &mut created) => outcome,
        () = interrupted => Err(BackupError::Interrupted),
    };
    let outcome = outcome.and_then(|settled| {
        if settled.manifest_directory.is_some() {
            job.reporter.report(Event::RenamingManifest);
        }
        finish::commit(settled, &created, job.config.durability).map_err(BackupError::Commit)
    });
    match &outcome {
        Ok(_) => job.reporter.report(Event::Completed),
        Err(error) => {
            job.reporter.failed(error);
            if !error.keeps_files() {
                clear_away(job, &mut created);
            }
        }
    }
    outcome
}

fn clear_away(job: BackupJob<'_>, created: &mut CreatedDirectories) {
    let on_step = |step| job.reporter.report(Event::CleanUp(step));
    match job.config.on_failure {
        OnFailure::CleanUp => created.remove(on_step),
        OnFailure::Keep => created.keep(on_step),
    }
}

/// Does everything but the last step.
async fn take(
    job: BackupJob<'_>,
    connection: Connection,
    created: &mut CreatedDirectories,
) -> Result<Settled, BackupError> {
    let BackupJob { config, reporter, progress, .. } = job;
    let Initiated { cluster, standby, stream: mut backup } =
        initiate(job, connection, created).await?;
    let header = backup.read_header().await?;
    if config.wal != WalMethod::None {
        reporter.report(Event::WalStart(header.start_lsn, header.timeline));
    }
    announce_size(&header, progress);

    // Declared before all that hands work to it, so it is dropped when nobody holds it any more.
    let destinations = plan_archives(&config.target, &header.tablespaces, cluster.modes, created)?;
    let syncs = Syncs::plan(config.durability, created.paths())?;
    let disk = Disk::start(DiskConfig { syncs: syncs.of_files(), direct_io: config.direct_io })
        .map_err(BackupError::Thread)?;
    let observer = Observer { reporter, progress };
    let wal = wal_stream::start(job, &cluster, &header, &disk.handle(), &observer).await?;
    let oids = header.tablespaces.iter().map(|tablespace| tablespace.oid);
    let plan = Plan {
        archives: oids.zip(destinations).collect(),
        directory: config.target.directory().map(Path::to_owned),
        algorithm: request::digest_algorithm(config),
        compression: config.compression.clone(),
        standby,
        modes: cluster.modes,
    };
    let foresight = Arc::clone(&backup.foresight);
    let archives = Archives::new(plan, disk.handle(), Arc::clone(progress), foresight);
    let worker: ArchiveWorker =
        Worker::spawn("archive", QUEUE_MAX, move |batches| archives.run(batches))
            .map_err(BackupError::Thread)?;

    let sent = receive(job, backup, worker, wal).await?;
    let received =
        ReceivedBackup { system_identifier: cluster.system_identifier, header, sent, syncs };
    finish::settle(job, received, disk).await
}

/// Receives data and WAL side by side.
async fn receive(
    job: BackupJob<'_>,
    backup: BackupStream<'_>,
    worker: ArchiveWorker,
    wal: Option<WalReceiver<'_>>,
) -> Result<Sent, BackupError> {
    let BackupJob { config, reporter, .. } = job;
    reporter.report(Event::ReceivingStarted);
    let (end_sender, end) = watch::channel(None);
    let streams_wal = wal.is_some();
    let receive_data = async {
        let sent = backup.receive(worker, &end_sender).await.map_err(End::Failed)?;
        if config.wal != WalMethod::None {
            reporter.report(Event::WalEnd(sent.end_lsn));
        }
        if sent.page_checksums.is_some() {
            return Err(End::Damaged(Box::new(sent)));
        }
        if streams_wal {
            reporter.report(Event::WaitingForWal);
        }
        Ok(sent)
    };
    let receive_wal = async {
        match wal {
            Some(wal) => wal.run(end).await.map_err(|error| End::Failed(error.into())),
            None => Ok(()),
        }
    };
    match tokio::try_join!(receive_data, receive_wal) {
        Ok((sent, ())) => Ok(sent),
        Err(End::Damaged(sent)) => Ok(*sent),
        Err(End::Failed(error)) => Err(error),
    }
}

/// Why receiving ends before data and WAL are complete.
enum End {
    /// The server found damage in the data, which are complete; nobody needs the rest of the WAL.
    Damaged(Box<Sent>),
    Failed(BackupError),
}

/// A backup that was asked for.
struct Initiated<'a> {
    cluster: Cluster,
    standby: Option<StandbyFiles>,
    stream: BackupStream<'a>,
}

/// Asks the server about itself, prepares the target and asks for the backup.
async fn initiate<'a>(
    job: BackupJob<'a>,
    mut connection: Connection,
    created: &mut CreatedDirectories,
) -> Result<Initiated<'a>, BackupError> {
    let BackupJob { config, reporter, progress, .. } = job;
    let cluster = ask_cluster(&mut connection).await?;
    claim_target(&config.target, cluster.modes, created)?;
    request::check_server(config, cluster.version)?;
    let standby = StandbyFiles::of_job(job, &connection, &cluster);
    let phase = Phase::Initiating;
    let command = request::base_backup(config).to_command(cluster.version);
    let sent = connection.send_command(&command).await;
    sent.map_err(|source| BackupError::Stream { phase, source })?;
    reporter.report(Event::WaitingForCheckpoint);
    let manifest = request::manifest_expected(&config.manifest);
    let stream = BaseBackupStream::new(cluster.version, manifest);
    let is_remote = matches!(config.target, Target::Server(_));
    let stream = BackupStream {
        connection,
        stream,
        phase,
        is_remote,
        foresight: Arc::default(),
        received: 0,
        reporter,
        progress,
    };
    Ok(Initiated { cluster, standby, stream })
}

fn announce_size(header: &Header, progress: &Progress) {
    let kilobytes: u64 = header
        .tablespaces
        .iter()
        .filter_map(|tablespace| tablespace.size_kb)
        .fold(0, u64::saturating_add);
    Progress::add(&progress.total_bytes, kilobytes.saturating_mul(1024));
    Progress::add(&progress.tablespaces_total, header.tablespaces.len() as u64);
}
