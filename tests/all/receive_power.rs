//! Power cuts: what a receiver acknowledged is on the disk, and a final name means a complete file there.

use std::fs::{self, File};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::acknowledged::{Target, receiver};
use crate::support::installation::Installation;
use crate::support::log::{Log, on_a_later_timeline};
use crate::support::mount::Disk;
use crate::support::random::Random;
use crate::support::scratch::names;
use crate::support::workload::Flood;

on_servers!(power_cuts_on_ext4_lose_nothing_acknowledged: pg18);
on_servers!(power_cuts_on_xfs_lose_nothing_acknowledged: pg18);

/// Power cuts on a disk.
const CUTS: u64 = 12;

/// The latest moment of a cut, counted from the moment at which the receivers are started, in milliseconds.
const LIFE_MAX: u64 = 700;

/// How the receivers differ that have the power cut together. The names are those of slots.
const KINDS: [(&str, &[&str]); 4] = [
    ("plain", &[]),
    ("synchronous", &["--synchronous"]),
    ("gzip", &["-Z", "gzip"]),
    ("zstd_synchronous", &["--synchronous", "-Z", "zstd"]),
];

/// Lets the server ask for a reply so often that something is acknowledged without `--synchronous` too.
const ASK_OFTEN: (&str, &str) = ("PGOPTIONS", "-c wal_sender_timeout=400ms");

fn power_cuts_on_ext4_lose_nothing_acknowledged(installation: Installation) {
    power_cuts_lose_nothing_acknowledged(installation, "ext4");
}

fn power_cuts_on_xfs_lose_nothing_acknowledged(installation: Installation) {
    power_cuts_lose_nothing_acknowledged(installation, "xfs");
}

fn power_cuts_lose_nothing_acknowledged(installation: Installation, file_system: &str) {
    let server = on_a_later_timeline(installation);
    let log = Log::of(&server);
    let Some(disk) = Disk::formatted(file_system) else { return };
    let targets =
        KINDS.map(|(name, arguments)| (Target::new(&log, disk.path().join(name)), arguments));
    // The names of the directories are the user's, who has to see to them.
    File::open(disk.path()).unwrap().sync_all().unwrap();
    let mut random = Random::new(5);
    let flood = Flood::start(&server, 4 << 20);
    for cut in 0..CUTS {
        let life = Duration::from_millis(random.below(LIFE_MAX));
        // Shown if the test fails.
        eprintln!("cut {cut} after {life:?}");
        cut_power(&disk, &targets, life);
        for (target, _) in &targets {
            target.assert_acknowledged_is_held();
            log.assert_history_whole_or_absent(target.directory());
        }
    }
    drop(flood);
    for (target, arguments) in &targets {
        target.finish(target.start(arguments));
        assert!(log.assert_history_whole_or_absent(target.directory()));
    }
}

/// Lets a receiver of each kind live for a while, cuts the power, and brings it back without them.
fn cut_power(disk: &Disk, targets: &[(Target<'_>, &[&str])], life: Duration) {
    // It comes again with each receiver, so that cuts hit it too.
    for (target, _) in targets {
        let all = names(target.directory());
        for name in all.iter().filter(|name| name.contains(".history")) {
            fs::remove_file(target.directory().join(name)).unwrap();
        }
    }
    let start = |(target, arguments): &(Target<'_>, &[&str])| {
        let client = target.prepare(receiver()).args(*arguments);
        client.env(ASK_OFTEN.0, ASK_OFTEN.1).start()
    };
    let running: Vec<_> = targets.iter().map(start).collect();
    thread::sleep(life);
    // A machine without power says nothing more. But here, a sync that was under way returns, and file systems that
    // are shut down meanwhile do not always own up to it: the conversion of reserved extents fails unnoticed.
    for running in &running {
        running.signal(Signal::STOP);
    }
    disk.cut_power();
    for ((target, _), running) in targets.iter().zip(running) {
        target.kill(running);
    }
    disk.restore_power();
}
