//! Holes in the stored WAL, until a base backup begins behind them.

use std::path::PathBuf;

use super::backup_starts::BackupStarts;
use super::config::ServerConfig;
use super::status::OpenHole;
use crate::receive::{self, Hole};
use crate::storage::StorageError;

/// Holes that are shown; the oldest are left out.
const HOLES_MAX: usize = 1000;

/// Looks for holes of one server, and for backups that cover them.
#[derive(Debug)]
pub(super) struct OpenHoles {
    directory: PathBuf,
    backups: Option<BackupStarts>,
    open: Vec<OpenHole>,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The holes that are open, the oldest first.
    pub(super) open: Vec<OpenHole>,
    /// Those that are not any more, and the backups that cover them.
    pub(super) covered: Vec<(OpenHole, String)>,
    /// Whether backups could be looked at. If not, what was known of them before counts.
    pub(super) backups: Result<(), StorageError>,
}

impl OpenHoles {
    /// Begins with none.
    pub(super) fn new(config: &ServerConfig) -> Self {
        let backups = config.backups.clone().map(BackupStarts::new);
        OpenHoles { directory: config.directory.clone(), backups, open: Vec::new() }
    }

    /// Takes over which holes were open before the last restart, so that it is told what became of them.
    pub(super) fn know(&mut self, open: &[OpenHole]) {
        self.open = open.to_vec();
    }

    /// Looks once. What is wrong with a backup is told to `tell`, once for each.
    ///
    /// # Errors
    /// If the record of holes cannot be read.
    pub(super) fn look(
        &mut self,
        cluster: Option<u64>,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Found, StorageError> {
        let holes = receive::holes(&self.directory)?;
        let backups = match &mut self.backups {
            Some(backups) if !holes.is_empty() => backups.look(tell),
            Some(_) | None => Ok(()),
        };
        let (mut open, mut covered) = (Vec::new(), Vec::new());
        for hole in &holes {
            let shown = shown(hole);
            let covering = self.backups.as_ref().and_then(|known| known.covering(hole, cluster));
            match covering {
                None => open.push(shown),
                Some(backup) if self.open.contains(&shown) => {
                    covered.push((shown, backup.to_owned()));
                }
                Some(_) => {}
            }
        }
        open.drain(..open.len().saturating_sub(HOLES_MAX));
        self.open.clone_from(&open);
        Ok(Found { open, covered, backups })
    }
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
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::manifest::fixture;
    use crate::pg::Lsn;
    use crate::service::backup_starts::MANIFEST_NAME;

    /// Writes a record of holes, by where each begins and ends.
    fn record(scratch: &Path, holes: &[(&str, &str)]) {
        let line = |(from, to): &(&str, &str)| {
            format!(
                "{{\"from\":\"{from}\",\"to\":\"{to}\",\"timeline\":1,\"cause\":\"removed_by_server\",\
                 \"noticed\":\"2000-01-01T00:00:00Z\"}}\n"
            )
        };
        let record: String = holes.iter().map(line).collect();
        fs::write(scratch.join(".pgsiphon-holes"), record).unwrap();
    }

    /// Makes a backup that begins behind 0/1800000.
    fn make_backup(scratch: &Path) {
        let backup = scratch.join("backups/good");
        fs::create_dir_all(&backup).unwrap();
        let manifest = fixture::manifest_of(&[fixture::file("PG_VERSION", "18")]);
        fs::write(backup.join(MANIFEST_NAME), manifest).unwrap();
    }

    /// Holes and backups in a temporary directory.
    fn holes_in(scratch: &Path) -> OpenHoles {
        OpenHoles {
            directory: scratch.to_owned(),
            backups: Some(BackupStarts::new(scratch.join("backups"))),
            open: Vec::new(),
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
        record(scratch.path(), &[("0/1000000", "0/1800000"), ("0/2000000", "0/3000000")]);
        let both = vec![0x180_0000, 0x300_0000];
        assert_eq!(look(&mut holes), (both.clone(), vec![], vec![]));
        let backups = scratch.path().join("backups");
        for name in ["broken", "good", "loop", "unfinished"] {
            fs::create_dir_all(backups.join(name)).unwrap();
        }
        fs::write(backups.join("file"), "").unwrap();
        symlink(MANIFEST_NAME, backups.join("loop").join(MANIFEST_NAME)).unwrap();
        fs::write(backups.join("broken").join(MANIFEST_NAME), "{}").unwrap();
        let (open, covered, told) = look(&mut holes);
        assert_eq!((open, covered, told.len()), (both, vec![], 2));
        let words = "backup does not count: ";
        assert!(told.iter().all(|told| told.starts_with(words)), "{told:?}");
        make_backup(scratch.path());
        let covered = vec![(0x180_0000, "good".to_owned())];
        // Of the others it was told, and they did not change.
        assert_eq!(look(&mut holes), (vec![0x300_0000], covered, vec![]));
        assert_eq!(look(&mut holes), (vec![0x300_0000], vec![], vec![]));
    }

    #[test]
    fn a_hole_that_was_covered_while_nobody_looked_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let mut holes = holes_in(scratch.path());
        record(scratch.path(), &[("0/1000000", "0/1800000")]);
        let [known] = &receive::holes(scratch.path()).unwrap()[..] else { panic!("no hole") };
        holes.know(&[shown(known)]);
        make_backup(scratch.path());
        assert_eq!(look(&mut holes).1, [(0x180_0000, "good".to_owned())]);
    }

    #[test]
    fn holes_are_shown_also_if_backups_cannot_be_read() {
        let scratch = tempfile::tempdir().unwrap();
        let mut holes = holes_in(scratch.path());
        record(scratch.path(), &[("0/1000000", "0/1800000")]);
        make_backup(scratch.path());
        assert!(look(&mut holes).0.is_empty());
        let (backups, elsewhere) = (scratch.path().join("backups"), scratch.path().join("moved"));
        fs::rename(&backups, elsewhere).unwrap();
        fs::write(&backups, "").unwrap();
        record(scratch.path(), &[("0/1000000", "0/1800000"), ("0/2000000", "0/3000000")]);
        let found = holes.look(Some(7), &mut |problem| panic!("{problem}")).unwrap();
        // What was known before covers what it covered.
        let [open] = &found.open[..] else { panic!("{found:?}") };
        assert_eq!(open.to, Lsn::new(0x300_0000));
        let told = format!("could not read directory \"{}\": Not a directory", backups.display());
        assert_eq!(found.backups.unwrap_err().to_string(), told);
    }
}
