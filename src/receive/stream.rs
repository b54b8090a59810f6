//! One timeline's stream over one connection: from START_REPLICATION to whatever ends it.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::finish::{Farewell, FinishedSegments};
use super::patience::{Alarm, Patience, STALL_MAX};
use super::plan::{StreamEnd, StreamPlan};
use super::run::ReceiveJob;
use super::silence::{Call, Silence};
use super::{Event, ReceiveError, ReceiveStatus};
use crate::net::{CommandError, Connection, ConnectionError};
use crate::pg::Lsn;
use crate::pipeline::Ended;
use crate::protocol::{FlushReports, WalEvent, WalStream, WalStreamConfig};
use crate::wal::{WalInbox, WalInput, WalProgress, wall_clock};

/// How often the server hears of us while the writer takes no more: several times within the shortest
/// `wal_sender_timeout` that makes sense.
const BLOCKED_STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// What becomes of what is received, as far as the stream has to know.
pub(super) struct Writing {
    /// The way to the writer.
    pub(super) inbox: WalInbox,
    /// How far the writer is.
    pub(super) progress: watch::Receiver<WalProgress>,
    /// How long the writer has done nothing.
    pub(super) patience: Patience,
    /// Failures of the files beside the WAL.
    pub(super) side_failures: mpsc::Receiver<String>,
}

/// What the server wants to see acknowledged, and the disk owes.
#[derive(Clone, Copy, Debug)]
struct Owed {
    position: Lsn,
    /// When the server asked last.
    asked: Instant,
    /// Whether it asks again as soon as it has a reply, as one does that is to shut down. Who only wants to know whether
    /// we are there does not.
    is_pressing: bool,
}

/// A stream that is being followed.
pub(super) struct Follower<'a, 'c> {
    job: ReceiveJob<'a>,
    plan: StreamPlan,
    connection: &'c mut Connection,
    writing: Writing,
    stream: WalStream,
    /// What was reported last, or would have been.
    flushed: Lsn,
    owed: Option<Owed>,
    alarm: Alarm,
    /// How long the server has said nothing, if that is bounded.
    silence: Option<Silence>,
    finished: FinishedSegments<'a>,
}

impl<'a, 'c> Follower<'a, 'c> {
    /// Asks for the stream.
    pub(super) fn new(
        job: ReceiveJob<'a>,
        plan: StreamPlan,
        connection: &'c mut Connection,
        writing: Writing,
    ) -> Self {
        let mut stream = WalStream::new(WalStreamConfig {
            start: plan.start,
            status_interval: job.config.status_interval,
            flush_reports: job.config.flush_reports(),
        });
        // What lies before is not ours to receive; the original says the same.
        stream.handle_written(plan.start);
        let finished = FinishedSegments::none(job, plan);
        Follower {
            job,
            plan,
            connection,
            writing,
            stream,
            flushed: Lsn::INVALID,
            owed: None,
            alarm: Alarm::new(),
            silence: job.config.silence_max.map(|max| Silence::new(max, Instant::now())),
            finished,
        }
    }

    /// Returns the position before which everything is received.
    pub(super) fn received(&self) -> Lsn {
        self.stream.received()
    }

    /// Follows the stream to its end.
    ///
    /// # Errors
    /// If it breaks, the server falls silent, or the disk keeps it waiting. If the writer failed,
    /// [`ReceiveError::WriterEnded`], and the writer tells why.
    pub(super) async fn follow(&mut self) -> Result<StreamEnd, ReceiveError> {
        loop {
            if let Some(end) = self.drain().await? {
                return Ok(end);
            }
            self.take_note()?;
            self.look_for_silence()?;
            self.send_status().await?;
            if self.owed.is_some() {
                self.writing.patience.check()?;
            }
            let wake_up = self.wake_up();
            tokio::select! {
                received = self.connection.receive() => {
                    received.map_err(|e| self.failure(e))?;
                    self.note_sound();
                }
                changed = self.writing.progress.changed() => changed.map_err(|_| ReceiveError::WriterEnded)?,
                () = self.job.interrupt.cancelled() => return Ok(StreamEnd::Interrupted),
                () = self.alarm.at_or_before(wake_up) => self.remind(),
            }
        }
    }

    fn note_sound(&mut self) {
        if let Some(silence) = &mut self.silence {
            silence.handle_sound(Instant::now());
        }
    }

    /// Asks a server that says nothing whether it is there.
    ///
    /// # Errors
    /// If it did not answer, [`ReceiveError::ServerSilent`].
    fn look_for_silence(&mut self) -> Result<(), ReceiveError> {
        let Some(silence) = &mut self.silence else { return Ok(()) };
        match silence.poll_call(Instant::now()) {
            Some(Call::Ask) => self.stream.handle_silence(),
            Some(Call::GiveUp) => return Err(ReceiveError::ServerSilent(silence.max)),
            None => {}
        }
        Ok(())
    }

    /// Asks the writer once more for what it owes. If it has not received again all that an earlier run stored, because
    /// the server itself does not have that yet, it shows at least that it is there; to a pressing server that is no
    /// help.
    fn remind(&self) {
        if self.owed.is_some_and(|owed| !owed.is_pressing) {
            self.writing.inbox.push(vec![WalInput::Sync], 0);
        }
    }

    /// Returns when to look again even if nothing happens.
    fn wake_up(&self) -> Instant {
        let owed = self.owed.map(|_| Instant::now() + BLOCKED_STATUS_INTERVAL);
        let status = self.stream.poll_timeout();
        let silence = self.silence.as_ref().map(Silence::poll_timeout);
        // Far enough away to be no load, for when nothing is due at all.
        let idle = Instant::now() + Duration::from_secs(3600);
        [owed, status, silence].into_iter().flatten().fold(idle, Instant::min)
    }

    /// Hands the WAL in the read buffer to the writer.
    async fn drain(&mut self) -> Result<Option<StreamEnd>, ReceiveError> {
        let mut batch = Vec::new();
        // What came before a break counts.
        let end = self.collect(&mut batch);
        if !batch.is_empty() {
            self.wait_for_room().await?;
            // Meanwhile nobody listened.
            self.note_sound();
            self.writing.inbox.push(batch, self.connection.take_received());
        }
        end
    }

    /// Takes what is in the read buffer apart.
    fn collect(&mut self, batch: &mut Vec<WalInput>) -> Result<Option<StreamEnd>, ReceiveError> {
        while let Some(message) = self.connection.buffered_message()? {
            let event = self.stream.handle_message(message);
            match event.map_err(|error| self.failure(error.into()))? {
                Some(WalEvent::Data { start, mut bytes }) => {
                    let wanted = self.job.config.end;
                    let end = wanted.and_then(|end| self.plan.end_within(end, start, bytes.len()));
                    if let Some((size, _)) = end {
                        bytes.truncate(size);
                    }
                    if bytes.is_empty() {
                        continue;
                    }
                    batch.push(WalInput::Data { start, bytes, is_latest: self.has_latest() });
                    if let Some((_, at)) = end {
                        return Ok(Some(StreamEnd::Reached(at)));
                    }
                }
                Some(WalEvent::ReplyRequested) => {
                    batch.extend(self.owe().then_some(WalInput::Sync));
                }
                Some(WalEvent::Notice(message)) => {
                    self.job.observer.report(Event::Notice(message));
                }
                Some(WalEvent::TimelineEnded(next)) => return Ok(Some(StreamEnd::Timeline(next))),
                Some(WalEvent::ServerShutDown) => return Err(ReceiveError::ServerShutDown),
                Some(WalEvent::Started) => {
                    self.job.observer.report(Event::Started { timeline: self.plan.timeline });
                }
                Some(WalEvent::Stopped) | None => {}
            }
        }
        Ok(None)
    }

    /// Says whether the server had no more than this.
    fn has_latest(&self) -> bool {
        self.stream.server().is_none_or(|server| server.end <= self.stream.received())
    }

    /// Notes that the server wants to see everything so far acknowledged; says whether the writer must hear of it.
    fn owe(&mut self) -> bool {
        let (position, asked) = (self.stream.received(), Instant::now());
        if let Some(owed) = &mut self.owed {
            owed.is_pressing |= asked.duration_since(owed.asked) < BLOCKED_STATUS_INTERVAL;
            owed.asked = asked;
            return false;
        }
        if position == self.plan.start || self.is_paid(position) {
            return false;
        }
        self.owed = Some(Owed { position, asked, is_pressing: false });
        self.writing.patience.renew();
        true
    }

    /// Says whether a position is acknowledged as far as it ever will be.
    fn is_paid(&self, position: Lsn) -> bool {
        let WalProgress { written, flushed, .. } = *self.writing.progress.borrow();
        match self.job.config.flush_reports() {
            FlushReports::Send => flushed >= position,
            FlushReports::Withhold => written >= position,
        }
    }

    /// Takes note of the writer's progress.
    ///
    /// # Errors
    /// If it has failed.
    fn take_note(&mut self) -> Result<(), ReceiveError> {
        let before = self.flushed;
        let progress = *self.writing.progress.borrow_and_update();
        self.flushed = progress.flushed;
        self.stream.handle_written(progress.written);
        self.stream.handle_flushed(progress.flushed);
        if progress.flushed > before && self.job.config.flush_reports() == FlushReports::Send {
            self.stream.handle_news();
        }
        self.finished.report(progress);
        if self.owed.is_some_and(|owed| self.is_paid(owed.position)) {
            self.owed = None;
            self.stream.handle_news();
        }
        self.job.observer.note(self.status(progress));
        while let Ok(reason) = self.writing.side_failures.try_recv() {
            self.job.observer.report(Event::SideFileFailed { reason });
        }
        if progress.has_failed { Err(ReceiveError::WriterEnded) } else { Ok(()) }
    }

    fn status(&self, progress: WalProgress) -> ReceiveStatus {
        let received = self.stream.received();
        let server = self.stream.server();
        let lag = server.filter(|server| server.end > received).and_then(|server| {
            let micros = server.clock.micros_since(progress.last_commit?);
            Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
        });
        ReceiveStatus {
            timeline: self.plan.timeline,
            received,
            written: progress.written,
            flushed: progress.flushed,
            server_end: server.map_or(self.plan.server_end, |server| server.end).max(received),
            lag,
        }
    }

    /// Waits until the writer takes more. Meanwhile the server keeps hearing of us.
    async fn wait_for_room(&mut self) -> Result<(), ReceiveError> {
        self.writing.patience.renew();
        loop {
            tokio::select! {
                // Mostly there is room, and no timer is to be set then.
                biased;
                room = self.writing.inbox.room() => return room.map_err(|Ended| ReceiveError::WriterEnded),
                () = sleep(BLOCKED_STATUS_INTERVAL) => {}
            }
            self.take_note()?;
            self.stream.handle_news();
            self.send_status().await?;
            self.writing.patience.check()?;
        }
    }

    /// Sends the status update that is due, if one is.
    async fn send_status(&mut self) -> Result<(), ReceiveError> {
        let now = Instant::now();
        self.sync_for_status(now);
        self.stream.handle_timeout(now);
        if self.stream.poll_transmit(now, wall_clock(), self.connection.output()) {
            // A server that reads nothing must not keep us from receiving, nor for ever.
            match timeout(STALL_MAX, self.connection.flush()).await {
                Ok(flushed) => flushed.map_err(|error| self.failure(error))?,
                Err(_) => return Err(ReceiveError::ServerStalled(STALL_MAX)),
            }
        }
        Ok(())
    }

    /// Has what is received synced when a status update is due, so that what the server knows to be safe is
    /// never older than an interval. What is owed is being synced.
    fn sync_for_status(&self, now: Instant) {
        let is_due = self.stream.poll_timeout().is_some_and(|due| due <= now);
        if is_due && self.owed.is_none() && self.job.config.flush_reports() == FlushReports::Send {
            self.writing.inbox.push(vec![WalInput::Sync], 0);
        }
    }

    /// Gives the stream up; what was handed over is still written.
    pub(super) fn abandon(self) -> FinishedSegments<'a> {
        self.finished
    }

    /// Hands over everything, and returns what is left to do when it is safe.
    pub(super) fn finish(self) -> (Farewell<'c>, FinishedSegments<'a>) {
        let Follower { connection, stream, finished, .. } = self;
        (Farewell::new(connection, stream), finished)
    }

    /// Says of an error whether it is the answer to the command.
    fn failure(&self, source: ConnectionError) -> ReceiveError {
        if !self.stream.has_started() {
            return CommandError { command: "START_REPLICATION".to_owned(), source }.into();
        }
        source.into()
    }
}
