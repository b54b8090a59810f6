//! Driving the WAL stream of a backup: from its start to the backup's end position, over as many
//! connections as it takes.

use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};

use super::files::{WalFiles, WalFilesConfig, WalWrite};
use super::session::{CreatedSlot, WalSession};
use super::{Slot, SlotUse, WalError, WalTarget};
use crate::net::conninfo::ConnectOptions;
use crate::net::{CommandError, Connection, ConnectionError};
use crate::pg::{Lsn, SegmentNumber, TimelineId, Timestamp, WalSegmentSize};
use crate::pipeline::{Ended, Worker};
use crate::protocol::command::SlotLifetime;
use crate::protocol::{FlushReports, ServerMessage, WalEvent, WalStream, WalStreamConfig};
use crate::storage::StorageError;

/// Batches of WAL that wait for the disk; each is what one read gave, at most the read buffer.
const QUEUE_MAX: usize = 8;

/// How long a broken stream is tried to be resumed. Longer than wal_sender_timeout (60 seconds), after
/// which a server that did not notice the break lets go of the slot.
const RESUME_WINDOW: Duration = Duration::from_secs(120);

/// The pauses between attempts double from the first to the longest.
const RESUME_PAUSE_FIRST: Duration = Duration::from_millis(100);
const RESUME_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long the server gets to agree that the stream is over, once everything is received.
const STOP_WINDOW: Duration = Duration::from_secs(10);

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
    /// Everything before this is handed to the files.
    position: Lsn,
    /// Any session has streamed: from then on, a failure is a break.
    has_streamed: bool,
    /// When resuming is given up; none while all is well.
    resume_deadline: Option<Instant>,
    resume_pause: Duration,
}

/// How one connection's stream came to its end.
enum Outcome {
    /// The end position is reached.
    Complete,
    /// The files' thread has ended, with an error.
    FilesFailed,
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
            let _ = files.send(vec![WalWrite::History(history)]).await;
        }
        let position =
            SegmentNumber::containing(config.start, config.segment_size).start(config.segment_size);
        Ok(WalReceiver {
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
                Ok(Outcome::Complete | Outcome::FilesFailed) => break,
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
        session.check_system(&self.config.system_identifier, self.config.timeline).await?;
        self.session = Some(session);
        Ok(())
    }

    /// Streams over the present session, which is used up by it.
    async fn stream_once(
        &mut self,
        end: &mut watch::Receiver<Option<Lsn>>,
    ) -> Result<Outcome, WalError> {
        let Some(mut session) = self.session.take() else {
            return Err(ConnectionError::Closed.into());
        };
        let started_at = Instant::now();
        session.start_replication(self.position, self.config.timeline).await?;
        let mut stream = WalStream::new(WalStreamConfig {
            start: self.position,
            status_interval: self.config.status_interval,
            flush_reports: self.flush_reports,
        });
        let outcome = self.follow(&mut session.connection, &mut stream, end).await;
        self.has_streamed |= stream.has_started();
        // A stream that brought something, or lasted, was no failed attempt.
        if stream.received() > stream.config().start || started_at.elapsed() > RESUME_PAUSE_MAX * 2
        {
            self.resume_deadline = None;
            self.resume_pause = RESUME_PAUSE_FIRST;
        }
        if let Ok(Outcome::Complete) = outcome {
            stop(&mut session.connection, &mut stream).await;
            session.connection.terminate().await;
        }
        outcome
    }

    /// Follows a stream until the end is reached or it breaks.
    async fn follow(
        &mut self,
        connection: &mut Connection,
        stream: &mut WalStream,
        end: &mut watch::Receiver<Option<Lsn>>,
    ) -> Result<Outcome, WalError> {
        loop {
            if let Some(outcome) = self.drain(connection, stream).await? {
                return Ok(outcome);
            }
            send_status(connection, stream).await?;
            end.mark_unchanged();
            if self.has_reached(end) {
                return Ok(Outcome::Complete);
            }
            let wake_up = stream.poll_timeout();
            tokio::select! {
                received = connection.receive() => received?,
                Ok(()) = self.flushed.changed() => {
                    stream.handle_flushed(*self.flushed.borrow_and_update());
                }
                // The sender lives as long as the backup, which also ends this future.
                Ok(()) = end.changed() => {}
                () = sleep_until_or_forever(wake_up) => {}
            }
        }
    }

    /// Handles the messages that are in the read buffer and hands their WAL over as one batch.
    async fn drain(
        &mut self,
        connection: &mut Connection,
        stream: &mut WalStream,
    ) -> Result<Option<Outcome>, WalError> {
        let mut batch = Vec::new();
        let outcome = collect(connection, stream, self.observer, &mut batch);
        let outcome = outcome.map_err(|error| refused_unless_started(error, stream));
        if !batch.is_empty() {
            // What came before a break counts: it need not be sent again.
            self.observer.received(stream.received().checked_sub(self.position).unwrap_or(0));
            self.position = stream.received();
            let mut handed_over = pin!(self.files.send(batch));
            loop {
                let wake_up = stream.poll_timeout();
                tokio::select! {
                    handed_over = &mut handed_over => match handed_over {
                        Ok(()) => {
                            stream.handle_written(stream.received());
                            break;
                        }
                        Err(Ended) => return Ok(Some(Outcome::FilesFailed)),
                    },
                    () = sleep_until_or_forever(wake_up) => send_status(connection, stream).await?,
                }
            }
        }
        outcome.map(|()| None)
    }
}

/// Sends the status update that is due, if one is: also while the disk is slow, or the server would take us
/// for dead.
async fn send_status(
    connection: &mut Connection,
    stream: &mut WalStream,
) -> Result<(), ConnectionError> {
    stream.handle_timeout(Instant::now());
    if stream.poll_transmit(Instant::now(), wall_clock(), connection.output()) {
        connection.flush().await?;
    }
    Ok(())
}

/// Takes what is in the read buffer apart.
fn collect(
    connection: &mut Connection,
    stream: &mut WalStream,
    observer: &dyn WalObserver,
    batch: &mut Vec<WalWrite>,
) -> Result<(), WalError> {
    while let Some(message) = connection.buffered_message()? {
        match stream.handle_message(message).map_err(ConnectionError::from)? {
            Some(WalEvent::Data { start, bytes, .. }) => {
                batch.push(WalWrite::Data { start, bytes })
            }
            Some(WalEvent::Notice(message)) => observer.notice(WalNotice::Server(message)),
            Some(WalEvent::TimelineEnded { .. }) => {
                return Err(WalError::TimelineEnded { at: stream.received() });
            }
            Some(WalEvent::ServerShutDown) => return Err(WalError::ServerShutDown),
            Some(WalEvent::Started | WalEvent::ReplyRequested | WalEvent::Stopped) | None => {}
        }
    }
    Ok(())
}

/// Says of an error in answer to START_REPLICATION that it is one.
fn refused_unless_started(error: WalError, stream: &WalStream) -> WalError {
    match error {
        WalError::Connection(source) if !stream.has_started() => {
            CommandError { command: "START_REPLICATION".to_owned(), source }.into()
        }
        error => error,
    }
}

/// Ends the stream in good order. Everything is received, so a server that does not play along is
/// left to itself.
async fn stop(connection: &mut Connection, stream: &mut WalStream) {
    stream.handle_stop();
    stream.poll_transmit(Instant::now(), wall_clock(), connection.output());
    let _ = timeout(STOP_WINDOW, async {
        connection.flush().await?;
        loop {
            let message = connection.next_message().await?;
            if let Some(WalEvent::Stopped | WalEvent::ServerShutDown) =
                stream.handle_message(message)?
            {
                return Ok::<(), ConnectionError>(());
            }
        }
    })
    .await;
}

fn announce(observer: &dyn WalObserver, created: Option<CreatedSlot>) {
    if let Some(CreatedSlot { name, lifetime }) = created {
        observer.notice(match lifetime {
            SlotLifetime::Temporary => WalNotice::CreatedTemporarySlot(name),
            SlotLifetime::Permanent => WalNotice::CreatedSlot(name),
        });
    }
}

async fn sleep_until_or_forever(wake_up: Option<Instant>) {
    match wake_up {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

/// Returns the present moment by the local clock.
pub fn wall_clock() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(micros - Timestamp::UNIX_EPOCH_OFFSET_SECONDS * 1_000_000)
}
