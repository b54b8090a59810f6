//! Small file systems, and power cuts.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::FallocateFlags;

use super::account::is_root;
use super::scratch::{Scratch, run};
use super::skip;

/// The size of a disk in a file: more than any test fills on a slow machine, where a load lasts longer; xfs takes no
/// less than 300 MB. What is not written takes no space.
const DISK_SIZE: u64 = 2 << 30;

/// How little room does not matter.
const BALLAST_STEP_MIN: u64 = 4096;

/// A file system in memory. It is unmounted with the value.
#[derive(Debug)]
pub struct Mount {
    /// Where it is mounted.
    place: Scratch,
}

impl Mount {
    /// Mounts one of a size that `mount` understands; `None`, with a line that says so, where that is
    /// not permitted.
    pub fn of_size(size: &str) -> Option<Self> {
        let place = Scratch::new();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("mode=755,size={size}"), "pgsiphon-test"]);
        let mounted = is_root() && mount.arg(place.path()).output().unwrap().status.success();
        if !mounted {
            skip("file systems cannot be mounted here");
        }
        mounted.then_some(Mount { place })
    }

    /// Makes it read-only.
    pub fn make_read_only(&self) {
        remount(self.path(), "ro");
    }

    /// Lets it be written again.
    pub fn make_writable(&self) {
        remount(self.path(), "rw");
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

/// A mount that answers nobody, as one does whose server is gone. Who waits for it gets an error when the value is
/// dropped.
#[derive(Debug)]
pub struct DeadMount {
    place: Scratch,
    /// The side that would have to answer.
    device: Option<File>,
}

impl DeadMount {
    /// Mounts one; `None`, with a line that says so, where that is not permitted.
    pub fn new() -> Option<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let Some(device) = device.ok().filter(|_| is_root()) else {
            skip("no mount can be made here that does not answer");
            return None;
        };
        let place = Scratch::new();
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0";
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", "fuse", "-o", options, "pgsiphon-test"]).arg(place.path());
        run(mount.stdin(device.try_clone().unwrap()));
        Some(DeadMount { place, device: Some(device) })
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for DeadMount {
    fn drop(&mut self) {
        // First, for whoever unmounts it waits for it, too.
        drop(self.device.take());
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn remount(place: &Path, option: &str) {
    run(Command::new("mount").arg(format!("-oremount,{option}")).arg(place));
}

/// Takes the room of a file system but for so many bytes, until the value is dropped.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// Fills the file system of a directory.
    pub fn but_for(directory: &Path, room: u64) -> Self {
        let path = directory.join("ballast");
        let file = File::create(&path).unwrap();
        // Nobody tells how much may be taken: file systems keep something back for themselves.
        let (mut size, mut step) = (0, DISK_SIZE);
        while step >= BALLAST_STEP_MIN {
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), size, step) {
                Ok(()) => size += step,
                Err(_) => step /= 2,
            }
        }
        file.set_len(size - room).unwrap();
        Ballast { path }
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A file system that makes everyone wait who writes; it goes on when the value is dropped.
#[derive(Debug)]
pub struct Frozen<'a> {
    disk: &'a Disk,
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(self.disk.path()).status();
    }
}

/// A disk in a file, whose power can be cut: what was not brought to stable storage is lost then, be it
/// contents or names.
#[derive(Debug)]
pub struct Disk {
    scratch: Scratch,
}

impl Disk {
    /// Formats and mounts one; `None`, with a line that says so, where that is not permitted.
    pub fn formatted(file_system: &str) -> Option<Self> {
        if !is_root() {
            skip("disks cannot be mounted here");
            return None;
        }
        let disk = Disk { scratch: Scratch::new() };
        fs::create_dir(disk.path()).unwrap();
        File::create(disk.image()).unwrap().set_len(DISK_SIZE).unwrap();
        run(Command::new(format!("mkfs.{file_system}")).arg("-q").arg(disk.image()));
        disk.mount();
        Some(disk)
    }

    fn image(&self) -> PathBuf {
        self.scratch.join("image")
    }

    /// Returns where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.scratch.join("disk")
    }

    fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()));
    }

    /// Stops it, as a disk does that stalls.
    pub fn freeze(&self) -> Frozen<'_> {
        run(Command::new("fsfreeze").arg("-f").arg(self.path()));
        Frozen { disk: self }
    }

    /// Takes the power away: nothing is written any more, and every call fails.
    pub fn cut_power(&self) {
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(self.path()));
    }

    /// Brings the disk back as the power cut left it. Nobody may have a file open on it.
    pub fn restore_power(&self) {
        run(Command::new("umount").arg(self.path()));
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}
