//! What all threads share that verify one backup.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

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
            None => self.findings.add_uncertain(finding),
        }
    }

    /// Returns all that is wrong, sorted, when everything was read.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        if let Some(finding) = self.cluster.check_together() {
            self.findings.add(finding);
        }
        let counts = |finding: &Finding| match &finding.problem {
            Problem::Pages { fault, .. } => self.cluster.counts(fault) != Some(false),
            _ => true,
        };
        self.findings.into_sorted(counts)
    }

    /// Checks a file by which the backup says what it is.
    pub(super) fn check_part(&self, part: Part, place: &Place, bytes: &[u8]) {
        if let Some(finding) = self.cluster.check(part, place, bytes) {
            self.findings.add(finding);
        }
    }
}

/// What was found so far.
#[derive(Debug)]
pub(super) struct Findings {
    all: Mutex<Vec<Finding>>,
    on_finding: OnFinding,
    is_over: AtomicBool,
}

impl Findings {
    pub(super) fn new(on_finding: OnFinding) -> Self {
        Findings { all: Mutex::default(), on_finding, is_over: AtomicBool::new(false) }
    }

    /// Adds a finding; of those that are not wanted any more, none.
    pub(super) fn add(&self, finding: Finding) {
        // Nothing that is done under the lock leaves a state that is not whole.
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_over() {
            all.push(finding);
            let is_over = self.on_finding == OnFinding::Stop;
            self.is_over.store(is_over, Ordering::Relaxed);
        }
    }

    /// Adds a finding that may turn out to be none.
    fn add_uncertain(&self, finding: Finding) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_over() {
            all.push(finding);
        }
    }

    /// Returns the names of the archives that could not be read to their end.
    pub(super) fn broken_archives(&self) -> Vec<Vec<u8>> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let is_broken = |finding: &&Finding| {
            let is_of_whole = matches!(finding.problem, Problem::Archive(_) | Problem::Io(_));
            is_of_whole && finding.archive.is_none()
        };
        all.iter().filter(is_broken).map(|finding| finding.path.clone()).collect()
    }

    /// Says whether nothing more is wanted.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn into_sorted(self, counts: impl FnMut(&Finding) -> bool) -> Vec<Finding> {
        let mut all = self.all.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.retain(counts);
        all.sort_unstable();
        if self.on_finding == OnFinding::Stop {
            all.truncate(1);
        }
        all
    }
}
