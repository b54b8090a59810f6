//! LZ4 frames, by liblz4.

use std::fmt;
use std::io::{self, Write as _};
use std::mem;

use lzzzz::lz4f::{BlockSize, ContentChecksum, Preferences, PreferencesBuilder, WriteDecompressor};

use super::decoder::OUTPUT_ROOM_MIN;
use super::lz4_frame::FrameScanner;

/// Decompresses frames.
#[derive(Default)]
pub(super) struct Lz4Decoder {
    frame: Option<Frame>,
    complete: bool,
}

/// A frame that has begun. The library's wrapper does not tell where it ends.
struct Frame {
    scanner: FrameScanner,
    decompressor: WriteDecompressor<'static, Vec<u8>>,
}

impl fmt::Debug for Lz4Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lz4Decoder").field("complete", &self.complete).finish_non_exhaustive()
    }
}

impl Lz4Decoder {
    pub(super) fn decode(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, String> {
        let frame = match &mut self.frame {
            Some(frame) => frame,
            None if input.is_empty() => return Ok(0),
            None => {
                self.complete = false;
                self.frame.insert(Frame::new()?)
            }
        };
        let used = frame.decode(input, output)?;
        if frame.scanner.is_at_end() {
            self.frame = None;
            self.complete = true;
        }
        Ok(used)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }
}

impl Frame {
    fn new() -> Result<Self, String> {
        let decompressor = WriteDecompressor::new(Vec::new()).map_err(|error| error.to_string())?;
        Ok(Frame { scanner: FrameScanner::default(), decompressor })
    }

    /// Decodes what belongs to the frame, as far as there is room.
    fn decode(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, String> {
        let own = self.scanner.clone().advance(input)?;
        // The library writes into a writer of its own.
        mem::swap(output, self.decompressor.get_mut());
        let used = self.fill(input.get(..own).unwrap_or_default());
        mem::swap(output, self.decompressor.get_mut());
        used.map_err(|error| error.to_string())
    }

    fn fill(&mut self, input: &[u8]) -> io::Result<usize> {
        let mut rest = input;
        loop {
            let filled = self.decompressor.get_ref().len();
            let used = self.decompressor.write(rest)?;
            let (decoded, after) = rest.split_at(used.min(rest.len()));
            self.scanner.advance(decoded).map_err(io::Error::other)?;
            rest = after;
            let output = self.decompressor.get_ref();
            let is_full = output.capacity() - output.len() < OUTPUT_ROOM_MIN;
            let is_idle = output.len() == filled && (used == 0 || rest.is_empty());
            if is_full || is_idle || self.scanner.is_at_end() {
                return Ok(input.len() - rest.len());
            }
        }
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
