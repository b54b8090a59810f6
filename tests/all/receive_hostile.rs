//! Receivers before servers that lie, or before a network that changes what they say: nothing of it is acknowledged,
//! nothing is written elsewhere, and one line says what is wrong.

use std::fs;
use std::path::PathBuf;

use pgsiphon::pg::Lsn;
use rustix::process::Signal;

use crate::fake_server::run::for_each;
use crate::fake_server::session::Session;
use crate::fake_server::synthetic::{Synthetic, ready, result_set};
use crate::fake_server::{FakeServer, Fault};
use crate::memory::BOUND_KIB;
use crate::recording::wire::{frame, frames};
use crate::support::acknowledged::{Log, receiver, source, wait_until_said};
use crate::support::client::Running;
use crate::support::installation::Installation;
use crate::support::random::Random;
use crate::support::scratch::{Scratch, names};
use crate::support::wait_until;

on_servers!(sound_wal_in_any_pieces_is_taken: pg13 pg18);
on_servers!(wal_of_an_unknown_form_is_received_unchecked: pg18);
on_servers!(damaged_pages_are_not_acknowledged: pg13 pg18);
on_servers!(damaged_records_are_not_acknowledged: pg13 pg18);
on_servers!(messages_out_of_order_are_refused: pg18);
on_servers!(impossible_next_timelines_are_refused: pg18);
on_servers!(hostile_history_files_are_refused: pg18);
on_servers!(another_server_behind_the_same_address_is_noticed: pg18);
on_servers!(another_history_of_a_stored_segment_is_refused: pg18);

const PAGE_SIZE: usize = 8192;

const SEGMENT_SIZE: usize = 1 << 20;

/// How much a server sends at once at most.
const MESSAGE_SIZE: usize = 128 << 10;

/// Real WAL: one segment and some of the next.
#[derive(Clone)]
struct Material {
    version: &'static str,
    system: String,
    start: Lsn,
    wal: Vec<u8>,
}

impl Material {
    /// Takes it from a server. Servers of one release have the same system identifier here, but write different texts.
    fn from_server(installation: Installation) -> Self {
        let server = source(installation).start();
        let log = Log::of(&server);
        let start = log.end_segment();
        for _ in 0..12 {
            log.write(100_000);
        }
        let next = log.end_segment();
        let version = if installation.major == 13 { "13.20" } else { "18.0" };
        let system = log.ask("SELECT system_identifier FROM pg_control_system()");
        Material { version, system, start, wal: [log.segment(start), log.segment(next)].concat() }
    }

    fn at(&self, offset: usize) -> Lsn {
        self.start.checked_add(offset as u64).unwrap()
    }

    /// A server that begins here and gives an answer to START_REPLICATION.
    fn session(&self, timeline: &str, answer: Vec<u8>) -> Session {
        let mut session = Synthetic::new(self.version, Vec::new(), None).to_session();
        let start = self.start.to_string();
        let system = row(&[Some(&self.system), Some(timeline), Some(&start), None]);
        session.replace("IDENTIFY_SYSTEM", system);
        session.replace("SHOW wal_segment_size", row(&[Some("1MB")]));
        session.replace("START_REPLICATION", answer);
        session.ignores_start = true;
        session
    }

    /// The beginning of the stream, up to an offset.
    fn sound(&self, size: usize) -> Vec<u8> {
        let pieces = self.wal[..size].chunks(MESSAGE_SIZE);
        let messages = pieces.enumerate().map(|(i, wal)| data(self.at(i * MESSAGE_SIZE), wal));
        [begin(), messages.collect::<Vec<_>>().concat()].concat()
    }
}

/// The whole answer to a command with one row.
fn row(columns: &[Option<&str>]) -> Vec<u8> {
    [result_set(&[columns.to_vec()]), ready()].concat()
}

fn begin() -> Vec<u8> {
    frame(b'W', &[0, 0, 0])
}

/// A message with WAL.
fn data(start: Lsn, wal: &[u8]) -> Vec<u8> {
    let start = start.offset().to_be_bytes();
    frame(b'd', &[b"w", &start[..], &start, &[0; 8], wal].concat())
}

/// A message that asks what is flushed.
fn question() -> Vec<u8> {
    frame(b'd', &[b"k", &[0; 16][..], &[1]].concat())
}

/// The end of a timeline, with the next one.
fn timeline_end(row: &[Option<&str>]) -> Vec<u8> {
    [frame(b'c', b""), result_set(&[row.to_vec()]), frame(b'C', b"START_REPLICATION\0"), ready()]
        .concat()
}

/// The answer to a client that wants no more.
fn stop() -> Vec<u8> {
    [frame(b'c', b""), frame(b'C', b"START_REPLICATION\0"), ready()].concat()
}

/// Returns the contents of the one segment that was received to its end.
#[track_caller]
fn only_segment(scratch: &Scratch) -> Vec<u8> {
    let received = scratch.join("received");
    let names = names(&received);
    let segments: Vec<_> = names.iter().filter(|name| !name.contains('.')).collect();
    let [segment] = segments[..] else { panic!("{names:?}") };
    fs::read(received.join(segment)).unwrap()
}

/// A server and a receiver that may not try again.
struct Encounter {
    server: FakeServer,
    running: Running,
    scratch: Scratch,
}

impl Encounter {
    fn of(session: Session, arguments: &[&str]) -> Self {
        let scratch = Scratch::new();
        scratch.directory("received");
        Encounter::in_directory(scratch, vec![session], Fault::None, arguments)
    }

    fn in_directory(
        scratch: Scratch,
        sessions: Vec<Session>,
        fault: Fault,
        arguments: &[&str],
    ) -> Self {
        let server = FakeServer::start_each(sessions, fault);
        let client = receiver().through(server.host(), 5432).arg("--synchronous");
        let client = client.into_directory(&scratch.join("received")).args(arguments);
        Encounter { server, running: client.start(), scratch }
    }

    /// Makes sure that the receiver ends with one error that has these words, without having acknowledged what
    /// lies behind a position, without a file elsewhere, and with little memory. Returns what it leaves.
    #[track_caller]
    fn assert_refused(mut self, what: &str, words: &str, limit: Lsn) -> Scratch {
        let mut peak_kib = 0;
        wait_until(what, || {
            let acknowledged = self.server.acknowledged();
            assert!(acknowledged <= limit, "{what}: {acknowledged} is acknowledged");
            peak_kib = self.running.peak_memory_kib().unwrap_or(0).max(peak_kib);
            self.running.has_ended()
        });
        assert!(self.server.acknowledged() <= limit, "{what}: acknowledged in the end");
        assert!(peak_kib < BOUND_KIB, "{what}: it used {peak_kib} KiB");
        assert_eq!(self.scratch.names(), ["received"], "{what}");
        let finished = self.running.wait();
        assert_eq!(finished.status.code(), Some(1), "{what}: {finished:?}");
        assert!(!finished.stderr.contains("panicked"), "{what}: {finished:?}");
        let errors = finished.errors();
        let others: Vec<_> = errors.iter().filter(|error| **error != "disconnected").collect();
        assert!(others.len() == 1 && others[0].contains(words), "{what}: {}", finished.stderr);
        self.scratch
    }
}

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

fn messages_out_of_order_are_refused(installation: Installation) {
    let material = Material::from_server(installation);
    let page = |index: usize| &material.wal[index * PAGE_SIZE..(index + 1) * PAGE_SIZE];
    let at = |index: usize| material.at(index * PAGE_SIZE);
    let before = Lsn::new(material.start.offset() - PAGE_SIZE as u64);
    let end_of_space = Lsn::new(u64::MAX - 8191);
    let position = "got WAL data at ";
    // Behind one sound page.
    let cases: [(&str, Vec<u8>, &str); 13] = [
        ("gap", data(at(2), page(2)), position),
        ("overlap", data(at(0), &material.wal[..2 * PAGE_SIZE]), position),
        ("empty elsewhere", data(at(7), b""), position),
        ("earlier", data(before, page(0)), position),
        ("end of the address space", data(end_of_space, page(0)), position),
        ("short header", frame(b'd', b"w12345678"), "streaming header too small: 9"),
        ("short keepalive", frame(b'd', b"k12345678"), "streaming header too small: 9"),
        ("empty message", frame(b'd', b""), "streaming header too small: 0"),
        ("unknown kind", frame(b'd', b"x"), "unrecognized streaming header: \"x\""),
        ("unknown message", frame(b'x', b"what"), ""),
        ("a second beginning", begin(), ""),
        ("length below itself", b"d\0\0\0\x03".to_vec(), ""),
        ("huge length", b"d\x7F\xFF\xFF\xFFw".to_vec(), ""),
    ];
    for_each(&cases, |(what, hostile, words)| {
        let answer = [&begin(), &data(at(0), page(0))[..], hostile, &question()].concat();
        let encounter = Encounter::of(material.session("1", answer), &["-n"]);
        encounter.assert_refused(what, words, at(1));
    });
    let cases = [("later", at(1), 1), ("earlier", before, 0), ("nowhere", Lsn::INVALID, 0)];
    for_each(&cases, |(what, start, index)| {
        let answer = [begin(), data(*start, page(*index)), question()].concat();
        let encounter = Encounter::of(material.session("1", answer), &["-n"]);
        encounter.assert_refused(what, position, at(0));
    });
}

fn impossible_next_timelines_are_refused(installation: Installation) {
    let material = Material::from_server(installation);
    let here = material.at(MESSAGE_SIZE).to_string();
    let here = Some(here.as_str());
    let cases: [(&str, &[Option<&str>], &str); 9] = [
        ("the same", &[Some("2"), here], "server reported unexpected next timeline 2"),
        ("backwards", &[Some("1"), here], "server reported unexpected next timeline 1"),
        ("ahead", &[Some("3"), Some("F/0")], "but reported next timeline 3 to begin at F/0"),
        ("zero", &[Some("0"), here], ""),
        ("negative", &[Some("-1"), here], ""),
        ("too large", &[Some("4294967296"), here], ""),
        ("no number", &[Some("three"), here], ""),
        ("no position", &[Some("3"), Some("here")], ""),
        ("nothing", &[None, None], ""),
    ];
    let history = row(&[Some("00000002.history"), Some("1\t0/100\tno reason\n")]);
    for_each(&cases, |(what, next, words)| {
        let answer = [material.sound(MESSAGE_SIZE), timeline_end(next)].concat();
        let mut session = material.session("2", answer);
        session.replace("TIMELINE_HISTORY", history.clone());
        session.ends_stream = true;
        // The WAL is of the first timeline, as it may be behind the beginning of another one.
        let encounter = Encounter::of(session, &["-n"]);
        encounter.assert_refused(what, words, material.at(MESSAGE_SIZE));
    });
}

fn hostile_history_files_are_refused(installation: Installation) {
    let material = Material::from_server(installation);
    let outside = "/tmp/pgsiphon-hostile-history";
    let named = |name| row(&[Some(name), Some("1\t0/100\tno reason\n")]);
    let huge = 1_u32 << 30;
    // A row with one column that claims to be huge, in a message of this size.
    let lying = |size: u32| {
        let fields = [&[0, 2][..], &4_u32.to_be_bytes(), b"name", &huge.to_be_bytes(), b"short"];
        let answer = result_set(&[vec![Some("name"), Some("contents")]]);
        let description = frames(&answer)[0];
        let end = [frame(b'C', b"TIMELINE_HISTORY\0"), ready()].concat();
        [description, b"D", &size.to_be_bytes(), &fields.concat(), &end].concat()
    };
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("climbing", named("../00000002.history"), "unexpected history file name"),
        ("climbing far", named("../../../../../../tmp/x"), "unexpected history file name"),
        ("absolute", named(outside), "unexpected history file name"),
        ("of another timeline", named("00000003.history"), "unexpected history file name"),
        ("without a name", row(&[None, Some("x")]), ""),
        ("huge column", lying(4 + 2 + 4 + 4 + 4 + 5), ""),
        ("huge message", lying(huge), ""),
    ];
    for_each(&cases, |(what, history, words)| {
        let mut session = material.session("2", material.sound(MESSAGE_SIZE));
        session.replace("TIMELINE_HISTORY", history.clone());
        let encounter = Encounter::of(session, &["-n"]);
        encounter.assert_refused(what, words, Lsn::INVALID);
    });
    assert!(!PathBuf::from(outside).exists());
}

fn another_server_behind_the_same_address_is_noticed(installation: Installation) {
    let material = Material::from_server(installation);
    let other = Material { system: "7000000000000000001".to_owned(), ..material.clone() };
    let answer = [material.sound(4 * MESSAGE_SIZE), question()].concat();
    let sessions = vec![material.session("1", answer.clone()), other.session("1", answer)];
    let scratch = Scratch::new();
    scratch.directory("received");
    let fault = Fault::BreaksAt { connection: 0, position: 2 * MESSAGE_SIZE };
    let mut encounter = Encounter::in_directory(scratch, sessions, fault, &[]);
    let words = format!("expected {}, got {}", material.system, other.system);
    wait_until_said(&mut encounter.running, &words);
    assert!(encounter.server.acknowledged() <= material.at(2 * MESSAGE_SIZE));
}

fn another_history_of_a_stored_segment_is_refused(installation: Installation) {
    let [first, other] = [(); 2].map(|()| Material::from_server(installation));
    assert_eq!((&first.system, first.start), (&other.system, other.start));
    let answer = [first.sound(4 * MESSAGE_SIZE), question()].concat();
    let Encounter { server, running, scratch } = Encounter::of(first.session("1", answer), &[]);
    // The last record is not complete.
    wait_until("the first history", || server.acknowledged() > first.at(3 * MESSAGE_SIZE));
    running.signal(Signal::KILL);
    running.wait();
    let acknowledged =
        usize::try_from(server.acknowledged().checked_sub(first.start).unwrap()).unwrap();
    let pairs = first.wal.iter().zip(&other.wal);
    let same = pairs.take_while(|(left, right)| left == right).count();
    let answer = [other.sound(SEGMENT_SIZE), question()].concat();
    let sessions = vec![other.session("1", answer)];
    let encounter = Encounter::in_directory(scratch, sessions, Fault::None, &["-n"]);
    let words = "differs from what is in file ";
    let scratch = encounter.assert_refused("another history", words, first.at(same));
    let received = scratch.join("received");
    let partial = names(&received).into_iter().find(|name| name.ends_with(".partial")).unwrap();
    let kept = fs::read(received.join(partial)).unwrap();
    assert!(kept[..acknowledged] == first.wal[..acknowledged]);
}
