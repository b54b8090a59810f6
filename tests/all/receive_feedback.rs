//! What the server hears of received WAL, and what it makes of it: nothing is acknowledged that the files do not hold,
//! and nobody waits for an acknowledgement in vain.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgsiphon::pg::Lsn;

use crate::support::installation::Installation;
use crate::support::receive::{Program, Receiver, lsn, source, write_wal};
use crate::support::scratch::{self, Scratch};
use crate::support::server::Server;
use crate::support::wait_until;
use crate::support::wal_files::holds;
use crate::support::workload::WriteLoad;

on_servers!(the_server_hears_what_the_options_say: pg13 pg15 pg18);
on_servers!(a_server_that_asks_is_answered_in_time: pg13 pg18);
on_servers!(a_fast_shutdown_does_not_wait_long_and_nothing_is_lost: pg13 pg15 pg18);
on_servers!(a_slot_keeps_all_that_the_files_do_not_hold: pg13 pg18);
on_servers!(a_commit_that_waits_for_the_receiver_is_in_the_files: pg13 pg18);

/// Creates a slot of the name `wal`.
fn create_slot(server: &Server) {
    server.sql("SELECT pg_create_physical_replication_slot('wal')");
}

fn the_server_hears_what_the_options_say(installation: Installation) {
    let flushed = "write_lsn >= '{end}' AND flush_lsn >= '{end}' AND replay_lsn IS NULL";
    let written = "write_lsn >= '{end}' AND flush_lsn IS NULL AND replay_lsn IS NULL";
    let table: [(&[&str], &str); 4] = [
        (&["-s", "1"], written),
        (&["-s", "1", "--no-sync"], written),
        (&["-s", "0", "--synchronous"], flushed),
        (&["--synchronous", "-S", "wal"], flushed),
    ];
    for (arguments, heard) in table {
        let server = source(installation).start();
        create_slot(&server);
        let scratch = Scratch::new();
        let directory = scratch.directory("wal");
        let mut receiver = Receiver::streaming(Program::ours(), &server, &directory, arguments);
        let end = write_wal(&server, 100_000);
        receiver.wait_until(&server, &heard.replace("{end}", &end.to_string()));
        assert!(holds(&directory, &server, end), "{arguments:?}");
        receiver.stop();
    }
}

fn a_server_that_asks_is_answered_in_time(installation: Installation) {
    for arguments in [&["-s", "0"][..], &["-s", "0", "-S", "wal"], &["-s", "0", "--synchronous"]] {
        let server = source(installation).setting("wal_sender_timeout=600ms").start();
        create_slot(&server);
        let scratch = Scratch::new();
        let directory = scratch.directory("wal");
        let mut receiver = Receiver::streaming(Program::ours(), &server, &directory, arguments);
        let sender = receiver.status(&server, "pid");
        receiver.wait_until(&server, "now() - backend_start > '2 s' AND reply_time IS NOT NULL");
        assert_eq!(receiver.status(&server, "pid"), sender, "{}", receiver.said());
        receiver.stop();
    }
}

/// The size of the record that a shutdown ends with, in the release with the shortest one.
const SHUTDOWN_RECORD_SIZE: u64 = 114;

fn a_fast_shutdown_does_not_wait_long_and_nothing_is_lost(installation: Installation) {
    let table: [&[&str]; 5] = [
        &["-s", "0"],
        &["--no-sync"],
        &["--synchronous"],
        &["-S", "wal"],
        &["-S", "wal", "--synchronous", "-s", "0"],
    ];
    for arguments in table {
        let mut server = source(installation).start();
        create_slot(&server);
        let scratch = Scratch::new();
        let directory = scratch.directory("wal");
        let receiver = Receiver::streaming(
            Program::ours(),
            &server,
            &directory,
            &[arguments, &["-n"]].concat(),
        );
        write_wal(&server, 100_000);
        let began = Instant::now();
        server.stop();
        assert!(began.elapsed() < Duration::from_secs(5), "{arguments:?}: {:?}", began.elapsed());
        let finished = receiver.wait();
        let errors = ["replication stream was terminated before stop point", "disconnected"];
        assert_eq!(finished.errors(), errors, "{arguments:?}");
        server.start_again();
        let checkpoint = lsn(&server, "checkpoint_lsn FROM pg_control_checkpoint()");
        let end = checkpoint.checked_add(SHUTDOWN_RECORD_SIZE).unwrap();
        assert!(holds(&directory, &server, end), "{arguments:?}");
    }
}

fn a_slot_keeps_all_that_the_files_do_not_hold(installation: Installation) {
    for arguments in [&["-S", "wal", "-s", "1"][..], &["-S", "wal", "--synchronous"]] {
        let server = source(installation).initdb(&["--wal-segsize=1"]).start();
        create_slot(&server);
        let scratch = Scratch::new();
        let directory = scratch.directory("wal");
        let receiver = Receiver::streaming(Program::ours(), &server, &directory, arguments);
        let kept = || lsn(&server, "coalesce(max(restart_lsn), '0/0') FROM pg_replication_slots");
        let (mut last, mut advances) = (kept(), 0);
        let _load = WriteLoad::start(&server);
        wait_until("the slot to advance", || {
            let kept = kept();
            assert!(kept == Lsn::INVALID || holds(&directory, &server, kept), "{kept}");
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
    for number in 0..20 {
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
    waiting.args(["-c", "INSERT INTO commits VALUES (20)", "postgres"]).stdout(Stdio::null());
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
