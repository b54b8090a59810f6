//! The program against servers that fail, lie or attack.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fake_server::run::{for_each, run};
use crate::fake_server::session::Session;
use crate::fake_server::synthetic::{
    Archive, Entry, Synthetic, TarMember, directory, file, link, manifest,
};
use crate::fake_server::{FakeServer, Fault};
use crate::memory::BOUND_KIB;
use crate::recording::fixture::{Fixture, load_all};
use crate::recording::wire::{frame, frames};
use crate::support::client::Client;
use crate::support::scratch::Scratch;
use pgsiphon::archive::TRAILER_SIZE;

/// A resumed stream that takes longer waits for something that does not come: 10 seconds are granted to
/// a server that does not end the stream.
const RESUME_LIMIT: Duration = Duration::from_secs(8);

/// One server of each dialect.
const DIALECTS: [&str; 2] = ["14.9", "17.2"];

const VERSION_FILE: (&str, &[u8]) = ("PG_VERSION", b"17\n");

pub fn good_members() -> Vec<Vec<u8>> {
    vec![file(VERSION_FILE.0, VERSION_FILE.1), directory("global"), file("global/1", &[7; 40_000])]
}

pub fn good_entries() -> Vec<Entry> {
    vec![Entry::of(VERSION_FILE.0, VERSION_FILE.1), Entry::of("global/1", &[7; 40_000])]
}

fn good(version: &'static str) -> Synthetic {
    Synthetic::new(version, good_members(), Some(manifest(&good_entries())))
}

#[test]
fn a_made_up_backup_that_is_right_is_taken() {
    for version in DIALECTS {
        for fault in [Fault::None, Fault::Dribbles { size: 7 }] {
            let outcome = run(good(version).to_session(), fault, &["-X", "none"]);
            assert_eq!(outcome.code, Some(0), "{version}: {outcome:?}");
            let names = ["", "/PG_VERSION", "/backup_manifest", "/global", "/global/1"];
            let expected = names.map(|name| PathBuf::from(format!("target{name}")));
            assert!(outcome.paths.keys().eq(&expected), "{version}: {outcome:?}");
        }
    }
}

#[test]
fn recorded_sessions_end_as_they_ended_for_the_original() {
    let fixtures = load_all().expect("fixtures are readable");
    for_each(&fixtures, |fixture| {
        let own = fixture.meta.arguments.iter().skip_while(|argument| *argument != "-X");
        let replaced = own.map(|argument| {
            argument
                .replace("=/tmp/pgsiphon-capture/", "={world}/")
                .replace("postgres", &fixture.meta.user)
        });
        let mut arguments: Vec<_> = replaced.collect();
        arguments.extend(["-U".to_owned(), fixture.meta.user.clone(), "--no-clean".to_owned()]);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let outcome = run(Session::from_fixture(fixture), Fault::None, &arguments);
        let original = &fixture.meta.original;
        assert_eq!(outcome.code, Some(original.exit_code), "{}: {outcome:?}", fixture.name);
        let is_complete = original.exit_code == 0 && original.manifest_sha256.is_some();
        assert_eq!(outcome.has("target/backup_manifest"), is_complete, "{}", fixture.name);
        let notices =
            outcome.stderr.lines().filter(|line| original.notices.iter().any(|n| n == line));
        assert_eq!(notices.count(), original.notices.len(), "{}: {outcome:?}", fixture.name);
    });
}

#[test]
fn hostile_members_are_refused_and_touch_nothing_outside() {
    let member = |name: &'static [u8], kind, stated_size, link, contents| {
        TarMember { name, kind, stated_size, link, contents }.to_bytes()
    };
    let mut damaged_header = file("a", b"");
    damaged_header[0] = b'b';
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("climbing", file("../outside", b"x")),
        ("climbing inside", file("global/../../outside", b"x")),
        ("absolute", file("/tmp/pgsiphon-hostile-member", b"x")),
        ("empty name", file("", b"x")),
        ("directory that climbs", directory("../outside")),
        ("link to the root", link("base", "/")),
        ("link in place of the WAL", link("pg_wal", "/tmp")),
        ("link of no tablespace", link("pg_tblspc/x", "/tmp")),
        ("link that climbs", link("pg_tblspc/99", "../../outside")),
        (
            "file behind a link that is not made",
            [link("pg_tblspc/99", "/tmp"), file("pg_tblspc/99/pgsiphon-hostile-member", b"x")]
                .concat(),
        ),
        ("hard link", member(b"hard", b'1', 0, b"/etc/passwd", b"")),
        ("device", member(b"device", b'3', 0, b"", b"")),
        ("FIFO", member(b"fifo", b'6', 0, b"", b"")),
        ("pax header", member(b"pax", b'x', 8, b"", b"8 path=x")),
        ("GNU long name", member(b"././@LongLink", b'L', 4, b"", b"../x")),
        ("size beyond the stream", member(b"long", b'0', 1 << 32, b"", b"short")),
        ("size beyond the disk", member(b"huge", b'0', (1 << 33) - 1, b"", b"short")),
        ("damaged header", damaged_header),
        ("no header", vec![b'x'; 512]),
    ];
    let runs: Vec<_> = DIALECTS.iter().flat_map(|v| cases.iter().map(move |c| (*v, c))).collect();
    for_each(&runs, |(version, (what, hostile))| {
        let mut members = good_members();
        members.push(hostile.clone());
        let session =
            Synthetic::new(version, members, Some(manifest(&good_entries()))).to_session();
        let outcome = run(session, Fault::None, &["-X", "none"]);
        outcome.assert_failed_without_a_trace(&format!("{version}: {what}"));
    });
    assert!(!Path::new("/tmp/pgsiphon-hostile-member").exists());
}

/// Here the manifest lists everything as sent, so only the disk can tell.
#[test]
fn members_that_collide_are_refused() {
    let listed = |path| Entry::of(path, b"x");
    let cases: [(&str, Vec<u8>, Vec<Entry>); 5] = [
        ("twice", [file("a", b"x"), file("a", b"x")].concat(), vec![listed("a")]),
        ("as a directory", [file("a", b"x"), directory("a")].concat(), vec![listed("a")]),
        (
            "below a file",
            [file("a", b"x"), file("a/b", b"x")].concat(),
            vec![listed("a"), listed("a/b")],
        ),
        ("in place of a directory", file("global", b"x"), vec![listed("global")]),
        ("without a directory", file("nowhere/a", b"x"), vec![listed("nowhere/a")]),
    ];
    let runs: Vec<_> = DIALECTS.iter().flat_map(|v| cases.iter().map(move |c| (*v, c))).collect();
    for_each(&runs, |(version, (what, hostile, entries))| {
        let mut members = good_members();
        members.push(hostile.clone());
        let manifest = manifest(&[&good_entries()[..], entries].concat());
        let session = Synthetic::new(version, members, Some(manifest)).to_session();
        let outcome = run(session, Fault::None, &["-X", "none"]);
        assert_eq!(outcome.code, Some(1), "{version}: {what}: {outcome:?}");
        assert!(!outcome.errors().is_empty(), "{version}: {what}: {outcome:?}");
        assert!(!outcome.has("target/backup_manifest"), "{version}: {what}: {outcome:?}");
    });
}

#[test]
fn tablespaces_that_lie_about_their_place_are_refused() {
    let table: [(&str, Option<u32>, Option<&str>); 5] = [
        ("climbing in-place tablespace", Some(5), Some("../outside")),
        ("in-place tablespace elsewhere", Some(5), Some("base/5")),
        ("no identifier", None, Some("/tmp/pgsiphon-hostile-tablespace")),
        ("no location", Some(5), None),
        ("two data directories", None, None),
    ];
    let runs: Vec<_> = DIALECTS.iter().flat_map(|v| table.iter().map(move |c| (*v, c))).collect();
    for_each(&runs, |(version, (what, oid, location))| {
        let mut synthetic = good(version);
        let archive = Archive {
            oid: *oid,
            location: location.map(str::to_owned),
            members: vec![file("outside", b"x")],
            compressed: None,
        };
        synthetic.archives.insert(0, archive);
        let outcome = run(synthetic.to_session(), Fault::None, &["-X", "none"]);
        assert_eq!(outcome.code, Some(1), "{version}: {what}: {outcome:?}");
        let is_inside = |path: &PathBuf| path.starts_with("target");
        assert!(outcome.paths.keys().all(is_inside), "{version}: {what}: {outcome:?}");
        assert!(!outcome.has("target/backup_manifest"), "{version}: {what}: {outcome:?}");
    });
    assert!(!Path::new("/tmp/pgsiphon-hostile-tablespace").exists());
}

#[test]
fn a_manifest_that_differs_names_the_file_and_gets_no_final_name() {
    let changed = |index: usize, change: fn(&mut Entry)| {
        let mut entries = good_entries();
        entries.get_mut(index).map(change).expect("there are two entries");
        Some(manifest(&entries))
    };
    let extra = [&good_entries()[..], &[Entry::of("base/lost", b"x")]].concat();
    let cases = [
        ("\"global/1\"", changed(1, |entry| entry.crc ^= 1)),
        ("\"PG_VERSION\"", changed(0, |entry| entry.size += 1)),
        ("\"base/lost\"", Some(manifest(&extra))),
        ("\"global/1\"", Some(manifest(&good_entries()[..1]))),
        ("manifest checksum mismatch", Some(manifest(&good_entries()).replacen("2024", "2025", 1))),
        ("could not parse backup manifest", Some("{}\n\n".to_owned())),
        ("", Some(manifest(&good_entries()).split_at(300).0.to_owned())),
        ("", Some(String::new())),
    ];
    let runs: Vec<_> = DIALECTS.iter().flat_map(|v| cases.iter().map(move |c| (*v, c))).collect();
    for_each(&runs, |(version, (words, manifest))| {
        let session = Synthetic::new(version, good_members(), manifest.clone()).to_session();
        let outcome = run(session, Fault::None, &["-X", "none"]);
        assert_eq!(outcome.code, Some(1), "{version}: {words}: {outcome:?}");
        assert!(outcome.errors().concat().contains(words), "{version}: {words}: {outcome:?}");
        assert!(!outcome.has("target/backup_manifest"), "{version}: {words}: {outcome:?}");
    });
}

#[test]
fn damage_on_standard_output_gets_neither_manifest_nor_end() {
    let arguments = ["-X", "none", "-Ft", "-D", "-"];
    for version in DIALECTS {
        let tar_of = |entries: &[Entry]| {
            let manifest = Some(manifest(entries));
            let session = Synthetic::new(version, good_members(), manifest).to_session();
            run(session, Fault::None, &arguments)
        };
        let sound = tar_of(&good_entries());
        assert_eq!(sound.code, Some(0), "{version}: {sound:?}");
        assert!(sound.stdout.ends_with(&[0; TRAILER_SIZE]), "{version}");
        let damaged = tar_of(&good_entries()[..1]);
        assert_eq!(damaged.code, Some(1), "{version}: {damaged:?}");
        assert!(sound.stdout.starts_with(&damaged.stdout), "{version}");
        let name = b"backup_manifest";
        let has_manifest = |tar: &[u8]| tar.windows(name.len()).any(|window| window == name);
        assert!(has_manifest(&sound.stdout), "{version}");
        assert!(!has_manifest(&damaged.stdout), "{version}");
        assert!(damaged.stdout.len() + TRAILER_SIZE < sound.stdout.len(), "{version}");
    }
}

#[test]
fn a_manifest_that_was_asked_for_but_does_not_come_is_missed() {
    for version in DIALECTS {
        let session = Synthetic::new(version, good_members(), None).to_session();
        let outcome = run(session, Fault::None, &["-X", "none"]);
        outcome.assert_failed_without_a_trace(version);
    }
}

/// The final name is the sign of a complete backup, so no archive may bring it along.
#[test]
fn an_archive_cannot_bring_the_manifest_along() {
    for version in DIALECTS {
        for name in ["backup_manifest", "backup_manifest.tmp"] {
            let mut members = good_members();
            members.push(file(name, manifest(&good_entries()).as_bytes()));
            let mut entries = good_entries();
            entries[0].crc ^= 1;
            let session = Synthetic::new(version, members, Some(manifest(&entries))).to_session();
            let outcome = run(session, Fault::None, &["-X", "none"]);
            assert_eq!(outcome.code, Some(1), "{version}: {name}: {outcome:?}");
            assert!(!outcome.has("target/backup_manifest"), "{version}: {name}: {outcome:?}");
        }
    }
}

#[test]
fn a_server_that_dies_at_any_byte_leaves_nothing() {
    let mut runs = Vec::new();
    let table = [
        ("15/server-gzip", ["-Xnone", "-Fp", "-Z", "server-gzip"]),
        ("17/server-lz4", ["-Xnone", "-Ft", "-Z", "server-lz4"]),
        ("18/server-zstd", ["-Xnone", "-Fp", "-Z", "server-zstd"]),
        ("14/wal-none", ["-X", "none", "-F", "plain"]),
        ("18/wal-none", ["-X", "none", "-F", "plain"]),
        ("15/tar", ["-X", "none", "-F", "tar"]),
        ("13/wal-stream", ["-X", "stream", "-F", "plain"]),
        ("17/wal-stream", ["-X", "stream", "-F", "tar"]),
    ];
    for (name, options) in table {
        let fixture = Fixture::load(name).expect("the fixture is readable");
        let session = Session::from_fixture(&fixture);
        let size = session.first_connection_size();
        let early = (0..2048).step_by(101);
        let positions = early.chain((2048..size).step_by(size / 12)).chain([size - 1]);
        runs.extend(positions.map(|position| (name, session.clone(), position, options)));
    }
    for_each(&runs, |(name, session, position, options)| {
        let fault = Fault::DiesAt { connection: 0, position: *position };
        let outcome = run(session.clone(), fault, options);
        outcome.assert_failed_without_a_trace(&format!("{name}: {position}"));
    });
}

#[test]
fn a_wal_stream_that_breaks_at_any_byte_is_resumed() {
    let options = &["-X", "stream"];
    for name in ["13/wal-stream", "18/wal-stream"] {
        let fixture = Fixture::load(name).expect("the fixture is readable");
        let session = Session::from_fixture(&fixture);
        let whole = run(session.clone(), Fault::None, options);
        assert_eq!(whole.code, Some(0), "{name}: {whole:?}");
        // Up to START_REPLICATION, a failure ends the backup.
        let wal = &fixture.connections[1].server;
        let start = wal.windows(3).position(|bytes| bytes == b"W\0\0").expect("it streams") + 8;
        let positions: Vec<_> = (start..wal.len() / 2).step_by(wal.len() / 20).collect();
        for_each(&positions, |&position| {
            let fault = Fault::BreaksAt { connection: 1, position };
            let begin = Instant::now();
            let outcome = run(session.clone(), fault, options);
            assert!(begin.elapsed() < RESUME_LIMIT, "{name}: {position}: {outcome:?}");
            assert_eq!(outcome.code, Some(0), "{name}: {position}: {outcome:?}");
            assert_eq!(outcome.paths, whole.paths, "{name}: {position}");
        });
    }
}

#[test]
fn a_wrong_byte_anywhere_is_an_error_or_harmless() {
    let at = |size| (0..1500).step_by(50).chain((1500..size).step_by(size / 20)).collect();
    assert_corruption_is_noticed("16/tablespaces", TABLESPACE_OPTIONS, at);
}

/// Plays a recording with a wrong byte, at each of the positions that `at` chooses by the number of bytes.
pub fn assert_corruption_is_noticed(
    name: &str,
    options: &[&str],
    at: impl FnOnce(usize) -> Vec<usize>,
) {
    let fixture = Fixture::load(name).expect("the fixture is readable");
    let session = Session::from_fixture(&fixture);
    let expected = run(session.clone(), Fault::None, options);
    assert_eq!(expected.code, Some(0), "{name}: {expected:?}");
    for_each(&at(session.first_connection_size()), |&position| {
        let fault = Fault::Corrupts { connection: 0, position };
        let outcome = run(session.clone(), fault, options);
        assert!(!outcome.stderr.contains("panicked"), "{name}: {position}: {outcome:?}");
        match outcome.code {
            // Padding, times and texts that nobody reads; the files are right all the same.
            Some(0) => assert_eq!(outcome.paths, expected.paths, "{name}: {position}"),
            code => {
                assert_eq!(code, Some(1), "{name}: {position}: {outcome:?}");
                let is_complete = outcome.has("target/backup_manifest");
                assert!(!is_complete, "{name}: {position}: {outcome:?}");
            }
        }
    });
}

const TABLESPACE_OPTIONS: &[&str] = &[
    "-X",
    "none",
    "-T",
    "/tmp/pgsiphon-capture/first={world}/first",
    "-T",
    "/tmp/pgsiphon-capture/second={world}/second",
];

/// Each byte of payload comes in a read buffer of its own.
#[test]
fn little_payload_among_much_else_fills_no_memory() {
    const BYTES: usize = 400;
    const ELSE_SIZE: usize = 512 << 10;
    let good = good("17.2");
    let backup = good.backup();
    let messages = frames(&backup);
    let is_data = |message: &&[u8]| message.starts_with(b"d") && message.get(5) == Some(&b'd');
    let place = messages.iter().position(is_data).expect("an archive");
    let progress = frame(b'd', &[&b"p"[..], &[0; ELSE_SIZE]].concat());
    let (slowly, at_once) = messages[place][6..].split_at(BYTES);
    let bytes = slowly.iter().flat_map(|byte| [frame(b'd', &[b'd', *byte]), progress.clone()]);
    let answer = [
        messages[..place].concat(),
        bytes.flatten().collect(),
        frame(b'd', &[b"d", at_once].concat()),
        messages[place + 1..].concat(),
    ];
    let mut session = good.to_session();
    session.replace("BASE_BACKUP", answer.concat());
    let server = FakeServer::start(session, Fault::None);
    let scratch = Scratch::new();
    let client = Client::pgsiphon().through(server.host(), 5432).args(["-N", "-Xnone"]);
    let running = client.into_directory(&scratch.join("target")).start();
    let (finished, peak_kib) = running.wait_watching_memory();
    finished.succeeded();
    assert!(peak_kib < BOUND_KIB, "it used {peak_kib} KiB");
}

#[test]
fn messages_that_have_no_place_end_the_backup() {
    let intruders: [(&str, Vec<u8>); 7] = [
        ("unknown type", frame(b'x', b"what")),
        ("CopyBoth", frame(b'W', &[0, 0, 0])),
        ("length below itself", b"d\0\0\0\x03".to_vec()),
        ("huge length", b"d\x7F\xFF\xFF\xFF".to_vec()),
        ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("malformed row", frame(b'D', &[0, 9])),
        ("request for a password", frame(b'R', &[0, 0, 0, 3])),
    ];
    let mut runs = Vec::new();
    for version in DIALECTS {
        let backup = good(version).backup();
        for (what, intruder) in &intruders {
            for place in 0..frames(&backup).len() {
                let (before, after) = (&frames(&backup)[..place], &frames(&backup)[place..]);
                let answer = [&before.concat(), intruder, &after.concat()[..]].concat();
                runs.push((format!("{version}: {what} before message {place}"), version, answer));
            }
        }
    }
    for_each(&runs, |(what, version, answer)| {
        let mut session = good(version).to_session();
        session.replace("BASE_BACKUP", answer.clone());
        let outcome = run(session, Fault::None, &["-X", "none"]);
        outcome.assert_failed_without_a_trace(what);
    });
}

#[test]
fn garbage_in_place_of_a_server_is_refused() {
    let table: [(&str, Vec<u8>); 5] = [
        ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("zeros", vec![0; 4096]),
        ("ready before signed in", frame(b'Z', b"I")),
        ("unknown request", frame(b'R', &99_u32.to_be_bytes())),
        ("huge length", b"R\x7F\xFF\xFF\xFF".to_vec()),
    ];
    for_each(&table, |(what, startup)| {
        let session = Session { startups: vec![startup.clone()], ..good("17.2").to_session() };
        run(session, Fault::None, &["-X", "none"]).assert_failed_without_a_trace(what);
    });
}
