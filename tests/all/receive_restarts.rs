//! Receiving goes on when the server comes back, and when the receiver does.

use pgsiphon::pg::Lsn;
use rustix::process::Signal;

use crate::support::installation::Installation;
use crate::support::receive::{Program, Receiver, source, write_wal};
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::timelines::{standby_of, wait_for_replay};
use crate::support::wal_files::assert_log;
use crate::support::workload::WriteLoad;

on_servers!(a_server_that_comes_back_is_received_from_again: pg13 pg15 pg18);
on_servers!(a_receiver_goes_on_where_it_was_ended: pg13 pg18);
on_servers!(a_standby_hands_on_what_it_receives: pg13 pg15 pg18);

fn a_server_that_comes_back_is_received_from_again(installation: Installation) {
    let mut server = source(installation).initdb(&["--wal-segsize=1"]).start();
    server.sql("SELECT pg_create_physical_replication_slot('wal')");
    let scratch = Scratch::new();
    let table: [(&str, &[&str]); 2] = [("plain", &[]), ("slot", &["-S", "wal", "--synchronous"])];
    let mut receivers = table.map(|(name, arguments)| {
        Receiver::streaming(Program::ours(), &server, &scratch.directory(name), arguments)
    });
    let mut end = Lsn::INVALID;
    for (times, end_server) in [(1, Server::kill as fn(&mut Server)), (2, Server::stop)] {
        let load = WriteLoad::start(&server);
        end_server(&mut server);
        drop(load);
        for receiver in &mut receivers {
            receiver.wait_until_says("disconnected; waiting ", times);
        }
        server.start_again();
        end = write_wal(&server, 1_500_000);
        receivers.iter_mut().for_each(|receiver| receiver.wait_for(&server, end));
    }
    for receiver in receivers {
        let directory = receiver.directory().to_owned();
        receiver.stop();
        assert_log(&directory, &server, end);
    }
}

fn a_receiver_goes_on_where_it_was_ended(installation: Installation) {
    let server = source(installation).initdb(&["--wal-segsize=1"]).start();
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    let load = WriteLoad::start(&server);
    for signal in [Signal::INT, Signal::TERM, Signal::INT] {
        let mut receiver = Receiver::streaming(Program::ours(), &server, &directory, &["-v"]);
        let end = write_wal(&server, 700_000);
        receiver.wait_for(&server, end);
        let said = receiver.stop_by(signal).stderr;
        assert!(said.contains("received interrupt signal, exiting\n"), "{said}");
        assert!(said.contains(".partial\", segment is not complete\n"), "{said}");
    }
    drop(load);
    let mut receiver = Receiver::streaming(Program::ours(), &server, &directory, &[]);
    let end = write_wal(&server, 1000);
    receiver.wait_for(&server, end);
    receiver.stop();
    assert_log(&directory, &server, end);
}

fn a_standby_hands_on_what_it_receives(installation: Installation) {
    let mut primary = source(installation).start();
    let scratch = Scratch::new();
    let standby = standby_of(&primary, installation, &scratch.join("standby"));
    let directory = scratch.directory("wal");
    let mut receiver = Receiver::streaming(Program::ours(), &standby, &directory, &[]);
    for _ in 0..2 {
        let end = write_wal(&primary, 300_000);
        receiver.wait_for(&standby, end);
        wait_for_replay(&standby, end);
        // The standby, and who receives from it, outlive the primary.
        primary.stop();
        primary.start_again();
    }
    let end = write_wal(&primary, 1000);
    receiver.wait_for(&standby, end);
    receiver.stop();
    assert_log(&directory, &primary, end);
}
