//! Pages of relations: header sanity and checksum, without a server.
//!
//! Follows `src/include/storage/bufpage.h`, `checksum_impl.h` and `bufpage.c`, and the rules of
//! `src/backend/backup/basebackup.c` for which files have pages, of PostgreSQL 13 to 18.

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
}
