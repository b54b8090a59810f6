//! Receiving WAL beside the original: the same files, byte by byte, and the same words.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use pgsiphon::pg::Lsn;
use rustix::process::Signal;

use crate::support::client::Finished;
use crate::support::installation::Installation;
use crate::support::receive::{
    Program, Receiver, assert_same_words, differences, end_of_wal, end_segment, run, source,
    start_both, stop_both, write_wal,
};
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::wal_files::{assert_log, pg_wal, segments};
use crate::support::workload::WriteLoad;

on_servers!(files_and_words_are_those_of_the_original: pg13 pg15 pg18);
on_servers!(receiving_ends_behind_the_end_position: pg13 pg18);
on_servers!(an_end_position_that_is_the_end_of_the_log_waits_for_more: pg13 pg18);
on_servers!(a_segment_of_a_gigabyte_is_preallocated: pg18);
on_servers!(what_no_loop_says_in_the_end: pg13 pg18);

fn files_and_words_are_those_of_the_original(installation: Installation) {
    for initdb in [&[][..], &["-g", "--wal-segsize=1"], &["--wal-segsize=64"]] {
        let server = source(installation).initdb(initdb).start();
        let scratch = Scratch::new();
        let both = start_both(&server, &scratch);
        let load = WriteLoad::start(&server);
        end_segment(&server);
        end_segment(&server);
        drop(load);
        let end = write_wal(&server, 100_000);
        stop_both(both, &server, end);
    }
}

/// Returns the position behind which receiving ended, as it was said.
fn stopped_at(finished: &Finished) -> &str {
    let (_, rest) = finished.stderr.split_once("stopped log streaming at ").expect("it was said");
    rest.split(' ').next().unwrap()
}

fn receiving_ends_behind_the_end_position(installation: Installation) {
    let server = source(installation).initdb(&["--wal-segsize=1"]).start();
    let start = end_segment(&server);
    write_wal(&server, 2_500_000);
    let (from, size, chunk) = (start.offset(), 1 << 20, 128 << 10);
    let table = [
        from - size,
        from - 1,
        from,
        from + 1,
        from + chunk - 1,
        from + chunk,
        from + size - 1,
        from + size,
        from + size + 1,
        from + 2 * size - 1,
        end_of_wal(&server).offset() - 1,
    ];
    for end in table.map(Lsn::new) {
        let scratch = Scratch::new();
        let both = [Program::Original, Program::ours()].map(|program| {
            let directory = directory_up_to(start, &server, &scratch);
            let said = receive_up_to(end, program, &server, &directory);
            (directory, said)
        });
        assert_same_words(&both[0].1, &both[1].1);
        let directories = both.each_ref().map(|(directory, _)| directory.as_path());
        let differences = differences(directories, |_| true);
        assert!(differences.is_empty(), "{end}: {differences:#?}");
    }
}

/// Receives up to an end position, and makes sure that the log is stored up to where it is said to
/// be; returns what was said without that position, for how much comes at once behind the end
/// depends on the moment.
fn receive_up_to(end: Lsn, program: Program, server: &Server, directory: &Path) -> String {
    let finished = run(program, server, directory, &["-v", "-E", &end.to_string()]).succeeded();
    let stopped = stopped_at(&finished);
    assert!(stopped.parse::<Lsn>().unwrap() > end, "{stopped}, {end}");
    assert_log(directory, server, stopped.parse().unwrap());
    finished.stderr.replace(stopped, "END")
}

/// Makes a directory that holds the segment before a position, so that receiving begins there.
fn directory_up_to(start: Lsn, server: &Server, scratch: &Scratch) -> PathBuf {
    let directory = scratch.directory(format!("wal-{}", scratch.names().len()));
    let last = segments(&pg_wal(server)).into_iter().find(|segment| segment.end() == start);
    let name = last.unwrap().name();
    fs::copy(pg_wal(server).join(&name), directory.join(name)).unwrap();
    directory
}

fn an_end_position_that_is_the_end_of_the_log_waits_for_more(installation: Installation) {
    let server = source(installation).start();
    let scratch = Scratch::new();
    let end = write_wal(&server, 1000);
    let arguments = ["-v", "-E", &end.to_string()];
    let mut receiver =
        Receiver::streaming(Program::ours(), &server, &scratch.directory("wal"), &arguments);
    receiver.wait_for(&server, end);
    write_wal(&server, 1000);
    let directory = receiver.directory().to_owned();
    let stopped = stopped_at(&receiver.wait().succeeded()).parse().unwrap();
    assert!(stopped > end);
    assert_log(&directory, &server, stopped);
}

fn a_segment_of_a_gigabyte_is_preallocated(installation: Installation) {
    let server = source(installation).initdb(&["--wal-segsize=1024"]).start();
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    let mut receiver = Receiver::streaming(Program::ours(), &server, &directory, &[]);
    let end = write_wal(&server, 3_000_000);
    receiver.wait_for(&server, end);
    receiver.stop();
    assert_log(&directory, &server, end);
    let [segment] = &segments(&directory)[..] else { panic!("not one segment") };
    let metadata = fs::metadata(directory.join(segment.file_name())).unwrap();
    assert_eq!(metadata.size(), 1 << 30);
    assert!(metadata.blocks() * 512 >= metadata.size(), "its space may be gone when it is needed");
}

fn what_no_loop_says_in_the_end(installation: Installation) {
    for signal in [Signal::INT, Signal::KILL] {
        let [original, ours] = [Program::Original, Program::ours()].map(|program| {
            let mut server = source(installation).start();
            let scratch = Scratch::new();
            let directory = scratch.directory("wal");
            let arguments = ["--no-loop", "-v"];
            let receiver = Receiver::streaming(program, &server, &directory, &arguments);
            match signal {
                Signal::INT => server.stop(),
                _ => server.kill(),
            }
            let finished = receiver.wait();
            assert_eq!(finished.status.code(), Some(1), "{finished:?}");
            assert_eq!(finished.errors().last(), Some(&"disconnected"));
            finished.stderr
        });
        assert_same_words(&original, &ours);
    }
}
