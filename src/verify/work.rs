//! What takes long, shared out among threads.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::contents::{ContentsCheck, Place};
use super::reading::{Buffer, IdleThreads, Reading};
use super::tar_stream::StreamedArchive;
use super::verification::Verification;
use super::wal::{self, WalSource};
use super::{Problem, VerifyError};
use crate::manifest::ManifestSummary;
use crate::storage::StorageError;

/// Bytes that one read asks for: enough for the disk, little enough for the processor's cache.
pub(super) const READ_SIZE: usize = 256 << 10;

/// What checking WAL is taken for: it is begun early, for a backup under load may need much of it.
const WAL_SIZE: u64 = 1 << 30;

/// Something that one thread does.
#[derive(Debug)]
pub(super) enum Work {
    /// To read a file.
    File {
        /// The file.
        path: PathBuf,
        /// Its place in the backup.
        place: Place,
        check: ContentsCheck,
    },
    /// To read a member of an archive that is not compressed.
    Member { archive: Arc<OpenArchive>, offset: u64, place: Place, check: ContentsCheck },
    /// To read a compressed archive.
    Archive(StreamedArchive),
    /// To read WAL.
    Wal(WalSource),
}

/// An archive that several threads read.
#[derive(Debug)]
pub(super) struct OpenArchive {
    pub(super) file: File,
}

impl Work {
    /// Returns about how many bytes are to be read.
    fn size(&self) -> u64 {
        match self {
            Work::File { check, .. } | Work::Member { check, .. } => check.size(),
            Work::Archive(archive) => archive.size,
            Work::Wal(_) => WAL_SIZE,
        }
    }

    /// Returns the pass over an archive, if this is one.
    pub(super) fn as_pass(&mut self) -> Option<&mut StreamedArchive> {
        match self {
            Work::Archive(archive) => Some(archive),
            Work::File { .. } | Work::Member { .. } | Work::Wal(_) => None,
        }
    }
}

/// Does all work, on as many threads as there are processors.
pub(super) fn do_all(
    verification: &Verification<'_>,
    mut works: Vec<Work>,
) -> Result<(), VerifyError> {
    // The largest ones first, from the end, so that no thread is left alone with one at last.
    works.sort_by_key(Work::size);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(works.len());
    let idle = IdleThreads::new(processors - threads);
    let works = Mutex::new(works);
    let work = || {
        let next = || works.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut worker = Worker { verification, idle: &idle, buffer: Buffer::new(READ_SIZE) };
        while let Some(work) = next().filter(|_| !verification.findings.is_over()) {
            worker.run(work);
        }
        idle.add();
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            let helper = thread::Builder::new().name("verify".to_owned());
            helper.spawn_scoped(scope, work).map_err(VerifyError::Thread)?;
        }
        work();
        Ok(())
    })
}

/// What one thread has.
struct Worker<'a> {
    verification: &'a Verification<'a>,
    idle: &'a IdleThreads,
    buffer: Buffer,
}

impl Worker<'_> {
    fn run(&mut self, work: Work) {
        let verification = self.verification;
        match work {
            Work::File { path, place, check } => {
                let outcome = File::open(path)
                    .map_err(|error| named("open file", &place, error))
                    .and_then(|file| self.read(&file, 0, &place, check));
                note(outcome, &place, verification);
            }
            Work::Member { archive, offset, place, check } => {
                let outcome = self.read(&archive.file, offset, &place, check);
                note(outcome, &place, verification);
            }
            Work::Archive(archive) => archive.check(verification),
            Work::Wal(source) => {
                let ManifestSummary { wal_ranges, system_identifier, .. } =
                    verification.cluster.summary();
                for finding in wal::check(&source, wal_ranges, *system_identifier) {
                    verification.findings.add(finding);
                }
            }
        }
    }

    /// Reads contents, up to a size that is one too many.
    fn read(
        &mut self,
        file: &File,
        offset: u64,
        place: &Place,
        mut check: ContentsCheck,
    ) -> Result<(), StorageError> {
        let Worker { verification, idle, buffer } = self;
        let reading = Reading { file, offset, left: check.wanted(place.archive.is_some()) };
        let is_slow = check.is_slow();
        let mut is_whole = false;
        let taker = |bytes: &[u8]| {
            check.handle(bytes);
            is_whole = bytes.is_empty();
            verification.progress.advance(bytes.len() as u64);
            !verification.findings.is_over()
        };
        let outcome = match is_slow {
            true => reading.read_for_slow_taker(buffer, idle, taker),
            false => reading.read(buffer, taker),
        };
        outcome.map_err(|error| named("read file", place, error))?;
        if is_whole {
            check.finish(place, verification);
        }
        Ok(())
    }
}

/// Names a file as the manifest does, or its archive.
fn named(action: &'static str, place: &Place, error: io::Error) -> StorageError {
    let path = String::from_utf8_lossy(&place.path);
    let name = place.archive.as_deref().unwrap_or(&path);
    StorageError::new(action, Path::new(name), error)
}

fn note(outcome: Result<(), StorageError>, place: &Place, verification: &Verification<'_>) {
    if let Err(error) = outcome {
        verification.findings.add(place.finding(Problem::Io(error.to_string())));
    }
}
