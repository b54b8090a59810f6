//! What one stream brings: from where, of which timeline, and what ends it.

use crate::pg::{Lsn, TimelineId, WalSegmentSize};

/// What is streamed.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamPlan {
    /// The first position; a segment begins there.
    pub(super) start: Lsn,
    /// Its timeline.
    pub(super) timeline: TimelineId,
    /// The cluster's segment size.
    pub(super) segment_size: WalSegmentSize,
}

/// What ended a stream that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// A position behind the end position was received, up to here.
    Reached(Lsn),
    /// The user wants no more.
    Interrupted,
    /// The timeline ended.
    Timeline {
        /// The next one.
        next: TimelineId,
        /// Where that begins.
        start: Lsn,
    },
}

impl StreamPlan {
    /// Says where in a message the end position is passed: how much of it is wanted, and up to which position. The
    /// original looks at the end of each segment and of each message.
    pub(super) fn end_within(&self, wanted: Lsn, start: Lsn, size: usize) -> Option<(usize, Lsn)> {
        let message_end = start.checked_add(size as u64)?;
        // The first end of a segment that lies behind both.
        let behind = wanted.max(start).offset().checked_add(1)?;
        let boundary = behind.checked_next_multiple_of(self.segment_size.bytes())?;
        let at = Lsn::new(boundary).min(message_end);
        let size = usize::try_from(at.checked_sub(start)?).ok()?;
        (at > wanted).then_some((size, at))
    }
}
