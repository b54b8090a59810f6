//! How far the writer is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
pub struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// Shows that something was done.
    pub(super) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns a number that changes as long as the writer gets on.
    pub fn count(&self) -> u64 {
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

    /// Returns what notes the same if the thread that holds it panics.
    pub(super) fn panic_alarm(&self) -> PanicAlarm {
        PanicAlarm(self.clone())
    }

    /// Notes how much is written, how much of the segment under way is on stable storage if that is news, and the
    /// newest commit.
    pub(super) fn settled(
        &self,
        written: Lsn,
        synced: Option<Lsn>,
        last_commit: Option<Timestamp>,
    ) {
        let mut pending = self.pending();
        pending.synced = synced.unwrap_or(pending.synced);
        let flushed = synced.filter(|_| pending.closing == 0);
        self.publish(|progress| {
            progress.advance(written, flushed);
            progress.last_commit = last_commit.or(progress.last_commit);
        });
    }

    /// Notes that a complete segment is on its way to stable storage.
    pub(super) fn closing(&self) {
        self.pending().closing += 1;
    }

    /// Notes that the oldest such segment, which ends here, has arrived there and has its final name.
    pub(super) fn closed(&self, end: Lsn) {
        let mut pending = self.pending();
        pending.closing = pending.closing.saturating_sub(1);
        let flushed = if pending.closing == 0 { end.max(pending.synced) } else { end };
        self.publish(|progress| {
            progress.advance(flushed, Some(flushed));
            progress.finished = progress.finished.max(end);
        });
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Nothing that is done under the lock leaves a state that is not whole.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and tells only news: each costs whoever hears of it a system call.
    fn publish(&self, change: impl FnOnce(&mut WalProgress)) {
        self.sender.send_if_modified(|progress| {
            let before = *progress;
            change(progress);
            *progress != before
        });
    }
}

/// Lets whoever follows a writer know when one of its threads panics; who joins the thread hears why.
pub(super) struct PanicAlarm(Acknowledger);

impl Drop for PanicAlarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed();
        }
    }
}

impl WalProgress {
    fn advance(&mut self, written: Lsn, flushed: Option<Lsn>) {
        self.flushed = self.flushed.max(flushed.unwrap_or(Lsn::INVALID));
        self.written = self.written.max(written).max(self.flushed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_acknowledged_before_what_lies_before_it() {
        let (acknowledger, progress) = Acknowledger::new(Lsn::new(100));
        let flushed = || progress.borrow().flushed.offset();
        let synced = |at| acknowledger.settled(Lsn::new(at), Some(Lsn::new(at)), None);
        assert_eq!(flushed(), 0);
        synced(150);
        assert_eq!(flushed(), 150);
        acknowledger.closing();
        synced(210);
        acknowledger.closing();
        synced(333);
        assert_eq!(flushed(), 150);
        acknowledger.closed(Lsn::new(200));
        assert_eq!((flushed(), progress.borrow().finished.offset()), (200, 200));
        acknowledger.closed(Lsn::new(300));
        assert_eq!((flushed(), progress.borrow().finished.offset()), (333, 300));
    }
    #[test]
    fn a_thread_that_panics_has_failed() {
        let (acknowledger, progress) = Acknowledger::new(Lsn::new(100));
        drop(acknowledger.panic_alarm());
        assert!(!progress.borrow().has_failed);
        let panics = move || {
            let _alarm = acknowledger.panic_alarm();
            panic!("with an alarm");
        };
        std::thread::spawn(panics).join().unwrap_err();
        assert!(progress.borrow().has_failed);
    }
}
