//! The header of a file in an incremental backup, which says what blocks follow
//! (`src/backend/backup/basebackup_incremental.c`, servers 17 and newer).

use std::mem;

use super::{PAGE_SIZE, PageFault, SEGMENT_BLOCKS};

/// What such a file begins with (`INCREMENTAL_MAGIC`).
pub(super) const MAGIC: u32 = 0xD3AE_1F0D;

/// Magic number, number of blocks, and how many blocks the segment has at least.
const FIXED_WORDS: usize = 3;

const WORD_SIZE: usize = 4;

/// Reads a header while its bytes pass. At most a segment's block numbers are kept: half a mebibyte.
///
/// | words | field |
/// |---|---|
/// | 1 | the magic number |
/// | 1 | the number of blocks |
/// | 1 | how many blocks the segment keeps of those that it had |
/// | that number | the blocks' numbers in the segment |
/// | up to the end of a page | zeros, if there are any blocks |
#[derive(Debug)]
pub(super) struct HeaderReader {
    first_block: u32,
    /// The bytes of the word that is not whole yet.
    word: [u8; WORD_SIZE],
    /// How many bytes were taken.
    size: usize,
    /// How many blocks it lists.
    count: u32,
    blocks: Vec<u32>,
}

impl HeaderReader {
    /// Starts with the file's first byte.
    pub(super) fn new(first_block: u32) -> Self {
        let (word, blocks) = ([0; WORD_SIZE], Vec::new());
        HeaderReader { first_block, word, size: 0, count: 0, blocks }
    }

    /// Takes the next bytes and returns those behind the header.
    ///
    /// # Errors
    /// If it is no such header.
    pub(super) fn handle<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], PageFault> {
        let mut rest = bytes;
        while !self.is_whole() {
            let Some((&byte, after)) = rest.split_first() else { break };
            rest = after;
            self.word.rotate_left(1);
            self.word[WORD_SIZE - 1] = byte;
            self.size += 1;
            if self.size.is_multiple_of(WORD_SIZE) {
                self.handle_word(self.size / WORD_SIZE - 1, u32::from_le_bytes(self.word))?;
            }
        }
        Ok(rest)
    }

    fn is_whole(&self) -> bool {
        let listed = (FIXED_WORDS + self.count()) * WORD_SIZE;
        // The first page comes at a multiple of its size.
        let padded = if self.count == 0 { listed } else { listed.next_multiple_of(PAGE_SIZE) };
        self.size >= padded
    }

    /// Returns the numbers in the relation's fork of the blocks that follow, as soon as all of it was read.
    pub(super) fn take_blocks(&mut self) -> Option<Vec<u32>> {
        self.is_whole().then(|| mem::take(&mut self.blocks))
    }

    fn count(&self) -> usize {
        usize::try_from(self.count).expect("as many as a segment has blocks at most")
    }

    fn handle_word(&mut self, index: usize, word: u32) -> Result<(), PageFault> {
        match index {
            0 if word != MAGIC => Err(PageFault::IncrementalMagic(word)),
            1 if word > SEGMENT_BLOCKS => Err(PageFault::BlockCount(word)),
            1 => {
                self.count = word;
                Ok(())
            }
            FIXED_WORDS.. if self.blocks.len() < self.count() => {
                let block = self.first_block.checked_add(word).filter(|_| word < SEGMENT_BLOCKS);
                self.blocks.push(block.ok_or(PageFault::BlockNumber(word))?);
                Ok(())
            }
            // How many blocks there are at least does not matter here, nor what the padding holds.
            _ => Ok(()),
        }
    }
}
