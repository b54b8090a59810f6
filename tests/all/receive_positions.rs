//! Where receiving begins: behind what the directory holds, else where the slot is, else where the
//! server is.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use pgsiphon::pg::Lsn;

use crate::support::installation::Installation;
use crate::support::receive::{
    Program, Receiver, assert_same_words, differences, end_of_wal, end_segment, run, source,
    write_wal,
};
use crate::support::scratch::{Scratch, run as command};
use crate::support::server::Server;
use crate::support::wal_files::{Segment, assert_log, pg_wal, segments};

on_servers!(an_empty_directory_begins_where_the_server_or_the_slot_is: pg13 pg14 pg15 pg18);
on_servers!(the_directory_counts_before_the_slot: pg13 pg15 pg18);
on_servers!(files_in_the_directory_are_judged_as_by_the_original: pg13 pg18);
on_servers!(a_partial_segment_of_another_size_is_completed: pg18);
on_servers!(what_is_stored_is_not_overwritten_with_something_else: pg18);
on_servers!(the_directory_of_another_cluster_is_refused: pg18);

fn an_empty_directory_begins_where_the_server_or_the_slot_is(installation: Installation) {
    let server = source(installation).initdb(&["--wal-segsize=1"]).start();
    server.sql("SELECT pg_create_physical_replication_slot('fresh')");
    server.sql("SELECT pg_create_physical_replication_slot('reserved', true)");
    let reserved = segment_with_end(&server);
    end_segment(&server);
    end_segment(&server);
    let current = segment_with_end(&server);
    // Nothing over the wire tells where a slot is in a release before 15.
    let of_slot = if installation.major >= 15 { reserved } else { current.clone() };
    let table: [(&str, &[&str], Segment); 3] = [
        ("none", &[], current.clone()),
        ("fresh", &["-S", "fresh"], current),
        ("reserved", &["-S", "reserved"], of_slot),
    ];
    for (name, arguments, first) in table {
        let scratch = Scratch::new();
        let directory = scratch.directory(name);
        let mut receiver = Receiver::streaming(Program::ours(), &server, &directory, arguments);
        let end = write_wal(&server, 1000);
        receiver.wait_for(&server, end);
        receiver.stop();
        assert_eq!(assert_log(&directory, &server, end), first.start, "{name}");
    }
}

/// Returns the segment to which the server writes.
fn segment_with_end(server: &Server) -> Segment {
    let end = end_of_wal(server);
    let is_current = |segment: &Segment| segment.start <= end && end < segment.end();
    // Behind the end of one there may be no other yet.
    write_wal(server, 100);
    segments(&pg_wal(server)).into_iter().find(is_current).unwrap()
}

fn the_directory_counts_before_the_slot(installation: Installation) {
    let server = source(installation).initdb(&["--wal-segsize=1"]).start();
    server.sql("SELECT pg_create_physical_replication_slot('wal', true)");
    end_segment(&server);
    let stored = segment_with_end(&server);
    end_segment(&server);
    end_segment(&server);
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    store(&server, &stored, &directory, "", None);
    let mut receiver =
        Receiver::streaming(Program::ours(), &server, &directory, &["-v", "-S", "wal"]);
    let end = end_of_wal(&server);
    receiver.wait_for(&server, end);
    let said = receiver.stop().stderr;
    let words = format!("starting log streaming at {} (timeline 1)", stored.end());
    assert!(said.contains(&words), "{words}: {said}");
    assert_eq!(assert_log(&directory, &server, end), stored.start);
}

/// Copies a segment of a server, under its name and what follows, and gives it another size if
/// wanted.
fn store(server: &Server, segment: &Segment, directory: &Path, suffix: &str, size: Option<u64>) {
    let target = directory.join(segment.name() + suffix);
    fs::copy(pg_wal(server).join(segment.name()), &target).unwrap();
    let file = File::options().write(true).open(target).unwrap();
    file.set_len(size.unwrap_or(segment.size)).unwrap();
}

/// What a directory holds: the index of a segment, what its name ends with, and the size of the
/// file, if that is not a segment's.
type Files<'a> = &'a [(usize, &'a str, Option<u64>)];

fn files_in_the_directory_are_judged_as_by_the_original(installation: Installation) {
    let server = source(installation).initdb(&["--wal-segsize=1"]).start();
    let of_server = [(); 4].map(|()| {
        let segment = segment_with_end(&server);
        end_segment(&server);
        segment
    });
    let end = write_wal(&server, 1000).offset() - 1;
    let arguments = ["-v", "-n", "-E", &Lsn::new(end).to_string()];
    let table: [Files; 7] = [
        &[(0, "", None), (1, "", None)],
        &[(0, "", None), (1, ".partial", None)],
        &[(1, "", None), (1, ".partial", None)],
        &[(0, "", None), (1, "", Some(1000))],
        &[(0, "", None), (1, ".partial", Some(0))],
        &[(0, "", None), (2, "", None)],
        &[(0, "", None), (2, ".backup", Some(10)), (2, ".tmp", None)],
    ];
    for files in table {
        let scratch = Scratch::new();
        let both = [("original", Program::Original), ("ours", Program::ours())];
        let [original, ours] = both.map(|(name, program)| {
            let directory = scratch.directory(name);
            for (index, suffix, size) in files {
                store(&server, &of_server[*index], &directory, suffix, *size);
            }
            let finished = run(program, &server, &directory, &arguments);
            let said = finished.stderr.replace(&directory.display().to_string(), "DIRECTORY");
            (said, finished.status.code(), directory)
        });
        assert_same_words(&original.0, &ours.0);
        assert_eq!(ours.1, original.1, "{files:?}");
        let differences = differences([&original.2, &ours.2], |_| false);
        assert!(differences.is_empty(), "{files:?}: {differences:#?}");
    }
}

fn a_partial_segment_of_another_size_is_completed(installation: Installation) {
    let server = source(installation).initdb(&["--wal-segsize=1"]).start();
    let stored = segment_with_end(&server);
    end_segment(&server);
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    store(&server, &stored, &directory, "", None);
    // The original refuses to go on here, again and again.
    let torn = directory.join(format!("{}.partial", segment_with_end(&server).name()));
    fs::write(torn, [0; 1000]).unwrap();
    let mut receiver = Receiver::streaming(Program::ours(), &server, &directory, &[]);
    let end = end_segment(&server);
    receiver.wait_for(&server, end);
    receiver.stop();
    assert_eq!(assert_log(&directory, &server, end), stored.start);
}

fn what_is_stored_is_not_overwritten_with_something_else(installation: Installation) {
    let mut server = source(installation).start();
    let scratch = Scratch::new();
    server.stop();
    let copy = scratch.join("copy");
    command(Command::new("cp").arg("-a").arg(server.data()).arg(&copy));
    server.start_again();
    let directory = scratch.directory("wal");
    let mut receiver = Receiver::streaming(Program::ours(), &server, &directory, &[]);
    let end = write_wal(&server, 100_000);
    receiver.wait_for(&server, end);
    receiver.stop();
    let path = directory.join(segments(&directory)[0].file_name());
    let stored = fs::read(&path).unwrap();
    // The same cluster and timeline, and yet another log.
    let twin = Server::from_backup(installation, &copy);
    write_wal(&twin, 200_000);
    let finished = run(Program::ours(), &twin, &directory, &[]);
    let error = finished.failed();
    let words = format!("differs from what is in file \"{}\"", path.display());
    assert!(error.starts_with("WAL received before ") && error.ends_with(&words), "{error}");
    assert!(fs::read(&path).unwrap() == stored, "the file was changed");
}

fn the_directory_of_another_cluster_is_refused(installation: Installation) {
    let server = source(installation).start();
    // Clusters of the same kind are copies of each other.
    let other = source(installation).initdb(&["--no-instructions"]).start();
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    let mut receiver = Receiver::streaming(Program::ours(), &server, &directory, &[]);
    let end = write_wal(&server, 100_000);
    receiver.wait_for(&server, end);
    receiver.stop();
    let finished = run(Program::ours(), &other, &directory, &[]);
    let error = finished.failed();
    assert!(error.contains(".partial\" is from different database system: "), "{error}");
}
