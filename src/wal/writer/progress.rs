//! How far the writer is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::pg::{Lsn, Timestamp};

/// How far the writer is. Positions never go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalProgress {
    /// Everything before this is handed to the operating system.
    pub written: Lsn,
    /// Everything before this is on stable storage, under a name that a power cut leaves; only written with
    /// [`SyncPolicy::Never`](crate::wal::SyncPolicy).
    pub flushed: Lsn,
    /// Every segment that ends up to here has its final name.
    pub finished: Lsn,
    /// When the newest transaction was committed, by the server's clock.
    pub last_commit: Option<Timestamp>,
    /// Whether nothing more will be written; [`WalWriter::finish`](super::WalWriter::finish) tells why.
    pub has_failed: bool,
}

/// Publishes progress from the threads of a writer, in the order of the log whichever is first.
#[derive(Clone, Debug)]
pub(super) struct Acknowledger {
    sender: Arc<watch::Sender<WalProgress>>,
    pending: Arc<Mutex<Pending>>,
    heartbeat: Heartbeat,
}

/// Shows that a writer gets on, however slowly.
#[derive(Clone, Debug, Default)]
pub(super) struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// Shows that something was done.
    pub(super) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often something was done.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What waits for older segments.
#[derive(Debug)]
struct Pending {
    /// Segments that are complete but not on stable storage.
    closing: usize,
    /// What the segment under way has on stable storage.
    synced: Lsn,
}

impl Acknowledger {
    /// Begins at a position before which nothing is claimed.
    pub(super) fn new(start: Lsn) -> (Self, watch::Receiver<WalProgress>) {
        let none = Lsn::INVALID;
        let progress = WalProgress {
            written: none,
            flushed: none,
            finished: start,
            last_commit: None,
            has_failed: false,
        };
        let (sender, receiver) = watch::channel(progress);
        let pending = Pending { closing: 0, synced: none };
        let acknowledger = Acknowledger {
            sender: Arc::new(sender),
            pending: Arc::new(Mutex::new(pending)),
            heartbeat: Heartbeat::default(),
        };
        (acknowledger, receiver)
    }

    /// Returns what shows that the writer gets on.
    pub(super) fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// Notes that nothing more will be written.
    pub(super) fn failed(&self) {
        self.sender.send_modify(|progress| progress.has_failed = true);
    }

    /// Notes how much is written, and the newest commit.
    pub(super) fn written(&self, written: Lsn, last_commit: Option<Timestamp>) {
        self.sender.send_if_modified(|progress| {
            let before = *progress;
            progress.written = progress.written.max(written);
            progress.last_commit = last_commit.or(progress.last_commit);
            *progress != before
        });
    }

    /// Notes how much of the segment under way is on stable storage.
    pub(super) fn synced(&self, synced: Lsn) {
        self.update(
            |pending| {
                pending.synced = synced;
                (pending.closing == 0).then_some(synced)
            },
            None,
        );
    }

    /// Notes that a complete segment is on its way to stable storage.
    pub(super) fn closing(&self) {
        self.update(
            |pending| {
                pending.closing += 1;
                None
            },
            None,
        );
    }

    /// Notes that the oldest such segment, which ends here, has arrived there and has its final name.
    pub(super) fn closed(&self, end: Lsn) {
        self.update(
            |pending| {
                pending.closing = pending.closing.saturating_sub(1);
                Some(if pending.closing == 0 { end.max(pending.synced) } else { end })
            },
            Some(end),
        );
    }

    fn update(&self, change: impl FnOnce(&mut Pending) -> Option<Lsn>, finished: Option<Lsn>) {
        // Nothing that is done under the lock leaves a state that is not whole.
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = change(&mut pending);
        if flushed.is_some() || finished.is_some() {
            self.sender.send_modify(|progress| {
                progress.flushed = progress.flushed.max(flushed.unwrap_or(Lsn::INVALID));
                progress.written = progress.written.max(progress.flushed);
                progress.finished = progress.finished.max(finished.unwrap_or(Lsn::INVALID));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_acknowledged_before_what_lies_before_it() {
        let (acknowledger, progress) = Acknowledger::new(Lsn::new(100));
        let flushed = || progress.borrow().flushed.offset();
        assert_eq!(flushed(), 0);
        acknowledger.synced(Lsn::new(150));
        assert_eq!(flushed(), 150);
        acknowledger.closing();
        acknowledger.synced(Lsn::new(210));
        acknowledger.closing();
        acknowledger.synced(Lsn::new(333));
        assert_eq!(flushed(), 150);
        acknowledger.closed(Lsn::new(200));
        assert_eq!((flushed(), progress.borrow().finished.offset()), (200, 200));
        acknowledger.closed(Lsn::new(300));
        assert_eq!((flushed(), progress.borrow().finished.offset()), (333, 300));
    }
}
