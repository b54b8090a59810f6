//! What the user wants.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::pg::{Compression, Lsn};
use crate::protocol::FlushReports;
use crate::storage::DirectIo;
use crate::wal::{SyncPolicy, SyncTimes};

/// How WAL is received.
#[derive(Clone, Debug)]
pub struct ReceiveConfig {
    /// Where it goes: a directory that exists.
    pub directory: PathBuf,
    /// The replication slot to stream with; it must exist.
    pub slot: Option<String>,
    /// Receiving ends when a position behind this one was received.
    pub end: Option<Lsn>,
    /// What happens when a stream ends that should not.
    pub on_disconnect: OnDisconnect,
    /// When WAL is brought to stable storage.
    pub sync: SyncPolicy,
    /// How segments are compressed.
    pub compression: Option<Compression>,
    /// How often a status update is sent without need; `None` for never.
    pub status_interval: Option<Duration>,
    /// Whether segments may be written past the page cache.
    pub direct_io: DirectIo,
    /// What happens when the server no longer has the WAL that comes next.
    pub on_hole: HolePolicy,
    /// Whether a time index is kept beside the WAL.
    pub time_index: TimeIndex,
    /// What happens when nothing more is wanted, but the disk does not answer.
    pub on_dead_disk: OnDeadDisk,
    /// What happens when the server's history has left the timeline of what is stored before its end.
    pub on_other_branch: OnOtherBranch,
    /// How long a server may say nothing before it is given up; it is asked after half of that. `None` for ever, as the
    /// original waits.
    pub silence_max: Option<Duration>,
    /// Where it is counted how long syncs of WAL take, if somebody wants to know.
    pub sync_times: Option<Arc<SyncTimes>>,
}

impl ReceiveConfig {
    /// Says whether flushed positions are reported: like the original, if somebody may act on them.
    pub(super) fn flush_reports(&self) -> FlushReports {
        match (&self.slot, self.sync) {
            (Some(_), _) | (None, SyncPolicy::AtOnce) => FlushReports::Send,
            (None, SyncPolicy::Never | SyncPolicy::Segments) => FlushReports::Withhold,
        }
    }
}

/// What happens when a stream ends that should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisconnect {
    /// After a pause, it is made again.
    Reconnect,
    /// Receiving ends with an error.
    Stop,
}

/// What happens when nothing more is wanted, but the disk does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeadDisk {
    /// What waits for it is left to itself, with an error.
    GiveUp,
    /// It is waited for, so that it is known when nothing is written any more.
    Wait,
}

/// What happens when the server no longer has the WAL that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolePolicy {
    /// That is an error, like each later attempt.
    Refuse,
    /// Receiving goes on where the server is, and the hole is recorded.
    Skip,
}

/// What happens when the stored WAL goes on behind the point where the server's history left its timeline: a standby was
/// promoted that did not have all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOtherBranch {
    /// The server refuses what comes next, at each attempt, as with the original.
    Refuse,
    /// Receiving goes on with the server's next timeline, where that begins. What is stored stays.
    Follow,
}

/// Whether a time index is kept beside the WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeIndex {
    /// It is.
    Keep,
    /// It is not.
    None,
}
