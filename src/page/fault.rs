//! What can be wrong with a page, or with the file around it.

use super::incremental::MAGIC;
use super::{PAGE_SIZE, SEGMENT_BLOCKS};

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum PageFault {
    /// The checksum does not fit the contents.
    #[error("page verification failed, calculated checksum {computed:04X} but found {stored:04X}")]
    Checksum {
        /// What the contents give.
        computed: u16,
        /// What the page says.
        stored: u16,
    },
    /// The header has flags that do not exist.
    #[error("invalid page flags: {0:04X}")]
    Flags(u16),
    /// The parts of the page overlap, reach beyond its end, or are not aligned.
    #[error("corrupted page pointers: lower = {lower}, upper = {upper}, special = {special}")]
    Pointers {
        /// Where free space begins.
        lower: u16,
        /// Where it ends.
        upper: u16,
        /// Where the space for an index' own use begins.
        special: u16,
    },
    /// The page says that it has another size, or a layout that does not exist.
    #[error(
        "invalid page size {} or layout version {}, expected {PAGE_SIZE} and 4",
        .0 & 0xFF00,
        .0 & 0x00FF
    )]
    SizeAndVersion(u16),
    /// The header says that the page was never used, but there is something in it.
    #[error("page is new but not all zeros")]
    NewNotZero,
    /// The file ends inside the page, after so many bytes.
    #[error("page has only {0} of {PAGE_SIZE} bytes")]
    Torn(u16),
    /// The file of an incremental backup does not begin as one.
    #[error("bad incremental magic number (0x{0:x}, expected 0x{MAGIC:x})")]
    IncrementalMagic(u32),
    /// It claims to hold more blocks than a segment has.
    #[error("block count {0} in excess of segment size {SEGMENT_BLOCKS}")]
    BlockCount(u32),
    /// It lists a block that no segment has.
    #[error("block number {0} in excess of segment size {SEGMENT_BLOCKS}")]
    BlockNumber(u32),
    /// It ends before its list of blocks does.
    #[error("incremental file ends inside its header")]
    TornHeader,
    /// It ends before so many blocks that it lists.
    #[error("incremental file ends before the last {0} of its blocks")]
    BlocksMissing(usize),
    /// It goes on behind the last block that it lists.
    #[error("incremental file goes on after the last of its blocks")]
    BlocksExtra,
}
