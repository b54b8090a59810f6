//! Checking one page.

use super::checksum::page_checksum;
use super::{PAGE_SIZE, PageChecksums, PageFault, PageRules};
use crate::pg::Lsn;

/// The flags that a page may have (`PD_VALID_FLAG_BITS`).
const VALID_FLAGS: u16 = 0x0007;

/// Size and version of the layout since PostgreSQL 8.3 in one word: 8192 and 4.
pub(super) const SIZE_AND_VERSION: u16 = 0x2004;

/// What the space for an index' own use is aligned to (`MAXALIGN`).
const SPECIAL_ALIGNMENT: u16 = 8;

/// The header of a page (`PageHeaderData`).
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 + 4 | LSN: the upper half, then the lower one |
/// | 8 | 2 | checksum |
/// | 10 | 2 | flags |
/// | 12 | 2 | `lower`: where free space begins |
/// | 14 | 2 | `upper`: where it ends; 0 in a page that was never used |
/// | 16 | 2 | `special`: where an index' own space begins |
/// | 18 | 2 | size of the page, with the version of its layout in the lower byte |
#[derive(Clone, Copy)]
struct Header {
    lsn: Lsn,
    checksum: u16,
    flags: u16,
    lower: u16,
    upper: u16,
    special: u16,
    size_and_version: u16,
}

impl Header {
    fn of(page: &[u8; PAGE_SIZE]) -> Self {
        let half = |bytes: [u8; 4]| u64::from(u32::from_le_bytes(bytes));
        let high = half([page[0], page[1], page[2], page[3]]);
        let low = half([page[4], page[5], page[6], page[7]]);
        Header {
            lsn: Lsn::new(high << 32 | low),
            checksum: u16::from_le_bytes([page[8], page[9]]),
            flags: u16::from_le_bytes([page[10], page[11]]),
            lower: u16::from_le_bytes([page[12], page[13]]),
            upper: u16::from_le_bytes([page[14], page[15]]),
            special: u16::from_le_bytes([page[16], page[17]]),
            size_and_version: u16::from_le_bytes([page[18], page[19]]),
        }
    }

    /// Says what cannot be in a header, whatever the page holds.
    fn fault(self) -> Option<PageFault> {
        let Header { flags, lower, upper, special, size_and_version, .. } = self;
        let in_order = lower <= upper && upper <= special && usize::from(special) <= PAGE_SIZE;
        if flags & !VALID_FLAGS != 0 {
            return Some(PageFault::Flags(flags));
        }
        if !in_order || special % SPECIAL_ALIGNMENT != 0 {
            return Some(PageFault::Pointers { lower, upper, special });
        }
        let is_known = size_and_version == SIZE_AND_VERSION;
        (!is_known).then_some(PageFault::SizeAndVersion(size_and_version))
    }
}

/// Returns the position of a damaged page and what is wrong with it.
pub(super) fn check(
    page: &[u8; PAGE_SIZE],
    block: u32,
    rules: PageRules,
) -> Option<(Lsn, PageFault)> {
    let header = Header::of(page);
    if (rules.started_at..=rules.ended_at).contains(&header.lsn) {
        return None;
    }
    let fault = if header.upper == 0 {
        (*page != [0; PAGE_SIZE]).then_some(PageFault::NewNotZero)
    } else {
        let sum_fault = || sum_fault(page, header, block);
        match rules.checksums {
            PageChecksums::Present => sum_fault().or_else(|| header.fault()),
            PageChecksums::Absent => header.fault(),
            PageChecksums::Unknown => header.fault().or_else(sum_fault),
        }
    };
    fault.map(|fault| (header.lsn, fault))
}

fn sum_fault(page: &[u8; PAGE_SIZE], header: Header, block: u32) -> Option<PageFault> {
    let (stored, computed) = (header.checksum, page_checksum(page, header.checksum, block));
    (computed != stored).then_some(PageFault::Checksum { computed, stored })
}
