//! Segments in a tar archive.
//!
//! Servers and their clients store segments in the order of the log, so one reading of the archive gives each
//! range all of its segments: of a compressed archive, the one that gives the rest of the backup too. Where a
//! segment comes too early, the archive is read again.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;

use super::range::{Fault, RangeCheck};
use super::{Finding, begin, nothing_checked, segment_name, segment_size_of};
use crate::archive::{BLOCK_SIZE, Member, MemberKind, MemberSink, TarError, TarParser};
use crate::manifest::WalRange;
use crate::pg::CompressionFormat;
use crate::storage::{StorageError, StoredEnd, read_stored};
use crate::verify::Problem;

/// How often an archive is read at most. Only one that was packed anew, by a program that does not sort, wants
/// to be read more than once; the bound keeps a large one from being read for days.
const PASSES_MAX: usize = 16;

/// Bytes that one read of a segment asks for.
const READ_SIZE: usize = 256 << 10;

/// An archive and what precedes the segments' names in it.
#[derive(Clone, Copy, Debug)]
pub(in crate::verify) struct WalArchive<'a> {
    pub(in crate::verify) path: &'a Path,
    pub(in crate::verify) format: Option<CompressionFormat>,
    pub(in crate::verify) prefix: &'a str,
}

impl WalArchive<'_> {
    /// Says whether nobody else reads the archive.
    fn is_of_segments_only(&self) -> bool {
        self.prefix.is_empty()
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns the name of the segment that a member is, if it is one.
    pub(in crate::verify) fn segment_of<'m>(&self, member: &'m Member) -> Option<&'m [u8]> {
        let name = member.path.as_bytes().strip_prefix(self.prefix.as_bytes())?;
        let is_segment = segment_name(name).is_some_and(|name| name.compression.is_none());
        (is_segment && member.kind == MemberKind::File).then_some(name)
    }
}

/// Proves the log of all ranges by reading the archive.
pub(super) fn check(
    archive: WalArchive<'_>,
    ranges: &[WalRange],
    system_identifier: Option<u64>,
) -> Vec<Finding> {
    let mut log = ArchivedLog::new(archive, ranges, system_identifier);
    let broken = log.read();
    log.finish(broken)
}

/// Proves the log of all ranges while somebody reads the archive from its beginning. Gives the segments to those
/// checks that want them.
#[derive(Debug)]
pub(in crate::verify) struct ArchivedLog<'a> {
    archive: WalArchive<'a>,
    ranges: &'a [WalRange],
    system_identifier: Option<u64>,
    /// One for each range, once the size of segments is known.
    takers: Vec<Taker>,
    /// Whether a segment was of use since the archive's beginning.
    took: bool,
}

/// A check, and whether it takes the present member.
#[derive(Debug)]
struct Taker {
    check: RangeCheck,
    takes: bool,
}

impl<'a> ArchivedLog<'a> {
    /// Begins. The cluster's identifier is compared if it is known.
    pub(in crate::verify) fn new(
        archive: WalArchive<'a>,
        ranges: &'a [WalRange],
        system_identifier: Option<u64>,
    ) -> Self {
        ArchivedLog { archive, ranges, system_identifier, takers: Vec::new(), took: false }
    }

    /// Begins a member of the archive.
    pub(in crate::verify) fn begin_member(&mut self, member: &Member) {
        let Some(name) = self.archive.segment_of(member) else { return };
        if self.takers.is_empty() {
            // The first one may have lost its end.
            let Some(size) = segment_size_of(name, member.size, self.ranges) else { return };
            let checks = begin(self.ranges, size, self.system_identifier);
            self.takers = checks.map(|check| Taker { check, takes: false }).collect();
        }
        for taker in &mut self.takers {
            taker.takes = taker.check.wanted().any(|wanted| wanted.as_bytes() == name);
        }
    }

    /// Takes the next bytes of the member.
    pub(in crate::verify) fn handle(&mut self, bytes: &[u8]) {
        self.taking().for_each(|taker| taker.check.handle(bytes));
    }

    /// Ends the member.
    pub(in crate::verify) fn end_member(&mut self) {
        self.took |= self.is_taking();
        for taker in self.taking() {
            taker.check.end_segment();
            taker.takes = false;
        }
    }

    /// Ends the first reading, which may have shown what is wrong with the archive itself, and reads as often again
    /// as that is of use.
    pub(in crate::verify) fn finish(mut self, mut broken: Option<Problem>) -> Vec<Finding> {
        for _ in 1..PASSES_MAX {
            if broken.is_some() || self.are_decided() || !self.took {
                break;
            }
            broken = self.read();
        }
        self.into_findings(broken)
    }

    fn into_findings(mut self, broken: Option<Problem>) -> Vec<Finding> {
        let name = self.archive.name();
        let path = name.as_bytes().to_vec();
        let broken = broken.map(|problem| Finding { path, archive: None, problem });
        if self.takers.is_empty() {
            let nothing = || format!("could not find any WAL file in archive \"{name}\"");
            let reason = broken.map_or_else(nothing, |broken| broken.to_string());
            return nothing_checked(self.ranges, Some(&name), &reason);
        }
        // Of an archive that others read too, they say what is wrong behind the last segment.
        let is_told_here = self.are_decided() && self.archive.is_of_segments_only();
        let behind = broken.clone().filter(|_| is_told_here);
        if let Some(broken) = broken {
            self.fail_undecided(|| Fault::Unreadable(broken.to_string()));
        } else if self.took {
            self.fail_undecided(|| Fault::OutOfOrder);
        }
        let checks = self.takers.into_iter().map(|taker| taker.check);
        checks.filter_map(|check| check.into_finding(Some(&name))).chain(behind).collect()
    }

    /// Reads the archive from its beginning. Returns what is wrong with it.
    fn read(&mut self) -> Option<Problem> {
        self.took = false;
        let outcome = match self.archive.format {
            Some(format) => read_compressed(self.archive.path, format, self),
            None => read_plain(self.archive.path, self),
        };
        outcome.err()
    }

    fn are_decided(&self) -> bool {
        !self.takers.is_empty() && self.takers.iter().all(|taker| taker.check.is_decided())
    }

    fn fail_undecided(&mut self, fault: impl Fn() -> Fault) {
        for taker in self.takers.iter_mut().filter(|taker| !taker.check.is_decided()) {
            taker.check.fail(fault());
        }
    }

    /// Says whether the present member is of use.
    fn is_taking(&self) -> bool {
        self.takers.iter().any(|taker| taker.takes)
    }

    fn taking(&mut self) -> impl Iterator<Item = &mut Taker> {
        self.takers.iter_mut().filter(|taker| taker.takes)
    }
}

/// All that was to be proved is decided.
#[derive(Debug, thiserror::Error)]
#[error("decided")]
pub(in crate::verify) struct Decided;

/// The log by itself, from an archive of which nothing else is wanted.
impl MemberSink for ArchivedLog<'_> {
    type Error = Decided;

    fn begin(&mut self, member: &Member) -> Result<(), Decided> {
        self.begin_member(member);
        Ok(())
    }

    fn contents(&mut self, bytes: Bytes) -> Result<(), Decided> {
        self.handle(&bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Decided> {
        self.end_member();
        let is_enough = !self.archive.is_of_segments_only() && self.are_decided();
        if is_enough { Err(Decided) } else { Ok(()) }
    }
}

fn read_compressed(
    path: &Path,
    format: CompressionFormat,
    log: &mut ArchivedLog<'_>,
) -> Result<(), Problem> {
    let mut parser = TarParser::default();
    let mut handled = Ok(());
    let read = read_stored(path, Some(format), &mut |bytes| {
        handled = parser.handle(Bytes::copy_from_slice(bytes), log);
        if handled.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    match read.map_err(|error| Problem::Io(error.to_string()))? {
        StoredEnd::Whole => unless_decided(handled.and_then(|()| parser.finish())),
        StoredEnd::Stopped => unless_decided(handled),
        StoredEnd::Damaged(reason) => Err(Problem::Archive(reason)),
    }
}

/// Reads an archive that is not compressed, and passes over what no check takes.
fn read_plain(path: &Path, log: &mut ArchivedLog<'_>) -> Result<(), Problem> {
    let io = |action, error| Problem::Io(StorageError::new(action, path, error).to_string());
    let file = File::open(path).map_err(|error| io("open file", error))?;
    let size = file.metadata().map_err(|error| io("stat file", error))?.len();
    let mut parser = TarParser::default();
    let mut buffer = vec![0; READ_SIZE];
    let mut offset = 0;
    loop {
        let wanted = if log.is_taking() { READ_SIZE } else { BLOCK_SIZE };
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let read = file.read_at(room, offset).map_err(|error| io("read file", error))?;
        if read == 0 {
            return unless_decided(parser.finish());
        }
        offset += read as u64;
        let bytes = Bytes::copy_from_slice(buffer.get(..read).unwrap_or_default());
        let handled = parser.handle(bytes, log).and_then(|()| match log.is_taking() {
            true => Ok(0),
            false => parser.skip(size.saturating_sub(offset), log),
        });
        match handled {
            Ok(skipped) => offset += skipped,
            Err(error) => return unless_decided(Err(error)),
        }
    }
}

/// Passes on what is wrong with an archive. That no more of it is needed is nothing wrong.
fn unless_decided(outcome: Result<(), TarError<Decided>>) -> Result<(), Problem> {
    match outcome {
        Ok(()) | Err(TarError::Sink(Decided)) => Ok(()),
        Err(error) => Err(Problem::Archive(error.to_string())),
    }
}
