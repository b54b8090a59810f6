//! Reading the small files that a connection needs: whole, and without waiting for anybody.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// A file that is open, and plain: not a pipe, whose other end may keep us waiting, nor a device, which
/// may never end.
#[derive(Debug)]
pub(super) struct PlainFile {
    file: File,
    pub(super) metadata: Metadata,
}

/// Opens a plain file and reads it.
///
/// # Errors
/// As of [`PlainFile::open`] and [`PlainFile::read`].
pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    PlainFile::open(path)?.read(bytes_max)
}

impl PlainFile {
    /// Opens a file.
    ///
    /// # Errors
    /// If that fails; [`io::ErrorKind::IsADirectory`] for a directory, and
    /// [`io::ErrorKind::InvalidInput`] for another file that is not plain.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Without this, it is the opening of a pipe that waits for the other end.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        match metadata.file_type() {
            kind if kind.is_file() => Ok(PlainFile { file, metadata }),
            kind if kind.is_dir() => Err(Errno::ISDIR.into()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file")),
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If that fails; [`io::ErrorKind::FileTooLarge`] if there are more than so many bytes.
    pub(super) fn read(self, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        // The size in the metadata is that of a moment ago, and in some file systems none at all.
        let size = self.file.take(bytes_max.saturating_add(1)).read_to_end(&mut contents)?;
        match u64::try_from(size) {
            Ok(size) if size <= bytes_max => Ok(contents),
            _ => Err(Errno::FBIG.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_plain_files_are_read_and_only_up_to_a_size() {
        let directory = tempfile::tempdir().expect("a directory");
        let pipe = directory.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        let plain = directory.path().join("plain");
        fs::write(&plain, "contents").expect("a file");
        let table = [
            (plain.as_path(), 8, Ok("contents")),
            (&plain, 7, Err(io::ErrorKind::FileTooLarge)),
            (&pipe, 8, Err(io::ErrorKind::InvalidInput)),
            (Path::new("/dev/zero"), 8, Err(io::ErrorKind::InvalidInput)),
            (directory.path(), 8, Err(io::ErrorKind::IsADirectory)),
            (Path::new("missing"), 8, Err(io::ErrorKind::NotFound)),
        ];
        for (path, bytes_max, expected) in table {
            let contents = read(path, bytes_max).map_err(|error| error.kind());
            assert_eq!(contents, expected.map(|text| text.as_bytes().to_vec()), "{path:?}");
        }
    }
}
