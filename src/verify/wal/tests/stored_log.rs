//! Logs made by hand, and stored in every form.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::super::*;
use super::one_pass::found_in_pass;
use crate::archive::{NewMember, TRAILER_SIZE, padding};
use crate::pg::Lsn;
use crate::walrecord::fixture::{SEGMENT_SIZE, START, SYSTEM_IDENTIFIER, WalBuilder};

use CompressionFormat::{Gzip, Lz4, Zstd};

/// The names of the segments that [`Log::new`] makes.
pub(super) const FIRST: &str = "000000010000000000000003";
pub(super) const MIDDLE: &str = "000000010000000000000004";
pub(super) const LAST: &str = "000000010000000000000005";

/// The positions of these segments.
pub(super) const MIDDLE_START: u64 = START + SEGMENT_SIZE as u64;
pub(super) const LAST_START: u64 = START + 2 * SEGMENT_SIZE as u64;

pub(super) const FORMATS: [Option<CompressionFormat>; 4] =
    [None, Some(Gzip), Some(Lz4), Some(Zstd)];

/// What precedes the segments' names in an archive of their own, and in one of the data directory.
pub(super) const ROOT: &str = "";
pub(super) const PG_WAL: &str = "pg_wal/";

/// Files that no log has, although one has the name of [`FIRST`].
pub(super) const OTHERS: [&str; 3] = [
    "PG_VERSION",
    "archive_status/000000010000000000000004.done",
    "elsewhere/000000010000000000000003",
];

pub(super) const OTHER_CONTENTS: &str = "17\n";

/// A log of a few segments, and what of it is needed.
#[derive(Clone)]
pub(super) struct Log {
    pub(super) segments: Vec<(String, Vec<u8>)>,
    /// The positions of records.
    pub(super) records: Vec<u64>,
    pub(super) ranges: Vec<WalRange>,
}

impl Log {
    /// Writes three segments. Needed are they from a page behind the first one to the middle of the last one.
    pub(super) fn new() -> Self {
        Log::of_segments(3)
    }

    pub(super) fn of_segments(count: usize) -> Self {
        let mut log = WalBuilder::new();
        let mut records = Vec::new();
        let size = SEGMENT_SIZE as usize;
        while log.bytes.len() < count * size - size / 2 {
            records.push(log.record(10, 0, &[records.len() as u8; 9000]));
        }
        log.bytes.resize(count * size, 0);
        let name = |index: usize| format!("0000000100000000{:08X}", index + 3);
        let segments = log.bytes.chunks(size).map(<[u8]>::to_vec);
        let segments = segments.enumerate().map(|(index, bytes)| (name(index), bytes)).collect();
        let needed = (records[2], records[records.len() - 2]);
        Log { segments, records, ranges: vec![range(1, needed.0, needed.1)] }
    }

    /// Returns a segment's bytes.
    pub(super) fn segment(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.segments.iter_mut().find(|(found, _)| found == name).unwrap().1
    }

    /// Flips a bit at a position.
    pub(super) fn flip(&mut self, position: u64) {
        let offset = (position - START) as usize;
        let size = SEGMENT_SIZE as usize;
        self.segments[offset / size].1[offset % size] ^= 4;
    }

    /// Returns the position of the last record that is needed.
    pub(super) fn last_needed(&self) -> u64 {
        self.records[self.records.len() - 3]
    }

    /// Returns the position of the record that goes on in the middle segment.
    pub(super) fn record_into_middle(&self) -> u64 {
        *self.records.iter().rfind(|&&position| position < MIDDLE_START).unwrap()
    }

    /// Returns the position of the first record that begins in the middle segment.
    pub(super) fn record_in_middle(&self) -> u64 {
        *self.records.iter().find(|&&position| position > MIDDLE_START).unwrap()
    }
}

pub(super) fn range(timeline: u32, start: u64, end: u64) -> WalRange {
    let timeline = TimelineId::try_from(timeline).unwrap();
    WalRange { timeline, start_lsn: Lsn::new(start), end_lsn: Lsn::new(end) }
}

/// How a log is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Directory(Option<CompressionFormat>),
    Archive(&'static str, Option<CompressionFormat>),
}

pub(super) use Form::{Archive, Directory};

pub(super) fn forms() -> impl Iterator<Item = Form> {
    let directories = FORMATS.map(Directory);
    let archives = FORMATS.map(|format| Archive(ROOT, format));
    let base = FORMATS.map(|format| Archive(PG_WAL, format));
    directories.into_iter().chain(archives).chain(base)
}

impl Form {
    /// Stores a log.
    pub(super) fn store(self, log: &Log, directory: &Path) -> WalSource {
        match self {
            Directory(format) => {
                for (name, segment) in &log.segments {
                    let name = format!("{name}{}", format.map_or("", CompressionFormat::suffix));
                    fs::write(directory.join(name), compress(format, segment)).unwrap();
                }
                WalSource::Directory(directory.to_owned())
            }
            Archive(prefix, format) => {
                let path = directory.join(self.archive_name().unwrap());
                fs::write(&path, compress(format, &tar(prefix, &log.segments))).unwrap();
                WalSource::Archive { path, format, prefix }
            }
        }
    }

    pub(super) fn archive_name(self) -> Option<String> {
        let (stem, format) = match self {
            Directory(_) => return None,
            Archive(ROOT, format) => ("pg_wal", format),
            Archive(_, format) => ("base", format),
        };
        Some(format!("{stem}.tar{}", format.map_or("", CompressionFormat::suffix)))
    }
}

pub(super) fn tar(prefix: &str, segments: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let others = OTHERS.into_iter().map(|name| (name.to_owned(), OTHER_CONTENTS.as_bytes()));
    let segments =
        segments.iter().map(|(name, bytes)| (format!("{prefix}{name}"), bytes.as_slice()));
    for (name, contents) in others.chain(segments) {
        let size = contents.len() as u64;
        let member = NewMember { name: &name, mode: 0o600, size, mtime: 1, injected: false };
        archive.extend(member.to_header());
        archive.extend(contents);
        archive.extend(vec![0; padding(size)]);
    }
    archive.extend([0; TRAILER_SIZE]);
    archive
}

pub(super) fn compress(format: Option<CompressionFormat>, contents: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    match format {
        None => compressed.extend(contents),
        Some(Gzip) => {
            let mut encoder =
                flate2::write::GzEncoder::new(&mut compressed, flate2::Compression::fast());
            encoder.write_all(contents).unwrap();
            encoder.finish().unwrap();
        }
        Some(Lz4) => {
            let preferences = lzzzz::lz4f::Preferences::default();
            lzzzz::lz4f::compress_to_vec(contents, &mut compressed, &preferences).unwrap();
        }
        Some(Zstd) => compressed = zstd::encode_all(contents, 1).unwrap(),
    }
    compressed
}

/// Stores a log and says what is found.
pub(super) fn found(form: Form, log: &Log) -> Vec<Finding> {
    let scratch = tempfile::tempdir().unwrap();
    match form.store(log, scratch.path()) {
        WalSource::Archive { path, format: Some(format), prefix: PG_WAL } => {
            found_in_pass(&path, format, log)
        }
        source => check(&source, &log.ranges, Some(SYSTEM_IDENTIFIER)),
    }
}

/// The only finding, which is about timeline 1; `{file}` stands for the segment and where it is.
pub(super) fn only(form: Form, segment: &str, reason: &str) -> Vec<Finding> {
    let archive = form.archive_name();
    let (file, reason) = match &archive {
        Some(archive) => {
            let reason = reason.strip_suffix(": No such file or directory").unwrap_or(reason);
            (format!("file \"{segment}\" in archive \"{archive}\""), reason)
        }
        None => (format!("file \"{segment}\""), reason),
    };
    let reason = reason.replace("{file}", &file);
    vec![finding(TimelineId::FIRST, Some(segment), archive.as_deref(), reason)]
}
