//! Where the base backups of a server begin, as their manifests say.
//!
//! They may lie on another machine. So they are read on a thread of its own, which a dead mount may keep for as long as
//! it likes: it holds nothing that others wait for, and nobody waits for its end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use crate::manifest::{ManifestSummary, read_manifest};
use crate::pg::{Lsn, OsError, TimelineId};
use crate::receive::Hole;
use crate::storage::StorageError;

/// The file that a backup gets last.
pub(super) const MANIFEST_NAME: &str = "backup_manifest";

/// Subdirectories that are looked at: more than anybody keeps backups.
const BACKUPS_MAX: usize = 10_000;

/// How long the directory may take before one goes on with what is known: longer than a disk that works needs for a new
/// manifest or two, and much shorter than a server's threads get to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks where the backups in a directory begin.
#[derive(Debug)]
pub(super) struct BackupStarts {
    directory: PathBuf,
    known: Starts,
    /// Brings what is being read, if that took too long when it was last looked.
    late: Option<Receiver<Outcome>>,
}

/// What manifests say, by the names of the backups; nothing if one is of no use.
type Starts = BTreeMap<String, (Seen, Option<BackupStart>)>;

/// A manifest as the directory shows it.
type Seen = Result<Version, io::ErrorKind>;

type Outcome = Result<Reading, StorageError>;

/// What was read.
#[derive(Debug, Default)]
struct Reading {
    starts: Starts,
    /// What is wrong with single backups, if that is new.
    problems: Vec<String>,
}

/// Tells one file from another of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    size: u64,
    modified: Option<SystemTime>,
}

/// Where a base backup begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BackupStart {
    system_identifier: Option<u64>,
    timeline: TimelineId,
    at: Lsn,
}

impl BackupStarts {
    /// Begins with nothing known.
    pub(super) fn new(directory: PathBuf) -> Self {
        BackupStarts { directory, known: BTreeMap::new(), late: None }
    }

    /// Looks once, for a bounded time. What is wrong with a backup is told to `tell`, once for each.
    ///
    /// # Errors
    /// If the directory cannot be read, or does not answer in time. What was known before counts on.
    pub(super) fn look(&mut self, tell: &mut dyn FnMut(&str)) -> Result<(), StorageError> {
        let (reading, patience) = match self.late.take() {
            Some(late) => (late, Duration::ZERO),
            None => (self.begin()?, PATIENCE),
        };
        match reading.recv_timeout(patience) {
            Ok(outcome) => {
                let Reading { starts, problems } = outcome?;
                self.known = starts;
                problems.iter().for_each(|problem| tell(problem));
                Ok(())
            }
            Err(error) => {
                self.late = (error == RecvTimeoutError::Timeout).then_some(reading);
                let error = io::Error::from(io::ErrorKind::TimedOut);
                Err(StorageError::new("read directory", &self.directory, error))
            }
        }
    }

    /// Returns a backup whose recovery needs nothing of a hole, as far as that is known.
    pub(super) fn covering(&self, hole: &Hole, cluster: Option<u64>) -> Option<&str> {
        let mut starts = self.known.iter().filter_map(|(name, (_, start))| Some((name, (*start)?)));
        starts.find(|(_, start)| start.covers(hole, cluster)).map(|(name, _)| name.as_str())
    }

    /// Begins to read what is new.
    fn begin(&self) -> Result<Receiver<Outcome>, StorageError> {
        let (directory, known) = (self.directory.clone(), self.known.clone());
        let (sender, outcome) = bounded(1);
        let read = move || {
            // Who asked for it may have ended.
            let _ = sender.send(Reading::of(&directory, &known));
        };
        let started = thread::Builder::new().name("backups".to_owned()).spawn(read);
        let failure = |error| StorageError::new("create thread for", &self.directory, error);
        started.map(|_| outcome).map_err(failure)
    }
}

impl Reading {
    /// Reads the manifests that are new.
    fn of(directory: &Path, known: &Starts) -> Outcome {
        let failure = |error| StorageError::new("read directory", directory, error);
        let entries = match fs::read_dir(directory) {
            // Nobody has made a backup yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Reading::default()),
            entries => entries.map_err(failure)?,
        };
        let mut reading = Reading::default();
        for entry in entries.take(BACKUPS_MAX) {
            let entry = entry.map_err(failure)?;
            let path = entry.path().join(MANIFEST_NAME);
            let Some(seen) = look_at(&path) else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            let start = match known.get(&name) {
                Some((before, start)) if *before == seen => *start,
                Some(_) | None => {
                    read_start(&path).map_err(|problem| reading.problems.push(problem)).ok()
                }
            };
            reading.starts.insert(name, (seen, start));
        }
        Ok(reading)
    }
}

/// Looks whether there is a manifest. Without one, the backup is not finished, or it is none.
fn look_at(path: &Path) -> Option<Seen> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match fs::metadata(path) {
        Ok(file) if !file.is_file() => None,
        Ok(file) => Some(Ok(Version { size: file.len(), modified: file.modified().ok() })),
        Err(error) => match error.kind() {
            NotFound | NotADirectory => None,
            kind => Some(Err(kind)),
        },
    }
}

impl BackupStart {
    /// The oldest range of WAL is where recovery begins.
    fn of(manifest: &ManifestSummary) -> Option<Self> {
        let first = manifest.wal_ranges.iter().min_by_key(|range| range.timeline)?;
        let system_identifier = manifest.system_identifier;
        Some(BackupStart { system_identifier, timeline: first.timeline, at: first.start_lsn })
    }

    /// Says whether recovery from the backup needs nothing of a hole.
    fn covers(&self, hole: &Hole, cluster: Option<u64>) -> bool {
        let both = self.system_identifier.zip(cluster);
        let is_of_cluster = both.is_none_or(|(backup, cluster)| backup == cluster);
        is_of_cluster && self.timeline >= hole.timeline && self.at >= hole.to
    }
}

fn read_start(path: &Path) -> Result<BackupStart, String> {
    let in_file =
        |problem: String| format!("backup does not count: \"{}\": {problem}", path.display());
    let file = File::open(path).map_err(|error| in_file(OsError(&error).to_string()))?;
    let manifest = read_manifest(file, |_| Ok(())).map_err(|error| in_file(error.to_string()))?;
    BackupStart::of(&manifest).ok_or_else(|| in_file("no WAL range".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::Timestamp;
    use crate::receive::HoleCause;

    /// Where a backup begins.
    const BACKUP_START: u64 = 0x200_0028;

    fn hole(to: u64, timeline: u32) -> Hole {
        Hole {
            from: Some(Lsn::new(0x100_0000)),
            to: Lsn::new(to),
            timeline: TimelineId::try_from(timeline).unwrap(),
            cause: HoleCause::RemovedByServer,
            noticed: Timestamp::from_micros(0),
            directory: "/wal".into(),
        }
    }

    #[test]
    fn a_backup_covers_what_lies_before_it_in_its_cluster() {
        let start = |timeline, system_identifier| BackupStart {
            system_identifier,
            timeline: TimelineId::try_from(timeline).unwrap(),
            at: Lsn::new(BACKUP_START),
        };
        let table = [
            (start(1, None), hole(BACKUP_START, 1), Some(7), true),
            (start(1, None), hole(BACKUP_START + 1, 1), Some(7), false),
            (start(2, Some(7)), hole(BACKUP_START, 1), Some(7), true),
            (start(1, Some(7)), hole(BACKUP_START, 2), Some(7), false),
            (start(1, Some(8)), hole(BACKUP_START, 1), Some(7), false),
            (start(1, Some(8)), hole(BACKUP_START, 1), None, true),
        ];
        for (start, hole, cluster, expected) in table {
            assert_eq!(start.covers(&hole, cluster), expected, "{start:?} {hole:?} {cluster:?}");
        }
    }
}
