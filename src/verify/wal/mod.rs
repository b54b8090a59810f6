//! Checking the log that a stored backup needs: every record of the manifest's ranges is proved by
//! [`walrecord`](crate::walrecord), as `pg_waldump` would do it for `pg_verifybackup`, and without it.
//!
//! A [`RangeCheck`] asks for one segment after the other. A directory has them at hand; an archive is read
//! from its beginning and gives those that come in order, by itself or on the way to the rest of the backup
//! ([`ArchivedLog`]). One finding a range is all there can be: behind
//! damage, nothing says where the next record begins.
//!
//! Where this finds more than `pg_waldump`: a segment of another cluster, and compressed files that are torn
//! behind the last record.

mod archive;
mod directory;
mod range;

use std::path::PathBuf;

pub(super) use self::archive::{ArchivedLog, WalArchive};
use self::range::RangeCheck;
use super::{Finding, Problem};
use crate::manifest::WalRange;
use crate::pg::{CompressionFormat, Lsn, TimelineId, WalFileName, WalSegmentSize};

/// What precedes the names of segments in the data directory.
pub(super) const LOG_IN_BACKUP: &str = "pg_wal/";

/// Where the log of a backup is.
#[derive(Clone, Debug)]
pub(super) enum WalSource {
    /// In a directory: whole segments, compressed or not, and never those that are still being received.
    Directory(PathBuf),
    /// In a tar archive.
    Archive {
        /// The archive.
        path: PathBuf,
        /// How it is compressed.
        format: Option<CompressionFormat>,
        /// What precedes the segments' names in it. An archive with no prefix has nothing but segments, and is
        /// checked to its end, as nobody else reads it.
        prefix: &'static str,
    },
}

/// Proves the log of all ranges. The cluster's identifier is compared if it is known.
pub(super) fn check(
    source: &WalSource,
    ranges: &[WalRange],
    system_identifier: Option<u64>,
) -> Vec<Finding> {
    match source {
        WalSource::Directory(directory) => directory::check(directory, ranges, system_identifier),
        WalSource::Archive { path, format, prefix } => {
            let archive = WalArchive { path, format: *format, prefix };
            archive::check(archive, ranges, system_identifier)
        }
    }
}

/// Begins a check for each range.
fn begin(
    ranges: &[WalRange],
    segment_size: WalSegmentSize,
    system_identifier: Option<u64>,
) -> impl Iterator<Item = RangeCheck> {
    ranges.iter().map(move |range| {
        let follows =
            |next: &&WalRange| next.start_lsn == range.end_lsn && next.timeline > range.timeline;
        let successor = ranges.iter().find(follows).map(|next| next.timeline);
        RangeCheck::new(*range, successor, segment_size, system_identifier)
    })
}

/// Says the same of all ranges: none of them could even be begun.
fn nothing_checked(ranges: &[WalRange], archive: Option<&str>, reason: &str) -> Vec<Finding> {
    let finding = |range: &WalRange| finding(range.timeline, None, archive, reason.to_owned());
    ranges.iter().map(finding).collect()
}

fn finding(
    timeline: TimelineId,
    segment: Option<&str>,
    archive: Option<&str>,
    reason: String,
) -> Finding {
    let path = segment.map_or("pg_wal".to_owned(), |segment| format!("pg_wal/{segment}"));
    let problem = Problem::Wal { timeline, reason };
    Finding { path: path.into_bytes(), archive: archive.map(str::to_owned), problem }
}

/// Reads the name of a whole segment; of what size it is does not matter.
fn segment_name(name: &[u8]) -> Option<WalFileName> {
    WalFileName::parse(name, WalSegmentSize::SMALLEST).filter(|name| !name.is_partial)
}

/// Returns the size of segments that follows from the name of one that says nothing itself: that with which it is
/// needed. If there is none, it follows from the length.
fn segment_size_of(name: &[u8], length: u64, ranges: &[WalRange]) -> Option<WalSegmentSize> {
    let by_length = WalSegmentSize::from_bytes(length).ok();
    let is_needed = |size: &WalSegmentSize| {
        let Some(WalFileName { segment, .. }) = WalFileName::parse(name, *size) else {
            return false;
        };
        let end = segment.next(*size).map_or(Lsn::new(u64::MAX), |next| next.start(*size));
        ranges.iter().any(|range| segment.start(*size) < range.end_lsn && range.start_lsn < end)
    };
    by_length.into_iter().chain(WalSegmentSize::all()).find(is_needed).or(by_length)
}

#[cfg(test)]
mod tests;
