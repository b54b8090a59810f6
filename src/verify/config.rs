//! What is verified.

use std::path::PathBuf;

/// How a backup is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyConfig {
    /// The directory of the backup.
    pub directory: PathBuf,
    /// How it is stored there; by default, as its files suggest.
    pub form: Option<BackupForm>,
    /// The manifest; by default, `backup_manifest` in the directory.
    pub manifest: Option<PathBuf>,
    /// Paths below the root of the backup that do not matter, nor does what is below them.
    pub ignored: Vec<Vec<u8>>,
    /// Whether the files' contents are read.
    pub contents: Contents,
    /// Whether the pages of relations are checked too; their contents are read then in any case.
    pub pages: Pages,
    /// Where the WAL is that is checked; none if it is not.
    pub wal: Option<WalLocation>,
    /// What happens after the first finding.
    pub on_finding: OnFinding,
}

/// How a backup is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupForm {
    /// As the files of a data directory.
    Plain,
    /// As tar archives, compressed or not.
    Tar,
}

/// Whether files are compared by their contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// By the checksum that the manifest has.
    Compared,
    /// By name and size alone.
    Skipped,
}

/// Whether the pages of relations are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Header and checksum of each page.
    Checked,
    /// Not at all.
    Skipped,
}

/// Where the WAL of a backup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalLocation {
    /// In the backup: `pg_wal` below its directory, an archive of that name, or the archive of the data directory.
    Backup,
    /// In a directory of its own.
    Directory(PathBuf),
}

/// What happens after the first finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFinding {
    /// Everything is verified all the same.
    GoOn,
    /// Nothing more.
    Stop,
}
