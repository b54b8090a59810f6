//! What the server hears of received WAL, and what it makes of it: nothing is acknowledged that the
//! files do not hold, and nobody waits for an acknowledgement in vain.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgsiphon::pg::Lsn;
use rustix::process::Signal;

use crate::fake_server::Fault;
use crate::fake_server::run::for_each;
use crate::hostile_wal::{Encounter, MESSAGE_SIZE, Material, question};
use crate::support::installation::Installation;
use crate::support::receive::{Program, Receiver, lsn, source, write_wal};
use crate::support::scratch::{self, Scratch};
use crate::support::server::Server;
use crate::support::wait_until;
use crate::support::wal_files::holds;

on_servers!(the_server_hears_what_the_options_say: pg13 pg15 pg18);
on_servers!(a_server_that_asks_is_answered_in_time: pg13 pg18);
on_servers!(a_server_that_is_behind_what_is_stored_is_kept_unless_it_presses: pg18);
on_servers!(a_fast_shutdown_does_not_wait_long_and_nothing_is_lost: pg13 pg15 pg18);
on_servers!(a_slot_keeps_all_that_the_files_do_not_hold: pg13 pg18);
on_servers!(a_commit_that_waits_for_the_receiver_is_in_the_files: pg13 pg18);

/// Starts a receiver for each list of arguments. `SLOT` stands for a slot of its own.
fn start_all(server: &Server, scratch: &Scratch, table: &[&[&str]]) -> Vec<Receiver> {
    let mut receivers = Vec::new();
    for arguments in table {
        let name = format!("receiver_{}", receivers.len());
        let directory = scratch.directory(&name);
        server.sql(format!("SELECT pg_create_physical_replication_slot('{name}')"));
        let arguments = arguments.iter().map(|&argument| match argument {
            "SLOT" => name.as_str(),
            argument => argument,
        });
        let arguments: Vec<_> = arguments.collect();
        receivers.push(Receiver::streaming(Program::ours(), server, &directory, &arguments));
    }
    receivers
}

fn the_server_hears_what_the_options_say(installation: Installation) {
    let flushed = "write_lsn >= '{end}' AND flush_lsn >= '{end}' AND replay_lsn IS NULL";
    let written = "write_lsn >= '{end}' AND flush_lsn IS NULL AND replay_lsn IS NULL";
    let table: [(&[&str], &str); 4] = [
        (&["-s", "1"], written),
        (&["-s", "1", "--no-sync"], written),
        (&["-s", "0", "--synchronous"], flushed),
        (&["--synchronous", "-S", "SLOT"], flushed),
    ];
    let server = source(installation).start();
    let scratch = Scratch::new();
    let receivers = start_all(&server, &scratch, &table.map(|(arguments, _)| arguments));
    let end = write_wal(&server, 100_000);
    for (mut receiver, (arguments, heard)) in receivers.into_iter().zip(table) {
        receiver.wait_until(&server, &heard.replace("{end}", &end.to_string()));
        assert!(holds(receiver.directory(), &server, end), "{arguments:?}");
        receiver.stop();
    }
}

fn a_server_that_asks_is_answered_in_time(installation: Installation) {
    let table: [&[&str]; 3] =
        [&["-s", "0"], &["-s", "0", "-S", "SLOT"], &["-s", "0", "--synchronous"]];
    let server = source(installation).setting("wal_sender_timeout=1500ms").start();
    let scratch = Scratch::new();
    for mut receiver in start_all(&server, &scratch, &table) {
        receiver.wait_until(&server, "now() - backend_start > '3 s' AND reply_time IS NOT NULL");
        let said = receiver.stop().stderr;
        assert!(!said.contains("disconnected"), "{said}");
    }
}

/// The size of the record that a shutdown ends with, in the release with the shortest one.
const SHUTDOWN_RECORD_SIZE: u64 = 114;

/// A standby may not have yet what its primary had sent. That is nothing that the disk owes; but who presses, as a
/// standby does that is to shut down, does not wait for ever.
fn a_server_that_is_behind_what_is_stored_is_kept_unless_it_presses(installation: Installation) {
    let material = Material::from_server(installation);
    let session = |size: usize, questions: usize| {
        material.session("1", [material.sound(size), question().repeat(questions)].concat())
    };
    // With a status update that is due meanwhile, and without.
    let table = [("1", 1, false), ("60", 1, false), ("1", 2, true), ("60", 2, true)];
    for_each(&table, |&(interval, questions, presses)| {
        let first = Encounter::of(session(4 * MESSAGE_SIZE, 1), &[]);
        let Encounter { server, running, scratch } = first;
        wait_until("what is stored", || server.acknowledged() > material.at(3 * MESSAGE_SIZE));
        running.signal(Signal::KILL);
        running.wait();
        let sessions = vec![session(2 * MESSAGE_SIZE, questions)];
        let encounter = Encounter::in_directory(scratch, sessions, Fault::None, &["-s", interval]);
        let begun = Instant::now();
        let gives_up = || encounter.running.said().contains("the connection is given up");
        // For longer than a disk may take.
        let is_kept = || !presses && begun.elapsed().as_secs() >= 8;
        wait_until("the end of patience", || gives_up() || is_kept());
        assert_eq!(gives_up(), presses, "{}", encounter.running.said());
        assert_eq!(encounter.server.acknowledged(), Lsn::INVALID);
    });
}

fn a_fast_shutdown_does_not_wait_long_and_nothing_is_lost(installation: Installation) {
    let table: [&[&str]; 5] = [
        &["-n", "-s", "0"],
        &["-n", "--no-sync"],
        &["-n", "--synchronous"],
        &["-n", "-S", "SLOT"],
        &["-n", "-S", "SLOT", "--synchronous", "-s", "0"],
    ];
    let mut server = source(installation).start();
    let scratch = Scratch::new();
    let receivers = start_all(&server, &scratch, &table);
    write_wal(&server, 100_000);
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let directories: Vec<_> = receivers.iter().map(|r| r.directory().to_owned()).collect();
    for (receiver, arguments) in receivers.into_iter().zip(table) {
        let finished = receiver.wait();
        let errors = ["replication stream was terminated before stop point", "disconnected"];
        assert_eq!(finished.errors(), errors, "{arguments:?}");
    }
    server.start_again();
    let checkpoint = lsn(&server, "checkpoint_lsn FROM pg_control_checkpoint()");
    let end = checkpoint.checked_add(SHUTDOWN_RECORD_SIZE).unwrap();
    for (directory, arguments) in directories.iter().zip(table) {
        assert!(holds(directory, &server, end), "{arguments:?}");
    }
}

fn a_slot_keeps_all_that_the_files_do_not_hold(installation: Installation) {
    let table: [&[&str]; 2] = [&["-S", "SLOT", "-s", "1"], &["-S", "SLOT", "--synchronous"]];
    let server = source(installation).initdb(&["--wal-segsize=1"]).start();
    let scratch = Scratch::new();
    for receiver in start_all(&server, &scratch, &table) {
        let directory = receiver.directory();
        let name = directory.file_name().unwrap().display();
        let kept = format!(
            "coalesce(restart_lsn, '0/0') FROM pg_replication_slots WHERE slot_name = '{name}'"
        );
        let mut last = lsn(&server, &kept);
        let mut advances = 0;
        wait_until("the slot to advance", || {
            write_wal(&server, 100_000);
            let kept = lsn(&server, &kept);
            assert!(kept <= last || holds(directory, &server, kept), "{kept}");
            advances += u32::from(kept > last);
            last = kept;
            advances >= 4
        });
        receiver.stop();
    }
}

/// The size of the shortest record of a commit.
const COMMIT_RECORD_SIZE: u64 = 34;

fn a_commit_that_waits_for_the_receiver_is_in_the_files(installation: Installation) {
    let server = source(installation).start();
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    server.sql("CREATE TABLE commits (number int)");
    let receiver = Receiver::streaming(Program::ours(), &server, &directory, &["--synchronous"]);
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'wal'");
    server.sql("SELECT pg_reload_conf()");
    wait_until("the receiver to count", || receiver.status(&server, "sync_state") == "sync");
    for number in 0..10 {
        let record = commit(&server, number);
        let copy = scratch.join(format!("copy-{number}"));
        scratch::run(Command::new("cp").arg("-a").arg(&directory).arg(&copy));
        let end = record.checked_add(COMMIT_RECORD_SIZE).unwrap();
        assert!(holds(&copy, &server, end), "commit {number} before {end}");
        fs::remove_dir_all(copy).unwrap();
    }
    receiver.stop();
    // Nobody holds the log now: a commit waits.
    let mut waiting = server.client("psql");
    waiting.args(["-c", "INSERT INTO commits VALUES (10)", "postgres"]).stdout(Stdio::null());
    let mut waiting = waiting.spawn().unwrap();
    wait_until("the commit to wait", || {
        server.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1"
    });
    let receiver = Receiver::streaming(Program::ours(), &server, &directory, &["--synchronous"]);
    assert!(waiting.wait().unwrap().success());
    receiver.stop();
}

/// Commits a row; returns where the record of the commit begins.
fn commit(server: &Server, number: u32) -> Lsn {
    let mut psql = server.client("psql");
    psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "postgres", "-c", "BEGIN", "-c"]);
    psql.arg(format!("INSERT INTO commits VALUES ({number})"));
    psql.args(["-c", "SELECT pg_current_wal_insert_lsn()", "-c", "COMMIT"]);
    let output = scratch::run(&mut psql).stdout;
    String::from_utf8(output).unwrap().trim().parse().unwrap()
}
