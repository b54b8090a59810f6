//! What one stream brings: from where, of which timeline, and what ends it.

use crate::pg::{Lsn, TimelineId, WalSegmentSize};
use crate::protocol::NextTimeline;

/// What is streamed.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamPlan {
    /// The first position; a segment begins there.
    pub(super) start: Lsn,
    /// Its timeline.
    pub(super) timeline: TimelineId,
    /// The cluster's segment size.
    pub(super) segment_size: WalSegmentSize,
    /// The end of the server's WAL when the session began.
    pub(super) server_end: Lsn,
}

/// What ended a stream that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// A position behind the end position was received, up to here.
    Reached(Lsn),
    /// The user wants no more.
    Interrupted,
    /// The timeline ended; this one follows.
    Timeline(NextTimeline),
}

impl StreamPlan {
    /// Says where in a message the end position is passed: how much of it is wanted, and up to which position. The
    /// original looks at the end of each segment and of each message.
    pub(super) fn end_within(&self, wanted: Lsn, start: Lsn, size: usize) -> Option<(usize, Lsn)> {
        let message_end = start.checked_add(size as u64)?;
        // The first end of a segment that lies behind both; the last segment of all has none.
        let behind = wanted.max(start).offset().checked_add(1);
        let boundary =
            behind.and_then(|behind| behind.checked_next_multiple_of(self.segment_size.bytes()));
        let at = boundary.map_or(message_end, |boundary| Lsn::new(boundary).min(message_end));
        let size = usize::try_from(at.checked_sub(start)?).ok()?;
        (at > wanted).then_some((size, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 1 << 20;

    /// Where the last segment begins.
    const LAST: u64 = u64::MAX - SEGMENT + 1;

    #[test]
    fn the_end_is_passed_at_the_end_of_a_message_or_of_a_segment() {
        let plan = StreamPlan {
            start: Lsn::INVALID,
            timeline: TimelineId::FIRST,
            segment_size: WalSegmentSize::SMALLEST,
            server_end: Lsn::INVALID,
        };
        // The end position; where a message begins and ends; where receiving ends.
        let table = [
            (SEGMENT + 500, SEGMENT, SEGMENT + 500, None),
            (SEGMENT + 500, SEGMENT, SEGMENT + 501, Some(SEGMENT + 501)),
            (SEGMENT + 500, SEGMENT, 2 * SEGMENT, Some(2 * SEGMENT)),
            (SEGMENT + 500, SEGMENT, 4 * SEGMENT, Some(2 * SEGMENT)),
            (2 * SEGMENT - 1, SEGMENT, 3 * SEGMENT, Some(2 * SEGMENT)),
            (2 * SEGMENT, SEGMENT, 3 * SEGMENT + 7, Some(3 * SEGMENT)),
            (2 * SEGMENT, SEGMENT, 2 * SEGMENT, None),
            // Behind the end already, in the segment before and in the same one.
            (SEGMENT - 1, SEGMENT, 3 * SEGMENT, Some(2 * SEGMENT)),
            (SEGMENT, SEGMENT + 9, SEGMENT + 10, Some(SEGMENT + 10)),
            // In the last segment, whose end is no position.
            (LAST - 1, LAST - 9, u64::MAX, Some(LAST)),
            (LAST, LAST, u64::MAX, Some(u64::MAX)),
            (LAST + 5, LAST, LAST + 5, None),
            (u64::MAX - 1, LAST, u64::MAX, Some(u64::MAX)),
            (u64::MAX, LAST, u64::MAX, None),
        ];
        for (wanted, start, end, expected) in table {
            let size = (end - start) as usize;
            let expected = expected.map(|at| ((at - start) as usize, Lsn::new(at)));
            let found = plan.end_within(Lsn::new(wanted), Lsn::new(start), size);
            assert_eq!(found, expected, "{wanted:X} in {start:X} to {end:X}");
        }
        // No message ends behind the last position; the stream refuses it.
        assert_eq!(plan.end_within(Lsn::new(LAST), Lsn::new(LAST), SEGMENT as usize), None);
    }
}
