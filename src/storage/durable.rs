//! Bringing names to stable storage.
//!
//! A file's contents are safe when its sync returned, its name when the sync of its directory did. Names
//! are given last: write, sync the file, rename, sync the directory (as PostgreSQL's `durable_rename`).

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::StorageError;
use super::error::IoContext as _;

/// Syncs a directory: the names in it are safe afterwards.
///
/// # Errors
/// If it cannot be opened or synced.
pub fn sync_directory(path: &Path) -> Result<(), StorageError> {
    let directory = File::open(path).context("open directory", path)?;
    directory.sync_all().context("fsync directory", path)
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
