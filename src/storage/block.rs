//! Aligned blocks for direct I/O.

/// Bytes that one block carries. Large enough that the cost of a write call and of its trip to the
/// device vanishes, small enough that a pool of them fits the memory limit.
pub const BLOCK_SIZE: usize = 1 << 20;

/// Alignment of direct I/O in memory, in the file and in length. 4 KiB satisfies every common device;
/// where it does not, the write fails with EINVAL and the file goes on buffered.
pub(super) const ALIGNMENT: usize = 4096;

/// A reusable block of memory that starts at an aligned address.
#[derive(Debug)]
pub(super) struct Block {
    storage: Box<[u8]>,
    start: usize,
    filled: usize,
}

impl Block {
    /// Allocates a block. It is longer than needed by one alignment unit, so that an aligned start
    /// can be found inside without unsafe code.
    pub(super) fn new() -> Self {
        let storage = vec![0; BLOCK_SIZE + ALIGNMENT].into_boxed_slice();
        // `align_offset` may give up (usize::MAX) in theory; then direct I/O falls back to buffered.
        let start = storage.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Block { storage, start, filled: 0 }
    }

    /// Copies as much of `bytes` as fits and returns how much that was.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let from = self.start + self.filled;
        let size = bytes.len().min(BLOCK_SIZE - self.filled);
        let space = self.storage.get_mut(from..from + size);
        if let (Some(space), Some(bytes)) = (space, bytes.get(..size)) {
            space.copy_from_slice(bytes);
        }
        self.filled += size;
        size
    }

    /// Leaves the next bytes out: what they were before is nobody's business.
    pub(super) fn skip(&mut self, size: usize) {
        self.filled = (self.filled + size).min(BLOCK_SIZE);
    }

    /// Says whether nothing more fits.
    pub(super) fn is_full(&self) -> bool {
        self.filled == BLOCK_SIZE
    }

    /// Returns how many bytes were filled in.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Returns the bytes that were filled in.
    pub(super) fn contents(&self) -> &[u8] {
        self.storage.get(self.start..self.start + self.filled).unwrap_or_default()
    }

    /// Returns the contents with zeros up to the next multiple of the alignment.
    pub(super) fn padded_contents(&mut self) -> &[u8] {
        let end = self.start + self.filled;
        let padded_end = self.start + self.filled.next_multiple_of(ALIGNMENT);
        if let Some(padding) = self.storage.get_mut(end..padded_end) {
            padding.fill(0);
        }
        self.storage.get(self.start..padded_end).unwrap_or_default()
    }

    /// Makes the block empty again.
    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_aligned_and_padded_with_zeros() {
        let mut block = Block::new();
        assert_eq!(block.fill(&[7; BLOCK_SIZE + 1]), BLOCK_SIZE);
        assert!(block.is_full());
        block.clear();
        assert_eq!(block.fill(&[9; 5000]), 5000);
        assert_eq!(block.contents().as_ptr().align_offset(ALIGNMENT), 0);
        let padded = block.padded_contents();
        assert_eq!(padded.len(), 8192);
        assert!(padded[5000..].iter().all(|&byte| byte == 0));
    }
}
