//! Where an LZ4 frame ends (LZ4 Frame Format 1.6).
//!
//! ```text
//! magic u32 | flags u8, block sizes u8, [content size u64], [dictionary u32], header checksum u8
//! size u32 | block | [block checksum u32]     any number of times; the highest bit of size: not compressed
//! 0 u32    | [content checksum u32]
//! ```
//!
//! Checks nothing but the magic number: the bytes go through liblz4 as well.

/// Little-endian at the beginning of a frame.
const MAGIC: u32 = 0x184d_2204;

/// Bits of the flags.
const HAS_DICTIONARY: u8 = 1 << 0;
const HAS_CONTENT_CHECKSUM: u8 = 1 << 2;
const HAS_CONTENT_SIZE: u8 = 1 << 3;
const HAS_BLOCK_CHECKSUMS: u8 = 1 << 4;

/// The highest bit of a block's size.
const NOT_COMPRESSED: u32 = 1 << 31;

/// The size of a checksum.
const CHECKSUM_SIZE: u64 = 4;

/// Follows a frame's structure through pieces of any size.
#[derive(Clone, Debug)]
pub(super) struct FrameScanner {
    flags: u8,
    field: Field,
}

/// What comes next.
#[derive(Clone, Debug)]
enum Field {
    Magic(Word),
    Flags,
    /// The rest of the header or a block, with so many bytes to come; then a block's size.
    Body(u64),
    BlockSize(Word),
    /// What follows the last block.
    Trailer(u64),
    End,
}

/// A number of which some bytes are there.
#[derive(Clone, Debug, Default)]
struct Word {
    value: u32,
    filled: u32,
}

impl Word {
    /// Takes the next byte; gives the number when it is whole.
    fn push(&mut self, byte: u8) -> Option<u32> {
        self.value |= u32::from(byte) << (8 * self.filled);
        self.filled += 1;
        (self.filled == 4).then_some(self.value)
    }
}

impl Default for FrameScanner {
    fn default() -> Self {
        FrameScanner { flags: 0, field: Field::Magic(Word::default()) }
    }
}

impl FrameScanner {
    /// Follows the frame and returns how many bytes of the input belong to it.
    pub(super) fn advance(&mut self, input: &[u8]) -> Result<usize, String> {
        let mut rest = input;
        while let Some((&byte, after)) = rest.split_first() {
            match &mut self.field {
                Field::Body(remaining) => {
                    rest = skip(rest, remaining);
                    if *remaining == 0 {
                        self.field = Field::BlockSize(Word::default());
                    }
                }
                Field::Trailer(remaining) => {
                    rest = skip(rest, remaining);
                    if *remaining == 0 {
                        self.field = Field::End;
                    }
                }
                Field::Magic(_) | Field::Flags | Field::BlockSize(_) => {
                    self.take(byte)?;
                    rest = after;
                }
                Field::End => break,
            }
        }
        Ok(input.len() - rest.len())
    }

    /// Whether the frame is complete.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(self.field, Field::End)
    }

    /// Takes a byte of a field that says what follows.
    fn take(&mut self, byte: u8) -> Result<(), String> {
        match &mut self.field {
            Field::Magic(word) => match word.push(byte) {
                None => {}
                Some(MAGIC) => self.field = Field::Flags,
                // Among them the legacy and the skippable frames, which servers do not send.
                Some(_) => return Err("ERROR_frameType_unknown".to_owned()),
            },
            Field::Flags => {
                self.flags = byte;
                self.field = Field::Body(self.header_rest());
            }
            Field::BlockSize(word) => {
                if let Some(size) = word.push(byte) {
                    self.field = self.after_block_size(size);
                }
            }
            Field::Body(_) | Field::Trailer(_) | Field::End => {}
        }
        Ok(())
    }

    /// Returns the size of the header behind the flags.
    fn header_rest(&self) -> u64 {
        let content_size = if self.has(HAS_CONTENT_SIZE) { 8 } else { 0 };
        let dictionary = if self.has(HAS_DICTIONARY) { 4 } else { 0 };
        // Block sizes and header checksum.
        2 + content_size + dictionary
    }

    fn after_block_size(&self, size: u32) -> Field {
        let checksum = |flag| if self.has(flag) { CHECKSUM_SIZE } else { 0 };
        match size & !NOT_COMPRESSED {
            0 => match checksum(HAS_CONTENT_CHECKSUM) {
                0 => Field::End,
                remaining => Field::Trailer(remaining),
            },
            size => Field::Body(u64::from(size) + checksum(HAS_BLOCK_CHECKSUMS)),
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Passes over bytes that belong to a field.
fn skip<'a>(input: &'a [u8], remaining: &mut u64) -> &'a [u8] {
    let own = usize::try_from(*remaining).unwrap_or(usize::MAX).min(input.len());
    *remaining -= own as u64;
    input.get(own..).unwrap_or_default()
}
