//! Timelines and WAL segments, and the names of their files (`xlog_internal.h`).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::Lsn;

/// A branch of the write-ahead log; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimelineId(NonZeroU32);

/// The number or text is not a timeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid timeline: \"{0}\"")]
pub struct InvalidTimeline(pub String);

impl TimelineId {
    /// The timeline on which every cluster starts; it has no history file.
    pub const FIRST: TimelineId = TimelineId(NonZeroU32::MIN);

    /// Returns the number.
    pub const fn number(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<u32> for TimelineId {
    type Error = InvalidTimeline;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        NonZeroU32::new(number).map(TimelineId).ok_or_else(|| InvalidTimeline(number.to_string()))
    }
}

impl FromStr for TimelineId {
    type Err = InvalidTimeline;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(TimelineId).map_err(|_| InvalidTimeline(text.to_owned()))
    }
}

impl fmt::Display for TimelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Returns the name of a timeline's history file, `00000002.history`.
pub fn history_file_name(timeline: TimelineId) -> String {
    format!("{:08X}.history", timeline.number())
}

/// The size of the cluster's WAL segments: a power of two from 1 MiB to 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalSegmentSize(u32);

/// The server named a segment size that no cluster can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid WAL segment size: {0}")]
pub struct InvalidSegmentSize(pub String);

impl WalSegmentSize {
    /// The smallest size, with which there are the most names.
    pub const SMALLEST: WalSegmentSize = WalSegmentSize(1 << 20);

    /// Gives all sizes, the smallest one first.
    pub fn all() -> impl Iterator<Item = Self> {
        (20..=30).map(|power| WalSegmentSize(1 << power))
    }

    /// Returns the size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0 as u64
    }

    /// Checks a size in bytes.
    ///
    /// # Errors
    /// If it is not a power of two from 1 MiB to 1 GiB.
    pub fn from_bytes(bytes: u64) -> Result<Self, InvalidSegmentSize> {
        let valid = bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes);
        u32::try_from(bytes)
            .ok()
            .filter(|_| valid)
            .map(WalSegmentSize)
            .ok_or_else(|| InvalidSegmentSize(bytes.to_string()))
    }

    /// Returns how many segments there are to each number in the middle of their names.
    const fn segments_per_log(self) -> u64 {
        (1 << 32) / self.bytes()
    }
}

impl FromStr for WalSegmentSize {
    type Err = InvalidSegmentSize;

    /// Reads the server's setting as `SHOW wal_segment_size` prints it: `16MB`, `1GB`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSegmentSize(text.to_owned());
        let (digits, shift) = match (text.strip_suffix("MB"), text.strip_suffix("GB")) {
            (Some(digits), _) => (digits, 20),
            (_, Some(digits)) => (digits, 30),
            (None, None) => return Err(invalid()),
        };
        let count: u64 = digits.parse().map_err(|_| invalid())?;
        count
            .checked_mul(1 << shift)
            .and_then(|bytes| Self::from_bytes(bytes).ok())
            .ok_or_else(invalid)
    }
}

/// The number of a segment: its start position divided by the segment size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentNumber(u64);

impl SegmentNumber {
    /// Returns the segment that holds a position.
    pub fn containing(lsn: Lsn, size: WalSegmentSize) -> Self {
        SegmentNumber(lsn.offset() / size.bytes())
    }

    /// Returns the segment that has these numbers in its name; `None` if there is none of that size.
    pub fn in_log(log: u32, segment: u32, size: WalSegmentSize) -> Option<Self> {
        let (segment, per_log) = (u64::from(segment), size.segments_per_log());
        (segment < per_log).then(|| SegmentNumber(u64::from(log) * per_log + segment))
    }

    /// Returns the segment that follows; `None` at the end of the address space.
    pub fn next(self, size: WalSegmentSize) -> Option<Self> {
        let end = self.start(size).checked_add(size.bytes())?;
        Some(SegmentNumber::containing(end, size))
    }

    /// Returns the first position of the segment.
    pub fn start(self, size: WalSegmentSize) -> Lsn {
        // Cannot overflow: numbers are made only of positions and names with that size.
        Lsn::new(self.0.saturating_mul(size.bytes()))
    }

    /// Returns the file's name: 24 hexadecimal digits of timeline, log and segment.
    pub fn file_name(self, timeline: TimelineId, size: WalSegmentSize) -> String {
        let per_log = size.segments_per_log();
        let (log, segment) = (self.0 / per_log, self.0 % per_log);
        format!("{:08X}{log:08X}{segment:08X}", timeline.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: WalSegmentSize = WalSegmentSize(16 << 20);

    #[test]
    fn sizes_are_read_as_the_server_prints_them() {
        let sizes = [("1MB", 1 << 20), ("16MB", 16 << 20), ("1GB", 1 << 30)];
        for (text, bytes) in sizes {
            assert_eq!(text.parse::<WalSegmentSize>().map(WalSegmentSize::bytes), Ok(bytes));
        }
        for text in ["", "0MB", "3MB", "2GB", "16", "16kB", "MB", "-1MB", "99999999999999999GB"] {
            assert!(text.parse::<WalSegmentSize>().is_err(), "{text:?} was read");
        }
    }

    #[test]
    fn all_sizes_are_sizes() {
        let all: Vec<_> = WalSegmentSize::all().collect();
        assert_eq!((all.len(), all[0]), (11, WalSegmentSize::SMALLEST));
        assert!(all.iter().all(|&size| WalSegmentSize::from_bytes(size.bytes()) == Ok(size)));
    }

    #[test]
    fn names_follow_the_segment_size() {
        let timeline = TimelineId::FIRST;
        let name = |lsn, size: WalSegmentSize| {
            SegmentNumber::containing(Lsn::new(lsn), size).file_name(timeline, size)
        };
        assert_eq!(name(0x2_FF00_0000, USUAL), "0000000100000002000000FF");
        let small = WalSegmentSize(1 << 20);
        assert_eq!(name(0x2_FFF0_0000, small), "000000010000000200000FFF");
        let large = WalSegmentSize(1 << 30);
        assert_eq!(name(0x3_0000_0000, large), "000000010000000300000000");
    }

    #[test]
    fn segment_start_is_its_first_byte() {
        let size = USUAL;
        let lsn = Lsn::new(0x1_0200_0028);
        assert_eq!(SegmentNumber::containing(lsn, size).start(size), Lsn::new(0x1_0200_0000));
    }

    #[test]
    fn segments_follow_each_other_to_the_end_of_the_address_space() {
        let segment = |lsn| SegmentNumber::containing(Lsn::new(lsn), USUAL);
        assert_eq!(segment(0xFFFF_FFFF).next(USUAL), Some(segment(0x1_0000_0000)));
        assert_eq!(segment(u64::MAX).next(USUAL), None);
    }
}
