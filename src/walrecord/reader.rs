//! Reading the log in pieces.

use super::page::{HeaderBytes, PAGE_SIZE, PageBeginning, PageHeader, header_around, page_offset};
use super::record::{ALIGNMENT, Link, PartialRecord, RecordTail};
use super::{DamageKind, RecordKind, WalDamage, WalFormat, WalRecord, fill};
use crate::pg::{Lsn, TimelineId, WalSegmentSize};

/// What is known before the first byte.
#[derive(Clone, Copy, Debug)]
pub struct WalOrigin {
    /// The position of the first byte: the beginning of a page.
    pub start: Lsn,
    /// The timeline of the stream. Pages may be of older ones: a timeline begins in the middle of a segment.
    pub timeline: TimelineId,
    /// The cluster's segment size.
    pub segment_size: WalSegmentSize,
    /// The form of the log.
    pub format: WalFormat,
    /// The cluster's identifier, if it is known; it stands at the beginning of each segment.
    pub system_identifier: Option<u64>,
}

/// Reads the log from a position on, in pieces of any size, and proves pages and records.
///
/// Records and damage are the same however the log is cut. A copy of the reader can go on from the same
/// position.
#[derive(Clone, Debug)]
pub struct WalReader {
    origin: WalOrigin,
    position: Lsn,
    /// `origin.start <= proven <= position`.
    proven: Lsn,
    /// The header of the page, complete or not.
    page_header: HeaderBytes,
    /// The timeline of the last page; before the first, the first timeline that there is.
    page_timeline: u32,
    /// Where the next record's link leads.
    link: Link,
    /// The end of what began before the origin, if that may have been a switch record.
    possible_switch_end: Option<Lsn>,
    state: State,
    /// What was found; nothing is read after it.
    damage: Option<WalDamage>,
}

/// What the next byte is, page headers apart.
#[derive(Clone, Debug)]
enum State {
    /// The first of all.
    Origin,
    /// One of a record that began before the origin.
    Tail(RecordTail),
    /// The first of a record.
    Between,
    /// One of a record that is not complete.
    Inside(PartialRecord),
    /// One that aligns the end of a record, which is proved unless it began before the origin.
    Aligning { record: Option<WalRecord> },
    /// One behind a switch record: no page and no record up to the end of the segment.
    Unused,
}

impl WalReader {
    /// Begins.
    pub fn new(origin: WalOrigin) -> Self {
        WalReader {
            origin,
            position: origin.start,
            proven: origin.start,
            page_header: [0; size_of::<HeaderBytes>()],
            page_timeline: TimelineId::FIRST.number(),
            link: Link::Below(origin.start),
            possible_switch_end: None,
            state: State::Origin,
            damage: None,
        }
    }

    /// Returns the position behind the last byte that was taken.
    pub fn position(&self) -> Lsn {
        self.position
    }

    /// Returns the position up to which the log is complete and proved, [`Self::position`] at most.
    ///
    /// | so far | position |
    /// |---|---|
    /// | nothing | the origin |
    /// | the end of a record that began before the origin | behind it, although it cannot be proved |
    /// | records | [`WalRecord::end`] of the last one: aligned, before the header of a page |
    /// | a switch record | the first byte behind it that is not zero, the end of the segment at most |
    /// | what may be the end of a switch record | the same, if zeros follow it, and no record |
    ///
    /// Behind a switch record, a crash of the server can leave old bytes, which nobody reads. They are
    /// passed over, and count when the next record is there.
    pub fn proven(&self) -> Lsn {
        self.proven
    }

    /// Takes the next bytes, and gives each record that they complete, its alignment included.
    ///
    /// # Errors
    /// The first damage, and the same again whenever more bytes come. Nothing is taken from there on.
    pub fn handle(
        &mut self,
        bytes: &[u8],
        on_record: &mut impl FnMut(WalRecord),
    ) -> Result<(), WalDamage> {
        if let Some(damage) = self.damage {
            return Err(damage);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.take(rest).inspect_err(|damage| self.damage = Some(*damage))?;
            self.position = advanced(self.position, taken);
            rest = rest.get(taken..).unwrap_or_default();
            if let State::Aligning { record } = self.state
                && self.position.offset().is_multiple_of(ALIGNMENT)
            {
                self.end_record(record, on_record);
            }
        }
        Ok(())
    }

    /// Takes bytes as far as they are of one kind; returns their number, which is not 0.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, WalDamage> {
        let has_pages = !matches!(self.state, State::Unused);
        match header_around(self.position, self.origin.segment_size).filter(|_| has_pages) {
            Some(header_size) => self.take_page_header(bytes, header_size),
            None => {
                let room = PAGE_SIZE - page_offset(self.position);
                self.take_contents(bytes.get(..room).unwrap_or(bytes))
            }
        }
    }

    fn take_page_header(&mut self, bytes: &[u8], size: usize) -> Result<usize, WalDamage> {
        let filled = page_offset(self.position);
        let taken = fill(self.page_header.get_mut(..size).unwrap_or_default(), filled, bytes);
        if filled + taken == size {
            self.begin_page(Lsn::new(self.position.offset() - filled as u64))?;
        }
        Ok(taken)
    }

    /// Checks the header of the page that begins at a position, and whether it continues what was before.
    fn begin_page(&mut self, at: Lsn) -> Result<(), WalDamage> {
        let header = PageHeader::decode(&self.page_header);
        header
            .check(at, &self.origin, self.page_timeline)
            .map_err(|kind| WalDamage { at, kind })?;
        self.page_timeline = header.timeline();
        match (&self.state, header.beginning()) {
            // What was incomplete is dropped; the next record's link leads to the one before it.
            (_, PageBeginning::Overwrite) => self.state = State::Between,
            (State::Inside(record), beginning) => {
                continues(beginning, record.remaining())
                    .map_err(|kind| WalDamage { at: record.start(), kind })?;
            }
            (State::Tail(tail), beginning) => {
                continues(beginning, tail.remaining()).map_err(|kind| WalDamage { at, kind })?;
            }
            (State::Origin, PageBeginning::Continuation { remaining }) => {
                self.state = State::Tail(RecordTail::of(remaining));
            }
            (_, PageBeginning::Record) => self.state = State::Between,
            (_, PageBeginning::Continuation { .. }) => {
                return Err(WalDamage { at, kind: DamageKind::UnexpectedContinuation });
            }
        }
        Ok(())
    }

    /// Takes what is on one page behind its header.
    fn take_contents(&mut self, contents: &[u8]) -> Result<usize, WalDamage> {
        match &mut self.state {
            // Only if the origin was not the beginning of a page: what this belongs to is not known.
            State::Origin => Ok(contents.len()),
            State::Tail(tail) => {
                let taken = tail.take(contents);
                if tail.remaining() == 0 {
                    let end = advanced(self.position, taken);
                    self.possible_switch_end = tail.may_be_switch().then_some(end);
                    self.state = State::Aligning { record: None };
                }
                Ok(taken)
            }
            State::Between => {
                self.state = State::Inside(PartialRecord::at(self.position));
                self.take_contents(contents)
            }
            State::Inside(record) => {
                let start = record.start();
                let damaged = |kind| WalDamage { at: start, kind };
                let format = self.origin.format;
                let taken = match record.take(contents, format, self.link) {
                    Err(DamageKind::RecordTooShort(0))
                        if self.possible_switch_end == Some(start) =>
                    {
                        return Ok(self.begin_unused(contents));
                    }
                    taken => taken.map_err(damaged)?,
                };
                if record.is_complete() {
                    let kind = record.prove().map_err(damaged)?;
                    let end = self.end_of(kind, advanced(self.position, taken));
                    self.state = State::Aligning { record: Some(WalRecord { start, end, kind }) };
                }
                Ok(taken)
            }
            State::Aligning { .. } => Ok(contents.len().min(to_alignment(self.position))),
            State::Unused => Ok(self.take_unused(contents)),
        }
    }

    /// Returns the end of a record, given the end of its bytes.
    fn end_of(&self, kind: RecordKind, end: Lsn) -> Lsn {
        let aligned = advanced(end, to_alignment(end));
        match kind {
            RecordKind::Switch => advanced(aligned, self.left_of_segment(aligned)),
            RecordKind::Commit(_) | RecordKind::Other => aligned,
        }
    }

    /// Ends a record that is there with its alignment.
    fn end_record(&mut self, record: Option<WalRecord>, on_record: &mut impl FnMut(WalRecord)) {
        self.proven = self.position;
        self.state = State::Between;
        if let Some(record) = record {
            self.link = Link::To(record.start);
            if record.end != self.position {
                self.state = State::Unused;
            }
            on_record(record);
        }
    }

    /// Goes on with the rest of a segment, of which all is zero that came before these bytes.
    fn begin_unused(&mut self, contents: &[u8]) -> usize {
        self.proven = self.position;
        self.state = State::Unused;
        self.take_unused(contents)
    }

    fn take_unused(&mut self, contents: &[u8]) -> usize {
        if self.proven == self.position {
            self.proven = advanced(self.proven, leading_zeros(contents));
        }
        if contents.len() == self.left_of_segment(self.position) {
            self.state = State::Between;
        }
        contents.len()
    }

    /// Returns the bytes up to the end of the segment; 0 at that of a segment.
    fn left_of_segment(&self, position: Lsn) -> usize {
        left_of(position, self.origin.segment_size.bytes())
    }
}

/// Checks that a page goes on with a record of which so many bytes are missing.
fn continues(beginning: PageBeginning, expected: usize) -> Result<(), DamageKind> {
    match beginning {
        PageBeginning::Continuation { remaining } if remaining == expected => Ok(()),
        PageBeginning::Continuation { remaining: found } => {
            Err(DamageKind::ContinuationLength { found, expected })
        }
        PageBeginning::Record | PageBeginning::Overwrite => Err(DamageKind::MissingContinuation),
    }
}

/// Returns the bytes up to the next position that records are aligned to.
fn to_alignment(position: Lsn) -> usize {
    left_of(position, ALIGNMENT)
}

/// Returns the bytes up to the next multiple of a unit, which is no larger than a segment.
fn left_of(position: Lsn, unit: u64) -> usize {
    let offset = position.offset() % unit;
    if offset == 0 { 0 } else { (unit - offset) as usize }
}

/// Returns the position so many bytes further on. No log comes near the end of the address space; one that
/// claims to is stuck there, and its pages do not have the addresses that they should have.
fn advanced(position: Lsn, bytes: usize) -> Lsn {
    position.checked_add(bytes as u64).unwrap_or(Lsn::new(u64::MAX))
}

/// Returns the number of zeros that come first.
fn leading_zeros(bytes: &[u8]) -> usize {
    // Nearly always there is nothing else, and this sees it many bytes at a time.
    if bytes.iter().fold(0, |seen, byte| seen | byte) == 0 {
        return bytes.len();
    }
    bytes.iter().take_while(|&&byte| byte == 0).count()
}
