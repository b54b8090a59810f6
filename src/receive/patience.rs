//! How long something is waited for that may never come.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use super::ReceiveError;
use crate::wal::Heartbeat;

/// How long the disk may owe what somebody waits for. Then the connection is given up, so that a server that wants
/// to shut down, or a connection that could be used elsewhere, does not wait for our disk. What was
/// received and not acknowledged comes again.
pub(super) const STALL_MAX: Duration = Duration::from_secs(5);

/// Waits for a writer as long as it gets on, however slowly.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    heartbeat: Heartbeat,
    count: u64,
    since: Instant,
}

impl Patience {
    /// Begins to wait.
    pub(super) fn with(heartbeat: Heartbeat) -> Self {
        Patience { count: heartbeat.count(), heartbeat, since: Instant::now() }
    }

    /// Begins once more.
    pub(super) fn renew(&mut self) {
        self.count = self.heartbeat.count();
        self.since = Instant::now();
    }

    /// Gives up when nothing was done for too long.
    ///
    /// # Errors
    /// [`ReceiveError::DiskStalled`].
    pub(super) fn check(&mut self) -> Result<(), ReceiveError> {
        if self.count != self.heartbeat.count() {
            self.renew();
        }
        match self.since.elapsed() > STALL_MAX {
            true => Err(ReceiveError::DiskStalled(STALL_MAX)),
            false => Ok(()),
        }
    }
}

/// A timer that is set often and rings seldom. To set one costs system calls, so it is only set again to ring earlier;
/// it may ring too early.
#[derive(Debug)]
pub(super) struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    /// Returns one that is not set.
    pub(super) fn new() -> Self {
        Alarm(Box::pin(sleep(Duration::ZERO)))
    }

    /// Waits until a moment.
    pub(super) async fn at_or_before(&mut self, moment: Instant) {
        let moment = moment.into();
        if self.0.is_elapsed() || moment < self.0.deadline() {
            self.0.as_mut().reset(moment);
        }
        self.0.as_mut().await;
    }
}
