//! Why a backup could not be verified at all.

use crate::manifest::ManifestError;
use crate::storage::StorageError;

/// Nothing can be said of the backup.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The manifest, or the backup's own directory, could not be opened or read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The manifest is damaged, or none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A thread could not be started.
    #[error("could not create thread: {}", crate::pg::OsError(.0))]
    Thread(std::io::Error),
}
