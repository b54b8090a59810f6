//! A file that is filled from the front over a long time, read by others meanwhile, and synced in between: a WAL
//! segment under way.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::block::{ALIGNMENT, BLOCK_SIZE, Block};
use super::compress::{Compressor, ThreadShare};
use super::error::IoContext as _;
use super::{DirectIo, NewFile, StorageError, durable};
use crate::pg::Compression;

/// How much is filled with zeros at once, so that nobody waits long for it.
const ZEROS_AHEAD: u64 = 1 << 20;

/// How such files are made.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFileConfig {
    /// Permission bits.
    pub mode: u32,
    /// Whether whole blocks may go past the page cache.
    pub direct_io: DirectIo,
}

/// What goes into a file.
#[derive(Clone, Copy, Debug)]
pub enum SegmentContents {
    /// Exactly so many bytes in the end; the file has that size from the beginning.
    Plain {
        /// The size in bytes.
        size: u64,
    },
    /// Compressed bytes; nobody knows how many.
    Compressed(Compression),
}

/// A file that is filled from the front.
///
/// Whole blocks are written past the page cache where that works. What is handed over earlier, because somebody
/// waits for it, goes through the page cache, which merges small writes.
#[derive(Debug)]
pub struct SegmentFile {
    file: BlockFile,
    compressor: Option<Compressor>,
    /// The size that the file has from the beginning; none if it is compressed.
    size: Option<u64>,
    /// Whether a power cut would leave the name.
    name_is_durable: bool,
}

impl SegmentFile {
    /// Creates a file that must not exist yet. A failure for want of space leaves it empty.
    ///
    /// # Errors
    /// If it cannot be created, or there is no space for it.
    pub fn create(
        path: PathBuf,
        contents: SegmentContents,
        config: SegmentFileConfig,
    ) -> Result<Self, StorageError> {
        let file = NewFile::create(path, config.mode)?;
        let (compressor, size, direct_io) = match contents {
            SegmentContents::Plain { size } => {
                if let Err(error) = file.preallocate(size) {
                    // Without effect if this fails too; an empty file is as good a beginning as any other.
                    let _ = file.set_size(0);
                    return Err(error);
                }
                (None, Some(size), config.direct_io)
            }
            SegmentContents::Compressed(compression) => {
                // The segment before it may be under way still.
                let compressor = Compressor::new(compression, ThreadShare::Half, file.path())?;
                // The end moves with each write; that is what the page cache is for.
                (Some(compressor), None, DirectIo::Off)
            }
        };
        let file = BlockFile::new(file, direct_io, 0);
        Ok(SegmentFile { file, compressor, size, name_is_durable: false })
    }

    /// Goes on with a file that an earlier run left, behind its first `filled` bytes. It gets its full size if
    /// it does not have it; a failure for want of space leaves it as it is.
    ///
    /// # Errors
    /// If it cannot be opened, or there is no space for it.
    pub fn resume(
        path: PathBuf,
        size: u64,
        filled: u64,
        config: SegmentFileConfig,
    ) -> Result<Self, StorageError> {
        let file = NewFile::reopen(path)?;
        let size_before = file.size()?;
        if let Err(error) = file.preallocate(size) {
            // Neither keeps part of the space, nor a size that the original would not take. If this fails too, the
            // file is only larger.
            let _ = file.set_size(size_before);
            return Err(error);
        }
        let mut file = BlockFile::new(file, config.direct_io, filled);
        // Behind what is known to be of worth, there may be more that was acknowledged.
        file.zeroed = size;
        Ok(SegmentFile { file, compressor: None, size: Some(size), name_is_durable: false })
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        self.file.file.path()
    }

    /// Appends bytes. They may stay in memory.
    ///
    /// # Errors
    /// If compressing or writing fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let SegmentFile { file, compressor, .. } = self;
        match compressor {
            Some(compressor) => compressor.write(bytes, &mut |compressed| file.append(compressed)),
            None => file.append(bytes),
        }
    }

    /// Writes everything that was appended, so that others can read it, but for what a compressor holds.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write_out(&mut self) -> Result<(), StorageError> {
        self.file.write_out()
    }

    /// Writes everything that was appended, so that others can read it.
    ///
    /// # Errors
    /// If compressing or writing fails.
    pub fn flush(&mut self) -> Result<(), StorageError> {
        let SegmentFile { file, compressor, .. } = self;
        if let Some(compressor) = compressor {
            compressor.flush(&mut |compressed| file.append(compressed))?;
        }
        file.write_out()
    }

    /// Says whether [`Self::write_zeros_ahead`] would write anything.
    pub fn is_at_end_of_zeros(&self) -> bool {
        self.size.is_some_and(|size| self.file.end() > self.file.zeroed && self.file.zeroed < size)
    }

    /// Prepares for many small syncs: the space that comes next is filled with zeros, if it is not yet.
    ///
    /// Space that is only reserved costs an entry in the file system's journal when it is first written, for each
    /// sync anew. A sync of space that was written once is twice as fast, and does not keep others from
    /// the journal. Compressed files have no space before it is written.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write_zeros_ahead(&mut self) -> Result<(), StorageError> {
        match self.size {
            Some(size) if self.is_at_end_of_zeros() => self.file.write_zeros_ahead(size),
            Some(_) | None => Ok(()),
        }
    }

    /// Brings everything that was appended, and the file's name, to stable storage.
    ///
    /// # Errors
    /// If writing or a sync fails. What was synced before is safe all the same.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.flush()?;
        self.file.file.sync_contents()?;
        if !self.name_is_durable {
            durable::sync_directory(durable::parent(self.path()))?;
            self.name_is_durable = true;
        }
        Ok(())
    }

    /// Writes what the file holds at its beginning once more, as it is, so that the next sync covers it also if an
    /// earlier one failed: the system takes what a failed sync was to write for written. `progress` is called for each
    /// piece of it.
    ///
    /// # Errors
    /// If reading or writing fails.
    pub fn write_again(&self, size: u64, progress: &dyn Fn()) -> Result<(), StorageError> {
        self.file.file.write_again(size, progress)
    }

    /// Ends the file: what is compressed becomes a whole stream, everything is written. Returns it for syncing
    /// and closing.
    ///
    /// # Errors
    /// If compressing or writing fails.
    pub fn finish(self) -> Result<NewFile, StorageError> {
        let SegmentFile { mut file, compressor, .. } = self;
        if let Some(compressor) = compressor {
            compressor.finish(&mut |compressed| file.append(compressed))?;
        }
        file.write_out()?;
        Ok(file.file)
    }

    /// Gives the file another name, at once and durably, and goes on with it.
    ///
    /// # Errors
    /// If a sync or renaming fails.
    pub fn rename(&mut self, to: PathBuf) -> Result<(), StorageError> {
        self.sync()?;
        durable::rename(self.path(), &to)?;
        self.file.file.set_path(to);
        Ok(())
    }
}

/// A file that is written block by block.
#[derive(Debug)]
struct BlockFile {
    file: NewFile,
    /// The same file past the page cache.
    direct: DirectFile,
    block: Block,
    /// Where the block lies in the file.
    offset: u64,
    /// How much of the block the file has already.
    written: usize,
    /// Everything before this was written once, if only as zeros.
    zeroed: u64,
}

impl BlockFile {
    fn new(file: NewFile, direct_io: DirectIo, filled: u64) -> Self {
        let direct = DirectFile::open(file.path(), direct_io);
        let mut block = Block::new();
        let size = BLOCK_SIZE as u64;
        // Less than a block.
        let written = usize::try_from(filled % size).unwrap_or(0);
        block.skip(written);
        BlockFile { file, direct, block, offset: filled - filled % size, written, zeroed: 0 }
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<(), StorageError> {
        while !bytes.is_empty() {
            let copied = self.block.fill(bytes);
            bytes = bytes.get(copied..).unwrap_or_default();
            if self.block.is_full() {
                self.write_block()?;
            }
        }
        Ok(())
    }

    /// Writes a full block and begins the next one.
    fn write_block(&mut self) -> Result<(), StorageError> {
        let BlockFile { file, direct, block, offset, .. } = self;
        let is_written =
            self.written == 0 && direct.write(block.contents(), *offset, file.path())?;
        if !is_written {
            self.write_out()?;
        }
        self.block.clear();
        self.offset += BLOCK_SIZE as u64;
        self.written = 0;
        Ok(())
    }

    /// Returns where the next byte goes.
    fn end(&self) -> u64 {
        self.offset + self.block.filled() as u64
    }

    fn write_zeros_ahead(&mut self, size: u64) -> Result<(), StorageError> {
        let mut zeros = Block::new();
        zeros.skip(BLOCK_SIZE);
        // Not where anything was written.
        let mut from = (self.offset + self.written as u64).next_multiple_of(ALIGNMENT as u64);
        let until = (self.end() + ZEROS_AHEAD).next_multiple_of(BLOCK_SIZE as u64).min(size);
        while from < until {
            let block_end = (from + 1).next_multiple_of(BLOCK_SIZE as u64);
            let length = usize::try_from(block_end.min(until) - from).unwrap_or(BLOCK_SIZE);
            let bytes = zeros.contents().get(..length).unwrap_or_default();
            if !self.direct.write(bytes, from, self.file.path())? {
                self.file.write_at(bytes, from)?;
            }
            from += length as u64;
        }
        self.zeroed = until;
        Ok(())
    }

    fn write_out(&mut self) -> Result<(), StorageError> {
        let rest = self.block.contents().get(self.written..).unwrap_or_default();
        if !rest.is_empty() {
            self.file.write_at(rest, self.offset + self.written as u64)?;
            self.written = self.block.filled();
        }
        Ok(())
    }
}

/// A file past the page cache; none where that is not wanted or does not work.
#[derive(Debug)]
struct DirectFile(Option<File>);

impl DirectFile {
    fn open(path: &Path, direct_io: DirectIo) -> Self {
        DirectFile(match direct_io {
            DirectIo::Auto => {
                let flags = OFlags::DIRECT.bits().cast_signed();
                OpenOptions::new().write(true).custom_flags(flags).open(path).ok()
            }
            DirectIo::Off => None,
        })
    }

    /// Writes aligned bytes; says whether that was possible.
    fn write(&mut self, bytes: &[u8], offset: u64, path: &Path) -> Result<bool, StorageError> {
        match self.0.as_ref().map(|file| file.write_all_at(bytes, offset)) {
            Some(Ok(())) => Ok(true),
            Some(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                self.0 = None;
                Ok(false)
            }
            Some(Err(error)) => Err(error).context("write to file", path),
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CONFIG: SegmentFileConfig = SegmentFileConfig { mode: 0o600, direct_io: DirectIo::Auto };
    const SIZE: u64 = 4 << 20;

    fn numbered(size: usize) -> Vec<u8> {
        (0..size).map(|index| (index / 7 % 251 + 1) as u8).collect()
    }

    #[test]
    fn what_was_written_out_can_be_read_and_the_rest_is_zero() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("segment");
        let all = numbered(3 << 20);
        let contents = SegmentContents::Plain { size: SIZE };
        let mut file = SegmentFile::create(path.clone(), contents, CONFIG).unwrap();
        let mut appended = 0;
        for (step, size) in
            [10, 5000, 1 << 20, 1, (1 << 20) - 5011, 700_000].into_iter().enumerate()
        {
            file.append(&all[appended..appended + size]).unwrap();
            appended += size;
            if step.is_multiple_of(2) {
                file.write_zeros_ahead().unwrap();
                file.write_out().unwrap();
            } else {
                file.sync().unwrap();
            }
            let read = fs::read(&path).unwrap();
            assert_eq!(read.len() as u64, SIZE);
            assert!(read[..appended] == all[..appended], "step {step}");
            assert!(read[appended..].iter().all(|&byte| byte == 0), "step {step}");
        }
    }

    #[test]
    fn a_file_is_resumed_anywhere() {
        let directory = tempfile::tempdir().unwrap();
        let all = numbered(SIZE as usize);
        for filled in [0, 1, 4095, 4096, (1 << 20) - 1, 1 << 20, (2 << 20) + 77, SIZE as usize] {
            let path = directory.path().join(filled.to_string());
            fs::write(&path, &all[..filled]).unwrap();
            let mut file = SegmentFile::resume(path.clone(), SIZE, filled as u64, CONFIG).unwrap();
            for piece in all[filled..].chunks(100_000) {
                file.append(piece).unwrap();
            }
            file.finish().unwrap().close().unwrap();
            assert!(fs::read(&path).unwrap() == all, "{filled}");
        }
    }

    #[test]
    fn a_compressed_file_can_be_read_up_to_each_sync() {
        let directory = tempfile::tempdir().unwrap();
        let (path, name) = (directory.path().join("s.gz.tmp"), directory.path().join("s.gz"));
        let contents = SegmentContents::Compressed(Compression::Gzip { level: Some(1) });
        let mut file = SegmentFile::create(path, contents, CONFIG).unwrap();
        file.append(b"one").unwrap();
        file.sync().unwrap();
        file.append(b"two").unwrap();
        file.rename(name.clone()).unwrap();
        file.append(b"three").unwrap();
        file.finish().unwrap().close().unwrap();
        let compressed = fs::read(&name).unwrap();
        let mut text = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&compressed[..]);
        std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
        assert_eq!(text, "onetwothree");
    }
}
