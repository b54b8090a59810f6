//! Real WAL, what a hostile server makes of it, and what a receiver may make of that.

use std::fs;

use pgsiphon::pg::Lsn;

use crate::fake_server::session::Session;
use crate::fake_server::synthetic::{Synthetic, ready, result_set};
use crate::fake_server::{FakeServer, Fault};
use crate::memory::BOUND_KIB;
use crate::recording::wire::frame;
use crate::support::acknowledged::receiver;
use crate::support::client::Running;
use crate::support::installation::Installation;
use crate::support::log::{Log, source};
use crate::support::scratch::{Scratch, names};
use crate::support::wait_until;

/// The size of pages.
pub const PAGE_SIZE: usize = 8192;

/// The size of segments.
pub const SEGMENT_SIZE: usize = 1 << 20;

/// How much a server sends at once at most.
pub const MESSAGE_SIZE: usize = 128 << 10;

/// Real WAL: one segment and some of the next.
#[derive(Clone)]
pub struct Material {
    pub version: &'static str,
    pub system: String,
    pub start: Lsn,
    pub wal: Vec<u8>,
}

impl Material {
    /// Takes it from a server. Servers of one release have the same system identifier here, but write different texts.
    pub fn from_server(installation: Installation) -> Self {
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

    /// Returns the position at an offset.
    pub fn at(&self, offset: usize) -> Lsn {
        self.start.checked_add(offset as u64).unwrap()
    }

    /// A server that begins here and gives an answer to START_REPLICATION.
    pub fn session(&self, timeline: &str, answer: Vec<u8>) -> Session {
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
    pub fn sound(&self, size: usize) -> Vec<u8> {
        let pieces = self.wal[..size].chunks(MESSAGE_SIZE);
        let messages = pieces.enumerate().map(|(i, wal)| data(self.at(i * MESSAGE_SIZE), wal));
        [begin(), messages.collect::<Vec<_>>().concat()].concat()
    }
}

/// The whole answer to a command with one row.
pub fn row(columns: &[Option<&str>]) -> Vec<u8> {
    [result_set(&[columns.to_vec()]), ready()].concat()
}

/// The beginning of a stream.
pub fn begin() -> Vec<u8> {
    frame(b'W', &[0, 0, 0])
}

/// A message with WAL.
pub fn data(start: Lsn, wal: &[u8]) -> Vec<u8> {
    let start = start.offset().to_be_bytes();
    frame(b'd', &[b"w", &start[..], &start, &[0; 8], wal].concat())
}

/// A message that asks what is flushed.
pub fn question() -> Vec<u8> {
    frame(b'd', &[b"k", &[0; 16][..], &[1]].concat())
}

/// The end of a timeline, with the next one.
pub fn timeline_end(row: &[Option<&str>]) -> Vec<u8> {
    [frame(b'c', b""), result_set(&[row.to_vec()]), frame(b'C', b"START_REPLICATION\0"), ready()]
        .concat()
}

/// The answer to a client that wants no more.
pub fn stop() -> Vec<u8> {
    [frame(b'c', b""), frame(b'C', b"START_REPLICATION\0"), ready()].concat()
}

/// Returns the contents of the one segment that was received to its end.
#[track_caller]
pub fn only_segment(scratch: &Scratch) -> Vec<u8> {
    let received = scratch.join("received");
    let names = names(&received);
    let segments: Vec<_> = names.iter().filter(|name| !name.contains('.')).collect();
    let [segment] = segments[..] else { panic!("{names:?}") };
    fs::read(received.join(segment)).unwrap()
}

/// A server and a receiver that may not try again.
pub struct Encounter {
    pub server: FakeServer,
    pub running: Running,
    pub scratch: Scratch,
}

impl Encounter {
    /// Begins in an empty directory.
    pub fn of(session: Session, arguments: &[&str]) -> Self {
        let scratch = Scratch::new();
        scratch.directory("received");
        Encounter::in_directory(scratch, vec![session], Fault::None, arguments)
    }

    /// Begins in a directory that is there, with a session for each connection.
    pub fn in_directory(
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
    pub fn assert_refused(mut self, what: &str, words: &str, limit: Lsn) -> Scratch {
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
