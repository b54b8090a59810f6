//! What receiving tells while it runs. It never prints: `cli` implements [`Observer`].

use std::path::PathBuf;
use std::time::Duration;

use super::ReceiveError;
use crate::pg::{Lsn, TimelineId, Timestamp};
use crate::protocol::ServerMessage;

/// Something that happened, in the order in which it happened.
#[derive(Debug)]
pub enum Event {
    /// The server is about to be asked for the stream.
    Starting {
        /// The position asked for, where a segment begins.
        at: Lsn,
        /// Its timeline.
        timeline: TimelineId,
    },
    /// A file in the directory looks like a segment by its name but not by its size; it does not count.
    SkippedFile {
        /// The file's name.
        name: String,
        /// The size of its contents, uncompressed.
        size: u64,
        /// Whether that size had to be found by looking into it.
        is_compressed: bool,
    },
    /// WAL is missing, and this is where receiving starts or goes on.
    Hole(Hole),
    /// The server sends what it was asked for.
    Started {
        /// The timeline.
        timeline: TimelineId,
    },
    /// A segment is complete and has its final name.
    FinishedSegment {
        /// Where it ends.
        end: Lsn,
        /// Its timeline.
        timeline: TimelineId,
    },
    /// The server's history has left a timeline before the end of what is stored of it, so receiving goes on there.
    OtherBranch {
        /// The timeline of what is stored.
        timeline: TimelineId,
        /// Where the server left it.
        left_at: Lsn,
        /// Up to where it is stored; what lies between belongs to no timeline of this server.
        stored_to: Lsn,
    },
    /// The stream goes on with another timeline.
    SwitchedTimeline {
        /// The new timeline.
        timeline: TimelineId,
        /// Up to where the old one was received.
        at: Lsn,
    },
    /// The end position is reached.
    ReachedEnd {
        /// Up to where WAL was received.
        at: Lsn,
        /// On this timeline.
        timeline: TimelineId,
    },
    /// The user wants receiving to end.
    Interrupted,
    /// A segment that is not complete keeps the name of a partial one.
    NotRenamed {
        /// The name it does not get.
        name: String,
    },
    /// The disk keeps the server waiting, so the connection is given up until the disk is back.
    DiskStalled,
    /// A stream could not be made or broke; receiving begins anew.
    Failed(ReceiveError),
    /// The stream is gone; this is how long nothing happens now.
    Disconnected {
        /// The pause before the next attempt.
        pause: Duration,
    },
    /// The server writes the log in a form that is not known, so it is received without a check.
    UncheckedFormat {
        /// A description of the server.
        origin: String,
    },
    /// A file beside the WAL could not be written that nothing depends on.
    SideFileFailed {
        /// What went wrong.
        reason: String,
    },
    /// The server sent a notice or a warning.
    Notice(Box<ServerMessage>),
}

/// WAL that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first position that is missing; `None` if nothing is known of what was before.
    pub from: Option<Lsn>,
    /// Where the WAL begins that is there.
    pub to: Lsn,
    /// The timeline of that position.
    pub timeline: TimelineId,
    /// Why it opened.
    pub cause: HoleCause,
    /// When it was noticed, by the local clock.
    pub noticed: Timestamp,
    /// The directory of the WAL.
    pub directory: PathBuf,
}

/// Why a hole opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoleCause {
    /// The directory holds no WAL, and there is no slot that says where to start.
    EmptyDirectory,
    /// The directory holds no WAL, and the slot holds no position: it was never used, or the server invalidated
    /// it.
    SlotWithoutPosition,
    /// The server has removed the WAL that comes next.
    RemovedByServer,
}

impl HoleCause {
    /// Returns the name that it has in the record beside the WAL.
    pub fn name(self) -> &'static str {
        match self {
            HoleCause::EmptyDirectory => "empty_directory",
            HoleCause::SlotWithoutPosition => "slot_without_position",
            HoleCause::RemovedByServer => "removed_by_server",
        }
    }
}

/// How far receiving is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveStatus {
    /// The timeline of the stream.
    pub timeline: TimelineId,
    /// Everything before this was received.
    pub received: Lsn,
    /// Everything before this was handed to the system; invalid as long as nothing is known of that.
    pub written: Lsn,
    /// Everything before this is on stable storage; invalid as long as nothing is known of that.
    pub flushed: Lsn,
    /// The end of the server's WAL, as far as it said.
    pub server_end: Lsn,
    /// How old the newest commit among what was received is by the server's clock; nothing if all that the
    /// server has was received, or no commit was seen.
    pub lag: Option<Duration>,
}

/// Hears of what happens.
pub trait Observer: Sync {
    /// Takes an event.
    fn report(&self, event: Event);

    /// Takes note of how far receiving is. Called often, so it should cost nothing.
    fn note(&self, _status: ReceiveStatus) {}
}
