//! Turning archive members into a data directory.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::StorageError;
use super::disk::DiskHandle;
use super::error::IoContext as _;
use super::writer::{FileSize, FileWriter};
use crate::archive::{Member, MemberKind, MemberSink};
use crate::pg::{MemberPath, Oid};

/// The directory of WAL, which may lie elsewhere.
const WAL_DIRECTORY: &[u8] = b"pg_wal";

/// The directory of links to tablespaces.
const TABLESPACE_LINKS: &[u8] = b"pg_tblspc";

/// What the owner may do with every directory, whatever the archive says: else it could neither be filled
/// nor removed again.
const OWNER_ACCESS: u32 = 0o700;

/// Where the members of an archive go.
#[derive(Clone, Debug)]
pub struct ExtractorConfig {
    /// The directory that member names are relative to.
    pub root: PathBuf,
    /// Where members below `pg_wal` go instead.
    pub wal_directory: Option<PathBuf>,
    /// The directories of tablespaces, for the links to them. No other links are made.
    pub tablespace_links: HashMap<Oid, PathBuf>,
}

/// Why a member was not extracted.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A link that does not lead to a listed tablespace.
    #[error("link \"{path}\" to \"{}\" does not belong to a tablespace", target.display())]
    Link {
        /// The member's name.
        path: MemberPath,
        /// Where it would lead.
        target: PathBuf,
    },
    /// A member whose path leads through a link, out of the directory.
    #[error("tar member \"{0}\" lies behind a symbolic link")]
    BehindLink(MemberPath),
}

/// Extracts archives below one directory.
///
/// Member names cannot climb, files are created anew, and nothing is written through a link, so nothing
/// outside the root and the WAL directory is touched whatever the archive holds.
#[derive(Debug)]
pub struct Extractor {
    config: ExtractorConfig,
    disk: DiskHandle,
    current: Option<FileWriter>,
    /// Links that were made: no member may lie behind one.
    links: HashSet<Vec<u8>>,
    /// Directories that members were put into, to be synced at the end.
    directories: Vec<PathBuf>,
}

impl Extractor {
    /// Begins to extract into a directory that exists.
    pub fn new(config: ExtractorConfig, disk: DiskHandle) -> Self {
        let directories = vec![config.root.clone()];
        Extractor { config, disk, current: None, links: HashSet::new(), directories }
    }

    /// Returns the directories to sync when all files are complete.
    pub fn into_directories(self) -> Vec<PathBuf> {
        self.directories
    }

    fn target(&self, path: &MemberPath) -> Result<PathBuf, ExtractError> {
        let bytes = path.as_bytes();
        let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (end, _) in slashes {
            if bytes.get(..end).is_some_and(|ancestor| self.links.contains(ancestor)) {
                return Err(ExtractError::BehindLink(path.clone()));
            }
        }
        if let Some(wal_directory) = &self.config.wal_directory {
            if bytes == WAL_DIRECTORY {
                return Ok(wal_directory.clone());
            }
            if let Ok(inside) = path.as_path().strip_prefix("pg_wal") {
                return Ok(wal_directory.join(inside));
            }
        }
        Ok(self.config.root.join(path.as_path()))
    }

    fn create_directory(&mut self, member: &Member) -> Result<(), ExtractError> {
        let path = self.target(&member.path)?;
        let mode = member.mode | OWNER_ACCESS;
        match DirBuilder::new().mode(mode).create(&path) {
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && may_exist_already(&member.path)
                    && path.is_dir() => {}
            outcome => outcome.context("create directory", &path)?,
        }
        fs::set_permissions(&path, Permissions::from_mode(mode))
            .context("set permissions on directory", &path)?;
        self.directories.push(path);
        Ok(())
    }

    fn create_link(&mut self, member: &Member, target: &Path) -> Result<(), ExtractError> {
        let name = member.path.strip_directory(TABLESPACE_LINKS);
        let oid = name.and_then(|name| std::str::from_utf8(name).ok()?.parse::<Oid>().ok());
        let directory = match oid.map(|oid| self.config.tablespace_links.get(&oid)) {
            Some(Some(directory)) => directory,
            // A tablespace that was created while the backup ran. It is not in the backup, and replay of its creation
            // makes the link anew; so nobody need follow the server to a directory that it names.
            Some(None) if target.is_absolute() => return Ok(()),
            Some(None) | None => {
                return Err(ExtractError::Link {
                    path: member.path.clone(),
                    target: target.to_owned(),
                });
            }
        };
        let path = self.target(&member.path)?;
        symlink(directory, &path).context("create symbolic link", &path)?;
        self.links.insert(member.path.as_bytes().to_vec());
        Ok(())
    }
}

/// Says whether a directory may be there before its member comes: the WAL stream makes `pg_wal` and
/// what is in it, and in-place tablespaces arrive before `base.tar` does.
fn may_exist_already(path: &MemberPath) -> bool {
    match path.as_bytes() {
        b"pg_wal" | b"pg_wal/archive_status" | b"pg_wal/summaries" | TABLESPACE_LINKS => true,
        _ => path
            .strip_directory(TABLESPACE_LINKS)
            .is_some_and(|name| name.iter().all(u8::is_ascii_digit)),
    }
}

impl MemberSink for Extractor {
    type Error = ExtractError;

    fn begin(&mut self, member: &Member) -> Result<(), ExtractError> {
        match &member.kind {
            MemberKind::File => {
                let path = self.target(&member.path)?;
                let size = FileSize::Known(member.size);
                self.current = Some(FileWriter::create(&self.disk, path, member.mode, size)?);
                Ok(())
            }
            MemberKind::Directory => self.create_directory(member),
            MemberKind::Symlink(target) => self.create_link(member, target),
        }
    }

    fn contents(&mut self, bytes: Bytes) -> Result<(), ExtractError> {
        match &mut self.current {
            Some(file) => Ok(file.write(&bytes)?),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), ExtractError> {
        match self.current.take() {
            Some(file) => Ok(file.finish()?),
            None => Ok(()),
        }
    }
}
