//! Filling one file through the disk threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StorageError;
use super::block::{BLOCK_SIZE, Block};
use super::disk::{DirectIo, DiskHandle, Job};
use super::file::{NewFile, OpenFile};

/// Files up to this size are collected in memory and written through the page cache by one thread, from
/// creation to sync. A cluster has thousands of them; for these, direct I/O costs more than it saves.
const SMALL_FILE_MAX: u64 = 64 << 10;

/// What is known of a file's size before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSize {
    /// Exactly so many bytes will come.
    Known(u64),
    /// Nothing.
    Unknown,
}

/// A new file that is filled from front to back.
///
/// Dropping it without [`Self::finish`] leaves an incomplete, unsynced file.
#[derive(Debug)]
pub struct FileWriter {
    disk: DiskHandle,
    route: Route,
}

#[derive(Debug)]
enum Route {
    Small { path: PathBuf, mode: u32, contents: Vec<u8> },
    Blocks { file: Arc<OpenFile>, block: Option<Block>, offset: u64 },
}

impl FileWriter {
    /// Begins a file that must not exist yet, with exactly the permission bits of `mode`. A small file is
    /// created only when it is finished, by a disk thread.
    ///
    /// # Errors
    /// If the file cannot be created or its space not be reserved, or an earlier job failed.
    pub fn create(
        disk: &DiskHandle,
        path: PathBuf,
        mode: u32,
        size: FileSize,
    ) -> Result<Self, StorageError> {
        disk.check()?;
        let route = match size {
            FileSize::Known(size @ 0..=SMALL_FILE_MAX) => {
                // At most the limit for small files.
                let contents = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
                Route::Small { path, mode, contents }
            }
            FileSize::Known(_) | FileSize::Unknown => {
                let mut file = OpenFile::buffered(NewFile::create(path, mode)?);
                if disk.config().direct_io == DirectIo::Auto {
                    file = file.try_direct();
                }
                if let FileSize::Known(size) = size {
                    file.reserve(size)?;
                }
                Route::Blocks { file: Arc::new(file), block: None, offset: 0 }
            }
        };
        Ok(FileWriter { disk: disk.clone(), route })
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        match &self.route {
            Route::Small { path, .. } => path,
            Route::Blocks { file, .. } => file.path(),
        }
    }

    /// Appends bytes. They are copied, so the slice may go.
    ///
    /// # Errors
    /// If any job of the disk failed.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), StorageError> {
        match &mut self.route {
            Route::Small { contents, .. } => contents.extend_from_slice(bytes),
            Route::Blocks { file, block, offset } => {
                while !bytes.is_empty() {
                    let current = match block {
                        Some(block) => block,
                        None => block.insert(self.disk.take_block()?),
                    };
                    let copied = current.fill(bytes);
                    bytes = bytes.get(copied..).unwrap_or_default();
                    if current.is_full()
                        && let Some(block) = block.take()
                    {
                        let file = Arc::clone(file);
                        self.disk.submit(Job::WriteBlock { file, block, offset: *offset })?;
                        *offset += BLOCK_SIZE as u64;
                    }
                }
            }
        }
        Ok(())
    }

    /// Hands over what is left. The file is complete, and synced if the disk syncs, when
    /// [`Disk::finish`](super::Disk::finish) has returned.
    ///
    /// # Errors
    /// If any job of the disk failed.
    pub fn finish(self) -> Result<(), StorageError> {
        match self.route {
            Route::Small { path, mode, contents } => {
                self.disk.submit(Job::WriteSmallFile { path, mode, contents })
            }
            Route::Blocks { file, block, offset } => {
                let rest = block.as_ref().map_or(0, Block::filled) as u64;
                file.set_final_size(offset + rest);
                match block {
                    Some(block) => self.disk.submit(Job::WriteBlock { file, block, offset }),
                    None => self.disk.submit(Job::Release(file)),
                }
            }
        }
    }
}
