//! A lock on a directory, so that two processes do not write into it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::StorageError;
use super::error::IoContext as _;

/// The file in the directory that is locked. It stays: whoever removed it could take it from under another's lock.
const FILE_NAME: &str = ".pgsiphon-lock";

/// Permission bits of the file: to open it is to be able to lock others out.
const FILE_MODE: u32 = 0o600;

/// A lock on a directory, held as long as the value lives, and never longer than the process.
#[derive(Debug)]
pub struct DirectoryLock {
    /// The system releases the lock when it is closed.
    _file: File,
}

impl DirectoryLock {
    /// Locks a directory; nothing if another process or value has done so.
    ///
    /// # Errors
    /// If the file cannot be opened or created, or the file system knows no locks.
    pub fn take(directory: &Path) -> Result<Option<Self>, StorageError> {
        let path = directory.join(FILE_NAME);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(&path).context("open file", &path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(DirectoryLock { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(StorageError::new("lock file", path, errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_lock_by_whatever_path() {
        let scratch = tempfile::tempdir().unwrap();
        let (directory, link) = (scratch.path().join("wal"), scratch.path().join("link"));
        std::fs::create_dir(&directory).unwrap();
        std::os::unix::fs::symlink(&directory, &link).unwrap();
        let held = DirectoryLock::take(&directory).unwrap().expect("the lock");
        assert!(DirectoryLock::take(&link).unwrap().is_none());
        drop(held);
        assert!(DirectoryLock::take(&link).unwrap().is_some());
    }
}
