//! The WAL of a backup.

use std::path::PathBuf;

use super::Finding;
use crate::manifest::WalRange;
use crate::pg::CompressionFormat;

/// Where WAL is.
#[derive(Clone, Debug)]
pub(super) enum WalSource {
    /// In a directory.
    Directory(PathBuf),
    /// In an archive.
    Archive {
        /// The archive.
        path: PathBuf,
        /// How it is compressed.
        format: Option<CompressionFormat>,
        /// What precedes the segments' names in it.
        prefix: &'static str,
    },
}

pub(super) fn check(
    _source: &WalSource,
    _ranges: &[WalRange],
    _system_identifier: Option<u64>,
) -> Vec<Finding> {
    Vec::new()
}
