//! Connections that break or stand still at any moment: a receiver comes back, and nothing is lost.

use std::fs;
use std::thread;

use crate::support::acknowledged::{Target, receiver};
use crate::support::client::Running;
use crate::support::installation::Installation;
use crate::support::link::Link;
use crate::support::log::{Log, on_a_later_timeline, source};
use crate::support::proxy::{Fault, Proxy};
use crate::support::random::Random;
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::wait_until;
use crate::support::workload::Flood;

on_servers!(a_stream_that_breaks_at_any_byte_is_resumed: pg15 pg18);
on_servers!(a_server_that_hangs_up_in_any_phase_is_tried_again: pg18);
on_servers!(pauses_between_attempts_grow: pg18);
on_servers!(a_silent_server_is_told_what_is_flushed_all_the_same: pg18);
on_servers!(a_stream_that_the_server_gave_up_is_resumed: pg18);
on_servers!(a_cable_that_is_pulled_is_noticed: pg18);

/// More than the answers to all commands before a stream.
const ANSWERS_SIZE: u64 = 4096;

/// More than a segment of a stream.
const STREAM_SIZE: u64 = 2 << 20;

/// Counts the times that a receiver lost its server.
fn disconnections(running: &Running) -> usize {
    running.said().matches("disconnected").count()
}

/// Several receivers at once: each of them mostly waits.
fn a_stream_that_breaks_at_any_byte_is_resumed(installation: Installation) {
    const RECEIVERS: u64 = 4;
    let server = source(installation).start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let flood = Flood::start(&server, 1 << 20);
    thread::scope(|scope| {
        for seed in 1..=RECEIVERS {
            let target = Target::new(&log, scratch.join(format!("receiver_{seed}")));
            let server = &server;
            scope.spawn(move || break_again_and_again(server, &target, seed));
        }
    });
    drop(flood);
}

fn break_again_and_again(server: &Server, target: &Target<'_>, seed: u64) {
    const CUTS: u64 = 5;
    let mut random = Random::new(seed);
    // The first failure would end the program if it came before the stream.
    let cut = |number| match number {
        0 => ANSWERS_SIZE + random.below(STREAM_SIZE),
        number if number % 2 == 0 => random.below(STREAM_SIZE),
        _ => random.below(ANSWERS_SIZE),
    };
    let faults: Vec<_> = (0..CUTS).map(cut).map(Fault::Cut).collect();
    // Shown if the test fails.
    eprintln!("receiver {seed}: {faults:?}");
    let proxy = Proxy::before(server, &faults);
    let client = target.prepare_through(receiver(), proxy.sockets(), proxy.port());
    let running = client.args((seed.is_multiple_of(2)).then_some("--synchronous")).start();
    proxy.wait_for_connections(faults.len() + 1);
    target.assert_acknowledged_is_held();
    target.finish(running);
}

fn a_server_that_hangs_up_in_any_phase_is_tried_again(installation: Installation) {
    let phases = [
        ("at_once", Fault::Cut(0)),
        ("system", Fault::HangUpOn(b"IDENTIFY_SYSTEM")),
        ("setting", Fault::HangUpOn(b"SHOW ")),
        ("slot", Fault::HangUpOn(b"READ_REPLICATION_SLOT")),
        ("history", Fault::HangUpOn(b"TIMELINE_HISTORY")),
        ("stream", Fault::HangUpOn(b"START_REPLICATION")),
        ("begin", Fault::Cut(ANSWERS_SIZE)),
    ];
    let server = on_a_later_timeline(installation);
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let targets = phases.map(|(name, fault)| (Target::new(&log, scratch.join(name)), fault));
    thread::scope(|scope| {
        for (target, fault) in &targets {
            scope.spawn(|| {
                let proxy = Proxy::before(&server, &[Fault::Cut(ANSWERS_SIZE), *fault]);
                let client = target.prepare_through(receiver(), proxy.sockets(), proxy.port());
                let running = client.start();
                // Fetched with the stream; without it, it has to be fetched again.
                wait_until("the history file", || {
                    log.assert_history_whole_or_absent(target.directory())
                });
                fs::remove_file(target.directory().join("00000002.history")).unwrap();
                log.write(200_000);
                // The second one may have no reason to break; then it gets the rest.
                wait_until("the second connection", || disconnections(&running) >= 1);
                target.finish(running);
            });
        }
    });
}

fn pauses_between_attempts_grow(installation: Installation) {
    let server = source(installation).start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let target = Target::new(&log, scratch.join("received"));
    let faults = [Fault::Cut(ANSWERS_SIZE), Fault::Cut(0), Fault::Cut(0)];
    let proxy = Proxy::before(&server, &faults);
    let client = target.prepare_through(receiver(), proxy.sockets(), proxy.port());
    let running = client.start();
    log.write(200_000);
    proxy.wait_for_connections(faults.len() + 1);
    let said = running.said();
    let pauses = said
        .lines()
        .filter_map(|line| line.split_once("disconnected; waiting ")?.1.split(' ').next());
    assert_eq!(pauses.collect::<Vec<_>>(), ["1", "2", "4"], "{said}");
    target.finish(running);
}

/// The timeout of the server in the following tests.
const TIMEOUT: (&str, &str) = ("PGOPTIONS", "-c wal_sender_timeout=2s");

fn a_silent_server_is_told_what_is_flushed_all_the_same(installation: Installation) {
    let server = source(installation).start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let target = Target::new(&log, scratch.join("received"));
    let proxy = Proxy::before(&server, &[Fault::Stall(ANSWERS_SIZE)]);
    let client = target.prepare_through(receiver(), proxy.sockets(), proxy.port());
    let mut running = client.env(TIMEOUT.0, TIMEOUT.1).start();
    target.wait_until_streaming(&mut running);
    log.write(200_000);
    proxy.wait_for_stall();
    let now = log.ask("SELECT clock_timestamp()");
    let process = target.status("pid");
    // For longer than the server would wait for somebody who is silent.
    target.wait_until_status(&format!("reply_time > timestamptz '{now}' + interval '3 s'"));
    assert_eq!(target.status("pid"), process);
    proxy.release();
    target.finish(running);
}

fn a_stream_that_the_server_gave_up_is_resumed(installation: Installation) {
    let server = source(installation).start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let target = Target::new(&log, scratch.join("received"));
    let proxy = Proxy::before(&server, &[Fault::Stall(ANSWERS_SIZE)]);
    // It says nothing by itself.
    let client = target.prepare_through(receiver(), proxy.sockets(), proxy.port());
    let mut running = client.args(["-s", "0"]).env(TIMEOUT.0, TIMEOUT.1).start();
    target.wait_until_streaming(&mut running);
    log.write(200_000);
    proxy.wait_for_stall();
    target.wait_until_left();
    proxy.release();
    target.finish(running);
}

fn a_cable_that_is_pulled_is_noticed(installation: Installation) {
    let server = source(installation).start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let target = Target::new(&log, scratch.join("received"));
    let Some(link) = Link::to(&server) else { return };
    let (program, arguments) = link.at_the_far_end();
    let address = format!(
        "host={} port={} user=postgres keepalives_idle=1 keepalives_interval=1 keepalives_count=2
         tcp_user_timeout=2000 connect_timeout=2",
        Link::HOST,
        Link::PORT
    );
    let client = receiver().controlled_by(program, &arguments).args(["-w", "-d", &address]);
    let mut running = target.complete(client).env(TIMEOUT.0, TIMEOUT.1).start();
    target.wait_until_streaming(&mut running);
    target.wait_until_acknowledged(log.end_segment());
    link.pull();
    log.write(200_000);
    wait_until("the receiver to give up", || disconnections(&running) > 0);
    target.wait_until_left();
    target.assert_acknowledged_is_held();
    link.plug();
    target.finish(running);
}
