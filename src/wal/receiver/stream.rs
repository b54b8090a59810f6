//! One timeline's stream over one connection.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::{
    RESUME_PAUSE_FIRST, RESUME_PAUSE_MAX, WalNotice, WalObserver, WalReceiver, wall_clock,
};
use crate::net::{CommandError, Connection, ConnectionError};
use crate::pg::{Lsn, SegmentNumber};
use crate::pipeline::Ended;
use crate::protocol::{NextTimeline, WalEvent, WalStream, WalStreamConfig};
use crate::wal::WalError;
use crate::wal::files::WalWrite;
use crate::wal::session::WalSession;

/// How long the server gets to agree that the stream is over, once everything is received.
const STOP_WINDOW: Duration = Duration::from_secs(10);

/// How a stream came to its end.
pub(super) enum StreamEnd {
    /// The end position is reached.
    Complete,
    /// The files' thread has ended, with an error.
    FilesFailed,
    /// The timeline ended; this one follows.
    Timeline(NextTimeline),
}

impl WalReceiver<'_> {
    /// Streams a timeline over the present session, which is used up by it unless another timeline follows.
    pub(super) async fn stream_once(
        &mut self,
        end: &mut watch::Receiver<Option<Lsn>>,
    ) -> Result<StreamEnd, WalError> {
        let Some(mut session) = self.session.take() else {
            return Err(ConnectionError::Closed.into());
        };
        let started_at = Instant::now();
        session.start_replication(self.position, self.timeline).await?;
        let mut stream = WalStream::new(WalStreamConfig {
            start: self.position,
            status_interval: self.config.status_interval,
            flush_reports: self.flush_reports,
        });
        let ended = self.follow(&mut session.connection, &mut stream, end).await;
        self.has_streamed |= stream.has_started();
        // A stream that brought something, or lasted, was no failed attempt.
        if stream.received() > stream.config().start || started_at.elapsed() > RESUME_PAUSE_MAX * 2
        {
            self.resume_deadline = None;
            self.resume_pause = RESUME_PAUSE_FIRST;
        }
        match ended {
            Ok(StreamEnd::Complete) => {
                stop(&mut session.connection, &mut stream).await;
                session.connection.terminate().await;
            }
            Ok(StreamEnd::Timeline(next)) => {
                self.go_over_to(next, &mut session).await?;
                self.session = Some(session);
            }
            Ok(StreamEnd::FilesFailed) | Err(_) => {}
        }
        ended
    }

    /// Goes on with the timeline that follows: from the segment on in which it begins, whose earlier part is the same.
    async fn go_over_to(
        &mut self,
        next: NextTimeline,
        session: &mut WalSession,
    ) -> Result<(), WalError> {
        next.check(self.timeline, self.position)?;
        let history = session.timeline_history(next.timeline).await?;
        // A failure shows when the next data are handed over.
        let _ = self.files.send(vec![WalWrite::Timeline(next.timeline, history)]).await;
        let size = self.config.segment_size;
        self.position = SegmentNumber::containing(next.start, size).start(size);
        self.timeline = next.timeline;
        Ok(())
    }

    /// Follows a stream until the end is reached or it breaks.
    async fn follow(
        &mut self,
        connection: &mut Connection,
        stream: &mut WalStream,
        end: &mut watch::Receiver<Option<Lsn>>,
    ) -> Result<StreamEnd, WalError> {
        loop {
            if let Some(outcome) = self.drain(connection, stream).await? {
                return Ok(outcome);
            }
            send_status(connection, stream).await?;
            end.mark_unchanged();
            if self.has_reached(end) {
                return Ok(StreamEnd::Complete);
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
    ) -> Result<Option<StreamEnd>, WalError> {
        let mut batch = Vec::new();
        let outcome = collect(connection, stream, self.observer, &mut batch);
        let outcome = outcome.map_err(|error| refused_unless_started(error, stream));
        if batch.is_empty() {
            return outcome;
        }
        // What came before a break counts: it need not be sent again.
        self.observer.received(stream.received().checked_sub(self.position).unwrap_or(0));
        let mut status = Ok(());
        let handed_over = {
            let status_updates = async {
                while status.is_ok() {
                    sleep_until_or_forever(stream.poll_timeout()).await;
                    status = send_status(connection, stream).await;
                }
                std::future::pending().await
            };
            tokio::select! {
                handed_over = self.files.send(batch) => handed_over,
                ended = status_updates => ended,
            }
        };
        if let Err(Ended) = handed_over {
            return Ok(Some(StreamEnd::FilesFailed));
        }
        // Not before: from here on, a new connection would begin.
        self.position = stream.received();
        stream.handle_written(self.position);
        status?;
        outcome
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

/// Takes what is in the read buffer apart; says if the timeline ends.
fn collect(
    connection: &mut Connection,
    stream: &mut WalStream,
    observer: &dyn WalObserver,
    batch: &mut Vec<WalWrite>,
) -> Result<Option<StreamEnd>, WalError> {
    while let Some(message) = connection.buffered_message()? {
        match stream.handle_message(message).map_err(ConnectionError::from)? {
            Some(WalEvent::Data { start, bytes, .. }) => {
                batch.push(WalWrite::Data { start, bytes })
            }
            Some(WalEvent::Notice(message)) => observer.notice(WalNotice::Server(message)),
            Some(WalEvent::TimelineEnded(next)) => return Ok(Some(StreamEnd::Timeline(next))),
            Some(WalEvent::ServerShutDown) => return Err(WalError::ServerShutDown),
            Some(WalEvent::Started | WalEvent::ReplyRequested | WalEvent::Stopped) | None => {}
        }
    }
    Ok(None)
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

async fn sleep_until_or_forever(wake_up: Option<Instant>) {
    match wake_up {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
