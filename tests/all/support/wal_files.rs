//! WAL in files: comparing what was received with the server's own, byte by byte.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pgsiphon::pg::Lsn;

use super::scratch::{names, run};
use super::server::Server;
use super::skip;

/// How much is compared at a time.
const PIECE_SIZE: u64 = 1 << 20;

/// What the name of a segment ends with that is not complete.
const PARTIAL: &str = ".partial";

/// A segment of a timeline in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The timeline.
    pub timeline: u32,
    /// Its first position.
    pub start: Lsn,
    /// Its size.
    pub size: u64,
    /// Whether its name says that it is not complete.
    pub is_partial: bool,
}

impl Segment {
    /// Reads a file's name; `None` if it is not that of a segment.
    fn from_name(name: &str, size: u64) -> Option<Self> {
        let digits = name.strip_suffix(PARTIAL).unwrap_or(name);
        if digits.len() != 24 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = |range| u32::from_str_radix(&digits[range], 16).unwrap();
        let (log, segment) = (number(8..16), number(16..24));
        let start = Lsn::new((u64::from(log) << 32) + u64::from(segment) * size);
        Some(Segment { timeline: number(0..8), start, size, is_partial: name.ends_with(PARTIAL) })
    }

    /// Returns the name of the complete segment.
    pub fn name(&self) -> String {
        let (log, rest) = (self.start.offset() >> 32, self.start.offset() & u64::from(u32::MAX));
        format!("{:08X}{log:08X}{:08X}", self.timeline, rest / self.size)
    }

    /// Returns the name of its file.
    pub fn file_name(&self) -> String {
        self.name() + if self.is_partial { PARTIAL } else { "" }
    }

    /// Returns the first position behind it.
    pub fn end(&self) -> Lsn {
        self.start.checked_add(self.size).unwrap()
    }
}

/// Lists the segments in a directory in order. Files that are not compressed have a segment's size.
pub fn segments(directory: &Path) -> Vec<Segment> {
    let size = |name: &String| fs::metadata(directory.join(name)).unwrap().len();
    let names = names(directory);
    names.iter().filter_map(|name| Segment::from_name(name, size(name))).collect()
}

/// Returns the directory of a server's own WAL.
pub fn pg_wal(server: &Server) -> PathBuf {
    server.data().join("pg_wal")
}

/// Says whether a directory holds the segment with the last byte before a position as the server
/// does, up to there.
pub fn holds(directory: &Path, server: &Server, end: Lsn) -> bool {
    // Who finds a segment while it gets its final name, finds it complete when looking again.
    (0..2).any(|_| holds_now(directory, server, end).unwrap_or(false))
}

fn holds_now(directory: &Path, server: &Server, end: Lsn) -> Option<bool> {
    let segment = names(directory).into_iter().filter_map(|name| {
        let size = fs::metadata(directory.join(&name)).ok()?.len();
        let segment = Segment::from_name(&name, size).filter(|_| size > 0)?;
        (segment.start < end && end <= segment.end()).then_some(segment)
    });
    let segment = segment.max()?;
    let stored = File::open(directory.join(segment.file_name())).ok()?;
    let count = end.checked_sub(segment.start)?;
    Some(first_difference(&stored, &own(server, &segment), count).is_none())
}

/// Opens the server's own file of a segment.
fn own(server: &Server, segment: &Segment) -> File {
    let path = pg_wal(server).join(segment.name());
    File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Makes sure that a directory holds a server's log as the server does: without a gap, to the end
/// of each timeline that has ended, and at least up to `end` of the last; that just the segments
/// that are not complete are partial, and have zeros behind. Returns where it begins.
#[track_caller]
pub fn assert_log(directory: &Path, server: &Server, end: Lsn) -> Lsn {
    let segments = segments(directory);
    let ends = past_timelines(server);
    let mut next = segments[0].start;
    for segment in &segments {
        let name = segment.file_name();
        let offset = next.offset() % segment.size;
        assert_eq!(segment.start, Lsn::new(next.offset() - offset), "no gap before {name}");
        let stored = File::open(directory.join(&name)).unwrap();
        // A server that is left alone may still write a little on the last timeline.
        let written = segment.start.checked_add(written_size(&stored, segment.size)).unwrap();
        next = segment.end().min(ends.get(&segment.timeline).copied().unwrap_or(written.max(end)));
        assert_eq!(segment.is_partial, next < segment.end(), "{name}, {next}");
        assert!(written <= next, "{name} holds something behind {next}");
        let count = next.checked_sub(segment.start).unwrap();
        let difference = first_difference(&stored, &own(server, segment), count);
        assert_eq!(difference, None, "offset in {name}");
    }
    assert!(next >= end, "{segments:?} end before {end}");
    segments[0].start
}

/// Returns where the last timeline of a server begins.
pub fn last_switch(server: &Server) -> Lsn {
    let ends = past_timelines(server);
    *ends.values().next_back().expect("it has begun a timeline")
}

/// Returns where the timelines of a server ended but for the last, by the newest history file.
fn past_timelines(server: &Server) -> BTreeMap<u32, Lsn> {
    let directory = pg_wal(server);
    let newest = names(&directory).into_iter().rfind(|name| name.ends_with(".history"));
    let history = newest.map(|name| fs::read_to_string(directory.join(name)).unwrap());
    history.unwrap_or_default().lines().filter_map(switch).collect()
}

/// Reads a line of a history file: a timeline and its end.
fn switch(line: &str) -> Option<(u32, Lsn)> {
    let mut fields = line.split('\t');
    Some((fields.next()?.trim().parse().ok()?, fields.next()?.parse().ok()?))
}

/// Returns the piece's first offset at which two files differ before an offset.
fn first_difference(left: &File, right: &File, count: u64) -> Option<u64> {
    let mut offsets = (0..count).step_by(usize::try_from(PIECE_SIZE).unwrap());
    offsets.find(|&offset| {
        let range = offset..(offset + PIECE_SIZE).min(count);
        piece(left, range.clone()) != piece(right, range)
    })
}

/// Returns up to where a file holds something other than zeros.
fn written_size(file: &File, size: u64) -> u64 {
    let zeros = vec![0; usize::try_from(PIECE_SIZE).unwrap()];
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(PIECE_SIZE);
        let piece = piece(file, start..end);
        if piece != zeros {
            let last = piece.iter().rposition(|&byte| byte != 0);
            return last.map_or(start, |last| start + last as u64 + 1);
        }
        end = start;
    }
    0
}

fn piece(file: &File, range: std::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], range.start + filled as u64).unwrap() {
            0 => bytes.truncate(filled),
            count => filled += count,
        }
    }
    bytes
}

/// The program that decompresses a file, by what its name ends with.
const DECOMPRESSORS: [(&str, &str); 3] = [(".gz", "gzip"), (".lz4", "lz4"), (".zst", "zstd")];

/// Says whether everything can be decompressed here; if not, with a line that says so.
pub fn can_unpack() -> bool {
    let is_missing = |(_, program): &&(&str, &str)| {
        Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err()
    };
    let missing = DECOMPRESSORS.iter().find(is_missing);
    if let Some((_, program)) = missing {
        skip(&format!("{program} is not installed"));
    }
    missing.is_none()
}

/// Copies a directory of WAL and decompresses what is compressed there; partial segments get zeros
/// behind, as they have when they are not compressed. Of the forms of one segment, a complete one
/// or the newest counts.
pub fn unpack(from: &Path, to: &Path, segment_size: u64) {
    let changed = |name: &String| fs::metadata(from.join(name)).unwrap().modified().unwrap();
    let mut files: Vec<_> = names(from).into_iter().filter(|name| !name.starts_with('.')).collect();
    files.sort_by_key(|name| (!name.ends_with(PARTIAL), changed(name)));
    let latest: BTreeMap<_, _> =
        files.iter().map(|name| (name.split('.').next().unwrap(), name)).collect();
    for name in files.iter().filter(|name| latest.values().any(|latest| latest == name)) {
        let bare = name.strip_suffix(PARTIAL).unwrap_or(name);
        let format = DECOMPRESSORS.iter().find(|(suffix, _)| bare.ends_with(suffix));
        let (suffix, program) = format.copied().unwrap_or(("", "cat"));
        let file = File::create(to.join(name.replacen(suffix, "", 1))).unwrap();
        let mut command = Command::new(program);
        command.stdin(File::open(from.join(name)).unwrap());
        if !suffix.is_empty() {
            command.arg("-dc");
        }
        run(command.stdout(Stdio::from(file.try_clone().unwrap())));
        if !name.contains(".history") {
            let is_whole = file.metadata().unwrap().len() == segment_size;
            assert!(is_whole || name.ends_with(PARTIAL), "{name}");
            file.set_len(segment_size).unwrap();
        }
    }
}
