//! Files beside the segments.

use std::path::Path;

use crate::wal::SyncPolicy;

/// Where files beside the segments are, and how they are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct SideFiles<'a> {
    /// The directory of the WAL.
    pub directory: &'a Path,
    /// Permission bits of new files.
    pub mode: u32,
    /// Whether they are brought to stable storage.
    pub sync: SyncPolicy,
}
