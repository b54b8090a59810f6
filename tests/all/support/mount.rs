//! Small file systems.

use std::path::Path;
use std::process::Command;

use super::account::is_root;
use super::scratch::{Scratch, run};
use super::skip;

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
        run(Command::new("mount").args(["-o", "remount,ro"]).arg(self.path()));
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
