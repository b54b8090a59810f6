//! One file that several disk threads may be writing blocks of.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use super::StorageError;
use super::block::{ALIGNMENT, Block};
use super::error::IoContext as _;

/// A file of our own making, with its path for messages.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    path: PathBuf,
}

impl NewFile {
    /// Creates a file that must not exist yet and gives it exactly the permission bits of `mode`.
    ///
    /// # Errors
    /// If it exists, or cannot be created.
    pub fn create(path: PathBuf, mode: u32) -> Result<Self, StorageError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode);
        let file = options.open(&path).context("create file", &path)?;
        // The umask may have taken bits away.
        file.set_permissions(Permissions::from_mode(mode))
            .context("set permissions on file", &path)?;
        Ok(NewFile { file, path })
    }

    /// Opens a file that an earlier run created.
    ///
    /// # Errors
    /// If it does not exist, or cannot be opened.
    pub fn reopen(path: PathBuf) -> Result<Self, StorageError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&path).context("open file", &path)?;
        Ok(NewFile { file, path })
    }

    /// Returns where the file was created.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes bytes at an offset.
    ///
    /// # Errors
    /// If not all can be written.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        self.file.write_all_at(bytes, offset).context("write to file", &self.path)
    }

    /// Reads bytes from the beginning and writes them where they were; calls `progress` for each piece.
    ///
    /// # Errors
    /// If there are not so many, or they cannot be written.
    pub(super) fn write_again(&self, size: u64, progress: &dyn Fn()) -> Result<(), StorageError> {
        let mut chunk = vec![0; 256 << 10];
        let mut offset = 0;
        while offset < size {
            let length = usize::try_from(size - offset).unwrap_or(usize::MAX).min(chunk.len());
            let bytes = chunk.get_mut(..length).unwrap_or_default();
            self.file.read_exact_at(bytes, offset).context("read file", &self.path)?;
            self.write_at(bytes, offset)?;
            progress();
            offset += length as u64;
        }
        Ok(())
    }

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn set_size(&self, size: u64) -> Result<(), StorageError> {
        self.file.set_len(size).context("truncate file", &self.path)
    }

    /// Returns its present size.
    ///
    /// # Errors
    /// If the operating system does not tell.
    pub fn size(&self) -> Result<u64, StorageError> {
        Ok(self.file.metadata().context("stat file", &self.path)?.len())
    }

    /// Gives the file its size and reserves the space, which reads as zeros. Where the file system cannot
    /// reserve, it only gets the size.
    ///
    /// # Errors
    /// If there is no room.
    pub fn preallocate(&self, size: u64) -> Result<(), StorageError> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, size) {
            Ok(()) => Ok(()),
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)) => {
                Err(StorageError::new("write to file", &self.path, errno))
            }
            Err(_) => self.set_size(size),
        }
    }

    /// Brings the contents to stable storage, and of the file's attributes what is needed to read them.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub fn sync_contents(&self) -> Result<(), StorageError> {
        self.file.sync_data().context("fsync file", &self.path)
    }

    /// Brings contents and size to stable storage.
    ///
    /// # Errors
    /// If the sync fails; what was written may be lost then.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_all().context("fsync file", &self.path)
    }

    /// Lets the operating system begin to write the contents, without waiting for it. That is a help for the sync
    /// that follows, so a refusal does not matter.
    pub(super) fn start_writing_back(&self) {
        let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
    }

    /// Closes the file and hears of a failure, which some network file systems report only here.
    ///
    /// # Errors
    /// If closing fails.
    pub fn close(self) -> Result<(), StorageError> {
        nix::unistd::close(self.file).context("close file", &self.path)
    }

    /// Notes that the file was renamed.
    pub(super) fn set_path(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Returns the open file.
    pub(super) fn as_file(&self) -> &File {
        &self.file
    }
}

/// A file that is being filled. The last one to let go of it completes it.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: NewFile,
    /// Whether writes go round the page cache; cleared when the file system turns out not to take it.
    is_direct: AtomicBool,
    /// The file's size, known when its writer is done; a file without it was abandoned.
    final_size: OnceLock<u64>,
}

impl OpenFile {
    /// Wraps a new file for buffered writing.
    pub(super) fn buffered(file: NewFile) -> Self {
        OpenFile { file, is_direct: AtomicBool::new(false), final_size: OnceLock::new() }
    }

    /// Returns the file's path.
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Switches to direct I/O if the file system takes it. The file exists already, so a refusal
    /// leaves nothing behind.
    pub(super) fn try_direct(self) -> Self {
        let file = self.file.as_file();
        let accepted =
            fcntl_getfl(file).and_then(|flags| fcntl_setfl(file, flags | OFlags::DIRECT));
        self.is_direct.store(accepted.is_ok(), Ordering::Relaxed);
        self
    }

    /// Reserves the disk space of a file whose size is known. The reservation is a help, not a need:
    /// only a full disk counts as failure.
    pub(super) fn reserve(&self, size: u64) -> Result<(), StorageError> {
        match fallocate(self.file.as_file(), FallocateFlags::empty(), 0, size) {
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
                Err(StorageError::new("write to file", self.file.path(), errno))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// See [`NewFile::start_writing_back`].
    pub(super) fn start_writing_back(&self) {
        self.file.start_writing_back();
    }

    /// Writes a block at an offset that is a multiple of the block size.
    pub(super) fn write_block(&self, block: &mut Block, offset: u64) -> Result<(), StorageError> {
        if self.is_direct.load(Ordering::Relaxed) {
            match self.file.write_at(block.padded_contents(), offset) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.leave_direct()?,
                outcome => return outcome,
            }
        }
        self.file.write_at(block.contents(), offset)
    }

    fn leave_direct(&self) -> Result<(), StorageError> {
        self.is_direct.store(false, Ordering::Relaxed);
        let file = self.file.as_file();
        fcntl_getfl(file)
            .and_then(|flags| fcntl_setfl(file, flags - OFlags::DIRECT))
            .context("write to file", self.file.path())
    }

    /// Notes that everything was handed over for writing.
    pub(super) fn set_final_size(&self, size: u64) {
        // Set once by the one writer; a second call would change nothing.
        let _ = self.final_size.set(size);
    }

    /// Completes the file after the last write: cuts the padding and the reservation, syncs, closes.
    pub(super) fn complete(self, sync: bool) -> Result<(), StorageError> {
        let Some(&size) = self.final_size.get() else { return Ok(()) };
        if !size.is_multiple_of(ALIGNMENT as u64) {
            self.file.set_size(size)?;
        }
        if sync {
            self.file.sync()?;
        }
        self.file.close()
    }
}
