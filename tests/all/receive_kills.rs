//! Receivers that are killed at any moment keep what they acknowledged, and go on without a loss.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pgsiphon::pg::Lsn;
use rustix::process::Signal;

use crate::support::acknowledged::{Target, receiver};
use crate::support::installation::Installation;
use crate::support::log::{Log, source};
use crate::support::proxy::{Fault, Proxy};
use crate::support::random::Random;
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::session::Session;
use crate::support::wait_until;
use crate::support::workload::{Flood, emit};

on_servers!(a_hundred_kills_lose_nothing_acknowledged: pg18);
on_servers!(kills_of_compressing_receivers_lose_nothing_acknowledged: pg15 pg18);
on_servers!(a_kill_while_a_segment_comes_again_loses_nothing_of_it: pg15 pg18);
on_servers!(kills_lose_no_commit_that_waited_for_the_receiver: pg13 pg18);

/// How long receivers live, in milliseconds.
const LIFE: std::ops::Range<u64> = 5..150;

/// Lets the server ask for a reply so often that also short lives acknowledge something without `--synchronous`.
const ASK_OFTEN: (&str, &str) = ("PGOPTIONS", "-c wal_sender_timeout=200ms");

/// Waits for a random moment.
fn live(random: &mut Random) {
    let millis = LIFE.start + random.below(LIFE.end - LIFE.start);
    thread::sleep(Duration::from_millis(millis));
}

/// Kills one receiver of each target at a random moment.
fn kill_once(targets: &[(Target<'_>, &[&str])], is_early: bool, random: &mut Random) {
    let start = |(target, arguments): &(Target<'_>, &[&str])| {
        let client = target.prepare(receiver()).args(*arguments);
        client.env(ASK_OFTEN.0, ASK_OFTEN.1).start()
    };
    let mut running: Vec<_> = targets.iter().map(start).collect();
    if !is_early {
        for ((target, _), running) in targets.iter().zip(&mut running) {
            target.wait_until_streaming(running);
        }
    }
    live(random);
    for ((target, _), running) in targets.iter().zip(running) {
        target.kill(running);
        target.assert_acknowledged_is_held();
    }
}

fn a_hundred_kills_lose_nothing_acknowledged(installation: Installation) {
    const KILLS: u64 = 100;
    let server = source(installation).start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let mut targets = [(Target::new(&log, scratch.join("plain")), &[][..])];
    let mut random = Random::new(1);
    let flood = Flood::start(&server, 8 << 20);
    for number in 0..KILLS {
        // Shown if the test fails.
        eprintln!("kill {number}");
        targets[0].1 = if number % 2 == 0 { &["--synchronous"] } else { &[] };
        kill_once(&targets, number % 4 == 3, &mut random);
    }
    drop(flood);
    let [(target, _)] = &targets;
    target.finish(target.start(&[]));
}

fn kills_of_compressing_receivers_lose_nothing_acknowledged(installation: Installation) {
    const KILLS: u64 = 20;
    let server = source(installation).start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let target = |name| Target::new(&log, scratch.join(name));
    let targets = [
        (target("gzip"), &["--synchronous", "-Z", "gzip"][..]),
        (target("lz4"), &["--synchronous", "-Z", "lz4"]),
        (target("zstd"), &["--synchronous", "-Z", "zstd"]),
    ];
    let mut random = Random::new(2);
    // Several receivers get the same segment, so that acknowledged log has to survive the beginning of the next one.
    let flood = Flood::start(&server, 1 << 20);
    for number in 0..KILLS {
        eprintln!("kill {number}");
        kill_once(&targets, number % 4 == 3, &mut random);
    }
    drop(flood);
    for (target, arguments) in targets {
        target.finish(target.start(arguments));
    }
}

/// Each receiver is given less of the segment than the one before it had acknowledged.
fn a_kill_while_a_segment_comes_again_loses_nothing_of_it(installation: Installation) {
    const KILLS: u64 = 4;
    let server = source(installation).start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let mut random = Random::new(4);
    for method in ["none", "gzip", "lz4", "zstd"] {
        let target = Target::new(&log, scratch.join(method));
        let arguments = ["--synchronous", "-Z", method];
        let begin = log.end_segment();
        let end = log.write(700_000);
        let running = target.start(&arguments);
        target.wait_until_acknowledged(end);
        target.kill(running);
        target.assert_acknowledged_is_held();
        for _ in 0..KILLS {
            let stall = Fault::Stall(random.below(600_000));
            eprintln!("{method}: {begin}, {end}, {stall:?}");
            let proxy = Proxy::before(&server, &[stall]);
            let client = target.prepare_through(receiver(), proxy.sockets(), proxy.port());
            let running = client.args(arguments).start();
            proxy.wait_for_stall();
            live(&mut random);
            target.kill(running);
            target.assert_acknowledged_is_held();
        }
        target.finish(target.start(&arguments));
    }
}

/// Commits that wait for the receiver, one after the other.
struct Commits<'a> {
    server: &'a Server,
    is_over: AtomicBool,
    /// The last position in a transaction that has returned.
    committed: Mutex<Lsn>,
}

impl Commits<'_> {
    fn go_on(&self) {
        let mut session = Session::with(self.server);
        session.ask("SET synchronous_commit = on");
        let insert = emit(10_000);
        let transaction = format!("BEGIN; {insert}; SELECT pg_current_wal_insert_lsn(); COMMIT");
        while !self.is_over.load(Ordering::SeqCst) {
            let answer = session.ask(&transaction);
            *self.committed.lock().unwrap() = answer.lines().last().unwrap().parse().unwrap();
        }
    }

    fn last(&self) -> Lsn {
        *self.committed.lock().unwrap()
    }
}

/// Ends a commit that would wait for ever when a test has failed.
struct Release<'a>(&'a Server);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
            );
        }
    }
}

fn kills_lose_no_commit_that_waited_for_the_receiver(installation: Installation) {
    const KILLS: u64 = 30;
    let server = source(installation)
        .setting("synchronous_standby_names=receiver")
        .setting("synchronous_commit=local")
        .start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let directory = scratch.directory("received");
    let start = || {
        let client = receiver().to(&server).into_directory(&directory);
        client.arg("--synchronous").env("PGAPPNAME", "receiver").start()
    };
    let begin = log.segment_start(log.end());
    let mut random = Random::new(3);
    let (is_over, committed) = (AtomicBool::new(false), Mutex::new(begin));
    let commits = Commits { server: &server, is_over, committed };
    thread::scope(|scope| {
        let _release = Release(&server);
        let committing = scope.spawn(|| commits.go_on());
        let mut checked = begin;
        for number in 0..KILLS {
            eprintln!("kill {number}");
            let running = start();
            let before = commits.last();
            wait_until("a commit", || commits.last() > before);
            live(&mut random);
            running.signal(Signal::KILL);
            running.wait();
            log.assert_held(&directory, checked, commits.last());
            checked = log.segment_start(commits.last());
        }
        commits.is_over.store(true, Ordering::SeqCst);
        let running = start();
        committing.join().unwrap();
        running.signal(Signal::INT);
        running.wait().succeeded();
    });
    log.assert_held(&directory, begin, commits.last());
    log.assert_named(&directory, begin, log.segment_start(commits.last()));
}
