//! The fields of LZ4 frames (LZ4 Frame Format 1.6).
//!
//! ```text
//! magic u32 | flags u8, block sizes u8, [content size u64], [dictionary u32], header checksum u8
//! size u32 | block | [block checksum u32]     any number of times; the highest bit of size: not compressed
//! 0 u32    | [content checksum u32]
//! ```
//!
//! Checksums are XXH32. What is in the blocks is not looked at here.

use std::hash::Hasher as _;

use twox_hash::XxHash32;

/// The size of the magic number, of a block's size, and of a checksum.
pub(super) const WORD_SIZE: usize = 4;

/// The beginning of a frame.
const MAGIC: [u8; WORD_SIZE] = 0x184d_2204_u32.to_le_bytes();

/// The highest bit of a block's size.
const NOT_COMPRESSED: u32 = 1 << 31;

/// Why a frame is refused, in liblz4's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// No frame, or a legacy or a skippable one, which servers do not send.
    #[error("ERROR_frameType_unknown")]
    FrameTypeUnknown,
    #[error("ERROR_headerVersion_wrong")]
    HeaderVersionWrong,
    #[error("ERROR_reservedFlag_set")]
    ReservedFlagSet,
    #[error("ERROR_frameHeader_incomplete")]
    FrameHeaderIncomplete,
    /// The header allows no such blocks, or a block is larger than it allows.
    #[error("ERROR_maxBlockSize_invalid")]
    MaxBlockSizeInvalid,
    #[error("ERROR_headerChecksum_invalid")]
    HeaderChecksumInvalid,
    #[error("ERROR_blockChecksum_invalid")]
    BlockChecksumInvalid,
    #[error("ERROR_decompressionFailed")]
    DecompressionFailed,
    #[error("ERROR_frameSize_wrong")]
    FrameSizeWrong,
    #[error("ERROR_contentChecksum_invalid")]
    ContentChecksumInvalid,
}

/// Refuses what is not the magic number of a frame.
pub(super) fn check_magic(bytes: &[u8]) -> Result<(), FrameError> {
    if bytes == MAGIC { Ok(()) } else { Err(FrameError::FrameTypeUnknown) }
}

/// Which fields a frame has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags(u8);

impl Flags {
    const HAS_DICTIONARY: u8 = 1 << 0;
    const RESERVED: u8 = 1 << 1;
    const HAS_CONTENT_CHECKSUM: u8 = 1 << 2;
    const HAS_CONTENT_SIZE: u8 = 1 << 3;
    const HAS_BLOCK_CHECKSUMS: u8 = 1 << 4;
    const IS_INDEPENDENT: u8 = 1 << 5;
    const VERSION: u8 = 0b11 << 6;
    const VERSION_1: u8 = 0b01 << 6;

    /// Reads the one byte.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        match bytes {
            [flags] if flags & Self::RESERVED != 0 => Err(FrameError::ReservedFlagSet),
            [flags] if flags & Self::VERSION == Self::VERSION_1 => Ok(Flags(*flags)),
            _ => Err(FrameError::HeaderVersionWrong),
        }
    }

    /// Returns the size of the header behind the flags.
    pub(super) fn header_rest(self) -> usize {
        let content_size = if self.has(Self::HAS_CONTENT_SIZE) { 8 } else { 0 };
        let dictionary = if self.has(Self::HAS_DICTIONARY) { 4 } else { 0 };
        // Block sizes and header checksum.
        2 + content_size + dictionary
    }

    /// Whether a checksum follows each block.
    pub(super) fn has_block_checksums(self) -> bool {
        self.has(Self::HAS_BLOCK_CHECKSUMS)
    }

    /// Whether a checksum of all contents follows the last block.
    pub(super) fn has_content_checksum(self) -> bool {
        self.has(Self::HAS_CONTENT_CHECKSUM)
    }

    /// Whether matches may reach into the blocks before.
    pub(super) fn has_linked_blocks(self) -> bool {
        !self.has(Self::IS_INDEPENDENT)
    }

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// What a frame's header says of the blocks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FrameHeader {
    pub(super) flags: Flags,
    /// No block is larger, compressed or not; at most 4 MiB.
    pub(super) block_size_max: usize,
    /// What the blocks come to; 0 if it is not known.
    pub(super) content_size: u64,
}

impl FrameHeader {
    /// Reads what follows the flags. There is no dictionary to be had: blocks that need one are refused.
    pub(super) fn parse(flags: Flags, rest: &[u8]) -> Result<Self, FrameError> {
        let [block_sizes, fields @ .., checksum] = rest else {
            return Err(FrameError::FrameHeaderIncomplete);
        };
        let block_size_max = block_size_max(*block_sizes)?;
        let mut hash = XxHash32::default();
        hash.write(&[flags.0, *block_sizes]);
        hash.write(fields);
        let [_, second, ..] = hash.finish_32().to_le_bytes();
        if second != *checksum {
            return Err(FrameError::HeaderChecksumInvalid);
        }
        let content_size = match fields.first_chunk() {
            Some(size) if flags.has(Flags::HAS_CONTENT_SIZE) => u64::from_le_bytes(*size),
            _ => 0,
        };
        Ok(FrameHeader { flags, block_size_max, content_size })
    }

    /// Reads what stands before a block; nothing if the last one was before.
    pub(super) fn parse_block(&self, bytes: &[u8]) -> Result<Option<BlockHeader>, FrameError> {
        let word = bytes.first_chunk().ok_or(FrameError::FrameHeaderIncomplete)?;
        let word = u32::from_le_bytes(*word);
        if word == 0 {
            return Ok(None);
        }
        let size = usize::try_from(word & !NOT_COMPRESSED).unwrap_or(usize::MAX);
        if size > self.block_size_max {
            return Err(FrameError::MaxBlockSizeInvalid);
        }
        Ok(Some(BlockHeader { size, is_compressed: word & NOT_COMPRESSED == 0 }))
    }
}

/// What stands before a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockHeader {
    pub(super) size: usize,
    pub(super) is_compressed: bool,
}

/// Reads a size of 64 KiB, 256 KiB, 1 MiB or 4 MiB.
fn block_size_max(byte: u8) -> Result<usize, FrameError> {
    match (byte >> 4, byte & 0b1111) {
        (4..=7, 0) => Ok(1 << (8 + 2 * (byte >> 4))),
        (0..=3, _) => Err(FrameError::MaxBlockSizeInvalid),
        _ => Err(FrameError::ReservedFlagSet),
    }
}
