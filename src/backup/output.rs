//! Where the members of an archive go.

use std::path::PathBuf;

use bytes::Bytes;

use super::BackupError;
use crate::archive::{Member, MemberSink};
use crate::pg::{Compression, CompressionFormat};
use crate::storage::{Extractor, StorageError, TarFile, TarOutput, ThreadShare};

/// Where the members of an archive go.
#[derive(Debug)]
pub(super) enum Output {
    /// Into a directory.
    Extract(Box<Extractor>),
    /// Into a tar file.
    Tar(TarFile),
    /// Nowhere: the archive is kept as the server compressed it, and only looked into.
    Kept(TarOutput),
}

/// How an archive becomes a tar file.
#[derive(Clone, Copy, Debug)]
pub(super) enum TarForm {
    /// As the server compressed it.
    Kept(CompressionFormat),
    /// Member by member, compressed here or not at all.
    Written(Option<Compression>),
}

impl TarForm {
    /// Returns what the file's name ends with.
    pub(super) fn suffix(self) -> &'static str {
        let format = match self {
            TarForm::Kept(format) => Some(format),
            TarForm::Written(compression) => compression.map(|compression| compression.format()),
        };
        format.map_or("", CompressionFormat::suffix)
    }

    /// Begins to write.
    pub(super) fn begin(self, output: TarOutput) -> Result<Output, StorageError> {
        Ok(match self {
            TarForm::Kept(_) => Output::Kept(output),
            TarForm::Written(None) => Output::Tar(TarFile::new(output)),
            TarForm::Written(Some(compression)) => {
                let share = ThreadShare::All;
                Output::Tar(TarFile::new(TarOutput::compressed(output, compression, share)?))
            }
        })
    }
}

impl Output {
    /// Completes what was filled, and returns the directories that are to be synced.
    pub(super) fn finish(self) -> Result<Vec<PathBuf>, StorageError> {
        match self {
            Output::Extract(extractor) => Ok(extractor.into_directories()),
            Output::Tar(tar) => tar.finish().map(|()| Vec::new()),
            Output::Kept(output) => output.finish().map(|()| Vec::new()),
        }
    }

    /// Takes the archive's bytes as they come, if that is how it is kept.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        match self {
            Output::Kept(output) => output.write(bytes),
            Output::Extract(_) | Output::Tar(_) => Ok(()),
        }
    }
}

impl MemberSink for Output {
    type Error = BackupError;

    fn begin(&mut self, member: &Member) -> Result<(), BackupError> {
        match self {
            Output::Extract(extractor) => extractor.begin(member).map_err(BackupError::Extract),
            Output::Tar(tar) => Ok(tar.begin(member)?),
            Output::Kept(_) => Ok(()),
        }
    }

    fn contents(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        match self {
            Output::Extract(extractor) => extractor.contents(bytes).map_err(BackupError::Extract),
            Output::Tar(tar) => Ok(tar.contents(bytes)?),
            Output::Kept(_) => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), BackupError> {
        match self {
            Output::Extract(extractor) => extractor.end().map_err(BackupError::Extract),
            Output::Tar(tar) => Ok(tar.end()?),
            Output::Kept(_) => Ok(()),
        }
    }
}
