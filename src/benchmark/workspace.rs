//! The directory in which everything happens.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::BenchError;

/// A directory of the benchmark's own; it is removed with the value.
pub(super) struct Workspace {
    path: PathBuf,
}

impl Workspace {
    /// Creates it.
    ///
    /// # Errors
    /// It exists, or cannot be created.
    pub(super) fn create(path: &Path) -> Result<Self, BenchError> {
        fs::create_dir(path).map_err(failed("create directory", path))?;
        // Servers work in a directory of their own.
        let path = fs::canonicalize(path).map_err(failed("open directory", path))?;
        Ok(Workspace { path })
    }

    /// Returns a path in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Lets the disk come to rest, so that no run pays for what the one before left to be written.
    pub(super) fn settle(&self) {
        rustix::fs::sync();
    }

    /// Makes an empty directory, in the place of one that a run before may have left.
    ///
    /// # Errors
    /// It cannot be removed or created.
    pub(super) fn fresh(&self, name: &str) -> Result<PathBuf, BenchError> {
        let path = self.path(name);
        remove(&path)?;
        fs::create_dir(&path).map_err(failed("create directory", &path))?;
        self.settle();
        Ok(path)
    }

    /// Checks that there is room.
    ///
    /// # Errors
    /// There is not, or nobody knows.
    pub(super) fn require_room(&self, needed_bytes: u64) -> Result<(), BenchError> {
        let space = rustix::fs::statvfs(&self.path)
            .map_err(|error| failed("examine directory", &self.path)(error.into()))?;
        let available_bytes = space.f_bavail.saturating_mul(space.f_frsize);
        if available_bytes < needed_bytes {
            let directory = self.path.clone();
            return Err(BenchError::Room { directory, needed_bytes, available_bytes });
        }
        Ok(())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes a directory with all that is in it, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), BenchError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove directory", path)(error))
        }
        _ => Ok(()),
    }
}

/// Returns the size of all files below a directory, or of a file, in bytes.
pub(super) fn stored_bytes(path: &Path) -> Result<u64, BenchError> {
    let metadata = fs::symlink_metadata(path).map_err(failed("examine file", path))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let entries = fs::read_dir(path).map_err(failed("read directory", path))?;
    entries.map(|entry| stored_bytes(&entry.map_err(failed("read directory", path))?.path())).sum()
}

/// Says what was tried with a path.
pub(super) fn failed(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> BenchError {
    let path = path.to_owned();
    move |source| BenchError::File { action, path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_new_and_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("bench");
        let workspace = Workspace::create(&path).unwrap();
        assert!(matches!(Workspace::create(&path), Err(BenchError::File { .. })));
        let directory = workspace.fresh("received").unwrap();
        fs::write(directory.join("a"), "12345").unwrap();
        assert_eq!(stored_bytes(&directory).unwrap(), 5);
        assert_eq!(stored_bytes(&workspace.fresh("received").unwrap()).unwrap(), 0);
        drop(workspace);
        assert!(!path.exists());
    }

    #[test]
    fn too_little_room_is_told_in_figures() {
        let parent = tempfile::tempdir().unwrap();
        let workspace = Workspace::create(&parent.path().join("bench")).unwrap();
        workspace.require_room(1).unwrap();
        assert!(matches!(workspace.require_room(u64::MAX), Err(BenchError::Room { .. })));
    }
}
