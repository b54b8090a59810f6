//! Before the first byte: what the server says of itself, and the directories.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use super::archives::{Destination, tar_file_name};
use super::{BackupError, Target};
use crate::net::{Cluster, Connection, Modes};
use crate::pg::{Tablespace, TablespaceLocation, TablespaceMappings};
use crate::storage::{CreatedDirectories, DirectoryRole, ExtractorConfig, StorageError};

/// The manifest's name while it is not sure that the backup is complete.
pub(super) const MANIFEST_TEMPORARY_NAME: &str = "backup_manifest.tmp";

/// The manifest's final name: the sign of a complete backup.
pub(super) const MANIFEST_NAME: &str = "backup_manifest";

/// The oldest and the newest major release that are supported. A newer server may send what a
/// base backup must not pass over, so it is refused, as the original does.
const MAJOR_MIN: u32 = 13;
const MAJOR_MAX: u32 = 18;

/// Asks a server of a supported release about itself.
pub(super) async fn ask_cluster(connection: &mut Connection) -> Result<Cluster, BackupError> {
    let session = connection.session();
    if !(MAJOR_MIN..=MAJOR_MAX).contains(&session.server_version.major()) {
        return Err(BackupError::ServerVersion(session.server_version_text.clone()));
    }
    Ok(Cluster::ask(connection).await?)
}

/// Makes sure that the target's directories exist and are empty, and links `pg_wal` to where it is to
/// lie.
pub(super) fn claim_target(
    target: &Target,
    modes: Modes,
    created: &mut CreatedDirectories,
) -> Result<(), BackupError> {
    match target {
        Target::Stdout | Target::Server(_) => {}
        Target::Tar { directory } => {
            created.claim(DirectoryRole::Data, directory, modes.directory)?;
        }
        Target::Plain { directory, wal_directory, .. } => {
            created.claim(DirectoryRole::Data, directory, modes.directory)?;
            if let Some(wal_directory) = wal_directory {
                created.claim(DirectoryRole::Wal, wal_directory, modes.directory)?;
                let link = directory.join("pg_wal");
                symlink(wal_directory, &link)
                    .map_err(|error| StorageError::new("create symbolic link", link, error))?;
            }
        }
    }
    Ok(())
}

/// Works out where each archive goes, and claims the tablespaces' directories.
pub(super) fn plan_archives(
    target: &Target,
    tablespaces: &[Tablespace],
    modes: Modes,
    created: &mut CreatedDirectories,
) -> Result<Vec<Destination>, BackupError> {
    match target {
        Target::Stdout if tablespaces.len() > 1 => {
            Err(BackupError::SeveralTablespaces(tablespaces.len()))
        }
        Target::Stdout => Ok(tablespaces.iter().map(|_| Destination::Stdout).collect()),
        Target::Server(_) => Ok(tablespaces.iter().map(|_| Destination::Server).collect()),
        Target::Tar { directory } => {
            let file = |tablespace: &Tablespace| directory.join(tar_file_name(tablespace.oid));
            Ok(tablespaces.iter().map(file).map(Destination::TarFile).collect())
        }
        Target::Plain { directory, tablespaces: mappings, wal_directory } => {
            let mut roots = Vec::new();
            for tablespace in tablespaces {
                roots.push(claim_root(tablespace, directory, mappings, modes, created)?);
            }
            Ok(extract_into(tablespaces, roots, wal_directory.as_deref()))
        }
    }
}

/// Makes sure that the directory for a tablespace's files is there, and returns it.
fn claim_root(
    tablespace: &Tablespace,
    directory: &Path,
    mappings: &TablespaceMappings,
    modes: Modes,
    created: &mut CreatedDirectories,
) -> Result<PathBuf, BackupError> {
    match (&tablespace.location, tablespace.oid) {
        (TablespaceLocation::Directory(location), _) => {
            let mapped = mappings.map(location);
            created.claim(DirectoryRole::Tablespace, &mapped, modes.directory)?;
            Ok(mapped)
        }
        (TablespaceLocation::InPlace(_), Some(oid)) => {
            let path = directory.join(format!("pg_tblspc/{oid}"));
            create_directories(&path, modes)?;
            Ok(path)
        }
        (TablespaceLocation::DataDirectory | TablespaceLocation::InPlace(_), _) => {
            Ok(directory.to_owned())
        }
    }
}

/// Pairs each archive with its directory. Only `base.tar` has links to tablespaces and the WAL directory.
fn extract_into(
    tablespaces: &[Tablespace],
    roots: Vec<PathBuf>,
    wal_directory: Option<&Path>,
) -> Vec<Destination> {
    let is_linked =
        |tablespace: &Tablespace| matches!(tablespace.location, TablespaceLocation::Directory(_));
    let links: HashMap<_, _> = tablespaces
        .iter()
        .zip(&roots)
        .filter(|(tablespace, _)| is_linked(tablespace))
        .filter_map(|(tablespace, root)| Some((tablespace.oid?, root.clone())))
        .collect();
    let destination = |(tablespace, root): (&Tablespace, PathBuf)| {
        let is_base = tablespace.oid.is_none();
        Destination::Extract(ExtractorConfig {
            root,
            wal_directory: wal_directory.filter(|_| is_base).map(Path::to_owned),
            tablespace_links: if is_base { links.clone() } else { HashMap::new() },
        })
    };
    tablespaces.iter().zip(roots).map(destination).collect()
}

/// Creates the directories for streamed WAL, which must be there before `base.tar` brings them.
pub(super) fn create_wal_directories(path: &Path, cluster: &Cluster) -> Result<(), BackupError> {
    create_directories(&path.join("archive_status"), cluster.modes)?;
    if cluster.version.has_wal_summaries() {
        create_directories(&path.join("summaries"), cluster.modes)?;
    }
    Ok(())
}

/// Creates a directory and its parents. Their exact permissions come with the members of `base.tar`.
fn create_directories(path: &Path, modes: Modes) -> Result<(), BackupError> {
    let mut builder = DirBuilder::new();
    let created = builder.recursive(true).mode(modes.directory).create(path);
    Ok(created.map_err(|error| StorageError::new("create directory", path, error))?)
}
