//! Why writing WAL went no further.

use crate::pg::{Lsn, TimelineId};
use crate::storage::StorageError;
use crate::walrecord::WalDamage;

/// Received WAL cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WalWriteError {
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What came is no sound WAL. What came before is written.
    #[error(transparent)]
    Damage(#[from] WalDamage),
    /// What came is not what an earlier run stored as the same WAL, which is left as it is.
    #[error(
        "WAL received before {at} on timeline {timeline} differs from what is in file \"{file}\""
    )]
    Diverged {
        /// The end of what was compared.
        at: Lsn,
        /// The timeline.
        timeline: TimelineId,
        /// The file with the other contents.
        file: String,
    },
    /// What an earlier run left is no segment of this cluster.
    #[error("write-ahead log file \"{file}\" has {found} bytes, should be 0 or {size}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        found: u64,
        /// The size of a segment.
        size: u64,
    },
    /// No second thread.
    #[error("could not create thread: {}", crate::pg::OsError(.0))]
    Thread(std::io::Error),
}
