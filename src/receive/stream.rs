//! One timeline's stream over one connection: from START_REPLICATION to whatever ends it.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::{Sleep, sleep, timeout};

use super::run::ReceiveJob;
use super::{Event, ReceiveError, ReceiveStatus};
use crate::net::{CommandError, Connection, ConnectionError};
use crate::pg::{Lsn, TimelineId, WalSegmentSize};
use crate::pipeline::Ended;
use crate::protocol::{FlushReports, WalEvent, WalStream, WalStreamConfig};
use crate::wal::{WalInbox, WalInput, WalProgress, wall_clock};

/// How long the disk may owe what somebody waits for. Then the connection is given up, so that a server that wants
/// to shut down, or a connection that could be used elsewhere, does not wait for our disk. What was
/// received and not acknowledged comes again.
pub(super) const STALL_MAX: Duration = Duration::from_secs(5);

/// How often the server hears of us while the writer takes no more: several times within the shortest
/// `wal_sender_timeout` that makes sense.
const BLOCKED_STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// How long the server gets to agree that the stream is over.
const STOP_WINDOW: Duration = Duration::from_secs(10);

/// What is streamed.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamPlan {
    /// The first position; a segment begins there.
    pub(super) start: Lsn,
    /// Its timeline.
    pub(super) timeline: TimelineId,
    /// The cluster's segment size.
    pub(super) segment_size: WalSegmentSize,
}

/// What ended a stream that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// A position behind the end position was received, up to here.
    Reached(Lsn),
    /// The user wants no more.
    Interrupted,
    /// The timeline ended.
    Timeline {
        /// The next one.
        next: TimelineId,
        /// Where that begins.
        start: Lsn,
    },
}

/// A future that completes when the user wants no more; polled by one stream after the other.
pub(super) type Interrupt<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send)>;

/// A stream that is being followed.
pub(super) struct Follower<'a, 'c> {
    job: ReceiveJob<'a>,
    plan: StreamPlan,
    connection: &'c mut Connection,
    inbox: WalInbox,
    progress: watch::Receiver<WalProgress>,
    side_failures: mpsc::Receiver<String>,
    stream: WalStream,
    /// What was reported last, or would have been.
    flushed: Lsn,
    /// The position that the server wants to see acknowledged, and the disk owes.
    owed: Option<Lsn>,
    /// How long the disk has done nothing while somebody waits for it.
    patience: Patience,
    alarm: Alarm,
    finished: FinishedSegments<'a>,
}

/// A timer that is set often and rings seldom. To set one costs system calls, so it is only set again to ring earlier;
/// it may ring too early.
#[derive(Debug)]
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    fn new() -> Self {
        Alarm(Box::pin(sleep(Duration::ZERO)))
    }

    async fn at_or_before(&mut self, moment: Instant) {
        let moment = moment.into();
        if self.0.is_elapsed() || moment < self.0.deadline() {
            self.0.as_mut().reset(moment);
        }
        self.0.as_mut().await;
    }
}

/// Waits for a writer as long as it gets on, however slowly.
#[derive(Clone, Copy, Debug)]
struct Patience {
    heartbeat: u64,
    since: Instant,
}

impl Patience {
    fn begin(inbox: &WalInbox) -> Self {
        Patience { heartbeat: inbox.heartbeat(), since: Instant::now() }
    }

    /// Gives up when nothing was done for too long.
    fn check(&mut self, inbox: &WalInbox) -> Result<(), ReceiveError> {
        if self.heartbeat != inbox.heartbeat() {
            *self = Patience::begin(inbox);
        }
        match self.since.elapsed() > STALL_MAX {
            true => Err(ReceiveError::DiskStalled(STALL_MAX)),
            false => Ok(()),
        }
    }
}

impl<'a, 'c> Follower<'a, 'c> {
    /// Asks for the stream.
    pub(super) fn new(
        job: ReceiveJob<'a>,
        plan: StreamPlan,
        connection: &'c mut Connection,
        inbox: WalInbox,
        progress: watch::Receiver<WalProgress>,
        side_failures: mpsc::Receiver<String>,
    ) -> Self {
        let mut stream = WalStream::new(WalStreamConfig {
            start: plan.start,
            status_interval: job.config.status_interval,
            flush_reports: job.config.flush_reports(),
        });
        // What lies before is not ours to receive; the original says the same.
        stream.handle_written(plan.start);
        let finished = FinishedSegments { job, plan, reported: plan.start };
        let patience = Patience::begin(&inbox);
        Follower {
            job,
            plan,
            connection,
            inbox,
            progress,
            side_failures,
            stream,
            flushed: Lsn::INVALID,
            owed: None,
            patience,
            alarm: Alarm::new(),
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
    /// If it breaks, or the disk keeps the server waiting. If the writer failed,
    /// [`ReceiveError::WriterEnded`], and the writer tells why.
    pub(super) async fn follow(
        &mut self,
        interrupt: &mut Interrupt<'_>,
    ) -> Result<StreamEnd, ReceiveError> {
        loop {
            if let Some(end) = self.drain().await? {
                return Ok(end);
            }
            self.take_note()?;
            self.send_status().await?;
            if self.owed.is_some() {
                self.patience.check(&self.inbox)?;
            }
            let wake_up = self.wake_up();
            tokio::select! {
                received = self.connection.receive() => received.map_err(|e| self.failure(e))?,
                changed = self.progress.changed() => changed.map_err(|_| ReceiveError::WriterEnded)?,
                () = interrupt.as_mut() => return Ok(StreamEnd::Interrupted),
                () = self.alarm.at_or_before(wake_up) => self.sync_for_status(),
            }
        }
    }

    /// Has what is received synced when a status update is due, so that what the server knows to be safe is
    /// never older than an interval.
    fn sync_for_status(&mut self) {
        let is_due = self.stream.poll_timeout().is_some_and(|due| due <= Instant::now());
        if is_due && self.job.config.flush_reports() == FlushReports::Send {
            self.inbox.push(vec![WalInput::Sync]);
        }
    }

    /// Returns when to look again even if nothing happens.
    fn wake_up(&self) -> Instant {
        let owed = self.owed.map(|_| Instant::now() + BLOCKED_STATUS_INTERVAL);
        let status = self.stream.poll_timeout();
        // Far enough away to be no load, for when nothing is due at all.
        let idle = Instant::now() + Duration::from_secs(3600);
        [owed, status].into_iter().flatten().fold(idle, Instant::min)
    }

    /// Hands the WAL in the read buffer to the writer.
    async fn drain(&mut self) -> Result<Option<StreamEnd>, ReceiveError> {
        let mut batch = Vec::new();
        // What came before a break counts.
        let end = self.collect(&mut batch);
        if !batch.is_empty() {
            self.wait_for_room().await?;
            self.inbox.push(batch);
        }
        end
    }

    /// Takes what is in the read buffer apart.
    fn collect(&mut self, batch: &mut Vec<WalInput>) -> Result<Option<StreamEnd>, ReceiveError> {
        while let Some(message) = self.connection.buffered_message()? {
            let event = self.stream.handle_message(message);
            match event.map_err(|error| self.failure(error.into()))? {
                Some(WalEvent::Data { start, mut bytes }) => {
                    let end = self.end_within(start, bytes.len());
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
                Some(WalEvent::TimelineEnded { next, start }) => {
                    return Ok(Some(StreamEnd::Timeline { next, start }));
                }
                Some(WalEvent::ServerShutDown) => return Err(ReceiveError::ServerShutDown),
                Some(WalEvent::Started | WalEvent::Stopped) | None => {}
            }
        }
        Ok(None)
    }

    /// Says where in a message the end position is passed: how much of it is wanted, and up to which position. The
    /// original looks at the end of each segment and of each message.
    fn end_within(&self, start: Lsn, size: usize) -> Option<(usize, Lsn)> {
        let wanted = self.job.config.end?;
        let message_end = start.checked_add(size as u64)?;
        // The first end of a segment that lies behind both.
        let behind = wanted.max(start).offset().checked_add(1)?;
        let boundary = behind.checked_next_multiple_of(self.plan.segment_size.bytes())?;
        let at = Lsn::new(boundary).min(message_end);
        let size = usize::try_from(at.checked_sub(start)?).ok()?;
        (at > wanted).then_some((size, at))
    }

    /// Says whether the server had no more than this.
    fn has_latest(&self) -> bool {
        self.stream.server().is_none_or(|server| server.end <= self.stream.received())
    }

    /// Notes that the server wants to see everything so far acknowledged; says whether the writer must hear of it.
    fn owe(&mut self) -> bool {
        let position = self.stream.received();
        if self.owed.is_some() || position == self.plan.start || self.is_paid(position) {
            return false;
        }
        self.owed = Some(position);
        self.patience = Patience::begin(&self.inbox);
        true
    }

    /// Says whether a position is acknowledged as far as it ever will be.
    fn is_paid(&self, position: Lsn) -> bool {
        let WalProgress { written, flushed, .. } = *self.progress.borrow();
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
        let progress = *self.progress.borrow_and_update();
        self.flushed = progress.flushed;
        self.stream.handle_written(progress.written);
        self.stream.handle_flushed(progress.flushed);
        if progress.flushed > before && self.job.config.flush_reports() == FlushReports::Send {
            self.stream.handle_news();
        }
        self.finished.report(progress);
        if self.owed.is_some_and(|position| self.is_paid(position)) {
            self.owed = None;
            self.stream.handle_news();
        }
        self.job.observer.note(self.status(progress));
        while let Ok(reason) = self.side_failures.try_recv() {
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
            flushed: progress.flushed,
            server_end: server.map_or(received, |server| server.end.max(received)),
            lag,
        }
    }

    /// Waits until the writer takes more. Meanwhile the server keeps hearing of us.
    async fn wait_for_room(&mut self) -> Result<(), ReceiveError> {
        self.patience = Patience::begin(&self.inbox);
        loop {
            tokio::select! {
                // Mostly there is room, and no timer is to be set then.
                biased;
                room = self.inbox.room() => return room.map_err(|Ended| ReceiveError::WriterEnded),
                () = sleep(BLOCKED_STATUS_INTERVAL) => {}
            }
            self.take_note()?;
            self.stream.handle_news();
            self.send_status().await?;
            self.patience.check(&self.inbox)?;
        }
    }

    /// Sends the status update that is due, if one is.
    async fn send_status(&mut self) -> Result<(), ReceiveError> {
        let now = Instant::now();
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

    /// Gives the stream up; what was handed over is still written.
    pub(super) fn abandon(self) -> FinishedSegments<'a> {
        self.finished
    }

    /// Hands over everything, and returns what is left to do when it is safe.
    pub(super) fn finish(self) -> (Farewell<'c>, FinishedSegments<'a>) {
        let Follower { connection, stream, finished, .. } = self;
        (Farewell { connection, stream }, finished)
    }

    /// Says of an error whether it is the answer to the command.
    fn failure(&self, source: ConnectionError) -> ReceiveError {
        if !self.stream.has_started() {
            return CommandError { command: "START_REPLICATION".to_owned(), source }.into();
        }
        source.into()
    }
}

/// What is left to do with a stream when all that came is safe.
pub(super) struct Farewell<'c> {
    connection: &'c mut Connection,
    stream: WalStream,
}

impl Farewell<'_> {
    /// Makes sure that a timeline can follow as the server says.
    pub(super) fn check_next(
        &self,
        timeline: TimelineId,
        next: TimelineId,
        start: Lsn,
    ) -> Result<(), ReceiveError> {
        let at = self.stream.received();
        if next <= timeline {
            return Err(ReceiveError::TimelineBackwards { timeline, next });
        }
        match start > at {
            true => Err(ReceiveError::TimelineAhead { timeline, at, next, start }),
            false => Ok(()),
        }
    }

    /// Ends the stream in good order, with a last word of what is safe; a server that does not play along
    /// is left to itself.
    pub(super) async fn stop(mut self, progress: WalProgress) {
        if !self.stream.has_started() {
            return;
        }
        self.stream.handle_written(progress.written);
        self.stream.handle_flushed(progress.flushed);
        self.stream.handle_stop();
        self.stream.poll_transmit(Instant::now(), wall_clock(), self.connection.output());
        let agree = async {
            self.connection.flush().await?;
            loop {
                let message = self.connection.next_message().await?;
                if let Some(WalEvent::Stopped | WalEvent::ServerShutDown) =
                    self.stream.handle_message(message)?
                {
                    return Ok::<(), ConnectionError>(());
                }
            }
        };
        // Everything is safe; there is nobody to tell what goes wrong now.
        let _ = timeout(STOP_WINDOW, agree).await;
    }
}

/// The segments that were reported as finished.
pub(super) struct FinishedSegments<'a> {
    job: ReceiveJob<'a>,
    plan: StreamPlan,
    /// Up to here.
    reported: Lsn,
}

impl FinishedSegments<'_> {
    /// Reports those that are news.
    pub(super) fn report(&mut self, progress: WalProgress) {
        let StreamPlan { timeline, segment_size, .. } = self.plan;
        let next = |reported: Lsn| reported.checked_add(segment_size.bytes());
        while let Some(end) = next(self.reported).filter(|end| *end <= progress.finished) {
            self.job.observer.report(Event::FinishedSegment { end, timeline });
            self.reported = end;
        }
    }
}
