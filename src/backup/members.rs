//! What happens to each archive member: it is digested, and written.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::prepare::{MANIFEST_NAME, MANIFEST_TEMPORARY_NAME};
use super::{BackupError, Progress};
use crate::archive::{Member, MemberKind, MemberSink, TarError};
use crate::manifest::ReceivedLog;
use crate::pg::{ChecksumAlgorithm, Digester, MemberPath, Oid};
use crate::storage::{Extractor, Spool, StorageError, TarFile};

/// Names that say whether a backup is complete; no server sends files of these names.
const RESERVED_NAMES: [&[u8]; 2] = [MANIFEST_NAME.as_bytes(), MANIFEST_TEMPORARY_NAME.as_bytes()];

/// Where members go.
#[derive(Debug)]
pub(super) enum Output {
    /// Into a directory.
    Extract(Box<Extractor>),
    /// Into a tar file.
    Tar(TarFile),
}

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

/// Passes the members of one archive to the output and digests their contents on the way.
pub(super) struct Members {
    output: Output,
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
        output: Output,
        record: Option<Record>,
        watcher: FileWatcher,
        oid: Option<Oid>,
    ) -> Self {
        let prefix = oid.map(|oid| format!("pg_tblspc/{oid}/").into_bytes()).unwrap_or_default();
        Members { output, record, watcher, prefix, current: None }
    }

    /// Gives back what outlives the archive.
    pub(super) fn into_parts(self) -> (Output, Option<Record>) {
        (self.output, self.record)
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
        match &mut self.output {
            Output::Extract(extractor) => extractor.begin(member).map_err(BackupError::Extract),
            Output::Tar(tar) => Ok(tar.begin(member)?),
        }
    }

    fn contents(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        if let Some(received) = &mut self.current {
            received.digester.update(&bytes);
        }
        match &mut self.output {
            Output::Extract(extractor) => extractor.contents(bytes).map_err(BackupError::Extract),
            Output::Tar(tar) => Ok(tar.contents(bytes)?),
        }
    }

    fn end(&mut self) -> Result<(), BackupError> {
        if let (Some(received), Some(record)) = (self.current.take(), &mut self.record) {
            let Received { path, size, digester } = received;
            record.log.push(&path, size, &digester.finish()).map_err(|source| {
                StorageError::new("write to file", "list of received files", source)
            })?;
        }
        match &mut self.output {
            Output::Extract(extractor) => extractor.end().map_err(BackupError::Extract),
            Output::Tar(tar) => Ok(tar.end()?),
        }
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
