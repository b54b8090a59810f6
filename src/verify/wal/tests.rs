//! Logs made by hand, stored in every form, sound and damaged.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::*;
use crate::archive::{NewMember, TRAILER_SIZE, padding};
use crate::pg::Lsn;
use crate::walrecord::fixture::{PAGE_SIZE, SEGMENT_SIZE, START, SYSTEM_IDENTIFIER, WalBuilder};

use CompressionFormat::{Gzip, Lz4, Zstd};

/// The names of the segments that [`Log::new`] makes.
const FIRST: &str = "000000010000000000000003";
const MIDDLE: &str = "000000010000000000000004";
const LAST: &str = "000000010000000000000005";

/// The positions of these segments.
const MIDDLE_START: u64 = START + SEGMENT_SIZE as u64;
const LAST_START: u64 = START + 2 * SEGMENT_SIZE as u64;

const FORMATS: [Option<CompressionFormat>; 4] = [None, Some(Gzip), Some(Lz4), Some(Zstd)];

/// A log of a few segments, and what of it is needed.
#[derive(Clone)]
struct Log {
    segments: Vec<(String, Vec<u8>)>,
    /// The positions of records.
    records: Vec<u64>,
    ranges: Vec<WalRange>,
}

impl Log {
    /// Writes three segments. Needed are they from a page behind the first one to the middle of the last one.
    fn new() -> Self {
        Log::of_segments(3)
    }

    fn of_segments(count: usize) -> Self {
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
    fn segment(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.segments.iter_mut().find(|(found, _)| found == name).unwrap().1
    }

    /// Flips a bit at a position.
    fn flip(&mut self, position: u64) {
        let offset = (position - START) as usize;
        let size = SEGMENT_SIZE as usize;
        self.segments[offset / size].1[offset % size] ^= 4;
    }

    /// Returns the position of the last record that is needed.
    fn last_needed(&self) -> u64 {
        self.records[self.records.len() - 3]
    }

    /// Returns the position of the record that goes on in the middle segment.
    fn record_into_middle(&self) -> u64 {
        *self.records.iter().rfind(|&&position| position < MIDDLE_START).unwrap()
    }

    /// Returns the position of the first record that begins in the middle segment.
    fn record_in_middle(&self) -> u64 {
        *self.records.iter().find(|&&position| position > MIDDLE_START).unwrap()
    }
}

fn range(timeline: u32, start: u64, end: u64) -> WalRange {
    let timeline = TimelineId::try_from(timeline).unwrap();
    WalRange { timeline, start_lsn: Lsn::new(start), end_lsn: Lsn::new(end) }
}

/// How a log is stored.
#[derive(Clone, Copy, Debug)]
enum Form {
    Directory(Option<CompressionFormat>),
    Archive(WalPlace, Option<CompressionFormat>),
}

use Form::{Archive, Directory};

fn forms() -> impl Iterator<Item = Form> {
    let directories = FORMATS.map(Directory);
    let archives = FORMATS.map(|format| Archive(WalPlace::Root, format));
    let base = FORMATS.map(|format| Archive(WalPlace::PgWal, format));
    directories.into_iter().chain(archives).chain(base)
}

impl Form {
    /// Stores a log.
    fn store(self, log: &Log, directory: &Path) -> WalSource {
        match self {
            Directory(format) => {
                for (name, segment) in &log.segments {
                    let name = format!("{name}{}", format.map_or("", CompressionFormat::suffix));
                    fs::write(directory.join(name), compress(format, segment)).unwrap();
                }
                WalSource::Directory(directory.to_owned())
            }
            Archive(place, format) => {
                let path = directory.join(self.archive_name().unwrap());
                fs::write(&path, compress(format, &tar(place, &log.segments))).unwrap();
                WalSource::Archive(WalArchive { path, format, place })
            }
        }
    }

    fn archive_name(self) -> Option<String> {
        let (stem, format) = match self {
            Directory(_) => return None,
            Archive(WalPlace::Root, format) => ("pg_wal", format),
            Archive(WalPlace::PgWal, format) => ("base", format),
        };
        Some(format!("{stem}.tar{}", format.map_or("", CompressionFormat::suffix)))
    }
}

fn tar(place: WalPlace, segments: &[(String, Vec<u8>)]) -> Vec<u8> {
    let prefix = match place {
        WalPlace::Root => "",
        WalPlace::PgWal => "pg_wal/",
    };
    let mut archive = Vec::new();
    // Others are passed over, also if they have a segment's name elsewhere.
    let others = ["PG_VERSION", "archive_status/000000010000000000000004.done"];
    let elsewhere = format!("elsewhere/{FIRST}");
    let others = others.into_iter().chain([elsewhere.as_str()]);
    let others = others.map(|name| (name.to_owned(), &b"17\n"[..]));
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

fn compress(format: Option<CompressionFormat>, contents: &[u8]) -> Vec<u8> {
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
fn found(form: Form, log: &Log) -> Vec<Finding> {
    let scratch = tempfile::tempdir().unwrap();
    let source = form.store(log, scratch.path());
    check(&source, &log.ranges, Some(SYSTEM_IDENTIFIER))
}

/// The only finding, which is about timeline 1; `{file}` stands for the segment and where it is.
fn only(form: Form, segment: &str, reason: &str) -> Vec<Finding> {
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

#[test]
fn a_sound_log_has_no_finding_in_any_form() {
    let log = Log::new();
    for form in forms() {
        assert_eq!(found(form, &log), [], "{form:?}");
    }
}

/// What is done to a log.
type Damage = fn(&mut Log);

#[test]
fn what_is_not_needed_does_not_matter() {
    let table: [(&str, Damage); 8] = [
        ("a bit behind the end", |log| log.flip(log.ranges[0].end_lsn.offset() + 30)),
        ("the page behind the end", |log| {
            log.flip((log.ranges[0].end_lsn.offset() + 1).next_multiple_of(PAGE_SIZE as u64));
        }),
        ("a bit on the page before the first", |log| log.flip(START + 100)),
        ("the last segment cut behind the end", |log| {
            let end = log.ranges[0].end_lsn.offset() - LAST_START;
            log.segment(LAST).truncate(end as usize);
        }),
        ("bytes behind a segment", |log| log.segment(MIDDLE).extend(b"more")),
        ("a segment before the first", |log| {
            log.segments.push(("000000010000000000000001".into(), b"none".to_vec()));
        }),
        ("a segment behind the last", |log| {
            log.segments.push(("000000010000000000000006".into(), b"none".to_vec()));
        }),
        ("a range without a record", |log| {
            log.ranges.push(range(2, log.records[9], log.records[9]));
        }),
    ];
    for (what, damage) in table {
        let mut log = Log::new();
        damage(&mut log);
        for form in [Directory(None), Directory(Some(Zstd)), Archive(WalPlace::Root, None)] {
            assert_eq!(found(form, &log), [], "{what}: {form:?}");
        }
    }
}

/// What is wrong with a record.
fn record_damage(position: u64, kind: &str) -> String {
    format!("{{file}}: invalid WAL at {}: {kind}", Lsn::new(position))
}

const CHECKSUM: &str = "incorrect resource manager data checksum in record";

#[test]
fn damaged_records_are_found_in_any_form() {
    let sound = Log::new();
    let link = format!(
        "record with incorrect prev-link {}",
        Lsn::new(sound.record_into_middle() ^ 0x4_0000)
    );
    let table: [(&str, Damage, &str, u64, &str); 5] = [
        (
            "first needed record",
            |log| log.flip(log.ranges[0].start_lsn.offset() + 30),
            FIRST,
            sound.records[2],
            CHECKSUM,
        ),
        (
            "record over two segments",
            |log| log.flip(MIDDLE_START + 50),
            FIRST,
            sound.record_into_middle(),
            CHECKSUM,
        ),
        (
            "length",
            |log| log.flip(log.record_in_middle() + 3),
            MIDDLE,
            sound.record_in_middle(),
            "invalid contrecord length 2168 (expected 67111032)",
        ),
        (
            "link",
            |log| log.flip(log.record_in_middle() + 10),
            MIDDLE,
            sound.record_in_middle(),
            &link,
        ),
        (
            "last needed record",
            |log| log.flip(log.ranges[0].end_lsn.offset() - 20),
            LAST,
            sound.last_needed(),
            CHECKSUM,
        ),
    ];
    for (what, damage, segment, position, kind) in table {
        let mut log = sound.clone();
        damage(&mut log);
        for form in forms() {
            let expected = only(form, segment, &record_damage(position, kind));
            assert_eq!(found(form, &log), expected, "{what}: {form:?}");
        }
    }
}

#[test]
fn damaged_pages_are_found() {
    let other_cluster = format!(
        "WAL file is from different database system: WAL file database system identifier is {}, \
         expected {SYSTEM_IDENTIFIER}",
        SYSTEM_IDENTIFIER ^ 4
    );
    let page = MIDDLE_START + 3 * PAGE_SIZE as u64;
    let table: [(&str, Damage, &str, String); 7] = [
        (
            "magic number",
            |log| log.flip(MIDDLE_START + 3 * PAGE_SIZE as u64),
            MIDDLE,
            record_damage(page, "invalid magic number D11C"),
        ),
        (
            "zeros",
            |log| log.segment(MIDDLE)[3 * PAGE_SIZE..4 * PAGE_SIZE].fill(0),
            MIDDLE,
            record_damage(page, "invalid magic number 0000"),
        ),
        (
            "magic number of the first page, although reading begins behind",
            |log| log.flip(START),
            FIRST,
            "{file}: unrecognized magic number D11C, WAL was not checked".to_owned(),
        ),
        (
            "address of the first page, although reading begins behind",
            |log| log.flip(START + 8),
            FIRST,
            record_damage(START, "unexpected pageaddr 0/300004"),
        ),
        (
            "recycled segment",
            |log| *log.segment(LAST) = log.segment(MIDDLE).clone(),
            LAST,
            record_damage(LAST_START, "unexpected pageaddr 0/400000"),
        ),
        (
            "segment of another cluster",
            |log| log.flip(MIDDLE_START + 24),
            MIDDLE,
            record_damage(MIDDLE_START, &other_cluster),
        ),
        (
            "first segment of another cluster",
            |log| log.flip(START + 24),
            FIRST,
            record_damage(START, &other_cluster),
        ),
    ];
    for (what, damage, segment, reason) in table {
        let mut log = Log::new();
        damage(&mut log);
        for form in [Directory(None), Directory(Some(Lz4)), Archive(WalPlace::Root, Some(Zstd))] {
            assert_eq!(found(form, &log), only(form, segment, &reason), "{what}: {form:?}");
        }
    }
}

#[test]
fn log_that_is_not_there_is_found_in_any_form() {
    let sound = Log::new();
    let (end, last) = (sound.ranges[0].end_lsn, Lsn::new(sound.last_needed()));
    let table: [(&str, Damage, &str, String); 4] = [
        (
            "missing segment",
            |log| log.segments.retain(|(name, _)| name != MIDDLE),
            MIDDLE,
            "could not find {file}: No such file or directory".to_owned(),
        ),
        (
            "segment that is still being received",
            |log| log.segments[2].0.push_str(".partial"),
            LAST,
            "could not find {file}: No such file or directory".to_owned(),
        ),
        (
            "cut segment",
            |log| log.segment(MIDDLE).truncate(500_000),
            MIDDLE,
            "could not read from {file}, offset 500000: read 0 of 548576".to_owned(),
        ),
        (
            "end inside a record",
            |log| log.ranges[0].end_lsn = Lsn::new(log.ranges[0].end_lsn.offset() - 8),
            LAST,
            format!(
                "{{file}}: no record ends at {}, the last one ends at {last}",
                Lsn::new(end.offset() - 8)
            ),
        ),
    ];
    for (what, damage, segment, reason) in table {
        let mut log = sound.clone();
        damage(&mut log);
        for form in forms() {
            assert_eq!(found(form, &log), only(form, segment, &reason), "{what}: {form:?}");
        }
    }
}

#[test]
fn nothing_but_other_files_is_no_log() {
    let mut log = Log::new();
    log.segments.retain_mut(|(name, _)| {
        name.push_str(".partial");
        true
    });
    let reasons = [
        (Directory(None), "could not find any WAL file"),
        (Archive(WalPlace::Root, None), "could not find any WAL file in archive \"pg_wal.tar\""),
        (Archive(WalPlace::PgWal, None), "could not find any WAL file in archive \"base.tar\""),
    ];
    for (form, reason) in reasons {
        let archive = form.archive_name();
        let expected = finding(TimelineId::FIRST, None, archive.as_deref(), reason.to_owned());
        assert_eq!(found(form, &log), [expected], "{form:?}");
    }
    let absent = WalSource::Directory("/nonexistent/pg_wal".into());
    let reason = "could not open directory \"/nonexistent/pg_wal\": No such file or directory";
    let expected = finding(TimelineId::FIRST, None, None, reason.to_owned());
    assert_eq!(check(&absent, &log.ranges, None), [expected]);
}

#[test]
fn a_directory_or_pipe_of_a_segments_name_is_no_segment() {
    let scratch = tempfile::tempdir().unwrap();
    let log = Log::new();
    let source = Directory(None).store(&log, scratch.path());
    let middle = scratch.path().join(MIDDLE);
    fs::remove_file(&middle).unwrap();
    fs::create_dir(&middle).unwrap();
    let expected =
        only(Directory(None), MIDDLE, "could not find {file}: No such file or directory");
    assert_eq!(check(&source, &log.ranges, None), expected);
    fs::remove_dir(&middle).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&middle).status();
    assert!(made.unwrap().success());
    assert_eq!(check(&source, &log.ranges, None), expected);
}

#[test]
fn a_torn_compressed_segment_is_found_wherever_it_is_torn() {
    let log = Log::new();
    for format in [Gzip, Lz4, Zstd] {
        // Also behind the last record that is needed: what unpacks the file will refuse it.
        for (segment, missing) in [(MIDDLE, 1000), (MIDDLE, 1), (LAST, 1)] {
            let scratch = tempfile::tempdir().unwrap();
            let source = Directory(Some(format)).store(&log, scratch.path());
            let name = format!("{segment}{}", format.suffix());
            let torn = fs::read(scratch.path().join(&name)).unwrap();
            fs::write(scratch.path().join(&name), &torn[..torn.len() - missing]).unwrap();
            let reason = format!(
                "file \"{name}\": could not decompress data: unexpected end of compressed data"
            );
            let expected = [finding(TimelineId::FIRST, Some(segment), None, reason)];
            assert_eq!(check(&source, &log.ranges, None), expected, "{name} less {missing}");
        }
    }
}

#[test]
fn a_broken_archive_is_found_to_its_end() {
    let log = Log::new();
    let torn = "COPY stream ended before last file was finished";
    let more = "unexpected data after the end of the tar archive";
    let whole = tar(WalPlace::Root, &log.segments).len();
    // Cut inside the middle segment, behind all that is needed, and with something behind it.
    let table: [(usize, &[u8], Option<&str>, &str); 3] = [
        (1_500_000, b"", Some(MIDDLE), torn),
        (whole - TRAILER_SIZE - 100, b"", None, torn),
        (whole, b"more", None, more),
    ];
    for (length, appended, segment, reason) in table {
        let scratch = tempfile::tempdir().unwrap();
        let source = Archive(WalPlace::Root, None).store(&log, scratch.path());
        let path = scratch.path().join("pg_wal.tar");
        let mut archive = fs::read(&path).unwrap();
        archive.truncate(length);
        archive.extend(appended);
        fs::write(path, archive).unwrap();
        let broken = Finding {
            path: b"pg_wal.tar".to_vec(),
            archive: None,
            problem: Problem::Archive(reason.to_owned()),
        };
        let expected = match segment {
            Some(_) => finding(TimelineId::FIRST, segment, Some("pg_wal.tar"), broken.to_string()),
            None => broken,
        };
        assert_eq!(check(&source, &log.ranges, None), [expected], "{length}");
    }
}

#[test]
fn segments_of_an_archive_may_come_in_another_order() {
    let mut log = Log::new();
    log.segments.reverse();
    for form in forms() {
        assert_eq!(found(form, &log), [], "{form:?}");
    }
    let mut long = Log::of_segments(20);
    long.segments.reverse();
    assert_eq!(found(Directory(None), &long), []);
    let form = Archive(WalPlace::Root, Some(Zstd));
    let segment = "000000010000000000000013";
    let expected = only(form, segment, "{file}: WAL files are too far out of order");
    assert_eq!(found(form, &long), expected);
}

#[test]
fn a_timeline_may_end_in_the_segment_with_which_the_next_one_begins() {
    let mut log = Log::new();
    let WalRange { start_lsn, end_lsn, .. } = log.ranges[0];
    let switch = log.record_in_middle();
    log.ranges = vec![range(2, switch, end_lsn.offset()), range(1, start_lsn.offset(), switch)];
    let own = log.segment(MIDDLE).clone();
    for name in [MIDDLE, LAST] {
        let place = log.segments.iter_mut().find(|(found, _)| found == name).unwrap();
        place.0.replace_range(..8, "00000002");
    }
    for form in forms() {
        assert_eq!(found(form, &log), [], "{form:?}");
    }
    log.segments.insert(1, (MIDDLE.to_owned(), own));
    log.flip(MIDDLE_START + 60);
    for form in forms() {
        let reason = record_damage(log.record_into_middle(), CHECKSUM);
        assert_eq!(found(form, &log), only(form, FIRST, &reason), "{form:?}");
    }
}
