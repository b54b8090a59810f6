//! Files beside the segments.

use std::path::PathBuf;

use crate::wal::SyncPolicy;

/// Where files beside the segments are, and how they are made.
#[derive(Clone, Debug)]
pub(super) struct SideFiles {
    /// The directory of the WAL.
    pub directory: PathBuf,
    /// Permission bits of new files.
    pub mode: u32,
    /// Whether they are brought to stable storage.
    pub sync: SyncPolicy,
}
