//! The headers of pages (`xlog_internal.h`).
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 2 | `xlp_magic`: the release |
//! | 2 | 2 | `xlp_info`: flags |
//! | 4 | 4 | `xlp_tli`: timeline |
//! | 8 | 8 | `xlp_pageaddr`: position of the page |
//! | 16 | 4 | `xlp_rem_len`: what is left of the record that the page continues |
//! | 20 | 4 | alignment |
//!
//! The first page of a segment goes on with
//!
//! | offset | size | field |
//! |---|---|---|
//! | 24 | 8 | `xlp_sysid`: identifier of the cluster |
//! | 32 | 4 | `xlp_seg_size`: size of segments |
//! | 36 | 4 | `xlp_xlog_blcksz`: size of pages |

use bytes::Buf as _;

use super::{DamageKind, WalFormat, WalOrigin};
use crate::pg::{Lsn, WalSegmentSize};

/// The size of pages.
pub(super) const PAGE_SIZE: usize = WalFormat::BLOCK_SIZE as usize;

const SHORT_HEADER_SIZE: usize = 24;
const LONG_HEADER_SIZE: usize = 40;

/// `XLP_FIRST_IS_CONTRECORD`: the page begins with the rest of a record.
const CONTINUES: u16 = 0x0001;
/// `XLP_LONG_HEADER`.
const LONG: u16 = 0x0002;
/// `XLP_BKP_REMOVABLE`: of no meaning to readers.
const REMOVABLE: u16 = 0x0004;
/// `XLP_FIRST_IS_OVERWRITE_CONTRECORD`: the record before was never completed, as the server crashed.
const OVERWRITES: u16 = 0x0008;

/// The bytes of a page header; a short one leaves the last ones as they are.
pub(super) type HeaderBytes = [u8; LONG_HEADER_SIZE];

/// Returns the offset of a position in its page.
pub(super) fn page_offset(position: Lsn) -> usize {
    // Cannot cut: the remainder is less than a page.
    (position.offset() % PAGE_SIZE as u64) as usize
}

/// Returns the size of the page header that the byte at a position belongs to, if it does.
pub(super) fn header_around(position: Lsn, segment_size: WalSegmentSize) -> Option<usize> {
    let offset = page_offset(position);
    // Nearly always; the division below is slow.
    if offset >= LONG_HEADER_SIZE {
        return None;
    }
    let begins_segment = position.offset() % segment_size.bytes() < PAGE_SIZE as u64;
    let size = if begins_segment { LONG_HEADER_SIZE } else { SHORT_HEADER_SIZE };
    (offset < size).then_some(size)
}

/// What stands first on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageBeginning {
    /// A record.
    Record,
    /// The last `remaining > 0` bytes of a record, or as many as fit.
    Continuation { remaining: usize },
    /// A record that replaces the rest of the one before.
    Overwrite,
}

/// A page header.
#[derive(Debug)]
pub(super) struct PageHeader {
    magic: u16,
    info: u16,
    timeline: u32,
    address: Lsn,
    remaining: u32,
    system_identifier: u64,
    segment_size: u32,
    block_size: u32,
}

impl PageHeader {
    /// Reads the fields; those of a long header mean nothing in a short one.
    pub(super) fn decode(bytes: &HeaderBytes) -> Self {
        // The array is as long as all fields and the alignment.
        let mut fields = bytes.as_slice();
        let (magic, info, timeline) =
            (fields.get_u16_le(), fields.get_u16_le(), fields.get_u32_le());
        let (address, remaining) = (Lsn::new(fields.get_u64_le()), fields.get_u32_le());
        fields.advance(4);
        let (system_identifier, segment_size, block_size) =
            (fields.get_u64_le(), fields.get_u32_le(), fields.get_u32_le());
        PageHeader {
            magic,
            info,
            timeline,
            address,
            remaining,
            system_identifier,
            segment_size,
            block_size,
        }
    }

    /// Returns the number that begins the page.
    pub(super) fn magic(&self) -> u16 {
        self.magic
    }

    /// Returns the cluster's identifier, of a long header.
    pub(super) fn system_identifier(&self) -> u64 {
        self.system_identifier
    }

    /// Returns the size of segments in bytes, of a long header.
    pub(super) fn segment_size(&self) -> u32 {
        self.segment_size
    }

    /// Returns the timeline on which the page was begun.
    pub(super) fn timeline(&self) -> u32 {
        self.timeline
    }

    /// Returns what stands first on the page.
    pub(super) fn beginning(&self) -> PageBeginning {
        if self.info & OVERWRITES != 0 {
            PageBeginning::Overwrite
        } else if self.info & CONTINUES != 0 {
            PageBeginning::Continuation { remaining: self.remaining as usize }
        } else {
            PageBeginning::Record
        }
    }

    /// Checks the header of the page at a position; a page before it was of timeline `timeline_before`.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of `XLogReaderValidatePageHeader`.
    pub(super) fn check(
        &self,
        at: Lsn,
        origin: &WalOrigin,
        timeline_before: u32,
    ) -> Result<(), DamageKind> {
        if self.magic != origin.format.page_magic() {
            return Err(DamageKind::Magic(self.magic));
        }
        let begins_segment = at.offset().is_multiple_of(origin.segment_size.bytes());
        if !self.has_valid_flags(begins_segment) {
            return Err(DamageKind::InfoBits(self.info));
        }
        if begins_segment {
            self.check_cluster(origin)?;
        }
        if self.address != at {
            return Err(DamageKind::PageAddress(self.address));
        }
        self.check_timeline(origin.timeline.number(), timeline_before)
    }

    fn has_valid_flags(&self, begins_segment: bool) -> bool {
        let has = |flag| self.info & flag != 0;
        let known = self.info & !(CONTINUES | LONG | REMOVABLE | OVERWRITES) == 0;
        let continues_something = self.remaining > 0 && !has(OVERWRITES);
        known && has(LONG) == begins_segment && (!has(CONTINUES) || continues_something)
    }

    fn check_cluster(&self, origin: &WalOrigin) -> Result<(), DamageKind> {
        let found = self.system_identifier;
        if let Some(expected) = origin.system_identifier.filter(|&expected| found != expected) {
            return Err(DamageKind::SystemIdentifier { found, expected });
        }
        let (found, expected) = (self.segment_size, origin.segment_size.bytes());
        if u64::from(found) != expected {
            return Err(DamageKind::SegmentSize { found, expected });
        }
        match self.block_size as usize {
            PAGE_SIZE => Ok(()),
            _ => Err(DamageKind::BlockSize(self.block_size)),
        }
    }

    fn check_timeline(&self, expected: u32, before: u32) -> Result<(), DamageKind> {
        match self.timeline {
            found if found < before => Err(DamageKind::TimelineBack { found, before }),
            found if found > expected => Err(DamageKind::TimelineAhead { found, expected }),
            _ => Ok(()),
        }
    }
}
