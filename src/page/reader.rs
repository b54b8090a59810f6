//! Checking the pages of a file while its bytes pass.

use std::{mem, vec};

use super::check::check;
use super::incremental::HeaderReader;
use super::{PAGE_SIZE, PageFault, RelationFile};
use crate::pg::Lsn;

/// Which pages are checked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRules {
    /// Where the backup began: pages with this position or a later one are left to replay, up to
    /// [`Self::ended_at`].
    pub started_at: Lsn,
    /// Where the backup ended. No server wrote a page before the WAL up to the page's position, so a page of the backup
    /// has a later one only if the position itself is damaged, or was there before the backup: a cluster whose WAL was
    /// reset keeps such pages.
    pub ended_at: Lsn,
    /// Whether the pages have checksums.
    pub checksums: PageChecksums,
}

/// Whether pages have checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageChecksums {
    /// They have.
    Present,
    /// They have not: only the headers are checked.
    Absent,
    /// Whether the checksum's fault is one will show later. So a fault of the header, which is one in any case, is told
    /// instead if there is one too.
    Unknown,
}

/// Checks the pages of one file; takes its bytes in pieces of any size, and copies only pages that lie in several.
///
/// Damage is handed out as block number in the relation's fork, the page's position, and what is wrong.
/// A page that changed while the server read it may look damaged too, although replay would mend it: servers read
/// such a page again, unless the backup was made without verifying checksums (`--no-verify-checksums`).
#[derive(Debug)]
pub struct PageReader {
    rules: PageRules,
    first_block: u32,
    blocks: Blocks,
    /// The beginning of a page that is not whole yet.
    begun: Vec<u8>,
}

/// Which blocks a file holds.
#[derive(Debug)]
enum Blocks {
    /// All of a segment; the next one's number.
    All(u32),
    /// Those that the header says, which is not read yet.
    InHeader(HeaderReader),
    /// Those that the header says.
    Listed(vec::IntoIter<u32>),
    /// Nobody knows any more, and this was said.
    Unknown,
}

impl PageReader {
    /// Starts with the first byte of a file.
    pub fn new(relation: RelationFile, rules: PageRules) -> Self {
        let first_block = relation.first_block();
        let blocks = if relation.is_incremental() {
            Blocks::InHeader(HeaderReader::new(first_block))
        } else {
            Blocks::All(first_block)
        };
        PageReader { rules, first_block, blocks, begun: Vec::new() }
    }

    /// Takes the next bytes; hands out block number, position and fault of each damaged page.
    pub fn handle(&mut self, bytes: &[u8], on_fault: &mut impl FnMut(u32, Lsn, PageFault)) {
        let bytes = match self.pass_header(bytes) {
            Ok(rest) => rest,
            Err(fault) => return self.give_up(fault, on_fault),
        };
        let mut begun = mem::take(&mut self.begun);
        let missing = if begun.is_empty() { 0 } else { PAGE_SIZE - begun.len() };
        let (head, bytes) = bytes.split_at(missing.min(bytes.len()));
        begun.extend_from_slice(head);
        if let Some(page) = begun.first_chunk() {
            self.check(page, on_fault);
            begun.clear();
        }
        let (pages, rest) = bytes.as_chunks();
        for page in pages {
            self.check(page, on_fault);
        }
        begun.extend_from_slice(rest);
        self.begun = begun;
    }

    /// Ends the file; a page that is not whole is damaged, and so is a file without all the blocks that it lists.
    pub fn finish(mut self, on_fault: &mut impl FnMut(u32, Lsn, PageFault)) {
        let torn = u16::try_from(self.begun.len()).expect("what is kept is less than a page");
        if torn > 0 {
            match self.next_block() {
                Some(block) => on_fault(block, Lsn::INVALID, PageFault::Torn(torn)),
                None => self.give_up(PageFault::BlocksExtra, on_fault),
            }
        }
        match &self.blocks {
            Blocks::InHeader(_) => self.give_up(PageFault::TornHeader, on_fault),
            Blocks::Listed(blocks) if blocks.len() > 0 => {
                let missing = PageFault::BlocksMissing(blocks.len());
                self.give_up(missing, on_fault);
            }
            Blocks::All(_) | Blocks::Listed(_) | Blocks::Unknown => {}
        }
    }

    /// Reads on in the header if there is one; returns the bytes behind it.
    fn pass_header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], PageFault> {
        let Blocks::InHeader(header) = &mut self.blocks else { return Ok(bytes) };
        let rest = header.handle(bytes)?;
        if let Some(blocks) = header.take_blocks() {
            self.blocks = Blocks::Listed(blocks.into_iter());
        }
        Ok(rest)
    }

    fn check(&mut self, page: &[u8; PAGE_SIZE], on_fault: &mut impl FnMut(u32, Lsn, PageFault)) {
        let Some(block) = self.next_block() else {
            return self.give_up(PageFault::BlocksExtra, on_fault);
        };
        if let Some((lsn, fault)) = check(page, block, self.rules) {
            on_fault(block, lsn, fault);
        }
    }

    fn next_block(&mut self) -> Option<u32> {
        match &mut self.blocks {
            Blocks::All(next) => {
                let block = *next;
                *next = next.saturating_add(1);
                Some(block)
            }
            Blocks::Listed(blocks) => blocks.next(),
            Blocks::InHeader(_) | Blocks::Unknown => None,
        }
    }

    /// Says, once, that nobody knows which blocks follow.
    fn give_up(&mut self, fault: PageFault, on_fault: &mut impl FnMut(u32, Lsn, PageFault)) {
        if !matches!(mem::replace(&mut self.blocks, Blocks::Unknown), Blocks::Unknown) {
            on_fault(self.first_block, Lsn::INVALID, fault);
        }
    }
}
