//! The end of a stream: the writer finishes, and the server is told.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::patience::{Patience, STALL_MAX};
use super::plan::{StreamEnd, StreamPlan};
use super::run::ReceiveJob;
use super::{Event, OnDeadDisk, ReceiveError};
use crate::net::{Connection, ConnectionError};
use crate::pg::Lsn;
use crate::protocol::{WalEvent, WalStream};
use crate::wal::{Suspended, WalProgress, WalWriteError, WalWriter, wall_clock};

/// How long the server gets to agree that the stream is over.
const STOP_WINDOW: Duration = Duration::from_secs(10);

/// How often the writer is looked at while the user waits for the end.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A writer that was handed everything.
pub(super) struct Finishing<'a> {
    job: ReceiveJob<'a>,
    finished: FinishedSegments<'a>,
    progress: watch::Receiver<WalProgress>,
    patience: Patience,
    outcome: Pin<Box<dyn Future<Output = Result<Suspended, WalWriteError>> + Send>>,
}

impl<'a> Finishing<'a> {
    /// Begins to wait for a writer, whose inbox must be gone.
    pub(super) fn new(
        job: ReceiveJob<'a>,
        finished: FinishedSegments<'a>,
        writer: WalWriter,
    ) -> Self {
        let (progress, patience) = (writer.progress(), Patience::with(writer.heartbeat()));
        let outcome = Box::pin(writer.finish());
        Finishing { job, finished, progress, patience, outcome }
    }

    /// Ends the stream in good order when the writer has finished.
    ///
    /// # Errors
    /// If the writer fails or cannot be waited for, or the next timeline cannot follow.
    pub(super) async fn in_good_order(
        mut self,
        farewell: Farewell<'_>,
        plan: StreamPlan,
        end: StreamEnd,
    ) -> Result<(), ReceiveError> {
        let is_last = !matches!(end, StreamEnd::Timeline(_));
        let mut farewell = Some(farewell);
        let Suspended { not_renamed } = match timeout(STALL_MAX, self.outcome.as_mut()).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                // The server is not to wait for the disk any longer.
                if let Some(farewell) = farewell.take_if(|_| is_last) {
                    let so_far = *self.progress.borrow();
                    farewell.stop(so_far).await;
                }
                self.wait().await?
            }
        };
        let progress = *self.progress.borrow();
        self.finished.report(progress);
        report_end(self.job, plan, end);
        if let Some(name) = not_renamed {
            self.job.observer.report(Event::NotRenamed { name });
        }
        match (farewell, end) {
            (Some(farewell), StreamEnd::Timeline(next)) => {
                Ok(next.check(plan.timeline, farewell.stream.received())?)
            }
            (Some(farewell), StreamEnd::Reached(_) | StreamEnd::Interrupted) => {
                farewell.stop(progress).await;
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    /// Lets the writer finish after a failure, and returns what there is to tell last.
    pub(super) async fn after(mut self, error: ReceiveError) -> ReceiveError {
        let observer = self.job.observer;
        if let ReceiveError::DiskStalled(_) = error {
            // The writer may take long to finish.
            observer.report(Event::DiskStalled);
        }
        let outcome = self.wait().await;
        self.finished.report(*self.progress.borrow());
        match (outcome, error) {
            (Ok(Suspended { not_renamed: Some(name) }), error) if error.is_from_server() => {
                observer.report(Event::NotRenamed { name });
                error
            }
            (Ok(_), error) => error,
            (Err(failure), ReceiveError::WriterEnded) => failure,
            (Err(failure), error) => {
                observer.report(Event::Failed(error));
                failure
            }
        }
    }

    /// Waits for the writer; once the user wants no more, only as long as it gets on, unless he wants to know when it
    /// ends.
    async fn wait(&mut self) -> Result<Suspended, ReceiveError> {
        tokio::select! {
            biased;
            outcome = self.outcome.as_mut() => return Ok(outcome?),
            () = interrupted(self.job) => {}
        }
        loop {
            match timeout(LOOK_INTERVAL, self.outcome.as_mut()).await {
                Ok(outcome) => return Ok(outcome?),
                Err(_) if self.patience.check().is_ok() => {}
                Err(_) => return Err(self.give_up()),
            }
        }
    }

    /// Leaves the writer to itself.
    fn give_up(&mut self) -> ReceiveError {
        // To drop it would be to wait for its thread.
        let never = Box::pin(std::future::pending());
        std::mem::forget(std::mem::replace(&mut self.outcome, never));
        let flushed = self.progress.borrow().flushed.max(self.finished.plan.start);
        ReceiveError::WriterLeft { stalled: STALL_MAX, flushed }
    }
}

/// Waits until a dead disk need not be waited for any more.
async fn interrupted(job: ReceiveJob<'_>) {
    match job.config.on_dead_disk {
        OnDeadDisk::GiveUp => job.interrupt.cancelled().await,
        OnDeadDisk::Wait => std::future::pending().await,
    }
}

/// Tells what ended the last stream.
pub(super) fn report_end(job: ReceiveJob<'_>, plan: StreamPlan, end: StreamEnd) {
    match end {
        StreamEnd::Reached(at) => {
            job.observer.report(Event::ReachedEnd { at, timeline: plan.timeline });
        }
        StreamEnd::Interrupted => job.observer.report(Event::Interrupted),
        StreamEnd::Timeline(_) => {}
    }
}

/// What is left to do with a stream when all that came is safe.
pub(super) struct Farewell<'c> {
    connection: &'c mut Connection,
    stream: WalStream,
}

impl<'c> Farewell<'c> {
    /// Keeps what it takes.
    pub(super) fn new(connection: &'c mut Connection, stream: WalStream) -> Self {
        Farewell { connection, stream }
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

impl<'a> FinishedSegments<'a> {
    /// Begins where a stream does.
    pub(super) fn none(job: ReceiveJob<'a>, plan: StreamPlan) -> Self {
        FinishedSegments { job, plan, reported: plan.start }
    }

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
