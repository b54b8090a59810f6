//! What a backup says of itself: its control file and its label.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::contents::Place;
use super::{Finding, Pages, Problem};
use crate::control::{BackupLabel, BackupLabelFault, ControlFile};
use crate::manifest::ManifestSummary;
use crate::page::{PAGE_SIZE, PageFault, SEGMENT_BLOCKS};

/// More is never read of such a file; the control file has 8 KiB.
pub(super) const PART_SIZE_MAX: u64 = 64 << 10;

/// Versions of the manifest from this one on hold the cluster's identifier.
const VERSION_WITH_IDENTIFIER: u32 = 2;

/// A file by which a backup says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    ControlFile,
    BackupLabel,
}

/// Checks these files.
#[derive(Debug)]
pub(super) struct ClusterCheck {
    summary: ManifestSummary,
    pages: Pages,
    /// What precedes paths in messages about the control file of a backup in plain format.
    directory: PathBuf,
    control_file: OnceLock<ControlFile>,
    label: OnceLock<(Place, BackupLabel)>,
}

impl ClusterCheck {
    pub(super) fn new(summary: ManifestSummary, pages: Pages, directory: PathBuf) -> Self {
        ClusterCheck {
            summary,
            pages,
            directory,
            control_file: OnceLock::new(),
            label: OnceLock::new(),
        }
    }

    /// Returns what the manifest says but for its files.
    pub(super) fn summary(&self) -> &ManifestSummary {
        &self.summary
    }

    /// Says whether a file is one that is looked at.
    pub(super) fn part(&self, path: &[u8]) -> Option<Part> {
        let is_thorough = self.pages == Pages::Checked;
        match path {
            // The original looks at it where the manifest has something to compare with.
            b"global/pg_control"
                if is_thorough || self.summary.version >= VERSION_WITH_IDENTIFIER =>
            {
                Some(Part::ControlFile)
            }
            b"backup_label" if is_thorough => Some(Part::BackupLabel),
            _ => None,
        }
    }

    /// Checks the contents of such a file.
    pub(super) fn check(&self, part: Part, place: &Place, bytes: &[u8]) -> Option<Finding> {
        let problem = match part {
            Part::ControlFile => self.check_control_file(place, bytes),
            Part::BackupLabel => self
                .check_label(place, bytes)
                .err()
                .map(|fault| Problem::BackupLabel(fault.to_string())),
        };
        problem.map(|problem| place.finding(problem))
    }

    fn check_control_file(&self, place: &Place, bytes: &[u8]) -> Option<Problem> {
        let path = Path::new(OsStr::from_bytes(&place.path));
        let file = match place.archive {
            None => self.directory.join(path).display().to_string(),
            Some(_) => path.display().to_string(),
        };
        let control = match ControlFile::parse(bytes) {
            Ok(control) => *self.control_file.get_or_init(|| control),
            Err(fault) => return Some(Problem::ControlFile { file, fault }),
        };
        let found = control.system_identifier;
        match self.summary.system_identifier {
            Some(manifest) if manifest != found => {
                Some(Problem::OtherCluster { file, manifest, found })
            }
            _ if self.pages == Pages::Checked && !has_ordinary_pages(&control) => {
                let ControlFile { block_size: page_size, segment_blocks: segment_pages, .. } =
                    control;
                Some(Problem::OtherPages { page_size, segment_pages })
            }
            _ => None,
        }
    }

    fn check_label(&self, place: &Place, bytes: &[u8]) -> Result<(), BackupLabelFault> {
        let label = BackupLabel::parse(bytes)?;
        // Newest timeline first, so the backup begins with the last range.
        let outcome = match self.summary.wal_ranges.last() {
            Some(first) => label.check_start(first.timeline, first.start_lsn),
            None => Ok(()),
        };
        self.label.get_or_init(|| (place.clone(), label));
        outcome
    }

    /// Checks whether these files fit each other, when all of them were seen.
    pub(super) fn check_together(&self) -> Option<Finding> {
        let (place, label) = self.label.get()?;
        let fault = label.check_control_file(self.control_file.get()?).err()?;
        Some(place.finding(Problem::BackupLabel(fault.to_string())))
    }

    /// Says whether what was found of a page counts; not known before the control file was seen, which comes last
    /// in an archive.
    pub(super) fn counts(&self, fault: &PageFault) -> Option<bool> {
        let control = self.control_file.get()?;
        let is_checksum = matches!(fault, PageFault::Checksum { .. });
        Some(has_ordinary_pages(control) && (control.data_checksum_version != 0 || !is_checksum))
    }
}

fn has_ordinary_pages(control: &ControlFile) -> bool {
    usize::try_from(control.block_size) == Ok(PAGE_SIZE) && control.segment_blocks == SEGMENT_BLOCKS
}
