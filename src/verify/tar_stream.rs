//! Compressed archives: one thread decompresses, another one computes the checksums that take long and proves the
//! log, if the archive holds it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::thread;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::Problem;
use super::cluster::{PART_SIZE_MAX, Part};
use super::contents::{ContentsCheck, Place};
use super::tar::Origin;
use super::verification::Verification;
use super::wal::{ArchivedLog, LOG_IN_BACKUP, WalArchive};
use super::work::READ_SIZE;
use crate::archive::codec::{DecodeError, Decoder};
use crate::archive::{Member, MemberSink, TarError, TarParser};
use crate::manifest::ManifestSummary;
use crate::pg::CompressionFormat;
use crate::storage::StorageError;

/// Pieces of contents that wait to be checked; the decoder makes them some 100 KiB large.
const PIECES_MAX: usize = 16;

/// An archive that has to be read from its beginning to its end.
#[derive(Debug)]
pub(super) struct StreamedArchive {
    pub(super) path: PathBuf,
    pub(super) origin: Origin,
    pub(super) format: CompressionFormat,
    /// The size as stored, in bytes.
    pub(super) size: u64,
    /// Whether it holds the log of the backup and this is proved on the way.
    pub(super) proves_log: bool,
}

/// What the checking thread is given.
enum Piece {
    /// A file of the backup begins.
    File(Box<(Place, ContentsCheck)>),
    /// A segment of the log begins.
    Segment(Box<Member>),
    Contents(Bytes),
    End,
}

impl StreamedArchive {
    /// Reads the archive; more than once only if the segments of its log are in no useful order.
    pub(super) fn check(&self, verification: &Verification<'_>) {
        let ManifestSummary { wal_ranges, system_identifier, .. } = verification.cluster.summary();
        let ranges = if self.proves_log { wal_ranges.as_slice() } else { &[] };
        let mut log = ArchivedLog::new(self.as_wal_archive(), ranges, *system_identifier);
        let outcome = thread::scope(|scope| {
            let (sender, pieces) = bounded(PIECES_MAX);
            let checker = thread::Builder::new().name("verify-contents".to_owned());
            let started =
                checker.spawn_scoped(scope, || check_pieces(pieces, verification, &mut log));
            match started {
                Ok(_) => self.read(verification, sender),
                Err(error) => Err(Problem::Io(format!("could not create thread: {error}"))),
            }
        });
        let broken = outcome.err();
        if let Some(problem) = broken.clone() {
            let path = self.origin.name.clone().into_bytes();
            verification.findings.add(Place { path, archive: None }.finding(problem));
        }
        if !verification.findings.is_over() {
            log.finish(broken).into_iter().for_each(|finding| verification.findings.add(finding));
        }
    }

    fn as_wal_archive(&self) -> WalArchive<'_> {
        WalArchive { path: &self.path, format: Some(self.format), prefix: LOG_IN_BACKUP }
    }

    fn read(&self, verification: &Verification<'_>, pieces: Sender<Piece>) -> Result<(), Problem> {
        let io = |action, error| {
            Problem::Io(StorageError::new(action, Path::new(&self.origin.name), error).to_string())
        };
        let mut file = File::open(&self.path).map_err(|error| io("open file", error))?;
        let (origin, log) = (&self.origin, self.proves_log.then(|| self.as_wal_archive()));
        let mut members = Members { origin, log, verification, pieces, state: None };
        let (mut decoder, mut parser) = (Decoder::new(self.format), TarParser::default());
        let mut buffer = vec![0; READ_SIZE];
        let outcome = loop {
            let size = file.read(&mut buffer).map_err(|error| io("read file", error))?;
            let bytes = buffer.get(..size).unwrap_or_default();
            if bytes.is_empty() {
                let ended = decoder.finish();
                break ended.and_then(|()| parser.finish().map_err(DecodeError::Sink));
            }
            verification.progress.advance(bytes.len() as u64);
            let handled =
                decoder.handle(bytes, &mut |contents| parser.handle(contents, &mut members));
            if handled.is_err() {
                break handled;
            }
        };
        match outcome {
            Ok(()) | Err(DecodeError::Sink(TarError::Sink(Unwanted))) => Ok(()),
            Err(error) => Err(Problem::Archive(error.to_string())),
        }
    }
}

/// Nobody wants to know more.
#[derive(Debug, thiserror::Error)]
#[error("verification was ended")]
struct Unwanted;

/// Hands the contents of members over.
struct Members<'a> {
    origin: &'a Origin,
    /// How to tell segments of the log, if they are wanted.
    log: Option<WalArchive<'a>>,
    verification: &'a Verification<'a>,
    pieces: Sender<Piece>,
    /// What is done with the present member; nothing if it does not matter.
    state: Option<Present>,
}

/// A member that arrives.
struct Present {
    /// A part that is looked at as a whole.
    part: Option<(Part, Place, Vec<u8>)>,
    checking: Checking,
}

/// Who checks the contents of a member.
enum Checking {
    Nobody,
    /// This thread, which has the bytes in its cache.
    Here(Box<(Place, ContentsCheck)>),
    /// The other thread, because that takes about as long as to decompress them.
    Elsewhere,
}

impl Members<'_> {
    fn hand_over(&self, piece: Piece) -> Result<(), Unwanted> {
        self.pieces.send(piece).map_err(|_| Unwanted)
    }
}

impl MemberSink for Members<'_> {
    type Error = Unwanted;

    fn begin(&mut self, member: &Member) -> Result<(), Unwanted> {
        let verification = self.verification;
        if verification.findings.is_over() {
            return Err(Unwanted);
        }
        self.state = None;
        if self.log.is_some_and(|log| log.segment_of(member).is_some()) {
            self.hand_over(Piece::Segment(Box::new(member.clone())))?;
            self.state = Some(Present { part: None, checking: Checking::Elsewhere });
            return Ok(());
        }
        let Some(place) = self.origin.place(member, verification) else { return Ok(()) };
        let Some(listed) = verification.meet(&place, member.size) else { return Ok(()) };
        let part = verification.cluster.part(&place.path);
        let part = part.map(|part| (part, place.clone(), Vec::new()));
        let checking = match ContentsCheck::begin(&place.path, listed, verification.rules) {
            None => Checking::Nobody,
            Some(check) if check.is_slow() => {
                self.hand_over(Piece::File(Box::new((place, check))))?;
                Checking::Elsewhere
            }
            Some(check) => Checking::Here(Box::new((place, check))),
        };
        self.state = Some(Present { part, checking });
        Ok(())
    }

    fn contents(&mut self, bytes: Bytes) -> Result<(), Unwanted> {
        let Some(present) = &mut self.state else { return Ok(()) };
        if let Some((_, _, collected)) = &mut present.part {
            let room = PART_SIZE_MAX.saturating_sub(collected.len() as u64);
            let size = bytes.len().min(usize::try_from(room).unwrap_or(0));
            collected.extend_from_slice(bytes.get(..size).unwrap_or_default());
        }
        match &mut present.checking {
            Checking::Nobody => Ok(()),
            Checking::Here(checked) => {
                checked.1.handle(&bytes);
                Ok(())
            }
            Checking::Elsewhere => self.hand_over(Piece::Contents(bytes)),
        }
    }

    fn end(&mut self) -> Result<(), Unwanted> {
        let Some(present) = self.state.take() else { return Ok(()) };
        if let Some((part, place, bytes)) = present.part {
            self.verification.check_part(part, &place, &bytes);
        }
        match present.checking {
            Checking::Nobody => Ok(()),
            Checking::Here(checked) => {
                let (place, check) = *checked;
                check.finish(&place, self.verification);
                Ok(())
            }
            Checking::Elsewhere => self.hand_over(Piece::End),
        }
    }
}

/// Checks contents as they come. Those of a torn member are not judged: the archive is.
fn check_pieces(
    pieces: Receiver<Piece>,
    verification: &Verification<'_>,
    log: &mut ArchivedLog<'_>,
) {
    let mut file: Option<Box<(Place, ContentsCheck)>> = None;
    for piece in pieces {
        match piece {
            Piece::File(begun) => file = Some(begun),
            Piece::Segment(member) => log.begin_member(&member),
            Piece::Contents(bytes) => match &mut file {
                Some(file) => file.1.handle(&bytes),
                None => log.handle(&bytes),
            },
            Piece::End => match file.take().map(|file| *file) {
                Some((place, check)) => check.finish(&place, verification),
                None => log.end_member(),
            },
        }
    }
}
