//! Disks that are full, read-only or broken.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::Command;

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::mount::Mount;
use crate::support::scratch::{Scratch, names};
use crate::support::server::Server;
use crate::support::skip;

on_servers!(a_full_disk_is_an_error_and_is_cleared: pg13 pg18);
on_servers!(a_read_only_disk_is_an_error: pg18);
on_servers!(a_full_standard_output_is_an_error: pg13 pg18);
on_servers!(a_failed_sync_is_an_error_and_leaves_nothing: pg18);
on_servers!(a_place_where_directories_cannot_be_synced_is_good_enough: pg18);

fn a_full_disk_is_an_error_and_is_cleared(installation: Installation) {
    let server = Server::start(installation);
    for arguments in [&["-X", "none"][..], &["-X", "stream"], &["-Ft", "-X", "fetch"]] {
        let Some(disk) = Mount::of_size("12m") else { return };
        let client = Client::pgsiphon().to(&server).args(arguments);
        let finished = client.into_directory(&disk.path().join("target")).run();
        let error = finished.failed();
        assert!(error.ends_with(": No space left on device"), "{arguments:?}: {error}");
        assert!(names(disk.path()).is_empty(), "{arguments:?}");
    }
}

fn a_read_only_disk_is_an_error(installation: Installation) {
    let server = Server::start(installation);
    let Some(disk) = Mount::of_size("1m") else { return };
    disk.make_read_only();
    let target = disk.path().join("target");
    let finished = Client::pgsiphon().to(&server).into_directory(&target).run();
    let expected =
        format!("could not create directory \"{}\": Read-only file system", target.display());
    assert_eq!(finished.failed(), expected);
}

fn a_full_standard_output_is_an_error(installation: Installation) {
    let server = Server::start(installation);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let client = Client::pgsiphon().to(&server).args(["-Ft", "-X", "fetch"]);
    let finished = client.into_directory(Path::new("-")).stdout(full).run();
    let error = finished.failed();
    assert!(error.starts_with("could not write "), "{error}");
    assert!(error.ends_with(": No space left on device"), "{error}");
}

fn a_place_where_directories_cannot_be_synced_is_good_enough(installation: Installation) {
    if Command::new("strace").arg("-V").output().is_err() {
        return skip("there is no strace");
    }
    let server = Server::start(installation);
    for (error, is_fatal) in [("EINVAL", false), ("EIO", true)] {
        let scratch = Scratch::new();
        let log = scratch.join("strace.log");
        let target = scratch.directory("target");
        let inject = format!("inject=fsync:error={error}");
        // Only what concerns the directory itself.
        let paths = ["-P", target.to_str().unwrap()];
        let traced = ["-f", "-qq", "-o", log.to_str().unwrap(), "-e", "trace=fsync", "-e", &inject];
        let traced = [&paths[..], &traced[..]].concat();
        let finished = Client::under("strace", &traced).to(&server).into_directory(&target).run();
        match is_fatal {
            true => assert!(finished.failed().ends_with(": Input/output error")),
            false => drop(finished.succeeded()),
        }
        assert_eq!(target.join("backup_manifest").exists(), !is_fatal, "{error}");
        let injected = fs::read_to_string(&log).unwrap();
        assert!(injected.contains(&format!("{error} ")), "{injected}");
    }
}

fn a_failed_sync_is_an_error_and_leaves_nothing(installation: Installation) {
    if Command::new("strace").arg("-V").output().is_err() {
        return skip("there is no strace");
    }
    let server = Server::start(installation);
    // Counted for each thread.
    for when in [3, 1] {
        let scratch = Scratch::new();
        let log = scratch.join("strace.log");
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={when}");
        let log = log.to_str().unwrap();
        let traced = ["-f", "-qq", "-o", log, "-e", "trace=fsync,fdatasync", "-e", &inject];
        let client = Client::under("strace", &traced).to(&server);
        let finished = client.into_directory(&scratch.join("target")).run();
        let error = finished.failed();
        assert!(error.starts_with("could not fsync "), "{error}");
        assert!(error.ends_with(": Input/output error"), "{error}");
        assert_eq!(scratch.names(), ["strace.log"]);
    }
}
