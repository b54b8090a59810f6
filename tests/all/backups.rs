//! Every kind of backup, taken while the server is written to, is what PostgreSQL calls a backup.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::proxy::{Fault, Proxy};
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::tree;
use crate::support::verify::{self, Wal, data_directory};
use crate::support::workload::{WriteLoad, fill, kept_rows, sums_agree};

on_servers!(every_kind_of_backup_under_load_verifies_and_starts: pg13 pg14 pg15 pg16 pg17 pg18);

/// Where a backup goes.
#[derive(Clone, Copy, Debug)]
enum Output {
    Directory,
    Stdout,
}

fn every_kind_of_backup_under_load_verifies_and_starts(installation: Installation) {
    let server = Server::start(installation);
    let kept = fill(&server);
    let mut load = WriteLoad::start(&server);
    let table: [(Output, &[&str]); 7] = [
        (Output::Directory, &["-X", "stream"]),
        (Output::Directory, &["-X", "stream", "-N", "--no-slot", "--manifest-checksums=SHA256"]),
        (Output::Directory, &["-X", "fetch", "-N", "--manifest-force-encode"]),
        (Output::Directory, &["-Ft", "-X", "stream"]),
        (Output::Directory, &["-Ft", "-X", "fetch", "-N"]),
        (Output::Stdout, &["-Ft", "-X", "fetch", "-N"]),
        (Output::Directory, &["-X", "none", "-N", "--no-estimate-size"]),
    ];
    for (output, arguments) in table {
        let scratch = Scratch::new();
        let data = take(&server, &scratch, output, arguments);
        if arguments.contains(&"none") {
            verify::verify(installation, &data, Wal::Absent);
            continue;
        }
        verify::verify(installation, &data, Wal::Included);
        let restored = Server::from_backup(installation, &data);
        assert_eq!(kept_rows(&restored), kept, "{arguments:?}");
        assert!(sums_agree(&restored), "{arguments:?}: the backup is not of one moment");
    }
    assert!(load.is_running(), "the server was not written to all the time");
}

/// Takes a backup and makes a data directory of it.
fn take(server: &Server, scratch: &Scratch, output: Output, arguments: &[&str]) -> PathBuf {
    let target = scratch.join("target");
    let client = Client::pgsiphon().to(server).args(arguments);
    match output {
        Output::Directory => {
            client.into_directory(&target).run().succeeded();
        }
        Output::Stdout => {
            fs::create_dir(&target).unwrap();
            let archive = File::create(target.join("base.tar")).unwrap();
            client.into_directory(Path::new("-")).stdout(archive).run().succeeded();
        }
    }
    data_directory(&target, scratch)
}

on_servers!(a_backup_without_manifest_is_complete_too: pg13 pg18);

fn a_backup_without_manifest_is_complete_too(installation: Installation) {
    let server = Server::start(installation);
    let scratch = Scratch::new();
    let target = scratch.join("target");
    let client = Client::pgsiphon().to(&server).args(["--no-manifest", "-N"]);
    client.into_directory(&target).run().succeeded();
    assert!(!target.join("backup_manifest").exists());
    Server::from_backup(installation, &target);
}

on_servers!(streamed_wal_is_marked_as_archived: pg13 pg18);

/// Else a server started from the backup would archive the segments once more.
fn streamed_wal_is_marked_as_archived(installation: Installation) {
    let server = Server::builder(installation).initdb(&["--wal-segsize=1"]).start();
    let scratch = Scratch::new();
    let target = scratch.join("target");
    let proxy = Proxy::before(&server, &[Fault::Stall(10_000_000)]);
    let client = Client::pgsiphon().through(proxy.sockets(), proxy.port()).arg("-N");
    let running = client.into_directory(&target).start();
    proxy.wait_for_stall();
    // Two segments' worth at least come while the data stand still.
    server
        .sql("SELECT pg_switch_wal(); CREATE TABLE a(); SELECT pg_switch_wal(); CREATE TABLE b()");
    proxy.release();
    running.wait().succeeded();
    let wal = tree::walk(&target.join("pg_wal"));
    let segments = wal.keys().filter_map(|path| path.to_str()).filter(|name| name.len() == 24);
    let segments: Vec<_> = segments.collect();
    for segment in &segments {
        assert_eq!(wal[Path::new(segment)].kind, tree::Kind::File(1 << 20), "{segment}");
    }
    // The last one need not have come to its end.
    let (_, complete) = segments.split_last().unwrap();
    assert!(!complete.is_empty());
    for segment in complete {
        let mark = Path::new("archive_status").join(format!("{segment}.done"));
        assert!(wal.contains_key(&mark), "{segment} has no mark among {wal:?}");
    }
}

on_servers!(slots_are_used_as_asked: pg13 pg15 pg18);

fn slots_are_used_as_asked(installation: Installation) {
    const SLOTS: &str = "SELECT string_agg(slot_name, ',') FROM pg_replication_slots";
    let server = Server::start(installation);
    let scratch = Scratch::new();
    let table: [(&str, &[&str], &str); 4] = [
        ("temporary", &[], ""),
        ("none", &["--no-slot"], ""),
        ("created", &["-C", "-S", "kept"], "kept"),
        ("existing", &["-S", "kept"], "kept"),
    ];
    for (name, arguments, left) in table {
        let client = Client::pgsiphon().to(&server).args(arguments).arg("-N");
        client.into_directory(&scratch.join(name)).run().succeeded();
        assert_eq!(server.sql(SLOTS), left, "{name}");
    }
    let again = Client::pgsiphon().to(&server).args(["-C", "-S", "kept"]);
    let finished = again.into_directory(&scratch.join("again")).run();
    let error = finished.failed();
    assert!(error.contains("replication slot \"kept\" already exists"), "{error}");
    assert!(!scratch.join("again").exists());
}
