//! Driving the WAL stream of a backup: from its start to the backup's end position, over as many
//! connections and timelines as it takes.

mod stream;

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::time::{sleep, timeout_at};

use super::files::{WalFiles, WalFilesConfig, WalWrite};
use super::session::{CreatedSlot, WalSession};
use super::{Slot, SlotUse, WalError, WalTarget};
use crate::net::conninfo::ConnectOptions;
use crate::pg::{Lsn, SegmentNumber, TimelineId, Timestamp, WalSegmentSize};
use crate::pipeline::Worker;
use crate::protocol::command::SlotLifetime;
use crate::protocol::{FlushReports, ServerMessage};
use crate::storage::StorageError;
use stream::StreamEnd;

/// Batches of WAL that wait for the disk; each is what one read gave, at most the read buffer.
const QUEUE_MAX: usize = 8;

/// How long a broken stream is tried to be resumed. Longer than wal_sender_timeout (60 seconds), after
/// which a server that did not notice the break lets go of the slot.
const RESUME_WINDOW: Duration = Duration::from_secs(120);

/// The pauses between attempts double from the first to the longest.
const RESUME_PAUSE_FIRST: Duration = Duration::from_millis(100);
const RESUME_PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is streamed, and how.
#[derive(Clone, Debug)]
pub struct WalReceiverConfig {
    /// The server.
    pub connect: ConnectOptions,
    /// The slot.
    pub slot: Slot,
    /// The position at which the backup starts; the stream starts with its segment.
    pub start: Lsn,
    /// The timeline of that position.
    pub timeline: TimelineId,
    /// The cluster's segment size.
    pub segment_size: WalSegmentSize,
    /// The cluster's identifier, as the server printed it.
    pub system_identifier: String,
    /// How often a status update is sent without need; `None` for never.
    pub status_interval: Option<Duration>,
}

/// Something that happened on the WAL connection.
#[derive(Clone, Debug)]
pub enum WalNotice {
    /// A temporary slot was created.
    CreatedTemporarySlot(String),
    /// A permanent slot was created.
    CreatedSlot(String),
    /// The stream broke and will be resumed.
    Broken {
        /// What went wrong.
        reason: String,
        /// Where it goes on.
        resume_at: Lsn,
    },
    /// The server has something to say.
    Server(Box<ServerMessage>),
}

/// Hears of what happens on the WAL connection.
pub trait WalObserver {
    /// Takes a notice.
    fn notice(&self, notice: WalNotice);
    /// Counts bytes of WAL received.
    fn received(&self, bytes: u64);
}

/// Receives a backup's WAL.
pub struct WalReceiver<'a> {
    config: WalReceiverConfig,
    observer: &'a dyn WalObserver,
    session: Option<WalSession>,
    files: Worker<Vec<WalWrite>, Result<(), StorageError>>,
    flushed: watch::Receiver<Lsn>,
    flush_reports: FlushReports,
    /// The timeline that is streamed.
    timeline: TimelineId,
    /// Everything before this is handed to the files.
    position: Lsn,
    /// Any session has streamed: from then on, a failure is a break.
    has_streamed: bool,
    /// When resuming is given up; none while all is well.
    resume_deadline: Option<Instant>,
    resume_pause: Duration,
}

impl<'a> WalReceiver<'a> {
    /// Connects, creates the slot and fetches the timeline's history, so that no WAL is lost from here on.
    ///
    /// # Errors
    /// If anything of that fails; nothing is tried twice.
    pub async fn start(
        config: WalReceiverConfig,
        target: WalTarget,
        observer: &'a dyn WalObserver,
    ) -> Result<Self, WalError> {
        let (mut session, created) = WalSession::open(&config.connect, &config.slot).await?;
        announce(observer, created);
        session.check_system(&config.system_identifier, config.timeline).await?;
        let uses_slot = session.slot.is_some();
        let flush_reports = match &target {
            WalTarget::Directory { sync: true, .. } if uses_slot => FlushReports::Send,
            WalTarget::Directory { .. } | WalTarget::Tar(_) => FlushReports::Withhold,
        };
        let (flushed_sender, flushed) = watch::channel(Lsn::INVALID);
        let files_config =
            WalFilesConfig { timeline: config.timeline, segment_size: config.segment_size };
        let files = WalFiles::new(files_config, target, flushed_sender);
        let files = Worker::spawn("wal-writer", QUEUE_MAX, move |batches| files.run(batches))
            .map_err(WalError::Thread)?;
        if config.timeline != TimelineId::FIRST {
            let history = session.timeline_history(config.timeline).await?;
            // A failure shows when the first data are handed over.
            let _ = files.send(vec![WalWrite::Timeline(config.timeline, history)]).await;
        }
        let position =
            SegmentNumber::containing(config.start, config.segment_size).start(config.segment_size);
        let timeline = config.timeline;
        Ok(WalReceiver {
            timeline,
            config,
            observer,
            session: Some(session),
            files,
            flushed,
            flush_reports,
            position,
            has_streamed: false,
            resume_deadline: None,
            resume_pause: RESUME_PAUSE_FIRST,
        })
    }

    /// Streams until the position that `end` will name is reached, and completes the files.
    ///
    /// # Errors
    /// If the stream cannot be resumed after a break, or writing fails.
    pub async fn run(mut self, mut end: watch::Receiver<Option<Lsn>>) -> Result<(), WalError> {
        // A slot that this run created is there for all later sessions, unless it is temporary.
        if let Slot::Named(_, slot_use) = &mut self.config.slot {
            *slot_use = SlotUse::Existing;
        }
        while !self.has_reached(&end) {
            match self.stream_once(&mut end).await {
                Ok(StreamEnd::Complete | StreamEnd::FilesFailed) => break,
                Ok(StreamEnd::Timeline(_)) => {}
                // What a broken stream brought may be all that was needed.
                Err(_) if self.has_reached(&end) => break,
                Err(error) => self.resume(error, &mut end).await?,
            }
        }
        // If the files' thread is gone, its result says why.
        let _ = self.files.send(vec![WalWrite::End]).await;
        Ok(self.files.finish().await?)
    }

    fn has_reached(&self, end: &watch::Receiver<Option<Lsn>>) -> bool {
        end.borrow().is_some_and(|end| self.position >= end)
    }

    /// Makes a new session after a break, unless the end turns out to be reached meanwhile. Attempts that follow
    /// each other without success share one window.
    async fn resume(
        &mut self,
        broken: WalError,
        end: &mut watch::Receiver<Option<Lsn>>,
    ) -> Result<(), WalError> {
        if !self.has_streamed || !broken.is_worth_retrying() {
            return Err(broken);
        }
        let at = self.position;
        if self.resume_deadline.is_none() {
            let reason = broken.to_string();
            self.observer.notice(WalNotice::Broken { reason, resume_at: at });
        }
        let deadline = *self.resume_deadline.get_or_insert_with(|| Instant::now() + RESUME_WINDOW);
        let mut reason = broken;
        while reason.is_worth_retrying() && Instant::now() < deadline {
            tokio::select! {
                () = sleep(self.resume_pause) => {}
                // The sender lives as long as the backup, which also ends this future.
                Ok(()) = end.changed() => {}
            }
            if self.has_reached(end) {
                return Ok(());
            }
            self.resume_pause = (self.resume_pause * 2).min(RESUME_PAUSE_MAX);
            match timeout_at(deadline.into(), self.reopen()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => reason = error,
                Err(_) => break,
            }
        }
        Err(WalError::NotResumed { at, reason: Box::new(reason) })
    }

    async fn reopen(&mut self) -> Result<(), WalError> {
        let (mut session, created) =
            WalSession::open(&self.config.connect, &self.config.slot).await?;
        announce(self.observer, created);
        session.check_system(&self.config.system_identifier, self.timeline).await?;
        self.session = Some(session);
        Ok(())
    }
}

fn announce(observer: &dyn WalObserver, created: Option<CreatedSlot>) {
    if let Some(CreatedSlot { name, lifetime }) = created {
        observer.notice(match lifetime {
            SlotLifetime::Temporary => WalNotice::CreatedTemporarySlot(name),
            SlotLifetime::Permanent => WalNotice::CreatedSlot(name),
        });
    }
}

/// Returns the present moment by the local clock.
pub fn wall_clock() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(micros - Timestamp::UNIX_EPOCH_OFFSET_SECONDS * 1_000_000)
}
