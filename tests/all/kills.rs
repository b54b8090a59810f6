//! Whoever is killed whenever: there is a complete backup, or one that is plainly not complete.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::proxy::{Fault, Proxy};
use crate::support::random::Random;
use crate::support::scratch::Scratch;
use crate::support::server::{PORT, STREAM_BYTES_MIN, Server};
use crate::support::verify::{self, Wal};

on_servers!(a_killed_client_leaves_no_half_backup_that_looks_whole: pg13 pg18);
on_servers!(a_killed_server_leaves_no_half_backup_that_looks_whole: pg13 pg18);

/// Moments at which a process is killed.
const MOMENTS: u64 = 20;

/// Small segments: what counts here is the number of files.
fn server(installation: Installation) -> Server {
    Server::builder(installation).initdb(&["--wal-segsize=1"]).start()
}

/// Takes whole backups to learn how long that takes when nothing else gets in the way.
fn measure(server: &Server) -> Duration {
    let take = |_| {
        let scratch = Scratch::new();
        client(&server.sockets(), &scratch.join("target")).run().succeeded().took
    };
    (0..3).map(take).min().unwrap()
}

/// Picks a moment in a backup's time, or shortly after.
fn moment(random: &mut Random, took: Duration) -> Duration {
    let micros = u64::try_from(took.as_micros()).unwrap();
    Duration::from_micros(random.below(micros * 11 / 10))
}

/// Without syncs, which take most of the time: a killed process loses nothing that it wrote.
fn client(sockets: &Path, target: &Path) -> Client {
    Client::pgsiphon().through(sockets, PORT).arg("-N").into_directory(target)
}

/// Says whether the backup has the name that means complete; if so, it has to be.
#[track_caller]
fn is_complete(installation: Installation, target: &Path) -> bool {
    let is_complete = target.join("backup_manifest").exists();
    if is_complete {
        verify::verify(installation, target, Wal::Included);
    }
    is_complete
}

fn a_killed_client_leaves_no_half_backup_that_looks_whole(installation: Installation) {
    let server = server(installation);
    let took = measure(&server);
    let mut random = Random::new(u64::from(installation.major));
    for number in 0..MOMENTS {
        let scratch = Scratch::new();
        let target = scratch.join("target");
        // Every other one dies when so many bytes have come, which is certainly in the middle.
        let is_timed = number % 2 == 0;
        let stall = Fault::Stall(random.below(STREAM_BYTES_MIN));
        let proxy = Proxy::before(&server, &[if is_timed { Fault::None } else { stall }]);
        let running = client(proxy.sockets(), &target).start();
        if is_timed {
            thread::sleep(moment(&mut random, took));
        } else {
            proxy.wait_for_stall();
        }
        running.signal(Signal::KILL);
        let finished = running.wait();
        let is_complete = is_complete(installation, &target);
        assert!(is_complete || finished.was_killed(), "{}", finished.stderr);
        assert!(is_timed || !is_complete, "complete behind {stall:?}");
    }
}

fn a_killed_server_leaves_no_half_backup_that_looks_whole(installation: Installation) {
    let mut server = server(installation);
    let took = measure(&server);
    let mut random = Random::new(u64::from(installation.major) + 1);
    for _ in 0..MOMENTS / 2 {
        let scratch = Scratch::new();
        let target = scratch.join("target");
        let running = client(&server.sockets(), &target).start();
        thread::sleep(moment(&mut random, took));
        server.kill();
        let finished = running.wait();
        if finished.status.success() {
            assert!(is_complete(installation, &target));
        } else {
            finished.failed();
            assert!(scratch.names().is_empty(), "{}", finished.stderr);
        }
        server.start_again();
    }
}
