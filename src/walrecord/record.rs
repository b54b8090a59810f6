//! Records (`xlogrecord.h`), and what is read of their contents.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | `xl_tot_len`: size of the whole record |
//! | 4 | 4 | `xl_xid` |
//! | 8 | 8 | `xl_prev`: position of the record before |
//! | 16 | 1 | `xl_info`: the upper half is the resource manager's |
//! | 17 | 1 | `xl_rmid`: resource manager |
//! | 18 | 2 | alignment |
//! | 20 | 4 | `xl_crc`: CRC-32C of the body, then of bytes 0 to 19 |
//!
//! The body describes blocks and main data, each by a header that begins with its kind; then come the
//! blocks, then the main data.

use bytes::Buf as _;

use super::{DamageKind, WalFormat, fill};
use crate::pg::{Lsn, Timestamp};

/// A record that is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalRecord {
    /// Its position.
    pub start: Lsn,
    /// Where it ends with the bytes that align it: the position for which a commit waits. The next record
    /// begins here, or behind the header if this is the beginning of a page. Behind a switch record, it
    /// is the end of the segment.
    pub end: Lsn,
    /// What it is, as far as anybody here wants to know.
    pub kind: RecordKind,
}

/// The kinds of records that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A transaction was committed, at this moment by the server's clock.
    Commit(Timestamp),
    /// The rest of the segment is empty.
    Switch,
    /// Anything else.
    Other,
}

/// What records are aligned to (`MAXALIGN`).
pub(super) const ALIGNMENT: u64 = 8;

const HEADER_SIZE: usize = 24;

/// What `xl_crc` covers of the header.
const SUMMED_HEADER_SIZE: usize = 20;

/// What is kept of a record: its header, and of the body as much as leads to the time of a commit.
const KEPT_SIZE: usize = HEADER_SIZE + 24;

/// The largest record for which a server can have memory to replay it (`MaxAllocSize`, in whole pages).
const RECORD_SIZE_MAX: u32 = (1 << 30) - (8 << 10) - 1;

/// The resource manager of the log itself, and its switch record.
const XLOG_MANAGER: u8 = 0;
const XLOG_OPERATION: u8 = 0xF0;
const XLOG_SWITCH: u8 = 0x40;

/// The resource manager of transactions, and its records of commits: the ordinary and the prepared one.
const XACT_MANAGER: u8 = 1;
const XACT_OPERATION: u8 = 0x70;
const XACT_COMMITS: [u8; 2] = [0x00, 0x30];

/// Headers in the body, by their first byte: a size of one byte or of four follows, an origin's number, or a
/// transaction's. Lower numbers are blocks.
const DATA_SHORT: u8 = 255;
const DATA_LONG: u8 = 254;
const ORIGIN: u8 = 253;
const TOP_LEVEL_XID: u8 = 252;

/// Where a record's link must lead.
#[derive(Clone, Copy, Debug)]
pub(super) enum Link {
    /// To this position.
    To(Lsn),
    /// Below this position: what was before is not known.
    Below(Lsn),
}

/// The fields of a record's header that matter here.
#[derive(Clone, Copy, Debug)]
struct Header {
    previous: Lsn,
    info: u8,
    manager: u8,
    crc: u32,
}

impl Header {
    /// Reads the fields of a whole header.
    fn decode(mut fields: &[u8]) -> Self {
        fields.advance(8);
        let (previous, info, manager) = (fields.get_u64_le(), fields.get_u8(), fields.get_u8());
        fields.advance(2);
        Header { previous: Lsn::new(previous), info, manager, crc: fields.get_u32_le() }
    }

    fn is_of_switch(self) -> bool {
        self.manager == XLOG_MANAGER && self.info & XLOG_OPERATION == XLOG_SWITCH
    }

    fn check(self, format: WalFormat, link: Link) -> Result<(), DamageKind> {
        if !format.has_resource_manager(self.manager) {
            return Err(DamageKind::ResourceManager(self.manager));
        }
        let is_linked = match link {
            Link::To(previous) => self.previous == previous,
            Link::Below(origin) => self.previous < origin,
        };
        if is_linked { Ok(()) } else { Err(DamageKind::PreviousLink(self.previous)) }
    }
}

/// A record that is arriving.
#[derive(Clone, Debug)]
pub(super) struct PartialRecord {
    start: Lsn,
    /// The bytes that are there: `0 <= taken <= total` once the size is known.
    taken: usize,
    /// The first bytes.
    kept: [u8; KEPT_SIZE],
    /// The checksum of what is there of the body.
    crc: u32,
}

impl PartialRecord {
    /// Begins a record at a position.
    pub(super) fn at(start: Lsn) -> Self {
        PartialRecord { start, taken: 0, kept: [0; KEPT_SIZE], crc: 0 }
    }

    /// Returns the record's position.
    pub(super) fn start(&self) -> Lsn {
        self.start
    }

    /// Returns the bytes that are missing. The size must be there, which is so at the end of a page, as
    /// records are aligned.
    pub(super) fn remaining(&self) -> usize {
        (self.total() as usize).saturating_sub(self.taken)
    }

    /// Says whether the whole record is there.
    pub(super) fn is_complete(&self) -> bool {
        self.taken >= HEADER_SIZE && self.remaining() == 0
    }

    /// Takes bytes up to the end of the header or, behind it, to that of the record. Returns their number,
    /// which is not 0 while the record is incomplete.
    ///
    /// # Errors
    /// If the header cannot be one that follows `link`.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        format: WalFormat,
        link: Link,
    ) -> Result<usize, DamageKind> {
        if self.taken >= HEADER_SIZE {
            return Ok(self.take_body(bytes));
        }
        let header = self.kept.get_mut(..HEADER_SIZE).unwrap_or_default();
        let taken = fill(header, self.taken, bytes);
        self.taken += taken;
        // Judged as soon as it is there: where there is no record, the rest of a header may never come.
        if self.taken >= size_of::<u32>() {
            self.check_size()?;
        }
        if self.taken == HEADER_SIZE {
            self.header().check(format, link)?;
        }
        Ok(taken)
    }

    fn check_size(&self) -> Result<(), DamageKind> {
        match self.total() {
            size if (size as usize) < HEADER_SIZE => Err(DamageKind::RecordTooShort(size)),
            size if size > RECORD_SIZE_MAX => Err(DamageKind::RecordTooLong(size)),
            _ => Ok(()),
        }
    }

    fn take_body(&mut self, bytes: &[u8]) -> usize {
        let bytes = bytes.get(..self.remaining()).unwrap_or(bytes);
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        fill(&mut self.kept, self.taken, bytes);
        self.taken += bytes.len();
        bytes.len()
    }

    fn total(&self) -> u32 {
        self.kept.as_slice().get_u32_le()
    }

    fn header(&self) -> Header {
        Header::decode(&self.kept)
    }

    /// Makes sure that the complete record is what was written, and returns what it is.
    ///
    /// # Errors
    /// [`DamageKind::Checksum`].
    pub(super) fn prove(&self) -> Result<RecordKind, DamageKind> {
        let header = self.header();
        let summed = self.kept.get(..SUMMED_HEADER_SIZE).unwrap_or_default();
        if crc32c::crc32c_append(self.crc, summed) != header.crc {
            return Err(DamageKind::Checksum);
        }
        let kept_body = self.kept.get(HEADER_SIZE..self.taken.min(KEPT_SIZE));
        Ok(match (header.manager, header.info) {
            _ if header.is_of_switch() => RecordKind::Switch,
            (XACT_MANAGER, info) if XACT_COMMITS.contains(&(info & XACT_OPERATION)) => {
                kept_body.and_then(commit_time).map_or(RecordKind::Other, RecordKind::Commit)
            }
            _ => RecordKind::Other,
        })
    }
}

/// The end of a record whose beginning is not known.
#[derive(Clone, Debug)]
pub(super) struct RecordTail {
    remaining: usize,
    /// If there is less than a header: that of a record that has nothing else, its beginning left out.
    header: Option<[u8; HEADER_SIZE]>,
}

impl RecordTail {
    /// Begins the last `remaining` bytes of a record.
    pub(super) fn of(remaining: usize) -> Self {
        let header = (remaining < HEADER_SIZE).then_some([0; HEADER_SIZE]);
        RecordTail { remaining, header }
    }

    /// Returns the bytes that are missing.
    pub(super) fn remaining(&self) -> usize {
        self.remaining
    }

    /// Takes bytes up to the end of the record. Returns their number.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let bytes = bytes.get(..self.remaining).unwrap_or(bytes);
        if let Some(header) = &mut self.header {
            fill(header, HEADER_SIZE - self.remaining, bytes);
        }
        self.remaining -= bytes.len();
        bytes.len()
    }

    /// Says of a tail that is all there whether it can be that of a switch record, which is a header and nothing else.
    pub(super) fn may_be_switch(&self) -> bool {
        self.header.is_some_and(|header| Header::decode(&header).is_of_switch())
    }
}

/// Returns what a commit record's main data begin with (`xl_xact_commit`), given the beginning of its body. Such
/// a record has no blocks.
fn commit_time(mut body: &[u8]) -> Option<Timestamp> {
    loop {
        let (rest_of_header, is_last) = match body.try_get_u8().ok()? {
            ORIGIN => (2, false),
            TOP_LEVEL_XID => (4, false),
            DATA_SHORT => (1, true),
            DATA_LONG => (4, true),
            _ => return None,
        };
        body = body.get(rest_of_header..)?;
        if is_last {
            return body.try_get_i64_le().ok().map(Timestamp::from_micros);
        }
    }
}
