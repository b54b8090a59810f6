//! When something fails, the program under the name of the original says what the original says, and
//! leaves what the original leaves.

use std::fs::{self, File};
use std::path::Path;

use crate::fake_server::run::for_each;
use crate::fake_server::session::Session;
use crate::fake_server::synthetic::Synthetic;
use crate::fake_server::{FakeServer, Fault};
use crate::recording::fixture::Fixture;
use crate::support::agreement::BASEBACKUP;
use crate::support::client::{Client, Finished};
use crate::support::installation::Installation;
use crate::support::mount::Mount;
use crate::support::scratch::{Scratch, names};
use crate::support::server::Server;

on_servers!(disks_that_fail: pg15 pg17 pg18);
on_servers!(directories_that_cannot_be_filled: pg15 pg17 pg18);
on_servers!(what_the_server_refuses: pg13 pg15 pg17 pg18);

/// Makes sure that both failed and said the same, but for what `blur` takes away from each line. Where
/// the original adds errors of the process that it started for the WAL, only its first one counts. What
/// is said of directories at the end is not the same, as ours creates them later.
#[track_caller]
fn agree([original, ours]: &[Finished; 2], blur: impl Fn(&str) -> String, what: &str) {
    let notes = ["pg_basebackup: removing ", "pg_basebackup: changes to tablespace directories "];
    let counts = |line: &&str| !notes.iter().any(|note| line.starts_with(note));
    let blurred = |stderr: &str| stderr.lines().filter(counts).map(&blur).collect::<Vec<_>>();
    let error = ours.failed();
    match &original.errors()[..] {
        [_] => assert_eq!(blurred(&ours.stderr), blurred(&original.stderr), "{what}"),
        [first, ..] => assert_eq!(blur(error), blur(first), "{what}: {}", original.stderr),
        [] => panic!("{what}: {original:?}"),
    }
    assert_eq!(ours.status.code(), original.status.code(), "{what}");
}

fn exactly(text: &str) -> String {
    text.to_owned()
}

/// Takes away a name: the file on which a disk is full depends on what was written when, and each fake
/// server has a socket of its own.
fn without_name(text: &str) -> String {
    let mut parts: Vec<_> = text.split('"').collect();
    if parts.len() == 3 {
        parts[1] = "NAME";
    }
    parts.join("\"")
}

fn disks_that_fail(installation: Installation) {
    let server = Server::start(installation);
    for arguments in [&["-X", "none"][..], &["-X", "fetch", "-Ft"]] {
        let Some(disk) = Mount::of_size("12m") else { return };
        let target = disk.path().join("target");
        let finished =
            BASEBACKUP.run(|client| client.to(&server).args(arguments).into_directory(&target));
        agree(&finished, without_name, &format!("{arguments:?}"));
        assert!(names(disk.path()).is_empty(), "{arguments:?}");
        disk.make_read_only();
        let finished =
            BASEBACKUP.run(|client| client.to(&server).args(arguments).into_directory(&target));
        agree(&finished, exactly, &format!("read-only: {arguments:?}"));
    }
}

fn directories_that_cannot_be_filled(installation: Installation) {
    let server = Server::start(installation);
    let location = server.directory("tablespace");
    server.sql(format!("CREATE TABLESPACE elsewhere LOCATION '{}'", location.display()));
    let scratch = Scratch::new();
    let full = scratch.directory("full");
    File::create(full.join("file")).unwrap();
    let full_text = full.display().to_string();
    let (fresh, mapping) = (scratch.join("fresh"), format!("{}={full_text}", location.display()));
    let file = full.join("file");
    let below_file = file.join("below");
    let table: [(&Path, &[&str]); 7] = [
        (&full, &[]),
        (&full, &["-Ft"]),
        (&file, &[]),
        (&below_file, &[]),
        (&fresh, &["--waldir", &full_text]),
        (&fresh, &[]),
        (&fresh, &["-T", &mapping]),
    ];
    for (target, arguments) in table {
        let finished =
            BASEBACKUP.run(|client| client.to(&server).args(arguments).into_directory(target));
        agree(&finished, exactly, &format!("{target:?} {arguments:?}"));
        assert!(!fresh.exists());
        assert_eq!(names(&full), ["file"]);
        fs::metadata(&location).unwrap();
    }
}

fn what_the_server_refuses(installation: Installation) {
    let server = Server::builder(installation).setting("max_wal_senders=1").start();
    let scratch = Scratch::new();
    let fresh = scratch.join("fresh");
    let long_label = "x".repeat(1100);
    let table: [&[&str]; 9] = [
        &["-U", "nobody"],
        &["-p", "1"],
        &["-h", "/nonexistent"],
        &["--manifest-checksums=MD5"],
        &["-S", "missing"],
        &["-S", "Not-A-Name", "-C"],
        &["-l", &long_label],
        // The second connection is one too many.
        &["-X", "stream", "--no-slot"],
        &["-Z", "server-gzip:level=x"],
    ];
    for arguments in table {
        let finished =
            BASEBACKUP.run(|client| client.to(&server).args(arguments).into_directory(&fresh));
        agree(&finished, exactly, &format!("{arguments:?}"));
        assert!(!fresh.exists(), "{arguments:?}");
    }
}

/// Runs both programs against servers that play the same session.
fn both_against(session: &Session, fault: Fault, arguments: &[&str]) -> [Finished; 2] {
    [Client::original(), Client::drop_in()].map(|client| {
        let server = FakeServer::start(session.clone(), fault);
        let scratch = Scratch::new();
        let client = client.args(["-U", "postgres", "-w", "-c", "fast", "-N"]).arg("-h");
        let client = client.arg(server.host()).args(arguments);
        client.into_directory(&scratch.join("target")).run()
    })
}

#[test]
fn servers_of_other_releases() {
    // The original takes older servers; what ours says of them is what it says of too old ones.
    for version in ["9.0.23", "19.0", "20devel"] {
        let session = Synthetic::new(version, Vec::new(), None).to_session();
        let finished = both_against(&session, Fault::None, &["-X", "none"]);
        agree(&finished, exactly, version);
    }
    let session = Synthetic::new("12.22", Vec::new(), None).to_session();
    let [_, ours] = both_against(&session, Fault::None, &["-X", "none"]);
    assert_eq!(ours.failed(), "incompatible server version 12.22");
}

#[test]
fn servers_that_go_away_in_each_phase() {
    // With tablespaces, only the tar format: plain would put them where the recorded server had them.
    for (name, format) in [("14/wal-none", "-Fp"), ("15/tar", "-Ft"), ("18/wal-none", "-Fp")] {
        let fixture = Fixture::load(name).expect("the fixture is readable");
        let session = Session::from_fixture(&fixture);
        let size = session.first_connection_size();
        let early = (0..1200).step_by(97);
        let late = (1..6).map(|step| size - step * 12);
        let positions: Vec<_> = early.chain([size / 2]).chain(late).collect();
        for_each(&positions, |&position| {
            let fault = Fault::DiesAt { connection: 0, position };
            let finished = both_against(&session, fault, &["-X", "none", format]);
            agree(&finished, without_name, &format!("{name}: {position}"));
        });
    }
}
