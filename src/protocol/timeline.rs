//! The timeline that follows one that was streamed (protocol chapter "Streaming Replication Protocol").

use crate::pg::{Lsn, TimelineId};

/// What the server says of the timeline that follows the one that it streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextTimeline {
    /// The next timeline.
    pub timeline: TimelineId,
    /// Its first position.
    pub start: Lsn,
}

/// The timeline that the server names cannot follow. As in `ReceiveXlogStream` (`receivelog.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimelineError {
    /// It is no later one.
    #[error("server reported unexpected next timeline {next}, following timeline {timeline}")]
    Backwards {
        /// The timeline that ended.
        timeline: TimelineId,
        /// What the server says comes next.
        next: TimelineId,
    },
    /// It begins where nothing was received yet.
    #[error(
        "server stopped streaming timeline {timeline} at {at}, but reported next timeline {next} to begin at {start}"
    )]
    Ahead {
        /// The timeline that ended.
        timeline: TimelineId,
        /// Up to where it was received.
        at: Lsn,
        /// What the server says comes next.
        next: TimelineId,
        /// Where it says that begins.
        start: Lsn,
    },
}

impl NextTimeline {
    /// Makes sure that it can follow a timeline that was received up to a position.
    ///
    /// # Errors
    /// If it is not a later one, or begins further on.
    pub fn check(self, timeline: TimelineId, at: Lsn) -> Result<(), TimelineError> {
        let NextTimeline { timeline: next, start } = self;
        if next <= timeline {
            return Err(TimelineError::Backwards { timeline, next });
        }
        match start > at {
            true => Err(TimelineError::Ahead { timeline, at, next, start }),
            false => Ok(()),
        }
    }
}
