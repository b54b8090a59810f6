//! PostgreSQL's own judgement of a backup.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::installation::{Installation, client_program};
use super::scratch::{Scratch, names, run};

/// Whether a backup has the WAL that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wal {
    /// It has, and it can be read.
    Included,
    /// It has none.
    Absent,
}

/// Makes sure that `pg_verifybackup` accepts a backup in plain format.
#[track_caller]
pub fn verify(installation: Installation, backup: &Path, wal: Wal) {
    if let Err(complaint) = judge(installation, backup, wal) {
        panic!("pg_verifybackup does not accept {}: {complaint}", backup.display());
    }
}

/// Lets `pg_verifybackup` look at a backup in plain format; returns what it complains of.
pub fn judge(installation: Installation, backup: &Path, wal: Wal) -> Result<(), String> {
    let (program, reads_wal) = installation.verifier();
    let mut command = Command::new(program);
    if wal == Wal::Absent || !reads_wal {
        command.arg("--no-parse-wal");
    }
    let output = command.env("LC_ALL", "C").arg(backup).output().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Makes sure that `pg_verifybackup` of 18, the first that reads tar files, accepts a backup in tar format. It
/// reads no WAL there. A manifest of 17 leads it to a control file that only 17 can read.
#[track_caller]
pub fn verify_tar(installation: Installation, backup: &Path) {
    if installation.major == 17 {
        return;
    }
    let mut command = Command::new(client_program("pg_verifybackup"));
    run(command.env("LC_ALL", "C").arg("--no-parse-wal").arg(backup));
}

/// Returns a backup without tablespaces as a data directory: itself, or what is unpacked from it.
pub fn data_directory(backup: &Path, scratch: &Scratch) -> PathBuf {
    if backup.join("PG_VERSION").exists() {
        return backup.to_owned();
    }
    let data = scratch.join("data");
    DirBuilder::new().mode(0o700).create(&data).unwrap();
    untar(backup, &data);
    data
}

/// Makes a data directory of a backup in tar format without tablespaces, by the program `tar` and those
/// that it calls for compressed files.
pub fn untar(backup: &Path, data: &Path) {
    for name in names(backup) {
        if name.starts_with("base.tar") {
            extract(&backup.join(name), data);
        }
    }
    for name in names(backup) {
        if name.starts_with("pg_wal.tar") {
            extract(&backup.join(name), &data.join("pg_wal"));
        }
    }
    let manifest = backup.join("backup_manifest");
    if manifest.exists() {
        fs::copy(manifest, data.join("backup_manifest")).unwrap();
    }
}

fn extract(archive: &Path, directory: &Path) {
    run(tar_on(archive).arg("-xpf").arg(archive).arg("-C").arg(directory));
}

/// Prepares the program `tar` for an archive that may be compressed.
pub fn tar_on(archive: &Path) -> Command {
    let program = match archive.extension().and_then(OsStr::to_str) {
        Some("gz") => Some("gzip"),
        Some("lz4") => Some("lz4"),
        Some("zst") => Some("zstd"),
        _ => None,
    };
    let mut tar = Command::new("tar");
    tar.args(program.map(|program| format!("--use-compress-program={program}")));
    tar
}
