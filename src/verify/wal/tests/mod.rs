//! What is found in logs, sound and damaged, in every form.

mod one_pass;
mod stored_log;

use std::fs;

use stored_log::{
    Archive, Directory, FIRST, LAST, LAST_START, Log, MIDDLE, MIDDLE_START, PG_WAL, ROOT, forms,
    found, only, range, tar,
};

use super::*;
use crate::archive::TRAILER_SIZE;
use crate::pg::Lsn;
use crate::walrecord::fixture::{PAGE_SIZE, START, SYSTEM_IDENTIFIER};

use CompressionFormat::{Gzip, Lz4, Zstd};

#[test]
fn a_sound_log_has_no_finding_in_any_form() {
    let log = Log::new();
    for form in forms() {
        assert_eq!(found(form, &log), [], "{form:?}");
    }
}

#[test]
fn segments_may_come_in_pieces_of_any_size() {
    let mut damaged = Log::new();
    damaged.flip(MIDDLE_START + 50);
    let reason = record_damage(damaged.record_into_middle(), CHECKSUM);
    for (log, expected) in [(Log::new(), vec![]), (damaged, only(Directory(None), FIRST, &reason))]
    {
        for size in [7, 39, 40, 41, PAGE_SIZE - 1, 3 << 20] {
            let mut check = begin(&log.ranges, WalSegmentSize::SMALLEST, None).next().unwrap();
            for (name, segment) in &log.segments {
                assert!(check.is_decided() || check.wanted().eq([name.clone()]));
                segment.chunks(size).for_each(|piece| check.handle(piece));
                check.end_segment();
            }
            let finding: Vec<_> = check.into_finding(None).into_iter().collect();
            assert_eq!(finding, expected, "pieces of {size} bytes");
        }
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
        for form in [Directory(None), Directory(Some(Zstd)), Archive(ROOT, None)] {
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
        for form in [Directory(None), Directory(Some(Lz4)), Archive(ROOT, Some(Zstd))] {
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

/// The size of segments was taken for the usual one then, and another segment was missed.
#[test]
fn segments_that_say_nothing_of_their_size_are_known_by_their_names() {
    for length in [0, 30] {
        let mut log = Log::new();
        log.segments.iter_mut().for_each(|(_, segment)| segment.truncate(length));
        let needed = (1 << 20) - length;
        for form in forms() {
            let reason =
                format!("could not read from {{file}}, offset {length}: read 0 of {needed}");
            assert_eq!(found(form, &log), only(form, FIRST, &reason), "{length}: {form:?}");
        }
        log.segments.remove(0);
        for form in forms() {
            let reason = "could not find {file}: No such file or directory";
            assert_eq!(found(form, &log), only(form, FIRST, reason), "{length}: {form:?}");
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
        (Archive(ROOT, None), "could not find any WAL file in archive \"pg_wal.tar\""),
        (Archive(PG_WAL, None), "could not find any WAL file in archive \"base.tar\""),
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
    let whole = tar(ROOT, &log.segments).len();
    // Cut inside the middle segment, behind all that is needed, and with something behind it.
    let table: [(usize, &[u8], Option<&str>, &str); 3] = [
        (1_500_000, b"", Some(MIDDLE), torn),
        (whole - TRAILER_SIZE - 100, b"", None, torn),
        (whole, b"more", None, more),
    ];
    for (length, appended, segment, reason) in table {
        let scratch = tempfile::tempdir().unwrap();
        let source = Archive(ROOT, None).store(&log, scratch.path());
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
    let form = Archive(ROOT, Some(Zstd));
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
