//! Text files that grow by lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::durable;
use super::error::IoContext as _;
use super::{NewFile, StorageError};

/// A text file that grows by lines at its end.
///
/// A full disk or a power cut may leave the last line torn. It stays as it is, and the next one begins behind
/// it on a line of its own.
#[derive(Debug)]
pub struct LineFile {
    file: File,
    path: PathBuf,
}

impl LineFile {
    /// Opens the file; creates it with exactly the permission bits of `mode` if it does not exist.
    ///
    /// # Errors
    /// If it cannot be opened or created.
    pub fn open(path: PathBuf, mode: u32) -> Result<Self, StorageError> {
        match NewFile::create(path.clone(), mode) {
            Ok(file) => file.close()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let file = OpenOptions::new().read(true).append(true).open(&path);
        Ok(LineFile { file: file.context("open file", &path)?, path })
    }

    /// Returns the end of a file that need not exist, at most so many bytes of it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn tail_of(path: &Path, size_max: u64) -> Result<Option<String>, StorageError> {
        match File::open(path) {
            Ok(file) => LineFile { file, path: path.to_owned() }.tail(size_max).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::new("open file", path, error)),
        }
    }

    /// Returns the end of the file, at most so many bytes of it. What is not UTF-8 there is replaced.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn tail(&self, size_max: u64) -> Result<String, StorageError> {
        let size = self.file.metadata().context("stat file", &self.path)?.len();
        let tail_size = size.min(size_max);
        let mut tail = vec![0; usize::try_from(tail_size).unwrap_or(usize::MAX)];
        let read = self.file.read_exact_at(&mut tail, size - tail_size);
        read.context("read file", &self.path)?;
        Ok(String::from_utf8_lossy(&tail).into_owned())
    }

    /// Appends a line.
    ///
    /// # Errors
    /// If not all of it can be written.
    pub fn append(&self, line: &str) -> Result<(), StorageError> {
        let is_torn = !matches!(self.tail(1)?.as_str(), "" | "\n");
        let start = if is_torn { "\n" } else { "" };
        // In one call, so that a line is torn as rarely as possible.
        let text = format!("{start}{line}\n");
        (&self.file).write_all(text.as_bytes()).context("write to file", &self.path)
    }

    /// Brings the lines and the file's name to stable storage.
    ///
    /// # Errors
    /// If a sync fails.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_all().context("fsync file", &self.path)?;
        durable::sync_directory(durable::parent(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_torn_line_is_left_and_the_next_one_stands_alone() {
        let table: [(&[u8], &[u8]); 5] = [
            (b"", b"new\n"),
            (b"old\n", b"old\nnew\n"),
            (b"old\nto", b"old\nto\nnew\n"),
            (b"old\n\xFF", b"old\n\xFF\nnew\n"),
            (b"\0\0\0", b"\0\0\0\nnew\n"),
        ];
        for (before, after) in table {
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join("lines");
            fs::write(&path, before).unwrap();
            let file = LineFile::open(path.clone(), 0o600).unwrap();
            file.append("new").unwrap();
            file.sync().unwrap();
            assert_eq!(fs::read(path).unwrap(), after);
        }
    }

    #[test]
    fn a_new_file_has_the_mode_and_an_old_one_keeps_its_own() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("lines");
        for mode in [0o660, 0o600] {
            LineFile::open(path.clone(), mode).unwrap().append("line").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        }
        assert_eq!(fs::read_to_string(path).unwrap(), "line\nline\n");
    }

    #[test]
    fn the_tail_is_bounded() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("lines");
        fs::write(&path, "first\nlast\n").unwrap();
        let file = LineFile::open(path, 0o600).unwrap();
        assert_eq!(file.tail(100).unwrap(), "first\nlast\n");
        assert_eq!(file.tail(7).unwrap(), "t\nlast\n");
    }
}
