//! The backup label.

use crate::pg::{Lsn, TimelineId};

/// What a backup label says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupLabel {
    /// Where replay begins.
    pub start_lsn: Lsn,
    /// The timeline on which it begins.
    pub timeline: Option<TimelineId>,
}

/// What is wrong with a backup label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum BackupLabelFault {
    /// A line is absent or cannot be read.
    #[error("invalid data")]
    Invalid,
}

impl BackupLabel {
    /// Reads a backup label.
    ///
    /// # Errors
    /// If a line is absent or cannot be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, BackupLabelFault> {
        let _ = bytes;
        Err(BackupLabelFault::Invalid)
    }
}
