//! PostgreSQL's own judgement of a backup.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::installation::Installation;
use super::scratch::run;

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

/// Makes a data directory of a backup in tar format without tablespaces, by the program `tar`.
pub fn untar(backup: &Path, data: &Path) {
    extract(&backup.join("base.tar"), data);
    let wal = backup.join("pg_wal.tar");
    if wal.exists() {
        extract(&wal, &data.join("pg_wal"));
    }
    let manifest = backup.join("backup_manifest");
    if manifest.exists() {
        fs::copy(manifest, data.join("backup_manifest")).unwrap();
    }
}

fn extract(archive: &Path, directory: &Path) {
    run(Command::new("tar").arg("-xpf").arg(archive).arg("-C").arg(directory));
}
