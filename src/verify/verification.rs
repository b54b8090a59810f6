//! What all threads share that verify one backup.

use std::mem::discriminant;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cluster::{ClusterCheck, Part};
use super::contents::{ContentsRules, Place};
use super::listing::{Listed, Listing};
use super::{Finding, OnFinding, Problem, VerifyProgress};
use crate::page::PageFault;

/// A backup that is being verified.
#[derive(Debug)]
pub(super) struct Verification<'a> {
    pub(super) listing: Listing,
    pub(super) cluster: ClusterCheck,
    pub(super) rules: ContentsRules,
    pub(super) findings: Findings,
    pub(super) progress: &'a VerifyProgress,
}

impl Verification<'_> {
    /// Takes note of a file that is there, and returns what the manifest says of it if its contents can be compared
    /// with that. Not for a file that is ignored.
    pub(super) fn meet(&self, place: &Place, size: u64) -> Option<&Listed> {
        let problem = match self.listing.get(&place.path) {
            None => Problem::Extra,
            Some(listed) => match listed.note_found() {
                true => Problem::Repeated,
                false if size != listed.size => Problem::Size { found: size, listed: listed.size },
                false => return Some(listed),
            },
        };
        self.findings.add(place.finding(problem));
        None
    }

    /// Adds what is wrong with a page, unless the control file says that it does not count.
    pub(super) fn add_page(&self, finding: Finding, fault: &PageFault) {
        match self.cluster.counts(fault) {
            Some(true) => self.findings.add(finding),
            Some(false) => {}
            None => self.findings.add_uncertain(finding, fault),
        }
    }

    /// Returns all that is wrong, sorted, when everything was read.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        if let Some(finding) = self.cluster.check_together() {
            self.findings.add(finding);
        }
        self.findings.into_sorted(|fault| self.cluster.counts(fault) != Some(false))
    }

    /// Checks a file by which the backup says what it is.
    pub(super) fn check_part(&self, part: Part, place: &Place, bytes: &[u8]) {
        if let Some(finding) = self.cluster.check(part, place, bytes) {
            self.findings.add(finding);
        }
    }
}

/// How many findings there may be beside one for each file of the manifest. An archive that costs next to nothing may
/// inflate to any number of files that are not listed.
const FINDINGS_MAX: u64 = 10_000;

/// What was found so far.
#[derive(Debug)]
pub(super) struct Findings {
    kept: Mutex<Kept>,
    on_finding: OnFinding,
    is_over: AtomicBool,
}

#[derive(Debug)]
struct Kept {
    findings: Vec<Finding>,
    /// How many more there may be.
    room: u64,
    /// How many more there may be of those that may turn out to be none.
    uncertain_room: u64,
    /// Kinds of damaged pages of which there were more than are kept.
    left_out: Vec<PageFault>,
}

impl Kept {
    fn leave_out(&mut self, fault: &PageFault) {
        if !self.left_out.iter().any(|other| discriminant(other) == discriminant(fault)) {
            self.left_out.push(*fault);
        }
    }
}

impl Findings {
    /// Begins for a manifest of so many files.
    pub(super) fn new(on_finding: OnFinding, file_count: u64) -> Self {
        let room = match on_finding {
            OnFinding::GoOn => file_count.saturating_add(FINDINGS_MAX),
            OnFinding::Stop => 1,
        };
        let kept = Kept {
            findings: Vec::new(),
            room,
            uncertain_room: room.max(FINDINGS_MAX),
            left_out: Vec::new(),
        };
        let kept = Mutex::new(kept);
        Findings { kept, on_finding, is_over: AtomicBool::new(false) }
    }

    /// Nothing that is done under the lock leaves a state that is not whole.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a finding; of those that are not wanted any more, none.
    pub(super) fn add(&self, finding: Finding) {
        let mut kept = self.kept();
        if !self.is_over() {
            kept.findings.push(finding);
            kept.room = kept.room.saturating_sub(1);
            self.is_over.store(kept.room == 0, Ordering::Relaxed);
        }
    }

    /// Adds a finding that may turn out to be none.
    fn add_uncertain(&self, finding: Finding, fault: &PageFault) {
        let mut kept = self.kept();
        if kept.uncertain_room == 0 {
            kept.leave_out(fault);
        } else if !self.is_over() {
            kept.findings.push(finding);
            kept.uncertain_room -= 1;
        }
    }

    /// Notes that there are more pages with a fault than are told. Nothing ends by that: it may turn out to be none.
    pub(super) fn leave_out(&self, fault: &PageFault) {
        self.kept().leave_out(fault);
    }

    /// Returns the names of the archives that could not be read to their end.
    pub(super) fn broken_archives(&self) -> Vec<Vec<u8>> {
        let is_broken = |finding: &&Finding| {
            let is_of_whole = matches!(finding.problem, Problem::Archive(_) | Problem::Io(_));
            is_of_whole && finding.archive.is_none()
        };
        let kept = self.kept();
        kept.findings.iter().filter(is_broken).map(|finding| finding.path.clone()).collect()
    }

    /// Says whether nothing more is wanted.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Returns them, but for those of pages with a fault that does not count.
    fn into_sorted(self, counts: impl Fn(&PageFault) -> bool) -> Vec<Finding> {
        let is_over = self.is_over();
        let kept = self.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut all = kept.findings;
        all.retain(|finding| match &finding.problem {
            Problem::Pages { fault, .. } => counts(fault),
            _ => true,
        });
        all.sort_unstable();
        let is_cut = is_over || kept.left_out.iter().any(counts);
        match self.on_finding {
            OnFinding::GoOn if is_cut => {
                let problem = Problem::TooMany(all.len());
                all.push(Finding { path: Vec::new(), archive: None, problem });
            }
            OnFinding::GoOn => {}
            OnFinding::Stop => all.truncate(1),
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::Lsn;

    #[test]
    fn more_damaged_pages_than_are_kept_are_told_if_they_count() {
        let fault = PageFault::Checksum { computed: 1, stored: 2 };
        for (counts, expected) in [(true, FINDINGS_MAX as usize + 1), (false, 0)] {
            let findings = Findings::new(OnFinding::GoOn, 0);
            for block in 0..=FINDINGS_MAX as u32 {
                let problem =
                    Problem::Pages { first: block, last: block, lsn: Lsn::INVALID, fault };
                let finding = Finding { path: Vec::new(), archive: None, problem };
                findings.add_uncertain(finding, &fault);
            }
            let told = findings.into_sorted(|_| counts);
            assert_eq!(told.len(), expected);
            let is_cut = |finding: &Finding| matches!(finding.problem, Problem::TooMany(_));
            assert_eq!(told.last().is_some_and(is_cut), counts);
        }
    }
}
