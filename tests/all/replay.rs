//! Recorded sessions of real servers, fed to the protocol code without a server.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use pgsiphon::protocol::FRAME_SIZE_MAX;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::recording::fixture::{EXPECT, Fixture, Recording, load_all};
use crate::recording::scram::ScramServer;
use crate::recording::transcript::{self, Transcript, TranscriptError};
use crate::recording::wire::{self, ClientMessage};

/// Sizes around a tar block and a page, an odd one, and everything at once.
const CHUNK_SIZES: [usize; 6] = [7, 511, 512, 513, 8192, usize::MAX];

/// Sizes that cut headers. They take long, so each recording is fed in one of them only.
const TINY_CHUNK_SIZES: [usize; 3] = [1, 2, 3];

/// One of each dialect, the second connection of a WAL stream, and one of each compression.
const SAMPLES: [(&str, usize); 6] = [
    ("14/tablespaces", 0),
    ("18/tablespaces", 0),
    ("17/wal-stream", 1),
    ("15/server-gzip", 0),
    ("17/server-lz4", 0),
    ("18/server-zstd", 0),
];

fn fixtures() -> Vec<Fixture> {
    let fixtures = load_all().expect("fixtures are readable");
    assert!(fixtures.len() >= 60, "only {} fixtures", fixtures.len());
    fixtures
}

fn load(name: &str) -> Fixture {
    Fixture::load(name).expect("the fixture is readable")
}

/// Runs a test on every fixture and its index, on all processors.
fn for_each_fixture(test: impl Fn(usize, &Fixture) + Sync) {
    let fixtures = fixtures();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (fixtures, test) = (&fixtures, &test);
            scope.spawn(move || {
                let own = fixtures.iter().enumerate().skip(thread).step_by(threads);
                own.for_each(|(index, fixture)| test(index, fixture));
            });
        }
    });
}

#[test]
fn recordings_give_the_same_events_at_every_chunk_size() {
    for_each_fixture(|index, fixture| {
        let path = fixture.directory().join(EXPECT);
        let expected = std::fs::read_to_string(path).expect("expect.txt is readable");
        let tiny = TINY_CHUNK_SIZES[index % TINY_CHUNK_SIZES.len()];
        for chunk_size in CHUNK_SIZES.into_iter().chain([tiny]) {
            let text = transcript::of_fixture(fixture, chunk_size);
            let text = text.unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
            assert_eq!(text, expected, "{} in chunks of {chunk_size}", fixture.name);
        }
    });
}

#[test]
fn what_is_made_of_a_recording_is_what_the_original_client_made_of_it() {
    for_each_fixture(|_, fixture| {
        let recording = &fixture.connections[0];
        let transcript = transcript::of_recording(fixture, recording, usize::MAX);
        let mut outcome = transcript.expect("expect.txt says it can be followed").outcome;
        let original = &fixture.meta.original;
        // The original keeps the positions to itself unless it takes WAL.
        outcome.start_lsn = original.start_lsn.as_ref().and(outcome.start_lsn);
        outcome.end_lsn = original.end_lsn.as_ref().and(outcome.end_lsn);
        assert_eq!(outcome, *original, "{}", fixture.name);
    });
}

#[test]
fn a_recording_cut_at_any_byte_is_never_complete() {
    for (name, connection) in SAMPLES {
        let fixture = load(name);
        let recording = &fixture.connections[connection];
        let mut transcript = Transcript::new(&fixture, recording).expect("a user name");
        for (position, byte) in recording.server.iter().enumerate() {
            assert!(!transcript.is_complete(), "{name} is complete after {position} bytes");
            transcript.handle(&[*byte]).expect("a real server sent it");
        }
        assert!(transcript.is_complete());
    }
}

/// Feeds changed bytes; says whether the session seems to have ended well.
fn is_followed(
    fixture: &Fixture,
    connection: usize,
    server: Vec<u8>,
) -> Result<bool, TranscriptError> {
    let client = fixture.connections.get(connection).map(|recording| recording.client.clone());
    let changed = Recording { client: client.unwrap_or_default(), server };
    let mut transcript = Transcript::new(fixture, &changed)?;
    for chunk in changed.server.chunks(8192) {
        transcript.handle(chunk)?;
    }
    Ok(transcript.is_complete())
}

#[test]
fn frames_that_lie_about_their_length_or_type_are_noticed() {
    type Lie = fn(&mut [u8]);
    let lies: [(&str, Lie); 6] = [
        ("unknown type", |frame| frame[0] = b'x'),
        ("no length", |frame| frame[1..5].fill(0)),
        ("length below itself", |frame| frame[1..5].copy_from_slice(&3_u32.to_be_bytes())),
        ("huge length", |frame| {
            frame[1..5].copy_from_slice(&(FRAME_SIZE_MAX + 1).to_be_bytes());
        }),
        ("largest length", |frame| {
            frame[1..5].copy_from_slice(&FRAME_SIZE_MAX.to_be_bytes());
        }),
        ("negative length", |frame| frame[1..5].fill(0xFF)),
    ];
    for (name, connection) in SAMPLES {
        let fixture = load(name);
        let server = &fixture.connections[connection].server;
        let mut position = 0;
        for frame in wire::frames(server).iter().take(30) {
            for (lie, tell) in lies {
                let mut changed = server.clone();
                tell(&mut changed[position..]);
                let followed = is_followed(&fixture, connection, changed);
                assert!(!matches!(followed, Ok(true)), "{name}: {lie} at {position}");
            }
            position += frame.len();
        }
    }
}

#[test]
fn changed_bytes_never_panic() {
    let mut runner = TestRunner::new(ProptestConfig { cases: 24, ..ProptestConfig::default() });
    for (name, connection) in SAMPLES {
        let fixture = load(name);
        let size = fixture.connections[connection].server.len();
        // Most of what is small lies in the first kilobytes.
        let position = prop_oneof![0..size.min(4096), 0..size];
        let changes = prop::collection::vec((position, any::<u8>()), 1..8);
        let run = runner.run(&changes, |changes| {
            let mut changed = fixture.connections[connection].server.clone();
            for (position, byte) in changes {
                changed[position] = byte;
            }
            let ends =
                catch_unwind(AssertUnwindSafe(|| is_followed(&fixture, connection, changed)));
            prop_assert!(ends.is_ok());
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_changed_byte_of_a_file_or_of_the_manifest_is_noticed() {
    let fixture = load("18/wal-fetch");
    let expected = transcript::of_fixture(&fixture, usize::MAX).expect("expect.txt says so");
    let server = &fixture.connections[0].server;
    let behind: [(&str, &[u8]); 4] = [
        ("contents", b"au lai"),
        ("name", b"global/pg_contro"),
        ("digest in the manifest", b"\"Checksum\": \""),
        ("the manifest's own digest", b"\"Manifest-Checksum\": \""),
    ];
    for (place, bytes) in behind {
        let position = server.windows(bytes.len()).position(|window| window == bytes);
        let position = position.expect("the recording has it") + bytes.len();
        let mut changed = fixture.clone();
        changed.connections[0].server[position] ^= 1;
        let text = transcript::of_fixture(&changed, usize::MAX);
        assert!(text.as_ref().ok() != Some(&expected), "{place}");
    }
}

#[test]
fn the_recorded_servers_of_scram_are_computed_byte_by_byte() {
    let mut count = 0;
    for fixture in fixtures().iter().filter(|fixture| fixture.meta.password.is_some()) {
        let recording = &fixture.connections[0];
        let mut scram = ScramServer::from_recording(fixture, recording).expect("it used SCRAM");
        let mut steps = wire::client_messages(&recording.client).into_iter();
        for frame in wire::frames(&recording.server).into_iter().take(4) {
            let client = steps.next();
            let payload = match &client {
                Some(ClientMessage::Password(payload)) => &payload[..],
                _ => &[],
            };
            assert_eq!(scram.rewrite(frame, payload).as_deref(), Some(frame), "{}", fixture.name);
            count += 1;
        }
    }
    assert_eq!(count, 6 * 4);
}

#[test]
fn every_version_has_its_recordings() {
    let names: Vec<_> = fixtures().into_iter().map(|fixture| fixture.name).collect();
    for major in 13..=18 {
        let count =
            names.iter().filter(|name| Path::new(name).starts_with(major.to_string())).count();
        let expected = match major {
            ..15 => 8,
            15 | 16 => 10,
            _ => 12,
        };
        assert_eq!(count, expected, "{major}");
    }
}
