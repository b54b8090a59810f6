//! The process stays small whatever the size of the database.

use std::fs::{self, File};

use crate::support::account::give_to_server;
use crate::support::acknowledged::{Target, receiver};
use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::log::Log;
use crate::support::scratch::Scratch;
use crate::support::server::Server;

on_servers!(memory_stays_below_its_bound: pg13 pg18);
on_servers!(memory_stays_below_its_bound_while_wal_is_received: pg15 pg18);

/// What the whole process may use, in KiB.
pub const BOUND_KIB: u64 = 64 * 1024;

/// The database: a few files of the size of relation segments, and many small ones.
const BIG_FILES: u64 = 4;
const BIG_FILE_BYTES: u64 = 256 << 20;
const SMALL_FILES: u64 = 2000;

fn memory_stays_below_its_bound(installation: Installation) {
    let server = Server::start(installation);
    let extra = server.data().join("extra");
    fs::create_dir(&extra).unwrap();
    for number in 0..BIG_FILES {
        // Full of holes: costs nothing to write, and is sent and received like any other.
        let file = File::create(extra.join(format!("big{number}"))).unwrap();
        file.set_len(BIG_FILE_BYTES).unwrap();
    }
    for number in 0..SMALL_FILES {
        fs::write(extra.join(format!("small{number}")), b"x").unwrap();
    }
    give_to_server(&extra);

    let scratch = Scratch::new();
    for (directory, arguments) in [("plain", ["-N"].as_slice()), ("gzip", &["-N", "-Ft", "-z"])] {
        let client = Client::pgsiphon().to(&server).args(arguments);
        let running = client.into_directory(&scratch.join(directory)).start();
        let (finished, peak_kib) = running.wait_watching_memory();
        finished.succeeded();
        assert!(peak_kib < BOUND_KIB, "{arguments:?}: it used {peak_kib} KiB");
    }
}

fn memory_stays_below_its_bound_while_wal_is_received(installation: Installation) {
    let server = Server::builder(installation).setting("max_wal_size=1GB").start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let kinds: [&[&str]; 6] = [
        &[],
        &["--synchronous"],
        &["--synchronous", "-Z", "gzip"],
        &["-Z", "lz4"],
        &["-Z", "zstd:workers=2"],
        &["--synchronous", "-Z", "zstd"],
    ];
    let targets =
        [0, 1, 2, 3, 4, 5].map(|kind| Target::new(&log, scratch.join(format!("kind_{kind}"))));
    log.ask(
        "SELECT count(pg_logical_emit_message(true, '', repeat(md5(i::text), 32768)))
         FROM generate_series(1, 192) i",
    );
    let end = log.segment_start(log.end()).to_string();
    for (target, arguments) in targets.iter().zip(kinds) {
        let client = target.prepare(receiver()).args(arguments).args(["-E", &end]);
        let running = client.start();
        log.end_segment();
        let (finished, peak_kib) = running.wait_watching_memory();
        finished.succeeded();
        assert!(peak_kib < BOUND_KIB, "{arguments:?}: it used {peak_kib} KiB");
        target.assert_acknowledged_is_held();
    }
}
