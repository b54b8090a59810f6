//! The archive thread: from the stream's payloads to members and the manifest, and the verdict on them.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::foresight::Foresight;
use super::members::{CurrentFile, FileWatcher, Members, Record};
use super::output::{Output, TarForm};
use super::prepare::{MANIFEST_NAME, MANIFEST_TEMPORARY_NAME};
use super::stages::ArchiveStages;
use super::standby::{Injector, StandbyFiles};
use super::{BackupCompression, BackupError, Progress, request};
use crate::archive::NewMember;
use crate::manifest::{Comparison, ReceivedLog, compare};
use crate::net::Modes;
use crate::pg::{ChecksumAlgorithm, CompressionFormat, Oid};
use crate::pipeline::Batches;
use crate::storage::{
    DiskHandle, Extractor, ExtractorConfig, FileSize, FileWriter, Spool, StorageError, TarOutput,
    now_as_mtime,
};

/// What the network task hands over, in the order of the stream.
#[derive(Debug)]
pub(super) enum Step {
    /// The archive at this index of the plan begins, compressed by the server or not.
    Archive(usize, Option<CompressionFormat>),
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
    /// It becomes a tar file; the path is still without the suffix of a compression.
    TarFile(PathBuf),
    /// It is passed on to standard output, with the manifest as its last member.
    Stdout,
    /// It does not come here.
    Server,
}

/// What the thread needs to know before it starts.
#[derive(Debug)]
pub(super) struct Plan {
    /// One entry an archive, in the order of the server's list.
    pub(super) archives: Vec<(Option<Oid>, Destination)>,
    /// The directory for `backup_manifest`; none when it goes into the tar stream.
    pub(super) directory: Option<PathBuf>,
    /// Who compresses.
    pub(super) compression: BackupCompression,
    /// What is added for a standby.
    pub(super) standby: Option<StandbyFiles>,
    /// The algorithm of the manifest that is compared with; none if none comes.
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
    foresight: Arc<Foresight>,
    /// Payload of archives that was handled.
    handled: u64,
    record: Option<Record>,
    /// The archive that is being received.
    current: Option<Box<ArchiveStages>>,
    directories: Vec<PathBuf>,
    /// Standard output, held open for the manifest.
    stdout: Option<Output>,
    manifest: Option<Spool>,
}

impl Archives {
    pub(super) fn new(
        plan: Plan,
        disk: DiskHandle,
        progress: Arc<Progress>,
        foresight: Arc<Foresight>,
    ) -> Self {
        let record = plan.algorithm.map(|algorithm| {
            let storage = Spool::temporary(plan.directory.as_deref());
            Record { log: ReceivedLog::new(storage), algorithm }
        });
        Archives {
            plan,
            disk,
            progress,
            foresight,
            handled: 0,
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
                    self.handled += bytes.len() as u64;
                    if let Some(archive) = &mut self.current {
                        archive.handle(bytes)?;
                        self.foresight.note(self.handled, archive.coming());
                    }
                }
                Step::ManifestData(bytes) => {
                    if let Some(manifest) = &mut self.manifest {
                        manifest.append(&bytes)?;
                    }
                }
                Step::Archive(index, format) => {
                    self.end_archive()?;
                    self.begin_archive(index, format)?;
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

    fn begin_archive(
        &mut self,
        index: usize,
        format: Option<CompressionFormat>,
    ) -> Result<(), BackupError> {
        // The protocol layer only gives indices of the list that the plan was made from.
        let Some((oid, destination)) = self.plan.archives.get(index).cloned() else {
            return Err(BackupError::ArchiveShape("archive is not in the list of tablespaces"));
        };
        let standby = self.plan.standby.clone().filter(|_| oid.is_none());
        let (output, current_file) = match destination {
            Destination::Extract(config) => {
                let current_file = CurrentFile::Below(config.root.clone());
                let extractor = Extractor::new(config, self.disk.clone());
                (Output::Extract(Box::new(extractor)), current_file)
            }
            Destination::TarFile(path) => {
                let form = self.tar_form(format, standby.is_some());
                let file = self.create_file(path, form.suffix())?;
                (form.begin(TarOutput::File(file))?, CurrentFile::Fixed)
            }
            // The end of the archive would have to be opened again.
            Destination::Stdout if format.is_some() && self.plan.algorithm.is_some() => {
                return Err(BackupError::ManifestIntoCompressed);
            }
            Destination::Stdout => {
                let form = self.tar_form(format, standby.is_some());
                self.progress.set_current_file(PathBuf::from("-"));
                (form.begin(TarOutput::stdout()?)?, CurrentFile::Fixed)
            }
            Destination::Server => return Ok(()),
        };
        let watcher = FileWatcher { progress: Arc::clone(&self.progress), current_file };
        let injector = Injector::new(output, standby);
        let members = Members::new(injector, self.record.take(), watcher, oid);
        self.current = Some(Box::new(ArchiveStages::new(format, members)));
        Ok(())
    }

    /// Decides how an archive is written: as it comes where it can stay so.
    fn tar_form(&self, format: Option<CompressionFormat>, changes: bool) -> TarForm {
        match (format, &self.plan.compression) {
            (Some(format), _) if !changes => TarForm::Kept(format),
            (Some(format), asked) => TarForm::Written(Some(request::recompression(asked, format))),
            (None, BackupCompression::Client(compression)) => TarForm::Written(Some(*compression)),
            (None, _) => TarForm::Written(None),
        }
    }

    fn create_file(&self, path: PathBuf, suffix: &str) -> Result<FileWriter, StorageError> {
        let mut name = path.into_os_string();
        name.push(suffix);
        let path = PathBuf::from(name);
        self.progress.set_current_file(path.clone());
        FileWriter::create(&self.disk, path, self.plan.modes.file, FileSize::Unknown)
    }

    fn end_archive(&mut self) -> Result<(), BackupError> {
        let Some(archive) = self.current.take() else { return Ok(()) };
        let (output, record) = archive.finish()?;
        self.record = record;
        match self.plan.directory {
            Some(_) => self.directories.extend(output.finish()?),
            None => self.stdout = Some(output),
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
        let is_as_listed =
            comparison.as_ref().is_none_or(|comparison| comparison.findings.is_empty());
        // What arrived damaged gets neither manifest nor end, so that whoever reads it notices.
        if is_as_listed {
            self.finish_stdout(verdict)?;
        }
        Ok(Received { directories: self.directories, manifest: self.manifest, comparison })
    }

    /// Ends the tar on standard output, with the manifest as its last member if the server found no damage.
    fn finish_stdout(&mut self, verdict: Verdict) -> Result<(), BackupError> {
        let Some(mut output) = self.stdout.take() else { return Ok(()) };
        let manifest = self.manifest.as_mut().filter(|_| verdict == Verdict::Sound);
        if let (Output::Tar(tar), Some(manifest)) = (&mut output, manifest) {
            let member = NewMember {
                name: MANIFEST_NAME,
                mode: self.plan.modes.file,
                size: manifest.rewind_sized()?,
                mtime: now_as_mtime(),
                injected: true,
            };
            tar.append(&member, manifest)?;
        }
        output.finish()?;
        Ok(())
    }
}

/// Returns the name of an archive's tar file.
pub(super) fn tar_file_name(oid: Option<Oid>) -> String {
    oid.map_or_else(|| "base.tar".to_owned(), |oid| format!("{oid}.tar"))
}
