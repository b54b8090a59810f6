//! What happens to each archive member: it is digested, and written.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::prepare::{MANIFEST_NAME, MANIFEST_TEMPORARY_NAME};
use super::standby::Injector;
use super::{BackupError, Progress};
use crate::archive::{Member, MemberKind, MemberSink, TarError};
use crate::manifest::ReceivedLog;
use crate::pg::{ChecksumAlgorithm, Digester, MemberPath, Oid};
use crate::storage::{Spool, StorageError};

/// Names that say whether a backup is complete; no server sends files of these names.
const RESERVED_NAMES: [&[u8]; 2] = [MANIFEST_NAME.as_bytes(), MANIFEST_TEMPORARY_NAME.as_bytes()];

/// The record of what was received, for the comparison with the manifest.
pub(super) struct Record {
    pub(super) log: ReceivedLog<Spool>,
    pub(super) algorithm: ChecksumAlgorithm,
}

/// Counts files, and tells the progress display which one is being written.
pub(super) struct FileWatcher {
    pub(super) progress: Arc<Progress>,
    pub(super) current_file: CurrentFile,
}

/// Which file that is.
pub(super) enum CurrentFile {
    /// The member's, below this directory.
    Below(PathBuf),
    /// One and the same for the whole archive; it is noted already.
    Fixed,
}

impl FileWatcher {
    fn begin(&self, path: &MemberPath) {
        Progress::add(&self.progress.files, 1);
        if let CurrentFile::Below(root) = &self.current_file {
            self.progress.set_current_file(root.join(path.as_path()));
        }
    }
}

/// Passes the members of one archive on and digests their contents on the way, as they came.
pub(super) struct Members {
    next: Injector,
    /// None where there will be no manifest to compare with.
    record: Option<Record>,
    watcher: FileWatcher,
    /// What stands before the archive's names in the manifest.
    prefix: Vec<u8>,
    current: Option<Received>,
}

/// The file that is being received.
struct Received {
    path: Vec<u8>,
    size: u64,
    digester: Digester,
}

impl Members {
    /// Begins the archive of a tablespace, or of the data directory.
    pub(super) fn new(
        next: Injector,
        record: Option<Record>,
        watcher: FileWatcher,
        oid: Option<Oid>,
    ) -> Self {
        let prefix = oid.map(|oid| format!("pg_tblspc/{oid}/").into_bytes()).unwrap_or_default();
        Members { next, record, watcher, prefix, current: None }
    }

    /// Gives back what outlives the archive.
    pub(super) fn into_parts(self) -> (Injector, Option<Record>) {
        (self.next, self.record)
    }

    /// Takes the archive's bytes as they come, for an output that keeps them so.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        Ok(self.next.keep(bytes)?)
    }
}

impl MemberSink for Members {
    type Error = BackupError;

    fn begin(&mut self, member: &Member) -> Result<(), BackupError> {
        if RESERVED_NAMES.contains(&member.path.as_bytes()) {
            return Err(BackupError::ReservedName(member.path.clone()));
        }
        if let (MemberKind::File, Some(record)) = (&member.kind, &self.record) {
            let path = [&self.prefix, member.path.as_bytes()].concat();
            let digester = Digester::new(record.algorithm);
            self.current = Some(Received { path, size: member.size, digester });
        }
        if member.kind == MemberKind::File {
            self.watcher.begin(&member.path);
        }
        self.next.begin(member)
    }

    fn contents(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        if let Some(received) = &mut self.current {
            received.digester.update(&bytes);
        }
        self.next.contents(bytes)
    }

    fn end(&mut self) -> Result<(), BackupError> {
        if let (Some(received), Some(record)) = (self.current.take(), &mut self.record) {
            let Received { path, size, digester } = received;
            record.log.push(&path, size, &digester.finish()).map_err(|source| {
                StorageError::new("write to file", "list of received files", source)
            })?;
        }
        self.next.end()
    }
}

impl From<TarError<BackupError>> for BackupError {
    fn from(error: TarError<BackupError>) -> Self {
        match error {
            TarError::Member(error) => BackupError::Archive(error),
            TarError::Truncated => {
                BackupError::ArchiveShape("COPY stream ended before last file was finished")
            }
            TarError::AfterEnd => {
                BackupError::ArchiveShape("unexpected data after the end of the tar archive")
            }
            TarError::Sink(error) => error,
        }
    }
}
