//! The log of one range.

use std::fmt;

use super::{Finding, finding};
use crate::manifest::WalRange;
use crate::pg::{Lsn, SegmentNumber, TimelineId, WalSegmentSize};
use crate::walrecord::{SegmentHeader, WalDamage, WalOrigin, WalReader, WalRecord};

/// The size of pages: reading begins at that of the first position.
const PAGE_SIZE: u64 = 8192;

/// Proves the log of one range. It is given the segments that it asks for, in pieces of any size.
#[derive(Debug)]
pub(super) struct RangeCheck {
    range: WalRange,
    /// The timeline that goes on where the range ends.
    successor: Option<TimelineId>,
    segment_size: WalSegmentSize,
    system_identifier: Option<u64>,
    /// The segment that is asked for, or is being given.
    segment: SegmentNumber,
    /// The bytes that came of it: `taken <= segment_size`.
    taken: u64,
    progress: Progress,
    records: ProvedRecords,
}

#[derive(Debug)]
enum Progress {
    /// The first segment's header is not complete.
    Header(Vec<u8>),
    /// Records are being read.
    Records(Box<WalReader>),
    /// All records are there.
    Proved,
    /// Something is wrong, in this segment.
    Failed(SegmentNumber, Fault),
}

/// The records of the range that were proved, without a gap.
#[derive(Clone, Copy, Debug)]
struct ProvedRecords {
    /// The beginning of the first one that is behind the range's start or around it.
    first: Option<Lsn>,
    /// The end of the last one.
    end: Lsn,
}

/// What is wrong with the log of a range.
#[derive(Debug)]
pub(super) enum Fault {
    /// The segment is not there.
    Missing,
    /// The segment ends after so many bytes, of which more are needed.
    Short { taken: u64, needed: u64 },
    /// No known release writes such pages.
    Format { page_magic: u16 },
    /// A page or record is damaged.
    Damage(WalDamage),
    /// No record begins where the range does.
    Start(Lsn),
    /// No record ends where the range does; the last one before ends here.
    End { reached: Lsn, expected: Lsn },
    /// The segment comes before those that the range needs first, again and again.
    OutOfOrder,
    /// The segment cannot be read; the whole message.
    Unreadable(String),
}

impl RangeCheck {
    /// Begins.
    pub(super) fn new(
        range: WalRange,
        successor: Option<TimelineId>,
        segment_size: WalSegmentSize,
        system_identifier: Option<u64>,
    ) -> Self {
        let is_empty = range.start_lsn >= range.end_lsn;
        RangeCheck {
            range,
            successor,
            segment_size,
            system_identifier,
            segment: SegmentNumber::containing(range.start_lsn, segment_size),
            taken: 0,
            progress: if is_empty { Progress::Proved } else { Progress::Header(Vec::new()) },
            records: ProvedRecords { first: None, end: range.start_lsn },
        }
    }

    /// Says whether no more segments are needed.
    pub(super) fn is_decided(&self) -> bool {
        matches!(self.progress, Progress::Proved | Progress::Failed(..))
    }

    /// Says whether something is wrong.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.progress, Progress::Failed(..))
    }

    /// Returns the size of segments.
    pub(super) fn segment_size(&self) -> WalSegmentSize {
        self.segment_size
    }

    /// Returns the names of the next segment, the preferred one first; none if no more is needed.
    ///
    /// A new timeline begins with a copy of the segment in which the old one ends. As a server does, the copy is
    /// taken where the original is missing: it may never have been archived.
    pub(super) fn wanted(&self) -> impl Iterator<Item = String> {
        let is_last = self.needed() < self.segment_size.bytes();
        let timelines = [Some(self.range.timeline), self.successor.filter(|_| is_last)];
        let name = |timeline| self.segment.file_name(timeline, self.segment_size);
        timelines.into_iter().flatten().filter(|_| !self.is_decided()).map(name)
    }

    /// Takes the next bytes of the segment. What is behind the range or the segment does not matter.
    pub(super) fn handle(&mut self, bytes: &[u8]) {
        let at = self.segment_start().offset() + self.taken;
        let bytes = bytes.get(..cut(self.needed() - self.taken)).unwrap_or(bytes);
        self.taken += bytes.len() as u64;
        self.take_header(bytes);
        self.read(bytes, Lsn::new(at));
    }

    /// Begins reading when the first segment's header is there.
    fn take_header(&mut self, bytes: &[u8]) {
        let Progress::Header(header) = &mut self.progress else { return };
        header.extend(bytes.iter().take(SegmentHeader::SIZE - header.len()));
        let Some(fields) = SegmentHeader::decode(header) else { return };
        let header = std::mem::take(header);
        self.progress = match self.begin(fields, &header) {
            Ok(reader) => Progress::Records(Box::new(reader)),
            Err(fault) => Progress::Failed(self.segment, fault),
        };
    }

    /// Makes the reader. The header is checked also if reading begins on a later page, as it says whose segment
    /// this is.
    fn begin(&self, fields: SegmentHeader, header: &[u8]) -> Result<WalReader, Fault> {
        let origin = WalOrigin {
            start: self.segment_start(),
            timeline: self.range.timeline,
            segment_size: self.segment_size,
            format: fields.format.ok_or(Fault::Format { page_magic: fields.page_magic })?,
            system_identifier: self.system_identifier,
        };
        let mut reader = WalReader::new(origin);
        reader.handle(header, &mut |_| {}).map_err(Fault::Damage)?;
        let start = self.range.start_lsn.offset();
        let page = Lsn::new(start - start % PAGE_SIZE);
        let begins_later = page != origin.start;
        Ok(if begins_later { WalReader::new(WalOrigin { start: page, ..origin }) } else { reader })
    }

    /// Reads the bytes from a position on, as far as the reader has not seen them.
    fn read(&mut self, bytes: &[u8], at: Lsn) {
        let Progress::Records(reader) = &mut self.progress else { return };
        let seen = reader.position().checked_sub(at).map_or(0, cut);
        let (records, start) = (&mut self.records, self.range.start_lsn);
        let outcome = reader.handle(bytes.get(seen..).unwrap_or_default(), &mut |record| {
            records.note(record, start);
        });
        if self.records.leave_gap_at(start) {
            self.fail(Fault::Start(start));
        } else if self.records.end >= self.range.end_lsn {
            self.progress = Progress::Proved;
        } else if let Err(damage) = outcome {
            let segment = SegmentNumber::containing(damage.at, self.segment_size);
            self.progress = Progress::Failed(segment, Fault::Damage(damage));
        }
    }

    /// Ends the segment, and goes on to the next one.
    pub(super) fn end_segment(&mut self) {
        if self.is_decided() {
            return;
        }
        let (taken, needed) = (self.taken, self.needed());
        let (reached, expected) = (self.records.end, self.range.end_lsn);
        match self.segment.next(self.segment_size) {
            _ if taken < needed => self.fail(Fault::Short { taken, needed }),
            Some(next) if next.start(self.segment_size) < expected => {
                self.segment = next;
                self.taken = 0;
            }
            Some(_) | None => self.fail(Fault::End { reached, expected }),
        }
    }

    /// Ends the check: something is wrong with the segment that is wanted.
    pub(super) fn fail(&mut self, fault: Fault) {
        self.progress = Progress::Failed(self.segment, fault);
    }

    /// Says what is wrong, in an archive if it is one.
    pub(super) fn into_finding(mut self, archive: Option<&str>) -> Option<Finding> {
        if !self.is_decided() {
            self.fail(Fault::Missing);
        }
        let Progress::Failed(segment, fault) = self.progress else { return None };
        let timeline = self.range.timeline;
        let segment = segment.file_name(timeline, self.segment_size);
        let reason = fault.describe(&Place { segment: &segment, archive });
        Some(finding(timeline, Some(&segment), archive, reason))
    }

    fn segment_start(&self) -> Lsn {
        self.segment.start(self.segment_size)
    }

    /// Returns how much of the segment is needed, in bytes.
    fn needed(&self) -> u64 {
        let to_end = self.range.end_lsn.checked_sub(self.segment_start()).unwrap_or(0);
        to_end.min(self.segment_size.bytes())
    }
}

impl ProvedRecords {
    fn note(&mut self, record: WalRecord, start: Lsn) {
        if record.end > start {
            self.first.get_or_insert(record.start);
            self.end = record.end;
        }
    }

    /// Says whether the first record begins behind a position and its page's header.
    fn leave_gap_at(&self, start: Lsn) -> bool {
        let begins_page = start.offset().is_multiple_of(PAGE_SIZE);
        let header_size = if begins_page { SegmentHeader::SIZE as u64 } else { 0 };
        let first_max = start.checked_add(header_size);
        self.first.zip(first_max).is_some_and(|(first, max)| first > max)
    }
}

/// Where a fault is.
struct Place<'a> {
    segment: &'a str,
    archive: Option<&'a str>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file \"{}\"", self.segment)?;
        self.archive.map_or(Ok(()), |archive| write!(f, " in archive \"{archive}\""))
    }
}

impl Fault {
    /// Says it in a line, in the words of `pg_waldump` where it has some.
    fn describe(self, place: &Place<'_>) -> String {
        match self {
            Fault::Missing if place.archive.is_none() => {
                format!("could not find {place}: No such file or directory")
            }
            Fault::Missing => format!("could not find {place}"),
            Fault::Short { taken, needed } => {
                let missing = needed - taken;
                format!("could not read from {place}, offset {taken}: read 0 of {missing}")
            }
            Fault::Format { page_magic } => {
                format!("{place}: unrecognized magic number {page_magic:04X}, WAL was not checked")
            }
            Fault::Damage(damage) => format!("{place}: {damage}"),
            Fault::Start(start) => format!("{place}: could not find a valid record at {start}"),
            Fault::End { reached, expected } => {
                format!("{place}: no record ends at {expected}, the last one ends at {reached}")
            }
            Fault::OutOfOrder => format!("{place}: WAL files are too far out of order"),
            Fault::Unreadable(message) => message,
        }
    }
}

/// Returns a size as far as memory can have it.
fn cut(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
