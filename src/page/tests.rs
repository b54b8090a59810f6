use proptest::prelude::*;

use super::check::SIZE_AND_VERSION;
use super::checksum::page_checksum;
use super::incremental::MAGIC;
use super::*;
use crate::pg::Lsn;

/// The position of [`known_page`].
const LSN: Lsn = Lsn::new(0x170_FE08);

/// No position is left to replay.
const NONE: Lsn = Lsn::new(u64::MAX);

const CHECKED: PageRules =
    PageRules { started_at: NONE, ended_at: NONE, checksums: PageChecksums::Present };

const HEADERS_ONLY: PageRules = PageRules { checksums: PageChecksums::Absent, ..CHECKED };

type Page = [u8; PAGE_SIZE];

type Found = (u32, Lsn, PageFault);

/// The first block of a table with one row, as a server of 18 wrote it.
fn known_page() -> Page {
    let mut page = [0; PAGE_SIZE];
    let header =
        *b"\0\0\0\0\x08\xFE\x70\x01\xB3\x83\0\0\x1C\0\xE0\x1F\0\x20\x04\x20\0\0\0\0\xE0\x9F\x38\0";
    page[..28].copy_from_slice(&header);
    page[0x1FE0..0x1FE2].copy_from_slice(&[0xF0, 0x02]);
    page[0x1FE8] = 1;
    page[0x1FF0..0x1FF9].copy_from_slice(&[1, 0, 1, 0, 0, 8, 0x18, 0, 42]);
    page
}

/// The same page as another block.
fn known_page_as(block: u32) -> Page {
    let mut page = known_page();
    let checksum = page_checksum(&page, 0x83B3, block);
    page[8..10].copy_from_slice(&checksum.to_le_bytes());
    page
}

/// Checks a file in pieces of a size.
fn check(path: &str, file: &[u8], rules: PageRules, piece_size: usize) -> Vec<Found> {
    let relation = RelationFile::of_path(path.as_bytes()).expect("a relation");
    let mut found = Vec::new();
    let mut on_fault = |block, lsn, fault| found.push((block, lsn, fault));
    let mut reader = PageReader::new(relation, rules);
    for piece in file.chunks(piece_size) {
        reader.handle(piece, &mut on_fault);
    }
    reader.finish(&mut on_fault);
    found
}

/// Checks a page that is a file of its own.
fn check_page(page: &Page, rules: PageRules) -> Option<PageFault> {
    check("base/5/16384", page, rules, PAGE_SIZE).pop().map(|(_, _, fault)| fault)
}

fn altered(changes: &[(usize, u8)]) -> Page {
    let mut page = known_page();
    for &(offset, byte) in changes {
        page[offset] = byte;
    }
    page
}

#[test]
fn a_page_has_the_checksum_that_the_server_gave_it() {
    assert_eq!(page_checksum(&known_page(), 0x83B3, 0), 0x83B3);
    assert_eq!(check_page(&known_page(), CHECKED), None);
}

#[test]
fn a_page_that_was_never_used_is_sound_only_if_it_is_all_zeros() {
    let mut page = [0; PAGE_SIZE];
    assert_eq!(check_page(&page, CHECKED), None);
    page[PAGE_SIZE - 1] = 1;
    assert_eq!(check_page(&page, CHECKED), Some(PageFault::NewNotZero));
    assert_eq!(check_page(&page, HEADERS_ONLY), Some(PageFault::NewNotZero));
}

#[test]
fn without_checksums_only_impossible_headers_are_faults() {
    let pointers = |lower, upper, special| Some(PageFault::Pointers { lower, upper, special });
    let table = [
        (altered(&[(1000, 1)]), None),
        (altered(&[(10, 0x07)]), None),
        (altered(&[(10, 0x08)]), Some(PageFault::Flags(8))),
        (altered(&[(11, 0x80)]), Some(PageFault::Flags(0x8000))),
        (altered(&[(13, 0x20)]), pointers(0x201C, 0x1FE0, 0x2000)),
        (altered(&[(15, 0x20)]), pointers(0x1C, 0x20E0, 0x2000)),
        (altered(&[(16, 0x08)]), pointers(0x1C, 0x1FE0, 0x2008)),
        (altered(&[(16, 0xFC), (17, 0x1F)]), pointers(0x1C, 0x1FE0, 0x1FFC)),
        (altered(&[(18, 0x03)]), Some(PageFault::SizeAndVersion(0x2003))),
        (altered(&[(19, 0x40)]), Some(PageFault::SizeAndVersion(0x4004))),
    ];
    for (page, fault) in table {
        assert_eq!(check_page(&page, HEADERS_ONLY), fault);
    }
}

#[test]
fn a_sound_checksum_does_not_excuse_an_impossible_header() {
    let mut page = altered(&[(10, 0x08)]);
    let checksum = page_checksum(&page, 0x83B3, 0);
    page[8..10].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(check_page(&page, CHECKED), Some(PageFault::Flags(8)));
}

#[test]
fn damaged_pages_from_the_start_of_the_backup_to_its_end_are_left_to_replay() {
    let damaged = altered(&[(1000, 1)]);
    let lsn = LSN.offset();
    for (started_at, ended_at, is_left) in [
        (lsn + 1, lsn + 9, false),
        (lsn, lsn + 9, true),
        (lsn - 9, lsn, true),
        (lsn - 9, lsn - 1, false),
    ] {
        let (started_at, ended_at) = (Lsn::new(started_at), Lsn::new(ended_at));
        let rules = PageRules { started_at, ended_at, ..CHECKED };
        assert_eq!(check_page(&damaged, rules).is_none(), is_left, "{started_at} to {ended_at}");
        assert_eq!(check_page(&known_page(), rules), None);
    }
}

/// After a reset, WAL may begin before the positions that pages have.
#[test]
fn a_position_behind_the_end_of_the_backup_is_found_by_the_checksum_alone() {
    let rules = PageRules { started_at: LSN, ended_at: LSN, ..CHECKED };
    let mut later = altered(&[(3, 0x80)]);
    let is_checksum = |fault| matches!(fault, Some(PageFault::Checksum { .. }));
    assert!(is_checksum(check_page(&later, rules)));
    let checksum = page_checksum(&later, 0x83B3, 0);
    later[8..10].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(check_page(&later, rules), None);
}

#[test]
fn blocks_are_counted_from_the_beginning_of_the_fork() {
    let moved = [known_page_as(131_072), known_page_as(131_072)].concat();
    let found = check("base/5/16384.1", &moved, CHECKED, PAGE_SIZE);
    let [(131_073, LSN, PageFault::Checksum { stored, computed })] = found[..] else {
        panic!("{found:?}");
    };
    let expected = page_checksum(&known_page(), 0x83B3, 131_073);
    assert_eq!((stored, computed), (page_checksum(&known_page(), 0x83B3, 131_072), expected));
}

/// A file of an incremental backup.
fn incremental(blocks: &[u32], pages: &[Page]) -> Vec<u8> {
    let words = [&[MAGIC, blocks.len() as u32, 9][..], blocks].concat();
    let mut file: Vec<_> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    if !blocks.is_empty() {
        file.resize(file.len().next_multiple_of(PAGE_SIZE), 0);
    }
    file.extend(pages.iter().flatten());
    file
}

const INCREMENTAL: &str = "base/5/INCREMENTAL.16384.1";

const FIRST: u32 = 131_072;

#[test]
fn the_pages_of_an_incremental_backup_are_those_that_it_lists() {
    let sound = [known_page_as(FIRST + 3), known_page_as(FIRST + 7)];
    let torn = incremental(&[3], &[known_page()]);
    let no_segment = incremental(&[3, FIRST], &[]);
    let mut too_many = incremental(&[], &[]);
    too_many[4..8].copy_from_slice(&(FIRST + 1).to_le_bytes());
    let at_first = |fault| vec![(FIRST, Lsn::INVALID, fault)];
    let table = [
        (incremental(&[3, 7], &sound), Vec::new()),
        (incremental(&[], &[]), Vec::new()),
        (incremental(&[], &sound), at_first(PageFault::BlocksExtra)),
        (incremental(&[3], &sound), at_first(PageFault::BlocksExtra)),
        (incremental(&[3, 7, 8], &sound), at_first(PageFault::BlocksMissing(1))),
        (torn[..9000].to_vec(), vec![(FIRST + 3, Lsn::INVALID, PageFault::Torn(808))]),
        (torn[..8191].to_vec(), at_first(PageFault::TornHeader)),
        (torn[..3].to_vec(), at_first(PageFault::TornHeader)),
        (Vec::new(), at_first(PageFault::TornHeader)),
        (known_page().to_vec(), at_first(PageFault::IncrementalMagic(0))),
        (no_segment, at_first(PageFault::BlockNumber(FIRST))),
        (too_many, at_first(PageFault::BlockCount(FIRST + 1))),
    ];
    for (file, faults) in table {
        assert_eq!(check(INCREMENTAL, &file, CHECKED, PAGE_SIZE), faults);
    }
}

#[test]
fn pieces_of_any_size_give_the_same() {
    let bad = altered(&[(1000, 1)]);
    let whole = [known_page(), bad, known_page_as(2), bad, [0; PAGE_SIZE]].concat();
    let whole = &whole[..whole.len() - 1];
    let blocks: Vec<_> = (0..2000).collect();
    let listed = incremental(&blocks, &[known_page_as(FIRST), bad, known_page_as(FIRST + 2)]);
    for (path, file) in [("base/5/16384", whole), (INCREMENTAL, &listed)] {
        let expected = check(path, file, CHECKED, file.len());
        assert!(expected.len() >= 2, "{expected:?}");
        for size in [1, 2, 3, 7, 4095, 8191, 8192, 8193, 16_384, 20_000] {
            assert_eq!(check(path, file, CHECKED, size), expected, "pieces of {size}");
        }
    }
}

#[test]
fn faults_say_what_is_wrong() {
    let table = [
        (
            PageFault::Checksum { computed: 0xAB, stored: 0x83B3 },
            "page verification failed, calculated checksum 00AB but found 83B3",
        ),
        (PageFault::Flags(8), "invalid page flags: 0008"),
        (
            PageFault::Pointers { lower: 1, upper: 2, special: 3 },
            "corrupted page pointers: lower = 1, upper = 2, special = 3",
        ),
        (
            PageFault::SizeAndVersion(SIZE_AND_VERSION + 1),
            "invalid page size 8192 or layout version 5, expected 8192 and 4",
        ),
        (PageFault::NewNotZero, "page is new but not all zeros"),
        (PageFault::Torn(100), "page has only 100 of 8192 bytes"),
        (PageFault::IncrementalMagic(7), "bad incremental magic number (0x7, expected 0xd3ae1f0d)"),
        (PageFault::BlockCount(131_073), "block count 131073 in excess of segment size 131072"),
        (PageFault::BlockNumber(131_072), "block number 131072 in excess of segment size 131072"),
        (PageFault::TornHeader, "incremental file ends inside its header"),
        (PageFault::BlocksMissing(2), "incremental file ends before the last 2 of its blocks"),
        (PageFault::BlocksExtra, "incremental file goes on after the last of its blocks"),
    ];
    for (fault, text) in table {
        assert_eq!(fault.to_string(), text);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(file: Vec<u8>, size in 1..100_usize, listed in 0..u32::MAX) {
        check("base/5/16384.32767", &file, CHECKED, size);
        check(INCREMENTAL, &file, CHECKED, size);
        let header = [MAGIC.to_le_bytes(), listed.to_le_bytes()].concat();
        check(INCREMENTAL, &[header, file].concat(), CHECKED, size);
    }
}
