//! Verifying stored backups.

use std::fs;
use std::path::{Path, PathBuf};

use super::base_backup;
use super::baseline;
use super::comparison::Side;
use super::config::Part;
use super::data::cluster_bytes;
use super::error::BenchError;
use super::run::{Row, Stage};
use super::sample::Sample;
use super::server::Server;
use super::workspace::{failed, remove};

/// A form in which a backup is stored.
struct Variant {
    row: &'static str,
    backup: &'static [&'static str],
    verification: &'static [&'static str],
    /// The first release whose program can read it.
    since: u32,
}

/// Of archives the original leaves out the WAL, so both do.
const VARIANTS: [Variant; 6] = [
    Variant { row: "plain", backup: &[], verification: &[], since: 13 },
    Variant {
        row: "plain-sha256",
        backup: &["--manifest-checksums=SHA256"],
        verification: &[],
        since: 13,
    },
    Variant { row: "tar", backup: &["-Ft"], verification: &["-n"], since: 18 },
    Variant { row: "tar-gzip", backup: &["-Ft", "-z"], verification: &["-n"], since: 18 },
    Variant { row: "tar-lz4", backup: &["-Ft", "-Zlz4"], verification: &["-n"], since: 18 },
    Variant { row: "tar-zstd", backup: &["-Ft", "-Zzstd"], verification: &["-n"], since: 18 },
];

/// Compares all forms.
///
/// # Errors
/// A program failed, or there is no room.
pub(super) fn measure(stage: &mut Stage<'_>, server: &Server<'_>) -> Result<(), BenchError> {
    let releases = stage.releases(server)?;
    for variant in VARIANTS {
        if !stage.config.measures(variant.row) {
            continue;
        }
        if releases.originals == releases.server && releases.originals >= variant.since {
            variant.compare(stage, server)?;
        } else {
            stage.step(&format!("leaving out {}: these releases cannot do it", variant.row));
        }
    }
    Ok(())
}

impl Variant {
    fn compare(&self, stage: &mut Stage<'_>, server: &Server<'_>) -> Result<(), BenchError> {
        let bytes = cluster_bytes(server)?;
        stage.workspace.require_room(bytes)?;
        let directory = stage.workspace.path("stored");
        base_backup::take(stage, server, self.backup, &directory)?;
        let row = Row { part: Part::Verify, name: self.row, bytes: Some(bytes) };
        let files = files(&directory)?;
        // Once beforehand, so that all find it in the page cache.
        baseline::read_files(files.clone())?;
        let sides = [Side::Baseline, Side::Original, Side::Ours];
        stage.compare(row, None, &sides, |stage, side, _| match side {
            Side::Baseline => baseline::read_files(files.clone()),
            Side::Original | Side::Ours => self.verify(stage, side, &directory),
        })?;
        remove(&directory)
    }

    fn verify(
        &self,
        stage: &Stage<'_>,
        side: Side,
        directory: &Path,
    ) -> Result<Sample, BenchError> {
        let mut command = stage.program(side, "pg_verifybackup");
        command.args(self.verification).arg(directory);
        stage.start(command)?.wait()
    }
}

/// Lists the files below a directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed("read directory", directory))? {
        let entry = entry.map_err(failed("read directory", directory))?;
        let kind = entry.file_type().map_err(failed("examine file", directory))?;
        if kind.is_dir() {
            found.extend(files(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
