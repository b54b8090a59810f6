//! Power cuts: what a backup's name promises holds on the disk, not only in the page cache.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::mount::Disk;
use crate::support::random::Random;
use crate::support::scratch::{Scratch, run};
use crate::support::server::Server;
use crate::support::verify::{Wal, judge, untar, verify};
use crate::support::{skip, wait_until};

on_servers!(a_reported_backup_survives_a_power_cut: pg13 pg18);
on_servers!(many_small_files_survive_a_power_cut: pg18);
on_servers!(a_failed_sync_of_the_file_system_is_an_error: pg18);
on_servers!(a_power_cut_leaves_no_manifest_without_a_whole_backup: pg18);

const FILE_SYSTEMS: [&str; 2] = ["ext4", "xfs"];

/// Power cuts in the middle of backups, on each file system.
const CUTS: u64 = 8;

fn a_reported_backup_survives_a_power_cut(installation: Installation) {
    let server = Server::start(installation);
    for file_system in FILE_SYSTEMS {
        let Some(disk) = Disk::formatted(file_system) else { return };
        let plain = disk.path().join("new/plain");
        Client::pgsiphon().to(&server).into_directory(&plain).run().succeeded();
        disk.cut_power();
        disk.restore_power();
        verify(installation, &plain, Wal::Included);

        let tar = disk.path().join("new/tar");
        Client::pgsiphon().to(&server).arg("-Ft").into_directory(&tar).run().succeeded();
        disk.cut_power();
        disk.restore_power();
        let scratch = Scratch::new();
        let unpacked = scratch.directory("unpacked");
        untar(&tar, &unpacked);
        verify(installation, &unpacked, Wal::Included);
    }
}

/// The last ones are brought to stable storage by the file system as a whole.
fn many_small_files_survive_a_power_cut(installation: Installation) {
    let server = Server::start(installation);
    add_small_files(&server);
    for file_system in FILE_SYSTEMS {
        let Some(disk) = Disk::formatted(file_system) else { return };
        let target = disk.path().join("target");
        Client::pgsiphon().to(&server).into_directory(&target).run().succeeded();
        disk.cut_power();
        disk.restore_power();
        verify(installation, &target, Wal::Included);
    }
}

fn a_failed_sync_of_the_file_system_is_an_error(installation: Installation) {
    if Command::new("strace").arg("-V").output().is_err() {
        return skip("there is no strace");
    }
    let server = Server::start(installation);
    add_small_files(&server);
    let Some(disk) = Disk::formatted("ext4") else { return };
    let scratch = Scratch::new();
    let log = scratch.join("strace.log");
    let inject = "inject=syncfs:error=EIO";
    let traced = ["-f", "-qq", "-o", log.to_str().unwrap(), "-e", "trace=syncfs", "-e", inject];
    let target = disk.path().join("target");
    let client = Client::under("strace", &traced).to(&server);
    let finished = client.into_directory(&target).run();
    let path = target.display();
    let expected =
        format!("could not synchronize file system for file \"{path}\": Input/output error");
    assert_eq!(finished.failed(), expected);
    assert!(!target.exists());
}

/// Adds more files than are synced one by one; a base backup has all that is in the data directory.
fn add_small_files(server: &Server) {
    let directory = server.data().join("many");
    fs::create_dir(&directory).unwrap();
    for number in 0..6000 {
        fs::write(directory.join(number.to_string()), number.to_string().repeat(100)).unwrap();
    }
    run(Command::new("chown").args(["-R", "--reference"]).arg(server.data()).arg(&directory));
}

fn a_power_cut_leaves_no_manifest_without_a_whole_backup(installation: Installation) {
    let server = Server::start(installation);
    let mut random = Random::new(1);
    for file_system in FILE_SYSTEMS {
        let Some(disk) = Disk::formatted(file_system) else { return };
        for cut in 0..CUTS {
            let target = disk.path().join(format!("target{cut}"));
            let mut running = Client::pgsiphon().to(&server).into_directory(&target).start();
            // The earliest cuts come while files are written, the latest while they are synced.
            let least = random.below(40 << 20);
            wait_until("some of the backup", || running.has_ended() || size(&target) >= least);
            disk.cut_power();
            running.wait();
            disk.restore_power();
            if target.join("backup_manifest").exists() {
                let verdict = judge(installation, &target, Wal::Included);
                assert_eq!(verdict, Ok(()), "{file_system}, cut {cut}");
            }
        }
    }
}

/// Adds up the files of a directory that is being filled.
fn size(directory: &Path) -> u64 {
    let Ok(entries) = directory.read_dir() else { return 0 };
    let size_of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size_of).sum()
}
