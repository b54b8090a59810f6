//! Failures of the local disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::pg::OsError;

/// An operation on a file or directory failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("could not {action} \"{}\": {}", path.display(), OsError(source))]
pub struct StorageError {
    action: &'static str,
    path: PathBuf,
    // Shared, because the first failure of a disk thread is told to all who use the disk.
    source: Arc<io::Error>,
}

impl StorageError {
    /// Wraps a failed call with what it tried; `action` fits behind "could not".
    pub fn new(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        StorageError { action, path: path.into(), source: Arc::new(source.into()) }
    }

    /// Returns the kind of the operating system's error.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// Adds to an I/O result what was tried on which path.
pub(crate) trait IoContext<T> {
    /// Maps the error to a [`StorageError`].
    fn context(self, action: &'static str, path: &Path) -> Result<T, StorageError>;
}

impl<T, E: Into<io::Error>> IoContext<T> for Result<T, E> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::new(action, path, source))
    }
}
