//! Point-in-time recovery from a base backup and received WAL, checked by what the database then
//! holds.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Command;

use crate::support::account::give_to_server;
use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::receive::{Program, Receiver, end_segment, source, write_wal};
use crate::support::scratch::{Scratch, run};
use crate::support::server::Server;
use crate::support::timelines::begin_timeline;
use crate::support::wait_until;

on_servers!(recovery_stops_at_a_name_a_transaction_and_a_time: pg13 pg15 pg18);
on_servers!(recovery_reads_compressed_segments: pg13 pg15 pg18);
on_servers!(recovery_follows_received_timelines: pg13 pg15 pg18);

/// Copies a segment out of the received ones, complete or not, or a history file.
const COPY: &str = "cp ../wal/%f %p || cp ../wal/%f.partial %p";

/// Unpacks a segment. A partial one lacks the zeros at its end.
const UNPACK: &str = "gzip -dc ../wal/%f.gz >%p || \
    { gzip -dc <../wal/%f.gz.partial >%p && truncate -s 1M %p; }";

/// A base backup, and the WAL that was received since.
struct Archive {
    scratch: Scratch,
}

impl Archive {
    /// Takes a backup without WAL while a receiver runs.
    fn begin(server: &Server, arguments: &[&str]) -> (Self, Receiver) {
        let scratch = Scratch::new();
        let wal = scratch.directory("wal");
        let receiver = Receiver::streaming(Program::ours(), server, &wal, arguments);
        let backup = Client::pgsiphon().to(server).args(["-N", "-X", "none", "--no-manifest"]);
        backup.into_directory(&scratch.join("backup")).run().succeeded();
        (Archive { scratch }, receiver)
    }

    /// Lets a copy of the backup recover to a target, and returns the rows that it then holds.
    fn recover(&self, installation: Installation, restore: &str, target: &str) -> String {
        let data = self.scratch.join("data");
        run(Command::new("cp").arg("-a").arg(self.scratch.join("backup")).arg(&data));
        File::create(data.join("recovery.signal")).unwrap();
        let wal = self.scratch.join("wal");
        let command = restore.replace("../wal", &wal.display().to_string());
        let mut settings =
            File::options().append(true).open(data.join("postgresql.auto.conf")).unwrap();
        write!(
            settings,
            "restore_command = '{command}'\nrecovery_target_action = promote\n{target}\n"
        )
        .unwrap();
        give_to_server(&wal);
        let server = Server::from_backup(installation, &data);
        wait_until("the end of recovery", || server.sql("SELECT pg_is_in_recovery()") == "f");
        let rows = server.sql("SELECT string_agg(number::text, ' ' ORDER BY number) FROM events");
        drop(server);
        fs::remove_dir_all(data).unwrap();
        rows
    }
}

/// Starts a server with a table of what happens.
fn start(installation: Installation) -> Server {
    let server = source(installation).initdb(&["--wal-segsize=1"]).start();
    server.sql("CREATE TABLE events (number int)");
    server
}

/// Lets the next thing happen.
fn happen(server: &Server, number: u32) {
    server.sql(format!("INSERT INTO events VALUES ({number})"));
}

/// Ends a receiver when it has everything.
fn finish(mut receiver: Receiver, server: &Server) {
    let end = write_wal(server, 1000);
    receiver.wait_until(server, &format!("sent_lsn >= '{end}'"));
    receiver.stop();
}

fn recovery_stops_at_a_name_a_transaction_and_a_time(installation: Installation) {
    let server = start(installation);
    let (archive, receiver) = Archive::begin(&server, &[]);
    happen(&server, 1);
    server.sql("SELECT pg_create_restore_point('here')");
    happen(&server, 2);
    end_segment(&server);
    let transaction = server.sql("INSERT INTO events VALUES (3) RETURNING txid_current()");
    happen(&server, 4);
    let time = server.sql("SELECT clock_timestamp()");
    happen(&server, 5);
    finish(receiver, &server);
    let table = [
        ("recovery_target_name = 'here'".to_owned(), "1"),
        (format!("recovery_target_xid = '{transaction}'"), "1 2 3"),
        (format!("recovery_target_time = '{time}'"), "1 2 3 4"),
        (String::new(), "1 2 3 4 5"),
    ];
    for (target, rows) in table {
        assert_eq!(archive.recover(installation, COPY, &target), rows, "{target}");
    }
}

fn recovery_reads_compressed_segments(installation: Installation) {
    let server = start(installation);
    let (archive, receiver) = Archive::begin(&server, &["-Z", "gzip"]);
    happen(&server, 1);
    end_segment(&server);
    happen(&server, 2);
    server.sql("SELECT pg_create_restore_point('here')");
    happen(&server, 3);
    finish(receiver, &server);
    let table = [("recovery_target_name = 'here'", "1 2"), ("", "1 2 3")];
    for (target, rows) in table {
        assert_eq!(archive.recover(installation, UNPACK, target), rows, "{target}");
    }
}

fn recovery_follows_received_timelines(installation: Installation) {
    let mut server = start(installation);
    let (archive, mut receiver) = Archive::begin(&server, &[]);
    happen(&server, 1);
    for timeline in 2..=3 {
        begin_timeline(&mut server, Server::stop);
        receiver.wait_until_streaming(&server);
        happen(&server, timeline);
    }
    finish(receiver, &server);
    let table = [("current", "1"), ("2", "1 2"), ("latest", "1 2 3")];
    for (timeline, rows) in table {
        let target = format!("recovery_target_timeline = '{timeline}'");
        assert_eq!(archive.recover(installation, COPY, &target), rows, "{target}");
    }
}
