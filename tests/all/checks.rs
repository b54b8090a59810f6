//! Damage is found while it arrives, and a broken network leaves nothing half done.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::proxy::{Fault, Proxy};
use crate::support::random::Random;
use crate::support::scratch::Scratch;
use crate::support::server::{STREAM_BYTES_MIN, Server};
use crate::support::verify::{self, Wal};
use crate::support::workload::{WriteLoad, fill, kept_rows};

on_servers!(a_byte_that_changes_on_the_way_is_found: pg13 pg18);
on_servers!(a_connection_that_breaks_anywhere_leaves_nothing: pg13 pg18);
on_servers!(a_wal_connection_that_breaks_is_made_again: pg13 pg18);
on_servers!(a_page_that_fails_its_checksum_keeps_the_data_and_fails_the_run: pg13 pg18);

/// Breaks per server.
const BREAKS: u64 = 12;

/// What the network damages is behind this text, in a table full of it.
const MARK: &[u8] = b"pgsiphon damages the byte behind this:";

fn a_byte_that_changes_on_the_way_is_found(installation: Installation) {
    let server = Server::start(installation);
    server.sql(format!(
        "CREATE TABLE marked AS SELECT '{}.' || id FROM generate_series(1, 5000) id",
        String::from_utf8_lossy(MARK)
    ));
    let file = server.sql("SELECT pg_relation_filepath('marked')");
    for arguments in [&["-X", "none"][..], &["-X", "none", "-Ft", "-N"]] {
        let scratch = Scratch::new();
        let target = scratch.join("target");
        let proxy = Proxy::before(&server, &[Fault::FlipBehind(MARK)]);
        let client = Client::pgsiphon().through(proxy.sockets(), proxy.port()).args(arguments);
        let finished = client.into_directory(&target).run();
        assert_eq!(finished.status.code(), Some(1), "{arguments:?}: {}", finished.stderr);
        let complaint = format!("checksum mismatch for file \"{file}\"");
        assert!(finished.stderr.contains(&complaint), "{arguments:?}: {}", finished.stderr);
        assert!(!target.join("backup_manifest").exists(), "{arguments:?}");
    }
}

fn a_connection_that_breaks_anywhere_leaves_nothing(installation: Installation) {
    let server = Server::start(installation);
    let mut random = Random::new(u64::from(installation.major));
    for number in 0..BREAKS {
        // Half of them strike among the first messages: signing in, answers, the first headers.
        let bound = if number % 2 == 0 { 2_000 } else { STREAM_BYTES_MIN };
        let after = random.below(bound);
        let method = ["stream", "fetch", "none"][usize::try_from(number % 3).unwrap()];
        let scratch = Scratch::new();
        let proxy = Proxy::before(&server, &[Fault::Cut(after)]);
        let arguments = ["-N", "-X", method];
        let client = Client::pgsiphon().through(proxy.sockets(), proxy.port()).args(arguments);
        let finished = client.into_directory(&scratch.join("target")).run();
        let error = finished.failed();
        let left = scratch.names();
        assert!(left.is_empty(), "cut after {after} bytes ({error}): {left:?} is left");
    }
}

fn a_wal_connection_that_breaks_is_made_again(installation: Installation) {
    let server = Server::start(installation);
    let kept = fill(&server);
    let _load = WriteLoad::start(&server);
    // Both are behind the few hundred bytes with which the session begins: the stream itself breaks.
    for after in [5_000, 100_000] {
        let scratch = Scratch::new();
        let target = scratch.join("target");
        let proxy = Proxy::before(&server, &[Fault::Stall(10_000_000), Fault::Cut(after)]);
        let client = Client::pgsiphon().through(proxy.sockets(), proxy.port()).arg("-N");
        let running = client.into_directory(&target).start();
        proxy.wait_for_connections(3);
        proxy.release();
        let finished = running.wait().succeeded();
        let warning = "pgsiphon: warning: WAL streaming was interrupted: ";
        assert!(finished.stderr.starts_with(warning), "{}", finished.stderr);
        verify::verify(installation, &target, Wal::Included);
        let restored = Server::from_backup(installation, &target);
        assert_eq!(kept_rows(&restored), kept);
    }
}

/// Spoils a page of a table on the server's disk, in the middle of its rows; returns the file's name.
fn spoil_a_page(server: &mut Server) -> PathBuf {
    fill(server);
    let name = PathBuf::from(server.sql("SELECT pg_relation_filepath('kept')"));
    server.stop();
    let file = OpenOptions::new().write(true).open(server.data().join(&name)).unwrap();
    file.write_all_at(b"spoiled", 3 * 8192 + 5000).unwrap();
    server.start_again();
    name
}

fn a_page_that_fails_its_checksum_keeps_the_data_and_fails_the_run(installation: Installation) {
    let mut server = Server::start(installation);
    let name = spoil_a_page(&mut server);
    let scratch = Scratch::new();
    let target = scratch.join("target");
    let finished = Client::pgsiphon().to(&server).arg("-N").into_directory(&target).run();

    assert_eq!(finished.failed(), "checksum error occurred");
    let warning = "WARNING:  checksum verification failed in file ";
    let has_warning = finished.stderr.lines().any(|line| line.starts_with(warning));
    assert!(has_warning, "{}", finished.stderr);
    let original = fs::read(server.data().join(&name)).unwrap();
    assert_eq!(fs::read(target.join(&name)).unwrap(), original);
    assert!(target.join("backup_manifest.tmp").exists());
    assert!(!target.join("backup_manifest").exists());

    let unchecked = scratch.join("unchecked");
    let client = Client::pgsiphon().to(&server).args(["--no-verify-checksums", "-N"]);
    client.into_directory(&unchecked).run().succeeded();
    verify::verify(installation, &unchecked, Wal::Included);
}
