//! One pass over the contents of one file: its checksum, and its pages.

use std::mem::discriminant;

use super::listing::Listed;
use super::verification::Verification;
use super::{Finding, Problem};
use crate::page::{PageFault, PageReader, PageRules, RelationFile};
use crate::pg::{Digest, Digester, Lsn};

/// What is looked for in the contents of files.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContentsRules {
    /// Whether the manifest's checksums are compared.
    pub(super) is_compared: bool,
    /// How pages are checked, if they are.
    pub(super) pages: Option<PageRules>,
}

/// The place of a file in a backup.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The path below the root of the backup.
    pub(super) path: Vec<u8>,
    /// The archive that holds it, if one does.
    pub(super) archive: Option<String>,
}

impl Place {
    /// Says what is wrong here.
    pub(super) fn finding(&self, problem: Problem) -> Finding {
        Finding { path: self.path.clone(), archive: self.archive.clone(), problem }
    }
}

/// Checks contents that arrive in pieces.
#[derive(Debug)]
pub(super) struct ContentsCheck {
    size: u64,
    read: u64,
    expected: Option<(Digester, Digest)>,
    pages: Option<PageReader>,
    damaged_pages: Vec<DamagedPages>,
}

/// Rows of damaged blocks that are kept of one file: more than anybody reads, and little memory.
const ROWS_MAX: usize = 10_000;

/// A row of blocks, each of which is damaged.
#[derive(Clone, Copy, Debug)]
struct DamagedPages {
    first: u32,
    last: u32,
    lsn: Lsn,
    fault: PageFault,
}

impl ContentsCheck {
    /// Begins; nothing, if nothing is to be looked for in this file.
    pub(super) fn begin(path: &[u8], listed: &Listed, rules: ContentsRules) -> Option<Self> {
        let expected = listed
            .checksum
            .filter(|_| rules.is_compared)
            .map(|(algorithm, digest)| (Digester::new(algorithm), digest));
        let pages = rules
            .pages
            .and_then(|rules| RelationFile::of_path(path).map(|file| PageReader::new(file, rules)));
        (expected.is_some() || pages.is_some()).then_some(ContentsCheck {
            size: listed.size,
            read: 0,
            expected,
            pages,
            damaged_pages: Vec::new(),
        })
    }

    /// Returns the size that the manifest has, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Says whether checking takes longer than copying.
    pub(super) fn is_slow(&self) -> bool {
        !matches!(self.expected, None | Some((Digester::None | Digester::Crc32c(_), _)))
    }

    /// Returns how many bytes are wanted. If the contents end by themselves, that is one too many, by which it shows
    /// that there is more; but not where something else lies behind them.
    pub(super) fn wanted(&self, is_followed: bool) -> u64 {
        self.size.saturating_add(u64::from(!is_followed))
    }

    /// Takes the next bytes.
    pub(super) fn handle(&mut self, bytes: &[u8]) {
        let ContentsCheck { read, expected, pages, damaged_pages, .. } = self;
        *read += bytes.len() as u64;
        if let Some((digester, _)) = expected {
            digester.update(bytes);
        }
        if let Some(pages) = pages {
            pages.handle(bytes, &mut |block, lsn, fault| {
                note_page(damaged_pages, DamagedPages { first: block, last: block, lsn, fault });
            });
        }
    }

    /// Says what is wrong with the whole.
    pub(super) fn finish(mut self, place: &Place, verification: &Verification<'_>) {
        if let Some(pages) = self.pages.take() {
            pages.finish(&mut |block, lsn, fault| {
                note_page(
                    &mut self.damaged_pages,
                    DamagedPages { first: block, last: block, lsn, fault },
                );
            });
        }
        let problem = match self.expected {
            Some(_) if self.read != self.size => {
                Some(Problem::ReadSize { read: self.read, listed: self.size })
            }
            Some((digester, listed)) => compare(&digester.finish(), &listed),
            None => None,
        };
        if let Some(problem) = problem {
            verification.findings.add(place.finding(problem));
        }
        let left_out = self.damaged_pages.split_off(self.damaged_pages.len().min(ROWS_MAX));
        left_out.iter().for_each(|row| verification.findings.leave_out(&row.fault));
        for DamagedPages { first, last, lsn, fault } in self.damaged_pages {
            let problem = Problem::Pages { first, last, lsn, fault };
            verification.add_page(place.finding(problem), &fault);
        }
    }
}

fn compare(computed: &Digest, listed: &Digest) -> Option<Problem> {
    let (computed, listed) = (computed.as_slice(), listed.as_slice());
    match computed.len() == listed.len() {
        true => (computed != listed).then_some(Problem::Checksum),
        false => Some(Problem::ChecksumLength { computed: computed.len(), listed: listed.len() }),
    }
}

/// Adds a page to the row that it continues: of a file that is damaged all over, one finding says it. Behind the rows
/// that are kept there is one for each fault, to show that there were more.
fn note_page(damaged: &mut Vec<DamagedPages>, page: DamagedPages) {
    match damaged.last_mut() {
        Some(row)
            if row.last.checked_add(1) == Some(page.first)
                && discriminant(&row.fault) == discriminant(&page.fault) =>
        {
            row.last = page.last;
        }
        Some(_) | None => {
            let behind = damaged.get(ROWS_MAX..).unwrap_or_default();
            let is_known =
                |row: &DamagedPages| discriminant(&row.fault) == discriminant(&page.fault);
            if !behind.iter().any(is_known) {
                damaged.push(page);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_damaged_pages_are_bounded_and_every_fault_beyond_them_is_known() {
        let fault = PageFault::Checksum { computed: 1, stored: 2 };
        let mut rows = Vec::new();
        for block in (0..).step_by(2).take(3 * ROWS_MAX) {
            let row = DamagedPages { first: block, last: block, lsn: Lsn::INVALID, fault };
            note_page(&mut rows, row);
        }
        assert_eq!(rows.len(), ROWS_MAX + 1);
    }
}
