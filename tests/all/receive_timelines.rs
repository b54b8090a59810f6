//! Timelines: a stream follows the server to a new one, and catches up with those that began while
//! nobody received.

use std::fs;
use std::path::Path;

use crate::support::installation::Installation;
use crate::support::receive::{
    Program, Receiver, end_of_wal, end_segment, source, start_both, stop_both, write_wal,
};
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::timelines::{begin_timeline, promote, standby_of, wait_for_replay};
use crate::support::wal_files::{assert_log, pg_wal};

on_servers!(a_promotion_in_the_stream_is_followed: pg13 pg15 pg18);
on_servers!(timelines_that_began_meanwhile_are_followed: pg13 pg15 pg18);
on_servers!(a_timeline_that_ended_where_a_segment_ends_is_left: pg13 pg15 pg18);
on_servers!(receiving_moves_to_the_promoted_standby: pg13 pg18);

/// Makes sure that a directory has the history files of a server.
fn assert_histories(directory: &Path, server: &Server, timelines: std::ops::RangeInclusive<u32>) {
    for timeline in timelines {
        let name = format!("{timeline:08X}.history");
        let stored = fs::read_to_string(directory.join(&name)).unwrap();
        assert_eq!(stored, fs::read_to_string(pg_wal(server).join(&name)).unwrap(), "{name}");
    }
}

fn a_promotion_in_the_stream_is_followed(installation: Installation) {
    let primary = source(installation).start();
    let scratch = Scratch::new();
    let standby = standby_of(&primary, installation, &scratch.join("standby"));
    wait_for_replay(&standby, write_wal(&primary, 1000));
    let mut both = start_both(&standby, &scratch);
    let end = write_wal(&primary, 200_000);
    both.iter_mut().for_each(|receiver| receiver.wait_for(&standby, end));
    wait_for_replay(&standby, end);
    let switch = promote(&standby);
    end_segment(&standby);
    let end = write_wal(&standby, 200_000);
    let said = stop_both(both, &standby, end);
    let words = format!("switched to timeline 2 at {switch}\n");
    assert!(said.contains(&words), "{words} in {said}");
    assert_histories(&scratch.join("ours"), &standby, 2..=2);
}

fn timelines_that_began_meanwhile_are_followed(installation: Installation) {
    let mut server = source(installation).start();
    let scratch = Scratch::new();
    let both = start_both(&server, &scratch);
    stop_both(both, &server, write_wal(&server, 100_000));
    end_segment(&server);
    write_wal(&server, 100_000);
    begin_timeline(&mut server, Server::stop);
    end_segment(&server);
    begin_timeline(&mut server, Server::kill);
    write_wal(&server, 100_000);
    let both = start_both(&server, &scratch);
    let end = write_wal(&server, 100_000);
    stop_both(both, &server, end);
    assert_histories(&scratch.join("ours"), &server, 2..=3);
}

fn a_timeline_that_ended_where_a_segment_ends_is_left(installation: Installation) {
    let mut server = source(installation).start();
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    let mut receiver = Receiver::streaming(Program::ours(), &server, &directory, &[]);
    let end = end_segment(&server);
    receiver.wait_for(&server, end);
    receiver.stop();
    let switch = begin_timeline(&mut server, Server::kill);
    assert_eq!(switch, end, "something was written behind the end of the segment");
    let mut receiver = Receiver::start(Program::ours(), &server, &directory, &["-v"]);
    let end = write_wal(&server, 1000);
    receiver.wait_for(&server, end);
    let said = receiver.stop().stderr;
    assert!(said.contains(&format!("switched to timeline 2 at {switch}\n")), "{said}");
    assert_log(&directory, &server, end);
    assert_histories(&directory, &server, 2..=2);
}

fn receiving_moves_to_the_promoted_standby(installation: Installation) {
    let mut primary = source(installation).start();
    let scratch = Scratch::new();
    let standby = standby_of(&primary, installation, &scratch.join("standby"));
    let hosts = [&primary, &standby].map(|server| server.sockets().display().to_string());
    let client = Program::ours().client().args(["-h", &hosts.join(","), "-U", "postgres", "-w"]);
    let mut receiver = Receiver::from(client, &scratch.directory("wal"), &["-v"]);
    receiver.wait_until_streaming(&primary);
    let end = write_wal(&primary, 100_000);
    receiver.wait_for(&primary, end);
    // Hands everything on to both, up to the record of the shutdown.
    primary.stop();
    receiver.wait_until_streaming(&standby);
    promote(&standby);
    let end = write_wal(&standby, 100_000);
    receiver.wait_for(&standby, end);
    let directory = receiver.directory().to_owned();
    receiver.stop();
    assert_log(&directory, &standby, end);
    assert_eq!(end_of_wal(&standby), end);
}
