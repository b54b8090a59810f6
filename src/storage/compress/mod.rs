//! Compressing a file while it is written, on all cores up to a bound.
//!
//! The thread that writes hands out blocks of the file and writes what became of them, in order; it waits
//! only when as many blocks are on their way as there may be. Zstandard is left to libzstd's own threads,
//! which keep one window over the whole file.

mod blocks;
mod pool;
mod zstd;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use self::blocks::BlockCompressor;
use self::zstd::ZstdCompressor;
use super::StorageError;
use super::error::IoContext as _;
use crate::archive::codec::BlockFormat;
use crate::pg::Compression;

/// More threads than this are not started unasked. Each holds about two megabytes, with libzstd more, and the process is
/// to stay below 64 MiB.
const THREADS_MAX: usize = 6;

/// From this level on, each of libzstd's threads holds tens of megabytes, and more with each level. They are
/// not started unasked.
const ZSTD_COSTLY_LEVEL: i32 = 10;

/// How many threads compress a file, of those that are started unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadShare {
    /// All of them: the file is most of what there is to compress.
    All,
    /// Half of them: another file is compressed at the same time.
    Half,
}

/// Takes compressed bytes, in order.
type Output<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), StorageError>;

/// Why compressing went no further.
#[derive(Debug, thiserror::Error)]
enum CompressError {
    /// The compression itself.
    #[error("{0}")]
    Codec(#[source] io::Error),
    /// What takes the compressed bytes.
    #[error("{0}")]
    Output(#[from] StorageError),
}

/// The compression of one file. Dropping it stops its threads and waits for them.
#[derive(Debug)]
pub(super) struct Compressor {
    /// The file's, for messages.
    path: PathBuf,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Blocks(BlockCompressor),
    Zstd(ZstdCompressor),
}

impl Compressor {
    /// Starts the threads; `path` is the file's, for messages.
    ///
    /// # Errors
    /// If the operating system gives no thread or the library no memory.
    pub(super) fn new(
        compression: Compression,
        share: ThreadShare,
        path: &Path,
    ) -> Result<Self, StorageError> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads = processors.min(match share {
            ThreadShare::All => THREADS_MAX,
            ThreadShare::Half => THREADS_MAX / 2,
        });
        let stage = Stage::new(compression, threads).context("start compression of file", path)?;
        Ok(Compressor { path: path.to_owned(), stage })
    }

    /// Returns the file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Compresses bytes and gives the output what is ready.
    ///
    /// # Errors
    /// If compressing fails or the output does.
    pub(super) fn write(&mut self, bytes: &[u8], output: Output<'_>) -> Result<(), StorageError> {
        let outcome = match &mut self.stage {
            Stage::Blocks(blocks) => blocks.write(bytes, output),
            Stage::Zstd(zstd) => zstd.write(bytes, output),
        };
        outcome.map_err(|error| error.with_path(&self.path))
    }

    /// Gives the output everything that was compressed so far, so that it can be read up to here. Costs some of
    /// the compression.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn flush(&mut self, output: Output<'_>) -> Result<(), StorageError> {
        let outcome = match &mut self.stage {
            Stage::Blocks(blocks) => blocks.flush(output),
            Stage::Zstd(zstd) => zstd.flush(output),
        };
        outcome.map_err(|error| error.with_path(&self.path))
    }

    /// Ends the compressed stream and gives the output the rest of it.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn finish(self, output: Output<'_>) -> Result<(), StorageError> {
        let outcome = match self.stage {
            Stage::Blocks(blocks) => blocks.finish(output),
            Stage::Zstd(zstd) => zstd.finish(output),
        };
        outcome.map_err(|error| error.with_path(&self.path))
    }
}

impl Stage {
    /// Makes what suits the compression, with so many threads if it does not say.
    fn new(compression: Compression, threads: usize) -> io::Result<Self> {
        let blocks = |format| BlockCompressor::new(format, threads).map(Stage::Blocks);
        match compression {
            Compression::Gzip { level } => blocks(BlockFormat::Gzip { level }),
            Compression::Lz4 { level } => blocks(BlockFormat::Lz4 { level }),
            Compression::Zstd { level, workers, long_distance } => {
                let is_costly = long_distance || level.is_some_and(|l| l >= ZSTD_COSTLY_LEVEL);
                let unasked = if is_costly { 0 } else { threads };
                let workers = workers.unwrap_or(u32::try_from(unasked).unwrap_or(0));
                ZstdCompressor::new(level, workers, long_distance).map(Stage::Zstd)
            }
        }
    }
}

impl CompressError {
    fn with_path(self, path: &Path) -> StorageError {
        match self {
            CompressError::Codec(source) => {
                StorageError::new("compress data of file", path, source)
            }
            CompressError::Output(error) => error,
        }
    }
}

#[cfg(test)]
mod tests;
