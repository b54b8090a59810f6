//! Checking the pages of a file while its bytes pass.

use super::{PageFault, RelationFile};
use crate::pg::Lsn;

/// Which pages are checked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRules {
    /// Where the backup began: pages with this position or a later one are left to replay.
    pub started_at: Lsn,
    /// Whether the cluster has page checksums.
    pub has_checksums: bool,
}

/// Checks the pages of one file; takes its bytes in pieces of any size.
#[derive(Debug)]
pub struct PageReader {
    relation: RelationFile,
    rules: PageRules,
}

impl PageReader {
    /// Starts with the first byte of a file.
    pub fn new(relation: RelationFile, rules: PageRules) -> Self {
        PageReader { relation, rules }
    }

    /// Takes the next bytes; hands out block number, position and fault of each damaged page.
    pub fn handle(&mut self, bytes: &[u8], on_fault: &mut impl FnMut(u32, Lsn, PageFault)) {
        let _ = (self.relation, self.rules, bytes, on_fault);
    }

    /// Ends the file; a page that is not whole is damaged.
    pub fn finish(self, on_fault: &mut impl FnMut(u32, Lsn, PageFault)) {
        let _ = (self.relation, self.rules, on_fault);
    }
}
