//! Which files have pages.

/// A file of a relation: one segment of one of its forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationFile {
    first_block: u32,
}

impl RelationFile {
    /// Reads a path below the root of a backup; `None` if the file has no pages.
    pub fn of_path(path: &[u8]) -> Option<RelationFile> {
        let _ = path;
        None
    }

    /// Returns the number of the file's first block in the relation's fork.
    pub const fn first_block(self) -> u32 {
        self.first_block
    }
}
