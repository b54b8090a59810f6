//! The process stays small whatever the size of the database.

use std::fs::{self, File};
use std::thread;

use crate::support::POLL_INTERVAL;
use crate::support::account::give_to_server;
use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::scratch::Scratch;
use crate::support::server::Server;

on_servers!(memory_stays_below_its_bound: pg13 pg18);

/// What the whole process may use, in KiB.
const BOUND_KIB: u64 = 64 * 1024;

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
    let client = Client::pgsiphon().to(&server).arg("-N");
    let mut running = client.into_directory(&scratch.join("target")).start();
    let mut peak_kib = 0;
    while !running.has_ended() {
        peak_kib = running.peak_memory_kib().unwrap_or(0).max(peak_kib);
        thread::sleep(POLL_INTERVAL);
    }
    running.wait().succeeded();
    assert!(peak_kib > 0, "the program was never seen");
    assert!(peak_kib < BOUND_KIB, "it used {peak_kib} KiB");
}
