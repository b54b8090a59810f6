//! Before the first byte: what the server says of itself, and the directories.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use super::archives::{Destination, tar_file_name};
use super::{BackupError, Target};
use crate::net::Connection;
use crate::pg::{
    ServerVersion, Tablespace, TablespaceLocation, TablespaceMappings, WalSegmentSize,
};
use crate::protocol::command::{self, IDENTIFY_SYSTEM};
use crate::storage::{CreatedDirectories, DirectoryRole, ExtractorConfig, StorageError};

/// The manifest's name while it is not sure that the backup is complete.
pub(super) const MANIFEST_TEMPORARY_NAME: &str = "backup_manifest.tmp";

/// The manifest's final name: the sign of a complete backup.
pub(super) const MANIFEST_NAME: &str = "backup_manifest";

/// The oldest and the newest major release that are supported. A newer server may send what a
/// base backup must not pass over, so it is refused, as the original does.
const MAJOR_MIN: u32 = 13;
const MAJOR_MAX: u32 = 18;

/// Permission bits of what is created here, as `data_directory_mode` of the server has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Modes {
    pub(super) directory: u32,
    pub(super) file: u32,
}

/// What the server says of itself and its cluster.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) version: ServerVersion,
    pub(super) modes: Modes,
    pub(super) segment_size: WalSegmentSize,
    pub(super) system_identifier: String,
}

impl Cluster {
    /// Asks the server.
    pub(super) async fn ask(connection: &mut Connection) -> Result<Self, BackupError> {
        let session = connection.session().clone();
        let version = session.server_version;
        if !(MAJOR_MIN..=MAJOR_MAX).contains(&version.major()) {
            return Err(BackupError::ServerVersion(session.server_version_text));
        }
        let mode = show(connection, "data_directory_mode").await?;
        let size = show(connection, "wal_segment_size").await?;
        let system = connection.query("IDENTIFY_SYSTEM", IDENTIFY_SYSTEM).await?;
        let system_identifier = system.first().and_then(|row| row.text(0)).map(str::to_owned);
        let system_identifier = system_identifier.ok_or_else(|| {
            let reason = "unexpected answer to IDENTIFY_SYSTEM".to_owned();
            BackupError::Setting { setting: "system identifier", reason }
        })?;
        Ok(Cluster {
            version,
            modes: modes(&mode)?,
            segment_size: size.parse().map_err(|error| BackupError::Setting {
                setting: "wal_segment_size",
                reason: format!("{error}"),
            })?,
            system_identifier,
        })
    }
}

async fn show(connection: &mut Connection, setting: &'static str) -> Result<String, BackupError> {
    let rows = connection.query("SHOW", &command::show(setting)).await?;
    let value = rows.first().and_then(|row| row.text(0)).map(str::to_owned);
    let reason = "unexpected answer to SHOW".to_owned();
    value.ok_or(BackupError::Setting { setting, reason })
}

/// Reads `data_directory_mode`: if the group may read the data directory, it may read the backup.
fn modes(octal: &str) -> Result<Modes, BackupError> {
    const GROUP_ACCESS: u32 = 0o050;
    let mode = u32::from_str_radix(octal, 8).map_err(|_| BackupError::Setting {
        setting: "data_directory_mode",
        reason: format!("group access flag could not be parsed: {octal}"),
    })?;
    Ok(match mode & GROUP_ACCESS {
        GROUP_ACCESS => Modes { directory: 0o750, file: 0o640 },
        _ => Modes { directory: 0o700, file: 0o600 },
    })
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
