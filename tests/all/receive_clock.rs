//! A clock that jumps: status updates and acknowledgements go on.

use std::fs;
use std::path::PathBuf;

use crate::support::acknowledged::{Target, receiver};
use crate::support::installation::Installation;
use crate::support::log::{Log, source};
use crate::support::scratch::Scratch;
use crate::support::skip;

on_servers!(a_clock_that_jumps_stops_neither_status_updates_nor_acknowledgements: pg18);

/// Where the clock is after each jump, in seconds from the true time.
const JUMPS: [&str; 5] = ["+3600", "-3600", "+315360000", "-86400", "+0"];

/// Returns the library that gives a program another clock.
fn faketime() -> Option<PathBuf> {
    let directories = fs::read_dir("/usr/lib").unwrap().flatten();
    let mut libraries =
        directories.map(|directory| directory.path().join("faketime/libfaketimeMT.so.1"));
    let found = libraries.find(|library| library.exists());
    if found.is_none() {
        skip("there is no libfaketime");
    }
    found
}

fn a_clock_that_jumps_stops_neither_status_updates_nor_acknowledgements(
    installation: Installation,
) {
    let Some(library) = faketime() else { return };
    let server = source(installation).start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let target = Target::new(&log, scratch.join("received"));
    let clock = scratch.join("clock");
    fs::write(&clock, "+0").unwrap();
    let client = target.prepare(receiver()).env("LD_PRELOAD", library);
    let client = client.env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
    // Only the clock on the wall jumps, and the server never asks for an update.
    let client = client.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut running = client.env("PGOPTIONS", "-c wal_sender_timeout=0").start();
    target.wait_until_streaming(&mut running);
    for jump in JUMPS {
        fs::write(&clock, jump).unwrap();
        target.wait_until_status(&format!(
            "abs(extract(epoch FROM reply_time - clock_timestamp()) - ({jump})) < 1000"
        ));
        target.wait_until_acknowledged(log.end_segment());
        target.assert_acknowledged_is_held();
    }
    target.finish(running);
}
