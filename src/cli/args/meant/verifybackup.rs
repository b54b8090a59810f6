//! What the options of verifying a stored backup mean together.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use super::{ReportForm, ShowProgress, Verbosity, first_conflict, no_operands};
use crate::cli::args::error::Conflict;
use crate::cli::args::typed::{OwnVerifybackupOptions, Typed, VerifybackupOptions};
use crate::pg::canonicalize;
use crate::verify::{Contents, OnFinding, Pages, VerifyConfig, WalLocation};

/// A backup to be verified as the command line asks for it.
#[derive(Clone, Debug)]
pub struct VerifybackupRequest {
    /// What is verified.
    pub config: VerifyConfig,
    /// Whether it is told that nothing is wrong.
    pub verbosity: Verbosity,
    /// Whether progress is shown.
    pub progress: ShowProgress,
    /// How the outcome is told.
    pub report: ReportForm,
}

impl VerifybackupRequest {
    /// Works out what is meant.
    ///
    /// # Errors
    ///
    /// The first [`Conflict`] in the order of `main` in `pg_verifybackup.c` (18). Two of its refusals are not
    /// ours: no other program is needed to read WAL, and it is read in tar files, too.
    pub fn from_typed(typed: Typed<VerifybackupOptions>) -> Result<Self, Conflict> {
        let Typed { common, own } = typed;
        let (directory, others) = common.rest.split_first().ok_or(Conflict::NoBackupDirectory)?;
        no_operands(others)?;
        first_conflict([(common.progress && common.quiet, Conflict::ProgressWithQuiet)])?;
        let own = own.unwrap_or_default();
        Ok(VerifybackupRequest {
            config: config(directory, &common, &own),
            verbosity: Verbosity::wanted(!common.quiet),
            progress: if common.progress { ShowProgress::Yes } else { ShowProgress::No },
            report: if own.json { ReportForm::Json } else { ReportForm::Messages },
        })
    }
}

fn config(
    directory: &OsStr,
    common: &VerifybackupOptions,
    own: &OwnVerifybackupOptions,
) -> VerifyConfig {
    VerifyConfig {
        directory: canonicalize(Path::new(directory)),
        form: common.format,
        manifest: common.manifest_path.as_deref().map(canonicalize),
        ignored: common.ignore.iter().map(|path| bytes(canonicalize(path))).collect(),
        contents: if common.skip_checksums { Contents::Skipped } else { Contents::Compared },
        pages: if own.pages { Pages::Checked } else { Pages::Skipped },
        wal: (!common.no_parse_wal).then(|| wal_location(common.wal_directory.as_deref())),
        on_finding: if common.exit_on_error { OnFinding::Stop } else { OnFinding::GoOn },
    }
}

fn wal_location(directory: Option<&Path>) -> WalLocation {
    directory.map_or(WalLocation::Backup, |path| WalLocation::Directory(canonicalize(path)))
}

fn bytes(path: PathBuf) -> Vec<u8> {
    OsString::from(path).into_vec()
}
