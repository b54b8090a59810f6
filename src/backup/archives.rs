//! The archive thread: from the stream's payloads to members and the manifest, and the verdict on them.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::members::{CurrentFile, FileWatcher, Members, Output, Record};
use super::prepare::{MANIFEST_NAME, MANIFEST_TEMPORARY_NAME, Modes};
use super::{BackupError, Progress};
use crate::archive::{NewMember, TarParser};
use crate::manifest::{Comparison, ReceivedLog, compare};
use crate::pg::{ChecksumAlgorithm, Oid};
use crate::pipeline::Batches;
use crate::storage::{
    DiskHandle, Extractor, ExtractorConfig, FileSize, FileWriter, Spool, StorageError, TarFile,
    TarOutput, now_as_mtime,
};

/// What the network task hands over, in the order of the stream.
#[derive(Debug)]
pub(super) enum Step {
    /// The archive at this index of the plan begins.
    Archive(usize),
    /// The next bytes of the archive.
    ArchiveData(Bytes),
    /// The manifest begins.
    Manifest,
    /// The next bytes of the manifest.
    ManifestData(Bytes),
    /// All is received, and the server has given its verdict.
    End(Verdict),
}

/// What the server thinks of the backup it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It found nothing wrong.
    Sound,
    /// It found damaged pages.
    Damaged,
}

/// Where one archive goes.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// Its members become files.
    Extract(ExtractorConfig),
    /// It becomes a tar file.
    TarFile(PathBuf),
    /// It is passed on to standard output, with the manifest as its last member.
    Stdout,
}

/// What the thread needs to know before it starts.
#[derive(Debug)]
pub(super) struct Plan {
    /// One entry an archive, in the order of the server's list.
    pub(super) archives: Vec<(Option<Oid>, Destination)>,
    /// The directory for `backup_manifest`; none when it goes into the tar stream.
    pub(super) directory: Option<PathBuf>,
    /// The algorithm of the manifest that was asked for; none if none was.
    pub(super) algorithm: Option<ChecksumAlgorithm>,
    /// Permission bits of files that are not members.
    pub(super) modes: Modes,
}

/// What the thread leaves behind.
#[derive(Debug)]
pub(super) struct Received {
    /// Directories that were filled, to be synced.
    pub(super) directories: Vec<PathBuf>,
    /// The manifest under its temporary name.
    pub(super) manifest: Option<Spool>,
    /// How the manifest and the files compare.
    pub(super) comparison: Option<Comparison>,
}

/// The thread's state.
pub(super) struct Archives {
    plan: Plan,
    disk: DiskHandle,
    progress: Arc<Progress>,
    record: Option<Record>,
    /// The archive that is being received.
    current: Option<Box<(TarParser, Members)>>,
    directories: Vec<PathBuf>,
    /// The tar on standard output, held open for the manifest.
    stdout: Option<TarFile>,
    manifest: Option<Spool>,
}

impl Archives {
    pub(super) fn new(plan: Plan, disk: DiskHandle, progress: Arc<Progress>) -> Self {
        let record = plan.algorithm.map(|algorithm| {
            let storage = Spool::temporary(plan.directory.as_deref());
            Record { log: ReceivedLog::new(storage), algorithm }
        });
        Archives {
            plan,
            disk,
            progress,
            record,
            current: None,
            directories: Vec::new(),
            stdout: None,
            manifest: None,
        }
    }

    /// Handles batches until the stream is complete. If the queue ends before that, the backup was given
    /// up and nobody looks at the result.
    pub(super) fn run(mut self, batches: Batches<Vec<Step>>) -> Result<Received, BackupError> {
        for step in batches.flatten() {
            match step {
                Step::ArchiveData(bytes) => {
                    if let Some(archive) = &mut self.current {
                        let (parser, members) = &mut **archive;
                        parser.handle(bytes, members)?;
                    }
                }
                Step::ManifestData(bytes) => {
                    if let Some(manifest) = &mut self.manifest {
                        manifest.append(&bytes)?;
                    }
                }
                Step::Archive(index) => {
                    self.end_archive()?;
                    self.begin_archive(index)?;
                }
                Step::Manifest => {
                    self.end_archive()?;
                    self.manifest = Some(self.begin_manifest()?);
                }
                Step::End(verdict) => {
                    self.end_archive()?;
                    return self.finish(verdict);
                }
            }
        }
        Err(BackupError::Interrupted)
    }

    fn begin_archive(&mut self, index: usize) -> Result<(), BackupError> {
        // The protocol layer only gives indices of the list that the plan was made from.
        let Some((oid, destination)) = self.plan.archives.get(index) else {
            return Err(BackupError::ArchiveShape("archive is not in the list of tablespaces"));
        };
        let (output, current_file) = match destination {
            Destination::Extract(config) => {
                let extractor = Extractor::new(config.clone(), self.disk.clone());
                (Output::Extract(Box::new(extractor)), CurrentFile::Below(config.root.clone()))
            }
            Destination::TarFile(path) => {
                let mode = self.plan.modes.file;
                let file = FileWriter::create(&self.disk, path.clone(), mode, FileSize::Unknown)?;
                self.progress.set_current_file(path.clone());
                (Output::Tar(TarFile::new(TarOutput::File(file))), CurrentFile::Fixed)
            }
            Destination::Stdout => {
                self.progress.set_current_file(PathBuf::from("-"));
                (Output::Tar(TarFile::new(TarOutput::stdout()?)), CurrentFile::Fixed)
            }
        };
        let watcher = FileWatcher { progress: Arc::clone(&self.progress), current_file };
        let members = Members::new(output, self.record.take(), watcher, *oid);
        self.current = Some(Box::new((TarParser::default(), members)));
        Ok(())
    }

    fn end_archive(&mut self) -> Result<(), BackupError> {
        let Some(archive) = self.current.take() else { return Ok(()) };
        let (parser, members) = *archive;
        parser.finish::<BackupError>()?;
        let (output, record) = members.into_parts();
        self.record = record;
        match output {
            Output::Extract(extractor) => self.directories.extend(extractor.into_directories()),
            Output::Tar(tar) if self.plan.directory.is_none() => self.stdout = Some(tar),
            Output::Tar(tar) => tar.finish()?,
        }
        Ok(())
    }

    fn begin_manifest(&self) -> Result<Spool, StorageError> {
        match &self.plan.directory {
            Some(directory) => {
                Spool::named(directory.join(MANIFEST_TEMPORARY_NAME), self.plan.modes.file)
            }
            None => Ok(Spool::temporary(None)),
        }
    }

    fn finish(mut self, verdict: Verdict) -> Result<Received, BackupError> {
        let comparison = match (self.record.take(), &mut self.manifest) {
            (Some(Record { log, algorithm }), Some(manifest)) => {
                manifest.rewind_sized()?;
                Some(compare(log, manifest, algorithm).map_err(BackupError::Manifest)?)
            }
            (Some(_), None) => {
                return Err(BackupError::ArchiveShape("server did not send a backup manifest"));
            }
            (None, _) => None,
        };
        // What is damaged gets neither manifest nor end.
        let is_as_listed =
            comparison.as_ref().is_none_or(|comparison| comparison.findings.is_empty());
        if verdict == Verdict::Sound && is_as_listed {
            self.finish_stdout()?;
        }
        Ok(Received { directories: self.directories, manifest: self.manifest, comparison })
    }

    /// Adds the manifest to the tar on standard output and ends it.
    fn finish_stdout(&mut self) -> Result<(), BackupError> {
        let Some(mut tar) = self.stdout.take() else { return Ok(()) };
        if let Some(manifest) = &mut self.manifest {
            let member = NewMember {
                name: MANIFEST_NAME,
                mode: self.plan.modes.file,
                size: manifest.rewind_sized()?,
                mtime: now_as_mtime(),
                injected: true,
            };
            tar.append(&member, manifest)?;
        }
        Ok(tar.finish()?)
    }
}

/// Returns the name of an archive's tar file.
pub(super) fn tar_file_name(oid: Option<Oid>) -> String {
    oid.map_or_else(|| "base.tar".to_owned(), |oid| format!("{oid}.tar"))
}
