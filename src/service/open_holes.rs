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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::fixture;
    use crate::pg::Timestamp;
    use crate::receive::HoleCause;

    /// Where the backup of the fixture begins, on timeline 1.
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

    /// Holes and backups in a temporary directory.
    fn holes_in(scratch: &Path) -> OpenHoles {
        OpenHoles {
            directory: scratch.to_owned(),
            backups: Some(scratch.join("backups")),
            open: Vec::new(),
            read: BTreeMap::new(),
        }
    }

    /// Looks once; returns where open and covered holes end, and what was told.
    fn look(holes: &mut OpenHoles) -> (Vec<u64>, Vec<(u64, String)>, Vec<String>) {
        let mut told = Vec::new();
        let found = holes.look(Some(7), &mut |problem| told.push(problem.to_owned())).unwrap();
        let covered = found.covered.into_iter().map(|(hole, by)| (hole.to.offset(), by));
        (found.open.iter().map(|hole| hole.to.offset()).collect(), covered.collect(), told)
    }

    #[test]
    fn a_hole_is_open_until_a_finished_backup_begins_behind_it() {
        let scratch = tempfile::tempdir().unwrap();
        let mut holes = holes_in(scratch.path());
        assert_eq!(look(&mut holes), (vec![], vec![], vec![]));
        let line = |from: &str, to: &str| {
            format!(
                "{{\"from\":\"{from}\",\"to\":\"{to}\",\"timeline\":1,\"cause\":\"removed_by_server\",\
                 \"noticed\":\"2000-01-01T00:00:00Z\"}}\n"
            )
        };
        let record = line("0/1000000", "0/1800000") + &line("0/2000000", "0/3000000");
        fs::write(scratch.path().join(".pgsiphon-holes"), record).unwrap();
        let both = vec![0x180_0000, 0x300_0000];
        assert_eq!(look(&mut holes), (both.clone(), vec![], vec![]));
        let backups = scratch.path().join("backups");
        for name in ["broken", "good", "unfinished"] {
            fs::create_dir_all(backups.join(name)).unwrap();
        }
        fs::write(backups.join("broken").join(MANIFEST_NAME), "{}").unwrap();
        let (open, covered, told) = look(&mut holes);
        assert_eq!((open, covered, told.len()), (both, vec![], 1));
        let words = "backup does not count: ";
        assert!(told[0].starts_with(words), "{told:?}");
        let manifest = fixture::manifest_of(&[fixture::file("PG_VERSION", "18")]);
        fs::write(backups.join("good").join(MANIFEST_NAME), manifest).unwrap();
        let covered = vec![(0x180_0000, "good".to_owned())];
        // The broken one was told of, and did not change.
        assert_eq!(look(&mut holes), (vec![0x300_0000], covered, vec![]));
        assert_eq!(look(&mut holes), (vec![0x300_0000], vec![], vec![]));
    }

    #[test]
    fn a_hole_that_was_covered_while_nobody_looked_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let mut holes = holes_in(scratch.path());
        let known = shown(&hole(0x180_0000, 1));
        holes.know(std::slice::from_ref(&known));
        let good = scratch.path().join("backups/good");
        fs::create_dir_all(&good).unwrap();
        let manifest = fixture::manifest_of(&[fixture::file("PG_VERSION", "18")]);
        fs::write(good.join(MANIFEST_NAME), manifest).unwrap();
        let record = "{\"from\":\"0/1000000\",\"to\":\"0/1800000\",\"timeline\":1,\
             \"cause\":\"removed_by_server\",\"noticed\":\"2000-01-01T00:00:00.000000Z\"}\n";
        fs::write(scratch.path().join(".pgsiphon-holes"), record).unwrap();
        assert_eq!(look(&mut holes).1, [(0x180_0000, "good".to_owned())]);
    }
}
