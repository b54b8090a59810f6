//! Something that is written from front to back and then read again.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::SpooledTempFile;

use super::error::IoContext as _;
use super::{NewFile, StorageError};

/// Bytes that a temporary spool keeps in memory before it moves to a file.
const MEMORY_MAX: usize = 4 << 20;

/// A named file, or a temporary one that stays in memory while it is small and never has a name.
#[derive(Debug)]
pub enum Spool {
    /// A file that stays.
    Named(NewFile),
    /// Gone when it is dropped.
    Temporary(SpooledTempFile),
}

impl Spool {
    /// Creates a file that stays.
    ///
    /// # Errors
    /// If it exists or cannot be created.
    pub fn named(path: PathBuf, mode: u32) -> Result<Self, StorageError> {
        NewFile::create(path, mode).map(Spool::Named)
    }

    /// Begins a temporary one; when it gets large, it moves to an unnamed file in `directory`, or in the
    /// system's directory for temporary files.
    pub fn temporary(directory: Option<&Path>) -> Self {
        Spool::Temporary(match directory {
            Some(directory) => tempfile::spooled_tempfile_in(MEMORY_MAX, directory),
            None => tempfile::spooled_tempfile(MEMORY_MAX),
        })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// If writing fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let outcome = self.write_all(bytes);
        outcome.context("write to file", self.path())
    }

    /// Goes back to the beginning and returns the size in bytes.
    ///
    /// # Errors
    /// If seeking fails.
    pub fn rewind_sized(&mut self) -> Result<u64, StorageError> {
        let size = self.seek(SeekFrom::End(0)).context("seek in file", self.path())?;
        self.rewind().context("seek in file", self.path())?;
        Ok(size)
    }

    fn path(&self) -> &Path {
        match self {
            Spool::Named(file) => file.path(),
            Spool::Temporary(_) => Path::new("temporary file"),
        }
    }
}

impl Read for Spool {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Spool::Named(file) => file.as_file().read(buffer),
            Spool::Temporary(file) => file.read(buffer),
        }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Spool::Named(file) => file.as_file().write(bytes),
            Spool::Temporary(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Spool::Named(file) => file.as_file().flush(),
            Spool::Temporary(file) => file.flush(),
        }
    }
}

impl Seek for Spool {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match self {
            Spool::Named(file) => file.as_file().seek(position),
            Spool::Temporary(file) => file.seek(position),
        }
    }
}
