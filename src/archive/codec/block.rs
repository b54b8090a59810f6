//! Compressing a stream block by block, in any order.

use std::fmt;

use flate2::Crc;
use lzzzz::lz4f::{self, Preferences};

use super::gzip::BlockDeflater;
use super::{gzip, lz4};

/// How much of a stream is compressed at once. Large enough that beginning without a window costs little (with
/// gzip, blocks of half of it come out 0.4 % larger); small enough that a block per core and what became of it
/// take little memory.
pub const BLOCK_SIZE: usize = 512 << 10;

/// What blocks are compressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockFormat {
    /// One gzip member of all blocks. `pg_verifybackup` 18 does not end if there are several.
    Gzip {
        /// 1 to 9, in zlib's sense; `None` for 6.
        level: Option<u8>,
    },
    /// An LZ4 frame for each block.
    Lz4 {
        /// 1 to 12; `None` for the fastest.
        level: Option<u8>,
    },
}

/// The library refused to compress; it does so only for lack of memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not compress data: {0}")]
pub struct EncodeError(String);

/// A piece of a stream, first as it is, then compressed.
#[derive(Default)]
pub struct Block {
    /// What the stream has before the block, as far as matches may reach.
    window: Vec<u8>,
    contents: Vec<u8>,
    compressed: Vec<u8>,
    checksum: Crc,
    is_last: bool,
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("contents", &self.contents.len())
            .field("compressed", &self.compressed.len())
            .field("is_last", &self.is_last)
            .finish_non_exhaustive()
    }
}

impl Block {
    /// Copies bytes into the block as far as there is room; returns how many.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let room = BLOCK_SIZE.saturating_sub(self.contents.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.contents.extend_from_slice(taken);
        taken.len()
    }

    /// Whether nothing more goes in.
    pub fn is_full(&self) -> bool {
        self.contents.len() >= BLOCK_SIZE
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    /// Makes this the block that follows `previous`, empty, whatever it was before.
    pub fn follow(&mut self, previous: &Block) {
        // A stream that was flushed has short blocks; what lies before them serves as well.
        let tail = |bytes: &'_ [u8], size: usize| bytes.len().saturating_sub(size)..bytes.len();
        let contents = tail(&previous.contents, gzip::WINDOW_SIZE);
        let window = tail(&previous.window, gzip::WINDOW_SIZE - contents.len());
        self.window.clear();
        self.window.extend_from_slice(previous.window.get(window).unwrap_or_default());
        self.window.extend_from_slice(previous.contents.get(contents).unwrap_or_default());
        self.contents.clear();
        self.is_last = false;
    }

    /// Makes this the last block of its stream.
    pub fn set_last(&mut self) {
        self.is_last = true;
    }

    /// Returns the compressed bytes, once it was encoded.
    pub fn compressed(&self) -> &[u8] {
        &self.compressed
    }
}

/// Compresses blocks, of one stream or of several.
pub struct BlockEncoder(Encoder);

enum Encoder {
    Gzip(BlockDeflater),
    Lz4(Preferences),
}

impl fmt::Debug for BlockEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Encoder::Gzip(_) => "BlockEncoder(gzip)",
            Encoder::Lz4(_) => "BlockEncoder(lz4)",
        })
    }
}

impl BlockEncoder {
    /// Makes an encoder.
    pub fn new(format: BlockFormat) -> Self {
        BlockEncoder(match format {
            BlockFormat::Gzip { level } => Encoder::Gzip(BlockDeflater::new(level)),
            BlockFormat::Lz4 { level } => Encoder::Lz4(lz4::preferences(level)),
        })
    }

    /// Compresses a block's contents.
    ///
    /// # Errors
    /// If the library does not.
    pub fn encode(&mut self, block: &mut Block) -> Result<(), EncodeError> {
        let is_whole = block.is_full() && !block.is_last;
        let Block { window, contents, compressed, checksum, is_last } = block;
        compressed.clear();
        match &mut self.0 {
            Encoder::Gzip(deflater) => {
                checksum.reset();
                checksum.update(contents);
                if is_whole {
                    deflater.deflate_whole(contents, compressed).map_err(EncodeError)
                } else {
                    deflater
                        .deflate_partial(window, contents, *is_last, compressed)
                        .map_err(|error| EncodeError(error.to_string()))
                }
            }
            Encoder::Lz4(preferences) => lz4f::compress_to_vec(contents, compressed, preferences)
                .map(drop)
                .map_err(|error| EncodeError(error.to_string())),
        }
    }
}

/// What stands before and behind the blocks of one stream.
#[derive(Debug)]
pub struct BlockFraming(Framing);

#[derive(Debug)]
enum Framing {
    Gzip { contents: Crc },
    Lz4,
}

impl BlockFraming {
    /// Begins a stream.
    pub fn new(format: BlockFormat) -> Self {
        BlockFraming(match format {
            BlockFormat::Gzip { .. } => Framing::Gzip { contents: Crc::new() },
            BlockFormat::Lz4 { .. } => Framing::Lz4,
        })
    }

    /// Returns what goes before the first block.
    pub fn header(&self) -> &'static [u8] {
        match self.0 {
            Framing::Gzip { .. } => &gzip::HEADER,
            Framing::Lz4 => &[],
        }
    }

    /// Takes note of an encoded block; in the stream's order.
    pub fn add(&mut self, block: &Block) {
        match &mut self.0 {
            Framing::Gzip { contents } => contents.combine(&block.checksum),
            Framing::Lz4 => {}
        }
    }

    /// Returns what goes behind the last block.
    pub fn trailer(self) -> Vec<u8> {
        match self.0 {
            Framing::Gzip { contents } => gzip::trailer(&contents),
            Framing::Lz4 => Vec::new(),
        }
    }
}
