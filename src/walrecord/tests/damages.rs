//! Each way to damage log, and what is said of it.

use super::*;

/// A log in which each kind of beginning of a page occurs:
///
/// | page | what |
/// |---|---|
/// | 0 | a record at 28, and at A8 the beginning of a long one |
/// | 1 | 12,000 bytes of it |
/// | 2 | its end, and a record up to the end of the page |
/// | 3 | a record |
fn log() -> WalBuilder {
    let mut log = WalBuilder::new();
    log.record(HEAP, 0, &[7; 100]);
    log.record(HEAP, 0, &[7; 20_000]);
    fill_page(&mut log, 0);
    log.record(HEAP, 0, &[7; 100]);
    log
}

const PAGE_1: usize = PAGE_SIZE;
const PAGE_3: usize = 3 * PAGE_SIZE;

/// Offsets of fields in a page header and in a record's.
const INFO: usize = 2;
const TIMELINE: usize = 4;
const ADDRESS: usize = 8;
const REMAINING: usize = 16;
const RECORD: usize = 0x28;

#[test]
fn each_damage_is_named_with_its_position() {
    let table: &[(&str, usize, &[u8], &str)] = &[
        ("another release", 0, &[0x16], "0/300000: invalid magic number D116"),
        ("unwritten page", PAGE_1, &[0; 8192], "0/302000: invalid magic number 0000"),
        ("flag that does not exist", INFO, &[0x12], "0/300000: invalid info bits 0012"),
        ("no long header", INFO, &[0], "0/300000: invalid info bits 0000"),
        ("long header elsewhere", PAGE_1 + INFO, &[3], "0/302000: invalid info bits 0003"),
        ("continued and overwritten", PAGE_1 + INFO, &[9], "0/302000: invalid info bits 0009"),
        ("nothing to continue", PAGE_1 + REMAINING, &[0, 0], "0/302000: invalid info bits 0001"),
        (
            "another cluster",
            24,
            &7_u64.to_le_bytes(),
            "0/300000: WAL file is from different database system: WAL file database system \
             identifier is 7, expected 7412345678901234567",
        ),
        (
            "another segment size",
            32,
            &(16_u32 << 20).to_le_bytes(),
            "0/300000: WAL file is from different database system: incorrect segment size in page \
             header: 16777216, expected 1048576",
        ),
        (
            "another block size",
            36,
            &16_384_u32.to_le_bytes(),
            "0/300000: WAL file is from different database system: incorrect XLOG_BLCKSZ in page \
             header: 16384, expected 8192",
        ),
        ("recycled page", PAGE_1 + ADDRESS + 2, &[0x10], "0/302000: unexpected pageaddr 0/102000"),
        ("no timeline", TIMELINE, &[0], "0/300000: out-of-sequence timeline ID 0 (after 1)"),
        ("older page", TIMELINE, &[2], "0/302000: out-of-sequence timeline ID 1 (after 2)"),
        (
            "newer page",
            PAGE_1 + TIMELINE,
            &[3],
            "0/302000: unexpected timeline ID 3 (on timeline 2)",
        ),
        ("no rest of a record", PAGE_1 + INFO, &[0], "0/3000A8: there is no contrecord flag"),
        (
            "the rest of another record",
            PAGE_1 + REMAINING,
            &[0xE1],
            "0/3000A8: invalid contrecord length 12001 (expected 12000)",
        ),
        (
            "the rest of no record",
            PAGE_3 + INFO,
            &[1, 0, 1, 0, 0, 0, 0, 0x60, 0x30, 0, 0, 0, 0, 0, 8],
            "0/306000: contrecord is requested",
        ),
        (
            "overwritten",
            PAGE_1 + INFO,
            &[8],
            "0/302018: record with incorrect prev-link 7070707/7070707",
        ),
        (
            "no record",
            RECORD,
            &[0; 128],
            "0/300028: invalid record length: expected at least 24, got 0",
        ),
        (
            "too short",
            RECORD,
            &[23],
            "0/300028: invalid record length: expected at least 24, got 23",
        ),
        ("too long", RECORD, &[0, 0xE0, 0xFF, 0x3F], "0/300028: record length 1073733632 too long"),
        (
            "a little longer",
            RECORD,
            &[133],
            "0/300028: incorrect resource manager data checksum in record",
        ),
        (
            "much longer",
            RECORD + 2,
            &[1],
            "0/300028: invalid contrecord length 12000 (expected 57508)",
        ),
        (
            "no such resource manager",
            RECORD + 17,
            &[22],
            "0/300028: invalid resource manager ID 22",
        ),
        (
            "link to itself",
            RECORD + 8,
            &[0x28, 0, 0x30],
            "0/300028: record with incorrect prev-link 0/300028",
        ),
        (
            "link to elsewhere",
            0xA8 + 8,
            &[0x20],
            "0/3000A8: record with incorrect prev-link 0/300020",
        ),
        (
            "transaction",
            RECORD + 4,
            &[8],
            "0/300028: incorrect resource manager data checksum in record",
        ),
        (
            "checksum",
            RECORD + 20,
            &[8; 4],
            "0/300028: incorrect resource manager data checksum in record",
        ),
        (
            "contents",
            RECORD + 50,
            &[8],
            "0/300028: incorrect resource manager data checksum in record",
        ),
        (
            "contents elsewhere",
            PAGE_1 + 50,
            &[8],
            "0/3000A8: incorrect resource manager data checksum in record",
        ),
    ];
    for (name, offset, bytes, message) in table {
        let mut log = log();
        log.bytes[*offset..offset + bytes.len()].copy_from_slice(bytes);
        let timeline = TimelineId::try_from(2).unwrap();
        let outcome = read_from(WalOrigin { timeline, ..origin(START) }, &log.bytes);
        let said = outcome.damage.unwrap_or_else(|| panic!("{name} was not found")).to_string();
        assert_eq!(said, format!("invalid WAL at {message}"), "{name}");
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_a_server_reads() {
    let log = log();
    let whole = read(origin(START), &log.bytes, []);
    assert_eq!((whole.records.len(), whole.damage), (4, None));
    // On the last page, a record that claims to be longer just is not complete.
    for index in 0..PAGE_3 + 24 {
        let mut bytes = log.bytes.clone();
        bytes[index] ^= 0x10;
        let found = read(origin(START), &bytes, []).damage.is_some();
        assert_eq!(found, !is_unread(index), "byte {index}");
    }
}

/// Says whether nothing depends on a byte of [`log`]: those that align headers, and the length of no rest.
fn is_unread(index: usize) -> bool {
    let in_page = index % PAGE_SIZE;
    let has_no_rest = !(PAGE_1..PAGE_3).contains(&index);
    let aligns_record = (0x28 + 124..0xA8).contains(&index);
    (20..24).contains(&in_page) || ((16..20).contains(&in_page) && has_no_rest) || aligns_record
}

#[test]
fn an_unknown_identifier_is_not_compared() {
    let mut log = log();
    log.bytes[24] ^= 1;
    let unknown = WalOrigin { system_identifier: None, ..origin(START) };
    assert_eq!(read_from(unknown, &log.bytes).damage, None);
}

#[test]
fn zeros_and_garbage_behind_the_last_record_end_the_log() {
    for last in [100, 20_000] {
        for garbage in [0, 0xA5] {
            let mut log = log();
            log.record(HEAP, 0, &vec![7; last]);
            let (proven, count) = (end(&log), 5);
            log.bytes.resize(SEGMENT_SIZE as usize, garbage);
            let outcome = read_from(origin(START), &log.bytes);
            assert_eq!((outcome.proven, outcome.records.len()), (proven, count));
            assert_eq!(outcome.damage.map(|damage| damage.at), Some(proven));
        }
    }
}

#[test]
fn the_end_of_the_address_space_is_survived() {
    for start in [0, u64::MAX - 8191, u64::MAX - 100, u64::MAX] {
        let mut log = log();
        for page in [0, 1] {
            let address = start.saturating_add(page * 8192).to_le_bytes();
            let at = page as usize * PAGE_SIZE;
            log.bytes[at + ADDRESS..at + REMAINING].copy_from_slice(&address);
        }
        let mut count = 0;
        let _ = WalReader::new(origin(start)).handle(&log.bytes, &mut |_| count += 1);
        assert!(count <= 1, "{count} records at {start:X}");
    }
}

#[test]
fn an_origin_inside_a_page_passes_over_its_rest() {
    let log = log();
    let outcome = read_from(origin(START + 1000), &log.bytes[1000..]);
    assert_eq!((outcome.records.len(), outcome.proven, outcome.damage), (2, end(&log), None));
}

#[test]
fn damage_can_be_told_apart() {
    let mut log = log();
    log.bytes[RECORD..RECORD + 4].fill(0);
    let damage = read_all(&log).damage.unwrap();
    let expected =
        WalDamage { at: Lsn::new(START + RECORD as u64), kind: DamageKind::RecordTooShort(0) };
    assert_eq!(damage, expected);
}
