//! What a segment says of its cluster, for readers who know nothing else of it.

use super::WalFormat;
use super::page::{HeaderBytes, PageHeader};
use crate::pg::WalSegmentSize;

/// The header of a segment's first page, of which nothing is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The number that begins the page.
    pub page_magic: u16,
    /// The form of the log; `None` if no known release writes that number.
    pub format: Option<WalFormat>,
    /// The cluster's identifier.
    pub system_identifier: u64,
    /// The size of the cluster's segments; `None` if no cluster can have what is there.
    pub segment_size: Option<WalSegmentSize>,
}

impl SegmentHeader {
    /// The size of the header in bytes.
    pub const SIZE: usize = size_of::<HeaderBytes>();

    /// Reads the first bytes of a segment; `None` if there are fewer than [`Self::SIZE`].
    pub fn decode(segment: &[u8]) -> Option<Self> {
        let page = PageHeader::decode(segment.first_chunk()?);
        Some(SegmentHeader {
            page_magic: page.magic(),
            format: WalFormat::of_page_magic(page.magic()),
            system_identifier: page.system_identifier(),
            segment_size: WalSegmentSize::from_bytes(page.segment_size().into()).ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, WalBuilder};
    use super::*;

    #[test]
    fn a_segment_tells_of_its_cluster() {
        let mut log = WalBuilder::new();
        log.record(0, 0, b"body");
        let header = SegmentHeader {
            page_magic: fixture::PAGE_MAGIC,
            format: WalFormat::of_page_magic(fixture::PAGE_MAGIC),
            system_identifier: fixture::SYSTEM_IDENTIFIER,
            segment_size: Some(WalSegmentSize::SMALLEST),
        };
        assert_eq!(SegmentHeader::decode(&log.bytes), Some(header));
        assert_eq!(SegmentHeader::decode(&log.bytes[..SegmentHeader::SIZE - 1]), None);
    }

    #[test]
    fn what_no_release_and_no_cluster_has_is_none() {
        let header = SegmentHeader::decode(&[0xFF; SegmentHeader::SIZE]).unwrap();
        assert_eq!((header.format, header.segment_size), (None, None));
    }
}
