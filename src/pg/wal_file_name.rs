//! Names of files that hold a segment, also compressed or partly received (`is_xlogfilename` of
//! `pg_receivewal.c`).

use super::{CompressionFormat, SegmentNumber, TimelineId, WalSegmentSize};

/// What a file's name says of the segment in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalFileName {
    /// The timeline.
    pub timeline: TimelineId,
    /// The segment.
    pub segment: SegmentNumber,
    /// How it is compressed.
    pub compression: Option<CompressionFormat>,
    /// Whether it was still being received.
    pub is_partial: bool,
}

/// What names of segments end with that are still being received.
const PARTIAL_SUFFIX: &str = ".partial";

/// The digits of each of the three numbers that a name consists of.
const DIGITS: usize = 8;

impl WalFileName {
    /// Reads a name; `None` if no segment of that size has it.
    ///
    /// Unlike the original, this knows `.zst`, and knows that there is no timeline 0 and no segment beyond the
    /// end of its log.
    pub fn parse(name: &[u8], size: WalSegmentSize) -> Option<Self> {
        let (name, is_partial) = match name.strip_suffix(PARTIAL_SUFFIX.as_bytes()) {
            Some(stem) => (stem, true),
            None => (name, false),
        };
        let (digits, compression) = CompressionFormat::split_suffix(name);
        let (timeline, position) = digits.split_at_checked(DIGITS)?;
        let (log, segment) = position.split_at_checked(DIGITS)?;
        Some(WalFileName {
            timeline: TimelineId::try_from(number(timeline)?).ok()?,
            segment: SegmentNumber::in_log(number(log)?, number(segment)?, size)?,
            compression,
            is_partial,
        })
    }

    /// Returns the name.
    pub fn file_name(self, size: WalSegmentSize) -> String {
        let digits = self.segment.file_name(self.timeline, size);
        let compression = self.compression.map_or("", CompressionFormat::suffix);
        let partial = if self.is_partial { PARTIAL_SUFFIX } else { "" };
        format!("{digits}{compression}{partial}")
    }
}

/// Reads a number as names have it: all its digits, and no small letters.
fn number(digits: &[u8]) -> Option<u32> {
    let is_number = digits.len() == DIGITS
        && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
    let digits = str::from_utf8(digits).ok().filter(|_| is_number)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> WalSegmentSize {
        text.parse().unwrap()
    }

    #[test]
    fn names_tell_what_is_in_the_file() {
        use CompressionFormat::{Gzip, Lz4, Zstd};
        let table = [
            ("000000010000000000000002", None, false),
            ("000000010000000000000002.gz", Some(Gzip), false),
            ("000000010000000000000002.lz4", Some(Lz4), false),
            ("000000010000000000000002.zst", Some(Zstd), false),
            ("000000010000000000000002.partial", None, true),
            ("000000010000000000000002.gz.partial", Some(Gzip), true),
            ("000000010000000000000002.lz4.partial", Some(Lz4), true),
            ("000000010000000000000002.zst.partial", Some(Zstd), true),
        ];
        let segment = SegmentNumber::in_log(0, 2, size("16MB")).unwrap();
        for (text, compression, is_partial) in table {
            let timeline = TimelineId::FIRST;
            let name = WalFileName { timeline, segment, compression, is_partial };
            assert_eq!(WalFileName::parse(text.as_bytes(), size("16MB")), Some(name));
            assert_eq!(name.file_name(size("16MB")), text);
        }
    }

    #[test]
    fn the_segment_size_says_which_numbers_there_are() {
        let table = [
            ("1MB", "00000002000000030000000A", Some(0x3_00A0_0000)),
            ("1MB", "000000020000000300000FFF", Some(0x3_FFF0_0000)),
            ("1MB", "000000020000000300001000", None),
            ("16MB", "0000000200000003000000FF", Some(0x3_FF00_0000)),
            ("16MB", "000000020000000300000100", None),
            ("16MB", "00000002FFFFFFFF000000FF", Some(0xFFFF_FFFF_FF00_0000)),
            ("1GB", "FFFFFFFF0000000300000003", Some(0x3_C000_0000)),
            ("1GB", "FFFFFFFF0000000300000004", None),
        ];
        for (size_text, text, start) in table {
            let size = size(size_text);
            let name = WalFileName::parse(text.as_bytes(), size);
            assert_eq!(name.map(|name| name.segment.start(size).offset()), start, "{text}");
        }
    }

    #[test]
    fn other_names_are_none() {
        let table = [
            "",
            ".partial",
            ".gz",
            "000000000000000000000002",
            "00000001000000000000002",
            "0000000100000000000000002",
            "00000001000000000000000a",
            "+00000010000000000000002",
            "000000010000000000000002.bz2",
            "000000010000000000000002.gz.gz",
            "000000010000000000000002.partial.gz",
            "000000010000000000000002.partial.partial",
            "000000010000000000000002.PARTIAL",
            "000000010000000000000002.00000028.backup",
            "000000010000000000000002.tmp",
            "00000002.history",
            "archive_status",
        ];
        for name in table {
            assert_eq!(WalFileName::parse(name.as_bytes(), size("16MB")), None, "{name:?}");
        }
        assert_eq!(WalFileName::parse(&[0xFF; 24], size("16MB")), None);
    }
}
