//! Log that is not as a server writes it, in the words of `xlogreader.c`.

use crate::pg::Lsn;

/// The log is damaged, or it is not the log that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid WAL at {at}: {kind}")]
pub struct WalDamage {
    /// Where the record or page begins that is wrong; never before [`WalReader::proven`](super::WalReader::proven).
    pub at: Lsn,
    /// What is wrong with it.
    pub kind: DamageKind,
}

/// How log can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// The page does not begin with the release's number. Zeros are a page that was never written.
    #[error("invalid magic number {0:04X}")]
    Magic(u16),
    /// The page's flags do not exist, contradict each other or do not belong on this page.
    #[error("invalid info bits {0:04X}")]
    InfoBits(u16),
    /// The segment is of another cluster.
    #[error(
        "WAL file is from different database system: WAL file database system identifier is {found}, \
         expected {expected}"
    )]
    SystemIdentifier {
        /// The identifier in the segment.
        found: u64,
        /// The identifier of the cluster.
        expected: u64,
    },
    /// The segment is of a cluster with another segment size.
    #[error(
        "WAL file is from different database system: incorrect segment size in page header: {found}, \
         expected {expected}"
    )]
    SegmentSize {
        /// The size in the segment's header.
        found: u32,
        /// The size of the cluster's segments.
        expected: u64,
    },
    /// The server was built with another size of WAL pages than the ordinary one.
    #[error(
        "WAL file is from different database system: incorrect XLOG_BLCKSZ in page header: {0}, \
         expected 8192"
    )]
    BlockSize(u32),
    /// The page says that it belongs elsewhere, as one of a recycled segment does.
    #[error("unexpected pageaddr {0}")]
    PageAddress(Lsn),
    /// The page is of an older timeline than one before it, or of none.
    #[error("out-of-sequence timeline ID {found} (after {before})")]
    TimelineBack {
        /// The page's timeline.
        found: u32,
        /// The timeline of the page before it.
        before: u32,
    },
    /// The page is of a newer timeline than the one that is being read.
    #[error("unexpected timeline ID {found} (on timeline {expected})")]
    TimelineAhead {
        /// The page's timeline.
        found: u32,
        /// The timeline that is being read.
        expected: u32,
    },
    /// The page continues a record, but no record is incomplete.
    #[error("contrecord is requested")]
    UnexpectedContinuation,
    /// The next page does not continue the record.
    #[error("there is no contrecord flag")]
    MissingContinuation,
    /// The next page continues a record, but not this one.
    #[error("invalid contrecord length {found} (expected {expected})")]
    ContinuationLength {
        /// The bytes that are to come, as the page has it.
        found: usize,
        /// The bytes that are to come, as the record has it.
        expected: usize,
    },
    /// There is no room for a record's header; with 0, there is no record.
    #[error("invalid record length: expected at least 24, got {0}")]
    RecordTooShort(u32),
    /// The record is longer than any that a server can replay.
    #[error("record length {0} too long")]
    RecordTooLong(u32),
    /// No resource manager has this number.
    #[error("invalid resource manager ID {0}")]
    ResourceManager(u8),
    /// The record does not follow the one before it.
    #[error("record with incorrect prev-link {0}")]
    PreviousLink(Lsn),
    /// The record's bytes are not those that were written.
    #[error("incorrect resource manager data checksum in record")]
    Checksum,
}
