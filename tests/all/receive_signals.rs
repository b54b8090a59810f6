//! SIGINT, SIGTERM and SIGHUP, also while the disk is dead. Orderly ends are in `receive_restarts`.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::acknowledged::{Target, wait_until_said};
use crate::support::client::Running;
use crate::support::installation::Installation;
use crate::support::log::{Log, source};
use crate::support::mount::Disk;
use crate::support::scratch::Scratch;
use crate::support::wait_until;

on_servers!(a_hangup_changes_nothing: pg18);
on_servers!(one_signal_is_enough_while_the_disk_is_dead: pg18);
on_servers!(a_second_signal_ends_at_once: pg18);

/// What is said when the disk is waited for no longer.
const LEFT: &str = "could not write all WAL: disk did nothing for 5 seconds, what lies behind ";

/// More than the writer's inbox takes, so that the disk is missed.
const MUCH: usize = 12 << 20;

/// So little that the thread which receives it writes it.
const LITTLE: usize = 1000;

fn a_hangup_changes_nothing(installation: Installation) {
    let server = source(installation).start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let target = Target::new(&log, scratch.join("received"));
    let running = target.start(&["--synchronous"]);
    let process = target.status("pid");
    for _ in 0..3 {
        running.signal(Signal::HUP);
        target.wait_until_acknowledged(log.write(100_000));
    }
    assert_eq!(target.status("pid"), process);
    assert_eq!(running.said(), "");
    target.finish(running);
}

/// Waits until a receiver ends, as far as the system lets it: it keeps threads that wait for the disk.
#[track_caller]
fn wait_until_ending(running: &Running) {
    wait_until("the end", || !running.has_thread("signals"));
}

fn one_signal_is_enough_while_the_disk_is_dead(installation: Installation) {
    let server = source(installation).start();
    let log = Log::of(&server);
    let Some(disk) = Disk::formatted("ext4") else { return };
    let cases = [
        ("interrupted", Signal::INT, LITTLE),
        ("terminated", Signal::TERM, LITTLE),
        ("filled", Signal::TERM, MUCH),
        ("later", Signal::INT, 0),
    ];
    let targets = cases.map(|(name, ..)| Target::new(&log, disk.path().join(name)));
    let mut receivers = targets.each_ref().map(|target| target.start(&["--synchronous"]));
    let start = log.write(LITTLE);
    targets.iter().for_each(|target| target.wait_until_acknowledged(start));
    let frozen = disk.freeze();
    for ((running, target), (name, signal, size)) in receivers.iter_mut().zip(&targets).zip(cases) {
        log.write(size);
        if name == "later" {
            wait_until_said(running, "disk does not take WAL");
        }
        running.signal(signal);
        wait_until(LEFT, || running.said().contains(LEFT));
        wait_until_ending(running);
        assert!(running.said().contains(&format!("behind {} may", target.acknowledged())));
    }
    drop(frozen);
    for (running, target) in receivers.into_iter().zip(&targets) {
        let finished = running.wait();
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        target.wait_until_left();
        target.assert_acknowledged_is_held();
        target.finish(target.start(&["--synchronous"]));
    }
}

fn a_second_signal_ends_at_once(installation: Installation) {
    /// In far less time than a dead disk gets after the first signal.
    const AT_ONCE: Duration = Duration::from_secs(2);
    let server = source(installation).start();
    let log = Log::of(&server);
    let Some(disk) = Disk::formatted("ext4") else { return };
    let target = Target::new(&log, disk.path().join("received"));
    let running = target.start(&["--synchronous"]);
    target.wait_until_acknowledged(log.write(LITTLE));
    let frozen = disk.freeze();
    log.write(MUCH);
    let since = Instant::now();
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    wait_until_ending(&running);
    assert!(since.elapsed() < AT_ONCE, "it took {:?}", since.elapsed());
    drop(frozen);
    let finished = running.wait();
    assert_eq!((finished.status.code(), finished.stderr.as_str()), (Some(1), ""));
    target.wait_until_left();
    target.assert_acknowledged_is_held();
}
