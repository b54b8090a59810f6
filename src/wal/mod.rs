//! Streaming WAL beside a base backup: a session of its own, and the files it fills.
//!
//! [`WalReceiver`] drives the session and makes it again when it breaks; `files` is the thread that
//! turns the stream into segments in a directory or members of `pg_wal.tar`. Follows `receivelog.c` and
//! `walmethods.c` of PostgreSQL 18.

mod error;
mod files;
mod receiver;
mod session;
mod sync_policy;
mod sync_times;
mod writer;

pub use error::WalError;
pub use files::WalTarget;
pub use receiver::{WalNotice, WalObserver, WalReceiver, WalReceiverConfig, wall_clock};
pub use session::{Slot, SlotUse};
pub use sync_policy::SyncPolicy;
pub use sync_times::SyncTimes;
pub use writer::{
    Heartbeat, RecordSink, Suspended, WalInbox, WalInput, WalProgress, WalWriteError, WalWriter,
    WalWriterConfig,
};
