//! Pages of relations: header sanity and checksum, without a server.
//!
//! Follows `src/include/storage/bufpage.h`, `checksum_impl.h` and `bufpage.c`, and the rules of
//! `src/backend/backup/basebackup.c` for which files have pages, of PostgreSQL 13 to 18.

mod check;
mod checksum;
mod fault;
mod incremental;
mod reader;
mod relation;

pub use fault::PageFault;
pub use reader::{PageChecksums, PageReader, PageRules};
pub use relation::RelationFile;

/// The size of a page in bytes, as all packaged servers have it (`BLCKSZ`).
pub const PAGE_SIZE: usize = 8192;

/// How many blocks a segment of a relation has, 1 GiB, as all packaged servers have it (`RELSEG_SIZE`).
pub const SEGMENT_BLOCKS: u32 = 131_072;

#[cfg(test)]
mod tests;
