//! Backups in plain format: walking the directory.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Problem;
use super::cluster::PART_SIZE_MAX;
use super::contents::{ContentsCheck, Place};
use super::verification::Verification;
use super::work::Work;
use crate::pg::OsError;
use crate::storage::StorageError;

/// Symbolic links on the way to a file. A tablespace is one; with more of them, a few files can look like any number.
const LINKS_MAX: usize = 4;

/// Finds the files of a backup.
struct Walk<'a> {
    root: &'a Path,
    verification: &'a Verification<'a>,
    works: Vec<Work>,
    /// The directories on the way to the present one, by device and inode.
    ancestors: Vec<(u64, u64)>,
    links: usize,
    /// Paths that were found to be unreadable: what is missing there is not said again.
    unreadable: HashSet<Vec<u8>>,
}

/// Finds all files below a directory, compares their names and sizes, and returns what is left to do.
///
/// # Errors
/// If the root cannot be read.
pub(super) fn walk<'a>(
    root: &'a Path,
    verification: &'a Verification<'a>,
) -> Result<Vec<Work>, StorageError> {
    let opened = |source| StorageError::new("open directory", root, source);
    let root_identity = identity(&fs::metadata(root).map_err(opened)?);
    let names = names(root).map_err(opened)?;
    let mut walk = Walk {
        root,
        verification,
        works: Vec::new(),
        ancestors: vec![root_identity],
        links: 0,
        unreadable: HashSet::new(),
    };
    walk.visit_all(&[], names);
    let is_unreadable = |path: &[u8]| with_parents(path).any(|path| walk.unreadable.contains(path));
    for missing in verification.listing.missing(is_unreadable) {
        verification.findings.add(missing);
    }
    Ok(walk.works)
}

impl Walk<'_> {
    fn visit_all(&mut self, directory: &[u8], names: Vec<Vec<u8>>) {
        for name in names {
            if self.verification.findings.is_over() {
                return;
            }
            let path = match directory {
                [] => name,
                directory => [directory, b"/", &name].concat(),
            };
            if !self.verification.listing.ignores(&path) {
                self.visit(path);
            }
        }
    }

    fn visit(&mut self, path: Vec<u8>) {
        let full = self.full(&path);
        let metadata = match fs::metadata(&full) {
            Ok(metadata) => metadata,
            Err(error) => {
                let message = format!(
                    "could not stat file or directory \"{}\": {}",
                    String::from_utf8_lossy(&path),
                    OsError(&error)
                );
                self.find(path.clone(), Problem::Io(message));
                self.unreadable.insert(path);
                return;
            }
        };
        if metadata.is_dir() {
            let is_link = fs::symlink_metadata(&full).is_ok_and(|metadata| metadata.is_symlink());
            self.enter(path, &metadata, is_link);
        } else if metadata.is_file() {
            self.take_file(path, metadata.len());
        } else {
            self.find(path, Problem::OddType);
        }
    }

    fn enter(&mut self, path: Vec<u8>, metadata: &Metadata, is_link: bool) {
        let (full, links_before) = (self.full(&path), self.links);
        self.links += usize::from(is_link);
        let is_circle = self.ancestors.contains(&identity(metadata)) || self.links > LINKS_MAX;
        let names = match is_circle {
            true => Err(rustix::io::Errno::LOOP.into()),
            false => names(&full),
        };
        match names {
            Ok(names) => {
                self.ancestors.push(identity(metadata));
                self.visit_all(&path, names);
                self.ancestors.pop();
            }
            Err(error) => {
                let error = StorageError::new("open directory", &full, error);
                self.find(path.clone(), Problem::Io(error.to_string()));
                self.unreadable.insert(path);
            }
        }
        self.links = links_before;
    }

    fn take_file(&mut self, path: Vec<u8>, size: u64) {
        let verification = self.verification;
        let place = Place { path, archive: None };
        let Some(listed) = verification.meet(&place, size) else { return };
        let file = self.full(&place.path);
        if let Some(part) = verification.cluster.part(&place.path) {
            match read_small(&file) {
                Ok(bytes) => verification.check_part(part, &place, &bytes),
                Err(error) => self.find(place.path.clone(), Problem::Io(error.to_string())),
            }
        }
        if let Some(check) = ContentsCheck::begin(&place.path, listed, verification.rules) {
            verification.progress.expect(size);
            self.works.push(Work::File { path: file, place, check });
        }
    }

    fn full(&self, path: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(path))
    }

    fn find(&mut self, path: Vec<u8>, problem: Problem) {
        self.verification.findings.add(Place { path, archive: None }.finding(problem));
    }
}

/// Gives a path and all directories above it.
fn with_parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |path| {
        let end = path.iter().rposition(|&byte| byte == b'/')?;
        path.get(..end)
    })
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Returns the names in a directory, sorted, so that two runs do the same.
pub(super) fn names(directory: &Path) -> io::Result<Vec<Vec<u8>>> {
    let entries = fs::read_dir(directory)?;
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_vec());
    let mut names = entries.map(name).collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// Reads a file that is only of worth if it is small.
fn read_small(path: &Path) -> Result<Vec<u8>, StorageError> {
    let file = File::open(path).map_err(|error| StorageError::new("open file", path, error))?;
    let mut bytes = Vec::new();
    file.take(PART_SIZE_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| StorageError::new("read file", path, error))?;
    Ok(bytes)
}
