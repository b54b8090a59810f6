//! From the socket to the archive thread.

use tokio::sync::watch;

use super::archives::{Received, Step};
use super::{BackupError, Event, Phase, Progress, Reporter};
use crate::net::{Connection, ConnectionError};
use crate::pg::{Lsn, Tablespace, TimelineId};
use crate::pipeline::Worker;
use crate::protocol::{BackupEvent, BaseBackupStream, ServerMessage};

/// Batches that wait for the archive thread; each is what one read gave, at most the read buffer. Enough
/// to keep both sides busy, few enough for the memory limit.
pub(super) const QUEUE_MAX: usize = 12;

/// The archive thread.
pub(super) type ArchiveWorker = Worker<Vec<Step>, Result<Received, BackupError>>;

/// The connection that sends the backup, and how far its answer was read.
pub(super) struct BackupStream<'a> {
    pub(super) connection: Connection,
    pub(super) stream: BaseBackupStream,
    pub(super) phase: Phase,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) progress: &'a Progress,
}

/// What comes before the archives.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) start_lsn: Lsn,
    pub(super) timeline: TimelineId,
    pub(super) tablespaces: Vec<Tablespace>,
}

/// What the server says when all is sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) end_lsn: Lsn,
    pub(super) received: Received,
    /// Damaged pages that the server found.
    pub(super) page_checksums: Option<Box<ServerMessage>>,
}

impl BackupStream<'_> {
    /// Reads up to the list of tablespaces, which comes when the checkpoint is done.
    pub(super) async fn read_header(&mut self) -> Result<Header, BackupError> {
        let mut start = None;
        loop {
            match self.next_event().await? {
                BackupEvent::Started { start_lsn, timeline } => {
                    self.reporter.report(Event::CheckpointCompleted);
                    start = Some((start_lsn, timeline));
                    self.phase = Phase::Header;
                }
                BackupEvent::Tablespaces(tablespaces) => {
                    self.phase = Phase::Data;
                    // The stream gives its events in this order.
                    let (start_lsn, timeline) =
                        start.ok_or(BackupError::ArchiveShape("backup has no start position"))?;
                    return Ok(Header { start_lsn, timeline, tablespaces });
                }
                BackupEvent::Notice(message) => self.reporter.report(Event::Notice(*message)),
                // Nothing else comes before the tablespaces.
                _ => {}
            }
        }
    }

    /// Receives archives and manifest and hands them to the archive thread, then waits for the server's
    /// and the thread's verdicts. `end` hears of the position that WAL must reach.
    pub(super) async fn receive(
        mut self,
        worker: ArchiveWorker,
        end: &watch::Sender<Option<Lsn>>,
    ) -> Result<Sent, BackupError> {
        let mut end_lsn = Lsn::INVALID;
        let mut page_checksums = None;
        let mut is_first = true;
        while !self.stream.is_completed() {
            let mut batch = Vec::new();
            let mut payload_bytes = 0;
            while let Some(event) = self.buffered_event()? {
                match event {
                    BackupEvent::ArchiveData(bytes) => {
                        payload_bytes += bytes.len() as u64;
                        batch.push(Step::ArchiveData(bytes));
                    }
                    BackupEvent::ManifestData(bytes) => batch.push(Step::ManifestData(bytes)),
                    BackupEvent::ArchiveStarted { tablespace } => {
                        self.count(&mut payload_bytes);
                        self.report_archive(is_first);
                        is_first = false;
                        batch.push(Step::Archive(tablespace));
                    }
                    BackupEvent::ManifestStarted => batch.push(Step::Manifest),
                    BackupEvent::ReceivedAll => {
                        self.phase = Phase::End;
                        self.count(&mut payload_bytes);
                        Progress::add(&self.progress.tablespaces_done, 1);
                        self.reporter.report(Event::ArchiveCompleted);
                        self.reporter.report(Event::ReceivingCompleted);
                        batch.push(Step::End);
                    }
                    BackupEvent::Ended { end_lsn: lsn } => {
                        self.phase = Phase::Verdict;
                        end_lsn = lsn;
                        // Nobody listens when no WAL is streamed.
                        let _ = end.send(Some(lsn));
                    }
                    BackupEvent::Notice(message) => self.reporter.report(Event::Notice(*message)),
                    BackupEvent::ChecksumFailure(message) => page_checksums = Some(message),
                    // Our own count is as good as the server's while nothing is compressed.
                    BackupEvent::ServerProgress(_)
                    | BackupEvent::Started { .. }
                    | BackupEvent::Tablespaces(_)
                    | BackupEvent::Completed => {}
                }
            }
            self.count(&mut payload_bytes);
            if !batch.is_empty() && worker.send(batch).await.is_err() {
                break;
            }
            if !self.stream.is_completed() {
                self.wait().await?;
            }
        }
        let received = worker.finish().await?;
        self.connection.terminate().await;
        Ok(Sent { end_lsn, received, page_checksums })
    }

    /// Counts what came, before anything that follows it is told.
    fn count(&self, payload_bytes: &mut u64) {
        Progress::add(&self.progress.received_bytes, std::mem::take(payload_bytes));
    }

    fn report_archive(&self, is_first: bool) {
        if !is_first {
            Progress::add(&self.progress.tablespaces_done, 1);
            self.reporter.report(Event::ArchiveCompleted);
        }
        self.reporter.report(Event::ArchiveStarted);
    }

    async fn next_event(&mut self) -> Result<BackupEvent, BackupError> {
        loop {
            if let Some(event) = self.buffered_event()? {
                return Ok(event);
            }
            self.wait().await?;
        }
    }

    /// Returns the next event of what is in the read buffer; messages that tell nothing are passed over.
    fn buffered_event(&mut self) -> Result<Option<BackupEvent>, BackupError> {
        let BackupStream { connection, stream, .. } = self;
        let mut next = || {
            while let Some(message) = connection.buffered_message()? {
                if let Some(event) = stream.handle_message(message)? {
                    return Ok(Some(event));
                }
            }
            Ok(None)
        };
        let event: Result<_, ConnectionError> = next();
        event.map_err(|source| self.failure(source))
    }

    async fn wait(&mut self) -> Result<(), BackupError> {
        self.connection.receive().await.map_err(|source| self.failure(source))
    }

    fn failure(&self, source: ConnectionError) -> BackupError {
        BackupError::Stream { phase: self.phase, source }
    }
}
