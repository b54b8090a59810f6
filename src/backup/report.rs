//! What an operation tells while it runs. The operation never prints: `cli` implements [`Reporter`]
//! and reads the counters of [`Progress`].

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::BackupError;
use crate::pg::{Lsn, TimelineId};
use crate::protocol::ServerMessage;
pub use crate::storage::{CleanUp, DirectoryRole};

/// Something that happened, in the order in which it happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// BASE_BACKUP was sent; the server begins its checkpoint, which may take minutes.
    WaitingForCheckpoint,
    /// The checkpoint is done.
    CheckpointCompleted,
    /// The WAL position at which the backup starts; not with [`super::WalMethod::None`].
    WalStart(Lsn, TimelineId),
    /// The connection that streams the WAL is about to be made.
    StartingWalReceiver,
    /// A temporary replication slot was created.
    CreatedTemporarySlot(String),
    /// A permanent replication slot was created.
    CreatedSlot(String),
    /// The first bytes of the backup are about to come.
    ReceivingStarted,
    /// The archive of a tablespace begins.
    ArchiveStarted,
    /// An archive is complete.
    ArchiveCompleted,
    /// All data are received.
    ReceivingCompleted,
    /// The WAL position that must be reached for the backup to be consistent.
    WalEnd(Lsn),
    /// The data are complete; the WAL stream has not reached the end position yet.
    WaitingForWal,
    /// The connection that streams the WAL broke; it is made again.
    WalStreamBroken {
        /// What went wrong.
        reason: String,
        /// Everything before this position is received.
        resume_at: Lsn,
    },
    /// The last files are being synced.
    Syncing,
    /// The backup is complete but for the name of its manifest.
    RenamingManifest,
    /// The backup is complete.
    Completed,
    /// A parameter of the connection that a standby of the server's release would not know; it is left out.
    StandbySettingLeftOut(&'static str),
    /// The server sent a notice or a warning.
    Notice(ServerMessage),
    /// Something of a failed run is being removed or deliberately left.
    CleanUp(CleanUp),
}

/// Hears of events. Called from the task that drives the backup.
pub trait Reporter {
    /// Takes an event.
    fn report(&self, event: Event);

    /// Hears why the backup failed, before anything is cleaned up.
    fn failed(&self, error: &BackupError);
}

/// Counters of a running backup, read by the terminal while the operation adds to them.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of archives received, before any compression.
    pub received_bytes: AtomicU64,
    /// The server's estimate of all archives' bytes; 0 while unknown.
    pub total_bytes: AtomicU64,
    /// Archives completely received.
    pub tablespaces_done: AtomicU64,
    /// Archives in all; 0 while unknown.
    pub tablespaces_total: AtomicU64,
    /// Files begun.
    pub files: AtomicU64,
    /// Bytes of WAL received over the second connection.
    pub wal_bytes: AtomicU64,
    /// The file that is being written.
    current_file: Mutex<PathBuf>,
}

impl Progress {
    /// Reads a counter.
    pub fn read(counter: &AtomicU64) -> u64 {
        // Relaxed is enough: a counter orders nothing but itself.
        counter.load(Ordering::Relaxed)
    }

    /// Returns the file that is being written; empty before the first.
    pub fn current_file(&self) -> PathBuf {
        self.current_file.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the file that is being written. Once a file, so the lock costs nothing that counts.
    pub fn set_current_file(&self, path: PathBuf) {
        *self.current_file.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}
