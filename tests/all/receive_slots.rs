//! Slots, and WAL that the server no longer has: what is missing is said, recorded, and never
//! passed over unless the user wants that.

use std::fs;
use std::path::Path;

use pgsiphon::pg::Lsn;
use serde_json::Value;

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::receive::{
    Program, Receiver, assert_same_words, end_segment, run, source, write_wal,
};
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::wal_files::{assert_log, segments};

on_servers!(what_the_server_refuses_is_said_in_the_same_words: pg13 pg15 pg18);
on_servers!(removed_wal_is_asked_for_again_and_again: pg13 pg15 pg18);
on_servers!(a_hole_that_could_not_be_recorded_is_recorded_later: pg13 pg18);
on_servers!(removed_wal_is_skipped_and_recorded_if_the_user_wants: pg13 pg15 pg18);
on_servers!(wal_behind_a_skipped_hole_is_asked_for_again: pg13 pg18);
on_servers!(a_slot_that_somebody_holds_is_waited_for: pg13 pg18);
on_servers!(a_server_without_senders_is_refused_in_the_same_words: pg13 pg18);

/// Starts a server that keeps no WAL behind a checkpoint, not even for a slot.
fn forgetful(installation: Installation) -> Server {
    let builder = Server::builder(installation).initdb(&["--wal-segsize=1"]);
    builder.setting("max_slot_wal_keep_size=1MB").start()
}

/// Receives something into a directory, through the slot of its name if there is one, then lets the
/// server remove what comes next; returns up to where it was received.
fn lose_wal(server: &Server, directory: &Path, arguments: &[&str]) -> Lsn {
    let mut receiver = Receiver::streaming(Program::ours(), server, directory, arguments);
    let end = end_segment(server);
    receiver.wait_for(server, end);
    receiver.stop();
    for _ in 0..6 {
        end_segment(server);
    }
    server.sql("CHECKPOINT");
    segments(directory).last().unwrap().end()
}

/// Runs both programs on copies of a directory, without a loop.
#[track_caller]
fn both_refuse(server: &Server, directory: &Path, arguments: &[&str]) -> String {
    let [original, ours] = [Program::Original, Program::ours()].map(|program| {
        let scratch = Scratch::new();
        let copy = scratch.directory("wal");
        for segment in segments(directory) {
            let name = segment.file_name();
            fs::copy(directory.join(&name), copy.join(name)).unwrap();
        }
        let finished = run(program, server, &copy, &[&["-v", "-n"], arguments].concat());
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        finished.stderr
    });
    assert_same_words(&original, &ours);
    ours
}

fn what_the_server_refuses_is_said_in_the_same_words(installation: Installation) {
    let server = forgetful(installation);
    let scratch = Scratch::new();
    let empty = scratch.directory("empty");
    both_refuse(&server, &empty, &["-S", "missing"]);
    server.sql("SELECT pg_create_physical_replication_slot('wal', true)");
    let taken = scratch.directory("taken");
    let receiver = Receiver::streaming(Program::ours(), &server, &taken, &["-S", "wal"]);
    both_refuse(&server, &empty, &["-S", "wal"]);
    receiver.stop();
    let with_slot = scratch.directory("with_slot");
    lose_wal(&server, &with_slot, &["-S", "wal"]);
    assert_eq!(server.sql("SELECT wal_status FROM pg_replication_slots"), "lost");
    both_refuse(&server, &with_slot, &["-S", "wal"]);
    let said = both_refuse(&server, &with_slot, &[]);
    assert!(said.contains(" has already been removed\n"), "{said}");
}

fn removed_wal_is_asked_for_again_and_again(installation: Installation) {
    for arguments in [&[][..], &["-S", "wal"]] {
        let server = forgetful(installation);
        server.sql("SELECT pg_create_physical_replication_slot('wal', true)");
        let scratch = Scratch::new();
        let directory = scratch.directory("wal");
        let missing = lose_wal(&server, &directory, arguments);
        let stored = segments(&directory);
        let mut receiver = Receiver::start(Program::ours(), &server, &directory, arguments);
        receiver.wait_until_says("disconnected; waiting ", 2);
        let said = receiver.stop().stderr;
        assert_eq!(segments(&directory), stored);
        if !Program::ours().is_original() {
            let words = format!("warning: WAL from {missing} to ");
            assert!(said.contains(&words), "{words}: {said}");
            let removed = |hole: &&Value| hole["cause"] == "removed_by_server";
            let holes = holes(&directory);
            assert_eq!(holes.iter().filter(removed).count(), 1, "{holes:?}");
        }
    }
}

fn a_hole_that_could_not_be_recorded_is_recorded_later(installation: Installation) {
    let server = forgetful(installation);
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    let missing = lose_wal(&server, &directory, &[]);
    let record = directory.join(".pgsiphon-holes");
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    let mut receiver = Receiver::start(Program::Native, &server, &directory, &[]);
    receiver.wait_until_says("disconnected; waiting ", 1);
    fs::remove_dir(&record).unwrap();
    receiver.wait_until_says(&format!("warning: WAL from {missing} to "), 1);
    // The cause is told each time, the failure beside it.
    receiver.wait_until_says("disconnected; waiting ", 2);
    let said = receiver.stop().stderr;
    let failure = format!("error: could not open file \"{}\": Is a directory", record.display());
    assert_eq!(said.matches(&failure).count(), 1, "{said}");
    assert_eq!(said.matches(" has already been removed\n").count(), 2, "{said}");
    let hole = holes(&directory).pop().unwrap();
    let expected = [missing.to_string(), "removed_by_server".to_owned()];
    assert_eq!(["from", "cause"].map(|field| &hole[field]), expected.each_ref());
}

/// Reads the record of holes in a directory.
fn holes(directory: &Path) -> Vec<Value> {
    let text = fs::read_to_string(directory.join(".pgsiphon-holes")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn removed_wal_is_skipped_and_recorded_if_the_user_wants(installation: Installation) {
    let without: &[&str] = &[];
    // From 18 on, nothing is sent through a slot any more that lost its WAL.
    let with_slot = (installation.major < 18).then_some(&["-S", "wal"][..]);
    for arguments in std::iter::once(without).chain(with_slot) {
        let server = forgetful(installation);
        server.sql("SELECT pg_create_physical_replication_slot('wal', true)");
        let scratch = Scratch::new();
        let directory = scratch.directory("wal");
        let missing = lose_wal(&server, &directory, arguments);
        let arguments = [arguments, &["--on-hole=skip"]].concat();
        let mut receiver = Receiver::streaming(Program::Native, &server, &directory, &arguments);
        let end = write_wal(&server, 1000);
        receiver.wait_for(&server, end);
        let said = receiver.stop().stderr;
        // What is behind the hole is whole.
        let behind = scratch.directory("behind");
        for segment in segments(&directory).iter().filter(|segment| segment.start >= missing) {
            let name = segment.file_name();
            fs::rename(directory.join(&name), behind.join(name)).unwrap();
        }
        let start = assert_log(&behind, &server, end);
        assert!(start > missing, "{start}");
        let words = format!("warning: WAL from {missing} to {start} (timeline 1) is missing in");
        assert!(said.contains(&words), "{words}: {said}");
        let hole = holes(&directory).pop().unwrap();
        let expected = [missing.to_string(), start.to_string(), "removed_by_server".to_owned()];
        assert_eq!(["from", "to", "cause"].map(|field| &hole[field]), expected.each_ref());
    }
}

fn wal_behind_a_skipped_hole_is_asked_for_again(installation: Installation) {
    let server = forgetful(installation);
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    let receive = || {
        let arguments = &["--on-hole=skip"];
        let mut receiver = Receiver::streaming(Program::Native, &server, &directory, arguments);
        let end = write_wal(&server, 1000);
        receiver.wait_for(&server, end);
        receiver.stop();
        end
    };
    receive();
    let lost = segments(&directory).pop().unwrap();
    end_segment(&server);
    server.sql("CHECKPOINT");
    receive();
    // One segment is lost, whose beginning is stored: as if a kill between two segments had left both.
    let partial = segments(&directory).split_off(segments(&directory).len() - 2);
    assert!(partial.iter().all(|segment| segment.is_partial), "{partial:?}");
    assert_eq!([partial[0].start, partial[1].start], [lost.start, lost.end()]);
    for _ in 0..3 {
        end_segment(&server);
    }
    let end = receive();
    let removed = |hole: &Value| hole["cause"] == "removed_by_server";
    assert_eq!(holes(&directory).into_iter().filter(removed).count(), 1);
    let behind = scratch.directory("behind");
    for segment in segments(&directory).iter().filter(|segment| segment.start > lost.start) {
        let name = segment.file_name();
        fs::rename(directory.join(&name), behind.join(name)).unwrap();
    }
    assert_eq!(assert_log(&behind, &server, end), lost.end());
}

fn a_slot_that_somebody_holds_is_waited_for(installation: Installation) {
    let server = source(installation).start();
    server.sql("SELECT pg_create_physical_replication_slot('wal', true)");
    let scratch = Scratch::new();
    let [first, second] = ["first", "second"].map(|name| scratch.directory(name));
    let holder = Receiver::streaming(Program::ours(), &server, &first, &["-S", "wal"]);
    let mut waiting = Receiver::start(Program::ours(), &server, &second, &["-S", "wal"]);
    waiting.wait_until_says("replication slot \"wal\" is active for PID ", 1);
    let end = write_wal(&server, 1000);
    holder.stop();
    waiting.wait_for(&server, end);
    waiting.stop();
    assert_log(&second, &server, end);
}

fn a_server_without_senders_is_refused_in_the_same_words(installation: Installation) {
    for settings in [&["max_wal_senders=0"][..], &["max_wal_senders=0", "wal_level=minimal"]] {
        let builder = Server::builder(installation);
        let server =
            settings.iter().fold(builder, |builder, setting| builder.setting(*setting)).start();
        let arguments: [&[&str]; 2] = [&["-v", "-D", "/tmp"], &["--create-slot", "-S", "wal"]];
        for arguments in arguments {
            let run = |client: Client| client.to(&server).args(arguments).run();
            let [original, ours] = [Program::Original, Program::ours()].map(|p| run(p.client()));
            assert!(original.failed().contains("max_wal_senders"), "{original:?}");
            assert_eq!(ours.failed(), original.failed(), "{settings:?} {arguments:?}");
        }
    }
}
