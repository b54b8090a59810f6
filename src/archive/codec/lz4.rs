//! LZ4 frames; the blocks in them by liblz4.
//!
//! Its functions for whole frames are used for compression only. The other way their Rust wrapper makes a
//! context for each frame, and a buffer that it zeroes and copies for each piece, which together cost more
//! than the decoding.

use std::fmt;
use std::hash::Hasher as _;

use lzzzz::lz4;
use lzzzz::lz4f::{BlockSize, ContentChecksum, Preferences, PreferencesBuilder};
use twox_hash::XxHash32;

use super::lz4_frame::{BlockHeader, Flags, FrameError, FrameHeader, WORD_SIZE, check_magic};

/// How far matches reach back.
const HISTORY_SIZE: usize = 64 << 10;

/// Decompresses frames.
#[derive(Debug, Default)]
pub(super) struct Lz4Decoder {
    /// What is there of a field that did not arrive in one piece.
    partial: Vec<u8>,
    frame: Frame,
}

impl Lz4Decoder {
    pub(super) fn decode(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, String> {
        let mut rest = input;
        while self.frame.window.drain_to(output)
            && let Some(field) = take(&mut self.partial, &mut rest, self.frame.field_size())
        {
            self.frame.handle_field(field).map_err(|error| error.to_string())?;
            self.partial.clear();
        }
        Ok(input.len() - rest.len())
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.frame.field, Field::End) && self.partial.is_empty()
    }
}

/// Takes a field of a known size from the input; keeps what is there if it is not whole.
fn take<'a, 'i: 'a>(
    partial: &'a mut Vec<u8>,
    input: &mut &'i [u8],
    size: usize,
) -> Option<&'a [u8]> {
    let missing = size.saturating_sub(partial.len());
    let (own, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
    *input = rest;
    if own.len() == size {
        return Some(own);
    }
    partial.reserve_exact(missing);
    partial.extend_from_slice(own);
    (partial.len() == size).then_some(partial)
}

/// The frame that is being read, or was read last.
#[derive(Debug, Default)]
struct Frame {
    field: Field,
    header: FrameHeader,
    window: Window,
    /// Of the contents so far.
    size: u64,
    checksum: XxHash32,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default)]
enum Field {
    /// The first frame's magic number.
    #[default]
    Start,
    Flags,
    Header(Flags),
    BlockHeader,
    /// A block and its checksum.
    Block(BlockHeader),
    ContentChecksum,
    /// Nothing, or another frame's magic number.
    End,
}

impl Frame {
    fn field_size(&self) -> usize {
        match self.field {
            Field::Start | Field::BlockHeader | Field::ContentChecksum | Field::End => WORD_SIZE,
            Field::Flags => 1,
            Field::Header(flags) => flags.header_rest(),
            Field::Block(block) if self.header.flags.has_block_checksums() => {
                block.size + WORD_SIZE
            }
            Field::Block(block) => block.size,
        }
    }

    /// Takes a whole field.
    fn handle_field(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        self.field = match self.field {
            Field::Start | Field::End => {
                check_magic(bytes)?;
                Field::Flags
            }
            Field::Flags => Field::Header(Flags::parse(bytes)?),
            Field::Header(flags) => {
                self.begin(FrameHeader::parse(flags, bytes)?);
                Field::BlockHeader
            }
            Field::BlockHeader => match self.header.parse_block(bytes)? {
                Some(block) => Field::Block(block),
                None => self.end_of_blocks()?,
            },
            Field::Block(block) => {
                self.handle_block(block, bytes)?;
                Field::BlockHeader
            }
            Field::ContentChecksum if bytes == self.checksum.finish_32().to_le_bytes() => {
                Field::End
            }
            Field::ContentChecksum => return Err(FrameError::ContentChecksumInvalid),
        };
        Ok(())
    }

    fn begin(&mut self, header: FrameHeader) {
        self.header = header;
        self.window.begin(&header);
        self.size = 0;
        self.checksum = XxHash32::default();
    }

    fn handle_block(&mut self, block: BlockHeader, bytes: &[u8]) -> Result<(), FrameError> {
        let flags = self.header.flags;
        let (data, checksum) = bytes.split_at_checked(block.size).unwrap_or_default();
        if flags.has_block_checksums() && checksum != XxHash32::oneshot(0, data).to_le_bytes() {
            return Err(FrameError::BlockChecksumInvalid);
        }
        let contents = self.window.add(block, data, &self.header)?;
        self.size += contents.len() as u64;
        if flags.has_content_checksum() {
            self.checksum.write(contents);
        }
        Ok(())
    }

    /// Returns what follows the last block.
    fn end_of_blocks(&self) -> Result<Field, FrameError> {
        match self.header.content_size {
            size if size != 0 && size != self.size => Err(FrameError::FrameSizeWrong),
            _ if self.header.flags.has_content_checksum() => Ok(Field::ContentChecksum),
            _ => Ok(Field::End),
        }
    }
}

/// The blocks that were decoded last. The last one may still be on its way to the output.
#[derive(Default)]
struct Window {
    buffer: Vec<u8>,
    /// `drained <= filled <= buffer.len()`
    drained: usize,
    filled: usize,
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("filled", &self.filled).finish_non_exhaustive()
    }
}

impl Window {
    /// Makes it large enough for a frame's blocks.
    fn begin(&mut self, header: &FrameHeader) {
        // Twice the history, so that it is moved only once it was renewed.
        let history = if header.flags.has_linked_blocks() { 2 * HISTORY_SIZE } else { 0 };
        let size = header.block_size_max + history;
        if self.buffer.len() < size {
            self.buffer = vec![0; size];
        }
        (self.drained, self.filled) = (0, 0);
    }

    /// Decodes a block behind those before it, which have been drained, and returns its contents.
    fn add(
        &mut self,
        block: BlockHeader,
        data: &[u8],
        header: &FrameHeader,
    ) -> Result<&[u8], FrameError> {
        self.make_room(header);
        let (before, room) = self.buffer.split_at_mut(self.filled);
        let room = room.get_mut(..header.block_size_max).unwrap_or_default();
        let size = if block.is_compressed {
            // The history borders on the room, which is what liblz4 is fastest with.
            let history = before.get(before.len().saturating_sub(HISTORY_SIZE)..);
            lz4::decompress_with_dict(data, room, history.unwrap_or_default())
                .map_err(|_| FrameError::DecompressionFailed)?
        } else {
            let room = room.get_mut(..data.len()).ok_or(FrameError::MaxBlockSizeInvalid)?;
            room.copy_from_slice(data);
            data.len()
        };
        self.filled += size;
        Ok(self.buffer.get(self.drained..self.filled).unwrap_or_default())
    }

    /// Forgets what no match can reach if there is no room for a block.
    fn make_room(&mut self, header: &FrameHeader) {
        let is_linked = header.flags.has_linked_blocks();
        if !is_linked || self.buffer.len() - self.filled < header.block_size_max {
            let history = if is_linked { HISTORY_SIZE.min(self.filled) } else { 0 };
            self.buffer.copy_within(self.filled - history..self.filled, 0);
            self.filled = history;
        }
        self.drained = self.filled;
    }

    /// Appends to the output as far as there is room; whether that was all.
    fn drain_to(&mut self, output: &mut Vec<u8>) -> bool {
        let room = output.capacity() - output.len();
        let contents = self.buffer.get(self.drained..self.filled).unwrap_or_default();
        let given = contents.get(..room).unwrap_or(contents);
        output.extend_from_slice(given);
        self.drained += given.len();
        self.drained == self.filled
    }
}

/// Returns how blocks become frames, one each, of which any tool makes one stream again.
pub(super) fn preferences(level: Option<u8>) -> Preferences {
    PreferencesBuilder::new()
        // Not smaller than a block, so that it is not cut again.
        .block_size(BlockSize::Max1MB)
        .content_checksum(ContentChecksum::Enabled)
        .compression_level(level.map_or(0, i32::from))
        .build()
}

#[cfg(test)]
mod tests;
