//! The control file.

use crate::pg::{Lsn, TimelineId, WalSegmentSize};

/// What a control file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// The cluster's identifier.
    pub system_identifier: u64,
    /// The version of the file's form (`pg_control_version`).
    pub control_version: u32,
    /// The version of the catalogs.
    pub catalog_version: u32,
    /// Where the last checkpoint's record begins.
    pub checkpoint: Lsn,
    /// Where replay from the last checkpoint begins.
    pub redo: Lsn,
    /// The timeline of the last checkpoint.
    pub timeline: TimelineId,
    /// How far replay must come before the cluster is consistent; [`Lsn::INVALID`] if it need not.
    pub min_recovery_point: Lsn,
    /// The size of a page in bytes.
    pub block_size: u32,
    /// How many blocks a segment of a relation has.
    pub segment_blocks: u32,
    /// The size of a WAL page in bytes.
    pub wal_block_size: u32,
    /// The size of a WAL segment.
    pub wal_segment_size: WalSegmentSize,
    /// The version of page checksums; 0 without them.
    pub data_checksum_version: u32,
}

/// What is wrong with a control file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum ControlFileFault {
    /// The checksum does not fit the contents.
    #[error("CRC is incorrect")]
    Crc,
}

impl ControlFile {
    /// Reads a control file.
    ///
    /// # Errors
    /// If it is damaged, or of an unknown version.
    pub fn parse(bytes: &[u8]) -> Result<Self, ControlFileFault> {
        let _ = bytes;
        Err(ControlFileFault::Crc)
    }
}
