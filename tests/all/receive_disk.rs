//! Disks that are full, stall, fail or go away: nothing is acknowledged that is not there, and a receiver goes on
//! when the disk does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::support::account::server_command;
use crate::support::acknowledged::{Target, receiver, wait_until_said};
use crate::support::client::Finished;
use crate::support::installation::Installation;
use crate::support::log::{Log, source};
use crate::support::mount::{Ballast, Disk, Mount};
use crate::support::scratch::{Scratch, run};
use crate::support::workload::Flood;
use crate::support::{skip, wait_until};

on_servers!(a_full_disk_is_waited_for: pg15 pg18);
on_servers!(a_full_disk_ends_a_receiver_that_may_not_try_again: pg18);
on_servers!(a_disk_that_stalls_keeps_no_reply_from_the_server: pg18);
on_servers!(a_disk_that_stalls_does_not_delay_a_fast_shutdown: pg13 pg18);
on_servers!(what_a_failed_sync_should_cover_is_not_acknowledged: pg18);
on_servers!(a_directory_that_is_removed_is_missed: pg18);
on_servers!(a_directory_that_takes_no_files_is_waited_for: pg18);
on_servers!(a_read_only_disk_is_named: pg18);

/// What the kernel says of a full disk.
const FULL: &str = "No space left on device";

/// Two segments and a half.
const ROOM: u64 = 5 << 19;

fn a_full_disk_is_waited_for(installation: Installation) {
    let server = source(installation).start();
    let log = Log::of(&server);
    let Some(memory) = Mount::of_size("64m") else { return };
    let Some(disk) = Disk::formatted("ext4") else { return };
    let Some(other_disk) = Disk::formatted("ext4") else { return };
    let places: [(PathBuf, &str, &[&str]); 3] = [
        (memory.path().to_owned(), "plain", &[]),
        (disk.path(), "synchronous", &["--synchronous"]),
        (other_disk.path(), "gzip", &["-Z", "gzip"]),
    ];
    let targets = places
        .map(|(place, name, arguments)| (Target::new(&log, place.join(name)), place, arguments));
    thread::scope(|scope| {
        for (target, place, arguments) in &targets {
            scope.spawn(|| fill_and_make_room(&log, target, place, arguments));
        }
    });
}

fn fill_and_make_room(log: &Log<'_>, target: &Target<'_>, place: &Path, arguments: &[&str]) {
    let ballast = Ballast::but_for(place, ROOM);
    let mut running = target.start(arguments);
    let mut end = log.end();
    // Compressed, this is about half as much.
    for _ in 0..8 {
        end = log.write(1 << 20);
    }
    wait_until_said(&mut running, FULL);
    let said = running.said();
    let complaint = said.lines().find(|line| line.ends_with(FULL)).expect("it ends the line");
    assert!(complaint.contains(target.directory().to_str().unwrap()), "{complaint}");
    // It tries again, which does not mend it.
    wait_until("the next attempt", || running.said().matches(FULL).count() > 1);
    target.assert_acknowledged_is_held();
    assert!(target.acknowledged() < end, "{said}");
    drop(ballast);
    target.finish(running);
}

fn a_full_disk_ends_a_receiver_that_may_not_try_again(installation: Installation) {
    let server = source(installation).start();
    let log = Log::of(&server);
    let Some(disk) = Mount::of_size("3m") else { return };
    let target = Target::new(&log, disk.path().join("received"));
    let running = target.start(&["--no-loop"]);
    for _ in 0..4 {
        log.write(1 << 20);
    }
    assert_ended_by(&running.wait(), FULL);
    target.wait_until_left();
    target.assert_acknowledged_is_held();
}

/// Makes sure that a receiver that may not try again ended by a failure that it told in one line.
#[track_caller]
fn assert_ended_by(finished: &Finished, reason: &str) {
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    let errors = finished.errors();
    let others = errors.iter().filter(|error| **error != "disconnected");
    let [error] = others.collect::<Vec<_>>()[..] else { panic!("not one error: {errors:?}") };
    assert!(error.ends_with(reason), "{error}");
}

fn a_disk_that_stalls_keeps_no_reply_from_the_server(installation: Installation) {
    let server = source(installation).start();
    let log = Log::of(&server);
    let Some(disk) = Disk::formatted("ext4") else { return };
    let target = Target::new(&log, disk.path().join("received"));
    let client = target.prepare(receiver()).arg("--synchronous");
    let mut running = client.env("PGOPTIONS", "-c wal_sender_timeout=2s").start();
    target.wait_until_streaming(&mut running);
    target.wait_until_acknowledged(log.write(100_000));
    let frozen = disk.freeze();
    let before = log.end();
    // More than one segment, so that a new file is wanted too.
    log.write(3 << 20);
    let now = log.ask("SELECT clock_timestamp()");
    let process = target.status("pid");
    // For longer than the server waits for a reply.
    target.wait_until_status(&format!("reply_time > timestamptz '{now}' + interval '4 s'"));
    assert_eq!(target.status("pid"), process);
    assert!(target.acknowledged() <= before, "acknowledged while nothing could be synced");
    drop(frozen);
    target.finish(running);
}

fn a_disk_that_stalls_does_not_delay_a_fast_shutdown(installation: Installation) {
    /// In seconds; without a receiver, it takes a fraction of one.
    const LIMIT: &str = "20";
    let mut server = source(installation).start();
    let Some(disk) = Disk::formatted("ext4") else { return };
    let directory = disk.path().join("received");
    let log = Log::of(&server);
    let target = Target::new(&log, directory.clone());
    let running = target.start(&["--synchronous"]);
    target.wait_until_acknowledged(log.write(100_000));
    let frozen = disk.freeze();
    log.write(200_000);
    let acknowledged = target.acknowledged();
    let mut stop = server_command(&installation.program("pg_ctl"));
    run(stop.args(["stop", "-m", "fast", "-t", LIMIT, "-D"]).arg(server.data()));
    drop(frozen);
    log.assert_held(&directory, log.segment_start(acknowledged), acknowledged);
    server.start_again();
    let log = Log::of(&server);
    Target::again(&log, directory).finish(running);
}

fn what_a_failed_sync_should_cover_is_not_acknowledged(installation: Installation) {
    if Command::new("strace").arg("-V").output().is_err() {
        return skip("there is no strace");
    }
    let server = source(installation).start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    // Which calls fail, counted for each thread.
    let cases: [(&str, &str, &[&str]); 4] = [
        ("all", "1+", &[]),
        ("all_synchronous", "1+", &["--synchronous"]),
        ("second", "2", &["--synchronous"]),
        ("all_from_the_fifth", "5+", &["--synchronous", "-Z", "gzip"]),
    ];
    let flood = Flood::start(&server, 2 << 20);
    let targets = cases.map(|(name, when, arguments)| {
        let target = Target::new(&log, scratch.join(name));
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={when}");
        let tracing =
            ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", &inject];
        let client = target.prepare(receiver().controlled_by("strace", &tracing));
        let finished = client.arg("--no-loop").args(arguments).run();
        assert_ended_by(&finished, "Input/output error");
        assert!(finished.errors()[0].starts_with("could not fsync "), "{finished:?}");
        target.wait_until_left();
        // Where a segment begins, nothing of it is acknowledged.
        let acknowledged = target.acknowledged();
        assert!(when != "1+" || acknowledged == target.begin(), "{name}: {acknowledged}");
        target.assert_acknowledged_is_held();
        (target, arguments)
    });
    drop(flood);
    for (target, arguments) in targets {
        target.finish(target.start(arguments));
    }
}

fn a_directory_that_is_removed_is_missed(installation: Installation) {
    let server = source(installation).start();
    let log = Log::of(&server);
    let scratch = Scratch::new();
    let target = Target::new(&log, scratch.join("received"));
    let mut running = target.start(&["--synchronous"]);
    target.wait_until_acknowledged(log.write(100_000));
    fs::remove_dir_all(target.directory()).unwrap();
    let end = log.end_segment();
    wait_until_said(&mut running, "No such file or directory");
    // What came into a file without a name is lost with it, but that does not go on.
    assert!(target.acknowledged() < end);
    fs::create_dir(target.directory()).unwrap();
    Target::again(&log, target.directory().to_owned()).finish(running);
}

fn a_directory_that_takes_no_files_is_waited_for(installation: Installation) {
    let server = source(installation).start();
    let log = Log::of(&server);
    let Some(disk) = Disk::formatted("ext4") else { return };
    let target = Target::new(&log, disk.path().join("received"));
    let mut running = target.start(&["--synchronous"]);
    target.wait_until_acknowledged(log.write(100_000));
    let set = |flag| run(Command::new("chattr").arg(flag).arg(target.directory()));
    set("+i");
    log.end_segment();
    let end = log.end_segment();
    wait_until_said(&mut running, "Operation not permitted");
    target.assert_acknowledged_is_held();
    assert!(target.acknowledged() < end);
    set("-i");
    target.finish(running);
}

fn a_read_only_disk_is_named(installation: Installation) {
    let server = source(installation).start();
    let log = Log::of(&server);
    let Some(disk) = Mount::of_size("4m") else { return };
    let target = Target::new(&log, disk.path().join("received"));
    disk.make_read_only();
    let finished = target.prepare(receiver()).arg("--no-loop").run();
    assert_ended_by(&finished, "Read-only file system");
    assert!(finished.stderr.contains(target.directory().to_str().unwrap()), "{finished:?}");
    assert_eq!(target.acknowledged(), target.begin());
    disk.make_writable();
    target.finish(target.start(&[]));
}
