//! From the socket to the archive thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::watch;

use super::archives::{Received, Step, Verdict};
use super::foresight::Foresight;
use super::{BackupError, Event, Phase, Progress, Reporter};
use crate::net::{Connection, ConnectionError};
use crate::pg::{Lsn, Tablespace, TimelineId};
use crate::pipeline::Worker;
use crate::protocol::{BackupEvent, BaseBackupStream, ServerMessage};

/// What is collected before it is handed over. One read of a Unix-domain socket gives a third of it; waking the archive
/// thread for each would cost more than its work. The stream always ends with a hand-over, so nothing is held back for
/// ever.
const BATCH_BYTES: usize = 512 << 10;

/// Batches that wait for the archive thread, each with the read buffers that it is in. Enough to keep both
/// sides busy, few enough for the memory limit.
pub(super) const QUEUE_MAX: usize = 8;

/// The archive thread.
pub(super) type ArchiveWorker = Worker<Vec<Step>, Result<Received, BackupError>>;

/// The connection that sends the backup, and how far its answer was read.
pub(super) struct BackupStream<'a> {
    pub(super) connection: Connection,
    pub(super) stream: BaseBackupStream,
    pub(super) phase: Phase,
    /// The backup goes to a target on the server.
    pub(super) is_remote: bool,
    pub(super) foresight: Arc<Foresight>,
    /// Payload of archives that was received.
    pub(super) received: u64,
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

/// What was received and is not handed over yet, and what was learnt on the way.
#[derive(Default)]
struct Receipt {
    batch: Vec<Step>,
    /// Memory that the batch takes.
    batch_bytes: usize,
    /// What came while the batch was collected, in whose buffers it lies.
    batch_received: usize,
    /// Payload that the progress does not show yet.
    uncounted_bytes: u64,
    /// An archive has begun.
    has_archive: bool,
    /// What comes of the present archive says nothing of its size.
    server_counts: bool,
    /// The server has given its verdict.
    is_complete: bool,
    end_lsn: Lsn,
    page_checksums: Option<Box<ServerMessage>>,
}

impl Receipt {
    fn push_payload(&mut self, bytes: Bytes, step: fn(Bytes) -> Step) {
        // Nothing but a hostile server sends empty or tiny payloads; they must not pile up either.
        if !bytes.is_empty() {
            self.batch_bytes += bytes.len() + size_of::<Step>();
            self.batch.push(step(bytes));
        }
    }

    /// Takes the batch if it is large enough, or the last one.
    fn take_batch(&mut self) -> Option<Vec<Step>> {
        if self.batch_bytes.max(self.batch_received) < BATCH_BYTES && !self.is_complete {
            return None;
        }
        (self.batch_bytes, self.batch_received) = (0, 0);
        Some(std::mem::take(&mut self.batch)).filter(|batch| !batch.is_empty())
    }

    fn push_end(&mut self, verdict: Verdict) {
        self.batch.push(Step::End(verdict));
        self.is_complete = true;
    }
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
        let mut receipt = Receipt::default();
        while !self.stream.is_completed() {
            while let Some(event) = self.buffered_event()? {
                self.take(event, &mut receipt, end);
            }
            self.count(&mut receipt);
            receipt.batch_received += self.connection.take_received();
            if let Some(batch) = receipt.take_batch()
                && worker.send(batch).await.is_err()
            {
                break;
            }
            if !self.stream.is_completed() {
                self.wait().await?;
            }
        }
        let received = worker.finish().await?;
        self.connection.terminate().await;
        let Receipt { end_lsn, page_checksums, .. } = receipt;
        Ok(Sent { end_lsn, received, page_checksums })
    }

    fn take(
        &mut self,
        event: BackupEvent,
        receipt: &mut Receipt,
        end: &watch::Sender<Option<Lsn>>,
    ) {
        match event {
            BackupEvent::ArchiveData(bytes) => {
                self.received += bytes.len() as u64;
                if !receipt.server_counts {
                    receipt.uncounted_bytes += bytes.len() as u64;
                }
                receipt.push_payload(bytes, Step::ArchiveData);
            }
            BackupEvent::ManifestData(bytes) => receipt.push_payload(bytes, Step::ManifestData),
            BackupEvent::ArchiveStarted { tablespace, compression } => {
                self.end_archive(receipt);
                receipt.has_archive = true;
                receipt.server_counts = self.is_remote || compression.is_some();
                self.reporter.report(Event::ArchiveStarted);
                receipt.batch.push(Step::Archive(tablespace, compression));
            }
            BackupEvent::ManifestStarted => receipt.batch.push(Step::Manifest),
            BackupEvent::ReceivedAll => {
                self.phase = Phase::End;
                self.end_archive(receipt);
                self.reporter.report(Event::ReceivingCompleted);
            }
            BackupEvent::Ended { end_lsn } => {
                self.phase = Phase::Verdict;
                receipt.end_lsn = end_lsn;
                // Nobody listens when no WAL is streamed.
                let _ = end.send(Some(end_lsn));
            }
            BackupEvent::Notice(message) => self.reporter.report(Event::Notice(*message)),
            BackupEvent::Completed => receipt.push_end(Verdict::Sound),
            BackupEvent::ChecksumFailure(message) => {
                receipt.page_checksums = Some(message);
                receipt.push_end(Verdict::Damaged);
            }
            BackupEvent::ServerProgress(bytes) if receipt.server_counts => {
                self.progress.received_bytes.fetch_max(bytes, Ordering::Relaxed);
            }
            BackupEvent::ServerProgress(_)
            | BackupEvent::Started { .. }
            | BackupEvent::Tablespaces(_) => {}
        }
    }

    /// Tells of the end of the archive before, if there was one.
    fn end_archive(&self, receipt: &mut Receipt) {
        if receipt.has_archive {
            self.count(receipt);
            Progress::add(&self.progress.tablespaces_done, 1);
            self.reporter.report(Event::ArchiveCompleted);
        }
    }

    /// Counts what came, before anything that follows it is told.
    fn count(&self, receipt: &mut Receipt) {
        let bytes = std::mem::take(&mut receipt.uncounted_bytes);
        Progress::add(&self.progress.received_bytes, bytes);
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
        let coming = self.foresight.coming(self.received);
        self.connection.receive_of(coming).await.map_err(|source| self.failure(source))
    }

    fn failure(&self, source: ConnectionError) -> BackupError {
        BackupError::Stream { phase: self.phase, source }
    }
}
