//! Holes in the stored WAL, until a base backup begins behind them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::config::ServerConfig;
use super::status::OpenHole;
use crate::manifest::{ManifestSummary, read_manifest};
use crate::pg::{Lsn, TimelineId};
use crate::receive::{self, Hole};
use crate::storage::StorageError;

/// The file that a backup gets last.
const MANIFEST_NAME: &str = "backup_manifest";

/// Subdirectories that are looked at: more than anybody keeps backups.
const BACKUPS_MAX: usize = 10_000;

/// Holes that are shown; the oldest are left out.
const HOLES_MAX: usize = 1000;

/// Looks for holes of one server, and for backups that cover them.
#[derive(Debug)]
pub(super) struct OpenHoles {
    directory: PathBuf,
    backups: Option<PathBuf>,
    open: Vec<OpenHole>,
    /// What manifests say, by the names of the backups; nothing if one is of no use.
    read: BTreeMap<String, (Version, Option<BackupStart>)>,
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

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The holes that are open, the oldest first.
    pub(super) open: Vec<OpenHole>,
    /// Those that are not any more, and the backups that cover them.
    pub(super) covered: Vec<(OpenHole, String)>,
}

impl OpenHoles {
    /// Begins with none.
    pub(super) fn new(config: &ServerConfig) -> Self {
        OpenHoles {
            directory: config.directory.clone(),
            backups: config.backups.clone(),
            open: Vec::new(),
            read: BTreeMap::new(),
        }
    }

    /// Takes over which holes were open before the last restart, so that it is told what became of them.
    pub(super) fn know(&mut self, open: &[OpenHole]) {
        self.open = open.to_vec();
    }

    /// Looks once. What is wrong with a backup is told to `tell`, once for each.
    ///
    /// # Errors
    /// If the record of holes or the directory of backups cannot be read.
    pub(super) fn look(
        &mut self,
        cluster: Option<u64>,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Found, StorageError> {
        let holes = receive::holes(&self.directory)?;
        if !holes.is_empty() {
            self.read_backups(tell)?;
        }
        let (mut open, mut covered) = (Vec::new(), Vec::new());
        for hole in &holes {
            let shown = shown(hole);
            match self.covering(hole, cluster) {
                None => open.push(shown),
                Some(backup) if self.open.contains(&shown) => {
                    covered.push((shown, backup.to_owned()));
                }
                Some(_) => {}
            }
        }
        open.drain(..open.len().saturating_sub(HOLES_MAX));
        self.open.clone_from(&open);
        Ok(Found { open, covered })
    }

    fn covering(&self, hole: &Hole, cluster: Option<u64>) -> Option<&str> {
        let mut backups = self.read.iter().filter_map(|(name, (_, start))| Some((name, (*start)?)));
        backups.find(|(_, start)| start.covers(hole, cluster)).map(|(name, _)| name.as_str())
    }

    /// Reads the manifests that are new.
    fn read_backups(&mut self, tell: &mut dyn FnMut(&str)) -> Result<(), StorageError> {
        let Some(backups) = &self.backups else { return Ok(()) };
        let failure = |error| StorageError::new("read directory", backups, error);
        let entries = match fs::read_dir(backups) {
            // Nobody has made a backup yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failure)?,
        };
        let mut present = BTreeMap::new();
        for entry in entries.take(BACKUPS_MAX) {
            let entry = entry.map_err(failure)?;
            let path = entry.path().join(MANIFEST_NAME);
            // Without one, the backup is not finished, or it is none.
            let Some(version) = Version::of(&path) else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            let start = match self.read.get(&name) {
                Some((known, start)) if *known == version => *start,
                Some(_) | None => read_start(&path).map_err(|problem| tell(&problem)).ok(),
            };
            present.insert(name, (version, start));
        }
        self.read = present;
        Ok(())
    }
}

impl Version {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Version { size: metadata.len(), modified: metadata.modified().ok() })
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
    let file = File::open(path).map_err(|error| in_file(crate::pg::OsError(&error).to_string()))?;
    let manifest = read_manifest(file, |_| Ok(())).map_err(|error| in_file(error.to_string()))?;
    BackupStart::of(&manifest).ok_or_else(|| in_file("no WAL range".to_owned()))
}

fn shown(hole: &Hole) -> OpenHole {
    OpenHole {
        from: hole.from,
        to: hole.to,
        timeline: hole.timeline.number(),
        cause: hole.cause.name().to_owned(),
        noticed: hole.noticed,
    }
}
