//! Log made by hand, read in pieces.

mod damages;
mod properties;

use super::fixture::{PAGE_MAGIC, PAGE_SIZE, SEGMENT_SIZE, START, SYSTEM_IDENTIFIER, WalBuilder};
use super::{DamageKind, RecordKind, WalDamage, WalFormat, WalOrigin, WalReader, WalRecord};
use crate::pg::{Lsn, TimelineId, Timestamp, WalSegmentSize};

/// A resource manager whose records mean nothing here.
const HEAP: u8 = 10;
const XACT: u8 = 1;
const SWITCH: (u8, u8) = (0, 0x40);

/// `XLP_FIRST_IS_OVERWRITE_CONTRECORD`.
const OVERWRITES: u16 = 8;

/// What became of a log.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    records: Vec<WalRecord>,
    proven: Lsn,
    damage: Option<WalDamage>,
}

impl Outcome {
    fn starts(&self) -> Vec<u64> {
        self.records.iter().map(|record| record.start.offset()).collect()
    }
}

fn origin(start: u64) -> WalOrigin {
    WalOrigin {
        start: Lsn::new(start),
        timeline: TimelineId::FIRST,
        segment_size: WalSegmentSize::from_bytes(SEGMENT_SIZE.into()).unwrap(),
        format: WalFormat::of_page_magic(PAGE_MAGIC).unwrap(),
        system_identifier: Some(SYSTEM_IDENTIFIER),
    }
}

/// Reads a log in pieces of these sizes, and what is left in one.
fn read(origin: WalOrigin, bytes: &[u8], sizes: impl IntoIterator<Item = usize>) -> Outcome {
    let mut reader = WalReader::new(origin);
    let (mut records, mut damage, mut rest) = (Vec::new(), None, bytes);
    for size in sizes.into_iter().chain([bytes.len()]) {
        let (piece, beyond) = rest.split_at(size.min(rest.len()));
        rest = beyond;
        damage = reader.handle(piece, &mut |record| records.push(record)).err();
        assert!(reader.proven() <= reader.position());
        if let Some(damage) = damage {
            assert!(reader.proven() <= damage.at && damage.at <= reader.position());
            assert_eq!(reader.handle(b"more", &mut |_| panic!("a record")), Err(damage));
            break;
        }
    }
    if damage.is_none() {
        assert_eq!(reader.position().offset(), origin.start.offset() + bytes.len() as u64);
    }
    Outcome { records, proven: reader.proven(), damage }
}

/// More pieces of a log than that take too long.
const PIECES_MAX: usize = 400_000;

/// Reads a log in pieces of many sizes, which must not make a difference.
#[track_caller]
fn read_from(origin: WalOrigin, bytes: &[u8]) -> Outcome {
    let whole = read(origin, bytes, []);
    for size in [1, 2, 3, 7, 8191, 8192, 8193] {
        let count = bytes.len() / size;
        if count > PIECES_MAX {
            continue;
        }
        assert_eq!(read(origin, bytes, vec![size; count]), whole, "in pieces of {size}");
    }
    whole
}

fn read_all(log: &WalBuilder) -> Outcome {
    read_from(origin(START), &log.bytes)
}

fn end(log: &WalBuilder) -> Lsn {
    Lsn::new(START + log.bytes.len() as u64)
}

/// Adds a record that leaves `room` bytes of its page.
fn fill_page(log: &mut WalBuilder, room: usize) -> u64 {
    let used = match log.bytes.len() % PAGE_SIZE {
        0 if log.bytes.is_empty() => 40,
        0 => 24,
        used => used,
    };
    log.record(HEAP, 0, &vec![1; PAGE_SIZE - used - 24 - room])
}

#[test]
fn records_are_found_over_pages_and_segments() {
    let mut log = WalBuilder::new();
    let sizes = [0, 1, 7, 8, 9, 100, 8000, 9000, 20_000, 0, 1_050_000, 1];
    let starts = sizes.map(|size| log.record(HEAP, 0, &vec![7; size]));
    let outcome = read_all(&log);
    assert_eq!(outcome.starts(), starts);
    assert_eq!((outcome.proven, outcome.damage), (end(&log), None));
    // Each ends where the next begins, or at the page before its header.
    for pair in outcome.records.windows(2) {
        let between = pair[1].start.checked_sub(pair[0].end).unwrap();
        assert!(between == 0 || (between == 24 && pair[0].end.offset().is_multiple_of(8192)));
    }
}

#[test]
fn a_record_may_end_with_its_page_and_its_header_may_be_cut_by_it() {
    for room in [0, 8, 16, 24, 32] {
        let mut log = WalBuilder::new();
        let first = fill_page(&mut log, room);
        assert_eq!(log.bytes.len(), PAGE_SIZE - room);
        let second = log.record(HEAP, 0, &[2; 100]);
        let outcome = read_all(&log);
        assert_eq!(outcome.starts(), [first, second]);
        assert_eq!(outcome.records[0].end.offset(), START + (PAGE_SIZE - room) as u64);
        assert_eq!((outcome.proven, outcome.damage), (end(&log), None));
    }
}

#[test]
fn nothing_counts_before_its_record_is_complete() {
    let mut log = WalBuilder::new();
    for size in [10, 9000, 5] {
        log.record(HEAP, 0, &vec![7; size]);
    }
    let whole = read_all(&log);
    for length in (0..log.bytes.len()).step_by(3) {
        let outcome = read(origin(START), &log.bytes[..length], []);
        let position = Lsn::new(START + length as u64);
        let complete: Vec<_> =
            whole.records.iter().copied().filter(|record| record.end <= position).collect();
        let proven = complete.last().map_or(Lsn::new(START), |record| record.end);
        assert_eq!(outcome, Outcome { records: complete, proven, damage: None });
    }
}

#[test]
fn a_record_that_began_before_the_origin_is_passed_over() {
    let mut log = WalBuilder::new();
    let before = log.record(HEAP, 0, &[7; 100]);
    let long = log.record(HEAP, 0, &[7; 20_001]);
    let next = log.record(HEAP, 0, &[7; 1]);
    let last = log.record(HEAP, 0, &[7; 20_000]);
    let page = |index: usize| origin(START + (index * PAGE_SIZE) as u64);
    let table = [(0, vec![before, long, next, last]), (1, vec![next, last]), (2, vec![next, last])];
    for (index, starts) in table {
        let outcome = read_from(page(index), &log.bytes[index * PAGE_SIZE..]);
        assert_eq!(outcome.starts(), starts);
        assert_eq!((outcome.proven, outcome.damage), (end(&log), None));
    }
    // It counts once it is complete, although it is not given.
    let up_to_next = &log.bytes[PAGE_SIZE..(next - START) as usize];
    let outcome = read_from(page(1), up_to_next);
    let expected = Outcome { records: Vec::new(), proven: Lsn::new(next), damage: None };
    assert_eq!(outcome, expected);
    let outcome = read_from(page(1), &up_to_next[..up_to_next.len() - 1]);
    assert_eq!(outcome.proven, page(1).start);
}

#[test]
fn the_rest_of_a_segment_behind_a_switch_is_no_log() {
    let segment_end = START + u64::from(SEGMENT_SIZE);
    // The switch record on the first page, and near the last one.
    for filler in [100, (SEGMENT_SIZE as usize) - 40_000] {
        let mut log = WalBuilder::new();
        let first = log.record(HEAP, 0, &vec![7; filler]);
        let switch = log.record(SWITCH.0, SWITCH.1, &[]);
        let behind_switch = log.bytes.len();
        log.bytes.resize(SEGMENT_SIZE as usize, 0);
        let next = log.record(HEAP, 0, &[7; 9000]);
        let outcome = read_all(&log);
        assert_eq!(outcome.starts(), [first, switch, next]);
        assert_eq!(outcome.records[1].kind, RecordKind::Switch);
        assert_eq!(outcome.records[1].end.offset(), segment_end);
        assert_eq!((outcome.proven, outcome.damage), (end(&log), None));
        // Zeros count, but only those that are there.
        let outcome = read(origin(START), &log.bytes[..behind_switch + 9000], []);
        assert_eq!(outcome.proven.offset(), START + behind_switch as u64 + 9000);
        // What a crash leaves there does not, but it does no harm.
        log.bytes[behind_switch + 100] = 1;
        for size in [7, 100, 8192, SEGMENT_SIZE as usize] {
            let segment = &log.bytes[..SEGMENT_SIZE as usize];
            let outcome = read(origin(START), segment, vec![size; segment.len() / size]);
            assert_eq!(outcome.proven.offset(), START + behind_switch as u64 + 100);
        }
        let outcome = read(origin(START), &log.bytes, []);
        assert_eq!((outcome.proven, outcome.damage), (end(&log), None));
    }
}

#[test]
fn a_switch_record_may_end_with_its_segment() {
    let mut log = WalBuilder::new();
    while log.bytes.len() < SEGMENT_SIZE as usize - PAGE_SIZE {
        fill_page(&mut log, 0);
    }
    fill_page(&mut log, 24);
    log.record(SWITCH.0, SWITCH.1, &[]);
    assert_eq!(log.bytes.len(), SEGMENT_SIZE as usize);
    let next = log.record(HEAP, 0, &[]);
    let outcome = read_all(&log);
    assert_eq!(outcome.starts().last(), Some(&next));
    assert_eq!((outcome.proven, outcome.damage), (end(&log), None));
}

/// Adds a switch record of which `cut` bytes are in the segment before, and the rest of its segment. Returns its
/// position.
fn switch_across_segments(log: &mut WalBuilder, cut: usize) -> u64 {
    while log.bytes.len() < SEGMENT_SIZE as usize - PAGE_SIZE {
        fill_page(log, 0);
    }
    fill_page(log, cut);
    let switch = log.record(SWITCH.0, SWITCH.1, &[]);
    assert_eq!(log.bytes.len(), SEGMENT_SIZE as usize + 40 + 24 - cut);
    log.bytes.resize(2 * SEGMENT_SIZE as usize, 0);
    switch
}

#[test]
fn a_switch_record_may_begin_before_the_origin() {
    // The header is cut, as records are aligned.
    for cut in [8, 16] {
        let mut log = WalBuilder::new();
        let switch = switch_across_segments(&mut log, cut);
        let next = log.record(HEAP, 0, &[7; 9000]);
        assert!(read_all(&log).starts().ends_with(&[switch, next]));
        let segment = origin(START + u64::from(SEGMENT_SIZE));
        let bytes = &log.bytes[SEGMENT_SIZE as usize..];
        let outcome = read_from(segment, bytes);
        assert_eq!(outcome.starts(), [next]);
        assert_eq!((outcome.proven, outcome.damage), (end(&log), None));
        // Zeros count, as behind a switch record that was read.
        let tail = 40 + 24 - cut;
        for length in [tail, tail + 4, tail + 100, SEGMENT_SIZE as usize] {
            let outcome = read_from(segment, &bytes[..length]);
            let proven = segment.start.checked_add(length as u64).unwrap();
            assert_eq!(outcome, Outcome { records: Vec::new(), proven, damage: None });
        }
    }
}

#[test]
fn only_a_switch_record_lets_a_segment_end_early() {
    let start = START + u64::from(SEGMENT_SIZE);
    for cut in [8, 16] {
        let mut log = WalBuilder::new();
        switch_across_segments(&mut log, cut);
        let bytes = &log.bytes[SEGMENT_SIZE as usize..];
        let tail = 40 + 24 - cut;
        let missing =
            WalDamage { at: Lsn::new(start + tail as u64), kind: DamageKind::RecordTooShort(0) };
        // Another operation, another resource manager.
        for field in [tail - 8, tail - 7] {
            let mut bytes = bytes.to_vec();
            bytes[field] = 0x10;
            assert_eq!(read_from(origin(start), &bytes).damage, Some(missing));
        }
        // Where something follows, it was none; and it has to be a record.
        let mut bytes = bytes.to_vec();
        bytes[tail] = 1;
        let kind = DamageKind::RecordTooShort(1);
        let outcome = read_from(origin(start), &bytes);
        assert_eq!(outcome.damage, Some(WalDamage { kind, ..missing }));
    }
}

/// Cuts a record at the end of page `page`, as a crash does, and goes on behind it.
fn overwrite(log: &mut WalBuilder, page: usize) {
    let last_complete = log.last_record;
    log.record(HEAP, 0, &[7; 30_000]);
    log.bytes.truncate((page + 1) * PAGE_SIZE);
    log.last_record = last_complete;
    log.page_header(OVERWRITES, 0);
}

#[test]
fn a_record_that_a_crash_cut_short_is_dropped() {
    for page in 0..3 {
        let mut log = WalBuilder::new();
        let first = log.record(HEAP, 0, &[7; 100]);
        overwrite(&mut log, page);
        let second = log.record(0, 0xD0, &[7; 16]);
        overwrite(&mut log, page + 3);
        let third = log.record(HEAP, 0, &[7; 20_000]);
        let outcome = read_all(&log);
        assert_eq!(outcome.starts(), [first, second, third]);
        assert_eq!((outcome.proven, outcome.damage), (end(&log), None));
        // The same where the cut record began before the origin.
        for index in 1..=page {
            let outcome = read_from(
                origin(START + (index * PAGE_SIZE) as u64),
                &log.bytes[index * PAGE_SIZE..],
            );
            assert_eq!((outcome.starts(), outcome.damage), (vec![second, third], None));
        }
    }
}

#[test]
fn commits_tell_their_time_behind_other_headers() {
    let time = -123_456_789_i64;
    let short = [&[255, 8][..], &time.to_le_bytes()].concat();
    let long = [&[254, 40, 0, 0, 0][..], &time.to_le_bytes(), &[0; 32]].concat();
    let origin_and_xid = [253, 1, 0, 252, 9, 0, 0, 0];
    let commit = RecordKind::Commit(Timestamp::from_micros(time));
    let table = [
        (XACT, 0x00, short.clone(), commit),
        (XACT, 0x80, short.clone(), commit),
        (XACT, 0x30, short.clone(), commit),
        (XACT, 0xB0, [&origin_and_xid, &long[..]].concat(), commit),
        (XACT, 0x00, [&origin_and_xid[..3], &short].concat(), commit),
        (XACT, 0x00, [&origin_and_xid[3..], &short].concat(), commit),
        // Prepared, aborted, and of another resource manager.
        (XACT, 0x10, short.clone(), RecordKind::Other),
        (XACT, 0x20, short.clone(), RecordKind::Other),
        (HEAP, 0x00, short.clone(), RecordKind::Other),
        // None that a server writes: too short, with a block, with nothing but headers.
        (XACT, 0x00, short[..9].to_vec(), RecordKind::Other),
        (XACT, 0x00, [&[0; 20], &short[..]].concat(), RecordKind::Other),
        (XACT, 0x00, [253; 100].to_vec(), RecordKind::Other),
        (XACT, 0x00, Vec::new(), RecordKind::Other),
    ];
    // At the beginning of a page, and with the body cut by its end.
    for room in [0, 24, 32, 40] {
        let mut log = WalBuilder::new();
        for (manager, info, body, _) in &table {
            fill_page(&mut log, room);
            log.record(*manager, *info, body);
        }
        let outcome = read_all(&log);
        let kinds: Vec<_> = outcome.records.iter().skip(1).step_by(2).map(|r| r.kind).collect();
        assert_eq!(kinds, table.clone().map(|(.., kind)| kind));
    }
}

#[test]
fn pages_may_be_of_older_timelines() {
    let mut log = WalBuilder::new();
    log.record(HEAP, 0, &[7; 30_000]);
    log.bytes[2 * PAGE_SIZE + 4] = 3;
    log.bytes[3 * PAGE_SIZE + 4] = 3;
    let timeline = TimelineId::try_from(3).unwrap();
    let outcome = read_from(WalOrigin { timeline, ..origin(START) }, &log.bytes);
    assert_eq!((outcome.proven, outcome.damage), (end(&log), None));
}

#[test]
fn a_copy_goes_on_from_the_same_position() {
    let mut log = WalBuilder::new();
    log.record(HEAP, 0, &[7; 9000]);
    let mut reader = WalReader::new(origin(START));
    let (first, second) = log.bytes.split_at(5000);
    reader.handle(first, &mut |_| ()).unwrap();
    let mut copy = reader.clone();
    assert!(reader.handle(&[0; 8000], &mut |_| ()).is_err());
    copy.handle(second, &mut |_| ()).unwrap();
    assert_eq!(copy.proven(), end(&log));
}

#[test]
fn a_reader_is_small_whatever_records_claim() {
    assert!(size_of::<WalReader>() < 320, "{}", size_of::<WalReader>());
}
