//! Power cuts: what a backup's name promises holds on the disk, not only in the page cache.

use std::path::Path;

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::mount::Disk;
use crate::support::random::Random;
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::verify::{Wal, judge, untar, verify};
use crate::support::wait_until;

on_servers!(a_reported_backup_survives_a_power_cut: pg13 pg18);
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
