//! Verifying from beginning to end.

use std::fs::{self, File};
use std::path::Path;

use super::cluster::ClusterCheck;
use super::contents::ContentsRules;
use super::listing::Listing;
use super::tar::Archives;
use super::verification::{Findings, Verification};
use super::wal::WalSource;
use super::work::{Work, do_all};
use super::{
    BackupForm, Contents, Finding, Pages, VerifyConfig, VerifyError, VerifyProgress, WalLocation,
    plain, tar,
};
use crate::manifest::{ManifestError, ManifestSummary};
use crate::page::{PageChecksums, PageRules};
use crate::pg::Lsn;
use crate::storage::StorageError;

/// What verifying gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the manifest says but for its files.
    pub summary: ManifestSummary,
    /// All that is wrong, sorted by path; at last [`Problem::TooMany`](super::Problem::TooMany), if that is not all.
    pub findings: Vec<Finding>,
}

/// Verifies a backup; blocks the calling thread, and uses others beside it.
///
/// # Errors
/// If the manifest or the backup's directory cannot be read. All else is a finding.
pub fn verify(config: &VerifyConfig, progress: &VerifyProgress) -> Result<Verdict, VerifyError> {
    let (listing, summary) = read_manifest(config)?;
    let form = match config.form {
        Some(form) => form,
        None => find_form(&config.directory)?,
    };
    let verification = Verification {
        listing,
        rules: rules(config, &summary),
        cluster: ClusterCheck::new(summary.clone(), config.pages, config.directory.clone()),
        findings: Findings::new(config.on_finding, summary.file_count),
        progress,
    };
    match form {
        BackupForm::Plain => verify_plain(config, &verification)?,
        BackupForm::Tar => verify_tar(config, &verification)?,
    }
    Ok(Verdict { summary, findings: verification.into_findings() })
}

/// Guesses how a backup is stored, as the original does.
fn find_form(directory: &Path) -> Result<BackupForm, StorageError> {
    let opened = fs::metadata(directory);
    opened.map_err(|source| StorageError::new("access directory", directory, source))?;
    Ok(match directory.join("PG_VERSION").exists() {
        true => BackupForm::Plain,
        false => BackupForm::Tar,
    })
}

fn read_manifest(config: &VerifyConfig) -> Result<(Listing, ManifestSummary), VerifyError> {
    let beside = || config.directory.join("backup_manifest");
    let path = config.manifest.clone().unwrap_or_else(beside);
    let file = File::open(&path).map_err(|error| StorageError::new("open file", &path, error))?;
    Listing::read(file, &config.ignored).map_err(|error| match error {
        ManifestError::Read(source) => StorageError::new("read file", path, source).into(),
        error => error.into(),
    })
}

fn rules(config: &VerifyConfig, summary: &ManifestSummary) -> ContentsRules {
    // Newest timeline first.
    let (first, last) = (summary.wal_ranges.last(), summary.wal_ranges.first());
    let started_at = first.map_or(Lsn::INVALID, |range| range.start_lsn);
    let ended_at = last.map_or(Lsn::new(u64::MAX), |range| range.end_lsn);
    ContentsRules {
        is_compared: config.contents == Contents::Compared,
        // Whether there are checksums shows when the control file comes, which is last in an archive.
        pages: (config.pages == Pages::Checked).then_some(PageRules {
            started_at,
            ended_at,
            checksums: PageChecksums::Unknown,
        }),
    }
}

fn verify_plain(config: &VerifyConfig, verification: &Verification<'_>) -> Result<(), VerifyError> {
    let mut works = plain::walk(&config.directory, verification)?;
    works.extend(wal_source(config, None).map(Work::Wal));
    do_all(verification, works)
}

fn verify_tar(config: &VerifyConfig, verification: &Verification<'_>) -> Result<(), VerifyError> {
    let mut archives = Archives::find(&config.directory, verification)?;
    if let Some(source) = wal_source(config, archives.wal.take()) {
        archives.prove_log(source);
    }
    do_all(verification, archives.works)?;
    tar::find_missing(verification);
    Ok(())
}

/// Returns where the WAL is that is checked. In a backup that is its archive, or else the directory.
fn wal_source(config: &VerifyConfig, archive: Option<WalSource>) -> Option<WalSource> {
    config.wal.as_ref().map(|location| match location {
        WalLocation::Backup => {
            archive.unwrap_or_else(|| WalSource::Directory(config.directory.join("pg_wal")))
        }
        WalLocation::Directory(directory) => WalSource::Directory(directory.clone()),
    })
}
