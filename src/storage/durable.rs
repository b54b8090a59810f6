//! Bringing names to stable storage.
//!
//! A file's contents are safe when its sync returned, its name when the sync of its directory did. Names
//! are given last: write, sync the file, rename, sync the directory (as PostgreSQL's `durable_rename`).

use std::fs::{self, File};
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::io::Errno;

use super::StorageError;
use super::error::IoContext as _;

/// Syncs a directory: the names in it are safe afterwards, where directories can be synced. As in `fsync_fname`
/// (`file_utils.c`), it is no error that one cannot be read, or that the file system has no such sync: both are so
/// for ever and say nothing of what was written.
///
/// # Errors
/// If it cannot be opened or synced otherwise.
pub fn sync_directory(path: &Path) -> Result<(), StorageError> {
    let directory = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        opened => opened.context("open directory", path)?,
    };
    match directory.sync_all() {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::BADF | Errno::INVAL)) => {
            Ok(())
        }
        synced => synced.context("fsync directory", path),
    }
}

/// Directories that are synced at a time: their syncs share journal commits and flushes of the device.
const SYNCS_AT_A_TIME: usize = 8;

/// Syncs directories, several at a time.
///
/// # Errors
/// The failure of one of them.
pub fn sync_directories(paths: &[PathBuf]) -> Result<(), StorageError> {
    let next = AtomicUsize::new(0);
    let sync_next = || match paths.get(next.fetch_add(1, Ordering::Relaxed)) {
        Some(path) => sync_directory(path).map(|()| true),
        None => Ok(false),
    };
    let sync_all = || {
        while sync_next()? {}
        Ok(())
    };
    thread::scope(|scope| {
        let others = SYNCS_AT_A_TIME.min(paths.len()).saturating_sub(1);
        // Without threads, this one does it all.
        let threads: Vec<_> = (0..others)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, sync_all).ok())
            .collect();
        let mut outcome = sync_all();
        for thread in threads {
            outcome = outcome.and(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        outcome
    })
}

/// Syncs the whole file system that holds a directory: everything written to it before is safe afterwards.
///
/// # Errors
/// If the directory cannot be opened, or anything could not be written.
pub fn sync_file_system(path: &Path) -> Result<(), StorageError> {
    let directory = File::open(path).context("open directory", path)?;
    rustix::fs::syncfs(&directory)
        .map_err(io::Error::from)
        .context("synchronize file system for file", path)
}

/// Gives a complete and synced file its final name and syncs the directory.
///
/// # Errors
/// If renaming or the sync fails. The file then has one of the two names.
pub fn rename(from: &Path, to: &Path) -> Result<(), StorageError> {
    rename_unsynced(from, to)?;
    sync_directory(parent(to))
}

/// Gives a file its final name; a power cut may undo it.
///
/// # Errors
/// If renaming fails.
pub fn rename_unsynced(from: &Path, to: &Path) -> Result<(), StorageError> {
    fs::rename(from, to).context("rename file", from)
}

/// Returns the directory that holds a path's last name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_that_cannot_be_synced_fails_all() {
        let scratch = tempfile::tempdir().unwrap();
        let there = vec![scratch.path().to_owned(); 40];
        sync_directories(&there).unwrap();
        sync_directories(&[]).unwrap();
        let missing = scratch.path().join("missing");
        for place in [0, 20, 40] {
            let mut paths = there.clone();
            paths.insert(place, missing.clone());
            let error = sync_directories(&paths).unwrap_err();
            let expected = format!("could not open directory \"{}\": ", missing.display());
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }
}
