//! WAL that a network or a server has damaged: it is noticed wherever a server reads it, and never acknowledged; sound
//! WAL is taken in any pieces, and WAL that nobody here can read as it is.

use crate::fake_server::run::for_each;
use crate::hostile_wal::{
    Encounter, MESSAGE_SIZE, Material, PAGE_SIZE, SEGMENT_SIZE, begin, data, only_segment,
    question, row, stop,
};
use crate::support::installation::Installation;
use crate::support::random::Random;

on_servers!(sound_wal_in_any_pieces_is_taken: pg13 pg18);
on_servers!(wal_of_an_unknown_form_is_received_unchecked: pg18);
on_servers!(damaged_pages_are_not_acknowledged: pg13 pg18);
on_servers!(damaged_records_are_not_acknowledged: pg13 pg18);

fn sound_wal_in_any_pieces_is_taken(installation: Installation) {
    let material = Material::from_server(installation);
    let end = material.at(SEGMENT_SIZE - 1).to_string();
    for_each(&[997, PAGE_SIZE, MESSAGE_SIZE, SEGMENT_SIZE + 1], |size| {
        let pieces = material.wal[..SEGMENT_SIZE + PAGE_SIZE].chunks(*size);
        let messages = pieces.enumerate().map(|(index, wal)| {
            let start = material.at(index * size);
            // One that holds nothing does no harm.
            [data(start, b""), data(start, wal)].concat()
        });
        let answer = [begin(), messages.collect::<Vec<_>>().concat(), stop()].concat();
        let Encounter { server, running, scratch } =
            Encounter::of(material.session("1", answer), &["-n", "-E", &end]);
        let finished = running.wait().succeeded();
        assert!(finished.errors().is_empty(), "{size}: {}", finished.stderr);
        assert!(server.acknowledged() >= material.at(SEGMENT_SIZE), "{size}");
        assert!(only_segment(&scratch) == material.wal[..SEGMENT_SIZE], "{size}");
    });
}

fn wal_of_an_unknown_form_is_received_unchecked(installation: Installation) {
    let mut material = Material::from_server(installation);
    material.wal.fill(0xA5);
    let cases = [
        ("18.0", "16384", "a server with WAL blocks of 16384 bytes"),
        ("99.0", "8192", "server version 99.0"),
    ];
    for_each(&cases, |&(version, block_size, origin)| {
        let material = Material { version, ..material.clone() };
        let answer = [material.sound(SEGMENT_SIZE + PAGE_SIZE), stop()].concat();
        let mut session = material.session("1", answer);
        session.replace("SHOW wal_block_size", row(&[Some(block_size)]));
        let end = material.at(SEGMENT_SIZE - 1).to_string();
        let Encounter { server: _server, running, scratch } =
            Encounter::of(session, &["-n", "-E", &end]);
        let finished = running.wait().succeeded();
        let warning = format!("warning: WAL of {origin} is not checked");
        assert_eq!(finished.stderr.matches(&warning).count(), 1, "{}", finished.stderr);
        assert!(only_segment(&scratch) == material.wal[..SEGMENT_SIZE], "{origin}");
    });
}

/// A change of one byte, and how far the WAL before it may be acknowledged.
struct Flip {
    what: String,
    offset: usize,
    bits: u8,
    limit: usize,
}

fn flip(what: &str, offset: usize, bits: u8, limit: usize) -> Flip {
    Flip { what: what.to_owned(), offset, bits, limit }
}

/// Damages of each field of page headers (`XLogPageHeaderData`, `XLogLongPageHeaderData`).
fn page_flips() -> Vec<Flip> {
    let page = 5 * PAGE_SIZE;
    vec![
        flip("magic", page, 1, page),
        flip("page flags", page + 3, 0x80, page),
        flip("no continuation", page + 2, 1, page),
        flip("timeline", page + 4, 2, page),
        flip("page address", page + 9, 1, page),
        flip("remaining length", page + 16, 1, page),
        flip("system identifier", 24, 1, 0),
        flip("segment size", 32 + 2, 1, 0),
        flip("page size", 36 + 1, 1, 0),
    ]
}

/// Damages of each field of a record header (`XLogRecord`), and of what records hold, anywhere. What came of a record
/// before its end may be acknowledged, but not its end.
fn record_flips(wal: &[u8]) -> Vec<Flip> {
    let record = record_headers(wal).find(|offset| *offset > PAGE_SIZE).unwrap();
    let fields = [
        ("record length", 0, 1),
        ("record length beyond memory", 3, 0x7F),
        ("transaction", 4, 1),
        ("link to the record before", 8, 8),
        ("record flags", 16, 0x80),
        ("resource manager", 17, 1),
        ("checksum", 20, 1),
    ];
    let limit = record_end(wal, record) - 1;
    let fields = fields.map(|(what, field, bits)| flip(what, record + field, bits, limit));
    let mut random = Random::new(7);
    let offsets = std::iter::from_fn(|| usize::try_from(1000 + random.below(700_000)).ok());
    let is_text = |offset: &usize| wal[offset - 40..offset + 40].iter().all(u8::is_ascii_hexdigit);
    let texts = offsets.filter(is_text).take(16).map(|offset| {
        let record = record_headers(wal).take_while(|record| *record < offset).last().unwrap();
        flip("text", offset, 1 << (offset % 8), record_end(wal, record) - 1)
    });
    fields.into_iter().chain(texts).collect()
}

/// Returns where a record ends, which has a header on each page that it reaches.
fn record_end(wal: &[u8], start: usize) -> usize {
    const PAGE_HEADER_SIZE: usize = 24;
    let mut left = u32::from_le_bytes(wal[start..][..4].try_into().unwrap()) as usize;
    let mut offset = start;
    loop {
        let room = PAGE_SIZE - offset % PAGE_SIZE;
        if left <= room {
            return offset + left;
        }
        left -= room;
        offset += room + PAGE_HEADER_SIZE;
    }
}

/// Finds the headers of the records that hold texts: messages of a known size.
fn record_headers(wal: &[u8]) -> impl Iterator<Item = usize> {
    const MESSAGE: u8 = 21;
    let is_header = |offset: &usize| {
        let field = |at: usize| u32::from_le_bytes(wal[offset + at..][..4].try_into().unwrap());
        (100_000..100_200).contains(&field(0)) && wal[offset + 17] == MESSAGE
    };
    (0..wal.len() - 24).step_by(8).filter(is_header)
}

/// Sends the WAL with each of the damages.
fn assert_noticed(material: &Material, flips: &[Flip]) {
    for_each(flips, |Flip { what, offset, bits, limit }| {
        let mut damaged = material.clone();
        damaged.wal[*offset] ^= bits;
        let answer = [damaged.sound(SEGMENT_SIZE), question()].concat();
        let encounter = Encounter::of(material.session("1", answer), &["-n"]);
        let what = format!("{what} at {offset}");
        encounter.assert_refused(&what, "invalid WAL at ", material.at(*limit));
    });
}

fn damaged_pages_are_not_acknowledged(installation: Installation) {
    let material = Material::from_server(installation);
    assert_noticed(&material, &page_flips());
    let noise: Vec<u8> = (0..SEGMENT_SIZE).map(|index| (index * 31 % 251) as u8).collect();
    for_each(&[("zeros", vec![0; SEGMENT_SIZE]), ("noise", noise)], |(what, wal)| {
        let strange = Material { wal: wal.clone(), ..material.clone() };
        let answer = [strange.sound(SEGMENT_SIZE), question()].concat();
        let encounter = Encounter::of(strange.session("1", answer), &["-n"]);
        encounter.assert_refused(what, "invalid WAL at ", material.start);
    });
}

fn damaged_records_are_not_acknowledged(installation: Installation) {
    let material = Material::from_server(installation);
    assert_noticed(&material, &record_flips(&material.wal));
}
