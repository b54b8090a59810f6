//! Compressed WAL: other names, the same log within.

use std::fs;
use std::path::Path;

use crate::support::installation::Installation;
use crate::support::receive::{Program, Receiver, end_segment, source, write_wal};
use crate::support::scratch::{Scratch, names};
use crate::support::server::Server;
use crate::support::timelines::begin_timeline;
use crate::support::wal_files::{assert_log, can_unpack, unpack};

on_servers!(compressed_segments_hold_the_log: pg18);
on_servers!(the_compression_may_change_between_runs: pg18);

/// The size of the segments here.
const SEGMENT_SIZE: u64 = 1 << 20;

/// Receives a segment and a part of another one, and makes sure that the files hold the log when
/// they are decompressed.
fn receive(server: &Server, scratch: &Scratch, directory: &str, compression: &str) {
    let arguments = ["--synchronous", "-Z", compression];
    let directory = scratch.join(directory);
    let mut receiver = Receiver::streaming(Program::ours(), server, &directory, &arguments);
    end_segment(server);
    let end = write_wal(server, 100_000);
    receiver.wait_until(server, &format!("flush_lsn >= '{end}'"));
    receiver.stop();
    let unpacked = scratch.directory("unpacked");
    unpack(&directory, &unpacked, SEGMENT_SIZE);
    assert_log(&unpacked, server, end);
    fs::remove_dir_all(unpacked).unwrap();
}

fn compressed_segments_hold_the_log(installation: Installation) {
    if !can_unpack() {
        return;
    }
    let mut table = vec![("gzip", ".gz"), ("gzip:9", ".gz"), ("lz4", ".lz4")];
    if !Program::ours().is_original() {
        table.push(("zstd", ".zst"));
    }
    let mut server = source(installation).initdb(&["--wal-segsize=1"]).start();
    let scratch = Scratch::new();
    for (compression, _) in &table {
        scratch.directory(compression);
    }
    // The second run begins with a partial segment, the third goes over to another timeline.
    for run in 1..=3 {
        if run == 3 {
            begin_timeline(&mut server, Server::stop);
        }
        for (compression, _) in &table {
            receive(&server, &scratch, compression, compression);
        }
    }
    // The original compresses it too, and does not find it again.
    let history = if Program::ours().is_original() { "" } else { "00000002.history" };
    for (compression, suffix) in table {
        for name in wal_names(&scratch.join(compression)) {
            let bare = name.strip_suffix(".partial").unwrap_or(&name);
            assert!(bare.ends_with(suffix) || bare == history, "{compression}: {name}");
        }
    }
}

/// Lists the files of a directory but for those that only ours keeps beside the WAL.
fn wal_names(directory: &Path) -> Vec<String> {
    names(directory).into_iter().filter(|name| !name.starts_with('.')).collect()
}

fn the_compression_may_change_between_runs(installation: Installation) {
    if !can_unpack() {
        return;
    }
    let server = source(installation).initdb(&["--wal-segsize=1"]).start();
    let scratch = Scratch::new();
    scratch.directory("wal");
    // Each run completes what the one before left behind in another form.
    for compression in ["none", "gzip:1", "lz4", "none", "gzip"] {
        receive(&server, &scratch, "wal", compression);
    }
}
